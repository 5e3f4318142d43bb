#include "steps/lock_patience.hpp"
#include "bridge/results.hpp"

namespace tenantmig {

namespace {
constexpr int usual_attempts = 10, most_attempts = 1000;
constexpr int first_timeout = 100, longest_timeout = 1000; // milliseconds: nobody else gets past us meanwhile
constexpr long first_pause = 100, longest_pause = 5000;

int lock_attempts() {
    const char *setting = pg_call([] { return GetConfigOption("tenantmig.lock_attempts", true, false); });
    const int wanted = setting ? std::atoi(setting) : 0;
    return wanted >= 1 && wanted <= most_attempts ? wanted : usual_attempts;
}

void rest(int attempt) {
    pg_call([attempt] {
        const long wait = std::min(longest_pause, first_pause << std::min(attempt, 10));
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    });
}

bool lock_failed(std::string_view state) {
    return state == sqlstate::lock_not_available || state == "40P01";
}
} // namespace

void LockPatience::insist(const std::string &what, const std::function<void(int)> &attempt) const {
    const int attempts = lock_attempts();
    for (int number = 1;; number++) {
        int timeout = std::min(first_timeout * number, longest_timeout);
        if (own_timeout_ > 0) timeout = std::min(timeout, own_timeout_);
        std::string told;
        try {
            attempt(timeout);
            return;
        } catch (const PgError &error) {
            if (!lock_failed(unpack_sql_state(error.data()->sqlerrcode)) || number == attempts) throw;
            told = error.what();
        } catch (const Error &error) {
            if (!lock_failed(error.state()) || number == attempts) throw;
            told = error.message();
        }
        notice(fmt::format("{}: waiting for a lock, attempt {} of {}: {}", what, number, attempts, told));
        rest(number);
    }
}

} // namespace tenantmig

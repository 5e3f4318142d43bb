#include "interrupt.hpp"
#include "exit_status.hpp"
#include <array>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

namespace tenantmig::client::interrupt {

namespace {

constexpr std::array handled{SIGINT, SIGTERM, SIGHUP};

volatile std::sig_atomic_t count = 0;
volatile std::sig_atomic_t deferred = 0;
volatile std::sig_atomic_t terminal_changed = 0;
int terminal_number = -1;
termios terminal_settings;

void on_signal(int /*number*/) {
    count = count + 1;
    if (deferred != 0 && count == 1) return;
    if (terminal_changed != 0) tcsetattr(terminal_number, TCSANOW, &terminal_settings);
    _exit(static_cast<int>(ExitStatus::interrupted));
}

sigset_t our_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : handled)
        sigaddset(&set, number);
    return set;
}

} // namespace

void install() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_mask = our_signals();
    for (const int number : handled)
        sigaction(number, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

bool requested() {
    return count != 0;
}

Deferred::Deferred() {
    const sigset_t blocked = our_signals();
    sigprocmask(SIG_BLOCK, &blocked, &before_);
    deferred = 1;
}

Deferred::~Deferred() {
    sigprocmask(SIG_SETMASK, &before_, nullptr); // one that is pending now is noted
    deferred = 0;
}

void Deferred::wait_readable(int socket) const {
    pollfd descriptor{socket, POLLIN, 0};
    // an interrupted wait is an answer too: the caller looks at requested()
    (void)ppoll(&descriptor, 1, nullptr, &before_);
}

void restore_at_exit(int terminal, const termios *settings) {
    terminal_changed = 0;
    if (settings == nullptr) return;
    terminal_number = terminal;
    terminal_settings = *settings;
    terminal_changed = 1;
}

} // namespace tenantmig::client::interrupt

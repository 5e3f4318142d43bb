#include "catalog/events.hpp"

#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"

namespace tenantmig {

namespace {
constexpr char channel[] = "tenantmig";
constexpr std::size_t longest_payload = 7999; // NOTIFY_PAYLOAD_MAX_LENGTH - 1

std::string dump(const nlohmann::json &payload) {
    return payload.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
}
} // namespace

void announce(std::string_view event, std::string_view migration, const nlohmann::json &fields) {
    if (RecoveryInProgress() || XactReadOnly) return;
    TimestampTz time = our_time();
    const char *at = pg_call([time] { return timestamptz_to_str(time); });
    nlohmann::json head = {{"event", event}, {"migration", migration}, {"at", at}};
    nlohmann::json whole = head;
    whole.update(fields);
    std::string payload = dump(whole);
    if (payload.size() > longest_payload) payload = dump(head);
    if (payload.size() > longest_payload) return; // cannot be: names are bounded
    const char *words = payload.c_str();
    pg_call([words] { Async_Notify(channel, words); });
}

} // namespace tenantmig

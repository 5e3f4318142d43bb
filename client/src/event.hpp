// What arrives on the channel tenantmig. Any role of the database can send there, so nothing in it is taken on trust.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tenantmig::client {

struct Event {
    std::string event, migration, at;                        // empty where the payload has none
    std::vector<std::pair<std::string, std::string>> fields; // the others: text as it is, anything else as JSON
    std::string payload;                                     // as it came
};

// Nothing if the payload is not a JSON object with the member "event" of an event's form (a word).
std::optional<Event> parse_event(const std::string &payload);

// name=value name="two words", in the order of the payload.
std::string fields_text(const Event &event);

// A command that is run for one event, with `sh -c`: the payload and a line feed on its standard input, its output on
// our standard error. The event is in its environment and nowhere in the command: TENANTMIG_EVENT, TENANTMIG_MIGRATION,
// TENANTMIG_AT, and TENANTMIG_NAME for each other field whose name is a word.
class Hook {
public:
    // Starts it. Status 1 if no process can be made.
    Hook(const std::string &command, const Event &event);
    ~Hook(); // of one that is still there: ends it
    Hook(const Hook &) = delete;
    Hook &operator=(const Hook &) = delete;
    [[nodiscard]] bool ended(); // and collects it
    void terminate(bool hard) const;
    // "ended with status 3", "was ended by signal 9"; nothing if it ended well.
    [[nodiscard]] std::optional<std::string> problem() const;

private:
    int process_ = -1, status_ = 0;
    bool collected_ = false;
};

} // namespace tenantmig::client

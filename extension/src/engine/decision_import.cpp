// A list of decisions, applied as a whole: every error names the line it comes from.
#include "core/excerpt.hpp"
#include <map>
#include <nlohmann/json.hpp>

#include "bridge/memory.hpp"
#include "catalog/migration_store.hpp"
#include "engine/decisions.hpp"

namespace tenantmig {

namespace {
using nlohmann::json;
constexpr char expected[] = "Each decision is {\"line\": 2, \"id\": 17, \"decision\": \"resolve\", \"tenant\": \"3\", "
                            "\"note\": \"…\"}; decision is resolve, "
                            "dismiss or \"\"; tenant goes with resolve only.";

[[noreturn]] void invalid(const std::string &problem, const std::string &detail = {}) {
    throw Error(sqlstate::decision_invalid, problem, detail, expected);
}

// What stands in the document, as it stands there, in ASCII and not too long.
std::string found(const json &value) {
    constexpr std::size_t limit = 80;
    std::string text = value.dump(-1, ' ', true);
    return text.size() > limit ? fmt::format("Found {}….", text.substr(0, limit)) : fmt::format("Found {}.", text);
}

std::string optional_string(const json &item, const char *name) {
    auto value = item.find(name);
    if (value == item.end() || value->is_null()) return {};
    if (!value->is_string()) invalid(fmt::format("\"{}\" is not a string", name), found(*value));
    return value->get<std::string>();
}

struct Decision {
    std::int64_t id = 0;
    std::string verb, tenant;
    std::optional<std::string> note;
};

Decision read_decision(const json &item) {
    if (!item.is_object()) invalid("not a decision", found(item));
    for (const auto &[name, value] : item.items())
        if (name != "line" && name != "id" && name != "decision" && name != "tenant" && name != "note")
            invalid(fmt::format("unknown field {}", core::excerpt(name)));
    Decision decision;
    auto id = item.find("id");
    if (id == item.end() || !id->is_number_integer() ||
        (id->is_number_unsigned() && id->get<std::uint64_t>() > INT64_MAX))
        invalid("\"id\" is not the number of a review", id == item.end() ? "It is missing." : found(*id));
    decision.id = id->get<std::int64_t>();
    decision.verb = optional_string(item, "decision");
    decision.tenant = optional_string(item, "tenant");
    if (std::string note = optional_string(item, "note"); !note.empty()) decision.note = note;
    if (!decision.verb.empty() && decision.verb != "resolve" && decision.verb != "dismiss")
        invalid(fmt::format("{} is not a decision", core::excerpt(decision.verb)));
    if (decision.verb == "resolve" && decision.tenant.empty()) invalid("resolve needs a tenant");
    if (decision.verb != "resolve" && !decision.tenant.empty())
        invalid(decision.verb.empty() ? "a tenant is given, but no decision" : "dismiss takes no tenant",
                fmt::format("Found tenant {}.", core::excerpt(decision.tenant)));
    return decision;
}

// The line that people see in their file; the position in the list where none is given.
std::int64_t line_of(const json &item, std::size_t position) {
    if (item.is_object())
        if (auto line = item.find("line"); line != item.end() && line->is_number_unsigned())
            return line->get<std::int64_t>();
    return static_cast<std::int64_t>(position) + 1;
}

void apply(const MigrationRecord &migration, const Decision &decision, ImportCounts &counts) {
    if (get_review(decision.id).migration != migration.id)
        throw Error(
            sqlstate::decision_invalid,
            fmt::format("review {} does not belong to migration {}", decision.id, core::excerpt(migration.name)), {},
            "SELECT * FROM tenantmig.review(name) lists those that do.");
    if (decision.verb == "resolve") {
        resolve_review(decision.id, decision.tenant, decision.note);
        counts.resolved++;
    } else if (decision.verb == "dismiss") {
        dismiss_review(decision.id, decision.note);
        counts.dismissed++;
    } else {
        counts.left_open++;
    }
}

void add_line(std::int64_t line, const PgError &error) {
    ErrorData *data = error.data();
    const char *message = data->message ? data->message : "";
    data->message = pg_call([line, message] { return psprintf("line " INT64_FORMAT ": %s", line, message); });
}
} // namespace

ImportCounts import_decisions(const std::string &name, const std::string &text) {
    MigrationRecord migration = get_migration(name);
    json list = json::parse(text, nullptr, false);
    if (list.is_discarded())
        invalid("the decisions can't be read", "A number in them is out of range, or they hold characters outside of "
                                               "ASCII and the database's encoding is not UTF8.");
    if (!list.is_array()) invalid("the decisions are not a list", found(list));
    ImportCounts counts;
    std::map<std::int64_t, std::int64_t> lines; // where each id stands
    for (std::size_t i = 0; i < list.size(); i++) {
        std::int64_t line = line_of(list[i], i);
        try {
            MemoryScope scope;
            Decision decision = read_decision(list[i]);
            if (auto [first, is_new] = lines.emplace(decision.id, line); !is_new)
                throw Error(sqlstate::decision_invalid,
                            fmt::format("review {} stands in line {} already", decision.id, first->second), {},
                            "Keep one of the two lines.");
            apply(migration, decision, counts);
        } catch (const PgError &error) {
            add_line(line, error);
            throw;
        } catch (const Error &error) {
            throw Error(error.state(), fmt::format("line {}: {}", line, error.message()), error.detail(), error.hint());
        }
    }
    return counts;
}

} // namespace tenantmig

#include "rehearsal_state.hpp"
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <iterator>
#include <set>
#include <string_view>

namespace tenantmig::client {

namespace {

constexpr std::size_t longest_value = 120; // of a definition that a line shows

std::string shown(const nlohmann::json &value) {
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.size() > longest_value) text = text.substr(0, longest_value) + "…";
    return text;
}

// "type was integer, is bigint; comment has gone"
std::string changed_fields(const nlohmann::json &before, const nlohmann::json &after) {
    std::string text;
    const auto add = [&text](const std::string &part) { text += (text.empty() ? "" : "; ") + part; };
    for (const auto &[field, value] : before.items()) {
        const auto now = after.find(field);
        if (now == after.end())
            add(fmt::format("{} has gone (it was {})", field, shown(value)));
        else if (*now != value)
            add(fmt::format("{} was {}, is {}", field, shown(value), shown(*now)));
    }
    for (const auto &[field, value] : after.items())
        if (!before.contains(field)) add(fmt::format("{} is new: {}", field, shown(value)));
    return text;
}

// A guard that is attached again has another number, in the name of its trigger and in the trigger's argument.
std::string without_guard_numbers(const std::string &text) {
    static constexpr std::string_view words[] = {"tenantmig_guard_", "('"};
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
        const auto *found = std::find_if(std::begin(words), std::end(words), [&](std::string_view word) {
            return text.compare(at, word.size(), word) == 0;
        });
        if (found == std::end(words)) {
            result += text[at++];
            continue;
        }
        result += *found;
        at += found->size();
        while (at < text.size() && text[at] >= '0' && text[at] <= '9')
            at++;
    }
    return result;
}

void compare_schema(const DatabaseState &before, const DatabaseState &after, StateDifference &found) {
    for (const auto &[name, entry] : before.schema) {
        const auto now = after.schema.find(name);
        if (now == after.schema.end())
            found.lines.push_back(fmt::format("{} has gone", name));
        else if (now->second.hash != entry.hash)
            found.lines.push_back(
                fmt::format("{}: {}", name, changed_fields(entry.definition, now->second.definition)));
    }
    for (const auto &[name, entry] : after.schema)
        if (!before.schema.contains(name)) found.lines.push_back(fmt::format("{} is new", name));
}

// A column's name as format('%I') writes it, for the common case; others are looked for by their table.
std::string column_type(const DatabaseState &state, const std::string &table, const std::string &column) {
    for (const std::string &name : {column, "\"" + column + "\""}) {
        const auto found = state.schema.find(fmt::format("column {}.{}", table, name));
        if (found != state.schema.end()) return found->second.definition.value("type", "");
    }
    return {};
}

bool is_time(const std::string &type) {
    return type == "date" || type.starts_with("time") || type == "interval";
}

// Whether the table has a trigger of the user's that fires when a row is updated.
bool has_update_trigger(const DatabaseState &state, const std::string &table) {
    const std::string prefix = fmt::format("trigger {}.", table);
    for (auto at = state.schema.lower_bound(prefix); at != state.schema.end() && at->first.starts_with(prefix); ++at) {
        const std::string definition = at->second.definition.value("definition", "");
        if (definition.find(" UPDATE ") != std::string::npos && definition.find("tenantmig.") == std::string::npos)
            return true;
    }
    return false;
}

bool covers(Tolerance tolerance, const DatabaseState &state, const std::string &table, const std::string &column) {
    const std::string type = column_type(state, table, column);
    switch (tolerance) {
    case Tolerance::nothing:
        return false;
    case Tolerance::touched:
        return is_time(type) && has_update_trigger(state, table);
    case Tolerance::repeated:
        return is_time(type) || type == "uuid";
    }
    return false;
}

void compare_rows(const DatabaseState &before, const DatabaseState &after, Tolerance tolerance,
                  StateDifference &found) {
    for (const auto &[table, entry] : before.data) {
        const auto now = after.data.find(table);
        if (now == after.data.end() || now->second.hash == entry.hash) continue; // a table that has gone: see above
        if (now->second.rows != entry.rows) {
            found.lines.push_back(fmt::format("{}: {} rows, there were {}", table, now->second.rows, entry.rows));
            continue;
        }
        const nlohmann::json none = nlohmann::json::object();
        const nlohmann::json then_columns = entry.definition.value("columns", none),
                             now_columns = now->second.definition.value("columns", none);
        std::vector<std::string> differ, tolerated;
        bool same_columns = then_columns.size() == now_columns.size(); // if not, the schema says so
        for (const auto &[column, hash] : then_columns.items()) {
            const auto found_column = now_columns.find(column);
            if (found_column == now_columns.end())
                same_columns = false;
            else if (*found_column != hash)
                (covers(tolerance, before, table, column) ? tolerated : differ).push_back(column);
        }
        const bool same_rest =
            entry.definition.value("without_times", "") == now->second.definition.value("without_times", "");
        if (!differ.empty())
            found.lines.push_back(fmt::format("{}: other values in {}", table, fmt::join(differ, ", ")));
        else if (same_columns && (tolerated.empty() || !same_rest))
            found.lines.push_back(fmt::format("{}: the same values, but in other rows", table));
        for (const std::string &column : tolerated)
            found.tolerated.push_back(fmt::format("{}.{}", table, column));
    }
}

} // namespace

DatabaseState read_state(Connection &connection) {
    const Result rows = connection.query("SELECT f.part, f.object, f.row_count, f.hash, f.definition "
                                         "FROM tenantmig.fingerprint() f");
    DatabaseState state;
    std::map<std::string, std::vector<std::string>> guards; // definitions
    for (const auto &row : rows.rows) {
        const bool is_data = row[0] == "data";
        const std::string name = row[1].value_or(""), definition = row[4].value_or("{}");
        if (!is_data && name.find("tenantmig_guard_") != std::string::npos) {
            guards[without_guard_numbers(name)].push_back(without_guard_numbers(definition));
            continue;
        }
        StateEntry entry{row[3].value_or(""), row[2].value_or(""), nlohmann::json::parse(definition)};
        if (is_data) state.rows += std::strtoll(entry.rows.c_str(), nullptr, 10);
        (is_data ? state.data : state.schema).emplace(name, std::move(entry));
    }
    for (auto &[name, definitions] : guards) {
        std::sort(definitions.begin(), definitions.end());
        for (std::size_t at = 0; at < definitions.size(); ++at)
            state.schema.emplace(at == 0 ? name : fmt::format("{} ({})", name, at + 1),
                                 StateEntry{definitions[at], "", nlohmann::json::parse(definitions[at])});
    }
    return state;
}

StateDifference compare_states(const DatabaseState &before, const DatabaseState &after, Tolerance tolerance) {
    StateDifference found;
    compare_schema(before, after, found);
    compare_rows(before, after, tolerance, found);
    return found;
}

std::vector<std::string> left_over(const DatabaseState &before, const DatabaseState &after) {
    std::vector<std::string> names;
    for (const auto &[name, entry] : after.schema) {
        const bool of_that_kind = name.starts_with("constraint ") || name.starts_with("index ") ||
                                  name.starts_with("trigger ") || name.starts_with("type ");
        if (of_that_kind && !before.schema.contains(name)) names.push_back(name);
    }
    return names;
}

} // namespace tenantmig::client

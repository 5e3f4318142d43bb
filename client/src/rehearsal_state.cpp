#include "rehearsal_state.hpp"
#include <cstdlib>
#include <fmt/format.h>
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
    for (const auto &row : rows.rows) {
        const bool is_data = row[0] == "data";
        StateEntry entry{row[3].value_or(""), row[2].value_or(""), nlohmann::json::parse(row[4].value_or("{}"))};
        if (is_data) state.rows += std::strtoll(entry.rows.c_str(), nullptr, 10);
        (is_data ? state.data : state.schema).emplace(row[1].value_or(""), std::move(entry));
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

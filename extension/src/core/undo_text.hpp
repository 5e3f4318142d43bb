// The text of undo_script(run): plain SQL, compare-and-set, that works without the extension.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenantmig::core {

// 'text' as an SQL literal under any standard_conforming_strings: E'' form where it contains a backslash.
std::string sql_literal(std::string_view text);

// "name" always in double quotes, embedded ones doubled.
std::string sql_identifier(std::string_view name);

struct UndoColumn { // what one change-log entry wrote
    std::string schema, table, column, column_type;
    std::vector<std::string> key_columns, key_types;
    bool only = false; // a plain table: its inheritance children are tables of their own
};
struct UndoRow {
    std::vector<std::string> key;
    const std::string *old_value; // nullptr: NULL
    const std::string *new_value; // nullptr: NULL
};

// Head of the script: comments (run, migration, time, digest), BEGIN, settings that make it deterministic, a temporary
// table of counts.
std::vector<std::string> undo_head(std::string_view migration, long long run, std::string_view digest);
// UPDATE … FROM (VALUES …) statements of at most `rows_per_statement` rows that restore old values where the row holds
// the new one.
std::vector<std::string> undo_statements(const UndoColumn &column, std::span<const UndoRow> rows,
                                         std::size_t rows_per_statement = 1000);
// Tail: the counts (restored against expected per table) and COMMIT.
std::vector<std::string> undo_tail();

} // namespace tenantmig::core

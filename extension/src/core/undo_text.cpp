#include "core/undo_text.hpp"
#include "core/error.hpp"
#include "core/identifier.hpp"
#include <algorithm>
#include <array>
#include <ctime>

namespace tenantmig::core {
namespace {

constexpr std::string_view counts = "pg_temp.tenantmig_undo_count";

// Text of other people in a comment: a line break would end it, and the rest would be run.
std::string comment(std::string_view text) {
    std::string safe(text);
    for (char &c : safe)
        if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7F) c = '?';
    return safe;
}

std::string now_utc() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    std::array<char, 32> text{};
    if (!gmtime_r(&now, &parts)) return "an unknown time";
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

std::string literal_or_null(const std::string *value) {
    return value ? sql_literal(*value) : "NULL";
}

// Types of the server itself have their operators in pg_catalog, under whatever search_path the script is run. Those of
// others (their names are qualified) are compared by their text, which is what the change log holds.
bool is_foreign_type(std::string_view type) {
    return !type.starts_with("pg_catalog.") && type.find_first_of(".\"") != std::string_view::npos;
}

// Types whose equality depends on the column's collation, which may call different strings equal.
bool is_text_type(std::string_view type) {
    if (type.starts_with("pg_catalog.")) type.remove_prefix(std::string_view("pg_catalog.").size());
    return type == "text" || type == "varchar" || type.starts_with("character varying");
}

// `column` = `value`, written so that no operator of the search_path can step in. `exact`: as bytes, whatever collation
// the column has; only for columns that need no index.
std::string equals(const std::string &column, const std::string &value, std::string_view type, bool exact) {
    if (is_foreign_type(type)) return column + "::pg_catalog.text OPERATOR(pg_catalog.=) " + value;
    return column + (exact && is_text_type(type) ? " COLLATE pg_catalog.\"C\"" : "") + " OPERATOR(pg_catalog.=) " +
           value + "::" + std::string(type);
}

// What is the same for all statements of one entry of the change log.
class Statement {
public:
    explicit Statement(const UndoColumn &column) : column_(column) {
        relation_ = (column.only ? "ONLY " : "") + sql_identifier(column.schema) + "." + sql_identifier(column.table);
        target_ = sql_identifier(column.column);
        for (std::size_t i = 0; i < column.key_columns.size(); ++i) {
            const std::string name = "k" + std::to_string(i + 1);
            names_ += name + ", ";
            condition_ +=
                equals("t." + sql_identifier(column.key_columns[i]), "v." + name, column.key_types[i], false) + " AND ";
        }
        names_ += "old_value, new_value";
    }

    void write(std::span<const UndoRow> rows, std::vector<std::string> &lines) const {
        lines.emplace_back("WITH restored AS (");
        lines.emplace_back("UPDATE " + relation_ + " AS t SET " + target_ + " = v.old_value::" + column_.column_type);
        lines.emplace_back("FROM (VALUES");
        bool nulls = false;
        for (const UndoRow &row : rows) {
            if (row.key.size() != column_.key_columns.size())
                throw Error(sqlstate::internal, "a row key of the change log does not fit its columns");
            std::string line = "  (";
            for (const std::string &part : row.key)
                line += sql_literal(part) + ", ";
            line += literal_or_null(row.old_value) + ", " + literal_or_null(row.new_value) + ")";
            if (&row != &rows.back()) line += ",";
            lines.push_back(std::move(line));
            nulls = nulls || !row.new_value;
        }
        lines.emplace_back(") AS v(" + names_ + ")");
        const std::string same = equals("t." + target_, "v.new_value", column_.column_type, true);
        lines.emplace_back("WHERE " + condition_ +
                           (nulls ? "(" + same + " OR (t." + target_ + " IS NULL AND v.new_value IS NULL))" : same));
        lines.emplace_back("RETURNING 1)");
        lines.emplace_back("INSERT INTO " + std::string(counts) + " SELECT " +
                           sql_literal(display_identifier(column_.schema) + "." + display_identifier(column_.table)) +
                           ", " + sql_literal(column_.column) + ", " + std::to_string(rows.size()) +
                           ", pg_catalog.count(*) FROM restored;");
    }

private:
    const UndoColumn &column_;
    std::string relation_, target_, names_, condition_;
};

} // namespace

std::string sql_literal(std::string_view text) {
    std::string literal = text.find('\\') == std::string_view::npos ? "'" : "E'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') literal += c;
        literal += c;
    }
    return literal + '\'';
}

std::string sql_identifier(std::string_view name) {
    std::string identifier = "\"";
    for (const char c : name) {
        if (c == '"') identifier += c;
        identifier += c;
    }
    return identifier + '"';
}

std::vector<std::string> undo_head(std::string_view migration, long long run, std::string_view digest) {
    return {
        "-- Undoes run " + std::to_string(run) + " of the migration " + comment(migration) +
            ". Written by tenantmig at " + now_utc() + ".",
        "-- Digest of its change log: " + comment(digest),
        "-- Plain SQL, needs no extension: psql -X -v ON_ERROR_STOP=1 -f FILE, as the owner of the tables or as",
        "-- a superuser, with the client_encoding under which the file was written. One transaction: all or nothing.",
        "-- A value is restored only where the row still holds what the run wrote, so running it twice does no harm:",
        "-- the second time restores nothing.",
        "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;",
        "SET LOCAL standard_conforming_strings = on;",
        "SET LOCAL statement_timeout = 0;",
        "CREATE TEMPORARY TABLE tenantmig_undo_count (",
        "  relation pg_catalog.text, column_name pg_catalog.text, expected pg_catalog.int8, restored pg_catalog.int8",
        ") ON COMMIT DROP;",
    };
}

std::vector<std::string> undo_statements(const UndoColumn &column, std::span<const UndoRow> rows,
                                         std::size_t rows_per_statement) {
    if (column.key_columns.empty() || column.key_columns.size() != column.key_types.size())
        throw Error(sqlstate::internal, "key columns and key types of the change log differ in number");
    const Statement statement(column);
    std::vector<std::string> lines;
    const std::size_t step = std::max<std::size_t>(rows_per_statement, 1);
    for (std::size_t begin = 0; begin < rows.size(); begin += step)
        statement.write(rows.subspan(begin, std::min(step, rows.size() - begin)), lines);
    return lines;
}

std::vector<std::string> undo_tail() {
    return {
        "SELECT relation, column_name, pg_catalog.sum(expected) AS expected, pg_catalog.sum(restored) AS restored,",
        "  CASE WHEN pg_catalog.sum(restored) OPERATOR(pg_catalog.=) pg_catalog.sum(expected) THEN 'all restored'",
        "       WHEN pg_catalog.sum(restored) OPERATOR(pg_catalog.=) 0",
        "         THEN 'nothing restored: no row holds what the run wrote'",
        "       ELSE 'partly restored: the other rows no longer hold what the run wrote' END AS note",
        "FROM " + std::string(counts) + " GROUP BY relation, column_name ORDER BY relation, column_name;",
        "COMMIT;",
    };
}

} // namespace tenantmig::core

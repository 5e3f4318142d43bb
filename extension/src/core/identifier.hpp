// SQL identifiers in a spec: splitting, folding and quoting as PostgreSQL does it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tenantmig::core {

inline constexpr std::size_t max_identifier_length = 63; // bytes; PostgreSQL truncates longer names with only a NOTICE

struct Identifier {
    std::string text;    // folded to lower case (ASCII) unless quoted
    std::string written; // the name as written, without the quotes
    bool quoted = false;
    bool operator==(const Identifier &) const = default;
};

// Splits `a.b."C d"` at its dots. Errors: 42602 (empty, unbalanced quotes, NUL), 42622 (over 63 bytes).
std::vector<Identifier> split_identifier(std::string_view text);

// Where the last dot that separates two parts of a name stands; npos if it has one part. split_identifier() has
// accepted the name.
std::size_t last_separator(std::string_view name);

// `name` as an SQL identifier: always in double quotes unless it is a plain lower-case word of letters, digits and _
// (which may still be a keyword: for SQL text use the bridge's quote_identifier; this one is for messages and labels).
std::string display_identifier(std::string_view name);

} // namespace tenantmig::core

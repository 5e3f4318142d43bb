// Text form of row keys as the change log and the review queue keep them: the value itself for one column, the text of
// a PostgreSQL array ({a,"b c"}) for several; and row keys as JSON objects for people.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenantmig::core {

// Packs the text values of a key. One value: the value. Several: array literal, quoted as array_out does.
std::string pack_key(std::span<const std::string_view> values);

// The inverse; `columns` says how many values to expect. Error TM006 if the text is no such key (it was tampered with).
std::vector<std::string> unpack_key(std::string_view key, std::size_t columns);

// {"column": value}: values of integer types (int2 int4 int8 smallint integer bigint) as JSON numbers, all others as
// strings.
std::string key_json(std::span<const std::string> columns, std::span<const std::string> types,
                     std::span<const std::string> values);

// A JSON string literal with quotes; invalid UTF-8 is passed through (the server has checked it).
std::string json_string(std::string_view text);

} // namespace tenantmig::core

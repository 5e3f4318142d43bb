#include "core/key_text.hpp"
#include "core/error.hpp"
#include "core/excerpt.hpp"
#include <algorithm>
#include <array>

namespace tenantmig::core {
namespace {

// array_out's rule: what it would not read back as it is stands in double quotes.
bool needs_quotes(std::string_view value) {
    if (value.empty()) return true;
    if (value.find_first_of("\"\\{}, \t\n\r\v\f") != std::string_view::npos) return true;
    constexpr std::string_view null = "null";
    return std::equal(value.begin(), value.end(), null.begin(), null.end(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

[[noreturn]] void tampered(std::string_view key, std::string_view why) {
    throw Error(sqlstate::log_tampered, "invalid row key " + excerpt(key), std::string(why),
                "The key was not written by tenantmig; verify_changes(run) names the first bad entry of a change log.");
}

// Reads one element of an array literal at `at`, which ends up behind it.
std::string element(std::string_view key, std::size_t &at) {
    std::string value;
    if (key[at] == '"') {
        for (++at; key[at] != '"'; ++at) { // ends in time: the literal's last character is a brace
            if (key[at] == '\\') ++at;
            if (at + 1 >= key.size()) tampered(key, "A double quote is not closed.");
            value += key[at];
        }
        ++at;
        return value;
    }
    const std::size_t end = key.find_first_of(",}", at);
    value = key.substr(at, end - at);
    at = end;
    if (needs_quotes(value)) tampered(key, "A value that needs double quotes has none.");
    return value;
}

bool is_integer_type(std::string_view type) {
    constexpr std::array<std::string_view, 6> types{"int2", "int4", "int8", "smallint", "integer", "bigint"};
    return std::find(types.begin(), types.end(), type) != types.end();
}

// Whether `value` is a JSON number as it stands: a log that was tampered with must not break the JSON around it.
bool is_json_integer(std::string_view value) {
    if (value.starts_with('-')) value.remove_prefix(1);
    if (value.empty() || value.size() > 20 || (value.front() == '0' && value.size() > 1)) return false;
    return std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
}

} // namespace

std::string pack_key(std::span<const std::string_view> values) {
    if (values.empty()) throw Error(sqlstate::internal, "a row key has no column");
    if (values.size() == 1) return std::string(values.front());
    std::string key = "{";
    for (const std::string_view value : values) {
        if (key.size() > 1) key += ',';
        if (!needs_quotes(value)) {
            key += value;
            continue;
        }
        key += '"';
        for (const char c : value) {
            if (c == '"' || c == '\\') key += '\\';
            key += c;
        }
        key += '"';
    }
    return key + '}';
}

std::vector<std::string> unpack_key(std::string_view key, std::size_t columns) {
    if (columns == 0) tampered(key, "Its list of columns is empty.");
    if (columns == 1) return {std::string(key)};
    if (key.size() < 2 || key.front() != '{' || key.back() != '}') tampered(key, "It is not the text of an array.");
    std::vector<std::string> values;
    std::size_t at = 1;
    for (;;) {
        values.push_back(element(key, at));
        if (at + 1 == key.size()) break; // the closing brace
        if (at >= key.size() || key[at] != ',') tampered(key, "A comma was expected after a value.");
        ++at;
    }
    if (values.size() != columns)
        tampered(key,
                 "It has " + std::to_string(values.size()) + " values for " + std::to_string(columns) + " columns.");
    return values;
}

std::string key_json(std::span<const std::string> columns, std::span<const std::string> types,
                     std::span<const std::string> values) {
    if (columns.size() != types.size() || columns.size() != values.size())
        throw Error(sqlstate::invalid_parameter_value, "the columns, types and values of a row key differ in number",
                    std::to_string(columns.size()) + " columns, " + std::to_string(types.size()) + " types, " +
                        std::to_string(values.size()) + " values.",
                    "Give one type and one value for each column.");
    std::string json = "{";
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (i > 0) json += ", ";
        json += json_string(columns[i]) + ": ";
        json += is_integer_type(types[i]) && is_json_integer(values[i]) ? values[i] : json_string(values[i]);
    }
    return json + '}';
}

std::string json_string(std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string json = "\"";
    for (const char c : text) {
        switch (c) {
        case '"':
            json += "\\\"";
            break;
        case '\\':
            json += "\\\\";
            break;
        case '\b':
            json += "\\b";
            break;
        case '\f':
            json += "\\f";
            break;
        case '\n':
            json += "\\n";
            break;
        case '\r':
            json += "\\r";
            break;
        case '\t':
            json += "\\t";
            break;
        default:
            if (const auto byte = static_cast<unsigned char>(c); byte < 0x20) {
                json += "\\u00";
                json += hex[byte >> 4];
                json += hex[byte & 15];
            } else {
                json += c;
            }
        }
    }
    return json + '"';
}

} // namespace tenantmig::core

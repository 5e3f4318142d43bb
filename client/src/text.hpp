// Text of other people on our terminal: UTF-8, display width, and escaping of whatever a terminal would obey.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace tenantmig::client {

struct CodePoint {
    char32_t value = 0;     // the byte itself where the text is not UTF-8
    std::size_t length = 1; // bytes; at least 1, so that a loop always ends
    bool valid = true;
};

// The character that starts at `at` (which is below text.size()).
CodePoint code_point_at(std::string_view text, std::size_t at);

// Position of the first byte that is not UTF-8; npos if all of it is.
std::size_t find_invalid_utf8(std::string_view text);

// Number of terminal columns: 2 for wide characters and emoji, 0 for what combines with the character before.
std::size_t display_width(std::string_view text);

enum class LineBreaks { escape, keep };

// Control characters, bytes that are not UTF-8, and characters that reorder text (bidirectional overrides) as \n, \x1B,
// \u202E: none of them reaches the terminal. `keep` leaves line feeds and tabs alone.
std::string printable(std::string_view text, LineBreaks line_breaks = LineBreaks::escape);

// A name as one word of a shell's command line, in quotes where it needs them.
std::string shell_word(const std::string &name);

// A JSON string with its quotes, with the same characters escaped the JSON way.
std::string json_quoted(std::string_view text);

// JSON text as it is, but for the characters above, which can only stand inside its strings.
std::string json_printable(std::string_view json);

} // namespace tenantmig::client

// Reading files of the user whole: of a bounded size, and text.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace tenantmig::client {

inline constexpr std::size_t mebibyte = 1024 * 1024;

// The bytes of a file; "-" is standard input. Status 3: unreadable, a directory, empty, over `limit` bytes.
std::string read_input(const std::string &path, std::size_t limit);

// How messages call the file.
std::string input_name(const std::string &path);

// Refuses (status 3) what is no text: NUL bytes, UTF-16. Removes a byte order mark of UTF-8.
void require_text(std::string &content, const std::string &name);

// The line of a position, from 1.
std::size_t line_at(std::string_view content, std::size_t position);

// An error about a document: status 3, with the file and, if not 0, the line.
[[noreturn]] void fail_document(const std::string &name, std::size_t line, std::string message, std::string detail = {},
                                std::string hint = {});

} // namespace tenantmig::client

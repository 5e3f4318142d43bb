// Results as an aligned table, JSON or CSV; and how text reaches standard output.
#pragma once
#include "result.hpp"
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenantmig::client {

enum class Format { table, json, csv };

enum class Colours { none, states }; // states: words like PASS and RED in columns that hold such words

// Columns aligned by display width, numbers to the right, NULL empty, one line a row whatever the data holds.
std::string as_table(const Result &result, Colours colours = Colours::none);

// These of the columns, in this order.
Result some(const Result &all, std::initializer_list<const char *> names);

// A table on standard output, with colours where a terminal has some.
void print_table(const Result &result);

// An array of objects, one a line: numbers as the server wrote them (no digit is lost), booleans, JSON embedded, NULL
// null.
std::string as_json(const Result &result);

// An object whose members are such arrays.
std::string as_json(const std::vector<std::pair<std::string, const Result *>> &sections);

// RFC 4180 with CRLF. Text cells that a spreadsheet would run as a formula get an apostrophe in front.
std::string as_csv(const Result &result);

// One cell of a CSV file, in quotes where it needs them.
std::string csv_cell(std::string_view text);

// Text with an apostrophe in front if a spreadsheet would take it for a formula; and the text without that apostrophe.
std::string without_formula(std::string_view text);
std::string_view with_formula_again(std::string_view text);

// Writes a result to standard output in the format; table and JSON end with a line feed.
void print_result(const Result &result, Format format);

// Writes text to standard output; on a terminal its control characters are escaped, line feeds and tabs stay.
void print_text(std::string_view text);

// Throws if something did not reach its destination (disk full, closed pipe). `done` says what holds nevertheless.
void flush_output(std::string_view done = {});

} // namespace tenantmig::client

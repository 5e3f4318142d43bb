// CSV as people's spreadsheets write it: RFC 4180, with or without byte order mark, any line ends, separated by comma,
// semicolon or tab.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace tenantmig::client {

struct CsvRecord {
    std::size_t line = 0; // where it starts, from 1
    std::vector<std::string> cells;
};

// All records but empty lines; the separator is the one that the first line has most of. `name` is for messages.
// Status 3 with the line: a quote inside an unquoted cell, text after a closing quote, a quote that is never closed.
std::vector<CsvRecord> read_csv(const std::string &content, const std::string &name);

} // namespace tenantmig::client

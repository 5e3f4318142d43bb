// Markdown that reads well as it stands: columns are aligned in the source, and
// names of other people stay names.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace tenantmig {

// Text inside of a line or a table cell. An underscore within a word marks
// nothing.
std::string markdown_escaped(std::string_view text);

class MarkdownTable {
public:
    // A title that ends in '#' is that of a column of numbers.
    explicit MarkdownTable(std::initializer_list<std::string_view> titles);
    explicit MarkdownTable(const std::vector<std::string> &titles);
    void add(std::initializer_list<std::string> cells);
    void add(const std::vector<std::string> &cells);
    std::string text() const;

private:
    void title(std::string_view text);
    std::vector<bool> numbers_;
    std::vector<std::size_t> widths_;
    std::vector<std::vector<std::string>> rows_;
};

} // namespace tenantmig

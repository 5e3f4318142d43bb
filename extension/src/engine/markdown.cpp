#include "engine/markdown.hpp"

#include <algorithm>

namespace tenantmig {

namespace {
bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           static_cast<unsigned char>(c) >= 0x80;
}

std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}
} // namespace

std::string markdown_escaped(std::string_view text) {
    constexpr std::string_view special = "\\`*[]<>|&~#!$";
    std::string result;
    for (std::size_t i = 0; i < text.size(); i++) {
        char c = text[i];
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
            result += "␤";
            continue;
        }
        bool within_word = i > 0 && i + 1 < text.size() && (is_word(text[i - 1]) || text[i - 1] == '_') &&
                           (is_word(text[i + 1]) || text[i + 1] == '_');
        if (special.find(c) != std::string_view::npos || (c == '_' && !within_word)) result += '\\';
        result += c;
    }
    return result;
}

MarkdownTable::MarkdownTable(std::initializer_list<std::string_view> titles) : rows_(1) {
    for (std::string_view text : titles)
        title(text);
}

MarkdownTable::MarkdownTable(const std::vector<std::string> &titles) : rows_(1) {
    for (const std::string &text : titles)
        title(text);
}

void MarkdownTable::title(std::string_view text) {
    numbers_.push_back(text.ends_with('#'));
    rows_[0].emplace_back(text.substr(0, text.size() - (numbers_.back() ? 1 : 0)));
    widths_.push_back(std::max<std::size_t>(3, width(rows_[0].back())));
}

void MarkdownTable::add(std::initializer_list<std::string> cells) {
    add(std::vector<std::string>(cells));
}

void MarkdownTable::add(const std::vector<std::string> &cells) {
    std::vector<std::string> row;
    for (const std::string &cell : cells) {
        row.push_back(markdown_escaped(cell));
        widths_[row.size() - 1] = std::max(widths_[row.size() - 1], width(row.back()));
    }
    rows_.push_back(std::move(row));
}

std::string MarkdownTable::text() const {
    std::string out;
    for (std::size_t i = 0; i < rows_.size(); i++) {
        for (std::size_t column = 0; column < widths_.size(); column++) {
            const std::string &cell = rows_[i][column];
            std::string fill(widths_[column] - width(cell), ' ');
            out += "| " + (numbers_[column] ? fill + cell : cell + fill) + " ";
        }
        out += "|\n";
        if (i > 0) continue;
        for (std::size_t column = 0; column < widths_.size(); column++)
            out += "| " + std::string(widths_[column] - 1, '-') + (numbers_[column] ? ": " : "- ");
        out += "|\n";
    }
    return out + "\n";
}

} // namespace tenantmig

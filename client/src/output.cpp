#include "output.hpp"
#include "client_error.hpp"
#include "log_file.hpp"
#include "messages.hpp"
#include "text.hpp"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <unistd.h>

namespace tenantmig::client {

namespace {

bool is_json_number(std::string_view text) {
    // numeric and float know NaN and Infinity, JSON does not
    return !text.empty() && text.find_first_not_of("0123456789+-.eE") == std::string_view::npos;
}

std::string json_value(const Column &column, const Cell &cell) {
    if (!cell) return "null";
    switch (column.kind) {
    case ColumnKind::number:
        return is_json_number(*cell) ? *cell : json_quoted(*cell);
    case ColumnKind::boolean:
        return *cell == "t" ? "true" : "false";
    case ColumnKind::json:
        return json_printable(*cell);
    case ColumnKind::text:
        break;
    }
    return json_quoted(*cell);
}

std::string padded(const std::string &text, std::size_t width, bool right) {
    const std::string space(width - std::min(width, display_width(text)), ' ');
    return right ? space + text : text + space;
}

// The colour of a word that says how something stands; empty for all other words.
std::string_view colour_of(std::string_view word) {
    if (word == "PASS" || word == "GREEN") return "\033[32m";
    if (word == "WARN" || word == "YELLOW") return "\033[33m";
    if (word == "FAIL" || word == "RED") return "\033[31m";
    return {};
}

} // namespace

std::string as_table(const Result &result, Colours colours) {
    const std::size_t count = result.columns.size();
    std::vector<std::size_t> widths(count);
    std::vector<std::string> names;
    for (std::size_t at = 0; at < count; ++at) {
        names.push_back(printable(result.columns[at].name));
        widths[at] = display_width(names[at]);
    }
    std::vector<std::vector<std::string>> rows;
    rows.reserve(result.rows.size());
    for (const auto &row : result.rows) {
        auto &cells = rows.emplace_back();
        for (std::size_t at = 0; at < count; ++at) {
            cells.push_back(printable(row[at].value_or("")));
            widths[at] = std::max(widths[at], display_width(cells[at]));
        }
    }

    std::string out;
    const auto line = [&](const std::vector<std::string> &cells) {
        std::string text;
        for (std::size_t at = 0; at < count; ++at) {
            text += at == 0 ? " " : " | ";
            const bool is_state = result.columns[at].name == "status" || result.columns[at].name == "health";
            const std::string_view colour =
                colours == Colours::states && is_state ? colour_of(cells[at]) : std::string_view();
            text += colour;
            text += padded(cells[at], widths[at], result.columns[at].kind == ColumnKind::number);
            if (!colour.empty()) text += "\033[0m";
        }
        while (!text.empty() && text.back() == ' ')
            text.pop_back();
        (out += text) += '\n';
    };
    line(names);
    for (std::size_t at = 0; at < count; ++at)
        (out += at == 0 ? "" : "+") += std::string(widths[at] + 2, '-');
    out += '\n';
    for (const auto &row : rows)
        line(row);
    return out + fmt::format("({} row{})\n", rows.size(), rows.size() == 1 ? "" : "s");
}

std::string as_json(const Result &result) {
    std::string out = "[";
    for (std::size_t number = 0; number < result.rows.size(); ++number) {
        out += number == 0 ? "\n  {" : ",\n  {";
        for (std::size_t at = 0; at < result.columns.size(); ++at) {
            if (at > 0) out += ", ";
            out +=
                json_quoted(result.columns[at].name) + ": " + json_value(result.columns[at], result.rows[number][at]);
        }
        out += '}';
    }
    return out + (result.rows.empty() ? "]\n" : "\n]\n");
}

std::string as_json(const std::vector<std::pair<std::string, const Result *>> &sections) {
    std::string out;
    for (const auto &[name, result] : sections) {
        std::string rows = as_json(*result);
        rows.pop_back();
        out += fmt::format("{}{}: {}", out.empty() ? "{" : ",\n", json_quoted(name), rows);
    }
    return out + "}\n";
}

std::string csv_cell(std::string_view text) {
    // ';' and tab too: whoever reads the file with another separator must not see other cells
    if (text.find_first_of(",;\t\"\r\n") == std::string_view::npos &&
        (text.empty() || (text.front() != ' ' && text.back() != ' ')))
        return std::string(text);
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + '"';
}

namespace {

bool starts_formula(std::string_view text) {
    if (text.empty()) return false;
    if (std::strchr("=+-@\t\r", text.front()) != nullptr) return true;
    // their fullwidth forms, which spreadsheets of East Asian settings obey as well
    return text.starts_with("\uFF1D") || text.starts_with("\uFF0B") || text.starts_with("\uFF0D") ||
           text.starts_with("\uFF20");
}

} // namespace

std::string without_formula(std::string_view text) {
    return starts_formula(text) ? "'" + std::string(text) : std::string(text);
}

std::string_view with_formula_again(std::string_view text) {
    return text.starts_with('\'') && starts_formula(text.substr(1)) ? text.substr(1) : text;
}

std::string as_csv(const Result &result) {
    std::string out;
    for (std::size_t at = 0; at < result.columns.size(); ++at)
        (out += at == 0 ? "" : ",") += csv_cell(result.columns[at].name);
    out += "\r\n";
    for (const auto &row : result.rows) {
        for (std::size_t at = 0; at < row.size(); ++at) {
            if (at > 0) out += ',';
            if (!row[at]) continue;
            if (result.columns[at].kind == ColumnKind::number)
                out += *row[at];
            else
                out += row[at]->empty() ? "\"\"" : csv_cell(without_formula(*row[at]));
        }
        out += "\r\n";
    }
    return out;
}

Result some(const Result &all, std::initializer_list<const char *> names) {
    Result result;
    result.rows.resize(all.rows.size());
    for (const char *name : names) {
        const std::size_t from = all.column(name);
        result.columns.push_back(all.columns[from]);
        for (std::size_t row = 0; row < all.rows.size(); ++row)
            result.rows[row].push_back(all.rows[row][from]);
    }
    return result;
}

void print_table(const Result &result) {
    if (!messages::has_colours(STDOUT_FILENO)) {
        print_text(as_table(result));
        return;
    }
    const std::string text = as_table(result, Colours::states); // its cells are printable, the rest is ours
    std::fwrite(text.data(), 1, text.size(), stdout);
    log_file::write(as_table(result));
}

void print_result(const Result &result, Format format) {
    switch (format) {
    case Format::table:
        print_table(result);
        break;
    case Format::json:
        print_text(as_json(result));
        break;
    case Format::csv:
        print_text(as_csv(result));
        break;
    }
}

void print_text(std::string_view text) {
    const bool terminal = isatty(STDOUT_FILENO) != 0;
    if (!terminal) std::fwrite(text.data(), 1, text.size(), stdout);
    if (!terminal && !log_file::is_open()) return;
    std::string shown(text);
    std::erase(shown, '\r'); // the line ends of CSV
    shown = printable(shown, LineBreaks::keep);
    if (terminal) std::fwrite(shown.data(), 1, shown.size(), stdout);
    log_file::write(shown);
}

void flush_output(std::string_view done) {
    errno = 0;
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        throw ClientError(ExitStatus::failure, "could not write the output",
                          errno != 0 ? std::strerror(errno) : "standard output is closed", std::string(done));
}

} // namespace tenantmig::client

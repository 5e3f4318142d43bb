#include "review_csv.hpp"
#include "csv.hpp"
#include "input_file.hpp"
#include "output.hpp"
#include "text.hpp"
#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <map>
#include <nlohmann/json.hpp>

namespace tenantmig::client {

namespace {

using nlohmann::json;

std::string as_text(const json &value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

json parsed(const std::string &candidates) {
    json list = json::parse(candidates, nullptr, false);
    return list.is_array() ? list : json::array();
}

} // namespace

std::string candidates_text(const std::string &candidates) {
    // by tenant, in the order in which they first appear: what a reader compares
    std::vector<std::pair<std::string, std::string>> tenants;
    for (const json &candidate : parsed(candidates)) {
        const std::string tenant = as_text(candidate.value("tenant", json()));
        const std::string evidence = fmt::format("{} ×{}", as_text(candidate.value("source", json(""))),
                                                 as_text(candidate.value("count", json(0))));
        const auto known =
            std::find_if(tenants.begin(), tenants.end(), [&](const auto &one) { return one.first == tenant; });
        if (known == tenants.end())
            tenants.emplace_back(tenant, evidence);
        else
            known->second += ", " + evidence;
    }
    std::string text;
    for (const auto &[tenant, evidence] : tenants)
        text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", tenant, evidence);
    return text;
}

std::uint64_t evidence_rows(const std::string &candidates) {
    std::uint64_t total = 0;
    for (const json &candidate : parsed(candidates)) {
        const json count = candidate.value("count", json(0));
        if (count.is_number_integer()) total += count.get<std::uint64_t>();
    }
    return total;
}

Result review_sheet(const Result &reviews) {
    const std::size_t id = reviews.column("id"), relation = reviews.column("relation"),
                      row_key = reviews.column("row_key"), kind = reviews.column("class"),
                      candidates = reviews.column("candidates");
    Result sheet;
    sheet.columns = {{"id", ColumnKind::number},
                     {"relation"},
                     {"row_key"},
                     {"class"},
                     {"candidates"},
                     {"evidence_rows", ColumnKind::number},
                     {"decision"},
                     {"tenant"},
                     {"note"}};
    for (const auto &row : reviews.rows) {
        const std::string list = row[candidates].value_or("[]");
        const std::string words = candidates_text(list);
        sheet.rows.push_back({row[id], row[relation], row[row_key], row[kind], words.empty() ? Cell() : Cell(words),
                              std::to_string(evidence_rows(list)), std::nullopt, std::nullopt, std::nullopt});
    }
    return sheet;
}

namespace {

constexpr std::size_t longest_id = 18; // digits of a bigint that cannot overflow

std::string trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return std::string(text);
}

std::string lower(std::string text) {
    for (char &c : text)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

// One sheet: its header, and how a line becomes a decision.
class Sheet {
public:
    Sheet(const std::string &content, const std::string &name) : name_(name), records_(read_csv(content, name)) {
        if (records_.empty()) fail_document(name_, 0, "the file has no lines");
        const CsvRecord &header = records_.front();
        for (std::size_t at = 0; at < header.cells.size(); ++at) {
            const std::string column = lower(trimmed(header.cells[at]));
            if (column.empty()) continue;
            if (!columns_.emplace(column, at).second)
                fail_document(name_, header.line, fmt::format("the column {} stands twice", json_quoted(column)));
        }
        for (const char *needed : {"id", "decision", "tenant"})
            if (!columns_.contains(needed))
                fail_document(name_, header.line, fmt::format("the column \"{}\" is missing", needed),
                              fmt::format("Found {} columns.", columns_.size()),
                              "the first line names the columns, as tenantmig review export writes them");
    }

    json decisions() {
        json list = json::array();
        for (std::size_t at = 1; at < records_.size(); ++at)
            list.push_back(one(records_[at]));
        return list;
    }

private:
    [[noreturn]] void refuse(const CsvRecord &record, const std::string &problem, const std::string &hint = {}) const {
        fail_document(name_, record.line, fmt::format("line {}: {}", record.line, problem),
                      "Nothing of the file was applied.", hint);
    }

    std::string cell(const CsvRecord &record, const char *column) const {
        const auto found = columns_.find(column);
        // spreadsheets leave out empty cells at the end of a line
        if (found == columns_.end() || found->second >= record.cells.size()) return {};
        const std::string &text = record.cells[found->second];
        if (find_invalid_utf8(text) != std::string::npos)
            refuse(record, fmt::format("the cell \"{}\" is not UTF-8", column), "save the file as \"CSV UTF-8\"");
        return text;
    }

    json one(const CsvRecord &record) {
        const std::size_t width = records_.front().cells.size();
        if (std::any_of(record.cells.begin() + static_cast<std::ptrdiff_t>(std::min(width, record.cells.size())),
                        record.cells.end(), [](const std::string &text) { return !text.empty(); }))
            refuse(record, fmt::format("{} cells under {} columns", record.cells.size(), width),
                   "a cell that contains the separator is put in quotes");

        const std::string id = trimmed(cell(record, "id"));
        if (id.empty() || id.size() > longest_id || id.find_first_not_of("0123456789") != std::string::npos)
            refuse(record, fmt::format("{} is not the id of a review", json_quoted(id.substr(0, 80))));
        if (const auto [first, is_new] = lines_.emplace(std::stoll(id), record.line); !is_new)
            refuse(record, fmt::format("review {} stands in line {} already", id, first->second));

        const std::string decision = lower(trimmed(cell(record, "decision")));
        const std::string tenant(with_formula_again(cell(record, "tenant")));
        const std::string note(with_formula_again(cell(record, "note")));
        if (decision.empty() && !tenant.empty())
            refuse(record, "a tenant is given, but no decision", "write resolve into the column \"decision\"");
        if (!decision.empty() && decision != "resolve" && decision != "dismiss")
            refuse(record, fmt::format("{} is not a decision", json_quoted(decision.substr(0, 80))),
                   "resolve, dismiss, or nothing to leave the review open");
        if (decision == "resolve" && tenant.empty()) refuse(record, "resolve needs a tenant");
        if (decision == "dismiss" && !tenant.empty()) refuse(record, "dismiss takes no tenant");

        json entry{{"line", record.line}, {"id", std::stoll(id)}, {"decision", decision}};
        if (!tenant.empty()) entry["tenant"] = tenant;
        if (!note.empty()) entry["note"] = note;
        return entry;
    }

    const std::string &name_;
    std::vector<CsvRecord> records_;
    std::map<std::string, std::size_t> columns_;
    std::map<long long, std::size_t> lines_; // where each id stands
};

} // namespace

json read_decisions(const std::string &content, const std::string &name) {
    return Sheet(content, name).decisions();
}

} // namespace tenantmig::client

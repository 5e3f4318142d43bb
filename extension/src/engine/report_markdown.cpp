// Markdown that reads well as it stands: columns are aligned in the source, and names of other people stay names.
#include "core/undo_text.hpp"

#include "engine/report.hpp"

namespace tenantmig {

namespace {
bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           static_cast<unsigned char>(c) >= 0x80;
}

// Text inside of a line or a table cell. An underscore within a word marks nothing.
std::string escaped(std::string_view text) {
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

std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

class Table {
public:
    // A title that ends in '#' is that of a column of numbers.
    explicit Table(std::initializer_list<std::string_view> titles) {
        std::vector<std::string> row;
        for (std::string_view title : titles) {
            numbers_.push_back(title.ends_with('#'));
            row.emplace_back(title.substr(0, title.size() - (numbers_.back() ? 1 : 0)));
            widths_.push_back(std::max<std::size_t>(3, width(row.back())));
        }
        rows_.push_back(std::move(row));
    }
    void add(std::initializer_list<std::string> cells) {
        std::vector<std::string> row;
        for (const std::string &cell : cells) {
            row.push_back(escaped(cell));
            widths_[row.size() - 1] = std::max(widths_[row.size() - 1], width(row.back()));
        }
        rows_.push_back(std::move(row));
    }
    std::string text() const {
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

private:
    std::vector<bool> numbers_;
    std::vector<std::size_t> widths_;
    std::vector<std::vector<std::string>> rows_;
};

std::string in_words(double seconds) {
    if (seconds < 120) return fmt::format("{:.2f} s", seconds);
    auto whole = static_cast<std::int64_t>(seconds + 0.5);
    return fmt::format("{} h {:02} min {:02} s", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string share(std::int64_t part, std::int64_t whole) {
    return whole > 0 ? fmt::format("{:.1f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole))
                     : "no rows";
}

std::string summary(const RunReport &report) {
    const RunRecord &run = report.run;
    Table table({"run", std::to_string(run.id)});
    table.add({"migration", run.migration});
    table.add({"owner", report.owner});
    table.add({"state", run.state});
    table.add({"started", run.started_at.substr(0, 19) + " UTC by " + run.started_by});
    table.add({"finished", run.finished_at.empty() ? "not yet" : run.finished_at.substr(0, 19) + " UTC"});
    if (!run.finished_at.empty()) table.add({"duration", in_words(report.seconds)});
    if (report.seconds > 0)
        table.add({"rows per second", fmt::format("{:.0f}", static_cast<double>(run.row_done) / report.seconds)});
    table.add({"rows without a key", std::to_string(run.row_total)});
    table.add({"assigned", fmt::format("{} ({})", run.assigned, share(run.assigned, run.row_total))});
    table.add({"digest", report.digest});
    if (!run.error.empty()) table.add({"error", run.error});
    return table.text();
}

std::string counts(const RunReport &report) {
    if (report.counts.empty()) return "No row was without a key.\n\n";
    Table table({"relation", "outcome", "source", "rows#", "soft-deleted#"});
    for (const ReportCount &count : report.counts)
        table.add(
            {count.relation, count.outcome, count.source, std::to_string(count.rows), std::to_string(count.deleted)});
    return table.text();
}

std::string checks(const RunReport &report) {
    std::string out;
    if (!report.checks.empty()) {
        Table table({"check", "status", "expected", "actual", "detail"});
        for (const CheckRow &check : report.checks)
            table.add(
                {check.check_name, check.status, check.expected, check.actual,
                 check.hint.empty() ? check.detail : check.detail + (check.detail.empty() ? "" : "; ") + check.hint});
        out += table.text();
    }
    if (!report.checks_note.empty()) out += escaped(report.checks_note) + "\n\n";
    return out;
}

std::string reviews(const RunReport &report) {
    std::string out =
        fmt::format("{} open, {} resolved, {} dismissed.", report.open, report.resolved, report.dismissed);
    for (std::size_t i = 0; i < report.open_by_class.size(); i++)
        out += fmt::format("{} {}: {}", i == 0 ? " Open ones:" : ",", escaped(report.open_by_class[i].first),
                           report.open_by_class[i].second);
    out += report.open_by_class.empty() ? "\n\n" : ".\n\n";
    if (report.first_open.empty()) return out;
    Table table({"id#", "relation", "row", "class", "candidates"});
    for (const ReportReview &review : report.first_open)
        table.add({std::to_string(review.id), review.relation, review.row_key, review.review_class, review.candidates});
    out += table.text();
    if (static_cast<std::size_t>(report.open) > report.first_open.size())
        out +=
            fmt::format("The first {} of {}; this lists all:\n\n```sql\nSELECT * FROM tenantmig.review({});\n```\n\n",
                        report.first_open.size(), report.open, core::sql_literal(report.run.migration));
    return out;
}

std::string triggers(const RunReport &report) {
    if (report.triggers.empty()) return "None was seen.\n\n";
    Table table({"relation", "written", "changed by triggers"});
    for (const ReportTriggers &item : report.triggers) {
        std::string names;
        for (const std::string &name : item.changed)
            names += (names.empty() ? "" : ", ") + quoted(name);
        table.add({item.relation, quoted(item.column), names});
    }
    return table.text() + "An undo restores what tenantmig wrote, and the triggers fire again: these columns do not "
                          "return to their old values.\n\n";
}

std::string undo(const RunReport &report) {
    std::int64_t run = report.run.id;
    std::string out;
    if (report.run.state == "rolled_back") {
        std::int64_t skipped = 0;
        for (const ReportSkipped &item : report.skipped)
            skipped += item.rows;
        out = fmt::format("The run was rolled back: {} values restored, {} left alone.\n\n", report.restored, skipped);
        if (report.skipped.empty()) return out;
        Table table({"relation", "left alone because", "values#"});
        for (const ReportSkipped &item : report.skipped)
            table.add({item.relation, item.reason, std::to_string(item.rows)});
        return out + table.text() +
               fmt::format("They are listed by `SELECT * FROM tenantmig.undo_skipped WHERE run_id = {}`.\n", run);
    }
    out = "Rows that somebody has changed since are left alone and listed. With the extension:\n\n";
    out += fmt::format("```sql\nSELECT * FROM tenantmig.rollback({});\n```\n\n", run);
    out += "Without it, as plain SQL, written to a file now:\n\n";
    out += fmt::format("```sh\npsql -XAtq -c 'SELECT tenantmig.undo_script({0})' > undo-{0}.sql\npsql -X -v "
                       "ON_ERROR_STOP=1 -f undo-{0}.sql\n```\n",
                       run);
    return out;
}
} // namespace

std::string markdown_report(const RunReport &report) {
    return fmt::format(
        "# Backfill report: {}, run {}\n\n{}## Rows by outcome and source\n\n{}## Checks\n\n{}## Reviews\n\n{}"
        "## Columns that the table's triggers changed\n\n{}## How to undo\n\n{}",
        escaped(report.run.migration), report.run.id, summary(report), counts(report), checks(report), reviews(report),
        triggers(report), undo(report));
}

} // namespace tenantmig

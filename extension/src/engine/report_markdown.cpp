#include "core/percent.hpp"
#include "core/undo_text.hpp"

#include "engine/markdown.hpp"
#include "engine/report.hpp"

namespace tenantmig {

namespace {
std::string in_words(double seconds) {
    if (seconds < 120) return fmt::format("{:.2f} s", seconds);
    auto whole = static_cast<std::int64_t>(seconds + 0.5);
    return fmt::format("{} h {:02} min {:02} s", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string share(std::int64_t part, std::int64_t whole) {
    return whole > 0 ? core::percent(static_cast<double>(part) / static_cast<double>(whole)) : "no rows";
}

std::string summary(const RunReport &report) {
    const RunRecord &run = report.run;
    MarkdownTable table({"run", std::to_string(run.id)});
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
    MarkdownTable table({"relation", "outcome", "source", "rows#", "soft-deleted#"});
    for (const ReportCount &count : report.counts)
        table.add(
            {count.relation, count.outcome, count.source, std::to_string(count.rows), std::to_string(count.deleted)});
    return table.text();
}

std::string checks(const RunReport &report) {
    std::string out;
    if (!report.checks.empty()) {
        MarkdownTable table({"check", "status", "expected", "actual", "detail"});
        for (const CheckRow &check : report.checks)
            table.add(
                {check.check_name, check.status, check.expected, check.actual,
                 check.hint.empty() ? check.detail : check.detail + (check.detail.empty() ? "" : "; ") + check.hint});
        out += table.text();
    }
    if (!report.checks_note.empty()) out += markdown_escaped(report.checks_note) + "\n\n";
    return out;
}

std::string reviews(const RunReport &report) {
    std::string out =
        fmt::format("{} open, {} resolved, {} dismissed.", report.open, report.resolved, report.dismissed);
    for (std::size_t i = 0; i < report.open_by_class.size(); i++)
        out += fmt::format("{} {}: {}", i == 0 ? " Open ones:" : ",", markdown_escaped(report.open_by_class[i].first),
                           report.open_by_class[i].second);
    out += report.open_by_class.empty() ? "\n\n" : ".\n\n";
    if (report.first_open.empty()) return out;
    MarkdownTable table({"id#", "relation", "row", "class", "candidates"});
    for (const ReportReview &review : report.first_open)
        table.add({std::to_string(review.id), review.relation, review.row_key, review.review_class, review.candidates});
    out += table.text();
    if (static_cast<std::size_t>(report.open) > report.first_open.size())
        out += fmt::format("The first {} of {}; this lists all:\n\n```sql\nSELECT "
                           "* FROM tenantmig.review({});\n```\n\n",
                           report.first_open.size(), report.open, core::sql_literal(report.run.migration));
    return out;
}

std::string triggers(const RunReport &report) {
    if (report.triggers.empty()) return "None was seen.\n\n";
    MarkdownTable table({"relation", "written", "changed by triggers"});
    for (const ReportTriggers &item : report.triggers) {
        std::string names;
        for (const std::string &name : item.changed)
            names += (names.empty() ? "" : ", ") + quoted(name);
        table.add({item.relation, quoted(item.column), names});
    }
    return table.text() + "An undo restores what tenantmig wrote, and the "
                          "triggers fire again: these columns do not "
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
        MarkdownTable table({"relation", "left alone because", "values#"});
        for (const ReportSkipped &item : report.skipped)
            table.add({item.relation, item.reason, std::to_string(item.rows)});
        return out + table.text() +
               fmt::format("They are listed by `SELECT * FROM "
                           "tenantmig.undo_skipped WHERE run_id = {}`.\n",
                           run);
    }
    out = "Rows that somebody has changed since are left alone and listed. With "
          "the extension:\n\n";
    out += fmt::format("```sql\nSELECT * FROM tenantmig.rollback({});\n```\n\n", run);
    out += "Without it, as plain SQL, written to a file now:\n\n";
    out += fmt::format("```sh\npsql -XAtq -c 'SELECT tenantmig.undo_script({0})' "
                       "> undo-{0}.sql\npsql -X -v "
                       "ON_ERROR_STOP=1 -f undo-{0}.sql\n```\n",
                       run);
    return out;
}
} // namespace

std::string markdown_report(const RunReport &report) {
    return fmt::format("# Backfill report: {}, run {}\n\n{}## Rows by outcome and "
                       "source\n\n{}## Checks\n\n{}## Reviews\n\n{}"
                       "## Columns that the table's triggers changed\n\n{}## How to undo\n\n{}",
                       markdown_escaped(report.run.migration), report.run.id, summary(report), counts(report),
                       checks(report), reviews(report), triggers(report), undo(report));
}

} // namespace tenantmig

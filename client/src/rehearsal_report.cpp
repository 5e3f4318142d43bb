#include "rehearsal_report.hpp"
#include "text.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

const char *word(Verdict verdict) {
    switch (verdict) {
    case Verdict::pass:
        return "PASS";
    case Verdict::fail:
        return "FAIL";
    case Verdict::skip:
        break;
    }
    return "SKIP";
}

std::string number(double seconds) {
    return fmt::format("{:.2f}", seconds);
}

// Text of other people in a cell of a table.
std::string cell(const std::string &text) {
    std::string escaped;
    for (const char c : printable(text)) {
        if (std::string_view("\\`*_{}[]<>#|").find(c) != std::string_view::npos) escaped += '\\';
        escaped += c;
    }
    return escaped;
}

} // namespace

Result scenario_table(const std::vector<Scenario> &scenarios, double copy_seconds) {
    Result table;
    table.columns = {{"scenario"}, {"status"}, {"seconds", ColumnKind::number}, {"detail"}};
    table.rows.push_back({"copy of the database", "PASS", number(copy_seconds), std::string()});
    for (const Scenario &scenario : scenarios)
        table.rows.push_back({scenario.name, word(scenario.verdict),
                              scenario.verdict == Verdict::skip ? Cell() : Cell(number(scenario.seconds)),
                              scenario.detail});
    return table;
}

std::string rehearsal_markdown(const RehearsalSummary &summary, const Rehearsal &rehearsal) {
    std::size_t failed = 0, skipped = 0;
    for (const Scenario &scenario : rehearsal.scenarios()) {
        failed += scenario.verdict == Verdict::fail ? 1 : 0;
        skipped += scenario.verdict == Verdict::skip ? 1 : 0;
    }
    const std::size_t all = rehearsal.scenarios().size();
    std::string text = "# Rehearsal\n\n";
    text +=
        fmt::format("**{}**: {} of {} scenarios passed{}.\n\n", failed + skipped == 0 ? "PASS" : "FAIL",
                    all - failed - skipped, all, skipped == 0 ? std::string() : fmt::format(", {} not run", skipped));
    text += "| | |\n|---|---|\n";
    text += fmt::format("| date | {} |\n| source | {} |\n| server | {} |\n| copy | {} |\n", cell(summary.date),
                        cell(summary.source), cell(summary.server), cell(summary.place));
    text += fmt::format("| objects compared | {} |\n| rows compared | {} in {} tables |\n",
                        rehearsal.start().schema.size(), rehearsal.start().rows, rehearsal.start().data.size());
    text += fmt::format("| seconds for the copy | {} |\n| seconds in all | {} |\n\n", number(summary.copy_seconds),
                        number(summary.total_seconds));

    text += "## Migrations\n\n| migration | steps | seconds up | seconds down |\n|---|---|---|---|\n";
    for (const RehearsedMigration &migration : rehearsal.migrations())
        text += fmt::format("| {} | {} | {} | {} |\n", cell(migration.name), migration.steps, number(migration.up),
                            number(migration.down));
    for (const std::string &name : summary.passed_over)
        text += fmt::format("\nNot rehearsed, as the source has applied it: {}\n", cell(name));

    text += "\n## Scenarios\n\n| scenario | status | seconds | detail |\n|---|---|---|---|\n";
    for (const Scenario &scenario : rehearsal.scenarios())
        text += fmt::format("| {} | {} | {} | {} |\n", cell(scenario.name), word(scenario.verdict),
                            scenario.verdict == Verdict::skip ? "" : number(scenario.seconds), cell(scenario.detail));
    for (const Scenario &scenario : rehearsal.scenarios()) {
        if (scenario.found.empty()) continue;
        text += fmt::format("\n### {}: {}\n\n", word(scenario.verdict), cell(scenario.name));
        for (const std::string &line : scenario.found)
            text += fmt::format("- {}\n", cell(line));
    }
    if (!summary.remarks.empty() || !rehearsal.remarks().empty()) {
        text += "\n## What a rehearsal can't show\n\n";
        for (const std::vector<std::string> &remarks : {summary.remarks, rehearsal.remarks()})
            for (const std::string &remark : remarks)
                text += fmt::format("- {}\n", cell(remark));
    }
    return text;
}

} // namespace tenantmig::client

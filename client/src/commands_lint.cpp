#include "commands_lint.hpp"
#include "call.hpp"
#include "core/findings_format.hpp"
#include "messages.hpp"
#include "output_file.hpp"
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tenantmig::client {

namespace {

std::vector<core::Finding> findings_of(const Result &result) {
    std::vector<core::Finding> findings;
    const auto cell = [&](const std::vector<Cell> &row, const char *name) {
        return row.at(result.column(name)).value_or("");
    };
    for (const auto &row : result.rows)
        findings.push_back({cell(row, "severity"), cell(row, "check_name"), cell(row, "object"), cell(row, "detail"),
                            cell(row, "remedy"), cell(row, "key"), row.at(result.column("exempt"))});
    return findings;
}

// The remedies do not fit: they are for pasting, from psql or one of the other formats.
Result for_people(const Result &all) {
    Result shown = some(all, {"severity", "object", "check_name", "detail"});
    const std::size_t exempt = all.column("exempt");
    for (std::size_t row = 0; row < all.rows.size(); ++row)
        if (all.rows[row][exempt]) {
            shown.rows[row][0] = "exempt";
            shown.rows[row][3] = all.rows[row][exempt];
        }
    return shown;
}

std::string summary(const std::vector<core::Finding> &findings) {
    int errors = 0, warnings = 0, infos = 0, exempt = 0;
    for (const core::Finding &finding : findings)
        (finding.exempt                  ? exempt
         : finding.severity == "error"   ? errors
         : finding.severity == "warning" ? warnings
                                         : infos)++;
    return fmt::format("{} error{}, {} warning{}, {} for information, {} exempt", errors, errors == 1 ? "" : "s",
                       warnings, warnings == 1 ? "" : "s", infos, exempt);
}

} // namespace

ExitStatus lint(const GlobalOptions &global, const LintOptions &options) {
    const std::string format = !options.format.empty()         ? options.format
                               : global.format == Format::json ? "json"
                               : global.format == Format::csv  ? "csv"
                                                               : "table";
    Call call{"SELECT * FROM tenantmig.lint($1", {options.root}};
    if (!options.schemas.empty()) {
        call.parameters.emplace_back(nlohmann::json(options.schemas).dump());
        call.sql += ", schemas => ARRAY(SELECT pg_catalog.jsonb_array_elements_text($2::pg_catalog.jsonb))";
    }
    call.add("migration", "text", options.migration);
    call.add("tenant_key", "text", options.tenant_key);
    if (options.no_data) call.add("with_data", "bool", "false");
    Connection connection = connect_checked(global);
    const Result result = connection.query(call.sql + ")", call.parameters);
    const std::vector<core::Finding> findings = findings_of(result);

    const core::FindingsHead head{options.root, TENANTMIG_VERSION};
    std::string text;
    if (format == "sarif")
        text = core::findings_sarif(findings, head);
    else if (format == "junit")
        text = core::findings_junit(findings, head);
    else if (format == "json")
        text = core::findings_json(findings, head);
    else if (format == "csv")
        text = as_csv(result);
    else
        text = as_table(for_people(result));
    if (!options.output.empty())
        replace_file(options.output, text);
    else if (format == "table")
        print_table(for_people(result));
    else
        print_text(text);
    flush_output();
    messages::show_remark(summary(findings));
    for (const core::Finding &finding : findings)
        if (core::counts_as(finding, options.fail_on)) return ExitStatus::findings;
    return ExitStatus::done;
}

} // namespace tenantmig::client

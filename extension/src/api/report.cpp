// report.
#include "core/excerpt.hpp"

#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "catalog/report_archive.hpp"
#include "engine/log_check.hpp"
#include "engine/report.hpp"
#include "steps/checks.hpp"

using namespace tenantmig;

namespace {
// verify() speaks of the migration as it stands after its last completed run, to those with its owner's privileges; a
// report is for others too, and of any run.
void add_checks(RunReport &report) {
    MigrationRecord migration = get_migration(report.run.migration_id);
    // the last of each step that it was about
    const std::vector<int> steps = all_steps_of_run(migration, report.run.steps);
    const auto is_last = [&](const std::optional<RunRecord> &latest) { return latest && latest->id == report.run.id; };
    bool last = !steps.empty() || is_last(latest_run(migration.id, true));
    for (int step : steps)
        last = last && is_last(latest_run_of_step(migration.id, step, true));
    bool may = OidIsValid(migration.owner_oid) ? has_privileges_of(migration.owner_oid) : false;
    if (report.run.state != "completed" || !last) {
        report.checks_note = "Only the chain is shown: the other checks are of the last completed run of a migration.";
    } else if (!may) {
        report.checks_note = "Only the chain is shown: the other checks need the privileges of the migration's owner.";
    } else {
        try {
            Subtransaction attempt; // a table that has gone, say, must not take the report with it
            report.checks = verify_migration(migration);
            attempt.commit();
            return;
        } catch (const PgError &error) {
            report.checks_note = fmt::format("Only the chain is shown, the other checks failed: {}", error.what());
        } catch (const Error &error) {
            report.checks_note = fmt::format("Only the chain is shown, the other checks failed: {}", error.what());
        }
    }
    report.checks = check_log(report.run.id, std::nullopt);
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_report) {
    Arguments arguments(fcinfo);
    std::int64_t run = arguments.bigint(0, "run");
    std::string format = arguments.text(1, "format");
    if (format != "markdown" && format != "json")
        throw Error(sqlstate::invalid_parameter_value,
                    fmt::format("{} is not a format of reports", core::excerpt(format)), {},
                    "Formats are markdown and json.");
    std::string content;
    {
        SpiSession session;
        if (auto archived = archived_report(run)) {
            content = format == "json" ? archived->json : archived->markdown;
        } else {
            RunReport report = gather_report(run);
            add_checks(report);
            content = format == "json" ? json_report(report) : markdown_report(report);
        }
    }
    return text_result(content);
}

#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "engine/daily_report.hpp"
#include "engine/markdown.hpp"
#include "engine/own_json.hpp"

namespace tenantmig {

namespace {
using nlohmann::ordered_json;

void gather_days(DailyReport &report, std::int64_t migration) {
    Rows rows = own_query("SELECT t.day::date::text, d.health, d.nulls, d.new_nulls, "
                          "d.unknown_tenants, d.mismatches, d.open_reviews, d.drift, "
                          "coalesce(d.samples, 0), coalesce(d.deep_samples, 0), "
                          "coalesce(d.bad, 0), coalesce(d.alerts, 0) FROM "
                          "generate_series($2::date - 6, $2::date, interval '1 day') AS "
                          "t (day) LEFT JOIN tenantmig.observed_days d ON "
                          "d.migration_id = $1 AND d.day = t.day::date ORDER BY t.day",
                          {bigint_value(migration), text_value(report.day)});
    for (std::size_t i = 0; i < rows.size(); i++) {
        ReportDay day;
        std::string *texts[] = {&day.day,        &day.health,       &day.nulls, &day.new_nulls, &day.unknown_tenants,
                                &day.mismatches, &day.open_reviews, &day.drift};
        for (int column = 1; std::string * text : texts)
            *text = rows.text_or(i, column++);
        day.samples = rows.bigint(i, 9);
        day.deep_samples = rows.bigint(i, 10);
        day.bad = rows.bigint(i, 11);
        day.alerts = rows.bigint(i, 12);
        report.days.push_back(std::move(day));
    }
}

void gather_last_observation(DailyReport &report, std::int64_t migration) {
    Rows rows =
        own_query("SELECT date_trunc('second', o.observed_at AT TIME ZONE 'UTC')::text, o.checks, o.reasons FROM "
                  "tenantmig.observation o WHERE o.migration_id = $1 AND (o.observed_at AT TIME ZONE "
                  "'UTC')::date = $2::date ORDER BY o.observed_at DESC, o.id DESC LIMIT 1",
                  {bigint_value(migration), text_value(report.day)});
    if (rows.empty()) return;
    report.observed_at = rows.text_or(0, 1);
    report.reasons = rows.text_array(0, 3);
    nlohmann::json checks = nlohmann::json::parse(rows.text_or(0, 2, "[]"), nullptr, false);
    if (!checks.is_array()) return;
    for (const nlohmann::json &check : checks)
        if (check.is_object())
            report.checks.push_back({text_at(check, "check_name"), text_at(check, "status"), text_at(check, "expected"),
                                     text_at(check, "actual"), text_at(check, "detail"), text_at(check, "hint")});
}

void gather_events(DailyReport &report, std::int64_t migration) {
    Rows decided = own_query("SELECT count(*) FILTER (WHERE d.state = 'resolved'), count(*) "
                             "FILTER (WHERE d.state = 'dismissed') FROM "
                             "tenantmig.review_batch b JOIN tenantmig.review_decision d ON "
                             "d.id >= b.first_id AND d.id < b.first_id + "
                             "b.row_count WHERE b.migration_id = $1 AND (d.decided_at AT "
                             "TIME ZONE 'UTC')::date = $2::date",
                             {bigint_value(migration), text_value(report.day)});
    report.resolved = decided.bigint(0, 1);
    report.dismissed = decided.bigint(0, 2);
    Rows runs = own_query("SELECT format('run %s: %s, %s of %s rows assigned', r.id, "
                          "replace(r.state, '_', ' '), r.assigned, "
                          "r.row_total) "
                          "FROM tenantmig.run_log r WHERE r.migration_id = $1 AND ((r.started_at "
                          "AT TIME ZONE 'UTC')::date = $2::date OR "
                          "(r.finished_at AT TIME ZONE 'UTC')::date = $2::date) ORDER BY r.id",
                          {bigint_value(migration), text_value(report.day)});
    for (std::size_t i = 0; i < runs.size(); i++)
        report.runs.push_back(runs.text_or(i, 1));
}

// What to do, from the reasons and from what is missing for the soak.
void advise(DailyReport &report) {
    report.next = report.reasons;
    std::string name = core::sql_literal(report.migration);
    const ReportDay &last = report.days.back();
    if (last.samples == 0)
        report.next.push_back(fmt::format("not observed on this day: schedule tenantmig.observe({})", name));
    else if (last.deep_samples == 0)
        report.next.push_back(fmt::format("no deep observation on this day, the "
                                          "soak needs one a day: SELECT * FROM "
                                          "tenantmig.observe({}, deep => true)",
                                          name));
}
} // namespace

DailyReport gather_daily_report(const MigrationRecord &migration, std::optional<std::int32_t> wanted) {
    DailyReport report;
    report.migration = migration.name;
    report.owner = migration.owner;
    Rows days = own_query(
        "SELECT c.today::text, coalesce($2, c.today)::text, $2 > c.today, isfinite($2), "
        "date_trunc('second', $1 AT TIME ZONE 'UTC')::text FROM (SELECT ($1 AT TIME ZONE "
        "'UTC')::date AS today) c",
        {timestamp_value(our_time()), wanted ? Value{DATEOID, Int32GetDatum(*wanted), false} : null_value(DATEOID)});
    report.day = days.text_or(0, 2);
    report.today = report.day == days.text_or(0, 1);
    report.at = days.text_or(0, 5);
    const std::string hint = "Leave the day out for today's report.";
    if (wanted && !days.boolean(0, 4))
        throw Error(sqlstate::invalid_parameter_value, fmt::format("{} is not a day", report.day), {}, hint);
    if (days.boolean(0, 3))
        throw Error(sqlstate::invalid_parameter_value, fmt::format("{} has not come yet", report.day),
                    fmt::format("Today is {} in UTC.", days.text_or(0, 1)), hint);
    gather_days(report, migration.id);
    gather_last_observation(report, migration.id);
    gather_events(report, migration.id);
    report.health = report.days.back().health;
    if (report.today) {
        Rows health = own_query("SELECT h.health, h.reasons, justify_hours(date_trunc('second', k.length))::text, "
                                "k.detail FROM tenantmig.health h JOIN tenantmig.soak k USING (migration) WHERE "
                                "h.migration = $1",
                                {text_value(migration.name)});
        report.health = health.text_or(0, 1);
        report.reasons = health.text_array(0, 2);
        report.soak = health.text_or(0, 3);
        report.soak_detail = health.text_or(0, 4);
    }
    advise(report);
    return report;
}

std::string markdown_daily_report(const DailyReport &report) {
    const std::string name = markdown_escaped(report.migration);
    MarkdownTable summary({"migration", name});
    summary.add({"owner", report.owner});
    summary.add({report.today ? "health" : "health, worst", report.health.empty() ? "not observed" : report.health});
    if (report.today) summary.add({"soak", report.soak + " (" + report.soak_detail + ")"});
    summary.add({"last observation", report.observed_at.empty() ? "none on this day" : report.observed_at + " UTC"});
    summary.add({"reviews decided", fmt::format("{} resolved, {} dismissed", report.resolved, report.dismissed)});
    for (const std::string &run : report.runs)
        summary.add({"run", run});
    summary.add({"made", report.at + " UTC"});
    std::string out = fmt::format("# Daily report: {}, {}\n\n{}", name, report.day, summary.text());

    out += "## What to do\n\n";
    for (const std::string &item : report.next)
        out += "- " + markdown_escaped(item) + "\n";
    out += report.next.empty() ? "Nothing.\n\n" : "\n";

    out += "## Last seven days (UTC)\n\n";
    MarkdownTable days({"day", "health", "samples#", "deep#", "bad#", "NULLs#", "new NULLs#", "unknown tenants#",
                        "mismatches#", "open reviews#", "drift#", "alerts#"});
    auto or_dash = [](const std::string &text) { return text.empty() ? std::string("-") : text; };
    for (const ReportDay &day : report.days)
        days.add({day.day, or_dash(day.health), std::to_string(day.samples), std::to_string(day.deep_samples),
                  std::to_string(day.bad), or_dash(day.nulls), or_dash(day.new_nulls), or_dash(day.unknown_tenants),
                  or_dash(day.mismatches), or_dash(day.open_reviews), or_dash(day.drift), std::to_string(day.alerts)});
    out += days.text();

    out += "## Checks of the last observation\n\n";
    if (report.checks.empty()) return out + "There is none.\n";
    MarkdownTable checks({"check", "status", "expected", "actual", "detail"});
    for (const CheckRow &check : report.checks)
        checks.add(
            {check.check_name, check.status, check.expected, check.actual,
             check.hint.empty() ? check.detail : check.detail + (check.detail.empty() ? "" : "; ") + check.hint});
    std::string table = checks.text();
    table.pop_back(); // the last line of the page
    return out + table;
}

std::string json_daily_report(const DailyReport &report) {
    auto or_null = [](const std::string &text) { return text.empty() ? ordered_json() : ordered_json(text); };
    auto number = [](const std::string &text) {
        return text.empty() ? ordered_json() : ordered_json(std::atoll(text.c_str()));
    };
    ordered_json out = {{"migration", report.migration},
                        {"owner", report.owner},
                        {"day", report.day},
                        {"health", or_null(report.health)},
                        {"reasons", report.reasons},
                        {"soak", or_null(report.soak)},
                        {"soak_detail", or_null(report.soak_detail)},
                        {"observed_at", or_null(report.observed_at)},
                        {"resolved", report.resolved},
                        {"dismissed", report.dismissed},
                        {"runs", report.runs},
                        {"next", report.next}};
    out["days"] = ordered_json::array();
    for (const ReportDay &day : report.days)
        out["days"].push_back({{"day", day.day},
                               {"health", or_null(day.health)},
                               {"samples", day.samples},
                               {"deep_samples", day.deep_samples},
                               {"bad", day.bad},
                               {"nulls", number(day.nulls)},
                               {"new_nulls", number(day.new_nulls)},
                               {"unknown_tenants", number(day.unknown_tenants)},
                               {"mismatches", number(day.mismatches)},
                               {"open_reviews", number(day.open_reviews)},
                               {"drift", number(day.drift)},
                               {"alerts", day.alerts}});
    out["checks"] = ordered_json::array();
    for (const CheckRow &check : report.checks)
        out["checks"].push_back({{"check_name", check.check_name},
                                 {"status", check.status},
                                 {"expected", or_null(check.expected)},
                                 {"actual", or_null(check.actual)},
                                 {"detail", or_null(check.detail)},
                                 {"hint", or_null(check.hint)}});
    out["made_at"] = report.at;
    return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace tenantmig

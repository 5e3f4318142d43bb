#include "core/key_text.hpp"
#include <map>
#include <nlohmann/json.hpp>

#include "catalog/review_store.hpp"
#include "engine/report.hpp"

namespace tenantmig {

namespace {
using nlohmann::json;

std::string text_of(const json &item, const char *name) {
    auto found = item.find(name);
    return found != item.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t number_of(const json &item, const char *name) {
    auto found = item.find(name);
    return found != item.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

// Our own documents; what somebody else put there is passed over.
json list_of(const std::string &text) {
    json list = json::parse(text, nullptr, false);
    return list.is_array() ? list : json::array();
}

void gather_counts(RunReport &report) {
    for (const json &item : list_of(report.run.counts))
        report.counts.push_back({text_of(item, "relation"), text_of(item, "outcome"), text_of(item, "source"),
                                 number_of(item, "row_count"), number_of(item, "deleted_count")});
    for (const json &item : list_of(report.run.tables)) {
        ReportTriggers triggers{text_of(item, "relation"), text_of(item, "column"), {}};
        auto changed = item.find("changed_columns");
        if (changed != item.end() && changed->is_array())
            for (const json &column : *changed)
                if (column.is_string()) triggers.changed.push_back(column.get<std::string>());
        if (!triggers.changed.empty()) report.triggers.push_back(std::move(triggers));
    }
}

void gather_reviews(RunReport &report) {
    std::map<std::string, std::int64_t> classes;
    for_each_review_of_run(report.run.id, [&](const ReviewRow &review) {
        if (review.state == "resolved") report.resolved++;
        if (review.state == "dismissed") report.dismissed++;
        if (review.state != "open") return;
        report.open++;
        classes[review.review_class]++;
        if (report.first_open.size() >= RunReport::max_reviews) return;
        auto values = core::unpack_key(review.key, review.key_shape.columns.size());
        report.first_open.push_back({review.id, qualified(review.schema, review.table),
                                     core::key_json(review.key_shape.columns, review.key_shape.types, values),
                                     review.review_class, review.candidates});
    });
    report.open_by_class.assign(classes.begin(), classes.end());
}

void gather_undo(RunReport &report) {
    Rows restored = own_query(
        "SELECT coalesce(sum(row_count), 0)::bigint FROM tenantmig.change_log WHERE run_id = $1 AND kind = 'rollback'",
        {bigint_value(report.run.id)});
    report.restored = restored.bigint(0, 1);
    Rows skipped = own_query(
        "SELECT format('%I.%I', schema_name, table_name), reason, count(*) FROM tenantmig.undo_skip WHERE run_id = $1 "
        "GROUP BY 1, 2 ORDER BY 1, 2",
        {bigint_value(report.run.id)});
    for (std::size_t i = 0; i < skipped.size(); i++)
        report.skipped.push_back({skipped.text_or(i, 1), skipped.text_or(i, 2), skipped.bigint(i, 3)});
}
} // namespace

RunReport gather_report(std::int64_t id) {
    RunReport report;
    report.run = get_run(id);
    report.owner = get_migration(report.run.migration_id).owner;
    report.digest = log_digest(id);
    Rows times = own_query("SELECT extract(epoch FROM finished_at - started_at)::double precision::text FROM "
                           "tenantmig.run_log WHERE id = $1",
                           {bigint_value(id)});
    report.seconds = std::atof(times.text_or(0, 1, "0").c_str());
    gather_counts(report);
    gather_reviews(report);
    gather_undo(report);
    return report;
}

std::string json_report(const RunReport &report) {
    using nlohmann::ordered_json;
    const RunRecord &run = report.run;
    auto or_null = [](const std::string &text) { return text.empty() ? ordered_json() : ordered_json(text); };
    ordered_json out = {{"run", run.id},
                        {"migration", run.migration},
                        {"owner", report.owner},
                        {"state", run.state},
                        {"started_by", run.started_by},
                        {"started_at", or_null(run.started_at)},
                        {"finished_at", or_null(run.finished_at)},
                        {"error", or_null(run.error)}};
    out["duration_seconds"] = run.finished_at.empty() ? ordered_json() : ordered_json(report.seconds);
    out["rows_per_second"] = report.seconds > 0
                                 ? ordered_json(std::llround(static_cast<double>(run.row_done) / report.seconds))
                                 : ordered_json();
    out["row_total"] = run.row_total;
    out["row_done"] = run.row_done;
    out["assigned"] = run.assigned;
    out["conflicts"] = run.conflicts;
    out["orphans"] = run.orphans;
    out["unknown"] = run.unknown;
    out["success_rate"] = run.row_total > 0
                              ? ordered_json(static_cast<double>(run.assigned) / static_cast<double>(run.row_total))
                              : ordered_json();
    out["counts"] = ordered_json::array();
    for (const ReportCount &count : report.counts)
        out["counts"].push_back({{"relation", count.relation},
                                 {"outcome", count.outcome},
                                 {"source", or_null(count.source)},
                                 {"row_count", count.rows},
                                 {"deleted_count", count.deleted}});
    out["checks"] = ordered_json::array();
    for (const CheckRow &check : report.checks)
        out["checks"].push_back({{"check_name", check.check_name},
                                 {"status", check.status},
                                 {"expected", or_null(check.expected)},
                                 {"actual", or_null(check.actual)},
                                 {"detail", or_null(check.detail)},
                                 {"hint", or_null(check.hint)}});
    out["checks_note"] = or_null(report.checks_note);
    out["digest"] = report.digest;
    ordered_json reviews = {{"open", report.open}, {"resolved", report.resolved}, {"dismissed", report.dismissed}};
    reviews["open_by_class"] = ordered_json::object();
    for (const auto &[review_class, rows] : report.open_by_class)
        reviews["open_by_class"][review_class] = rows;
    reviews["first_open"] = ordered_json::array();
    for (const ReportReview &review : report.first_open)
        reviews["first_open"].push_back({{"id", review.id},
                                         {"relation", review.relation},
                                         {"row_key", ordered_json::parse(review.row_key, nullptr, false)},
                                         {"class", review.review_class},
                                         {"candidates", ordered_json::parse(review.candidates, nullptr, false)}});
    out["reviews"] = std::move(reviews);
    out["changed_by_triggers"] = ordered_json::array();
    for (const ReportTriggers &triggers : report.triggers)
        out["changed_by_triggers"].push_back(
            {{"relation", triggers.relation}, {"column", triggers.column}, {"changed_columns", triggers.changed}});
    ordered_json undo = {{"sql", fmt::format("SELECT * FROM tenantmig.rollback({});", run.id)},
                         {"script", fmt::format("SELECT tenantmig.undo_script({});", run.id)},
                         {"restored", report.restored}};
    undo["skipped"] = ordered_json::array();
    for (const ReportSkipped &skipped : report.skipped)
        undo["skipped"].push_back(
            {{"relation", skipped.relation}, {"reason", skipped.reason}, {"row_count", skipped.rows}});
    out["undo"] = std::move(undo);
    return out.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

} // namespace tenantmig

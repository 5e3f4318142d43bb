#include "catalog/report_archive.hpp"
#include "bridge/clock.hpp"

namespace tenantmig {

std::optional<ArchivedReport> archived_report(std::int64_t run) {
    Rows rows = own_query("SELECT migration, digest, markdown, report, log_purged_at, run_purged_at FROM "
                          "tenantmig.report_archive WHERE run_id = $1",
                          {bigint_value(run)});
    if (rows.empty()) return std::nullopt;
    return ArchivedReport{run,
                          rows.text_or(0, 1),
                          rows.text_or(0, 2),
                          rows.text_or(0, 3),
                          rows.text_or(0, 4),
                          rows.text(0, 5),
                          rows.text(0, 6)};
}

void archive_report(const ArchivedReport &report) {
    own_query("INSERT INTO tenantmig.report_archive (run_id, migration, digest, markdown, report, archived_at, "
              "archived_by) VALUES ($1, $2, $3, $4, $5::json, $6, $7) ON CONFLICT (run_id) DO NOTHING",
              {bigint_value(report.run), text_value(report.migration), text_value(report.digest),
               text_value(report.markdown), text_value(report.json), timestamp_value(our_time()),
               text_value(actor_name())});
}

void note_log_purged(std::int64_t run) {
    own_query("UPDATE tenantmig.report_archive SET log_purged_at = $2 WHERE run_id = $1 AND log_purged_at IS NULL",
              {bigint_value(run), timestamp_value(our_time())});
}

void note_run_purged(std::int64_t run) {
    own_query("UPDATE tenantmig.report_archive SET run_purged_at = $2 WHERE run_id = $1 AND run_purged_at IS NULL",
              {bigint_value(run), timestamp_value(our_time())});
}

std::optional<std::string> log_purged_at(std::int64_t run) {
    Rows rows =
        own_query("SELECT log_purged_at FROM tenantmig.report_archive WHERE run_id = $1 AND log_purged_at IS NOT NULL",
                  {bigint_value(run)});
    return rows.empty() ? std::nullopt : rows.text(0, 1);
}

} // namespace tenantmig

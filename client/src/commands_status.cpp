// status: the runs and the open reviews.
#include "commands.hpp"

namespace tenantmig::client {

ExitStatus status(const GlobalOptions &global, const std::string &migration) {
    Connection connection = connect_checked(global);
    std::string sql =
        "SELECT m.migration, r.id AS run_id, r.state, r.mode, pg_catalog.date_trunc('second', r.started_at) AS "
        "started_at, pg_catalog.date_trunc('second', r.finished_at) AS finished_at, r.row_total, r.row_done, "
        "r.assigned, r.conflicts, r.orphans, r.unknown, m.open_reviews, r.started_by, r.error "
        "FROM tenantmig.migrations m "
        "LEFT JOIN tenantmig.runs r ON r.migration OPERATOR(pg_catalog.=) m.migration";
    std::vector<Cell> parameters;
    if (!migration.empty()) {
        sql += " WHERE m.migration OPERATOR(pg_catalog.=) $1";
        parameters.emplace_back(migration);
    }
    const Result runs = connection.query(sql + " ORDER BY m.migration, r.id", parameters);
    if (runs.rows.empty() && !migration.empty()) no_such_migration(migration);
    print_result(runs, global.format);
    flush_output();
    const std::size_t open = runs.column("open_reviews");
    for (const auto &row : runs.rows)
        if (row[open].value_or("0") != "0") return ExitStatus::open_reviews;
    return ExitStatus::done;
}

} // namespace tenantmig::client

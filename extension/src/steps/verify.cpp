// Proof after a run. Rows, log and queue are counted against each other; the evidence is read again as it is now.
#include "core/spec.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "catalog/change_log.hpp"
#include "catalog/report_archive.hpp"
#include "catalog/run_store.hpp"
#include "steps/checks.hpp"
#include "steps/examine.hpp"
#include "steps/guard_check.hpp"
#include "steps/step.hpp"

namespace tenantmig {

namespace {

CheckRow check(std::string name, bool good, const std::string &expected, const std::string &actual,
               const std::string &detail, const std::string &hint, const char *otherwise = "FAIL") {
    return {std::move(name), good ? "PASS" : otherwise, expected, actual, detail, good ? "" : hint};
}

// Of the run: each row that had no key exactly once in the change log or in the review queue. What the closing check
// took back does not count as written. While an online run is on, others fill, delete and insert rows: then the numbers
// may differ, and a row that was deleted and came back may have been written twice; queued twice no row may be.
CheckRow check_accounted(const RunRecord &run, bool online, const ResolvedStep &step, const nlohmann::json &before) {
    Rows rows = own_query(
        "WITH logged AS (SELECT u.key, sum(CASE l.source WHEN 'closing check' THEN -1 ELSE 1 END) AS times "
        "                FROM tenantmig.change_log l CROSS JOIN LATERAL unnest(l.keys) u(key) "
        "                WHERE l.run_id = $1 AND l.step = $2 AND l.kind = 'backfill' GROUP BY u.key), "
        "queued AS (SELECT r.key, count(*) AS times FROM tenantmig.review_rows r WHERE r.migration_id = $3 AND "
        "r.step = $2 AND r.run_id <= $1 AND NOT r.withdrawn "
        "           AND (r.run_id = $1 OR r.state <> 'resolved' OR r.decided_at > $4::timestamptz) GROUP BY "
        "r.key), "
        "both_of AS (SELECT key, times FROM logged WHERE times > 0 UNION ALL SELECT key, times FROM queued) "
        "SELECT (SELECT coalesce(sum(times), 0)::bigint FROM logged), (SELECT coalesce(sum(times), "
        "0)::bigint FROM queued), "
        "(SELECT count(*) FROM (SELECT key FROM both_of GROUP BY key HAVING sum(times) > 1) d), "
        "(SELECT count(*) FROM queued WHERE times > 1)",
        {bigint_value(run.id), int_value(step.spec.number), bigint_value(run.migration_id),
         text_value(run.started_at)});
    if (auto purged = log_purged_at(run.id))
        return check("accounted", false, "each row in the change log or in review",
                     fmt::format("the log was purged at {}", *purged), step.label(), "", "WARN");
    std::int64_t logged = rows.bigint(0, 1), queued = rows.bigint(0, 2), twice = rows.bigint(0, online ? 4 : 3);
    std::int64_t expected = before.at("null_count").get<std::int64_t>(),
                 skipped = before.at("skipped").get<std::int64_t>();
    std::int64_t actual = logged + queued + skipped;
    std::string detail =
        online ? fmt::format("{}: {} in the change log, {} in review, {} twice; others may have filled, deleted or "
                             "inserted rows meanwhile",
                             step.label(), logged, queued, twice)
               : fmt::format("{}: {} in the change log, {} in review, {} changed by others meanwhile, {} twice",
                             step.label(), logged, queued, skipped, twice);
    return check("accounted", actual == expected && twice == 0, std::to_string(expected), std::to_string(actual),
                 detail,
                 "Rows are missing from log and review, or recorded twice: keep the digest, look at "
                 "tenantmig.verify_changes(run), and do not go on.",
                 online && twice == 0 ? "WARN" : "FAIL");
}

void verify_step(const RunRecord &run, bool online, const MigrationRecord &record, const ResolvedStep &step,
                 const nlohmann::json &before, TenantDictionary &tenants, std::vector<CheckRow> &result) {
    std::string where = step.label() + "." + tenantmig::quoted(step.target.column.name);
    const StepFindings found = examine_step(record, run.id, step, tenants);
    std::string see = fmt::format(
        "SELECT * FROM tenantmig.review({}) lists what waits for a decision; run again for rows that came in since.",
        core::sql_literal(record.name));
    auto nulls = [&](const char *name, std::int64_t count, std::int64_t lost) {
        CheckRow row =
            check(name, count == 0, "0", std::to_string(count),
                  fmt::format("{}: {} of them in review", where, count - lost), see, lost > 0 ? "FAIL" : "WARN");
        result.push_back(std::move(row));
    };
    nulls("nulls_living", found.null_living, found.lost_living);
    nulls("nulls_deleted", found.null_deleted, found.lost_deleted);
    for (std::size_t i = 0; i < step.sources.size(); i++)
        result.push_back(check(
            "mismatches " + step.sources[i].label, found.mismatches[i] == 0, "0", std::to_string(found.mismatches[i]),
            found.mismatches[i] == 0 ? where : fmt::format("{}: for example row {}", where, found.examples[i]),
            fmt::format("A row's key contradicts this source. Undo at once if a run wrote it: SELECT * FROM "
                        "tenantmig.rollback({}).",
                        run.id)));
    result.push_back(check_accounted(run, online, step, before));

    std::int64_t rows_before = before.at("row_count").get<std::int64_t>(), rows_now;
    {
        SnapshotScope snapshot;
        RunAs owner(step.target.table.owner, Purpose::read);
        rows_now =
            run_query(fmt::format("SELECT pg_catalog.count(*) FROM {} AS t", step.target.table.target()), {}, true)
                .bigint(0, 1);
    }
    result.push_back(check(
        "row_count", rows_now >= rows_before, fmt::format(">= {}", rows_before), std::to_string(rows_now), step.label(),
        "Rows have gone since the run. It deletes none: find out who did.", online ? "WARN" : "FAIL"));
    result.push_back(
        check("unknown_tenants", found.unknown == 0, "0", std::to_string(found.unknown),
              found.unknown == 0 ? where : fmt::format("{}: for example tenant {}", where, found.unknown_example),
              fmt::format("Rows name tenants that {} does not have.", step.target.root.label())));
}
} // namespace

namespace {
CheckRow check_chain(std::int64_t run) {
    std::int64_t rows = 0, entries = 0;
    std::string problem;
    for (const ChainState &chain : check_chains(run)) {
        rows += chain.rows;
        entries += chain.entries;
        if (chain.first_bad && problem.empty())
            problem = fmt::format("chain {} entry {}: {}", chain.chain, *chain.first_bad, chain.problem);
    }
    return check(
        "chain", problem.empty(), "intact", problem.empty() ? "intact" : "broken",
        problem.empty() ? fmt::format("run {}: {} entries, {} rows", run, entries, rows) : problem,
        "The change log was tampered with: compare with the digest that you keep, and do not roll back from it.");
}

// A step that no completed run is about, of a migration that has completed others.
CheckRow not_run(const MigrationRecord &record, const ResolvedStep &step) {
    return {"step",
            "WARN",
            "completed",
            "no completed run",
            fmt::format("{}: {}", step_label(step.spec.number, core::StepKind::backfill), step.label()),
            fmt::format("CALL tenantmig.up({}) takes the steps in their order.", core::sql_literal(record.name))};
}
// What a step that changed objects has to say of itself.
void verify_structural(const MigrationRecord &record, std::vector<CheckRow> &result) {
    MigrationRecord whole = record;
    whole.scope.clear();
    const core::Spec spec = migration_spec(whole);
    for (const core::StepRef &ref : spec.order) {
        if (!core::keeps_state(ref.kind)) continue;
        const StepState state = get_step_state(record.id, ref.number);
        if (state.state.empty()) continue;
        for (CheckRow &row : make_step(spec, ref)->verify(record, state))
            result.push_back(std::move(row));
    }
}
} // namespace

std::vector<CheckRow> verify_migration(const MigrationRecord &record) {
    ResolvedMigration migration = resolve_migration(record);
    std::vector<CheckRow> of_guards;
    for (const GuardRecord &guard : guards_of(record.id))
        for (CheckRow &row : check_rows_of(guard))
            of_guards.push_back(std::move(row));
    const bool more = std::any_of(migration.spec.order.begin(), migration.spec.order.end(),
                                  [](const core::StepRef &step) { return core::keeps_state(step.kind); });
    if (migration.steps.empty() && migration.aside.empty() && !of_guards.empty() && !more) return of_guards;
    if (migration.steps.empty() && migration.aside.empty() && !migration.spec.guards.empty() && !more)
        throw Error(sqlstate::prerequisite_state, fmt::format("no guard of migration \"{}\" is attached", record.name),
                    "It has no backfill step: there is nothing to verify yet.",
                    fmt::format("SELECT * FROM tenantmig.attach_guard({}) attaches its guards.",
                                core::sql_literal(record.name)));
    std::vector<std::optional<RunRecord>> runs; // of each step: the latest completed one that is about it
    for (const ResolvedStep &step : migration.steps)
        runs.push_back(latest_run_of_step(record.id, step.spec.number, true));
    std::set<std::int64_t> verified;
    if (migration.steps.empty())
        if (const auto run = latest_run(record.id, true)) verified.insert(run->id);
    const bool none = verified.empty() && std::all_of(runs.begin(), runs.end(), [](const auto &run) { return !run; });
    if (none && migration.aside.empty() && !more)
        throw Error(sqlstate::prerequisite_state, fmt::format("migration \"{}\" has no completed run", record.name),
                    "There is nothing to verify yet.", "Run it first: SELECT * FROM tenantmig.backfill(name).");
    std::vector<CheckRow> result;
    TenantDictionary tenants(migration.steps.empty() ? KeyClass::integer : migration.steps[0].tenant_class);
    for (std::size_t i = 0; i < migration.steps.size(); i++) {
        const ResolvedStep &step = migration.steps[i];
        if (!runs[i]) {
            result.push_back(not_run(record, step));
            continue;
        }
        verified.insert(runs[i]->id);
        for (const nlohmann::json &table : nlohmann::json::parse(runs[i]->tables))
            if (table.at("step") == step.spec.number)
                verify_step(*runs[i], is_online(runs[i]->id), record, step, table, tenants, result);
    }
    for (std::int64_t run : verified)
        result.push_back(check_chain(run));
    verify_structural(record, result);
    for (const StepAside &step : migration.aside)
        result.push_back(aside_check(record, step));
    result.insert(result.end(), of_guards.begin(), of_guards.end());
    return result;
}

} // namespace tenantmig

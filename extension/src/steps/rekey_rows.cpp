// Actions of a rekey step that read or write rows: the backfill by the engine, updates piece by piece, post-checks.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "bridge/engine_write.hpp"
#include "bridge/fault.hpp"
#include "bridge/subtransaction.hpp"
#include "steps/online.hpp"
#include "steps/rekey.hpp"

namespace tenantmig {

namespace {
constexpr std::int64_t piece_time = 200 * 1000; // microseconds that a piece should take
constexpr int most_failures = 30, most_sweeps = 20;

std::int64_t blocks_of(const Table &table) {
    return own_query("SELECT pg_relation_size($1) / current_setting('block_size')::bigint",
                     {Value{OIDOID, ObjectIdGetDatum(table.oid), false}})
        .bigint(0, 1);
}

// nullopt: the check's columns have gone since, with a later step.
std::optional<CheckRow> run_check(const RekeyCheck &check, Oid database) {
    CheckRow row{check.name, "PASS", "0", "0", "", ""};
    const auto table = find_site(check.table, database);
    if (!table) return std::nullopt;
    Subtransaction part;
    try {
        RunAs owner(table->owner, Purpose::read);
        const std::int64_t count = run_query(check.sql).bigint(0, 1);
        row.actual = std::to_string(count);
        if (count > 0) {
            row.status = "FAIL";
            row.detail = "Rows that should not be: " + check.sql;
        }
    } catch (const PgError &error) {
        if (error.data()->sqlerrcode != ERRCODE_UNDEFINED_COLUMN) throw;
        return std::nullopt;
    }
    part.commit();
    return row;
}
} // namespace

std::vector<CheckRow> run_rekey_checks(const RekeyList &list) {
    std::vector<CheckRow> rows;
    for (const RekeyCheck &check : list.checks)
        if (auto row = run_check(check, list.database)) rows.push_back(std::move(*row));
    return rows;
}

void RekeyWorker::check(const RekeyAction & /*action*/) {
    checks.clear();
    for (const RekeyCheck &one : list_.checks)
        context_.changer.note(false, [&] {
            if (auto row = run_check(one, list_.database)) checks.push_back(std::move(*row));
        });
    std::string failed;
    for (const CheckRow &row : checks)
        if (row.status == "FAIL")
            failed += fmt::format("{}{}: expected {}, found {}", failed.empty() ? "" : "\n", row.check_name,
                                  row.expected, row.actual);
    if (!failed.empty())
        throw Error(sqlstate::precheck_failed, fmt::format("post-checks of {} failed", context_.label()), failed,
                    "Correct these rows and call tenantmig.up again, or take the step back with tenantmig.down.");
    pass();
}

void RekeyWorker::backfill(const RekeyAction &action) {
    MigrationRecord scoped = context_.migration;
    scoped.scope = action.numbers;
    OnlineOptions options;
    options.workers = context_.workers;
    const RunEnd end = run_scoped(context_.transactions, context_.lock, scoped, options);
    if (end.state != "completed")
        throw Error(sqlstate::step_unfinished, fmt::format("the backfill of {} is {}", context_.label(), end.state),
                    end.error.empty() ? fmt::format("It is run {}.", end.run) : end.error,
                    fmt::format("CALL tenantmig.up({}) goes on with it.", core::sql_literal(context_.migration.name)));
    pass();
}

// One piece a transaction. Rows that move meanwhile are written by somebody, and so by the trigger; the sweep at the
// end finds the rest.
void RekeyWorker::in_pieces(const Table &table, const std::string &statement, bool ours) {
    std::int64_t blocks = 0, at = 0, step = 256, last = -1;
    context_.changer.note(false, [&] { blocks = blocks_of(table); });
    int failures = 0, sweeps = 0;
    for (;;) {
        const std::int64_t end = std::min(blocks, at + step);
        const bool sweep = at >= blocks;
        const TimestampTz started = GetCurrentTimestamp();
        try {
            context_.changer.note(false, [&] {
                fire_deferred_as_caller();
                std::optional<EngineWriteScope> scope;
                if (ours) scope.emplace(table.oid);
                RunAs owner(table.owner, Purpose::write);
                const std::string range = sweep ? std::string()
                                                : fmt::format(" AND t.ctid OPERATOR(pg_catalog.>=) '({},0)'::"
                                                              "pg_catalog.tid AND t.ctid OPERATOR(pg_catalog.<) "
                                                              "'({},0)'::pg_catalog.tid",
                                                              at, end);
                // a piece is small: what it is joined with is looked up, not read as a whole each time
                run_query("SELECT pg_catalog.set_config('enable_hashjoin', $1, true), "
                          "pg_catalog.set_config('enable_mergejoin', $1, true)",
                          {text_value(sweep ? "on" : "off")});
                last = static_cast<std::int64_t>(run_query(statement + range).size());
            });
        } catch (const PgError &error) {
            if (!goes_away(error) || ++failures > most_failures) throw;
            continue;
        }
        TENANTMIG_FAULT("rekey_piece");
        if (sweep && (last == 0 || ++sweeps >= most_sweeps)) return;
        const std::int64_t took = std::max<std::int64_t>(1, GetCurrentTimestamp() - started);
        if (!sweep) {
            at = end;
            step = std::clamp<std::int64_t>(step * piece_time / took, step / 2 + 1,
                                            std::min<std::int64_t>(step * 2, 8192));
        }
    }
}

void RekeyWorker::fill_old_ids(const RekeyAction &action) {
    Table table;
    context_.changer.note(false, [&] { table = table_of(action.table); });
    in_pieces(table, action.backward.front().sql, false);
    std::string shown;
    std::int64_t count = 0;
    context_.changer.note(false, [&] {
        RunAs owner(table.owner, Purpose::read);
        Rows rows = run_query(action.backward.back().sql);
        for (std::size_t i = 0; i < rows.size(); i++) {
            shown += (shown.empty() ? "" : ", ") + core::excerpt(rows.text_or(i, 1));
            count = rows.bigint(i, 2);
        }
    });
    if (count > 0)
        throw Error(
            sqlstate::precheck_failed,
            fmt::format("{}: {} of {} can't be taken back", context_.label(),
                        count == 1 ? "a row" : fmt::format("{} rows", count), table.label()),
            fmt::format("They have come since the switch, and their new id can't be one of the old type: {}.", shown),
            fmt::format("Give them a value in {}, or remove them, and call tenantmig.down again.",
                        quoted(action.name)));
    pass();
}

} // namespace tenantmig

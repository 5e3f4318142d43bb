#include "core/excerpt.hpp"

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "steps/constraint_index.hpp"
#include "steps/top_level_worker.hpp"

namespace tenantmig {

namespace {
constexpr int attempts = 3;
constexpr std::int64_t first_progress = 2 * 1000 * 1000, later_progress = 10 * 1000 * 1000; // microseconds

bool worth_another(const WorkerFailure &failure) {
    return failure.state == sqlstate::lock_not_available || failure.state == "40P01";
}

// Says how far the worker's build is, by pg_stat_progress_create_index.
class BuildProgress {
public:
    BuildProgress(const Table &table, const std::string &name, ConstraintChanger &changer)
        : label_(fmt::format("index {} on {}", quoted(name), table.label())), changer_(changer),
          next_(GetCurrentTimestamp() + first_progress) {}

    void tell(int process) {
        if (GetCurrentTimestamp() < next_) return;
        next_ = GetCurrentTimestamp() + later_progress;
        changer_.note(false, [&] {
            Rows rows = own_query("SELECT phase, CASE WHEN blocks_total > 0 THEN 100 * blocks_done / blocks_total END, "
                                  "CASE WHEN tuples_total > 0 THEN 100 * tuples_done / tuples_total END, lockers_total "
                                  "- lockers_done FROM pg_stat_progress_create_index WHERE pid = $1",
                                  {int_value(process)});
            if (rows.empty()) return;
            std::string text = fmt::format("{}: {}", label_, rows.text_or(0, 1));
            if (auto share = rows.text(0, 2)) text += fmt::format(", {} % of the blocks", *share);
            if (auto share = rows.text(0, 3)) text += fmt::format(", {} % of the rows", *share);
            if (rows.bigint(0, 4) > 0) text += fmt::format(", waiting for {} transactions", rows.bigint(0, 4));
            notice(text);
        });
    }

private:
    std::string label_;
    ConstraintChanger &changer_;
    TimestampTz next_;
};

void drop_leftover(const Table &table, const std::string &name, ConstraintChanger &changer) {
    NamedIndex found;
    changer.note(false, [&] { found = find_named_index(table, name); });
    if (!found.here || found.valid) return;
    (void)changer.strong(table, {{table.oid}}, [&] {
        change_as_owner(table, fmt::format("DROP INDEX IF EXISTS {}", qualified(table.schema, name)));
    });
}
} // namespace

NamedIndex find_named_index(const Table &table, const std::string &name) {
    Rows rows = own_query(
        "SELECT c.oid::bigint, pg_describe_object('pg_class'::regclass, c.oid, 0) || CASE WHEN i.indrelid IS NULL THEN "
        "'' ELSE format(' on %s', i.indrelid::regclass) END, coalesce(i.indrelid = $2, false), coalesce(i.indisvalid "
        "AND "
        "i.indisready AND i.indislive, false), EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND "
        "k.contype IN ('p', 'u', 'x')), coalesce(pg_get_indexdef(i.indexrelid), '') FROM pg_class c JOIN pg_namespace "
        "n "
        "ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid WHERE n.nspname = $1 AND c.relname = "
        "$3",
        {text_value(table.schema), Value{OIDOID, ObjectIdGetDatum(table.oid), false}, text_value(name)});
    if (rows.empty()) return {};
    return {static_cast<Oid>(rows.bigint(0, 1)),
            rows.text_or(0, 2),
            rows.boolean(0, 3),
            rows.boolean(0, 4),
            rows.boolean(0, 5),
            rows.text_or(0, 6)};
}

void build_index(const Table &table, const std::string &name, const std::vector<std::string> &columns,
                 ConstraintChanger &changer) {
    std::string list;
    for (const std::string &column : columns)
        list += (list.empty() ? "" : ", ") + quoted(column);
    const std::string drop = fmt::format("DROP INDEX IF EXISTS {}", qualified(table.schema, name));
    WorkerStatement work;
    work.role = table.owner;
    work.statement = fmt::format("CREATE UNIQUE INDEX CONCURRENTLY {} ON {} ({})", quoted(name), table.sql(), list);
    for (int attempt = 1;; attempt++) {
        const auto failure = run_in_worker(work);
        if (!failure) return;
        if (failure->state == "23505")
            throw Error(sqlstate::constraint_violated, fmt::format("rows of {} are not unique", table.label()),
                        failure->detail, "Correct them: the gate's check duplicates tells how many there are.");
        if (!worth_another(*failure) || attempt == attempts)
            raise_failure(*failure, fmt::format("the index on {} was not built", table.label()));
        notice(fmt::format("the index on {} could not be built, attempt {} of {}: {}", table.label(), attempt, attempts,
                           failure->message));
        (void)changer.strong(table, {{table.oid}}, [&] { change_as_owner(table, drop); });
    }
}

bool ensure_index(const Table &table, const IndexBuild &build, ConstraintChanger &changer) {
    NamedIndex found;
    changer.note(false, [&] { found = find_named_index(table, build.name); });
    if (found.here && found.valid) return false;
    if (OidIsValid(found.oid) && !found.here)
        throw Error(sqlstate::duplicate_table, fmt::format("the name of index {} is taken", quoted(build.name)),
                    fmt::format("There is {}.", found.what), "Rename or drop that, or give the index another name.");
    if (found.here) drop_leftover(table, build.name, changer);
    WorkerStatement work;
    work.role = table.owner;
    work.statement = build.statement;
    work.tablespace = build.tablespace;
    BuildProgress progress(table, build.name, changer);
    for (int attempt = 1;; attempt++) {
        TENANTMIG_FAULT("index_building");
        const auto failure = run_in_worker(work, [&](int process) { progress.tell(process); });
        TENANTMIG_FAULT("index_built");
        if (!failure) return true;
        drop_leftover(table, build.name, changer);
        if (failure->state == "23505")
            throw Error(sqlstate::precheck_failed,
                        fmt::format("index {} on {}: rows are not unique", quoted(build.name), table.label()),
                        failure->detail, "Correct these rows, and call this again.");
        if (!worth_another(*failure) || attempt == attempts)
            raise_failure(*failure, fmt::format("index {} on {} was not built", quoted(build.name), table.label()));
        notice(fmt::format("index {} on {} could not be built, attempt {} of {}: {}", quoted(build.name), table.label(),
                           attempt, attempts, failure->message));
    }
}

bool drop_index_concurrently(const Table &table, const std::string &name, ConstraintChanger &changer) {
    WorkerStatement work;
    work.role = table.owner;
    work.application = "tenantmig index drop";
    work.statement = fmt::format("DROP INDEX CONCURRENTLY {}", qualified(table.schema, name));
    for (int attempt = 1;; attempt++) {
        NamedIndex found;
        changer.note(false, [&] { found = find_named_index(table, name); });
        if (!found.here) return attempt > 1;
        const auto failure = run_in_worker(work);
        if (!failure) return true;
        if (!worth_another(*failure) || attempt == attempts)
            raise_failure(*failure, fmt::format("index {} on {} was not dropped", quoted(name), table.label()));
        notice(fmt::format("index {} on {} could not be dropped, attempt {} of {}: {}", quoted(name), table.label(),
                           attempt, attempts, failure->message));
    }
}

} // namespace tenantmig

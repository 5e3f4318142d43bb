#include "core/rekey.hpp"

#include "bridge/transaction.hpp"
#include "catalog/migration_store.hpp"
#include "catalog/run_lock.hpp"
#include "catalog/run_store.hpp"

namespace tenantmig {

namespace {
constexpr char migration_columns[] = "SELECT id, name, owner, owner_oid, spec, identity, search_path, checksum "
                                     "FROM tenantmig.migration";

// After a restore into another server the stored OID is another role's, or nobody's: the name decides.
Oid resolve_owner(Oid stored, const std::string &name) {
    const char *text = name.c_str();
    return pg_call([stored, text] {
        const char *current = GetUserNameFromId(stored, true);
        if (current && strcmp(current, text) == 0) return stored;
        return get_role_oid(text, true);
    });
}

MigrationRecord read_migration(const Rows &rows) {
    MigrationRecord migration;
    migration.id = rows.bigint(0, 1);
    migration.name = rows.text_or(0, 2);
    migration.owner = rows.text_or(0, 3);
    bool null = false;
    migration.owner_oid = resolve_owner(DatumGetObjectId(rows.datum(0, 4, &null)), migration.owner);
    migration.spec = rows.text_or(0, 5);
    migration.identity = rows.text_or(0, 6);
    migration.search_path = rows.text_or(0, 7);
    migration.checksum = rows.text_or(0, 8);
    return migration;
}

constexpr char run_columns[] =
    "SELECT r.id, r.migration_id, m.name, r.state, r.started_by, r.plan_hash, r.counts, r.tables, r.started_at::text, "
    "r.finished_at::text, r.error, r.row_total, r.row_done, r.assigned, r.conflicts, r.orphans, r.unknown, "
    "array_to_string(r.steps, ' ') FROM tenantmig.run_log r JOIN tenantmig.migration m ON m.id = r.migration_id ";

RunRecord read_run(const Rows &rows) {
    RunRecord run;
    run.id = rows.bigint(0, 1);
    run.migration_id = rows.bigint(0, 2);
    run.migration = rows.text_or(0, 3);
    run.state = rows.text_or(0, 4);
    run.started_by = rows.text_or(0, 5);
    run.plan_hash = rows.text_or(0, 6);
    run.counts = rows.text_or(0, 7);
    run.tables = rows.text_or(0, 8);
    run.started_at = rows.text_or(0, 9);
    run.finished_at = rows.text_or(0, 10);
    run.error = rows.text_or(0, 11);
    run.row_total = rows.bigint(0, 12);
    run.row_done = rows.bigint(0, 13);
    run.assigned = rows.bigint(0, 14);
    run.conflicts = rows.bigint(0, 15);
    run.orphans = rows.bigint(0, 16);
    run.unknown = rows.bigint(0, 17);
    std::string steps = rows.text_or(0, 18);
    for (char *place = steps.data(), *next = nullptr; *place != '\0'; place = next)
        run.steps.push_back(static_cast<int>(std::strtol(place, &next, 10)));
    return run;
}

} // namespace

core::Spec migration_spec(const MigrationRecord &migration) {
    core::Spec spec = core::parse_spec_text(migration.spec);
    if (migration.scope.empty()) return spec;
    std::vector<core::BackfillStep> backfills;
    for (const core::RekeyStep &rekey : spec.rekeys)
        for (core::BackfillStep &backfill : core::rekey_backfills(rekey))
            if (std::find(migration.scope.begin(), migration.scope.end(), backfill.number) != migration.scope.end())
                backfills.push_back(std::move(backfill));
    spec = core::select_steps(std::move(spec), migration.scope);
    std::move(backfills.begin(), backfills.end(), std::back_inserter(spec.steps));
    return spec;
}

std::optional<MigrationRecord> find_migration(const std::string &name) {
    Rows rows = own_query(fmt::format("{} WHERE name = $1", migration_columns), {text_value(name)});
    if (rows.empty()) return std::nullopt;
    return read_migration(rows);
}

MigrationRecord get_migration(const std::string &name) {
    if (auto migration = find_migration(name)) return *migration;
    throw Error(sqlstate::undefined_object, fmt::format("migration {} does not exist", core::excerpt(name)), {},
                "SELECT * FROM tenantmig.migrations lists all; tenantmig.create_migration(spec) makes one.");
}

MigrationRecord get_migration(std::int64_t id) {
    Rows rows = own_query(fmt::format("{} WHERE id = $1", migration_columns), {bigint_value(id)});
    if (rows.empty())
        throw Error(sqlstate::undefined_object, fmt::format("migration number {} does not exist", id), {},
                    "SELECT * FROM tenantmig.migrations lists all.");
    return read_migration(rows);
}

void require_owner(const MigrationRecord &migration) {
    std::string name = core::excerpt(migration.name);
    if (!OidIsValid(migration.owner_oid)) {
        if (pg_call([] { return superuser(); })) return;
        throw Error(sqlstate::insufficient_privilege,
                    fmt::format("must have the privileges of the owner of migration {}", name),
                    fmt::format("Its owner {} is a role that no longer exists.", core::excerpt(migration.owner)),
                    "Create the role again, or call this as a superuser.");
    }
    if (has_privileges_of(migration.owner_oid)) return;
    bool owned_by_superuser = pg_call([role = migration.owner_oid] { return superuser_arg(role); });
    throw Error(
        sqlstate::insufficient_privilege, fmt::format("must have the privileges of the owner of migration {}", name),
        fmt::format("It belongs to {}{}; the current user is {}.", core::excerpt(migration.owner),
                    owned_by_superuser ? ", a superuser" : "", core::excerpt(current_user_name())),
        owned_by_superuser ? "Call this as a superuser, or create the migration as a role that owns its tables."
                           : fmt::format("SET ROLE {}, or have that role granted to you.", quoted(migration.owner)));
}

MigrationRecord insert_migration(const std::string &name, const std::string &description,
                                 std::optional<std::int64_t> version, const std::string &spec,
                                 const std::string &identity) {
    require_writable();
    Oid owner = GetUserId();
    Rows rows =
        own_query("INSERT INTO tenantmig.migration (name, owner, owner_oid, description, version, spec, identity, "
                  "search_path, checksum) VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8, "
                  "encode(sha256(convert_to($6::jsonb::text, 'UTF8')), 'hex')) ON CONFLICT (name) DO NOTHING "
                  "RETURNING id",
                  {text_value(name), text_value(role_name(owner)), Value{OIDOID, ObjectIdGetDatum(owner), false},
                   description.empty() ? null_value(TEXTOID) : text_value(description),
                   version ? bigint_value(*version) : null_value(INT8OID), text_value(spec), text_value(identity),
                   text_value(namespace_search_path)});
    if (rows.empty())
        throw Error(sqlstate::duplicate_object, fmt::format("migration {} exists already", core::excerpt(name)), {},
                    "Choose another name, or tenantmig.drop_migration(name) first.");
    return get_migration(name);
}

void update_identity(std::int64_t migration, const std::string &identity) {
    own_query("UPDATE tenantmig.migration SET identity = $2::jsonb WHERE id = $1",
              {bigint_value(migration), text_value(identity)});
}

void lock_migration(const MigrationRecord &migration) {
    require_writable();
    // No key update: foreign keys that point here are checked under a weaker lock, which must not look like somebody's
    // run.
    Rows rows = own_query("SELECT id FROM tenantmig.migration WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED",
                          {bigint_value(migration.id)});
    if (!rows.empty() && lock_active_for_transaction(migration.id)) {
        // A new version of the row: a transaction whose snapshot is older than this run's end gets 40001 here, instead
        // of a queue and a log that it cannot see.
        own_query("UPDATE tenantmig.migration SET created_at = created_at WHERE id = $1", {bigint_value(migration.id)});
        return;
    }
    (void)get_migration(migration.id);
    throw Error(sqlstate::object_in_use,
                fmt::format("another run or decision is active on migration {}", core::excerpt(migration.name)),
                rows.empty() ? "Its transaction has not ended yet." : "A run or undo by batches is at work.",
                rows.empty() ? "Wait until it has, then call this again; pg_stat_activity shows the session."
                             : "SELECT * FROM tenantmig.stat_progress shows it; tenantmig.pause(name) stops it.");
}

RunRecord get_run(std::int64_t id) {
    Rows rows = own_query(fmt::format("{} WHERE r.id = $1", run_columns), {bigint_value(id)});
    if (rows.empty())
        throw Error(sqlstate::undefined_object, fmt::format("run {} does not exist", id), {},
                    "SELECT * FROM tenantmig.runs lists all.");
    return read_run(rows);
}

void lock_run(std::int64_t id) {
    require_writable();
    // A new version of the row, for the same reason as in lock_migration: the head of the chain must be the newest.
    Rows rows = own_query("UPDATE tenantmig.run_log SET state = state WHERE id = $1", {bigint_value(id)});
    if (rows.empty()) (void)get_run(id); // dropped while we waited
}

void lock_runs(std::int64_t migration) {
    own_query("UPDATE tenantmig.run_log SET state = state WHERE migration_id = $1", {bigint_value(migration)});
}

std::optional<RunRecord> latest_run(std::int64_t migration, bool completed_only) {
    Rows rows = own_query(
        fmt::format("{} WHERE r.migration_id = $1 AND (NOT $2 OR r.state = 'completed') ORDER BY r.id DESC LIMIT 1",
                    run_columns),
        {bigint_value(migration), boolean_value(completed_only)});
    if (rows.empty()) return std::nullopt;
    return read_run(rows);
}

std::optional<RunRecord> latest_run_of_step(std::int64_t migration, int step, bool completed_only) {
    Rows rows = own_query(
        fmt::format("{} WHERE r.migration_id = $1 AND (NOT $2 OR r.state = 'completed') AND "
                    "(r.steps IS NULL AND $3 <= $4 OR $3 = ANY (r.steps)) ORDER BY r.id DESC LIMIT 1",
                    run_columns),
        {bigint_value(migration), boolean_value(completed_only), int_value(step), int_value(core::rekey_numbers)});
    if (rows.empty()) return std::nullopt;
    return read_run(rows);
}

Value steps_value(const std::vector<int> &steps) {
    if (steps.empty()) return null_value(INT4ARRAYOID);
    const int *numbers = steps.data();
    const std::size_t count = steps.size();
    return {INT4ARRAYOID, pg_call([numbers, count] {
                auto *elements = static_cast<Datum *>(palloc(sizeof(Datum) * count));
                for (std::size_t i = 0; i < count; i++)
                    elements[i] = Int32GetDatum(numbers[i]);
                return PointerGetDatum(
                    construct_array(elements, static_cast<int>(count), INT4OID, sizeof(int32), true, TYPALIGN_INT));
            }),
            false};
}

std::int64_t insert_run(std::int64_t migration, const std::string &plan_hash, const std::vector<int> &steps) {
    Rows rows =
        own_query("INSERT INTO tenantmig.run_log (migration_id, state, mode, started_by, plan_hash, steps) "
                  "VALUES ($1, 'running', 'transaction', $2, $3, $4) RETURNING id",
                  {bigint_value(migration), text_value(actor_name()), text_value(plan_hash), steps_value(steps)});
    return rows.bigint(0, 1);
}

void update_run(const RunRecord &run) {
    own_query("UPDATE tenantmig.run_log SET state = $2, row_total = $3, row_done = $4, assigned = $5, conflicts = $6, "
              "orphans = $7, unknown = $8, "
              "error = nullif($9, ''), counts = coalesce(nullif($10, ''), '[]')::jsonb, tables = coalesce(nullif($11, "
              "''), '[]')::jsonb, "
              "finished_at = CASE WHEN $2 IN ('completed', 'failed', 'rolled_back', 'cancelled') THEN "
              "coalesce(finished_at, tenantmig.clock()) END, undo_started_at = CASE WHEN $2 = 'rolled_back' THEN "
              "coalesce(undo_started_at, tenantmig.clock()) END WHERE id = $1",
              {bigint_value(run.id), text_value(run.state), bigint_value(run.row_total), bigint_value(run.row_done),
               bigint_value(run.assigned), bigint_value(run.conflicts), bigint_value(run.orphans),
               bigint_value(run.unknown), text_value(run.error), text_value(run.counts), text_value(run.tables)});
    announce_run(run.id, run.state);
}

std::int32_t next_batch(std::int64_t run) {
    Rows rows =
        own_query("SELECT coalesce(max(batch), 0) + 1 FROM tenantmig.batch_log WHERE run_id = $1", {bigint_value(run)});
    return static_cast<std::int32_t>(rows.bigint(0, 1));
}

void insert_batch(std::int64_t run, std::int32_t batch, std::int32_t step, const char *kind,
                  const std::string &relation, std::int64_t rows, TimestampTz started) {
    own_query("INSERT INTO tenantmig.batch_log (run_id, batch, step, kind, relation, row_count, started_at) VALUES "
              "($1, $2, $3, $4, $5, $6, $7)",
              {bigint_value(run), int_value(batch), int_value(step), text_value(kind), text_value(relation),
               bigint_value(rows), timestamp_value(started)});
}

void delete_migration(std::int64_t migration) {
    const char *statements[] = {
        "DELETE FROM tenantmig.review_decision d USING tenantmig.review_batch b "
        "WHERE b.migration_id = $1 AND d.id >= b.first_id AND d.id < b.first_id + b.row_count",
        "DELETE FROM tenantmig.review_batch WHERE migration_id = $1",
        "DELETE FROM tenantmig.undo_skip WHERE run_id IN (SELECT id FROM tenantmig.run_log WHERE migration_id = $1)",
        "DELETE FROM tenantmig.change_log WHERE run_id IN (SELECT id FROM tenantmig.run_log WHERE migration_id = $1)",
        "DELETE FROM tenantmig.batch_log WHERE run_id IN (SELECT id FROM tenantmig.run_log WHERE migration_id = $1)",
        "DELETE FROM tenantmig.run_log WHERE migration_id = $1",
        "DELETE FROM tenantmig.step_log WHERE migration_id = $1",
        "DELETE FROM tenantmig.step_state WHERE migration_id = $1",
        "DELETE FROM tenantmig.migration WHERE id = $1",
    };
    for (const char *statement : statements)
        own_query(statement, {bigint_value(migration)});
}

std::vector<std::int64_t> runs_to_undo(std::int64_t migration) {
    Rows rows = own_query("SELECT r.id FROM tenantmig.run_log r WHERE r.migration_id = $1 AND r.state <> 'rolled_back' "
                          "AND EXISTS (SELECT FROM tenantmig.change_log l WHERE l.run_id = r.id) ORDER BY r.id",
                          {bigint_value(migration)});
    std::vector<std::int64_t> runs;
    for (std::size_t i = 0; i < rows.size(); i++)
        runs.push_back(rows.bigint(i, 1));
    return runs;
}

std::string actor_name() {
    std::string current = current_user_name(), session = role_name(GetSessionUserId());
    return current == session ? current : fmt::format("{} (as {})", session, current);
}

} // namespace tenantmig

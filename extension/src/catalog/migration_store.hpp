// The catalogue of migrations and runs: typed access to tenantmig.migration, run_log and batch_log.
#pragma once
#include "core/excerpt.hpp"
#include "core/spec.hpp"

#include "catalog/own_tables.hpp"

namespace tenantmig {

struct MigrationRecord {
    std::int64_t id = 0;
    std::string name, owner;
    Oid owner_oid = InvalidOid; // by the stored OID while it has that name, else by name (after a restore); InvalidOid:
                                // the role is gone
    std::string spec;           // JSON text
    std::string identity;       // JSON text, see NameBook
    std::string search_path;    // of the session that created it
    std::string checksum;       // SHA-256 of the spec, hex
    std::vector<int> scope;     // numbers of the steps to look at, and nothing else; empty: all that can be looked at.
                                // Those of a rekey's backfills (core/rekey.hpp) are meant when they are named only
};

// The spec of the migration, within its scope.
core::Spec migration_spec(const MigrationRecord &migration);

std::optional<MigrationRecord> find_migration(const std::string &name);
MigrationRecord get_migration(const std::string &name); // 42704 with a hint if there is none
MigrationRecord get_migration(std::int64_t id);
// 42501 unless the current user has the privileges of the migration's owner (a superuser's migration: a superuser).
void require_owner(const MigrationRecord &migration);
MigrationRecord insert_migration(const std::string &name, const std::string &description,
                                 std::optional<std::int64_t> version, const std::string &spec,
                                 const std::string &identity);
void update_identity(std::int64_t migration, const std::string &identity);
// Locks the migration's row until the end of the transaction; 55006 if somebody else holds it: two runs, or a run and a
// decision, exclude each other on an object of ours.
void lock_migration(const MigrationRecord &migration);
// Removes a migration with its runs, logs and reviews.
void delete_migration(std::int64_t migration);

struct RunRecord {
    std::int64_t id = 0, migration_id = 0;
    std::string migration, state, started_by, plan_hash, counts, tables, started_at, finished_at, error;
    std::int64_t row_total = 0, row_done = 0, assigned = 0, conflicts = 0, orphans = 0, unknown = 0;
    std::vector<int> steps; // numbers of the backfill steps that it is about; empty: all of the document
};

RunRecord get_run(std::int64_t id); // 42704
// Locks the run's row until the end of the transaction, waiting for others: whoever appends to its change log outside
// of a run does so first, so that the chain does not fork.
void lock_run(std::int64_t id); // 42704
void lock_runs(std::int64_t migration);
std::optional<RunRecord> latest_run(std::int64_t migration, bool completed_only);
// The latest that is (also) about this backfill step, which may be one of a rekey.
std::optional<RunRecord> latest_run_of_step(std::int64_t migration, int step, bool completed_only);
// `steps`: see RunRecord.
std::int64_t insert_run(std::int64_t migration, const std::string &plan_hash, const std::vector<int> &steps);
// integer[], NULL for none.
Value steps_value(const std::vector<int> &steps);
// Writes counts and state of `run`; finished_at is set when the state is final.
void update_run(const RunRecord &run);
// The number that the run's next batch gets.
std::int32_t next_batch(std::int64_t run);
void insert_batch(std::int64_t run, std::int32_t batch, std::int32_t step, const char *kind,
                  const std::string &relation, std::int64_t rows, TimestampTz started);
// Runs of a migration that have changes in their log and were not rolled back.
std::vector<std::int64_t> runs_to_undo(std::int64_t migration);

// Who acts, for people: the session's user, and the current one where it differs: alice, or "alice (as postgres)". Not
// inside of RunAs.
std::string actor_name();

} // namespace tenantmig

// Online runs in the catalogue: batches as the cursor, workers as of their last commit, requests.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

// ---- runs

// Tells those who listen. `state`: the run's, or undoing.
void announce_run(std::int64_t run, std::string_view state);

std::int64_t insert_online_run(std::int64_t migration, const std::string &plan_hash, std::int32_t workers,
                               const std::vector<int> &steps);
// The migration's latest online run that is not finished: planned, running (perhaps interrupted), paused or failed.
std::optional<RunRecord> unfinished_run(std::int64_t migration);
bool is_online(std::int64_t run);
// State, with the error that led to it (empty: none).
void set_run_state(std::int64_t run, const char *state, const std::string &error);
void begin_run(std::int64_t run); // 55000 unless it is planned: somebody has ended it meanwhile
void fail_planned_run(std::int64_t run, const std::string &error); // that never came to run
void take_up_run(std::int64_t run, std::int32_t workers, const std::string &plan_hash);
void set_run_tables(std::int64_t run, std::int64_t row_total, const std::string &tables);
void set_steps_done(std::int64_t run, std::int32_t steps);
std::int32_t steps_done(std::int64_t run);
// Counts by outcome from the batches: exact, whatever was killed meanwhile. Sets row_done, assigned, … and `counts`.
void complete_run(std::int64_t run);
void mark_undo_started(std::int64_t run);
bool undo_started(std::int64_t run);

// ---- requests

void request_stop(std::int64_t run, const char *request); // pause, cancel
void clear_request(std::int64_t run);
std::string read_request(std::int64_t run); // empty: none

// ---- batches

struct OnlineBatch {
    std::int64_t run = 0;
    std::int32_t batch = 0, step = 0, worker = 0;
    const char *kind = "backfill";
    const char *phase = "walk";
    std::string relation, error, counts; // counts: JSON, empty: []
    Oid storage = InvalidOid;            // InvalidOid: no range of blocks
    BlockNumber from = 0, to = 0;
    int pass = 0;
    bool range_done = false;
    std::int64_t rows = 0, hot = 0, queued = 0;
    TimestampTz started = 0;
    std::int32_t undone_chain = -1, undone_entry = 0; // of the change log; -1: none
};
void insert_online_batch(const OnlineBatch &batch);
// The batch of a step's closing evaluation: what it queued counts in the place of what earlier attempts counted.
void insert_check_batch(const OnlineBatch &batch);
std::int32_t highest_batch(std::int64_t run);

struct DoneRange {
    Oid storage;
    BlockNumber from, to;
};
// Ranges of the walk of one step that need not be walked again, in order of storage and block.
std::vector<DoneRange> done_ranges(std::int64_t run, std::int32_t step);

using EntryRef = std::pair<std::int32_t, std::int32_t>; // chain, entry
std::set<EntryRef> undone_entries(std::int64_t run);
void add_undo_count(std::int64_t run, const std::string &relation, const std::string &outcome,
                    const std::string &reason, std::int64_t rows);

// ---- workers

struct WorkerReport {
    std::int32_t worker = 1, step = 0;
    const char *state = "running"; // running, throttled, done, failed
    const char *phase = "starting";
    std::string relation, path, throttle, error;
    std::int64_t done = 0, written = 0, hot = 0; // since the last report
    std::int64_t batch_rows = 0;
    double rate = 0;
    std::vector<std::string> changed_columns;
};
void save_worker(std::int64_t run, const WorkerReport &report);
// Of a worker whose process has ended: why, unless it said so itself. Returns what it did not say, or nothing.
std::string note_worker_gone(std::int64_t run, std::int32_t worker, const std::string &phase, std::int32_t step);
std::int32_t run_workers(std::int64_t run); // as many as it was started with
// Before a run begins or goes on: nobody works on it yet.
void retire_workers(std::int64_t run);
// Puts the names of columns that triggers changed beside ours into the run's `tables`.
void note_changed_columns(std::int64_t run, std::int32_t step);

} // namespace tenantmig

// Runs by batches: the life of a run (steps/online.cpp), what its leader does for one step (steps/online_step.cpp), the
// walk that all its workers do (steps/online_walk.cpp), background workers (steps/online_workers.cpp).
#pragma once
#include "bridge/transaction.hpp"
#include "catalog/change_log.hpp"
#include "catalog/run_lock.hpp"
#include "catalog/run_store.hpp"
#include "engine/key_spool.hpp"
#include "engine/pace.hpp"
#include "engine/run_shared.hpp"
#include "engine/verdicts.hpp"
#include "steps/batch_recorder.hpp"
#include "steps/row_rules.hpp"

namespace tenantmig {

struct OnlineOptions {
    std::int32_t workers = 1;
    std::int64_t budget = 0; // microseconds, 0: none
    std::optional<std::string> plan_hash;
    double max_count_change = 0.01;
};

// One process at work on a run.
class OnlineWorker {
public:
    OnlineWorker(Transactions &transactions, RunShared *shared, const MigrationRecord &record, std::int32_t number);
    ~OnlineWorker();

    Transactions &transactions;
    RunShared *shared;
    const MigrationRecord &record;
    std::int32_t number;         // 1: the leader
    ResolvedMigration migration; // as resolved when this process began; set by resolve()
    core::Pacer pacer;
    MemoryContext memory;       // for as long as the process works on the run
    TimestampTz deadline = 0;   // of the budget, 0: none. The leader minds it
    WorkerReport report;        // what the next save_worker() says
    ActiveLock *lock = nullptr; // the leader's: makes this run the only one
    class Crew *crew = nullptr; // the leader's: the other workers

    bool leads() const { return number == 1; }
    void resolve(); // in a transaction
    // Between batches: hears requests, reads the pace, rests. Returns the reason to stop.
    Stop between_batches();
    // In a batch's transaction, just before its end: signals of the server, and whether somebody waits for us.
    void read_pace_signals(std::span<const Oid> tables);
    void rest(double milliseconds);
    // A transaction that has to succeed: errors that go away are waited out, for about a minute.
    void insist(bool durable, const std::function<void()> &work);
    void report_pace();        // state and reason, into `report`
    std::int32_t next_batch(); // its number
    // Notes in a transaction of its own where the worker stands now.
    void tell(const char *phase, const std::string &relation, const std::string &path);
    void tell_progress(); // NOTICE (in a session), NOTIFY
    void batch_done(std::int64_t rows, TimestampTz started);

private:
    void poll();
    void rest_for_pace(double milliseconds);
    PaceMemory pace_memory_;
    TimestampTz polled_ = 0, signals_read_ = 0, told_ = 0, notified_ = 0, last_batch_ = 0;
    bool somebody_waited_ = false;
    std::string request_;
};

// An error that a batch may meet at any time and that goes away: a lock that was not to be had, a deadlock, a
// serialization failure.
bool goes_away(const PgError &error);
std::string error_text(const std::exception_ptr &error);

// ---- the walk, by all workers

// The walk of one worker: takes ranges of blocks, works them off pass by pass, a batch (one pass over one range) a
// transaction. What is written, and what is put down beside it, derived classes decide.
class Walker : public WalkPolicy {
public:
    // `watched`: columns of the target whose type must not change meanwhile. Needs a transaction.
    Walker(OnlineWorker &worker, const StepTarget &target, std::int32_t step, WalkShared *walk, Pick pick,
           std::vector<AttrNumber> watched);
    // Until no range is left, or until it is to stop.
    Stop walk();
    const StepTarget &target() const { return target_; }

protected:
    // What stands beside the rows of a batch, put down in its transaction.
    virtual void open_batch() = 0;
    virtual BatchRecorder::Batch put_down(OnlineBatch &row) = 0;
    virtual void discard() = 0; // the batch was rolled back
    OnlineWorker &worker_;

private:
    struct Waiting {
        BlockRange range;
        int pass = 0, failures = 0;
        TransactionId xid = InvalidTransactionId; // of the last pass: its rows can be pruned when nobody sees them
        TimestampTz since = 0;
    };
    bool choose(Waiting *chosen); // in a transaction: a range whose next pass can be done, or a new one
    void batch(Waiting &chosen, bool *finished);
    void failed(Waiting &chosen, const std::string &error, TimestampTz started);
    void check_leaf(std::uint32_t leaf);
    BlockNumber blocks_for(std::int64_t rows) const;

    const StepTarget &target_;
    std::int32_t step_;
    WalkShared *walk_;
    BlockWalk block_walk_;
    std::vector<Waiting> queue_;
    std::map<std::uint32_t, LeafIdentity> identities_;
    std::map<std::uint32_t, int> passes_;
    std::map<std::uint32_t, std::uint64_t> checked_; // leaf -> relation_changes() when it was looked at
    std::vector<AttrNumber> watched_;
    double rows_per_block_ = 100;
};

// Writes tenant keys that the evidence names.
class BackfillWalker : public Walker {
public:
    BackfillWalker(OnlineWorker &worker, const ResolvedStep &step, TenantDictionary &tenants,
                   std::unique_ptr<Verdicts> verdicts, WalkShared *walk);
    void reload_queue() { recorder_.load_queue(); } // before ranges of a worker that has gone, in a transaction

    void begin(const BlockRange &range, const HeapWriter &writer) override;
    bool decide(const LeafRow &row, bool first, RowWrite *write) override;
    void written(const LeafRow &row, const RowWrite &write) override;

protected:
    void open_batch() override;
    BatchRecorder::Batch put_down(OnlineBatch &row) override;
    void discard() override;

private:
    const ResolvedStep &step_;
    std::unique_ptr<Verdicts> verdicts_;
    RowRules rules_;
    BatchRecorder recorder_;
    std::optional<ChangeLogWriter> log_;
    std::vector<AttrNumber> key_;
    std::vector<Datum> key_values_;
    AttrNumber deleted_column_ = 0;
    OutcomeCounts counts_;
    std::vector<core::Candidate> candidates_;
};

// ---- what the leader does

class StepLeader {
public:
    StepLeader(OnlineWorker &worker, const ResolvedStep &step, std::size_t position);
    Stop run(); // all phases

private:
    Stop walk_direct(const std::vector<Leaf> &leaves);
    Stop write_spool(KeySpool &spool, const char *phase);
    void count_rows();
    Stop sweep_and_check();
    Stop take_back(KeySpool &suspects);
    OnlineWorker &worker_;
    const ResolvedStep &step_;
    std::size_t position_;
    std::string path_;
    std::unique_ptr<TenantDictionary> tenants_;
    std::unique_ptr<RowRules> rules_;
    std::unique_ptr<BatchRecorder> recorder_;
    // Of the walk, kept until the closing check: if the evidence has still the same digest, rows are checked with it.
    Segment walk_segment_;
    std::optional<core::SharedEvidence> walk_evidence_; // unless verdicts were spooled
    core::DigestSeed seed_{};
    core::EvidenceDigest digest_{};
};

// ---- runs

// Checks, and the run's row: a new one, or the one to take up. In the caller's transaction. With a scope: a run of
// exactly these steps, 55000 if another one is not finished; without: any, or steps_to_run(). Sets the scope.
std::int64_t prepare_run(MigrationRecord &record, const OnlineOptions &options, bool must_resume, bool may_resume);

struct RunEnd {
    std::int64_t run = 0;
    std::string state, error; // completed, paused, cancelled, failed; of an undo: rolled_back, paused, cancelled
};
// All that the leader does, until the run is completed, paused, cancelled or failed. The lock is held already. An error
// is noted, and goes on; failed without an error: a worker failed.
RunEnd lead_run(Transactions &transactions, RunShared *shared, dsm_handle segment, const MigrationRecord &record,
                ActiveLock &lock);
// What a worker of another process does: walks until the leader says that it is over.
void follow_run(Transactions &transactions, RunShared *shared, const MigrationRecord &record, std::int32_t number);

// A run over exactly the backfill steps in record.scope, led from this session; options.workers beside it. Takes up the
// unfinished run of these steps if there is one. The lock is held already, no transaction is open. Errors as of run().
RunEnd run_scoped(Transactions &transactions, ActiveLock &lock, const MigrationRecord &scoped,
                  const OnlineOptions &options);
// Takes a run back by batches, as undo() does. The lock of its migration is held already, no transaction is open.
RunEnd undo_scoped(Transactions &transactions, ActiveLock &lock, std::int64_t run, std::int64_t budget);

void run_in_session(FunctionCallInfo call, const std::string &migration, const OnlineOptions &options);
std::int64_t start_in_background(const std::string &migration, const OnlineOptions &options, bool resume);
std::string pause_run(const std::string &migration);
std::string cancel_run(const std::string &migration);
void wait_for_run(FunctionCallInfo call, const std::string &migration, std::int64_t timeout);
void undo_online(FunctionCallInfo call, std::int64_t run, std::int64_t budget);

} // namespace tenantmig

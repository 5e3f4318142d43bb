// The walk of one worker: takes ranges of blocks, works them off pass by pass, a batch (one pass over one range) a
// transaction: rows, change log, reviews and the batch's row, which is the cursor, commit together.
#include "core/undo_text.hpp"

#include "bridge/engine_write.hpp"
#include "bridge/fault.hpp"
#include "bridge/memory.hpp"
#include "bridge/relation_watch.hpp"
#include "steps/online.hpp"

namespace tenantmig {

namespace {
constexpr int batch_lock_timeout = 1000;              // milliseconds
constexpr double blocked_rest = 200;                  // milliseconds
constexpr int most_failures = 5;                      // of one range; then the last sweep takes its rows
constexpr std::int64_t horizon_patience = 200 * 1000; // microseconds without anything to do
constexpr std::int64_t horizon_nap = 1;               // milliseconds

std::vector<AttrNumber> watched_columns(const ResolvedStep &step) {
    std::vector<AttrNumber> columns = step.target.key;
    columns.push_back(step.target.column.number);
    if (step.target.soft_delete) columns.push_back(step.target.soft_delete->number);
    for (const ResolvedSource &source : step.sources)
        columns.insert(columns.end(), source.probe.begin(), source.probe.end());
    return columns;
}
} // namespace

Walker::Walker(OnlineWorker &worker, const StepTarget &target, std::int32_t step, WalkShared *walk, Pick pick,
               std::vector<AttrNumber> watched)
    : worker_(worker), target_(target), step_(step), walk_(walk), block_walk_(target, pick),
      watched_(std::move(watched)) {
    double rows = target.table.row_estimate, blocks = 0;
    for (std::uint32_t i = 0; i < walk->leaf_count; i++) {
        const Leaf &leaf = walk->leaves()[i];
        if (auto identity = identify_leaf(leaf.oid, target.table, watched_)) identities_[i] = *identity;
        passes_[i] = page_passes(leaf.oid, target);
        checked_[i] = relation_changes();
        blocks += leaf.blocks;
    }
    if (rows > 0 && blocks > 0) rows_per_block_ = std::clamp(rows / blocks, 1.0, 300.0);
}

// ---- batches

BlockNumber Walker::blocks_for(std::int64_t rows) const {
    double passes = passes_.empty() ? 1 : passes_.begin()->second;
    return static_cast<BlockNumber>(std::max(1.0, static_cast<double>(rows) * passes / rows_per_block_));
}

bool Walker::choose(Waiting *chosen) {
    for (std::size_t i = 0; i < queue_.size(); i++) {
        Oid leaf = walk_->leaves()[queue_[i].range.leaf].oid;
        TransactionId xid = queue_[i].xid;
        bool ready = pg_call([leaf, xid] {
            Relation rel = try_relation_open(leaf, AccessShareLock);
            if (!rel) return true;
            bool removable = !TransactionIdIsValid(xid) || GlobalVisCheckRemovableXid(rel, xid);
            relation_close(rel, NoLock);
            return removable;
        });
        if (!ready) continue;
        *chosen = queue_[i];
        queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
        return true;
    }
    BlockRange range;
    if (queue_.size() < most_open_ranges &&
        take_range(worker_.shared, walk_, worker_.number, blocks_for(worker_.pacer.batch_rows()), &range)) {
        *chosen = {};
        chosen->range = range;
        return true;
    }
    if (queue_.empty()) return false;
    // An old snapshot elsewhere holds the horizon back: the rest is written plainly, without page passes.
    Waiting &oldest = queue_.front();
    if (GetCurrentTimestamp() - oldest.since < horizon_patience) return false;
    *chosen = oldest;
    chosen->pass = std::max(chosen->pass, passes_[oldest.range.leaf] - 1);
    queue_.erase(queue_.begin());
    return true;
}

// Nothing was held since the last batch: whoever had DDL in mind has done it.
void Walker::check_leaf(std::uint32_t number) {
    std::uint64_t changes = relation_changes();
    std::uint64_t &checked = checked_[number];
    if (changes == checked) return;
    const Leaf &leaf = walk_->leaves()[number];
    auto now = identify_leaf(leaf.oid, target_.table, watched_);
    std::string what;
    if (!now)
        what = "it was dropped";
    else if (auto known = identities_.find(number); known != identities_.end())
        what = difference(known->second, *now);
    if (what.empty() && now->storage != leaf.storage) what = "it was rewritten or truncated";
    if (what.empty())
        if (auto why = why_through_sql(target_)) what = "it has " + *why + " now";
    if (!what.empty()) {
        bool lost = leaf.oid == target_.table.oid && (!now || !now->whole);
        std::string name = core::sql_literal(worker_.record.name);
        throw Error(
            sqlstate::table_changed, fmt::format("table {} was changed while the run was on", target_.table.label()),
            fmt::format("Since the run began, {}.", what),
            lost
                ? fmt::format("Without it the run cannot go on: SELECT tenantmig.cancel({}); what was written can be "
                              "undone.",
                              name)
                : fmt::format("Look at the plan again; SELECT tenantmig.resume({}) goes on, with plan_hash => if it is "
                              "asked for.",
                              name));
    }
    passes_[number] = page_passes(leaf.oid, target_);
    checked = changes;
}

void Walker::batch(Waiting &chosen, bool *finished) {
    TimestampTz started = GetCurrentTimestamp();
    RunShared *shared = worker_.shared;
    const Leaf &leaf = walk_->leaves()[chosen.range.leaf];
    open_batch();
    TENANTMIG_FAULT("walk_batch_open");
    fire_deferred_as_caller();
    Oid oid = leaf.oid;
    pg_call([oid] { LockRelationOid(oid, RowExclusiveLock); }); // and hears of changes
    check_leaf(chosen.range.leaf);
    int passes = passes_[chosen.range.leaf];
    WalkBatch result;
    {
        SnapshotScope snapshot;
        EngineWriteScope ours(leaf.oid);
        RunAs owner(target_.table.owner, Purpose::write);
        result = block_walk_.run(leaf.oid, chosen.range, chosen.pass, passes, *this);
    }
    TENANTMIG_FAULT("walk_batch_written");
    *finished = result.remaining == 0 || chosen.pass >= passes - 1;

    OnlineBatch row;
    row.run = shared->run;
    row.batch = worker_.next_batch();
    row.step = step_;
    row.worker = worker_.number;
    row.relation = target_.table.label();
    row.storage = leaf.storage;
    row.from = chosen.range.from;
    row.to = chosen.range.to;
    row.pass = chosen.pass;
    row.range_done = *finished;
    row.hot = result.hot;
    row.started = started;
    BatchRecorder::Batch recorded = put_down(row);
    row.rows = recorded.rows;
    row.queued = recorded.queued;
    insert_online_batch(row);
    WorkerReport &report = worker_.report;
    worker_.report_pace();
    report.done = recorded.rows + recorded.queued;
    report.written = recorded.rows;
    report.hot = result.hot;
    report.batch_rows = worker_.pacer.batch_rows();
    report.changed_columns.assign(block_walk_.changed_columns().begin(), block_walk_.changed_columns().end());
    save_worker(shared->run, report);
    Oid table = target_.table.oid;
    worker_.read_pace_signals({&table, 1});
    chosen.xid = pg_call([] { return GetCurrentTransactionIdIfAny(); });
    TENANTMIG_FAULT("walk_batch_logged");
}

void Walker::failed(Waiting &chosen, const std::string &error, TimestampTz started) {
    discard();
    worker_.pacer.timed_out();
    worker_.transactions.run(false, [&] {
        OnlineBatch row;
        row.run = worker_.shared->run;
        row.batch = worker_.next_batch();
        row.step = step_;
        row.worker = worker_.number;
        row.relation = target_.table.label();
        row.storage = walk_->leaves()[chosen.range.leaf].storage;
        row.from = chosen.range.from;
        row.to = chosen.range.to;
        row.pass = chosen.pass;
        row.started = started;
        row.error = error;
        insert_online_batch(row);
    });
    if (++chosen.failures >= most_failures) {
        range_done(worker_.shared, worker_.number, chosen.range); // the last sweep takes its rows
        return;
    }
    worker_.rest(50.0 * (1 << chosen.failures) * (0.5 + static_cast<double>(MyProcPid % 16) / 16));
    queue_.push_back(chosen);
}

Stop Walker::walk() {
    for (;;) {
        Stop stop = worker_.between_batches();
        if (stop != Stop::no) return stop;
        Waiting chosen;
        bool found = false, finished = false;
        TimestampTz started = GetCurrentTimestamp();
        std::string error;
        bool tenant_gone = false; // since the evidence was read: the last sweep reads it again
        try {
            worker_.transactions.run(
                false,
                [&] {
                    MemoryScope scope;
                    {
                        SnapshotScope snapshot;
                        found = choose(&chosen);
                    }
                    if (found) batch(chosen, &finished);
                },
                batch_lock_timeout);
        } catch (const PgError &caught) {
            tenant_gone = found && caught.data()->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION;
            if (!goes_away(caught) && !tenant_gone) throw;
            error = caught.what();
        }
        if (!error.empty() && !found) { // somebody's DDL waits in front of us: nothing was taken yet
            worker_.rest(blocked_rest);
            continue;
        }
        if (!error.empty()) {
            if (tenant_gone) chosen.failures = most_failures - 1;
            failed(chosen, error, started);
            continue;
        }
        if (!found) {
            if (queue_.empty()) return Stop::no;
            worker_.rest(static_cast<double>(horizon_nap));
            continue;
        }
        TENANTMIG_FAULT("walk_batch_committed");
        worker_.batch_done(worker_.report.done, started);
        if (finished) {
            range_done(worker_.shared, worker_.number, chosen.range);
        } else {
            chosen.pass++;
            chosen.since = GetCurrentTimestamp();
            queue_.push_back(chosen);
        }
    }
}

// ---- the backfill's rows

void BackfillWalker::begin(const BlockRange &range, const HeapWriter &writer) {
    verdicts_->begin(range, writer);
    key_.clear();
    for (AttrNumber number : step_.target.key)
        key_.push_back(writer.number_in_leaf(number));
    deleted_column_ =
        step_.target.soft_delete ? writer.number_in_leaf(step_.target.soft_delete->number) : AttrNumber(0);
}

bool BackfillWalker::decide(const LeafRow &row, bool, RowWrite *write) {
    core::Decision decision;
    candidates_.clear();
    if (!verdicts_->decide(row, &decision, &candidates_)) return false;
    for (std::size_t i = 0; i < key_.size(); i++)
        key_values_[i] = row.values[key_[i] - 1];
    bool deleted = deleted_column_ != 0 && !row.nulls[deleted_column_ - 1];
    RowAction action = rules_.act(decision, deleted, key_values_.data(), candidates_);
    switch (action.kind) {
    case RowAction::Kind::assign:
        write->column = step_.target.column.number;
        break;
    case RowAction::Kind::soft_delete:
        write->column = step_.target.soft_delete->number;
        break;
    case RowAction::Kind::queue:
        return false; // the closing check queues all rows that are left, once: rows may move between workers
    }
    write->value = action.value;
    write->null = false;
    write->label = action.label;
    write->tenant = action.tenant;
    return true;
}

void BackfillWalker::written(const LeafRow &row, const RowWrite &write) {
    for (std::size_t i = 0; i < key_.size(); i++)
        key_values_[i] = row.values[key_[i] - 1];
    bool deleted = deleted_column_ != 0 && !row.nulls[deleted_column_ - 1];
    core::Decision decision;
    if (write.label < step_.sources.size()) decision = {core::Outcome::assigned, write.tenant, write.label};
    counts_.add(decision, {}, deleted);
    if (write.tenant == core::no_tenant)
        recorder_.wrote_deletion(key_values_.data(), rules_.delete_time_text());
    else
        recorder_.wrote(key_values_.data(), write.label, write.tenant);
}

BackfillWalker::BackfillWalker(OnlineWorker &worker, const ResolvedStep &step, TenantDictionary &tenants,
                               std::unique_ptr<Verdicts> verdicts, WalkShared *walk)
    : Walker(worker, step.target, step.spec.number, walk, Pick::null_keys, watched_columns(step)), step_(step),
      verdicts_(std::move(verdicts)), rules_(worker.record, step, tenants, worker.memory),
      recorder_(worker.record, step, tenants, worker.shared->run, worker.memory), key_values_(step.target.key.size()),
      counts_(step) {
    recorder_.load_queue();
}

void BackfillWalker::open_batch() {
    counts_ = OutcomeCounts(step_);
    if (!log_) log_.emplace(worker_.shared->run, worker_.number);
}

BatchRecorder::Batch BackfillWalker::put_down(OnlineBatch &row) {
    row.counts = counts_json(counts_.list());
    return recorder_.flush(*log_, row.batch);
}

void BackfillWalker::discard() {
    recorder_.discard();
    log_.reset();
}

} // namespace tenantmig

// What the processes of one run share, in dynamic shared memory: who leads, who works, what is to be walked.
//
// Processes: the leader (worker 1) is the session of CALL run, or the background worker that start() registers. It
// reads the evidence, publishes a walk, walks along, waits for the other workers (2, 3, …), sweeps and checks. The
// others attach to the same segment, wait for a walk, take ranges of blocks from its list until none is left, and wait
// for the next. A run has one leader because the leader holds the migration's lock (catalog/run_lock.hpp).
#pragma once
#include "bridge/pg.hpp"
#include "engine/block_walk.hpp"

namespace tenantmig {

constexpr int most_workers = 64;
constexpr int most_open_ranges = 48; // per worker; ranges that wait for their next page pass

enum class Stop : std::uint32_t { no, pause, cancel, failed, finished };

enum class WorkerState : std::uint8_t { none, starting, waiting, walking, gone };

struct WorkerSlot { // written by its worker; by the leader when the worker is gone. Under RunShared::mutex.
    WorkerState state;
    pid_t pid;
    std::uint64_t walk; // the last walk that it has finished
    int open_count;
    BlockRange open[most_open_ranges + 1]; // taken, not done
};

struct RunShared {
    // Written by whoever makes the segment, before anybody else sees it.
    Oid database, session_user, role;
    std::int64_t run;
    int worker_limit;      // workers asked for, the leader included
    TransactionId starter; // start()'s transaction, InvalidTransactionId: nothing to wait for
    std::int64_t budget;   // microseconds, 0: none
    SharedFileSet files;   // of spooled verdicts

    slock_t mutex; // guards what follows
    bool leader_connected, leader_gone;
    Stop stop;
    std::uint64_t walk; // number of the walk that is on; 0: none yet
    dsm_handle walk_segment;
    int walk_step; // position in the order of execution
    std::int32_t next_batch;
    WorkerSlot slots[most_workers];

    ConditionVariable changed; // any of the above
};

// A walk: in a segment of its own, made by the leader. Followed by `leaf_count` leaves, room for `todo_room` ranges,
// and the evidence.
struct WalkShared {
    std::uint32_t leaf_count, todo_room;
    std::uint32_t todo_count, todo_next; // under RunShared::mutex
    BlockNumber segment_blocks;          // of one file of spooled verdicts; 0: evidence is looked up
    Leaf *leaves() { return reinterpret_cast<Leaf *>(this + 1); }
    BlockRange *todo() { return reinterpret_cast<BlockRange *>(leaves() + leaf_count); }
    char *evidence() {
        return reinterpret_cast<char *>(MAXALIGN(reinterpret_cast<std::uintptr_t>(todo() + todo_room)));
    }
    static std::size_t size(std::size_t leaves, std::size_t ranges, std::size_t evidence) {
        return sizeof(WalkShared) + leaves * sizeof(Leaf) + ranges * sizeof(BlockRange) + MAXIMUM_ALIGNOF + evidence;
    }
};

// A mapped segment, detached at the end.
class Segment {
public:
    Segment() = default;
    static Segment create(std::size_t size);  // 53200 with a hint if there is no room
    static Segment attach(dsm_handle handle); // address() == nullptr if it has gone
    Segment(Segment &&other) noexcept : segment_(std::exchange(other.segment_, nullptr)) {}
    Segment &operator=(Segment &&other) noexcept {
        std::swap(segment_, other.segment_);
        return *this;
    }
    ~Segment();
    void *address() const { return segment_ ? dsm_segment_address(segment_) : nullptr; }
    dsm_handle handle() const { return dsm_segment_handle(segment_); }
    dsm_segment *get() const { return segment_; }

private:
    dsm_segment *segment_ = nullptr;
};

class SpinGuard { // for a few instructions: nothing in between may fail
public:
    explicit SpinGuard(slock_t *mutex) : mutex_(mutex) { SpinLockAcquire(mutex_); }
    ~SpinGuard() { SpinLockRelease(mutex_); }
    SpinGuard(const SpinGuard &) = delete;
    SpinGuard &operator=(const SpinGuard &) = delete;

private:
    slock_t *mutex_;
};

// Makes the segment of a run. `starter`: see above.
Segment create_run_segment(std::int64_t run, int workers, TransactionId starter, std::int64_t budget);

// Takes a range of at most `blocks` for the worker; false: none is left. Files of verdicts are not straddled.
bool take_range(RunShared *run, WalkShared *walk, int worker, BlockNumber blocks, BlockRange *range);
void range_done(RunShared *run, int worker, const BlockRange &range);
// What a worker that has gone had taken, back onto the list; true if there was something.
bool give_back_ranges(RunShared *run, WalkShared *walk, int worker);

Stop stop_of(RunShared *run);
void set_stop(RunShared *run, Stop stop); // a stronger one stands

} // namespace tenantmig

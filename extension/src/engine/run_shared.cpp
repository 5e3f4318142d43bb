#include "engine/run_shared.hpp"

namespace tenantmig {

namespace {
constexpr BlockNumber least_range = 64; // blocks: below that a pass is not worth a transaction
}

Segment Segment::create(std::size_t size) {
    Segment segment;
    segment.segment_ = pg_call([size] {
        dsm_segment *made = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
        if (made) dsm_pin_mapping(made);
        return made;
    });
    if (!segment.segment_)
        throw Error(
            sqlstate::out_of_memory, "too many dynamic shared memory segments", {},
            "Wait until other parallel work has ended, or raise max_connections: it decides how many there are.");
    return segment;
}

Segment Segment::attach(dsm_handle handle) {
    Segment segment;
    segment.segment_ = pg_call([handle] {
        dsm_segment *found = dsm_attach(handle);
        if (found) dsm_pin_mapping(found);
        return found;
    });
    return segment;
}

Segment::~Segment() {
    if (!segment_) return;
    try {
        pg_call([segment = segment_] { dsm_detach(segment); });
    } catch (...) { // the end of the process detaches
    }
}

Segment create_run_segment(std::int64_t run, int workers, TransactionId starter, std::int64_t budget) {
    Segment segment = Segment::create(sizeof(RunShared));
    auto *shared = static_cast<RunShared *>(segment.address());
    std::memset(static_cast<void *>(shared), 0, sizeof *shared);
    shared->database = MyDatabaseId;
    shared->session_user = GetSessionUserId();
    shared->role = GetUserId();
    shared->run = run;
    shared->worker_limit = workers;
    shared->starter = starter;
    shared->budget = budget;
    SpinLockInit(&shared->mutex);
    ConditionVariableInit(&shared->changed);
    dsm_segment *mapped = segment.get();
    pg_call([shared, mapped] { SharedFileSetInit(&shared->files, mapped); });
    return segment;
}

bool take_range(RunShared *run, WalkShared *walk, int worker, BlockNumber blocks, BlockRange *range) {
    SpinGuard guard(&run->mutex);
    WorkerSlot &slot = run->slots[worker - 1];
    if (walk->todo_next >= walk->todo_count || slot.open_count > most_open_ranges) return false;
    BlockRange &next = walk->todo()[walk->todo_next];
    *range = next;
    // Towards the end ranges get smaller, so that all workers finish together.
    std::uint64_t left = 0;
    for (std::uint32_t i = walk->todo_next; i < walk->todo_count && left < blocks * std::uint64_t{4} * most_workers;
         i++)
        left += walk->todo()[i].to - walk->todo()[i].from;
    auto fair = static_cast<BlockNumber>(left / (2 * static_cast<std::uint64_t>(run->worker_limit)));
    BlockNumber most = std::max({BlockNumber(1), std::min(blocks, least_range), std::min(blocks, fair)});
    if (walk->segment_blocks > 0) most = std::min(most, walk->segment_blocks - next.from % walk->segment_blocks);
    if (next.to - next.from > most) {
        range->to = next.from + most;
        next.from = range->to;
    } else {
        walk->todo_next++;
    }
    slot.open[slot.open_count++] = *range;
    return true;
}

void range_done(RunShared *run, int worker, const BlockRange &range) {
    SpinGuard guard(&run->mutex);
    WorkerSlot &slot = run->slots[worker - 1];
    for (int i = 0; i < slot.open_count; i++)
        if (slot.open[i] == range) {
            slot.open[i] = slot.open[--slot.open_count];
            return;
        }
}

bool give_back_ranges(RunShared *run, WalkShared *walk, int worker) {
    SpinGuard guard(&run->mutex);
    WorkerSlot &slot = run->slots[worker - 1];
    bool some = slot.open_count > 0;
    while (slot.open_count > 0) {
        if (walk->todo_count == walk->todo_room)
            break; // many workers died again and again: the last sweep takes their rows
        walk->todo()[walk->todo_count++] = slot.open[--slot.open_count];
    }
    return some;
}

Stop stop_of(RunShared *run) {
    SpinGuard guard(&run->mutex);
    return run->leader_gone ? Stop::failed : run->stop;
}

void set_stop(RunShared *run, Stop stop) {
    {
        SpinGuard guard(&run->mutex);
        if (run->stop < stop) run->stop = stop;
    }
    ConditionVariableBroadcast(&run->changed);
}

} // namespace tenantmig

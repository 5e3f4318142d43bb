#include "engine/walk_setup.hpp"
#include "engine/row_decider.hpp"

namespace tenantmig {

namespace {
// Blocks that need not be walked again are left out; those of another storage are not known any more.
std::vector<BlockRange> open_ranges(const std::vector<Leaf> &leaves, const std::vector<DoneRange> &done) {
    std::vector<BlockRange> ranges;
    for (std::uint32_t i = 0; i < leaves.size(); i++) {
        BlockNumber from = 0;
        for (const DoneRange &range : done) { // in order of their blocks
            if (range.storage != leaves[i].storage) continue;
            if (range.from > from) ranges.push_back({i, from, std::min(range.from, leaves[i].blocks)});
            from = std::max(from, range.to);
        }
        if (from < leaves[i].blocks) ranges.push_back({i, from, leaves[i].blocks});
    }
    std::erase_if(ranges, [](const BlockRange &range) { return range.from >= range.to; });
    return ranges;
}

Segment make_walk(const std::vector<BlockRange> &ranges, const std::vector<Leaf> &leaves, std::size_t evidence) {
    // room for all that workers may have taken and left behind
    std::size_t room = ranges.size() + std::size_t{4} * most_workers * (most_open_ranges + 1);
    Segment segment = Segment::create(WalkShared::size(leaves.size(), room, evidence));
    auto *walk = static_cast<WalkShared *>(segment.address());
    walk->leaf_count = static_cast<std::uint32_t>(leaves.size());
    walk->todo_room = static_cast<std::uint32_t>(room);
    walk->todo_count = static_cast<std::uint32_t>(ranges.size());
    walk->todo_next = 0;
    walk->segment_blocks = 0;
    std::copy(leaves.begin(), leaves.end(), walk->leaves());
    std::copy(ranges.begin(), ranges.end(), walk->todo());
    return segment;
}

class ProbedVerdicts : public Verdicts {
public:
    ProbedVerdicts(const ResolvedStep &step, const core::SharedEvidence &evidence) : step_(step), evidence_(evidence) {}
    void begin(const BlockRange &, const HeapWriter &writer) override {
        Relation rel = writer.relation();
        decider_.emplace(step_, evidence_, RelationGetDescr(rel), RelationGetRelid(rel));
    }
    bool decide(const LeafRow &row, core::Decision *decision, std::vector<core::Candidate> *candidates) override {
        if (!decider_->in_scope(row.values, row.nulls)) return false;
        decider_->decide(row.values, row.nulls, decision, *candidates);
        return true;
    }

private:
    const ResolvedStep &step_;
    const core::SharedEvidence &evidence_;
    std::optional<RowDecider> decider_;
};
} // namespace

Segment publish_walk(RunShared *run, std::uint64_t number, const ResolvedStep &step, const std::vector<Leaf> &leaves,
                     Evaluation &evaluation, const TenantDictionary &tenants, const std::vector<DoneRange> &done) {
    bool probed = !RowDecider::not_possible(step, evaluation);
    if (!probed) {
        VerdictSpool spool(run, number, step.target, leaves);
        evaluation.evaluate(spool);
        spool.finish();
    }
    core::SharedEvidence::Contents contents{{}, tenants.texts(), tenants.known()};
    if (probed) contents.tables = evaluation.views();
    std::size_t size = core::SharedEvidence::flat_size(contents);
    Segment segment = make_walk(open_ranges(leaves, done), leaves, size);
    auto *walk = static_cast<WalkShared *>(segment.address());
    walk->segment_blocks = probed ? 0 : verdict_blocks;
    core::SharedEvidence::flatten(contents, walk->evidence());
    return segment;
}

Segment publish_blocks(const std::vector<Leaf> &leaves) {
    return make_walk(open_ranges(leaves, {}), leaves, 0);
}

void open_walk(RunShared *run, std::uint64_t number, dsm_handle segment, std::size_t step_position) {
    {
        SpinGuard guard(&run->mutex);
        run->walk = number;
        run->walk_segment = segment;
        run->walk_step = static_cast<int>(step_position);
    }
    ConditionVariableBroadcast(&run->changed);
}

bool close_walk(RunShared *run) {
    SpinGuard guard(&run->mutex);
    for (int i = 1; i < most_workers; i++)
        if (run->slots[i].state == WorkerState::walking) return false;
    run->walk_segment = DSM_HANDLE_INVALID;
    return true;
}

bool join_walk(RunShared *run, int worker, JoinedWalk *walk) {
    SpinGuard guard(&run->mutex);
    WorkerSlot &slot = run->slots[worker - 1];
    if (run->walk_segment == DSM_HANDLE_INVALID || slot.walk == run->walk) return false;
    *walk = {run->walk, run->walk_segment, static_cast<std::size_t>(run->walk_step)};
    slot.state = WorkerState::walking;
    return true;
}

void leave_walk(RunShared *run, int worker, std::uint64_t number) {
    {
        SpinGuard guard(&run->mutex);
        WorkerSlot &slot = run->slots[worker - 1];
        slot.walk = number;
        slot.state = WorkerState::waiting;
    }
    ConditionVariableBroadcast(&run->changed);
}

std::unique_ptr<Verdicts> walk_verdicts(RunShared *run, std::uint64_t number, const ResolvedStep &step,
                                        WalkShared *walk, const core::SharedEvidence &evidence) {
    if (walk->segment_blocks > 0) return spooled_verdicts(run, number, step.target);
    return std::make_unique<ProbedVerdicts>(step, evidence);
}

} // namespace tenantmig

// A walk, from the evidence that its leader has read to the verdicts that each of its workers asks for.
#pragma once
#include "core/shared_evidence.hpp"

#include "catalog/run_store.hpp"
#include "engine/verdicts.hpp"

namespace tenantmig {

// The leader: puts evidence, tenants and the list of blocks into a segment of the walk's own. Evidence that does not
// fit into memory, or that only SQL can compare, is evaluated here, and its verdicts are spooled. In the transaction,
// and under the snapshot, that the evidence was read in.
Segment publish_walk(RunShared *run, std::uint64_t number, const ResolvedStep &step, const std::vector<Leaf> &leaves,
                     Evaluation &evaluation, const TenantDictionary &tenants, const std::vector<DoneRange> &done);
// The same without evidence: all blocks, for a walk that knows itself what to look for.
Segment publish_blocks(const std::vector<Leaf> &leaves);
// Lets the other workers in; lets no more of them in, unless some are still walking (false).
void open_walk(RunShared *run, std::uint64_t number, dsm_handle segment, std::size_t step_position);
bool close_walk(RunShared *run);

// A worker: joins the walk that is on, if it has not finished that one; false: there is none.
struct JoinedWalk {
    std::uint64_t number = 0;
    dsm_handle segment = DSM_HANDLE_INVALID;
    std::size_t step_position = 0;
};
bool join_walk(RunShared *run, int worker, JoinedWalk *walk);
void leave_walk(RunShared *run, int worker, std::uint64_t number);

// Verdicts by looking up evidence in the walk's block, or spooled ones.
std::unique_ptr<Verdicts> walk_verdicts(RunShared *run, std::uint64_t number, const ResolvedStep &step,
                                        WalkShared *walk, const core::SharedEvidence &evidence);

} // namespace tenantmig

// What the walk knows of a row that it meets on a page: its outcome and candidates.
#pragma once
#include "engine/block_walk.hpp"
#include "engine/evaluation.hpp"
#include "engine/run_shared.hpp"

namespace tenantmig {

class Verdicts {
public:
    virtual ~Verdicts() = default;
    virtual void begin(const BlockRange &range, const HeapWriter &writer) = 0;
    // False: nothing is known of this row as it stands; the last sweep takes it.
    virtual bool decide(const LeafRow &row, core::Decision *decision, std::vector<core::Candidate> *candidates) = 0;
};

// Verdicts that were reached ahead, set-based, and spooled to files, one for each `verdict_blocks` blocks of a leaf:
// for evidence that does not fit into memory, or that only SQL can compare.
constexpr BlockNumber verdict_blocks = 1024;

class VerdictSpool : public RowConsumer {
public:
    VerdictSpool(RunShared *run, std::uint64_t walk, const StepTarget &target, const std::vector<Leaf> &leaves);
    ~VerdictSpool() override;
    void row(const EvaluatedRow &row) override;
    void finish();

private:
    void open(std::uint32_t leaf, BlockNumber segment);
    void close();
    RunShared *run_;
    std::uint64_t walk_;
    const StepTarget &target_;
    std::unordered_map<Oid, std::uint32_t> leaves_;
    std::vector<std::pair<std::int16_t, bool>> key_storage_;
    BufFile *file_ = nullptr;
    std::uint32_t leaf_ = 0;
    BlockNumber segment_ = 0;
    std::set<std::pair<std::uint32_t, BlockNumber>> written_;
    std::string buffer_;
};

std::unique_ptr<Verdicts> spooled_verdicts(RunShared *run, std::uint64_t walk, const StepTarget &target);

} // namespace tenantmig

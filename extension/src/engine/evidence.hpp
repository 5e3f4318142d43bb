// Evidence of one source: key -> tenants, in memory while it fits, partitioned to disk when not. Look-ups in a spilled
// table are deferred and answered partition by partition (a Grace hash join), so that memory stays within its budget
// whatever the size of the tables.
#pragma once
#include "core/evidence_map.hpp"

#include "engine/spill.hpp"

namespace tenantmig {

// What all tables of one evaluation may use together: maintenance_work_mem.
struct EvidenceMemory {
    explicit EvidenceMemory(std::size_t bytes) : limit(bytes) {}
    std::size_t limit;
    std::size_t used = 0; // by finished tables that stayed in memory
    std::size_t for_building() const { return limit * 5 / 8 > used ? limit * 5 / 8 - used : 0; }
    std::size_t for_partition() const { return limit / 4; } // while a spilled table is read again
};
std::size_t evidence_memory_limit(); // maintenance_work_mem in bytes

class EvidenceTable {
public:
    // `expected_rows`: the planner's estimate, decides the number of partitions.
    EvidenceTable(bool fixed8, EvidenceMemory &memory, double expected_rows);
    ~EvidenceTable();
    EvidenceTable(const EvidenceTable &) = delete;
    EvidenceTable &operator=(const EvidenceTable &) = delete;

    void add(std::string_view key, core::TenantNo tenant, std::uint64_t count = 1);
    void finish(); // nothing more is added
    bool spilled() const { return parts_ != nullptr; }
    // In memory only.
    void find(std::string_view key, std::uint32_t source, std::vector<core::Candidate> &out) const {
        map_.find(key, source, out);
    }
    core::EvidenceView view() const { return map_.view(); }
    void prefetch(std::int64_t key) const { map_.prefetch(key); } // an integer key that comes next
    // Spilled only: remembers a look-up, and answers all of them. Unanswered look-ups are dropped. The evidence is kept
    // for more look-ups only if `keep`.
    void defer(std::string_view key, std::string_view payload);
    using Answer = std::function<void(std::string_view payload, const std::vector<core::Candidate> &candidates)>;
    void drain(std::uint32_t source, const Answer &answer, bool keep = false);

private:
    void spill();
    std::size_t part(std::string_view key) const;
    void write(std::string_view key, core::TenantNo tenant, std::uint64_t count);

    bool fixed8_;
    EvidenceMemory &memory_;
    std::size_t part_count_, counted_ = 0;
    core::EvidenceMap map_;
    std::unique_ptr<SpillSet> parts_, lookups_;
};

} // namespace tenantmig

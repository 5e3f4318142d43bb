#include "core/evidence_map.hpp"

#include "engine/evidence.hpp"

namespace tenantmig {

namespace {
constexpr double bytes_per_row = 48; // a slot at the lowest density, or a slot and a short text key
constexpr std::size_t least_parts = 8, most_parts = 256;

std::size_t choose_parts(double rows, std::size_t room) {
    double wanted = 2 * std::max(rows, 1.0) * bytes_per_row / static_cast<double>(std::max<std::size_t>(room, 1));
    std::size_t parts = least_parts;
    while (parts < most_parts && static_cast<double>(parts) < wanted)
        parts *= 2;
    return parts;
}

struct Counted {
    core::TenantNo tenant;
    std::uint64_t count;
};
} // namespace

std::size_t evidence_memory_limit() {
    return static_cast<std::size_t>(maintenance_work_mem) * 1024;
}

EvidenceTable::EvidenceTable(bool fixed8, EvidenceMemory &memory, double expected_rows)
    : fixed8_(fixed8), memory_(memory), part_count_(choose_parts(expected_rows, memory.for_partition())),
      map_(fixed8, memory.for_building()) {}

EvidenceTable::~EvidenceTable() {
    memory_.used -= counted_;
}

// High bits: the map's slots are chosen by the low ones.
std::size_t EvidenceTable::part(std::string_view key) const {
    return (core::hash_key(key) >> 48) % part_count_;
}

void EvidenceTable::write(std::string_view key, core::TenantNo tenant, std::uint64_t count) {
    Counted value{tenant, count};
    parts_->file(part(key)).write(key, {reinterpret_cast<const char *>(&value), sizeof value});
}

void EvidenceTable::spill() {
    parts_ = std::make_unique<SpillSet>(part_count_);
    lookups_ = std::make_unique<SpillSet>(part_count_);
    map_.for_each(
        [this](std::string_view key, core::TenantNo tenant, std::uint64_t count) { write(key, tenant, count); });
    map_.clear();
}

void EvidenceTable::add(std::string_view key, core::TenantNo tenant, std::uint64_t count) {
    if (!spilled()) {
        switch (map_.add(key, tenant, count)) {
        case core::EvidenceMap::Added::ok:
            return;
        case core::EvidenceMap::Added::no_memory:
            throw std::bad_alloc();
        case core::EvidenceMap::Added::full:
            spill();
            break;
        }
    }
    write(key, tenant, count);
}

void EvidenceTable::finish() {
    counted_ = spilled() ? 0 : map_.bytes();
    memory_.used += counted_;
}

void EvidenceTable::defer(std::string_view key, std::string_view payload) {
    lookups_->file(part(key)).write(key, payload);
}

void EvidenceTable::drain(std::uint32_t source, const Answer &answer, bool keep) {
    std::string key, value;
    std::vector<core::Candidate> candidates;
    for (std::size_t i = 0; i < part_count_; i++) {
        pg_call([] { CHECK_FOR_INTERRUPTS(); });
        SpillFile *evidence = parts_->existing(i), *lookups = lookups_->existing(i);
        if (evidence && lookups) {
            map_.set_budget(
                SIZE_MAX); // a partition is small by choice of their number; a single key with many rows is one entry
            evidence->rewind();
            while (evidence->read(&key, &value)) {
                Counted counted;
                std::memcpy(&counted, value.data(), sizeof counted);
                if (map_.add(key, counted.tenant, counted.count) != core::EvidenceMap::Added::ok)
                    throw std::bad_alloc();
            }
            lookups->rewind();
            while (lookups->read(&key, &value)) {
                candidates.clear();
                map_.find(key, source, candidates);
                if (!candidates.empty()) answer(value, candidates);
            }
            map_.clear();
        }
        if (!keep) parts_->drop(i);
        lookups_->drop(i);
    }
}

} // namespace tenantmig

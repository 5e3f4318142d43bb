// All that deciding about the rows of one step takes, in one block of memory without pointers: the evidence of each
// source, and the tenants by number with whether they stand in the tenant root. One process writes it, others read it.
#pragma once
#include "core/evidence_map.hpp"
#include <span>
#include <string>

namespace tenantmig::core {

class SharedEvidence {
public:
    struct Contents {
        std::vector<EvidenceView> tables;     // in the order of the sources, and of the types within one
        std::span<const std::string> tenants; // texts by number
        const std::vector<bool> &known;       // by number; tenants beyond its end are not known
    };
    // Bytes of the block, a multiple of 64; it must be aligned to 8, better to 64.
    static std::size_t flat_size(const Contents &contents);
    static void flatten(const Contents &contents, char *block);

    // Reads a block, which must outlive this. std::invalid_argument for anything else.
    explicit SharedEvidence(const char *block);
    const std::vector<EvidenceView> &tables() const noexcept { return tables_; }
    std::size_t tenants() const noexcept { return tenants_; }
    std::string_view tenant(TenantNo number) const noexcept; // its text
    const std::vector<bool> &known() const noexcept { return known_; }

private:
    struct Header { // offsets of the tables, offsets of the texts (one more than tenants), flags, texts, tables follow
        std::uint64_t magic, tables, tenants;
    };
    const char *block_;
    std::size_t tenants_ = 0;
    std::vector<EvidenceView> tables_;
    std::vector<bool> known_;
};

} // namespace tenantmig::core

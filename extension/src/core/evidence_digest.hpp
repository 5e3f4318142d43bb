// A fingerprint of evidence that does not depend on the order in which it is read: two sums over all rows, each row a
// keyed hash of (table, key, tenant). Read again with the same seed, the same evidence has the same digest, and whoever
// does not know the seed can't make other evidence with it. No map is needed to compute it.
#pragma once
#include "core/evidence_map.hpp"
#include <array>

namespace tenantmig::core {

struct EvidenceDigest {
    std::uint64_t first = 0, second = 0;
    bool operator==(const EvidenceDigest &) const = default;
};

// A secret of the run: the same for each reading that is to be compared.
using DigestSeed = std::array<std::uint64_t, 2>;

class EvidenceSum {
public:
    explicit EvidenceSum(const DigestSeed &seed) noexcept : seed_(seed) {}

    // What follows belongs to this table: evidence of one source and type, by position.
    void table(std::uint32_t source, std::uint32_t type) noexcept {
        const std::uint64_t number = (static_cast<std::uint64_t>(source) << 32) | type;
        for (std::size_t i = 0; i < keys_.size(); i++)
            keys_[i] = mix_bits(seed_[i & 1] ^ mix_bits(number * keys_.size() + i + 1));
    }

    // A tenant by its text, whatever its number in a dictionary.
    std::uint64_t tenant(std::string_view text) const noexcept { return hash_key(text, seed_[0]); }

    // `count` rows of evidence for a key and a tenant(); integer keys come as their eight bytes.
    void add(std::string_view key, std::uint64_t tenant, std::uint64_t count) noexcept {
        add(key.size() == 8 ? load_bytes(key.data()) : hash_key(key, keys_[0]), tenant, count);
    }
    void add(std::uint64_t key, std::uint64_t tenant, std::uint64_t count) noexcept {
        const auto product =
            static_cast<unsigned __int128>(mix_bits(key ^ keys_[0])) * (mix_bits(tenant ^ keys_[1]) | 1);
        const auto low = static_cast<std::uint64_t>(product), high = static_cast<std::uint64_t>(product >> 64);
        sum_.first += mix_bits(low + keys_[2]) * count;
        sum_.second += mix_bits((high ^ low * 0x9E3779B97F4A7C15ULL) + keys_[3]) * count;
    }

    const EvidenceDigest &sum() const noexcept { return sum_; }

private:
    DigestSeed seed_;
    std::array<std::uint64_t, 4> keys_{};
    EvidenceDigest sum_;
};

} // namespace tenantmig::core

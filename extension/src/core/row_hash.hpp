// 128 bits for a row's bytes, and sums of them: a fingerprint of rows that does not depend on their order. Not against
// somebody who looks for collisions: against accidents. The same on every machine with the same byte order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace tenantmig::core {

struct Hash128 {
    std::uint64_t low = 0, high = 0;
    bool operator==(const Hash128 &) const = default;

    // Modulo 2^128: equal rows don't cancel each other out, as they would with XOR.
    void add(Hash128 other) noexcept {
        low += other.low;
        high += other.high + (low < other.low ? 1 : 0);
    }
};

// Follows MurmurHash3's x64 variant (public domain, Austin Appleby), with a seed of 128 bits.
Hash128 hash_bytes(const char *data, std::size_t size, Hash128 seed) noexcept;

// 32 hexadecimal digits, the high half first.
std::string hex(Hash128 hash);

} // namespace tenantmig::core

#include "core/row_hash.hpp"
#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace tenantmig::core {

namespace {
constexpr std::uint64_t factor_low = 0x87c37b91114253d5ULL, factor_high = 0x4cf5ad432745937fULL;
constexpr std::size_t block = 16;

std::uint64_t word(const char *data) noexcept {
    std::uint64_t value = 0;
    std::memcpy(&value, data, sizeof value);
    return value;
}

std::uint64_t mix_low(std::uint64_t value) noexcept {
    return std::rotl(value * factor_low, 31) * factor_high;
}

std::uint64_t mix_high(std::uint64_t value) noexcept {
    return std::rotl(value * factor_high, 33) * factor_low;
}

std::uint64_t finish(std::uint64_t value) noexcept {
    value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdULL;
    value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return value ^ (value >> 33);
}
} // namespace

Hash128 hash_bytes(const char *data, std::size_t size, Hash128 seed) noexcept {
    std::uint64_t low = seed.low, high = seed.high;
    std::size_t at = 0;
    for (; at + block <= size; at += block) {
        low = (std::rotl(low ^ mix_low(word(data + at)), 27) + high) * 5 + 0x52dce729;
        high = (std::rotl(high ^ mix_high(word(data + at + block / 2)), 31) + low) * 5 + 0x38495ab5;
    }
    if (at < size) { // the rest, filled up with zeros; its length goes in below
        char rest[block] = {};
        std::memcpy(rest, data + at, size - at);
        low ^= mix_low(word(rest));
        high ^= mix_high(word(rest + block / 2));
    }
    low ^= size;
    high ^= size;
    low += high;
    high += low;
    low = finish(low);
    high = finish(high);
    low += high;
    high += low;
    return {low, high};
}

std::string hex(Hash128 hash) {
    return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

} // namespace tenantmig::core

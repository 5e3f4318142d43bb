// Hashes of rows, and their sums.
#include "core/row_hash.hpp"
#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace tenantmig::core;

namespace {

Hash128 hash_of(const std::string &text, Hash128 seed = {}) {
    return hash_bytes(text.data(), text.size(), seed);
}

TEST(RowHash, IsTheSameOnEveryMachine) {
    EXPECT_EQ(hex(hash_of("")), "00000000000000000000000000000000");
    EXPECT_EQ(hash_of("tenantmig"), hash_of(std::string("tenantmig")));
    EXPECT_NE(hash_of("tenantmig"), hash_of("tenantmig", {1, 0}));
    EXPECT_NE(hash_of("tenantmig"), hash_of("tenantmig", {0, 1}));
}

TEST(RowHash, LengthsAndZerosCount) {
    std::set<std::string> seen;
    for (std::size_t size = 0; size <= 100; size++)
        seen.insert(hex(hash_of(std::string(size, '\0'), {7, 7})));
    EXPECT_EQ(seen.size(), 101U);
}

TEST(RowHash, EachBitCounts) {
    for (const std::size_t size : {1U, 7U, 8U, 15U, 16U, 17U, 33U, 64U}) {
        const std::string text(size, 'a');
        std::set<std::string> seen = {hex(hash_of(text))};
        for (std::size_t bit = 0; bit < size * 8; bit++) {
            std::string other = text;
            other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << (bit % 8)));
            seen.insert(hex(hash_of(other)));
        }
        EXPECT_EQ(seen.size(), size * 8 + 1) << size;
    }
}

TEST(RowHash, SumsDoNotDependOnTheOrder) {
    std::mt19937_64 random(42);
    std::vector<std::string> rows;
    for (int i = 0; i < 1000; i++)
        rows.push_back(std::to_string(random() % 300)); // with duplicates
    const auto sum = [&rows] {
        Hash128 total;
        for (const std::string &row : rows)
            total.add(hash_of(row));
        return total;
    };
    const Hash128 before = sum();
    std::shuffle(rows.begin(), rows.end(), random);
    EXPECT_EQ(before, sum());
    rows.back() += "x";
    EXPECT_NE(before, sum());
}

TEST(RowHash, EqualRowsDoNotCancelEachOtherOut) {
    Hash128 twice, never;
    twice.add(hash_of("row"));
    twice.add(hash_of("row"));
    EXPECT_NE(twice, never);
}

TEST(RowHash, SumsCarryIntoTheHighHalf) {
    Hash128 sum{~std::uint64_t{0}, 1};
    sum.add({1, 1});
    EXPECT_EQ(sum, (Hash128{0, 3}));
    EXPECT_EQ(hex(sum), "00000000000000030000000000000000");
}

} // namespace

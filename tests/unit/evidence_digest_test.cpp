// The digest of evidence: the same for the same rows in any order, another for anything else.
#include "core/evidence_digest.hpp"
#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <string>

namespace tenantmig::core {
namespace {

struct Row {
    std::uint32_t source, type;
    std::string key, tenant;
    std::uint64_t count = 1;
};

constexpr DigestSeed seed{0x123456789abcdefULL, 42};

EvidenceDigest digest(const std::vector<Row> &rows, const DigestSeed &with = seed) {
    EvidenceSum sum(with);
    for (const Row &row : rows) {
        sum.table(row.source, row.type);
        sum.add(row.key, sum.tenant(row.tenant), row.count);
    }
    return sum.sum();
}

std::vector<Row> some_rows() {
    std::vector<Row> rows;
    for (std::uint32_t i = 0; i < 300; i++)
        rows.push_back({i % 3, i % 2, "key " + std::to_string(i), "tenant " + std::to_string(i % 7)});
    return rows;
}

TEST(EvidenceSum, TheOrderDoesNotMatter) {
    std::vector<Row> rows = some_rows();
    const EvidenceDigest first = digest(rows);
    std::shuffle(rows.begin(), rows.end(), std::mt19937_64(1));
    EXPECT_EQ(digest(rows), first);
}

TEST(EvidenceSum, RowsMayComeCounted) {
    const std::vector<Row> one_by_one{{0, 0, "a", "x"}, {0, 0, "a", "x"}, {0, 0, "a", "y"}};
    EXPECT_EQ(digest(one_by_one), digest({{0, 0, "a", "x", 2}, {0, 0, "a", "y"}}));
    EXPECT_NE(digest(one_by_one), digest({{0, 0, "a", "x", 1}, {0, 0, "a", "y", 2}}));
}

TEST(EvidenceSum, IntegersAreTheirBytes) {
    const std::uint64_t key = 7654321;
    EvidenceSum integers(seed), bytes(seed);
    integers.table(1, 0);
    bytes.table(1, 0);
    integers.add(key, integers.tenant("x"), 3);
    bytes.add(std::string_view(reinterpret_cast<const char *>(&key), sizeof key), bytes.tenant("x"), 3);
    EXPECT_EQ(integers.sum(), bytes.sum());
}

TEST(EvidenceSum, AnyChangeShowsInBothSums) {
    const std::vector<Row> rows = some_rows();
    const EvidenceDigest whole = digest(rows);
    auto differs = [&](const std::vector<Row> &other) {
        const EvidenceDigest changed = digest(other);
        return changed.first != whole.first && changed.second != whole.second;
    };
    for (std::size_t i = 0; i < rows.size(); i++) {
        std::vector<Row> other = rows;
        other.erase(other.begin() + static_cast<std::ptrdiff_t>(i));
        EXPECT_TRUE(differs(other)) << "missing " << i;
        other = rows;
        other[i].key += '.';
        EXPECT_TRUE(differs(other)) << "key of " << i;
        other = rows;
        other[i].tenant += '.';
        EXPECT_TRUE(differs(other)) << "tenant of " << i;
        other = rows;
        other[i].source += 1;
        EXPECT_TRUE(differs(other)) << "source of " << i;
        other = rows;
        other[i].type += 1;
        EXPECT_TRUE(differs(other)) << "type of " << i;
        other = rows;
        other.push_back(rows[i]);
        EXPECT_TRUE(differs(other)) << "twice " << i;
    }
    std::vector<Row> swapped = rows; // two rows change tenants with each other
    std::swap(swapped[0].tenant, swapped[3].tenant);
    ASSERT_NE(rows[0].tenant, rows[3].tenant);
    EXPECT_TRUE(differs(swapped));
}

TEST(EvidenceSum, DependsOnTheWholeSeed) {
    const std::vector<Row> rows = some_rows();
    EXPECT_NE(digest(rows), digest(rows, {seed[0] + 1, seed[1]}));
    EXPECT_NE(digest(rows), digest(rows, {seed[0], seed[1] + 1}));
}

// Close numbers, as keys and tenants are, do not collide.
TEST(EvidenceSum, RowsHaveHashesOfTheirOwn) {
    std::set<std::uint64_t> first, second;
    for (std::uint64_t key = 0; key < 300; key++)
        for (std::uint64_t tenant = 0; tenant < 100; tenant++) {
            EvidenceSum sum(seed);
            sum.table(0, 0);
            sum.add(key, tenant, 1);
            first.insert(sum.sum().first);
            second.insert(sum.sum().second);
        }
    EXPECT_EQ(first.size(), 30000U);
    EXPECT_EQ(second.size(), 30000U);
}

} // namespace
} // namespace tenantmig::core

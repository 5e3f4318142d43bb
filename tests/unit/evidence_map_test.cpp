// The engine's hash: against a plain map, within its budget, and with keys that are made to collide.
#include "core/evidence_map.hpp"
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <stdexcept>
#include <string>

namespace tenantmig::core {
namespace {

using Added = EvidenceMap::Added;
using Model = std::map<std::string, std::map<TenantNo, std::uint64_t>>;
constexpr std::size_t plenty = std::size_t{64} << 20;

std::string number(std::uint64_t value) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &value, 8);
    return bytes;
}

std::vector<Candidate> found(const EvidenceMap &map, const std::string &key, std::uint32_t source = 0) {
    std::vector<Candidate> out;
    map.find(key, source, out);
    return out;
}

// Everything in the map is in the model and the other way round, by find() and by for_each().
void expect_same(const EvidenceMap &map, const Model &model) {
    EXPECT_EQ(map.size(), model.size());
    for (const auto &[key, tenants] : model) {
        std::vector<Candidate> expected;
        for (const auto &[tenant, count] : tenants)
            expected.push_back({3, tenant, count});
        ASSERT_EQ(found(map, key, 3), expected);
    }
    Model seen;
    map.for_each([&](std::string_view key, TenantNo tenant, std::uint64_t count) {
        EXPECT_TRUE(seen[std::string(key)].emplace(tenant, count).second) << "named twice";
    });
    EXPECT_EQ(seen, model);
}

TEST(EvidenceMap, StartsEmptyAndOwnsNothing) {
    const EvidenceMap map(true, plenty);
    EXPECT_EQ(map.size(), 0U);
    EXPECT_EQ(map.bytes(), 0U);
    EXPECT_TRUE(found(map, number(1)).empty());
    map.for_each([](std::string_view, TenantNo, std::uint64_t) { ADD_FAILURE() << "something in an empty map"; });
}

TEST(EvidenceMap, CountsPerKeyAndTenant) {
    EvidenceMap map(true, plenty);
    EXPECT_EQ(map.add(number(7), 1, 2), Added::ok);
    EXPECT_EQ(map.add(number(7), 1, 3), Added::ok);
    EXPECT_EQ(map.add(number(8), 1, 1), Added::ok);
    EXPECT_EQ(found(map, number(7)), (std::vector<Candidate>{{0, 1, 5}}));
    EXPECT_EQ(found(map, number(8)), (std::vector<Candidate>{{0, 1, 1}}));
    EXPECT_TRUE(found(map, number(9)).empty());
    EXPECT_EQ(map.size(), 2U);
}

TEST(EvidenceMap, SeveralTenantsOfAKeyComeInOrderOfTheirNumber) {
    EvidenceMap map(false, plenty);
    for (const TenantNo tenant : {9U, 2U, 5U, 2U, 9U, 9U})
        EXPECT_EQ(map.add("k", tenant, 1), Added::ok);
    EXPECT_EQ(found(map, "k", 4), (std::vector<Candidate>{{4, 2, 2}, {4, 5, 1}, {4, 9, 3}}));
    EXPECT_EQ(map.size(), 1U);
}

TEST(EvidenceMap, FindAppends) {
    EvidenceMap map(true, plenty);
    map.add(number(1), 4, 1);
    std::vector<Candidate> out{{0, 9, 9}};
    map.find(number(1), 2, out);
    EXPECT_EQ(out, (std::vector<Candidate>{{0, 9, 9}, {2, 4, 1}}));
}

TEST(EvidenceMap, CountsBeyondThirtyOneBits) {
    constexpr std::uint64_t huge = std::uint64_t{1} << 40;
    EvidenceMap map(true, plenty);
    map.add(number(1), 1, 0x7ffffffd); // the last count that fits a slot
    map.add(number(1), 1, 1);
    map.add(number(1), 1, 1);
    map.add(number(2), 1, huge);
    map.add(number(2), 2, 1);
    map.add(number(2), 1, huge);
    EXPECT_EQ(found(map, number(1)), (std::vector<Candidate>{{0, 1, 0x7fffffff}}));
    EXPECT_EQ(found(map, number(2)), (std::vector<Candidate>{{0, 1, 2 * huge}, {0, 2, 1}}));
}

TEST(EvidenceMap, TextKeysAreComparedAsAWhole) {
    EvidenceMap map(false, plenty);
    const std::vector<std::string> keys{
        "",         "a",         std::string("a\0", 2),    std::string("\0a", 2),
        "12345678", "123456789", std::string(200000, 'x'), std::string(199999, 'x') + "y"};
    for (std::size_t i = 0; i < keys.size(); ++i)
        EXPECT_EQ(map.add(keys[i], static_cast<TenantNo>(i), i + 1), Added::ok);
    EXPECT_EQ(map.size(), keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i)
        EXPECT_EQ(found(map, keys[i]), (std::vector<Candidate>{{0, static_cast<TenantNo>(i), i + 1}})) << i;
}

TEST(EvidenceMap, KeysOutliveTheCallersText) {
    EvidenceMap map(false, plenty);
    {
        std::string gone = "short-lived";
        map.add(gone, 1, 1);
        gone.assign(gone.size(), '#');
    }
    EXPECT_EQ(found(map, "short-lived").size(), 1U);
}

// Random keys, tenants and counts through several growths.
TEST(EvidenceMap, AgreesWithAPlainMap) {
    for (const bool fixed8 : {true, false}) {
        std::mt19937_64 random(20261121);
        EvidenceMap map(fixed8, plenty);
        Model model;
        for (int i = 0; i < 60000; ++i) {
            const std::uint64_t n = random() % 15000;
            const std::string key = fixed8 ? number(n) : std::string(n % 40, 'k') + std::to_string(n);
            const auto tenant = static_cast<TenantNo>(random() % 8 == 0 ? random() % 20 : n % 5);
            const std::uint64_t count = 1 + random() % 4;
            ASSERT_EQ(map.add(key, tenant, count), Added::ok);
            model[key][tenant] += count;
        }
        expect_same(map, model);
    }
}

// Keys whose low bits, or whose blocks of 64 neighbours, are all alike.
TEST(EvidenceMap, CollidingKeysStayApart) {
    for (const std::uint64_t stride : {std::uint64_t{1}, std::uint64_t{64}, std::uint64_t{4096}, std::uint64_t{1} << 20,
                                       std::uint64_t{1} << 32, std::uint64_t{1} << 50}) {
        EvidenceMap map(true, plenty);
        Model model;
        for (std::uint64_t i = 0; i < 12000; ++i) {
            ASSERT_EQ(map.add(number(i * stride), static_cast<TenantNo>(i % 3), 1), Added::ok);
            model[number(i * stride)][static_cast<TenantNo>(i % 3)] = 1;
        }
        expect_same(map, model);
    }
}

// Keys that the golden ratio puts next to each other: noticed, and scattered. Without that each one is looked for among
// all of them.
TEST(EvidenceMap, KeysMadeToHeapUpAreScattered) {
    constexpr std::uint64_t inverse = 0xF1DE83E19937733DULL; // of the multiplier: groups 0, 1, 2 … of the hash
    static_assert(inverse * 0x9E3779B97F4A7C15ULL == 1);
    EvidenceMap map(true, plenty);
    Model model;
    for (std::uint64_t i = 0; i < 100000; ++i) {
        std::uint64_t group = i * inverse; // group ^ (group >> 32) gives this back
        group = (group ^ (group >> 32)) & ~(std::uint64_t{3} << 62);
        const std::string key = number(group << 2);
        ASSERT_EQ(map.add(key, 1, 1), Added::ok);
        model[key][1] += 1;
    }
    expect_same(map, model);
    std::vector<std::uint64_t> block(map.flat_size() / 8);
    map.flatten(reinterpret_cast<char *>(block.data()));
    std::vector<Candidate> out;
    for (const auto &[key, tenants] : model)
        EvidenceView(reinterpret_cast<const char *>(block.data())).find(std::string_view(key), 0, out);
    EXPECT_EQ(out.size(), model.size());
}

TEST(EvidenceMap, ExtremeNumbersAreKeysLikeOthers) {
    EvidenceMap map(true, plenty);
    Model model;
    for (const std::uint64_t n : {std::uint64_t{0}, UINT64_MAX, std::uint64_t{1} << 63, (std::uint64_t{1} << 63) - 1}) {
        map.add(number(n), 0, 1); // tenant number 0 is a tenant
        model[number(n)][0] = 1;
    }
    expect_same(map, model);
}

// Fills maps of several budgets to the brim: never above, nothing half added, nothing lost.
TEST(EvidenceMap, NeverExceedsItsBudget) {
    for (const bool fixed8 : {true, false})
        for (const std::size_t budget : {std::size_t{20000}, std::size_t{100000}, std::size_t{700000}}) {
            EvidenceMap map(fixed8, budget);
            Model model;
            Added last = Added::ok;
            for (std::uint64_t i = 0; i < 200000; ++i) {
                const std::uint64_t n = i / 2; // every second row names another tenant for the same key
                const std::string key = fixed8 ? number(n) : "key-" + std::to_string(n);
                const auto tenant = static_cast<TenantNo>(n % 4 == 0 ? i % 2 : 0);
                last = map.add(key, tenant, 1);
                ASSERT_LE(map.bytes(), budget);
                if (last != Added::ok) break;
                model[key][tenant] += 1;
            }
            EXPECT_EQ(last, Added::full) << budget;
            expect_same(map, model);
        }
}

TEST(EvidenceMap, ABudgetTooSmallForAnythingIsFullAtOnce) {
    EvidenceMap map(true, 100);
    EXPECT_EQ(map.add(number(1), 1, 1), Added::full);
    EXPECT_EQ(map.size(), 0U);
    EXPECT_EQ(map.bytes(), 0U);
    EXPECT_TRUE(found(map, number(1)).empty());
    map.set_budget(plenty);
    EXPECT_EQ(map.add(number(1), 1, 1), Added::ok);
}

TEST(EvidenceMap, AFullMapStillCountsWhatItKnows) {
    EvidenceMap map(true, 20000);
    std::uint64_t keys = 0;
    while (map.add(number(keys), 1, 1) == Added::ok)
        ++keys;
    ASSERT_GT(keys, 700U);
    EXPECT_EQ(map.add(number(keys), 1, 1), Added::full);
    EXPECT_EQ(found(map, number(keys)).size(), 0U);
    EXPECT_EQ(map.size(), keys);
    EXPECT_EQ(found(map, number(keys - 1)), (std::vector<Candidate>{{0, 1, 1}}));
    EXPECT_EQ(found(map, number(0)), (std::vector<Candidate>{{0, 1, 1}}));
}

TEST(EvidenceMap, BytesFollowTheContents) {
    EvidenceMap map(false, plenty);
    map.add("a", 1, 1);
    const std::size_t small = map.bytes();
    EXPECT_GE(small, 1024U * 16);
    map.add(std::string(1 << 20, 'x'), 1, 1);
    EXPECT_GE(map.bytes(), small + (1U << 20));
    const std::size_t before_lists = map.bytes();
    for (TenantNo tenant = 0; tenant < 1000; ++tenant)
        map.add("a", tenant, 1);
    EXPECT_GE(map.bytes(), before_lists + 1000U * 16);
}

TEST(EvidenceMap, ClearFreesEverythingAndStartsAgain) {
    for (const bool fixed8 : {true, false}) {
        EvidenceMap map(fixed8, plenty);
        for (std::uint64_t i = 0; i < 5000; ++i)
            map.add(number(i), static_cast<TenantNo>(i % 7), 1);
        for (std::uint64_t i = 0; i < 5000; ++i)
            map.add(number(i), 99, 1);
        map.clear();
        EXPECT_EQ(map.size(), 0U);
        EXPECT_EQ(map.bytes(), 0U);
        EXPECT_TRUE(found(map, number(1)).empty());
        map.add(number(1), 5, 2);
        EXPECT_EQ(found(map, number(1)), (std::vector<Candidate>{{0, 5, 2}}));
        EXPECT_EQ(map.size(), 1U);
    }
}

// ---- the flat form

// A block as another process finds it: the same bytes at another address, whatever else stands around them.
std::vector<std::uint64_t> flat(const EvidenceMap &map) {
    const std::size_t size = map.flat_size();
    EXPECT_EQ(size % 64, 0U);
    std::vector<std::uint64_t> block(size / 8 + 1, 0x5a5a5a5a5a5a5a5aULL);
    map.flatten(reinterpret_cast<char *>(block.data()));
    EXPECT_EQ(block.back(), 0x5a5a5a5a5a5a5a5aULL) << "written beyond its size";
    return block;
}

void expect_same(const EvidenceView &view, const Model &model) {
    EXPECT_EQ(view.size(), model.size());
    Model seen;
    view.for_each([&](std::string_view key, TenantNo tenant, std::uint64_t count) {
        EXPECT_TRUE(seen[std::string(key)].emplace(tenant, count).second) << "named twice";
    });
    EXPECT_EQ(seen, model);
    for (const auto &[key, tenants] : model) {
        std::vector<Candidate> expected, out;
        for (const auto &[tenant, count] : tenants)
            expected.push_back({7, tenant, count});
        view.find(std::string_view(key), 7, out);
        ASSERT_EQ(out, expected);
        if (!view.fixed8()) continue;
        out.clear();
        std::int64_t integer;
        std::memcpy(&integer, key.data(), 8);
        view.prefetch(integer);
        view.find(integer, 7, out);
        ASSERT_EQ(out, expected);
    }
}

TEST(EvidenceView, AnEmptyOneFindsNothing) {
    std::vector<Candidate> out;
    const EvidenceMap map(false, plenty);
    const std::vector<std::uint64_t> block = flat(map);
    for (const EvidenceView &view :
         {EvidenceView(), map.view(), EvidenceView(reinterpret_cast<const char *>(block.data()))}) {
        view.find(std::string_view("12345678"), 0, out);
        EXPECT_EQ(view.size(), 0U);
    }
    EvidenceView().find(std::int64_t{1}, 0, out);
    EvidenceView().prefetch(1);
    EXPECT_TRUE(out.empty());
}

TEST(EvidenceView, ABlockHoldsWhatTheMapHeld) {
    for (const bool fixed8 : {true, false}) {
        std::mt19937_64 random(4711);
        std::vector<std::uint64_t> block;
        Model model;
        {
            EvidenceMap map(fixed8, plenty);
            for (int i = 0; i < 30000; ++i) {
                const std::uint64_t n = random() % 9000;
                const std::string key = fixed8 ? number(n - 4500) : std::string(n % 50, 'k') + std::to_string(n);
                const auto tenant = static_cast<TenantNo>(random() % 6 == 0 ? random() % 20 : n % 5);
                ASSERT_EQ(map.add(key, tenant, 2), Added::ok);
                model[key][tenant] += 2;
            }
            block = flat(map);
        } // the map has gone
        const std::vector<std::uint64_t> moved(block);
        expect_same(EvidenceView(reinterpret_cast<const char *>(moved.data())), model);
        // and a view of a block can be written again
        const EvidenceView first(reinterpret_cast<const char *>(block.data()));
        std::vector<std::uint64_t> again(first.flat_size() / 8);
        first.flatten(reinterpret_cast<char *>(again.data()));
        expect_same(EvidenceView(reinterpret_cast<const char *>(again.data())), model);
    }
}

TEST(EvidenceView, ABlockOfSomethingElseIsRefused) {
    const std::vector<std::uint64_t> block(64, 17);
    EXPECT_THROW(EvidenceView(reinterpret_cast<const char *>(block.data())), std::invalid_argument);
}

// Partitions are cut by the hash: they must be of about the same size, also for keys in sequence.
TEST(HashKey, SpreadsOverAllBits) {
    for (const bool fixed8 : {true, false})
        for (const int shift : {0, 32, 58}) {
            std::vector<int> parts(64, 0);
            for (std::uint64_t i = 0; i < 64000; ++i)
                ++parts[(hash_key(fixed8 ? number(i) : "customer-" + std::to_string(i)) >> shift) & 63];
            for (const int part : parts) {
                EXPECT_GT(part, 800) << "shift " << shift;
                EXPECT_LT(part, 1200) << "shift " << shift;
            }
        }
}

TEST(HashKey, DependsOnEveryByteAndTheLength) {
    const std::string key = "abcdefghijklmnopqrstuvw";
    for (std::size_t i = 0; i < key.size(); ++i) {
        std::string other = key;
        other[i] ^= 1;
        EXPECT_NE(hash_key(key), hash_key(other)) << i;
        EXPECT_NE(hash_key(key), hash_key(key.substr(0, i))) << i;
    }
    EXPECT_NE(hash_key("a"), hash_key(std::string_view("a\0", 2)));
    EXPECT_EQ(hash_key(key), hash_key(std::string(key)));
}

} // namespace
} // namespace tenantmig::core

// The block that processes share: what one writes, another reads, wherever the block lies in its memory.
#include "core/shared_evidence.hpp"
#include <gtest/gtest.h>
#include <stdexcept>

namespace tenantmig::core {
namespace {

constexpr std::size_t plenty = std::size_t{64} << 20;

std::vector<std::uint64_t> flat(const SharedEvidence::Contents &contents) {
    const std::size_t size = SharedEvidence::flat_size(contents);
    EXPECT_EQ(size % 64, 0U);
    std::vector<std::uint64_t> block(size / 8 + 1, 0x5a5a5a5a5a5a5a5aULL);
    SharedEvidence::flatten(contents, reinterpret_cast<char *>(block.data()));
    EXPECT_EQ(block.back(), 0x5a5a5a5a5a5a5a5aULL) << "written beyond its size";
    return block;
}

// not inlined: the compiler would take a short text for an integer key's bytes
[[gnu::noinline]] void find(const EvidenceView &view, std::string_view key, std::uint32_t source,
                            std::vector<Candidate> &out) {
    view.find(key, source, out);
}

const char *bytes(const std::vector<std::uint64_t> &block) {
    return reinterpret_cast<const char *>(block.data());
}

TEST(SharedEvidence, HoldsTablesTenantsAndWhatIsKnown) {
    std::vector<std::uint64_t> block;
    {
        EvidenceMap integers(true, plenty), texts(false, plenty);
        const EvidenceMap nothing(true, plenty);
        for (std::uint64_t i = 0; i < 5000; i++)
            ASSERT_EQ(integers.add({reinterpret_cast<const char *>(&i), 8}, static_cast<TenantNo>(i % 3), 1),
                      EvidenceMap::Added::ok);
        ASSERT_EQ(texts.add("a key", 2, 7), EvidenceMap::Added::ok);
        ASSERT_EQ(texts.add("a key", 1, 1), EvidenceMap::Added::ok);
        const std::vector<std::string> tenants{"10", "", "a tenant with a long name"};
        const std::vector<bool> known{true, false}; // the third was not looked up
        block = flat({{integers.view(), nothing.view(), texts.view()}, tenants, known});
    }
    const std::vector<std::uint64_t> elsewhere(block);
    std::fill(block.begin(), block.end(), 0);
    const SharedEvidence shared(bytes(elsewhere));
    ASSERT_EQ(shared.tables().size(), 3U);
    ASSERT_EQ(shared.tenants(), 3U);
    EXPECT_EQ(shared.tenant(0), "10");
    EXPECT_EQ(shared.tenant(1), "");
    EXPECT_EQ(shared.tenant(2), "a tenant with a long name");
    EXPECT_EQ(shared.known(), (std::vector<bool>{true, false, false}));
    std::vector<Candidate> out;
    shared.tables()[0].find(std::int64_t{4999}, 0, out);
    shared.tables()[0].find(std::int64_t{5000}, 0, out);
    shared.tables()[1].find(std::int64_t{1}, 1, out);
    find(shared.tables()[2], "a key", 2, out);
    EXPECT_EQ(out, (std::vector<Candidate>{{0, 1, 1}, {2, 1, 1}, {2, 2, 7}}));
}

TEST(SharedEvidence, MayHoldNothing) {
    const std::vector<std::uint64_t> block = flat({{}, {}, {}});
    const SharedEvidence shared(bytes(block));
    EXPECT_TRUE(shared.tables().empty());
    EXPECT_EQ(shared.tenants(), 0U);
    EXPECT_TRUE(shared.known().empty());
}

TEST(SharedEvidence, ABlockOfSomethingElseIsRefused) {
    EXPECT_THROW(SharedEvidence(bytes(std::vector<std::uint64_t>(16, 1))), std::invalid_argument);
    EvidenceMap map(true, plenty);
    std::vector<std::uint64_t> block(map.flat_size() / 8);
    map.flatten(reinterpret_cast<char *>(block.data()));
    EXPECT_THROW(SharedEvidence{bytes(block)}, std::invalid_argument);
}

} // namespace
} // namespace tenantmig::core

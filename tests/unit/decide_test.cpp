#include "core/decide.hpp"
#include <algorithm>
#include <gtest/gtest.h>

namespace tenantmig::core {
namespace {

const std::vector<bool> all_known(100, true);

Decision unanimous(const std::vector<Candidate> &candidates, const std::vector<bool> &known = all_known) {
    return decide({Evidence::unanimous, false}, candidates, known);
}
Decision first(const std::vector<Candidate> &candidates, const std::vector<bool> &known = all_known) {
    return decide({Evidence::first, false}, candidates, known);
}
Decision majority(const std::vector<Candidate> &candidates, const std::vector<bool> &known = all_known) {
    return decide({Evidence::unanimous, true}, candidates, known);
}
void expect(const Decision &decision, Outcome outcome, TenantNo tenant = no_tenant, std::uint32_t source = UINT32_MAX) {
    EXPECT_STREQ(outcome_name(decision.outcome), outcome_name(outcome));
    EXPECT_EQ(decision.tenant, tenant);
    EXPECT_EQ(decision.source, source);
}

TEST(Decide, NoEvidenceIsAnOrphan) {
    expect(unanimous({}), Outcome::orphan);
    expect(first({}), Outcome::orphan);
    expect(majority({}), Outcome::orphan);
}

TEST(Decide, OneTenantIsAssignedByItsFirstSource) {
    expect(unanimous({{0, 5, 3}}), Outcome::assigned, 5, 0);
    expect(unanimous({{2, 5, 1}, {4, 5, 9}}), Outcome::assigned, 5, 2);
}

TEST(Decide, TenantNumberZeroIsATenant) {
    expect(unanimous({{0, 0, 1}}), Outcome::assigned, 0, 0);
}

TEST(Decide, DisagreementWithinOneSourceIsAConflict) {
    expect(unanimous({{0, 1, 1000}, {0, 2, 1}}), Outcome::conflict);
    expect(first({{0, 1, 1000}, {0, 2, 1}, {1, 1, 5}}), Outcome::conflict);
}

TEST(Decide, DisagreementBetweenSourcesIsAConflict) {
    expect(unanimous({{0, 1, 5}, {1, 2, 5}}), Outcome::conflict);
    expect(unanimous({{0, 1, 5}, {1, 1, 5}, {2, 2, 1}}), Outcome::conflict);
}

TEST(Decide, FirstAsksNoLaterSource) {
    expect(first({{0, 1, 1}, {1, 2, 50}}), Outcome::assigned, 1, 0);
    expect(first({{3, 7, 1}, {4, 2, 50}}), Outcome::assigned, 7, 3);
}

TEST(Decide, UnknownTenantIsNeverAssigned) {
    const std::vector<bool> known{true, false};
    expect(unanimous({{0, 1, 4}}, known), Outcome::unknown_tenant, 1, 0);
    expect(first({{1, 1, 4}, {2, 0, 4}}, known), Outcome::unknown_tenant, 1, 1);
    expect(majority({{0, 0, 1}, {1, 1, 4}}, known), Outcome::unknown_tenant, 1, 1);
}

TEST(Decide, TenantBeyondTheListIsUnknown) {
    expect(unanimous({{0, 7, 1}}, {}), Outcome::unknown_tenant, 7, 0);
}

TEST(Decide, AnUnknownTenantStillContradictsAKnownOne) {
    expect(unanimous({{0, 0, 9}, {1, 1, 1}}, {true, false}), Outcome::conflict);
}

TEST(Decide, MajorityCountsRowsOverAllSources) {
    expect(majority({{0, 1, 3}, {1, 2, 2}, {2, 2, 2}}), Outcome::assigned, 2, 1);
    expect(majority({{0, 1, 3}, {0, 2, 2}}), Outcome::assigned, 1, 0);
}

TEST(Decide, MajorityTieIsAConflict) {
    expect(majority({{0, 1, 2}, {1, 2, 2}}), Outcome::conflict);
    expect(majority({{0, 1, 2}, {0, 2, 1}, {1, 2, 1}}), Outcome::conflict);
    expect(majority({{0, 1, 2}, {0, 2, 2}, {0, 3, 3}, {1, 1, 1}}), Outcome::conflict);
}

TEST(Decide, TieBelowTheTopDoesNotMatter) {
    expect(majority({{0, 1, 2}, {0, 2, 2}, {0, 3, 3}}), Outcome::assigned, 3, 0);
    expect(majority({{0, 3, 3}, {1, 1, 2}, {1, 2, 2}}), Outcome::assigned, 3, 0);
}

TEST(Decide, MajorityUnderFirstCountsTheFirstSourceOnly) {
    const Policy policy{Evidence::first, true};
    const std::vector<Candidate> candidates{{1, 1, 2}, {1, 2, 1}, {2, 2, 50}};
    expect(decide(policy, candidates, all_known), Outcome::assigned, 1, 1);
}

TEST(Decide, MajorityDoesNotOverflow) {
    expect(majority({{0, 1, UINT64_MAX}, {1, 1, 5}, {1, 2, 7}}), Outcome::assigned, 1, 0);
}

// Both ways of counting (few and many candidates) must agree with a plain model.
TEST(Decide, MajorityAgreesWithAPlainModel) {
    std::uint64_t seed = 42;
    const auto next = [&](std::uint64_t below) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        return (seed >> 33) % below;
    };
    for (int round = 0; round < 3000; ++round) {
        std::vector<Candidate> candidates;
        std::vector<std::uint64_t> votes(12, 0);
        const auto sources = static_cast<std::uint32_t>(1 + next(4));
        for (std::uint32_t source = 0; source < sources; ++source)
            for (TenantNo tenant = 0; tenant < 12; ++tenant)
                if (next(2) == 0) {
                    candidates.push_back({source, tenant, 1 + next(3)});
                    votes[tenant] += candidates.back().count;
                }
        const std::uint64_t most = *std::max_element(votes.begin(), votes.end());
        const auto leaders = std::count(votes.begin(), votes.end(), most);
        const Decision decision = majority(candidates);
        if (most == 0)
            ASSERT_EQ(decision.outcome, Outcome::orphan);
        else if (leaders > 1)
            ASSERT_EQ(decision.outcome, Outcome::conflict);
        else {
            ASSERT_EQ(decision.outcome, Outcome::assigned);
            ASSERT_EQ(votes[decision.tenant], most);
            const auto named = std::find_if(candidates.begin(), candidates.end(),
                                            [&](const Candidate &c) { return c.tenant == decision.tenant; });
            ASSERT_EQ(decision.source, named->source);
        }
    }
}

TEST(Asked, AllUnderUnanimousTheFirstAnswerUnderFirst) {
    const std::vector<Candidate> candidates{{1, 1, 2}, {1, 2, 1}, {2, 2, 50}};
    EXPECT_EQ(asked({Evidence::unanimous, false}, candidates).size(), 3U);
    EXPECT_EQ(asked({Evidence::first, false}, candidates).size(), 2U);
    EXPECT_EQ(asked({Evidence::first, true}, candidates).size(), 2U);
    EXPECT_EQ(asked({Evidence::first, false}, {}).size(), 0U);
}

TEST(OutcomeName, IsThatOfTheSqlSurface) {
    EXPECT_STREQ(outcome_name(Outcome::assigned), "assigned");
    EXPECT_STREQ(outcome_name(Outcome::conflict), "conflict");
    EXPECT_STREQ(outcome_name(Outcome::orphan), "orphan");
    EXPECT_STREQ(outcome_name(Outcome::unknown_tenant), "unknown_tenant");
}

} // namespace
} // namespace tenantmig::core

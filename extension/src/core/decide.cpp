#include "core/decide.hpp"
#include <algorithm>

namespace tenantmig::core {
namespace {

struct Votes {
    TenantNo tenant = no_tenant;
    std::uint64_t count = 0;
};

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

// The tenant with strictly most evidence rows; no_tenant on a tie. Rows have few candidates, so the first loop is the
// one that runs; the sort is for the row that half of the tenants claim.
TenantNo winner(std::span<const Candidate> candidates) {
    std::vector<Votes> votes;
    if (candidates.size() <= 16) {
        for (const Candidate &candidate : candidates) {
            const auto seen =
                std::find_if(votes.begin(), votes.end(), [&](const Votes &v) { return v.tenant == candidate.tenant; });
            if (seen == votes.end())
                votes.push_back({candidate.tenant, candidate.count});
            else
                seen->count = add(seen->count, candidate.count);
        }
    } else {
        std::vector<Candidate> sorted(candidates.begin(), candidates.end());
        std::sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) { return a.tenant < b.tenant; });
        for (const Candidate &candidate : sorted) {
            if (votes.empty() || votes.back().tenant != candidate.tenant) votes.push_back({candidate.tenant, 0});
            votes.back().count = add(votes.back().count, candidate.count);
        }
    }
    Votes best;
    bool tie = false;
    for (const Votes &vote : votes) {
        if (vote.count > best.count) {
            best = vote;
            tie = false;
        } else if (vote.count == best.count) {
            tie = true;
        }
    }
    return tie ? no_tenant : best.tenant;
}

Decision settled(std::span<const Candidate> candidates, TenantNo tenant, const std::vector<bool> &known) {
    const auto first =
        std::find_if(candidates.begin(), candidates.end(), [&](const Candidate &c) { return c.tenant == tenant; });
    const bool is_known = tenant < known.size() && known[tenant];
    return {is_known ? Outcome::assigned : Outcome::unknown_tenant, tenant, first->source};
}

} // namespace

std::span<const Candidate> asked(const Policy &policy, std::span<const Candidate> candidates) {
    if (policy.evidence != Evidence::first || candidates.empty()) return candidates;
    const auto end = std::find_if(candidates.begin(), candidates.end(),
                                  [&](const Candidate &c) { return c.source != candidates.front().source; });
    return candidates.first(static_cast<std::size_t>(end - candidates.begin()));
}

Decision decide(const Policy &policy, std::span<const Candidate> candidates, const std::vector<bool> &known) {
    const std::span<const Candidate> counted = asked(policy, candidates);
    if (counted.empty()) return {};
    const TenantNo tenant = counted.front().tenant;
    if (std::all_of(counted.begin(), counted.end(), [&](const Candidate &c) { return c.tenant == tenant; }))
        return settled(counted, tenant, known);
    if (policy.majority)
        if (const TenantNo most = winner(counted); most != no_tenant) return settled(counted, most, known);
    return {Outcome::conflict, no_tenant, UINT32_MAX};
}

const char *outcome_name(Outcome outcome) {
    switch (outcome) {
    case Outcome::assigned:
        return "assigned";
    case Outcome::conflict:
        return "conflict";
    case Outcome::orphan:
        return "orphan";
    case Outcome::unknown_tenant:
        return "unknown_tenant";
    }
    return "orphan"; // not reached: the switch names them all
}

} // namespace tenantmig::core

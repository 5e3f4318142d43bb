// What the evidence of one row means: pure decision, no I/O. The heart of "no guess".
#pragma once
#include "core/spec.hpp"
#include <cstdint>
#include <span>
#include <vector>

namespace tenantmig::core {

using TenantNo = std::uint32_t; // number of a tenant in the run's dictionary
inline constexpr TenantNo no_tenant = UINT32_MAX;

// One tenant named by one source for one row, with the number of evidence rows that say so.
struct Candidate {
    std::uint32_t source; // position in the step's sources
    TenantNo tenant;
    std::uint64_t count;
    bool operator==(const Candidate &) const = default;
};

enum class Outcome : std::uint8_t { assigned, conflict, orphan, unknown_tenant };

struct Decision {
    Outcome outcome = Outcome::orphan;
    TenantNo tenant = no_tenant; // assigned and unknown_tenant: the tenant
    std::uint32_t source =
        UINT32_MAX; // assigned and unknown_tenant: the first source (in spec order) that names the tenant
};

struct Policy {
    Evidence evidence = Evidence::unanimous;
    bool majority = false; // on_conflict: majority
};

// Decides for one row. `candidates` is sorted by source; each (source, tenant) at most once; counts > 0. Under
// Evidence::first only the candidates of the first source that answers count (see asked()). `known(tenant)` says
// whether the tenant stands in the tenant root. Rules: none -> orphan; one tenant -> assigned, or unknown_tenant if it
// is not known; several -> conflict, or under majority the tenant with strictly most evidence rows over all asked
// sources (known -> assigned, else unknown_tenant), a tie -> conflict.
Decision decide(const Policy &policy, std::span<const Candidate> candidates, const std::vector<bool> &known);

// The candidates that count under the policy: all of them, or those of the first source that answers.
std::span<const Candidate> asked(const Policy &policy, std::span<const Candidate> candidates);

const char *outcome_name(Outcome outcome); // as in the SQL surface: assigned, conflict, orphan, unknown_tenant

} // namespace tenantmig::core

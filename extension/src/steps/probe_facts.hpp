// What the owners of the tables see: counted once per call, for all roles that are probed.
#pragma once
#include "steps/probe.hpp"

namespace tenantmig {

struct TableFacts {
    std::map<std::string, std::int64_t> owned;
    std::vector<std::string> by_size; // tenants of `owned`, the largest first
    std::int64_t tenants = 0, rows = 0, null_rows = 0;
    bool complete = true;
    std::string problem; // why nothing could be counted
};

struct ProbeFacts {
    std::map<Oid, TableFacts> tables;
};

// Counts as the owner, under the active snapshot.
TableFacts count_as_owner(const ProbeTable &table, const ProbeOptions &options);

} // namespace tenantmig

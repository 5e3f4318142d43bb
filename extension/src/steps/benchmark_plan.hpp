// What the plan of a query says of indexes and of tables that were read whole.
#pragma once
#include "steps/benchmark.hpp"

namespace tenantmig {

struct PlanFacts {
    std::vector<std::string> indexes; // as the plan has them, each once
    std::vector<std::string> missing; // of those expected: exist, and were not used
    std::vector<std::string> unknown; // of those expected: there is no such index
    bool missing_on_large = false;    // one of the missing is on a large table
    std::vector<std::string> scans;   // large tables that were read whole, with their sizes
    std::int64_t hit = 0, read = 0;   // blocks
    std::string plan;                 // JSON, without the lists of output columns
};

// `explained`: the answer of EXPLAIN (ANALYZE, BUFFERS, VERBOSE, FORMAT JSON). A table is large from
// min_parallel_table_scan_size on: the size from which PostgreSQL itself holds a scan to be worth several workers. A
// partition's index counts as that of the partitioned table.
PlanFacts read_plan(const std::string &explained, const std::vector<std::string> &expected);

} // namespace tenantmig

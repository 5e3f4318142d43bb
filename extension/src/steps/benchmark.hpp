// benchmark(): how long queries take, against targets, and which indexes they use. Reads only.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

struct BenchmarkQuery {
    std::string name, sql;
    std::vector<std::vector<std::optional<std::string>>> parameters; // sets that take turns; each in order of $1, $2 …
    int runs = 20;                                                   // measured; one more before them warms up
    std::optional<double> target;                                    // ms, for the 95th percentile
    std::vector<std::string> indexes;                                // that must be used, as written
    int timeout = 30000;                                             // ms, for each execution
};

struct BenchmarkRow {
    std::string name;
    int runs = 0;                                         // that were measured
    std::optional<double> p50, p95, p99, target, warm_up; // ms
    std::optional<std::int64_t> rows, hit, read;
    std::vector<std::string> used;
    std::string expected, status, detail, plan;
};

// Checks the document: a list of {name, sql, parameters, runs, target_ms, index, timeout_ms}. 22023 with the path.
std::vector<BenchmarkQuery> parse_benchmark(const std::string &json);

// Runs one query as the caller, restricted and read-only, and undoes whatever it left. What is wrong with the query is
// in the row; cancelling goes on.
BenchmarkRow run_benchmark(const BenchmarkQuery &query);

} // namespace tenantmig

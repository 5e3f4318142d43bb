// benchmark
#include "steps/benchmark.hpp"
#include "bridge/results.hpp"

using namespace tenantmig;

namespace {
std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::string> milliseconds(const std::optional<double> &time) {
    return time ? std::optional(fmt::format("{:.3f}", *time)) : std::nullopt;
}

std::optional<std::string> number(const std::optional<std::int64_t> &value) {
    return value ? std::optional(std::to_string(*value)) : std::nullopt;
}

std::string array_text(const std::vector<std::string> &list) {
    std::string text;
    for (const std::string &one : list) {
        text += text.empty() ? "\"" : ",\"";
        for (char c : one) {
            if (c == '"' || c == '\\') text += '\\';
            text += c;
        }
        text += '"';
    }
    return "{" + text + "}";
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_benchmark) {
    const std::vector<BenchmarkQuery> queries = parse_benchmark(Arguments(fcinfo).json(0, "queries"));
    ResultSet rows(fcinfo);
    SpiSession spi;
    for (const BenchmarkQuery &query : queries) {
        const BenchmarkRow row = run_benchmark(query);
        rows.add({row.name, std::to_string(row.runs), milliseconds(row.p50), milliseconds(row.p95),
                  milliseconds(row.p99), number(row.rows), number(row.hit), number(row.read),
                  row.plan.empty() ? std::nullopt : std::optional(array_text(row.used)), filled(row.expected),
                  row.target ? std::optional(fmt::format("{}", *row.target)) : std::nullopt, row.status,
                  filled(row.detail), filled(row.plan), milliseconds(row.warm_up)});
    }
    return static_cast<Datum>(0);
}

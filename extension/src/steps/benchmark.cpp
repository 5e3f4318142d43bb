#include <chrono>
#include <cmath>

#include "bridge/identity.hpp"
#include "bridge/query_timeout.hpp"
#include "bridge/select_statement.hpp"
#include "bridge/subtransaction.hpp"
#include "steps/benchmark_plan.hpp"

namespace tenantmig {

namespace {
// While it lives: the caller's own rights and no more, as in REINDEX or ANALYZE (no SET ROLE, nothing deferred, no
// temporary table), and a transaction that only reads. Inside of a subtransaction that is rolled back.
class ReadOnlyCaller {
public:
    ReadOnlyCaller() : saved_user_(InvalidOid), saved_context_(0), guc_level_(NewGUCNestLevel()) {
        GetUserIdAndSecContext(&saved_user_, &saved_context_);
        try {
            pg_call([] {
                (void)set_config_option("transaction_read_only", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                                        true, 0, false);
            });
        } catch (...) {
            AtEOXact_GUC(false, guc_level_);
            throw;
        }
        SetUserIdAndSecContext(saved_user_, saved_context_ | SECURITY_RESTRICTED_OPERATION);
    }
    ~ReadOnlyCaller() {
        SetUserIdAndSecContext(saved_user_, saved_context_);
        AtEOXact_GUC(false, guc_level_);
    }
    ReadOnlyCaller(const ReadOnlyCaller &) = delete;
    ReadOnlyCaller &operator=(const ReadOnlyCaller &) = delete;

private:
    Oid saved_user_;
    int saved_context_, guc_level_;
};

using Parameters = std::vector<Value>;

std::vector<Parameters> convert(const BenchmarkQuery &query, const std::vector<Oid> &types) {
    std::vector<Parameters> sets;
    for (const auto &set : query.parameters) {
        if (set.size() != types.size())
            throw Error(sqlstate::invalid_parameter_value, "another number of parameters than the query has",
                        fmt::format("The query has {}, a list has {}.", types.size(), set.size()));
        Parameters values;
        for (std::size_t i = 0; i < set.size(); i++)
            values.push_back(set[i] ? Value{types[i], datum_from_text(types[i], -1, *set[i]), false}
                                    : null_value(types[i]));
        sets.push_back(std::move(values));
    }
    return sets;
}

// Nearest rank: a time that was measured.
double percentile(const std::vector<double> &sorted, double share) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
    return sorted[std::max<std::size_t>(rank, 1) - 1];
}

void measure(const BenchmarkQuery &query, BenchmarkRow &row) {
    using clock = std::chrono::steady_clock;
    const std::vector<Parameters> sets = convert(query, analyze_select(query.sql));
    std::vector<double> times;
    const Parameters *slowest = &sets.front();
    double longest = -1;
    for (int i = 0; i <= query.runs; i++) {
        const Parameters &parameters = sets[static_cast<std::size_t>(i) % sets.size()];
        std::int64_t rows = 0;
        QueryTimeout limit(query.timeout);
        const auto begin = clock::now();
        stream_query(query.sql, parameters, [&rows](TupleTableSlot *) { return ++rows > 0; });
        const double time = std::chrono::duration<double, std::milli>(clock::now() - begin).count();
        limit.finish();
        row.rows = rows;
        if (i == 0) {
            row.warm_up = time; // reads what is not in memory yet, fills the caches of the catalogue
            continue;
        }
        times.push_back(time);
        if (time > longest) {
            longest = time;
            slowest = &parameters;
        }
    }
    row.runs = query.runs;
    std::sort(times.begin(), times.end());
    row.p50 = percentile(times, 0.50);
    row.p95 = percentile(times, 0.95);
    row.p99 = percentile(times, 0.99);
    QueryTimeout limit(query.timeout);
    Rows explained = run_query("EXPLAIN (ANALYZE, BUFFERS, VERBOSE, FORMAT JSON) " + query.sql, *slowest);
    limit.finish();
    row.plan = explained.text_or(0, 1);
}

void judge(const BenchmarkQuery &query, BenchmarkRow &row) {
    const PlanFacts facts = read_plan(row.plan, query.indexes);
    row.plan = facts.plan;
    row.used = facts.indexes;
    row.hit = facts.hit;
    row.read = facts.read;
    row.status = "PASS";
    std::vector<std::string> remarks;
    const auto remark = [&](bool fails, std::string text) {
        if (fails)
            row.status = "FAIL";
        else if (row.status == "PASS")
            row.status = "WARN";
        remarks.push_back(std::move(text));
    };
    if (query.target && *row.p95 > *query.target)
        remark(true, fmt::format("p95 is {:.3f} ms, {:.1f} times the target", *row.p95, *row.p95 / *query.target));
    if (!facts.unknown.empty()) remark(true, fmt::format("there is no index {}", fmt::join(facts.unknown, ", ")));
    if (!facts.missing.empty())
        remark(facts.missing_on_large,
               fmt::format("did not use {}{}", fmt::join(facts.missing, ", "),
                           facts.missing_on_large ? "" : ": on a table this small that decides nothing"));
    if (!facts.scans.empty()) remark(false, fmt::format("reads all of {}", fmt::join(facts.scans, ", ")));
    if (row.rows == 0) remark(false, "found no row: with other parameters it may take longer");
    row.detail = fmt::format("{}", fmt::join(remarks, "; "));
}
} // namespace

BenchmarkRow run_benchmark(const BenchmarkQuery &query) {
    BenchmarkRow row;
    row.name = query.name;
    row.target = query.target;
    row.expected = fmt::format("{}", fmt::join(query.indexes, ", "));
    const auto fail = [&row](std::string_view state, std::string_view message, std::string_view more) {
        row.status = "FAIL";
        row.detail =
            more.empty() ? fmt::format("{}: {}", state, message) : fmt::format("{}: {} ({})", state, message, more);
    };
    try {
        Subtransaction attempt; // never committed
        ReadOnlyCaller caller;
        measure(query, row);
    } catch (const PgError &error) {
        const int state = error.data()->sqlerrcode;
        const bool ours = state == ERRCODE_QUERY_CANCELED && QueryTimeout::expired();
        if (!ours && (ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION || state == ERRCODE_OUT_OF_MEMORY))
            throw;
        if (ours)
            fail(sqlstate::query_canceled, fmt::format("took longer than {} ms", query.timeout), "");
        else
            fail(unpack_sql_state(state), error.what(), error.data()->detail ? error.data()->detail : "");
        return row;
    } catch (const Error &error) {
        fail(error.state(), error.message(), error.detail());
        return row;
    }
    judge(query, row);
    return row;
}

} // namespace tenantmig

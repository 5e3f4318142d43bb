// The statistics of a table hold values of its rows: pg_stats shows them to who may read the table and is under no
// policy there; pg_statistic shows everything to who may read it.
#include "steps/probe_reach.hpp"

namespace tenantmig {

namespace {
using Shown = std::map<std::pair<std::string, std::string>, std::int64_t>;

// How many columns or groups of columns of each table this view shows values of.
std::optional<Shown> shown_in(const Probe &probe, const char *view, const char *values,
                              const std::vector<std::string> &names, std::string *problem) {
    const Attempt attempt = probe.read(
        probe.session(probe.tables().front(), std::nullopt),
        fmt::format("SELECT s.schemaname, s.tablename, pg_catalog.count(*) FROM pg_catalog.{} AS s WHERE s.tablename "
                    "OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.name[]) AND ({}) GROUP BY s.schemaname, s.tablename",
                    view, values),
        {text_array_value(std::span<const std::string>(names))}, 100'000);
    if (attempt.refused()) {
        *problem = attempt.shown();
        return std::nullopt;
    }
    Shown result;
    for (const auto &row : attempt.values)
        result[{row[0].value_or(""), row[1].value_or("")}] = std::stoll(row[2].value_or("0"));
    return result;
}

void probe_raw(Probe &probe, const char *table) {
    const Attempt attempt = probe.read(probe.session(probe.tables().front(), std::nullopt),
                                       fmt::format("SELECT FROM pg_catalog.{} LIMIT 1", table));
    const bool seen = !attempt.refused();
    if (attempt.undecided()) return;
    probe.add(nullptr, fmt::format("pg_catalog.{}", table), "statistics", {}, nullptr, "the role can't read it",
              seen ? "it can: values of every tenant's rows" : attempt.shown(), seen ? "FAIL" : "PASS",
              seen ? fmt::format("REVOKE SELECT ON pg_catalog.{0} FROM {1}; -- or: REVOKE pg_read_all_data FROM {1};",
                                 table, probe.role_label())
                   : "");
}
} // namespace

void probe_statistics(Probe &probe, const ProbeFamily &family) {
    std::vector<std::string> names;
    for (const auto &[oid, member] : family)
        names.push_back(member.name);
    std::string problem;
    const auto plain = shown_in(probe, "pg_stats",
                                "s.most_common_vals IS NOT NULL OR s.histogram_bounds IS NOT NULL "
                                "OR s.most_common_elems IS NOT NULL",
                                names, &problem);
    const auto extended = shown_in(probe, "pg_stats_ext", "s.most_common_vals IS NOT NULL", names, &problem);
    const auto expressions =
        shown_in(probe, "pg_stats_ext_exprs", "s.most_common_vals IS NOT NULL OR s.histogram_bounds IS NOT NULL", names,
                 &problem);
    for (const auto &[oid, member] : family) {
        std::int64_t shown = 0;
        for (const auto *of : {&plain, &extended, &expressions})
            if (*of)
                if (const auto found = (*of)->find({member.schema, member.name}); found != (*of)->end())
                    shown += found->second;
        std::string seen = problem.empty() ? "no values" : problem;
        const char *status = problem.empty() ? "PASS" : "SKIP";
        if (shown > 0) {
            status = "FAIL";
            seen = fmt::format("values of {} columns", shown);
        } else if (member.may_read && problem.empty()) {
            const Uses uses = uses_of(probe, *member.of, "SELECT FROM " + member.target());
            if (uses.all.empty() || !uses.all.front().filtered) {
                status = "SKIP"; // no policy hides them, once they are there
                seen = "there are none as yet, and nothing would hide them";
            }
        }
        probe.add(nullptr, member.label(), "statistics", {}, nullptr, "pg_stats shows no values of its rows", seen,
                  status, shown > 0 ? member_remedy(probe, member, 'r') : "");
    }
    probe_raw(probe, "pg_statistic");
    probe_raw(probe, "pg_statistic_ext_data");
}

} // namespace tenantmig

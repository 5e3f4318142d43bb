// Which tenant stands for all in isolation_speed(): what the planner knows of the tenant key.
#include "core/undo_text.hpp"

#include "bridge/identity.hpp"
#include "steps/isolation_speed.hpp"

#include <cmath>

namespace tenantmig {

SpeedStatistics read_speed_statistics(const ProbeTable &of) {
    SpeedStatistics found;
    RunAs owner(of.table.owner, Purpose::read);
    const Rows rows = run_query(
        std::string(speed_family) +
            "SELECT s.n_distinct::text, s.null_frac::text, s.most_common_vals::text::text[], "
            "s.most_common_freqs::text[], s.histogram_bounds::text::text[], (SELECT sum(greatest(c.reltuples, "
            "0))::text FROM family f JOIN pg_class c ON c.oid = f.oid WHERE CASE WHEN s.inherited THEN c.relkind <> "
            "'p' ELSE c.oid = $1::oid END) FROM pg_stats s WHERE s.schemaname = $2 AND s.tablename = $3 AND s.attname "
            "= $4 ORDER BY s.inherited DESC LIMIT 1",
        {bigint_value(of.table.oid), text_value(of.table.schema), text_value(of.table.name), text_value(of.key.name)});
    if (rows.empty()) return found;
    const auto number = [&](int column) { return std::strtod(rows.text_or(0, column, "0").c_str(), nullptr); };
    double distinct = number(1);
    if (distinct < 0) {                   // a share of the rows
        if (number(6) <= 0) return found; // nobody knows how many: truncated since
        distinct *= -number(6);
    }
    distinct = std::max(std::round(distinct), 1.0);
    const double filled = 1 - number(2);
    if (filled <= 0) return found;
    found.known = true;
    found.average = filled / distinct;
    double rest = filled;
    const auto values = rows.nullable_text_array(0, 3);
    const auto shares = rows.text_array(0, 4);
    for (std::size_t i = 0; i < values.size() && i < shares.size(); i++) {
        found.common.emplace_back(values[i], std::strtod(shares[i].c_str(), nullptr));
        rest -= found.common.back().second;
    }
    if (const auto bounds = rows.nullable_text_array(0, 5); !bounds.empty()) {
        found.other = bounds[bounds.size() / 2];
        const double tenants = std::max(distinct - static_cast<double>(found.common.size()), 1.0);
        found.other_share = std::max(rest, 0.0) / tenants;
    }
    return found;
}

std::optional<std::string> typical_tenant(const SpeedStatistics &statistics, double &share) {
    std::optional<std::string> best;
    double distance = 0;
    const auto consider = [&](const std::optional<std::string> &tenant, double its) {
        if (!tenant || its <= 0) return;
        const double away = std::abs(std::log(its / statistics.average));
        if (best && away >= distance) return;
        best = tenant;
        distance = away;
        share = its;
    };
    consider(statistics.other, statistics.other_share);
    for (const auto &[tenant, its] : statistics.common)
        consider(tenant, its);
    return best;
}

std::string tenant_predicate(const ProbeTable &of, const std::string &tenant, bool blind) {
    const std::string value = fmt::format("CAST({} AS {})", core::sql_literal(tenant), of.key.type_name);
    return fmt::format("t.{} {} {}", quoted(of.key.name), equality_operator(of.key.type),
                       blind ? fmt::format("(SELECT {})", value) : value);
}

std::optional<std::string> any_tenant(const ProbeTable &of) {
    RunAs owner(of.table.owner, Purpose::read);
    const Rows rows = run_query(fmt::format("SELECT t.{0}::pg_catalog.text FROM {1} AS t WHERE t.{0} IS NOT NULL LIMIT "
                                            "1",
                                            quoted(of.key.name), of.table.sql()),
                                {}, true);
    return rows.empty() ? std::nullopt : rows.text(0, 1);
}

} // namespace tenantmig

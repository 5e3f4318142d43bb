#include "steps/probe_facts.hpp"
#include "bridge/identity.hpp"
#include "bridge/subtransaction.hpp"

namespace tenantmig {

namespace {
constexpr int small_tenants = 10; // so many of the smallest are counted where not all are

std::string facts_query(const ProbeTable &table, bool named) {
    // Grouped by the key itself: under a collation that knows no case, 'A' and 'a' are one tenant.
    return fmt::format(
        "WITH g AS (SELECT t.{0} AS k, pg_catalog.count(*) AS n FROM {1} AS t GROUP BY t.{0}), s AS (SELECT g.k, "
        "CAST(g.k AS pg_catalog.text) COLLATE \"C\" AS name, g.n FROM g WHERE g.k IS NOT NULL), r AS (SELECT s.name, "
        "s.n, pg_catalog.row_number() OVER (ORDER BY s.n DESC, s.name) AS place, pg_catalog.count(*) OVER () AS "
        "tenants FROM s) "
        "SELECT r.name, r.n, r.place FROM r WHERE {2} UNION ALL SELECT NULL, CAST(pg_catalog.sum(g.n) AS "
        "pg_catalog.int8), "
        "0 FROM g WHERE g.k IS NULL UNION ALL SELECT NULL, CAST(pg_catalog.sum(s.n) AS pg_catalog.int8), "
        "CAST(OPERATOR(pg_catalog.-) "
        "pg_catalog.count(*) AS pg_catalog.int8) FROM s ORDER BY 3",
        quoted(table.key.name), table.table.sql(),
        named ? "r.name OPERATOR(pg_catalog.=) ANY ($1)"
              : "r.place OPERATOR(pg_catalog.<=) $1 OR r.place OPERATOR(pg_catalog.>) (r.tenants "
                "OPERATOR(pg_catalog.-) $2)");
}
} // namespace

TableFacts count_as_owner(const ProbeTable &table, const ProbeOptions &options) {
    TableFacts facts;
    try {
        Subtransaction attempt;
        {
            RunAs owner(table.table.owner, Purpose::read);
            const int small = options.max_tenants > 2 * small_tenants ? small_tenants : 0;
            std::vector<Value> values;
            if (options.tenants)
                values = {text_array_value(*options.tenants)};
            else
                values = {bigint_value(options.max_tenants - small), bigint_value(small)};
            Rows rows = run_query(facts_query(table, options.tenants.has_value()), values, true);
            for (std::size_t i = 0; i < rows.size(); i++) {
                const std::int64_t place = rows.bigint(i, 3); // 0: rows without a tenant; below: how many tenants
                if (place == 0) facts.null_rows = rows.bigint(i, 2);
                if (place < 0) {
                    facts.tenants = -place;
                    facts.rows = rows.bigint(i, 2);
                }
                if (place <= 0) continue;
                facts.by_size.push_back(rows.text_or(i, 1));
                facts.owned.emplace(facts.by_size.back(), rows.bigint(i, 2));
            }
        }
        attempt.commit();
        facts.rows += facts.null_rows;
        facts.complete = facts.tenants == static_cast<std::int64_t>(facts.owned.size()) && !options.tenants;
    } catch (const PgError &error) {
        const int state = error.data()->sqlerrcode;
        if (ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION || state == ERRCODE_OUT_OF_MEMORY) throw;
        facts = {};
        facts.complete = false;
        facts.problem = fmt::format("as its owner: {}: {}", unpack_sql_state(state), error.what());
    }
    return facts;
}

} // namespace tenantmig

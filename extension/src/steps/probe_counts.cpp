// Each tenant sees exactly its rows, all of them together see all rows, rows without a tenant nobody. The owner's
// counts and the tenants' are of one snapshot.
#include "core/excerpt.hpp"

#include "steps/probe_attack.hpp"

#include <chrono>

namespace tenantmig {

namespace {
constexpr auto table_limit = std::chrono::seconds(60);
constexpr int enough = 20;           // tenants that see too much: the rest would not say more
constexpr std::size_t together = 20; // tenants that are counted in one attempt

struct Tally {
    std::int64_t tenants = 0, seen = 0;       // tenants: that were counted
    std::int64_t nulls = 0, null_readers = 0; // rows without a tenant that one sees at most; how many see any
    std::int64_t leaking = 0, lacking = 0;    // tenants that see others' rows, not all of their own
    std::string first_leak, first_lack, undecided, refused;
    bool whole = true;
};

std::string count_query(const ProbeTable &table, const ProbeAccess &access) {
    if (!access.reads_column(table.key.number)) // rows can be counted all the same, if not told apart
        return fmt::format("SELECT pg_catalog.count(*) FROM {} AS t", table.table.sql());
    return fmt::format("SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE {}), pg_catalog.count(*) FILTER "
                       "(WHERE t.{} IS NULL) FROM {} AS t",
                       key_is(table, 1), quoted(table.key.name), table.table.sql());
}

struct Counted {
    std::int64_t seen = 0, own = 0, nulls = 0;
    bool apart = false; // own and nulls were counted
};

// What one tenant sees, within an attempt and under the active snapshot.
Counted count_here(SPIPlanPtr plan, const Value *key) {
    return pg_call([plan, key] {
        Datum datum = key ? key->datum : 0;
        if (SPI_execute_plan(plan, key ? &datum : nullptr, nullptr, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("rows cannot be counted")));
        SPITupleTable *rows = SPI_tuptable;
        std::int64_t numbers[3] = {0, 0, 0};
        for (int i = 0; i < rows->tupdesc->natts && i < 3; i++) {
            bool null;
            numbers[i] = DatumGetInt64(SPI_getbinval(rows->vals[0], rows->tupdesc, i + 1, &null));
        }
        const Counted counted = {numbers[0], numbers[1], numbers[2], rows->tupdesc->natts > 1};
        SPI_freetuptable(rows);
        return counted;
    });
}

using Tenants = std::vector<std::pair<std::string, std::int64_t>>; // and how many rows each has

// Several tenants in one attempt, the statement planned anew for each: as if each had a session of its own, but faster.
Attempt count_together(const Probe &probe, const ProbeTable &table, const ProbeAccess &access,
                       std::span<const Tenants::value_type> tenants, std::vector<Counted> &counts) {
    const std::string query = count_query(table, access);
    const bool apart = access.reads_column(table.key.number);
    return probe.attempt_work(probe.session(table, tenants.front().first), [&] {
        set_in_attempt("plan_cache_mode", "force_custom_plan");
        const char *text = query.c_str();
        const Oid type = table.key.type;
        SPIPlanPtr plan = pg_call([text, type, apart] {
            Oid argument = type;
            SPIPlanPtr prepared = SPI_prepare(text, apart ? 1 : 0, apart ? &argument : nullptr);
            if (!prepared) ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("rows cannot be counted")));
            return prepared;
        });
        for (const auto &[tenant, owned] : tenants) {
            set_in_attempt(table.setting.c_str(), tenant.c_str());
            const Value key = Probe::key_value(table, tenant);
            counts.push_back(count_here(plan, apart ? &key : nullptr));
        }
        return Attempt();
    });
}

void tally_tenant(Tally &tally, const std::string &tenant, std::int64_t owned, const Counted &counted) {
    tally.tenants++;
    const std::int64_t own = counted.apart ? counted.own : std::min(counted.seen, owned);
    tally.seen += counted.seen;
    tally.nulls = std::max(tally.nulls, counted.nulls);
    tally.null_readers += counted.nulls > 0;
    if (const std::int64_t foreign = counted.seen - own - counted.nulls; foreign > 0)
        if (tally.leaking++ == 0) tally.first_leak = fmt::format("tenant {} sees {} rows of others", tenant, foreign);
    if (own != owned && tally.lacking++ == 0)
        tally.first_lack = fmt::format("tenant {} sees {} of its {} rows", tenant, own, owned);
}

// Counts for some tenants; where one of them is refused, for each alone.
void count_some(const Probe &probe, const ProbeTable &table, const ProbeAccess &access,
                std::span<const Tenants::value_type> tenants, Tally &tally) {
    std::vector<Counted> counts;
    const Attempt attempt = count_together(probe, table, access, tenants, counts);
    if (attempt.undecided()) {
        tally.undecided = attempt.shown();
        tally.whole = false;
    } else if (!attempt.refused()) {
        for (std::size_t i = 0; i < tenants.size(); i++)
            tally_tenant(tally, tenants[i].first, tenants[i].second, counts.at(i));
    } else if (tenants.size() > 1) {
        for (std::size_t i = 0; i < tenants.size() && tally.whole; i++)
            count_some(probe, table, access, tenants.subspan(i, 1), tally);
    } else {
        if (tally.refused.empty()) tally.refused = fmt::format("tenant {}: {}", tenants[0].first, attempt.shown());
        tally_tenant(tally, tenants[0].first, tenants[0].second, {});
    }
}

void report(Probe &probe, const ProbeTable &table, const Tally &tally) {
    const std::string counted = probe.all_owned(table)
                                    ? fmt::format("{} {}", tally.tenants, tally.tenants == 1 ? "tenant" : "tenants")
                                    : fmt::format("{} of {} tenants", tally.tenants, probe.tenant_count(table));
    const auto more = [](std::int64_t count) {
        return count > 1 ? fmt::format(", and {} more tenants", count - 1) : std::string();
    };
    if (tally.tenants == 0) {
        probe.add(&table, {}, "foreign_rows", {}, nullptr, "0 rows of others", tally.undecided, "SKIP",
                  "Try again when the table is not locked, or raise the speed of the query under the policy.");
        return;
    }
    if (tally.leaking > 0)
        probe.add(&table, {}, "foreign_rows", {}, nullptr, "0 rows of others", tally.first_leak + more(tally.leaking),
                  "FAIL", policy_remedy(probe, table, 'r'));
    else
        probe.add(&table, {}, "foreign_rows", {}, nullptr, "0 rows of others",
                  fmt::format("0 rows of others ({})", counted), "PASS", {});
    if (tally.lacking > 0)
        probe.add(&table, {}, "own_rows", {}, nullptr, "each tenant all of its rows",
                  (tally.refused.empty() ? tally.first_lack : tally.refused) + more(tally.lacking), "FAIL",
                  fmt::format("The policies of {} for {} leave out rows of the tenant that {} names: compare them with "
                              "USING ({}).",
                              table.table.label(), probe.role_label(), table.setting,
                              tenant_condition(table.key, table.setting)));
    else
        probe.add(&table, {}, "own_rows", {}, nullptr, "each tenant all of its rows", counted, "PASS", {});
    const std::int64_t total = probe.total_rows(table) - probe.null_rows(table);
    const std::string all = fmt::format("all tenants together {}", rows_of(total, ""));
    if (!tally.whole || !probe.all_owned(table))
        probe.add(&table, {}, "all_tenants", {}, nullptr, all,
                  tally.undecided.empty() ? fmt::format("{} were counted", counted)
                                          : fmt::format("{} were counted: {}", counted, tally.undecided),
                  "SKIP", "max_tenants => … counts more tenants.");
    else
        probe.add(&table, {}, "all_tenants", {}, nullptr, all, rows_of(tally.seen, ""),
                  tally.seen == total ? "PASS" : "FAIL",
                  tally.seen == total ? "" : "See the rows foreign_rows and own_rows of this table.");
    if (table.key.not_null) return;
    if (probe.null_rows(table) == 0)
        probe.add(&table, {}, "null_rows", {}, nullptr, "nobody sees a row without a tenant", "there is none", "SKIP",
                  {});
    else
        probe.add(&table, {}, "null_rows", {}, nullptr, "nobody sees a row without a tenant",
                  tally.nulls == 0
                      ? fmt::format("0 of {}", rows_of(probe.null_rows(table), ""))
                      : fmt::format("{} of {}, by {} of {} tenants", tally.nulls, rows_of(probe.null_rows(table), ""),
                                    tally.null_readers, tally.tenants),
                  tally.nulls == 0 ? "PASS" : "FAIL", tally.nulls == 0 ? "" : policy_remedy(probe, table, 'r'));
}

std::int64_t number(const std::optional<std::string> &cell) {
    return cell ? std::strtoll(cell->c_str(), nullptr, 10) : 0;
}

// The role that is to see everything.
void count_super(Probe &probe, const ProbeTable &table) {
    if (table.super_role.empty()) return;
    const char *name = table.super_role.c_str();
    const Oid role = pg_call([name] { return get_role_oid(name, true); });
    const std::string expected = rows_of(probe.total_rows(table), "");
    if (!OidIsValid(role) || !has_privileges_of(role)) {
        probe.add(&table, {}, "super_role", {}, nullptr, expected,
                  OidIsValid(role) ? fmt::format("{} has not the privileges of {}", current_user_name(), name)
                                   : fmt::format("role {} does not exist", name),
                  "SKIP", "Call as a superuser, or as a member of that role.");
        return;
    }
    const ProbeSession session{role, table.setting, std::nullopt};
    const Attempt attempt =
        probe.read(session, fmt::format("SELECT pg_catalog.count(*) FROM {} AS t", table.table.sql()), {}, 1);
    if (attempt.no_right()) {
        if (table.parent == InvalidOid) // a partition is read through its parent
            probe.add(&table, {}, "super_role", {}, nullptr, expected, attempt.shown(), "SKIP",
                      fmt::format("GRANT SELECT ON {} TO {};", table.table.label(), quoted(table.super_role)));
        return;
    }
    const bool same = !attempt.refused() && number(attempt.values.at(0).at(0)) == probe.total_rows(table);
    probe.add(&table, {}, "super_role", {}, nullptr, expected,
              attempt.refused() ? attempt.shown() : rows_of(number(attempt.values.at(0).at(0)), ""),
              attempt.undecided() ? "SKIP"
              : same              ? "PASS"
                                  : "FAIL",
              same ? ""
                   : fmt::format("The policies of {} for {} leave out rows: it needs one with USING (true), and none "
                                 "that is restrictive.",
                                 table.table.label(), quoted(table.super_role)));
}

void count_table(Probe &probe, const ProbeTable &table) {
    const ProbeAccess access = probe_access(probe, table);
    if (const std::string &problem = probe.unread(table); !problem.empty()) {
        probe.add(&table, {}, "foreign_rows", {}, nullptr, "0 rows of others", problem, "SKIP",
                  "Let the owner of the table read it.");
        return;
    }
    count_super(probe, table);
    if (!access.can_read()) {
        probe.add(&table, {}, "foreign_rows", {}, nullptr, "0 rows of others",
                  access.usage ? "no right to SELECT" : "no right to use the schema", "PASS", {});
        return;
    }
    if (probe.owned(table).empty()) {
        probe.add(&table, {}, "foreign_rows", {}, nullptr, "0 rows of others",
                  probe.options().tenants ? "the table has no row of the tenants that were named"
                                          : "the table has no row of a tenant",
                  "SKIP", "Probe again when there are rows, or on a copy that has some.");
        return;
    }
    Tally tally;
    const auto started = std::chrono::steady_clock::now();
    const Tenants tenants(probe.owned(table).begin(), probe.owned(table).end());
    for (std::size_t at = 0; at < tenants.size() && tally.whole; at += together) {
        count_some(probe, table, access,
                   std::span<const Tenants::value_type>(tenants).subspan(at, std::min(together, tenants.size() - at)),
                   tally);
        if (tally.leaking >= enough) {
            tally.undecided = "enough of them see too much";
            tally.whole = at + together >= tenants.size();
        } else if (std::chrono::steady_clock::now() - started > table_limit && tally.whole) {
            tally.undecided = fmt::format("over {} s", table_limit.count());
            tally.whole = at + together >= tenants.size();
        }
    }
    report(probe, table, tally);
}
} // namespace

void probe_counts(Probe &probe) {
    for (const ProbeTable &table : probe.tables())
        count_table(probe, table);
}

} // namespace tenantmig

// Reads another tenant's rows, by every way that SQL has.
#include "bridge/copy_command.hpp"
#include "steps/probe_attack.hpp"

namespace tenantmig {

namespace {
struct Reading {
    const char *attack;
    const char *sql; // {t}: the table; {is}: the key equals the victim's ($1); {k}: the key; {n}: rows at most
};

// Each gives one number: of the victim's rows.
constexpr Reading readings[] = {
    {"read_key", "SELECT pg_catalog.count(*) FROM (SELECT FROM {t} AS t WHERE {is} LIMIT {n}) AS s"},
    {"read_or_true", "SELECT pg_catalog.count(*) FILTER (WHERE {is}) FROM {t} AS t WHERE {is} OR true"},
    {"read_subquery",
     "SELECT pg_catalog.count(*) FROM (SELECT t.{k} FROM (SELECT i.{k} FROM {t} AS i OFFSET 0) AS t WHERE {is} LIMIT "
     "{n}) AS s"},
    {"read_cte", "WITH t AS MATERIALIZED (SELECT i.{k} FROM {t} AS i) SELECT pg_catalog.count(*) FROM t WHERE {is}"},
    {"read_join",
     "SELECT pg_catalog.count(s.{k}) FROM (VALUES (1)) AS v (x) LEFT JOIN (SELECT t.{k} FROM {t} AS t WHERE {is} LIMIT "
     "{n}) AS s ON true"},
    {"read_exists", "SELECT CAST(EXISTS (SELECT FROM {t} AS t WHERE {is}) AS pg_catalog.int4)"},
    {"read_sample",
     "SELECT pg_catalog.count(*) FROM (SELECT FROM {t} AS t TABLESAMPLE pg_catalog.system (100) WHERE {is} LIMIT {n}) "
     "AS s"},
};

std::string filled(const ProbeTable &table, std::string sql) {
    const std::pair<std::string_view, std::string> parts[] = {{"{t}", table.table.sql()},
                                                              {"{is}", key_is(table, 1)},
                                                              {"{k}", quoted(table.key.name)},
                                                              {"{n}", std::to_string(seen_limit)}};
    std::string result;
    for (std::size_t at = 0; at < sql.size();) {
        bool found = false;
        for (const auto &[name, text] : parts)
            if (sql.compare(at, name.size(), name) == 0) {
                result += text;
                at += name.size();
                found = true;
                break;
            }
        if (!found) result += sql[at++];
    }
    return result;
}

std::int64_t first_number(const Attempt &attempt) {
    if (attempt.values.empty() || attempt.values.front().empty()) return 0;
    return std::strtoll(attempt.values.front().front().value_or("0").c_str(), nullptr, 10);
}

class Reader {
public:
    Reader(Probe &probe, const ProbeTable &table) : probe_(probe), table_(table), access_(probe_access(probe, table)) {}

    void run() {
        if (!access_.can_read()) return; // probe_counts says so
        const std::vector<ProbePair> pairs = attack_pairs(probe_, table_);
        if (pairs.empty()) {
            if (!probe_.owned(table_).empty())
                probe_.add(&table_, {}, "pairs", {}, nullptr, "two tenants that attack each other",
                           probe_.options().tenants ? "only one of those that were named has rows"
                                                    : "only one tenant has rows",
                           "SKIP", "Probe again when two tenants have rows, or on a copy where they have.");
            return;
        }
        std::set<std::string> tenants;
        for (const ProbePair &pair : pairs) {
            attack(pair);
            if (tenants.insert(pair.tenant).second) copy(pair.tenant);
        }
    }

private:
    Probe &probe_;
    const ProbeTable &table_;
    ProbeAccess access_;

    void attack(const ProbePair &pair) {
        const ProbeSession session = probe_.session(table_, pair.tenant);
        const std::string expected = fmt::format("0 rows of tenant {}", pair.victim);
        for (const Reading &reading : readings) {
            const Attempt attempt = probe_.read(session, filled(table_, reading.sql), {key(pair.victim)}, 1);
            judge(reading.attack, pair, expected, attempt, first_number(attempt));
        }
        const auto sample = probe_sample(probe_, table_, pair.victim);
        if (sample && can_find(access_, *sample)) {
            read_row(pair, *sample);
            read_by_error(pair, *sample);
        }
        prepared_setting(pair);
        if (table_.table.owner != probe_.role()) prepared_role(pair); // there are two roles, then
    }

    Value key(const std::string &tenant) const { return Probe::key_value(table_, tenant); }

    void judge(const char *name, const ProbePair &pair, const std::string &expected, const Attempt &attempt,
               std::int64_t seen) {
        if (attempt.refused()) {
            // An error of a policy shows nothing; whether the tenant can work at all is what own_rows says.
            probe_.add(&table_, {}, name, {}, &pair, expected, attempt.shown(), attempt.undecided() ? "SKIP" : "PASS",
                       {});
            return;
        }
        probe_.add(&table_, {}, name, {}, &pair, expected, limited_rows(seen), seen == 0 ? "PASS" : "FAIL",
                   seen == 0 ? "" : policy_remedy(probe_, table_, 'r'));
    }

    // The row itself, by what identifies it alone.
    void read_row(const ProbePair &pair, const ProbeSample &sample) {
        std::vector<Value> values;
        const std::string condition = sample_is(table_, sample, values);
        const Attempt attempt = probe_.read(
            probe_.session(table_, pair.tenant),
            fmt::format("SELECT pg_catalog.count(*) FROM {} AS t WHERE {}", table_.table.sql(), condition), values, 1);
        judge("read_row", pair, fmt::format("0 rows: {} is of tenant {}", sample_label(table_, sample), pair.victim),
              attempt, first_number(attempt));
    }

    // A condition that fails with the value that it sees: it must not be asked before the policy.
    void read_by_error(const ProbePair &pair, const ProbeSample &sample) {
        const std::string what =
            sample.identity.empty() ? "t.ctid" : "t." + quoted(table_.table.at(sample.identity.front()).name);
        const Attempt attempt = probe_.read(
            probe_.session(table_, pair.tenant),
            fmt::format("SELECT pg_catalog.count(*) FROM {} AS t WHERE CASE WHEN {} THEN CAST(pg_catalog.concat('seen "
                        "', {}) AS pg_catalog.int4) END IS NOT NULL",
                        table_.table.sql(), key_is(table_, 1), what),
            {key(pair.victim)}, 1);
        const bool leaked = attempt.sqlstate == sqlstate::invalid_text_representation &&
                            attempt.message.find("\"seen ") != std::string::npos;
        const std::string expected = fmt::format("no error that shows a row of tenant {}", pair.victim);
        if (attempt.refused() && !leaked) {
            probe_.add(&table_, {}, "read_error", {}, &pair, expected, attempt.shown(),
                       attempt.undecided() ? "SKIP" : "PASS", {});
            return;
        }
        probe_.add(&table_, {}, "read_error", {}, &pair, expected, leaked ? attempt.shown() : "no error",
                   leaked ? "FAIL" : "PASS", leaked ? policy_remedy(probe_, table_, 'r') : "");
    }

    std::string prepared_query() const {
        return filled(table_, "WITH w AS MATERIALIZED (SELECT t.{k} FROM {t} AS t WHERE {is} LIMIT {n}) SELECT "
                              "pg_catalog.count(*) FROM w");
    }

    static std::int64_t count_with(Statement &statement, const Value &value) {
        std::int64_t count = 0;
        (void)statement.execute({&value, 1}, [&](TupleTableSlot *slot) {
            bool null = false;
            const Datum datum = slot_getattr(slot, 1, &null);
            if (!null) count = DatumGetInt64(datum);
            return true;
        });
        return count;
    }

    // Planned once and for all as the victim, run as the tenant: what the plan has folded in would show.
    void prepared_setting(const ProbePair &pair) {
        const std::string query = prepared_query();
        const Attempt attempt = probe_.attempt_work(probe_.session(table_, pair.victim), [&] {
            set_in_attempt("plan_cache_mode", "force_generic_plan");
            const Value value = key(pair.victim);
            Statement statement(query, {&value.type, 1});
            (void)count_with(statement, value);
            set_in_attempt(table_.setting.c_str(), pair.tenant.c_str());
            Attempt result;
            result.rows = count_with(statement, value);
            return result;
        });
        judge("prepared_setting", pair, fmt::format("0 rows of tenant {}, by its plan", pair.victim), attempt,
              attempt.rows);
    }

    // Planned as the owner, run as the application.
    void prepared_role(const ProbePair &pair) {
        const std::string query = prepared_query();
        const Attempt attempt = probe_.attempt_work(probe_.session(table_, pair.tenant), [&] {
            set_in_attempt("plan_cache_mode", "force_generic_plan");
            const Value value = key(pair.victim);
            std::optional<Statement> statement;
            {
                // Settings stay as they are: a search_path of another kind would have the plan made anew.
                RunAs owner(table_.table.owner, Purpose::write);
                statement.emplace(query, std::span<const Oid>(&value.type, 1));
                (void)count_with(*statement, value);
            }
            Attempt result;
            result.rows = count_with(*statement, value);
            return result;
        });
        judge("prepared_role", pair, fmt::format("0 rows of tenant {}, by the owner's plan", pair.victim), attempt,
              attempt.rows);
    }

    std::uint64_t owned_rows(const std::string &tenant) const {
        const auto found = probe_.owned(table_).find(tenant);
        return found == probe_.owned(table_).end() ? 0 : static_cast<std::uint64_t>(found->second);
    }

    // COPY TO, of a query and of the table: no more than the tenant's own rows.
    void copy(const std::string &tenant) {
        const auto owned = owned_rows(tenant);
        std::string columns;
        for (const Column &column : table_.table.columns)
            if (access_.reads_column(column.number) && !(column.generated && table_.table.kind == RELKIND_RELATION))
                columns += (columns.empty() ? "" : ", ") + quoted(column.name);
        if (columns.empty()) return;
        copy_one("copy_query", tenant, owned,
                 fmt::format("COPY (SELECT {} FROM {}) TO STDOUT", columns, table_.table.sql()));
        copy_one("copy_table", tenant, owned, fmt::format("COPY {} ({}) TO STDOUT", table_.table.sql(), columns));
    }

    void copy_one(const char *name, const std::string &tenant, std::uint64_t owned, const std::string &sql) {
        const ProbePair alone{tenant, {}};
        bool more = false;
        const Attempt attempt = probe_.attempt_work(probe_.session(table_, tenant), [&] {
            const CopyOut out = copy_out(sql, owned + seen_limit);
            more = out.more;
            Attempt result;
            result.rows = static_cast<std::int64_t>(out.rows);
            return result;
        });
        const std::string expected = fmt::format("at most its {} rows", owned);
        if (attempt.refused()) {
            probe_.add(&table_, {}, name, {}, &alone, expected, attempt.shown(), attempt.undecided() ? "SKIP" : "PASS",
                       {});
            return;
        }
        const bool leaks = static_cast<std::uint64_t>(attempt.rows) > owned;
        probe_.add(&table_, {}, name, {}, &alone, expected, attempt.shown() + (more ? " or more" : ""),
                   leaks ? "FAIL" : "PASS", leaks ? policy_remedy(probe_, table_, 'r') : "");
    }
};
} // namespace

void probe_reads(Probe &probe) {
    for (const ProbeTable &table : probe.tables())
        if (table.parent == InvalidOid && probe.unread(table).empty()) Reader(probe, table).run();
}

} // namespace tenantmig

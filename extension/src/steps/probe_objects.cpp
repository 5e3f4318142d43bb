// What else leads to a tenant's rows, beside the tables themselves: their partitions and children, the tables above
// them, sequences, statistics, and what tenantmig keeps.
#include "steps/probe_reach.hpp"

#include "catalog/own_tables.hpp"

namespace tenantmig {

namespace {
class FamilyAttack {
public:
    FamilyAttack(Probe &probe, const ProbeFamily &family, DirectConditions &direct, const FamilyMember &member)
        : probe_(probe), family_(family), direct_(direct), member_(member), of_(*member.of),
          key_(quoted(member.of->key.name)) {}

    void run() {
        if (!member_.may_read && !member_.may_insert && !member_.may_update && !member_.may_delete) {
            add(attack(), nullptr, "the role has no right on it", "PASS", {});
            return;
        }
        if (member_.kind == RELKIND_FOREIGN_TABLE) {
            add(attack(), nullptr, "not tried: a foreign table, where no policies hold", "SKIP", {});
            return;
        }
        if (member_.may_read) read();
        if (member_.may_insert) write("INSERT", 'a', {});
        if (member_.may_update) write("UPDATE", 'w', {of_.key.name});
        if (member_.may_delete) write("DELETE", 'd', {});
    }

private:
    Probe &probe_;
    const ProbeFamily &family_;
    DirectConditions &direct_;
    const FamilyMember &member_;
    const ProbeTable &of_;
    const std::string key_;

    const char *attack() const { return member_.above ? "parent" : member_.partition ? "partition" : "child"; }

    void add(const char *attack, const ProbePair *pair, const std::string &seen, const char *status,
             const std::string &remedy) const {
        probe_.add(nullptr, member_.label(), attack, {}, pair, "nothing of other tenants", seen, status, remedy);
    }

    // A tenant that has rows here, and another one that looks for them.
    std::optional<ProbePair> pair(bool *rows) const {
        *rows = false;
        const auto found = probe_.as_owner(
            of_.table,
            fmt::format("SELECT t.{} FROM {} AS t WHERE t.{} IS NOT NULL LIMIT 1", key_, member_.target(), key_), {},
            1);
        std::optional<ProbeMatrix> own = found;
        if (!own) {
            const auto table = describe_table(member_.oid); // of another owner
            if (table)
                own = probe_.as_owner(
                    *table,
                    fmt::format("SELECT t.{0} FROM {1} AS t WHERE t.{0} IS NOT NULL LIMIT 1", key_, member_.target()),
                    {}, 1);
        }
        if (!own || own->empty()) return std::nullopt;
        *rows = true;
        const std::string victim = own->front()[0].value_or("");
        for (const auto &[tenant, count] : probe_.owned(root()))
            if (tenant != victim && !tenant.empty()) return ProbePair{tenant, victim};
        return std::nullopt;
    }

    // The probed table at the top: it has all tenants.
    const ProbeTable &root() const {
        const ProbeTable *top = &of_;
        for (bool more = true; more;) {
            more = false;
            for (const ProbeTable &table : probe_.tables())
                if (table.table.oid == top->parent) {
                    top = &table;
                    more = true;
                    break;
                }
        }
        return *top;
    }

    void read() {
        bool rows = false;
        const auto tenants = pair(&rows);
        const ProbePair *shown = tenants ? &*tenants : nullptr;
        const Uses uses = uses_of(probe_, of_, "SELECT FROM " + member_.target());
        const bool open = !uses.all.empty() && !uses.all.front().filtered;
        if (tenants) {
            const Attempt attempt = probe_.read(probe_.session(of_, tenants->tenant),
                                                fmt::format("SELECT FROM {} AS t WHERE t.{} {} $1 LIMIT 1000",
                                                            member_.target(), key_, equality_operator(of_.key.type)),
                                                {Probe::key_value(of_, tenants->victim)});
            if (!attempt.refused() && attempt.rows > 0)
                return add(attack(), shown, attempt.shown() + " of the victim", "FAIL",
                           member_remedy(probe_, member_, 'r'));
            if (attempt.undecided()) return add(attack(), shown, attempt.shown(), "SKIP", {});
        }
        const Attempt none =
            probe_.read(probe_.session(of_, std::nullopt), fmt::format("SELECT FROM {} LIMIT 1000", member_.target()));
        if (!none.refused() && none.rows > 0)
            return add(attack(), shown, fmt::format("{} without a tenant", none.shown()), "FAIL",
                       member_remedy(probe_, member_, 'r'));
        if (open) return add(attack(), shown, "no policy holds for it", "FAIL", member_remedy(probe_, member_, 'r'));
        if (!uses.problem.empty()) return add(attack(), shown, uses.problem, "SKIP", {});
        if (tenants) return add(attack(), shown, "0 rows of the victim", "PASS", {});
        if (!uses.all.empty() && uses.all.front().denied)
            return add(attack(), nullptr, "no policy lets the role see a row", "PASS", {});
        const auto above = family_.find(root().table.oid);
        const bool same =
            above != family_.end() && !uses.all.empty() && uses.all.front().condition == direct_.of(above->second);
        add(attack(), nullptr,
            same   ? "no row to look for; the policies are those of the table above"
            : rows ? "not tried: only one tenant has rows"
                   : "not tried: no row to look for, and the policies are others than those of the table above",
            same ? "PASS" : "SKIP", {});
    }

    void write(const char *command, char code, const std::vector<std::string> &columns) {
        const WriteVerdict verdict = judge_write(probe_, of_, family_, command, member_.label(), columns);
        const std::string name = write_attack(attack(), command);
        add(name.c_str(), nullptr, verdict.seen, verdict.status,
            std::string_view(verdict.status) == "FAIL" ? member_remedy(probe_, member_, code) : "");
    }
};
} // namespace

void probe_family(Probe &probe, const ProbeFamily &family) {
    DirectConditions direct(probe);
    std::vector<const FamilyMember *> members;
    for (const auto &[oid, member] : family)
        if (member.above || member.of->table.oid != oid || member.of->parent != InvalidOid) members.push_back(&member);
    std::sort(members.begin(), members.end(), [](const FamilyMember *a, const FamilyMember *b) {
        return std::tie(a->schema, a->name) < std::tie(b->schema, b->name);
    });
    for (const FamilyMember *member : members)
        FamilyAttack(probe, family, direct, *member).run();
}

// Those that columns own, and those that defaults draw from.
void probe_sequences(Probe &probe) {
    std::vector<std::string> oids;
    for (const ProbeTable &table : probe.tables())
        oids.push_back(std::to_string(table.table.oid));
    Rows rows = own_query(
        "WITH used AS (SELECT d.objid AS sequence, d.refobjid AS of FROM pg_depend d WHERE d.classid = "
        "'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') UNION SELECT "
        "d.refobjid, f.adrelid FROM pg_attrdef f JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = "
        "f.oid AND d.refclassid = 'pg_class'::regclass) SELECT n.nspname, s.relname, min(u.of::bigint), p.usage AND "
        "has_sequence_privilege($2::oid, s.oid, 'SELECT'), p.usage AND has_sequence_privilege($2::oid, s.oid, "
        "'UPDATE'), s.oid::bigint FROM used u JOIN pg_class s ON s.oid = u.sequence AND s.relkind = 'S' JOIN "
        "pg_namespace n ON n.oid "
        "= s.relnamespace, has_schema_privilege($2::oid, n.oid, 'USAGE') AS p (usage) WHERE u.of = ANY ($1::oid[]) "
        "GROUP BY s.oid, n.nspname, s.relname, p.usage ORDER BY 1, 2",
        {text_array_value(std::span<const std::string>(oids)), bigint_value(static_cast<std::int64_t>(probe.role()))});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const std::string label = qualified(rows.text_or(i, 1), rows.text_or(i, 2));
        const bool reads = rows.boolean(i, 4), writes = rows.boolean(i, 5);
        std::string seen = "neither SELECT nor UPDATE";
        if (reads) {
            const ProbeTable *of = nullptr;
            for (const ProbeTable &table : probe.tables())
                if (table.table.oid == static_cast<Oid>(rows.bigint(i, 3))) of = &table;
            const Attempt attempt =
                probe.read(probe.session(*of, std::nullopt), fmt::format("SELECT last_value FROM {}", label));
            seen = attempt.refused() ? attempt.shown() : "SELECT: last_value tells how many rows all tenants make";
        }
        if (writes) seen = (reads ? seen + "; " : "") + "UPDATE: setval() is for all tenants";
        probe.add(nullptr, label, "sequence", {}, nullptr, "at most USAGE", seen, reads || writes ? "FAIL" : "PASS",
                  reads || writes
                      ? take_back(probe, static_cast<Oid>(rows.bigint(i, 6)), "SEQUENCE " + label, {"SELECT", "UPDATE"})
                      : "");
    }
}

namespace {
// What tenantmig keeps is of all tenants: the change log, the reviews, samples.
void probe_own_schema(Probe &probe) {
    Rows rows = own_query(
        "SELECT o.name, count(*) OVER () FROM (SELECT c.relname::text, 0 FROM pg_class c WHERE c.relnamespace = "
        "'tenantmig'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND has_any_column_privilege($1::oid, c.oid, "
        "'SELECT') UNION SELECT p.proname || '()', 1 FROM pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace "
        "AND p.prorettype <> 'trigger'::regtype AND has_function_privilege($1::oid, p.oid, 'EXECUTE')) o (name, place) "
        "WHERE has_schema_privilege($1::oid, 'tenantmig', 'USAGE') ORDER BY o.name NOT IN ('changes', 'reviews', "
        "'review()'), o.place, o.name LIMIT 3",
        {bigint_value(static_cast<std::int64_t>(probe.role()))});
    const Rows grantees = own_query(
        "SELECT string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) "
        "END, ', ') FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'tenantmig' AND CASE WHEN a.grantee "
        "= 0 THEN true ELSE a.grantee <> n.nspowner AND pg_has_role($1::oid, a.grantee, 'USAGE') END",
        {bigint_value(static_cast<std::int64_t>(probe.role()))});
    const std::string given = grantees.text_or(0, 1);
    if (rows.empty()) {
        probe.add(nullptr, "tenantmig", "own_tables", {}, nullptr, "no right on them", "none", "PASS", {});
        return;
    }
    std::string names;
    for (std::size_t i = 0; i < rows.size(); i++)
        names += (names.empty() ? "" : ", ") + rows.text_or(i, 1);
    const std::int64_t more = rows.bigint(0, 2) - static_cast<std::int64_t>(rows.size());
    probe.add(
        nullptr, "tenantmig", "own_tables", {}, nullptr, "no right on them",
        more > 0 ? fmt::format("{} and {} more: values of every tenant", names, more)
                 : names + ": values of every tenant",
        "FAIL",
        grantees.is_null(0, 1)
            ? fmt::format("REVOKE pg_read_all_data FROM {};", probe.role_label())
            : fmt::format("REVOKE ALL ON ALL TABLES IN SCHEMA tenantmig FROM {0}; REVOKE ALL ON ALL ROUTINES IN SCHEMA "
                          "tenantmig FROM {0}; REVOKE ALL ON SCHEMA tenantmig FROM {0};",
                          given));
}
} // namespace

void probe_objects(Probe &probe) {
    if (probe.tables().empty()) return;
    const ProbeFamily family = read_family(probe);
    probe_family(probe, family);
    probe_views(probe, family);
    probe_sequences(probe);
    probe_statistics(probe, family);
    probe_own_schema(probe);
}

} // namespace tenantmig

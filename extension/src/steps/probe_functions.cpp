// SECURITY DEFINER functions: never called here. What they read stands in their text, or, for bodies of standard SQL,
// in the catalogue; whether policies hold there is a matter of their owner. A trigger's function and an aggregate's run
// for a role that has no right to call them.
#include "steps/probe_rights.hpp"

#include "catalog/own_tables.hpp"

#include <cctype>

namespace tenantmig {

namespace {
struct Function {
    Oid oid = InvalidOid, owner = InvalidOid;
    std::string name, label, language, owner_name;
    bool definer = false, callable = false, pinned = false;
    bool returns_rows = true;            // it is no trigger's
    std::string fired_on;                // of a trigger: a table or view that the role may write and where it fires
    std::set<std::string> words;         // of its text
    std::set<Oid> relations, calls;      // that its standard SQL body depends on
    std::set<const ProbeTable *> tables; // that it reads, by whatever way

    bool runs() const { return callable || !fired_on.empty(); } // for the application role
};

// Identifiers in a text of SQL, comments left out; what stands in strings is looked at, too: a statement may.
std::set<std::string> identifiers(const std::string &text) {
    std::set<std::string> result;
    bool in_string = false;
    const auto at = [&](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
    for (std::size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c == '\'') {
            in_string = !in_string;
            i++;
        } else if (!in_string && c == '-' && at(i + 1) == '-') {
            while (i < text.size() && text[i] != '\n')
                i++;
        } else if (!in_string && c == '/' && at(i + 1) == '*') {
            const auto end = text.find("*/", i + 2);
            i = end == std::string::npos ? text.size() : end + 2;
        } else if (c == '"') {
            std::string word;
            for (i++; i < text.size(); i++) {
                if (text[i] == '"' && at(i + 1) == '"')
                    i++;
                else if (text[i] == '"')
                    break;
                word += text[i];
            }
            i++;
            result.insert(std::move(word));
        } else if (std::isalpha(c) || c == '_' || c >= 0x80) {
            std::string word;
            for (; i < text.size(); i++) {
                const auto letter = static_cast<unsigned char>(text[i]);
                if (!std::isalnum(letter) && letter != '_' && letter != '$' && letter < 0x80) break;
                word += static_cast<char>(letter < 0x80 ? std::tolower(letter) : letter);
            }
            result.insert(std::move(word));
        } else
            i++;
    }
    return result;
}

std::vector<Function> read_functions(const Probe &probe) {
    Rows rows = own_query(
        "SELECT p.oid::bigint, p.proowner::bigint, p.proname, format('%I.%I(%s)', n.nspname, p.proname, "
        "pg_get_function_identity_arguments(p.oid)), l.lanname, quote_ident(pg_get_userbyid(p.proowner)), p.prosecdef, "
        "p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype), has_function_privilege($1::oid, p.oid, "
        "'EXECUTE') AND has_schema_privilege($1::oid, n.oid, 'USAGE') OR EXISTS (SELECT FROM pg_aggregate a JOIN "
        "pg_proc g ON g.oid = a.aggfnoid WHERE p.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, "
        "a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) AND has_function_privilege($1::oid, g.oid, "
        "'EXECUTE') AND has_schema_privilege($1::oid, g.pronamespace, 'USAGE') AND has_function_privilege(g.proowner, "
        "p.oid, 'EXECUTE')), EXISTS (SELECT FROM unnest(p.proconfig) c WHERE "
        "c LIKE 'search\\_path=%'), p.prosrc, ARRAY(SELECT d.refobjid::bigint::text FROM pg_depend d WHERE d.classid = "
        "'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass), ARRAY(SELECT "
        "d.refobjid::bigint::text FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND "
        "d.refclassid = 'pg_proc'::regclass), (SELECT min(format('%I.%I', k.nspname, c.relname)) FROM pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace k ON k.oid = c.relnamespace WHERE t.tgfoid = p.oid AND "
        "NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND has_schema_privilege($1::oid, k.oid, 'USAGE') AND "
        "(t.tgtype & 4 <> 0 AND has_any_column_privilege($1::oid, c.oid, 'INSERT') OR t.tgtype & 8 <> 0 AND "
        "has_table_privilege($1::oid, c.oid, 'DELETE') OR t.tgtype & 16 <> 0 AND has_any_column_privilege($1::oid, "
        "c.oid, 'UPDATE') OR t.tgtype & 32 <> 0 AND has_table_privilege($1::oid, c.oid, 'TRUNCATE'))) FROM pg_proc p "
        "JOIN pg_namespace n ON n.oid = p.pronamespace JOIN "
        "pg_language l ON l.oid = p.prolang WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'tenantmig') "
        "AND p.prokind IN ('f', 'p') AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND "
        "e.objid = p.oid AND e.deptype = 'e') ORDER BY 4",
        {bigint_value(static_cast<std::int64_t>(probe.role()))});
    std::vector<Function> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        Function one;
        one.oid = static_cast<Oid>(rows.bigint(i, 1));
        one.owner = static_cast<Oid>(rows.bigint(i, 2));
        one.name = rows.text_or(i, 3);
        one.label = rows.text_or(i, 4);
        one.language = rows.text_or(i, 5);
        one.owner_name = rows.text_or(i, 6);
        one.definer = rows.boolean(i, 7);
        one.returns_rows = rows.boolean(i, 8);
        one.callable = one.returns_rows && rows.boolean(i, 9);
        one.pinned = rows.boolean(i, 10);
        if (one.language != "c" && one.language != "internal") one.words = identifiers(rows.text_or(i, 11));
        for (const std::string &text : rows.text_array(i, 12))
            one.relations.insert(static_cast<Oid>(std::stoul(text)));
        for (const std::string &text : rows.text_array(i, 13))
            one.calls.insert(static_cast<Oid>(std::stoul(text)));
        one.fired_on = rows.text_or(i, 14);
        result.push_back(std::move(one));
    }
    return result;
}

using Tables = std::set<const ProbeTable *>;

// Tables, what belongs to them, and views over them: by OID and by name.
struct Readable {
    std::map<Oid, Tables> by_oid;
    std::map<std::string, Tables> by_name;
};

Readable readable_relations(const ProbeFamily &family) {
    Readable result;
    for (const auto &[oid, member] : family) {
        result.by_oid[oid].insert(member.of);
        result.by_name[member.name].insert(member.of);
    }
    Rows rows = own_query(
        "WITH RECURSIVE reads AS (SELECT DISTINCT r.ev_class AS view, d.refobjid AS source FROM pg_depend d JOIN "
        "pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = "
        "'pg_class'::regclass AND d.refobjid <> r.ev_class), found AS (SELECT r.view, r.source FROM reads r WHERE "
        "r.source = ANY ($1::oid[]) UNION SELECT r.view, f.source FROM reads r JOIN found f ON r.source = f.view) "
        "SELECT f.view::bigint, c.relname, f.source::bigint FROM found f JOIN pg_class c ON c.oid = f.view AND "
        "c.relkind IN ('v', 'm')",
        {text_array_value(std::span<const std::string>(oid_texts(family)))});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const ProbeTable *of = family.at(static_cast<Oid>(rows.bigint(i, 3))).of;
        result.by_oid[static_cast<Oid>(rows.bigint(i, 1))].insert(of);
        result.by_name[rows.text_or(i, 2)].insert(of);
    }
    return result;
}

// What each function reads, itself or through functions that it names.
void trace(std::vector<Function> &functions, const Readable &readable) {
    for (Function &function : functions) {
        for (Oid relation : function.relations)
            if (const auto found = readable.by_oid.find(relation); found != readable.by_oid.end())
                function.tables.insert(found->second.begin(), found->second.end());
        for (const std::string &word : function.words)
            if (const auto found = readable.by_name.find(word); found != readable.by_name.end())
                function.tables.insert(found->second.begin(), found->second.end());
    }
    for (bool more = true; more;) {
        more = false;
        for (Function &called : functions) {
            if (called.tables.empty() && !called.definer) continue;
            for (Function &function : functions) {
                if (&function == &called ||
                    (!function.calls.contains(called.oid) && !function.words.contains(called.name)))
                    continue;
                if (called.definer) { // its owner counts, not the caller's; the caller's owner may call it
                    if (called.callable || !function.definer || !function.runs() || !called.returns_rows) continue;
                    called.callable = more = true;
                    continue;
                }
                const std::size_t before = function.tables.size();
                function.tables.insert(called.tables.begin(), called.tables.end());
                more = more || function.tables.size() > before;
            }
        }
    }
}

class FunctionJudge {
public:
    FunctionJudge(Probe &probe, bool creates) : probe_(probe), standings_(probe), creates_(creates) {}

    void judge(const Function &function) {
        std::set<std::string> above, other, unknown;
        for (const ProbeTable *table : function.tables)
            switch (standings_.of(function.owner, *table)) {
            case Standing::above:
                above.insert(table->table.label());
                break;
            case Standing::other:
                other.insert(table->table.label());
                break;
            case Standing::unknown:
                unknown.insert(table->table.label());
                break;
            case Standing::under:
                break;
            }
        const std::string path = function.pinned ? "" : "; its search_path is not pinned";
        const std::string runs =
            function.callable ? fmt::format("runs as {}", function.owner_name)
                              : fmt::format("a trigger of {}: runs as {}", function.fired_on, function.owner_name);
        if (!above.empty())
            return add(function, fmt::format("{}, above the policies of {}{}", runs, some(above), path), "FAIL");
        const bool dynamic = function.words.contains("execute") && function.language == "plpgsql";
        const std::string open = above_anywhere(function);
        if (dynamic && !open.empty())
            return add(function,
                       fmt::format("{}, above the policies of {}, and puts statements together{}", runs, open, path),
                       function.callable ? "FAIL" : "SKIP"); // nobody chooses what a trigger is given
        if (!other.empty())
            return add(function, fmt::format("{}, under other policies of {}{}", runs, some(other), path), "SKIP");
        if (!unknown.empty())
            return add(function,
                       fmt::format("{}: which policies of {} hold, the caller may not ask", runs, some(unknown)),
                       "SKIP");
        if (!function.tables.empty())
            return add(function, fmt::format("{}, under the policies of {}", runs, labels(function.tables)), "PASS");
        if (open.empty()) return; // it reads none of the tables, and could not read more than anybody
        if (function.language != "sql" && function.language != "plpgsql")
            return add(function, fmt::format("{}; what a function in {} reads can't be told", runs, function.language),
                       "SKIP");
        if (!function.pinned && creates_)
            return add(function,
                       fmt::format("{}; its search_path is not pinned, and the role may create objects to stand in for "
                                   "those that it calls",
                                   runs),
                       "FAIL");
        if (!function.pinned) add(function, fmt::format("{}{}", runs, path), "SKIP");
    }

private:
    Probe &probe_;
    RoleStandings standings_;
    const bool creates_;

    static std::string some(const std::set<std::string> &names) {
        std::string result;
        std::size_t shown = 0;
        for (const std::string &name : names) {
            if (shown++ == 3) break;
            result += (result.empty() ? "" : ", ") + name;
        }
        return names.size() > 3 ? fmt::format("{} and {} more", result, names.size() - 3) : result;
    }
    static std::string labels(const Tables &tables) {
        std::set<std::string> names;
        for (const ProbeTable *table : tables)
            names.insert(table->table.label());
        return some(names);
    }
    std::string above_anywhere(const Function &function) {
        std::set<std::string> names;
        for (const ProbeTable &table : probe_.tables())
            if (standings_.of(function.owner, table) == Standing::above) names.insert(table.table.label());
        return names.empty() ? "" : some(names);
    }

    void add(const Function &function, const std::string &seen, const char *status) {
        const std::string_view what = status;
        probe_.add(nullptr, function.label, "definer_function", {}, nullptr,
                   "no SECURITY DEFINER function above the policies", seen, status,
                   what == "PASS" ? ""
                   : what == "FAIL" && !function.callable
                       ? fmt::format("ALTER ROUTINE {0} SECURITY INVOKER; -- or: ALTER ROUTINE {0} OWNER TO a role "
                                     "that the policies hold for",
                                     function.label)
                   : what == "FAIL"
                       ? fmt::format("ALTER ROUTINE {0} SECURITY INVOKER; -- or: REVOKE EXECUTE ON ROUTINE {0} FROM "
                                     "{1}, PUBLIC; or: ALTER ROUTINE {0} OWNER TO a role that the policies hold for",
                                     function.label, probe_.role_label())
                       : fmt::format("ALTER ROUTINE {} SET search_path = pg_catalog, pg_temp;", function.label));
    }
};

// What a rule does beside or in place of a write, it does with the rights of the table's or view's owner; a SELECT in
// it gives the rows to whoever writes. What it reads is in the catalogue; its own table, of which OLD and NEW are,
// apart.
void judge_rules(Probe &probe, const Readable &readable) {
    Rows rows = own_query(
        "SELECT format('%I.%I', n.nspname, c.relname), quote_ident(w.rulename), c.relowner::bigint, "
        "quote_ident(pg_get_userbyid(c.relowner)), ARRAY(SELECT DISTINCT d.refobjid::bigint::text FROM pg_depend d "
        "WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND "
        "d.refobjid <> c.oid) FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class JOIN pg_namespace n ON n.oid = "
        "c.relnamespace WHERE w.ev_enabled IN ('O', 'A') AND has_schema_privilege($1::oid, n.oid, 'USAGE') AND CASE "
        "w.ev_type WHEN '2' THEN has_any_column_privilege($1::oid, c.oid, 'UPDATE') WHEN '3' THEN "
        "has_any_column_privilege($1::oid, c.oid, 'INSERT') WHEN '4' THEN has_table_privilege($1::oid, c.oid, "
        "'DELETE') ELSE false END ORDER BY 1, 2",
        {bigint_value(static_cast<std::int64_t>(probe.role()))});
    RoleStandings standings(probe);
    for (std::size_t i = 0; i < rows.size(); i++) {
        Tables tables;
        for (const std::string &text : rows.text_array(i, 5))
            if (const auto found = readable.by_oid.find(static_cast<Oid>(std::stoul(text)));
                found != readable.by_oid.end())
                tables.insert(found->second.begin(), found->second.end());
        if (tables.empty()) continue;
        std::set<std::string> above, open;
        for (const ProbeTable *table : tables) {
            const Standing standing = standings.of(static_cast<Oid>(rows.bigint(i, 3)), *table);
            if (standing == Standing::above) above.insert(table->table.label());
            if (standing == Standing::other || standing == Standing::unknown) open.insert(table->table.label());
        }
        const std::string relation = rows.text_or(i, 1), rule = rows.text_or(i, 2);
        const std::string seen = !above.empty()  ? fmt::format("runs as {}, above the policies of {}",
                                                               rows.text_or(i, 4), fmt::join(above, ", "))
                                 : !open.empty() ? fmt::format("runs as {}, not under the role's policies of {}",
                                                               rows.text_or(i, 4), fmt::join(open, ", "))
                                                 : fmt::format("runs as {}, under the policies", rows.text_or(i, 4));
        probe.add(nullptr, relation, "rule", rule, nullptr, "no rule above the policies", seen,
                  !above.empty()  ? "FAIL"
                  : !open.empty() ? "SKIP"
                                  : "PASS",
                  above.empty() && open.empty() ? "" : fmt::format("DROP RULE {} ON {};", rule, relation));
    }
}
} // namespace

void probe_functions(Probe &probe, const ProbeFamily &family) {
    std::vector<Function> functions = read_functions(probe);
    const Readable readable = readable_relations(family);
    trace(functions, readable);
    judge_rules(probe, readable);
    const Rows creates = own_query(
        "SELECT has_database_privilege($1::oid, d.oid, 'CREATE') OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspname "
        "NOT LIKE 'pg\\_%' AND has_schema_privilege($1::oid, n.oid, 'CREATE')) FROM pg_database d WHERE d.datname = "
        "current_database()",
        {bigint_value(static_cast<std::int64_t>(probe.role()))});
    FunctionJudge judge(probe, creates.boolean(0, 1));
    std::int64_t callable = 0;
    for (const Function &function : functions)
        if (function.definer && function.runs()) {
            callable++;
            judge.judge(function);
        }
    if (callable == 0)
        probe.add(nullptr, "role " + probe.role_label(), "definer_function", {}, nullptr,
                  "no SECURITY DEFINER function above the policies", "there is none that the role may call", "PASS",
                  {});
}

} // namespace tenantmig

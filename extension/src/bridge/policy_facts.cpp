#include "bridge/policy_facts.hpp"

extern "C" {
#include "access/transam.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
}
#undef foreach

namespace tenantmig {

namespace {
enum Class : int { volatile_call, bare_call, folded_call, classes };
constexpr int most_names = 50;

// Plain data: PostgreSQL's tree walkers lie between us and the callers of this.
struct Findings {
    Oid functions[classes][most_names];
    int counts[classes];
    bool row_subquery;
    int subqueries; // depth of those that are computed once
};

void note(Findings *findings, Class what, Oid function) {
    for (int i = 0; i < findings->counts[what]; i++)
        if (findings->functions[what][i] == function) return;
    if (findings->counts[what] < most_names) findings->functions[what][findings->counts[what]++] = function;
}

struct Call {
    Findings *findings;
    bool has_column;
};

bool note_function(Oid function, void *context) {
    const Call *call = static_cast<Call *>(context);
    const char volatility = func_volatile(function);
    const bool outside = call->findings->subqueries == 0;
    if (outside && volatility == PROVOLATILE_VOLATILE)
        note(call->findings, volatile_call, function);
    else if (outside && volatility == PROVOLATILE_STABLE && !call->has_column)
        note(call->findings, bare_call, function);
    else if (volatility == PROVOLATILE_IMMUTABLE && !call->has_column && function >= FirstNormalObjectId)
        note(call->findings, folded_call, function);
    return false; // go on
}

bool walk(Node *node, void *context);

bool walk_below(Node *node, void *context) {
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker(node, walk, context);
#else
    return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(walk)), context);
#endif
}

bool walk_query(Query *query, void *context) {
#if PG_VERSION_NUM >= 160000
    return query_tree_walker(query, walk, context, 0);
#else
    return query_tree_walker(query, reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(walk)), context, 0);
#endif
}

bool walk(Node *node, void *context) {
    auto *findings = static_cast<Findings *>(context);
    if (!node) return false;
    if (IsA(node, SubLink)) {
        auto *link = reinterpret_cast<SubLink *>(node);
        const bool once = !contain_vars_of_level(link->subselect, 1);
        if (!once && findings->subqueries == 0) findings->row_subquery = true;
        walk(link->testexpr, context);
        if (once) findings->subqueries++;
        walk(link->subselect, context);
        if (once) findings->subqueries--;
        return false;
    }
    if (IsA(node, Query)) return walk_query(reinterpret_cast<Query *>(node), context);
    // Operators and casts of PostgreSQL that are STABLE (of dates, by DateStyle) are cheap and can't be wrapped one by
    // one: only calls count as bare. A volatile one counts wherever it hides.
    Call call = {findings, true};
    if (IsA(node, FuncExpr)) call.has_column = contain_var_clause(node);
    check_functions_in_node(node, note_function, &call);
    return walk_below(node, context);
}

std::vector<std::string> names_of(const Findings &findings, Class what) {
    std::vector<std::string> names;
    for (int i = 0; i < findings.counts[what]; i++) {
        const Oid function = findings.functions[what][i];
        // Without the arguments' types: "current_setting", "app.current_tenant".
        const char *name = pg_call([function] {
            const char *own = get_func_name(function);
            const Oid schema = get_func_namespace(function);
            if (!own) return static_cast<const char *>("(function that no longer exists)");
            if (schema == PG_CATALOG_NAMESPACE) return quote_identifier(own);
            return static_cast<const char *>(quote_qualified_identifier(get_namespace_name(schema), own));
        });
        names.emplace_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}
} // namespace

PolicyFacts policy_facts(Oid policy, bool check) {
    const Findings *found = pg_call([policy, check] {
        auto *out = static_cast<Findings *>(palloc0(sizeof(Findings)));
        Relation catalogue = table_open(PolicyRelationId, AccessShareLock);
        ScanKeyData key;
        ScanKeyInit(&key, Anum_pg_policy_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(policy));
        SysScanDesc scan = systable_beginscan(catalogue, PolicyOidIndexId, true, nullptr, 1, &key);
        if (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple)) {
            bool null = false;
            Datum tree = heap_getattr(tuple, check ? Anum_pg_policy_polwithcheck : Anum_pg_policy_polqual,
                                      RelationGetDescr(catalogue), &null);
            if (!null) walk(static_cast<Node *>(stringToNode(TextDatumGetCString(tree))), out);
        }
        systable_endscan(scan);
        table_close(catalogue, AccessShareLock);
        return out;
    });
    return {names_of(*found, volatile_call), names_of(*found, bare_call), names_of(*found, folded_call),
            found->row_subquery};
}

} // namespace tenantmig

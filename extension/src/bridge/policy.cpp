#include "bridge/policy.hpp"

extern "C" {
#include "catalog/pg_policy.h"
#include "nodes/parsenodes.h"
#include "parser/parse_clause.h"
#include "parser/parse_collate.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
}

namespace tenantmig {

std::vector<Policy> policies_of(Oid table) {
    Rows rows =
        run_query("SELECT p.oid::pg_catalog.int8, p.polname, p.polcmd::pg_catalog.text, p.polpermissive, "
                  "p.polroles::pg_catalog.text[], "
                  "p.polqual IS NOT NULL, p.polwithcheck IS NOT NULL FROM pg_catalog.pg_policy AS p WHERE p.polrelid "
                  "OPERATOR(pg_catalog.=) $1 ORDER BY p.polname",
                  {Value{OIDOID, ObjectIdGetDatum(table), false}});
    std::vector<Policy> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        Policy policy;
        policy.oid = static_cast<Oid>(rows.bigint(i, 1));
        policy.name = rows.text_or(i, 2);
        policy.command = rows.text_or(i, 3, "*").front();
        policy.permissive = rows.boolean(i, 4);
        for (const std::string &role : rows.text_array(i, 5))
            policy.roles.push_back(static_cast<Oid>(std::strtoul(role.c_str(), nullptr, 10)));
        policy.has_using = rows.boolean(i, 6);
        policy.has_check = rows.boolean(i, 7);
        result.push_back(std::move(policy));
    }
    return result;
}

RowSecurity row_security_of(Oid table) {
    return pg_call([table] {
        RowSecurity result = {false, false};
        HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
        if (!HeapTupleIsValid(tuple)) return result;
        auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
        result = {form->relrowsecurity, form->relforcerowsecurity};
        ReleaseSysCache(tuple);
        return result;
    });
}

// What CREATE POLICY does with the text, step by step; equal() leaves out positions within it.
bool policy_is(const Policy &policy, Oid table, const std::string &condition) {
    const std::string statement = "SELECT " + condition;
    return pg_call([oid = policy.oid, table, sql = statement.c_str()] {
        Relation catalogue = table_open(PolicyRelationId, AccessShareLock);
        ScanKeyData key;
        ScanKeyInit(&key, Anum_pg_policy_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(oid));
        SysScanDesc scan = systable_beginscan(catalogue, PolicyOidIndexId, true, nullptr, 1, &key);
        HeapTuple tuple = systable_getnext(scan);
        Node *stored[2] = {nullptr, nullptr};
        const AttrNumber columns[2] = {Anum_pg_policy_polqual, Anum_pg_policy_polwithcheck};
        for (int i = 0; HeapTupleIsValid(tuple) && i < 2; i++) {
            bool null = false;
            const Datum datum = heap_getattr(tuple, columns[i], RelationGetDescr(catalogue), &null);
            if (!null) stored[i] = static_cast<Node *>(stringToNode(TextDatumGetCString(datum)));
        }
        systable_endscan(scan);
        table_close(catalogue, AccessShareLock);
        if (!stored[0] || !stored[1]) return false;
        Relation relation = relation_open(table, AccessShareLock);
        ParseState *state = make_parsestate(nullptr);
        ParseNamespaceItem *item =
            addRangeTableEntryForRelation(state, relation, AccessShareLock, nullptr, false, false);
        addNSItemToQuery(state, item, false, true, true);
        auto *raw = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT));
        auto *select = castNode(SelectStmt, raw->stmt);
        Node *wanted =
            transformWhereClause(state, linitial_node(ResTarget, select->targetList)->val, EXPR_KIND_POLICY, "POLICY");
        assign_expr_collations(state, wanted);
        free_parsestate(state);
        relation_close(relation, NoLock);
        return equal(wanted, stored[0]) && equal(wanted, stored[1]);
    });
}

} // namespace tenantmig

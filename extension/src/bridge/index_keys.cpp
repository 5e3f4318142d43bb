#include "bridge/index_keys.hpp"

extern "C" {
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
}
#undef foreach

namespace tenantmig {

namespace {
// Within PostgreSQL's regime. The expressions are copied out of the relation cache.
Node *key_node(Relation index, int key) {
    const AttrNumber column = index->rd_index->indkey.values[key];
    if (column != 0) {
        Oid type, collation;
        int32 typmod;
        get_atttypetypmodcoll(index->rd_index->indrelid, column, &type, &typmod, &collation);
        return reinterpret_cast<Node *>(makeVar(1, column, type, typmod, collation, 0));
    }
    int number = 0;
    for (int i = 0; i < key; i++)
        number += index->rd_index->indkey.values[i] == 0;
    List *expressions = RelationGetIndexExpressions(index);
    if (number >= list_length(expressions))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" has fewer expressions than columns", RelationGetRelationName(index))));
    return static_cast<Node *>(list_nth(expressions, number));
}
} // namespace

std::vector<IndexKey> index_keys(Oid index) {
    struct Found {
        int count;
        IndexKey keys[INDEX_MAX_KEYS];
    };
    const Found *found = pg_call([index] {
        auto *out = static_cast<Found *>(palloc0(sizeof(Found)));
        Relation relation = index_open(index, AccessShareLock);
        out->count = IndexRelationGetNumberOfKeyAttributes(relation);
        for (int i = 0; i < out->count; i++) {
            Node *node = key_node(relation, i);
            out->keys[i].column = relation->rd_index->indkey.values[i];
            out->keys[i].type = getBaseType(exprType(node));
            out->keys[i].leaks = contain_leaked_vars(node);
        }
        index_close(relation, NoLock);
        return out;
    });
    return {found->keys, found->keys + found->count};
}

bool leaks_in_index(Oid index, int key, Oid operator_oid) {
    return pg_call([index, key, operator_oid] {
        Relation relation = index_open(index, AccessShareLock);
        Oid left, right;
        op_input_types(operator_oid, &left, &right);
        Node *value = reinterpret_cast<Node *>(makeNullConst(right, -1, InvalidOid));
        auto *condition = reinterpret_cast<Node *>(
            make_opclause(operator_oid, BOOLOID, false, reinterpret_cast<Expr *>(key_node(relation, key)),
                          reinterpret_cast<Expr *>(value), InvalidOid, InvalidOid));
        const bool leaks = contain_leaked_vars(condition);
        index_close(relation, NoLock);
        return leaks;
    });
}

bool equality_leaks(Oid type) {
    return pg_call([type] {
        TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
        return !OidIsValid(entry->eq_opr) || !get_func_leakproof(get_opcode(entry->eq_opr));
    });
}

} // namespace tenantmig

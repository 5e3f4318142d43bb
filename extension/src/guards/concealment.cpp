#include "guards/concealment.hpp"

#include "guards/refusal.hpp"

namespace tenantmig {

namespace {
bool over(const ForeignKeyCacheInfo *key, const AttrNumber *columns, int count) {
    for (int i = 0; i < count; i++) {
        bool found = false;
        for (int j = 0; j < key->nkeys; j++)
            found |= key->conkey[j] == columns[i];
        if (!found) return false;
    }
    return true;
}

struct KeyText {
    const char *names = nullptr, *values = nullptr; // nullptr: not for whoever writes
};

// The key as PostgreSQL shows it, to those who may read it (ri_ReportViolation).
KeyText key_text(Relation relation, HeapTuple row, const ForeignKeyCacheInfo *key) {
    const Oid table = RelationGetRelid(relation);
    bool may_read = !hidden_from_writer(table);
    if (may_read && pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
        for (int i = 0; i < key->nkeys && may_read; i++)
            may_read = pg_attribute_aclcheck(table, key->conkey[i], GetUserId(), ACL_SELECT) == ACLCHECK_OK;
    if (!may_read) return {};
    StringInfoData names, values;
    initStringInfo(&names);
    initStringInfo(&values);
    TupleDesc columns = RelationGetDescr(relation);
    for (int i = 0; i < key->nkeys; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, key->conkey[i] - 1);
        bool null = false, varlena = false;
        const Datum value = heap_getattr(row, key->conkey[i], columns, &null);
        Oid output = InvalidOid;
        getTypeOutputInfo(column->atttypid, &output, &varlena);
        appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", NameStr(column->attname));
        appendStringInfo(&values, "%s%s", i > 0 ? ", " : "", null ? "null" : OidOutputFunctionCall(output, value));
    }
    return {names.data, values.data};
}
} // namespace

bool hidden_from_writer(Oid table) {
    return check_enable_rls(table, InvalidOid, true) == RLS_ENABLED;
}

// A foreign key with more columns (the tenant key among them) answers for these, too: it refuses in the same cases.
void refuse_as_foreign_key(Relation relation, HeapTuple row, const AttrNumber *columns, int count, Oid parent) {
    const List *keys = RelationGetFKeyList(relation);
    for (int i = 0; i < list_length(keys); i++) {
        const auto *key = static_cast<const ForeignKeyCacheInfo *>(list_nth(keys, i));
        if (key->confrelid != parent || !over(key, columns, count)) continue;
        const char *name = get_constraint_name(key->conoid);
        if (!name) continue;
        const KeyText shown = key_text(relation, row, key);
        count_refusal();
        ereport(ERROR, (errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
                        errmsg("insert or update on table \"%s\" violates foreign key constraint \"%s\"",
                               RelationGetRelationName(relation), name),
                        shown.names ? errdetail("Key (%s)=(%s) is not present in table \"%s\".", shown.names,
                                                shown.values, get_rel_name(parent))
                                    : errdetail("Key is not present in table \"%s\".", get_rel_name(parent)),
                        errtableconstraint(relation, name)));
    }
}

} // namespace tenantmig

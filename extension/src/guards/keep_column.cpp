// The trigger of a column that is about to be dropped: while its values are copied, everything that is written is noted
// in a journal, in order. Appends only, below SQL: it waits for nobody, sees no snapshot, and runs no code of users, so
// that nobody's write fails because of it, in whatever isolation level. PostgreSQL's regime.
#include "bridge/pg.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_keep_column);
}

namespace tenantmig {

namespace {
constexpr int fixed_arguments = 3; // schema, name, number of the column

struct Journal {
    Relation relation; // NULL: there is nothing to be done
    int keys;
    AttrNumber column, key[INDEX_MAX_KEYS];
};

AttrNumber number_of(const char *text) {
    const long value = strtol(text, nullptr, 10);
    return value > 0 && value <= MaxHeapAttributeNumber ? static_cast<AttrNumber>(value) : InvalidAttrNumber;
}

bool same_type(TupleDesc table, AttrNumber number, Form_pg_attribute column) {
    if (number == InvalidAttrNumber || number > table->natts) return false;
    Form_pg_attribute attribute = TupleDescAttr(table, number - 1);
    return !attribute->attisdropped && attribute->atttypid == column->atttypid;
}

// The journal is trusted only as far as a row can be put there by the table's owner: a trigger made by hand gains
// nothing. Its columns: seq, op, value, the key.
bool fits(Relation relation, const Relation table, const Journal *journal) {
    const TupleDesc columns = RelationGetDescr(relation), source = RelationGetDescr(table);
    if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rel->relowner != table->rd_rel->relowner ||
        relation->rd_rel->relhasindex || relation->rd_rel->relam != HEAP_TABLE_AM_OID ||
        relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP || columns->natts != 3 + journal->keys)
        return false;
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (column->attisdropped || column->attgenerated) return false;
        if (i == 0 && column->atttypid != INT8OID) return false;
        if (i == 1 && column->atttypid != CHAROID) return false;
        if (i == 2 && !same_type(source, journal->column, column)) return false;
        if (i > 2 && !same_type(source, journal->key[i - 3], column)) return false;
    }
    return true;
}

Journal open_journal(const TriggerData *event) {
    Journal journal = {};
    const Trigger *trigger = event->tg_trigger;
    journal.keys = trigger->tgnargs - fixed_arguments;
    if (journal.keys < 1 || journal.keys > INDEX_MAX_KEYS) return journal;
    journal.column = number_of(trigger->tgargs[2]);
    for (int i = 0; i < journal.keys; i++)
        journal.key[i] = number_of(trigger->tgargs[fixed_arguments + i]);
    const Oid schema = get_namespace_oid(trigger->tgargs[0], true);
    const Oid table = OidIsValid(schema) ? get_relname_relid(trigger->tgargs[1], schema) : InvalidOid;
    Relation relation = OidIsValid(table) ? try_relation_open(table, RowExclusiveLock) : nullptr;
    if (!relation) return journal;
    if (fits(relation, event->tg_relation, &journal))
        journal.relation = relation;
    else
        relation_close(relation, RowExclusiveLock);
    return journal;
}

std::int64_t next_number() {
    const Oid sequence = get_relname_relid("keep_seq", get_namespace_oid("tenantmig", false));
    return nextval_internal(sequence, false);
}

// `row`: NULL for the op T, which has no key.
void note(const Journal *journal, char op, HeapTuple row, TupleDesc columns) {
    Datum values[3 + INDEX_MAX_KEYS] = {};
    bool nulls[3 + INDEX_MAX_KEYS] = {};
    values[0] = Int64GetDatum(next_number());
    values[1] = CharGetDatum(op);
    nulls[2] = op != 'W';
    if (!nulls[2]) values[2] = heap_getattr(row, journal->column, columns, &nulls[2]);
    for (int i = 0; i < journal->keys; i++) {
        nulls[3 + i] = row == nullptr;
        if (row) values[3 + i] = heap_getattr(row, journal->key[i], columns, &nulls[3 + i]);
    }
    HeapTuple tuple = heap_form_tuple(RelationGetDescr(journal->relation), values, nulls);
    heap_insert(journal->relation, tuple, GetCurrentCommandId(true), HEAP_INSERT_NO_LOGICAL, nullptr);
    heap_freetuple(tuple);
}

bool same_key(const Journal *journal, HeapTuple before, HeapTuple after, TupleDesc columns) {
    for (int i = 0; i < journal->keys; i++) {
        bool null_before, null_after;
        const Datum old_key = heap_getattr(before, journal->key[i], columns, &null_before);
        const Datum new_key = heap_getattr(after, journal->key[i], columns, &null_after);
        Form_pg_attribute attribute = TupleDescAttr(columns, journal->key[i] - 1);
        if (null_before || null_after || !datumIsEqual(old_key, new_key, attribute->attbyval, attribute->attlen))
            return false;
    }
    return true;
}

// A later command of this transaction (of a trigger that fired before us) has replaced the row again: that one is
// noted, and must stay the last.
bool replaced_since(HeapTuple row) {
    const HeapTupleHeader header = row->t_data;
    if (header->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI) || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
        return false;
    return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmax(header));
}

void note_row(const Journal *journal, const TriggerData *event) {
    const TupleDesc columns = RelationGetDescr(event->tg_relation);
    if (TRIGGER_FIRED_BY_DELETE(event->tg_event)) {
        note(journal, 'D', event->tg_trigtuple, columns);
        return;
    }
    const bool update = TRIGGER_FIRED_BY_UPDATE(event->tg_event);
    HeapTuple row = update ? event->tg_newtuple : event->tg_trigtuple;
    if (update && !same_key(journal, event->tg_trigtuple, row, columns))
        note(journal, 'D', event->tg_trigtuple, columns);
    if (!replaced_since(row)) note(journal, 'W', row, columns);
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_keep_column(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("tenantmig.keep_column is a trigger function"),
                        errhint("A step drop_column makes the trigger.")));
    auto *event = reinterpret_cast<TriggerData *>(fcinfo->context);
    const bool truncate = TRIGGER_FIRED_BY_TRUNCATE(event->tg_event);
    if (!TRIGGER_FIRED_AFTER(event->tg_event) || (!truncate && !TRIGGER_FIRED_FOR_ROW(event->tg_event)))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("trigger \"%s\" must be AFTER, FOR EACH ROW or on TRUNCATE", event->tg_trigger->tgname),
                        errhint("A step drop_column makes the trigger.")));
    Journal journal = open_journal(event);
    if (journal.relation) {
        if (truncate)
            note(&journal, 'T', nullptr, nullptr);
        else
            note_row(&journal, event);
        relation_close(journal.relation, NoLock);
    }
    return PointerGetDatum(nullptr);
}

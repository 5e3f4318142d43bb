// The trigger of a rekey step (steps/rekey.hpp): while an old and a new column stand side by side, whoever writes one
// of them has written both. Its arguments are names, as stored:
//
//   pair      old, new, schema, table, id, key, within …   the row of `table` says which `key` belongs to which `id`
//   root      id, key, column                              the tenant root itself: column is a copy of key
//   embed     old, new, key, separator                     before the switch: new is key, separator, old
//   embedded  old, new, key, separator                     after it: rows that come in get an old id where it has one
//
// BEFORE INSERT OR UPDATE, ENABLE ALWAYS (rows that come by logical replication have one side only, too), no list of
// columns (another BEFORE trigger may be the one that writes). Once the old column is gone there is nothing to do, and
// it does nothing. PostgreSQL's regime.
#include "bridge/pg_text.hpp"
#include "guards/column_guard.hpp"
#include "guards/guard_statement.hpp"
#include "guards/guard_value.hpp"
#include "guards/refusal.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_rekey_sync);
}

namespace tenantmig {

namespace {
enum class Kind : unsigned char { pair, root, embed, embedded };

// Where no conversion and no operator of a user is needed, a row is looked up through a unique index, without a plan.
struct IndexKey {
    Oid index; // InvalidOid: by the plan
    RegProcedure equal;
    Oid collation;
    AttrNumber result;
};

struct Sync {
    ColumnGuardKey key;
    bool valid, inert;
    Kind kind;
    AttrNumber left, right, third; // old, new, key; root: id, column, key
    Oid looked_at, owner;
    int within; // pair: columns that a key is unique in
    AttrNumber within_column[INDEX_MAX_KEYS];
    SPIPlanPtr forward, backward; // pair: old -> new, new -> old
    IndexKey forward_index, backward_index;
    char separator[core::max_separator + 1];
};
HTAB *syncs = nullptr;

void relation_changed(Datum, Oid relation) {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, syncs);
    while (auto *sync = static_cast<Sync *>(hash_seq_search(&scan)))
        if (!OidIsValid(relation) || relation == sync->key.relation || relation == sync->looked_at) sync->valid = false;
}

Sync *entry_of(const TriggerData *event) {
    if (!syncs) {
        HASHCTL control = {};
        control.keysize = sizeof(ColumnGuardKey);
        control.entrysize = sizeof(Sync);
        syncs = hash_create("tenantmig rekey triggers", 16, &control, HASH_ELEM | HASH_BLOBS);
        CacheRegisterRelcacheCallback(relation_changed, 0);
    }
    ColumnGuardKey key = {event->tg_trigger->tgoid, RelationGetRelid(event->tg_relation)};
    bool found = false;
    auto *sync = static_cast<Sync *>(hash_search(syncs, &key, HASH_ENTER, &found));
    if (!found) {
        sync->valid = false;
        sync->forward = sync->backward = nullptr;
    }
    return sync;
}

[[noreturn]] void wrong_arguments(const Trigger *trigger) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("trigger \"%s\" has other arguments than its function takes", trigger->tgname),
                    errdetail("They are written by a rekey step of tenantmig."),
                    errhint("Drop the trigger; CALL tenantmig.up makes the ones that are needed.")));
    pg_unreachable();
}

AttrNumber own_column(const TriggerData *event, const char *name) {
    AttrNumber number = get_attnum(RelationGetRelid(event->tg_relation), name);
    if (number > 0) return number;
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_COLUMN),
             errmsg("column \"%s\" of \"%s\" does not exist", name, RelationGetRelationName(event->tg_relation)),
             errdetail("Trigger \"%s\" keeps it equal to the column that it replaces.", event->tg_trigger->tgname),
             errhint("Rename it back, or take the rekey step back: CALL tenantmig.down."),
             errtable(event->tg_relation)));
    pg_unreachable();
}

// "=" of a type as SQL; two different types are compared by what pg_catalog has.
char *equality(Oid left, Oid right) {
    if (getBaseType(left) == getBaseType(right)) {
        TypeCacheEntry *type = lookup_type_cache(getBaseType(left), TYPECACHE_EQ_OPR);
        HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(type->eq_opr));
        if (HeapTupleIsValid(tuple)) {
            auto *form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
            char *text = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
                                  NameStr(form->oprname));
            ReleaseSysCache(tuple);
            return text;
        }
    }
    return pstrdup("OPERATOR(pg_catalog.=)");
}

SPIPlanPtr prepare(const Sync *sync, const char *text, int count, Oid *types) {
    Oid user;
    int context;
    GetUserIdAndSecContext(&user, &context);
    SetUserIdAndSecContext(sync->owner, context | SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE |
                                            SECURITY_NOFORCE_RLS);
    SPIPlanPtr plan = SPI_prepare(text, count, types);
    SetUserIdAndSecContext(user, context);
    if (!plan || SPI_keepplan(plan) != 0)
        ereport(ERROR, (errcode(MAKE_SQLSTATE('T', 'M', '9', '9', '9')),
                        errmsg("a lookup of a rekey trigger could not be prepared")));
    return plan;
}

// A unique index over this column alone.
IndexKey find_index(Oid table, AttrNumber column, Oid type, AttrNumber result, Oid result_type) {
    IndexKey found = {InvalidOid, InvalidOid, InvalidOid, result};
    if (get_atttype(table, column) != type || get_atttype(table, result) != result_type) return found;
    if (type >= FirstNormalObjectId) return found;
    Relation relation = table_open(table, AccessShareLock);
    List *indexes = RelationGetIndexList(relation);
    for (int i = 0; i < list_length(indexes) && !OidIsValid(found.index); i++) {
        Relation index = index_open(list_nth_oid(indexes, i), AccessShareLock);
        Form_pg_index form = index->rd_index;
        if (form->indisunique && form->indisvalid && form->indisready && form->indnkeyatts == 1 &&
            form->indkey.values[0] == column && index->rd_rel->relam == BTREE_AM_OID &&
            heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, nullptr) && index->rd_opcintype[0] == type) {
            Oid equal = get_opfamily_member(index->rd_opfamily[0], type, type, BTEqualStrategyNumber);
            if (OidIsValid(equal) && equal < FirstNormalObjectId) {
                found.index = RelationGetRelid(index);
                found.equal = get_opcode(equal);
                found.collation = index->rd_indcollation[0];
            }
        }
        index_close(index, AccessShareLock);
    }
    list_free(indexes);
    table_close(relation, AccessShareLock);
    return found;
}

void load_pair(Sync *sync, const TriggerData *event) {
    const Trigger *trigger = event->tg_trigger;
    char **name = trigger->tgargs + 1;
    sync->within = trigger->tgnargs - 7;
    if (sync->within < 0 || sync->within >= INDEX_MAX_KEYS) wrong_arguments(trigger);
    const Oid schema = get_namespace_oid(name[2], true);
    sync->looked_at = OidIsValid(schema) ? get_relname_relid(name[3], schema) : InvalidOid;
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(sync->looked_at));
    if (HeapTupleIsValid(tuple)) {
        sync->owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
        ReleaseSysCache(tuple);
    }
    AttrNumber id = OidIsValid(sync->looked_at) ? get_attnum(sync->looked_at, name[4]) : InvalidAttrNumber;
    AttrNumber key = OidIsValid(sync->looked_at) ? get_attnum(sync->looked_at, name[5]) : InvalidAttrNumber;
    sync->inert = sync->inert || id <= 0 || key <= 0;
    if (sync->inert) return;
    sync->right = own_column(event, name[1]);
    const Oid self = RelationGetRelid(event->tg_relation);
    Oid types[INDEX_MAX_KEYS] = {get_atttype(self, sync->left)};
    const char *table = quote_qualified_identifier(name[2], name[3]);
    const Oid left = types[0], right = get_atttype(self, sync->right);
    StringInfoData there, back;
    initStringInfo(&there);
    initStringInfo(&back);
    SPI_connect();
    appendStringInfo(&there, "SELECT (l.%s)::%s FROM ONLY %s AS l WHERE l.%s %s $1", quote_identifier(name[5]),
                     format_type_be_qualified(right), table, quote_identifier(name[4]),
                     equality(get_atttype(sync->looked_at, id), left));
    appendStringInfo(&back, "SELECT (l.%s)::%s FROM ONLY %s AS l WHERE l.%s %s $1", quote_identifier(name[4]),
                     format_type_be_qualified(left), table, quote_identifier(name[5]),
                     equality(get_atttype(sync->looked_at, key), right));
    for (int i = 0; i < sync->within; i++) {
        const char *column = name[6 + i];
        sync->within_column[i] = own_column(event, column);
        types[i + 1] = get_atttype(self, sync->within_column[i]);
        const AttrNumber other = get_attnum(sync->looked_at, column);
        const Oid type = other > 0 ? get_atttype(sync->looked_at, other) : types[i + 1];
        char *condition = psprintf(" AND l.%s %s $%d", quote_identifier(column), equality(type, types[i + 1]), i + 2);
        appendStringInfoString(&there, condition);
        appendStringInfoString(&back, condition);
    }
    sync->forward = prepare(sync, there.data, sync->within + 1, types);
    types[0] = right;
    sync->backward = prepare(sync, back.data, sync->within + 1, types);
    if (sync->within == 0) {
        sync->forward_index = find_index(sync->looked_at, id, left, key, right);
        sync->backward_index = find_index(sync->looked_at, key, right, id, left);
    }
    SPI_finish();
}

Sync *load(const TriggerData *event) {
    Sync *sync = entry_of(event);
    if (sync->valid) return sync;
    const Trigger *trigger = event->tg_trigger;
    char **name = trigger->tgargs + 1;
    if (trigger->tgnargs < 4) wrong_arguments(trigger);
    const char *kind = trigger->tgargs[0];
    if (sync->forward) SPI_freeplan(sync->forward);
    sync->forward = nullptr;
    if (sync->backward) SPI_freeplan(sync->backward);
    sync->backward = nullptr;
    sync->looked_at = sync->owner = InvalidOid;
    sync->forward_index = sync->backward_index = {};
    sync->left = get_attnum(RelationGetRelid(event->tg_relation), name[0]);
    sync->inert = sync->left <= 0;
    sync->valid = true; // a change while it is made is noticed
    if (strcmp(kind, "pair") == 0) {
        sync->kind = Kind::pair;
        if (trigger->tgnargs < 7) wrong_arguments(trigger);
        PG_TRY();
        { load_pair(sync, event); }
        PG_CATCH();
        {
            sync->valid = false;
            PG_RE_THROW();
        }
        PG_END_TRY();
        return sync;
    }
    if (strcmp(kind, "root") == 0) {
        sync->kind = Kind::root;
        if (sync->inert) return sync;
        sync->third = own_column(event, name[1]);
        sync->right = own_column(event, name[2]);
        return sync;
    }
    const bool before = strcmp(kind, "embed") == 0;
    if ((!before && strcmp(kind, "embedded") != 0) || trigger->tgnargs != 5 || strlen(name[3]) == 0 ||
        strlen(name[3]) > core::max_separator)
        wrong_arguments(trigger);
    sync->kind = before ? Kind::embed : Kind::embedded;
    strlcpy(sync->separator, name[3], sizeof(sync->separator));
    if (sync->inert) return sync;
    sync->right = own_column(event, name[1]);
    sync->third = own_column(event, name[2]);
    return sync;
}

// ---- rows

struct Row {
    const TriggerData *event;
    TupleDesc columns;
    HeapTuple before, now; // before: NULL for an INSERT
};

struct Cell {
    Datum value = 0;
    bool null = true;
};

Cell read(const Row *row, HeapTuple tuple, AttrNumber number) {
    Cell cell;
    cell.value = heap_getattr(tuple, number, row->columns, &cell.null);
    return cell;
}

bool equal(const Row *row, AttrNumber number, const Cell &a, const Cell &b) {
    if (a.null || b.null) return a.null == b.null;
    Form_pg_attribute attribute = TupleDescAttr(row->columns, number - 1);
    if (datum_image_eq(a.value, b.value, attribute->attbyval, attribute->attlen)) return true;
    TypeCacheEntry *type = lookup_type_cache(attribute->atttypid, TYPECACHE_EQ_OPR_FINFO);
    return OidIsValid(type->eq_opr_finfo.fn_oid) &&
           DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, attribute->attcollation, a.value, b.value));
}

void write(Row *row, AttrNumber number, const Cell &cell) {
    int column = number;
    Datum value = cell.value;
    bool null = cell.null;
    row->now = heap_modify_tuple_by_cols(row->now, row->columns, 1, &column, &value, &null);
}

const char *name_of(const Row *row, AttrNumber number) {
    return NameStr(TupleDescAttr(row->columns, number - 1)->attname);
}

const char *shown(const Row *row, AttrNumber number, const Cell &cell) {
    return shown_value(TupleDescAttr(row->columns, number - 1)->atttypid, cell.value, cell.null);
}

bool through_index(const Sync *sync, const IndexKey *way, Datum value, Cell *result) {
    ScanKeyData key;
    ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, way->collation, way->equal, value);
    CommandCounterIncrement();
    PushActiveSnapshot(GetLatestSnapshot());
    Relation table = table_open(sync->looked_at, AccessShareLock);
    Relation index = index_open(way->index, AccessShareLock);
    TupleTableSlot *slot = table_slot_create(table, nullptr);
#if PG_VERSION_NUM >= 180000
    IndexScanDesc scan = index_beginscan(table, index, GetActiveSnapshot(), nullptr, 1, 0);
#else
    IndexScanDesc scan = index_beginscan(table, index, GetActiveSnapshot(), 1, 0);
#endif
    index_rescan(scan, &key, 1, nullptr, 0);
    const bool hit = index_getnext_slot(scan, ForwardScanDirection, slot);
    if (hit) {
        Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(table), way->result - 1);
        result->value = slot_getattr(slot, way->result, &result->null);
        if (!result->null)
            result->value = attribute->attlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(result->value))
                                                    : datumCopy(result->value, attribute->attbyval, attribute->attlen);
    }
    index_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    index_close(index, NoLock); // locked until the transaction ends, as a query would
    table_close(table, NoLock);
    PopActiveSnapshot();
    return hit;
}

// False: there is no such row. Sees what this transaction has written.
bool look_up(const Row *row, const Sync *sync, SPIPlanPtr plan, const Cell *keys, int count, AttrNumber target,
             Cell *result) {
    const IndexKey *way = plan == sync->forward ? &sync->forward_index : &sync->backward_index;
    if (OidIsValid(way->index)) return !keys[0].null && through_index(sync, way, keys[0].value, result);
    MemoryContext caller = CurrentMemoryContext;
    Datum values[INDEX_MAX_KEYS];
    for (int i = 0; i < count; i++) {
        if (keys[i].null) return false;
        values[i] = keys[i].value;
    }
    Oid user;
    int context;
    SPI_connect();
    GetUserIdAndSecContext(&user, &context);
    SetUserIdAndSecContext(sync->owner, context | SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE |
                                            SECURITY_NOFORCE_RLS);
    CommandCounterIncrement();
    int code =
        SPI_execute_snapshot(plan, values, nullptr, IsolationUsesXactSnapshot() ? GetLatestSnapshot() : InvalidSnapshot,
                             InvalidSnapshot, false, false, 1);
    SetUserIdAndSecContext(user, context);
    if (code != SPI_OK_SELECT)
        ereport(ERROR, (errcode(MAKE_SQLSTATE('T', 'M', '9', '9', '9')),
                        errmsg("a lookup of a rekey trigger failed: %s", SPI_result_code_string(code))));
    bool hit = SPI_processed > 0;
    if (hit) {
        result->value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &result->null);
        if (!result->null) {
            Form_pg_attribute attribute = TupleDescAttr(row->columns, target - 1);
            MemoryContext own = MemoryContextSwitchTo(caller);
            result->value = attribute->attlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(result->value))
                                                    : datumCopy(result->value, attribute->attbyval, attribute->attlen);
            MemoryContextSwitchTo(own);
        }
    }
    SPI_finish();
    return hit;
}

[[noreturn]] void contradiction(const Row *row, const Sync *sync, const Cell &left, const Cell &right,
                                const Cell &expected) {
    Relation relation = row->event->tg_relation;
    count_refusal();
    ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
                    errmsg("\"%s\" and \"%s\" of \"%s\" contradict each other", name_of(row, sync->left),
                           name_of(row, sync->right), RelationGetRelationName(relation)),
                    errdetail("The row says %s and %s; to the former belongs %s.", shown(row, sync->left, left),
                              shown(row, sync->right, right), shown(row, sync->right, expected)),
                    errhint("Write one of the two, and the other follows; or write both of the same row."),
                    errtablecol(relation, sync->right)));
    pg_unreachable();
}

// The keys of a lookup: the value, and the columns that a key is unique in.
int keys_of(const Row *row, const Sync *sync, const Cell &value, Cell *keys) {
    keys[0] = value;
    for (int i = 0; i < sync->within; i++)
        keys[i + 1] = read(row, row->now, sync->within_column[i]);
    return sync->within + 1;
}

// What belongs to the old column's value.
Cell forward(const Row *row, const Sync *sync, const Cell &left) {
    Cell found, keys[INDEX_MAX_KEYS];
    const int count = keys_of(row, sync, left, keys);
    if (left.null || look_up(row, sync, sync->forward, keys, count, sync->right, &found)) return found;
    Relation relation = row->event->tg_relation;
    StringInfoData detail;
    initStringInfo(&detail);
    appendStringInfo(&detail, "It is %s", shown(row, sync->left, left));
    for (int i = 0; i < sync->within; i++)
        appendStringInfo(&detail, ", \"%s\" %s", name_of(row, sync->within_column[i]),
                         shown(row, sync->within_column[i], keys[i + 1]));
    count_refusal();
    ereport(ERROR, (errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
                    errmsg("\"%s\" of \"%s\" names no row of \"%s\"", name_of(row, sync->left),
                           RelationGetRelationName(relation), get_rel_name(sync->looked_at)),
                    errdetail("%s.", detail.data), errhint("Write the row that it names first."),
                    errtablecol(relation, sync->left)));
    pg_unreachable();
}

// What belongs to the new column's value; NULL where there is no such row: a foreign key says so, if there is one.
Cell backward(const Row *row, const Sync *sync, const Cell &right) {
    Cell found, keys[INDEX_MAX_KEYS];
    const int count = keys_of(row, sync, right, keys);
    if (!look_up(row, sync, sync->backward, keys, count, sync->left, &found)) return Cell();
    return found;
}

bool same_within(const Row *row, const Sync *sync) {
    for (int i = 0; i < sync->within; i++) {
        const AttrNumber number = sync->within_column[i];
        if (!equal(row, number, read(row, row->before, number), read(row, row->now, number))) return false;
    }
    return true;
}

void keep_pair(Row *row, const Sync *sync) {
    Cell left = read(row, row->now, sync->left), right = read(row, row->now, sync->right);
    if (row->before) {
        Cell left_before = read(row, row->before, sync->left), right_before = read(row, row->before, sync->right);
        const bool left_same = equal(row, sync->left, left_before, left);
        const bool right_same = equal(row, sync->right, right_before, right);
        if (left_same && right_same && left.null == right.null && same_within(row, sync)) return;
        if (!left_same && right_same) {
            write(row, sync->right, forward(row, sync, left));
            return;
        }
        if (left_same && !right_same) {
            write(row, sync->left, right.null ? Cell() : backward(row, sync, right));
            return;
        }
    }
    if (left.null && right.null) return;
    if (right.null) {
        write(row, sync->right, forward(row, sync, left));
    } else if (left.null) {
        write(row, sync->left, backward(row, sync, right));
    } else {
        Cell expected = forward(row, sync, left);
        if (!equal(row, sync->right, expected, right)) contradiction(row, sync, left, right, expected);
    }
}

// The engine writes the tenant key; a reference to an id that is embedded is filled on this occasion, so that the row
// is written once. What isn't known yet stays NULL: the step looks for it afterwards.
void fill_beside(Row *row, const Sync *sync) {
    Cell left = read(row, row->now, sync->left), found;
    if (!row->before || left.null || !read(row, row->now, sync->right).null ||
        !read(row, row->before, sync->right).null)
        return;
    Cell keys[INDEX_MAX_KEYS];
    const int count = keys_of(row, sync, left, keys);
    if (look_up(row, sync, sync->forward, keys, count, sync->right, &found) && !found.null)
        write(row, sync->right, found);
}

[[noreturn]] void fixed(const Row *row, AttrNumber number, const Cell &before, const Cell &now, const char *why) {
    Relation relation = row->event->tg_relation;
    count_refusal();
    ereport(
        ERROR,
        (errcode(ERRCODE_CHECK_VIOLATION),
         errmsg("\"%s\" of \"%s\" can't be changed now", name_of(row, number), RelationGetRelationName(relation)),
         errdetail("%s -> %s. %s", shown(row, number, before), shown(row, number, now), why),
         errhint("Change it when the old column has been dropped, or take the rekey step back: CALL tenantmig.down."),
         errtablecol(relation, number)));
    pg_unreachable();
}

void keep_root(Row *row, const Sync *sync) {
    Cell key = read(row, row->now, sync->third), copy = read(row, row->now, sync->right);
    if (row->before) {
        const AttrNumber columns[] = {sync->left, sync->third, sync->right};
        for (AttrNumber number : columns) {
            Cell was = read(row, row->before, number), is = read(row, row->now, number);
            // the copy is filled when the step begins
            if (!equal(row, number, was, is) && !(number == sync->right && was.null))
                fixed(row, number, was, is, "Rows of other tables hold the old and the new key of this one.");
        }
    }
    if (sync->third == sync->right || (key.null && copy.null)) return;
    if (copy.null) {
        write(row, sync->right, key);
    } else if (key.null) {
        write(row, sync->third, copy);
    } else if (!equal(row, sync->right, key, copy)) {
        contradiction(row, sync, read(row, row->now, sync->left), copy, key);
    }
}

// key, separator, id; or the id, if it begins so already.
Cell embedded(const Row *row, const Sync *sync, const Cell &id, const Cell &key) {
    Cell result;
    if (id.null || key.null) return result;
    auto text_of = [row](AttrNumber number, const Cell &cell) {
        return guard_text(TupleDescAttr(row->columns, number - 1)->atttypid, cell.value);
    };
    const char *plain = text_of(sync->left, id);
    const char *prefix = psprintf("%s%s", text_of(sync->third, key), sync->separator);
    const bool there = strncmp(plain, prefix, strlen(prefix)) == 0;
    result.value = CStringGetTextDatum(there ? plain : psprintf("%s%s", prefix, plain));
    result.null = false;
    return result;
}

void keep_embed(Row *row, const Sync *sync) {
    Cell id = read(row, row->now, sync->left), now = read(row, row->now, sync->right);
    Cell key = read(row, row->now, sync->third);
    if (row->before) {
        Cell was = read(row, row->before, sync->right);
        if (!was.null) {
            const AttrNumber columns[] = {sync->left, sync->third, sync->right};
            for (AttrNumber number : columns) {
                Cell old = read(row, row->before, number), other = read(row, row->now, number);
                if (!equal(row, number, old, other))
                    fixed(row, number, old, other, "The id is being converted to one that begins with the tenant key.");
            }
            return;
        }
    }
    Cell expected = embedded(row, sync, id, key);
    if (now.null) {
        if (!expected.null) write(row, sync->right, expected);
    } else if (expected.null || !equal(row, sync->right, expected, now)) {
        contradiction(row, sync, id, now, expected);
    }
}

// After the switch: the old id of a row that came in with a new one only, as far as its type can hold it.
void keep_embedded(Row *row, const Sync *sync) {
    Cell old = read(row, row->now, sync->left), id = read(row, row->now, sync->right);
    Cell key = read(row, row->now, sync->third);
    bool changed = row->before && !equal(row, sync->right, read(row, row->before, sync->right), id) &&
                   equal(row, sync->left, read(row, row->before, sync->left), old);
    if ((!old.null && !changed) || id.null || key.null) return;
    Form_pg_attribute attribute = TupleDescAttr(row->columns, sync->left - 1);
    const char *plain_id = TextDatumGetCString(id.value);
    const char *prefix = psprintf("%s%s", guard_text(TupleDescAttr(row->columns, sync->third - 1)->atttypid, key.value),
                                  sync->separator);
    const Oid type = getBaseType(attribute->atttypid);
    if (strncmp(plain_id, prefix, strlen(prefix)) == 0) plain_id += strlen(prefix);
    Cell result;
    if (type == TEXTOID || (type == VARCHAROID &&
                            (attribute->atttypmod < 0 || pg_mbstrlen(plain_id) <= attribute->atttypmod - VARHDRSZ))) {
        result.value = CStringGetTextDatum(plain_id);
        result.null = false;
    } else if (Datum value; as_parameter(TEXTOID, CStringGetTextDatum(plain_id), plain_type(type), &value) &&
                            (type == UUIDOID || type == INT8OID || type == INT4OID)) {
        const auto number = type == UUIDOID ? 0 : DatumGetInt64(value);
        if (type == INT4OID && (number < PG_INT32_MIN || number > PG_INT32_MAX)) return;
        result.value = type == INT4OID ? Int32GetDatum(static_cast<std::int32_t>(number)) : value;
        result.null = false;
    }
    write(row, sync->left, result);
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_rekey_sync(PG_FUNCTION_ARGS) {
    require_row_trigger(fcinfo, "rekey_sync");
    auto *event = reinterpret_cast<TriggerData *>(fcinfo->context);
    if (!TRIGGER_FIRED_BEFORE(event->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("trigger \"%s\" must be BEFORE", event->tg_trigger->tgname),
                        errdetail("It fills columns of the row."), errhint("tenantmig makes the trigger.")));
    const bool update = TRIGGER_FIRED_BY_UPDATE(event->tg_event);
    Row row = {event, RelationGetDescr(event->tg_relation), update ? event->tg_trigtuple : nullptr,
               update ? event->tg_newtuple : event->tg_trigtuple};
    const Sync *sync = load(event);
    if (sync->inert) return PointerGetDatum(row.now);
    // What the engine writes is what the evidence says. Ids that embed it, and references to them, are made all the
    // same.
    const bool ours = engine_writes(event->tg_relation);
    switch (sync->kind) {
    case Kind::pair:
        if (!ours)
            keep_pair(&row, sync);
        else
            fill_beside(&row, sync);
        break;
    case Kind::root:
        keep_root(&row, sync);
        break;
    case Kind::embed:
        keep_embed(&row, sync);
        break;
    case Kind::embedded:
        if (!ours) keep_embedded(&row, sync);
        break;
    }
    return PointerGetDatum(row.now);
}

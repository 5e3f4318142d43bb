#include "engine/heap_writer.hpp"

namespace tenantmig {

namespace {
// The bit of a column in the executor's sets of columns.
int column_bit(AttrNumber number) {
    return number - FirstLowInvalidHeapAttributeNumber;
}

RangeTblEntry *entry_of(Relation rel, AttrNumber updated) {
    RangeTblEntry *entry = makeNode(RangeTblEntry);
    entry->rtekind = RTE_RELATION;
    entry->relid = RelationGetRelid(rel);
    entry->relkind = rel->rd_rel->relkind;
    entry->rellockmode = RowExclusiveLock;
    entry->updatedCols = bms_make_singleton(column_bit(updated));
    return entry;
}

// Equality of a column's type, as `=` without a search path would find it.
void equality_of(Relation rel, AttrNumber number, FmgrInfo *function, Oid *collation) {
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), number - 1);
    TypeCacheEntry *type = lookup_type_cache(attribute->atttypid, TYPECACHE_EQ_OPR);
    fmgr_info(get_opcode(type->eq_opr), function);
    *collation = attribute->attcollation;
}
// In the executor's words.
void refuse_self_modified(EState *estate, const TM_FailureData &failure) {
    if (failure.cmax == estate->es_output_cid) return;
    ereport(
        ERROR,
        (errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
         errmsg("tuple to be updated was already modified by an operation triggered by the current command"),
         errhint("Consider using an AFTER trigger instead of a BEFORE trigger to propagate changes to other rows.")));
}
} // namespace

HeapWriter::HeapWriter(const StepTarget &target, Oid leaf, AttrNumber column) {
    State *state = &state_;
    Oid root = target.table.oid;
    int natts = 0;
    AttrNumber *map = nullptr;
    AttrNumber **map_out = &map;
    int *natts_out = &natts;
    pg_call([state, root, leaf, column, map_out, natts_out] {
        state->leaf = table_open(leaf, RowExclusiveLock);
        state->root = root == leaf ? state->leaf : table_open(root, RowExclusiveLock);
        CheckCmdReplicaIdentity(state->leaf, CMD_UPDATE);
        TupleDesc root_columns = RelationGetDescr(state->root);
        *natts_out = root_columns->natts;
        *map_out =
            static_cast<AttrNumber *>(palloc0(sizeof(AttrNumber) * static_cast<std::size_t>(root_columns->natts + 1)));
        for (int i = 0; i < root_columns->natts; i++) {
            Form_pg_attribute attribute = TupleDescAttr(root_columns, i);
            if (attribute->attisdropped) continue;
            (*map_out)[i + 1] = root == leaf ? attribute->attnum : get_attnum(leaf, NameStr(attribute->attname));
        }

        // as the executor sets up an UPDATE of this column: one range table entry for the table that was named, whose
        // rights count, and one for its partition, whose columns have numbers of their own
        EState *estate = state->estate = CreateExecutorState();
        state->column = (*map_out)[column];
        List *entries = list_make1(entry_of(state->root, column));
        auto *named = linitial_node(RangeTblEntry, entries);
        named->requiredPerms = ACL_UPDATE | ACL_SELECT;
        named->selectedCols = bms_copy(named->updatedCols);
        (void)ExecCheckRTPerms(entries, true);
        if (root != leaf) entries = lappend(entries, entry_of(state->leaf, state->column));
        ExecInitRangeTable(estate, entries);
        estate->es_snapshot = GetActiveSnapshot();
        estate->es_output_cid = GetCurrentCommandId(true);
        state->root_result = makeNode(ResultRelInfo);
        InitResultRelInfo(state->root_result, state->root, 1, nullptr, 0);
        state->result = state->root_result;
        if (root != leaf) {
            state->result = makeNode(ResultRelInfo);
            InitResultRelInfo(state->result, state->leaf, 2, state->root_result, 0);
        }
        ExecOpenIndices(state->result, false);
        EvalPlanQualInit(&state->epq, estate, nullptr, NIL, -1);
        TupleDesc columns = RelationGetDescr(state->leaf);
        state->new_slot = MakeSingleTupleTableSlot(columns, &TTSOpsHeapTuple);
        state->new_slot->tts_tableOid = leaf;
        state->locked_slot = table_slot_create(state->leaf, nullptr);
        state->values = static_cast<Datum *>(palloc(sizeof(Datum) * static_cast<std::size_t>(columns->natts)));
        state->nulls = static_cast<bool *>(palloc(sizeof(bool) * static_cast<std::size_t>(columns->natts)));
        state->rows = AllocSetContextCreate(estate->es_query_cxt, "tenantmig rows", ALLOCSET_DEFAULT_SIZES);
        TriggerDesc *triggers = state->result->ri_TrigDesc;
        state->before_row = triggers && triggers->trig_update_before_row;
        equality_of(state->leaf, state->column, &state->equal, &state->collation);
        Oid type = TupleDescAttr(columns, state->column - 1)->atttypid;
        state->domain = get_typtype(type) == TYPTYPE_DOMAIN ? type : InvalidOid;
        AfterTriggerBeginQuery();
        state->capture = MakeTransitionCaptureState(state->root_result->ri_TrigDesc, root, CMD_UPDATE);
    });
    map_.assign(map, map + natts + 1);
    pfree(map);
    auto columns = static_cast<std::size_t>(RelationGetDescr(state_.leaf)->natts);
    changed_flags_ = std::make_unique<bool[]>(columns + 1);
    if (!state_.before_row) watch_left_ = 0;
}

// One row, as ExecUpdate does it.
void HeapWriter::write_one(State *state, Item *item, bool watch) {
    Relation rel = state->leaf;
    EState *estate = state->estate;
    TupleDesc columns = RelationGetDescr(rel);
    TM_FailureData failure;
    item->result = Written::left;
    ItemPointerData tid = item->tuple.t_self;

    if (state->before_row) {
        // The trigger machinery would wait for whoever holds the row, for as long as he likes.
        TM_Result locked = table_tuple_lock(rel, &tid, estate->es_snapshot, state->locked_slot, estate->es_output_cid,
                                            ExecUpdateLockMode(estate, state->result), LockWaitSkip, 0, &failure);
        ExecClearTuple(state->locked_slot);
        if (locked == TM_SelfModified) refuse_self_modified(estate, failure);
        if (locked != TM_Ok) return;
    }
    if (OidIsValid(state->domain))
        domain_check(item->value, item->null, state->domain, &state->domain_state, estate->es_query_cxt);
    heap_deform_tuple(&item->tuple, columns, state->values, state->nulls);
    state->values[state->column - 1] = item->value;
    state->nulls[state->column - 1] = item->null;
    MemoryContext previous = MemoryContextSwitchTo(state->rows);
    HeapTuple tuple = heap_form_tuple(columns, state->values, state->nulls);
    MemoryContextSwitchTo(previous);
    tuple->t_tableOid = RelationGetRelid(rel);
    TupleTableSlot *slot = state->new_slot;
    ExecStoreHeapTuple(tuple, slot, false);
    slot->tts_tableOid = RelationGetRelid(rel);

    if (state->before_row) {
        if (!ExecBRUpdateTriggers(estate, &state->epq, state->result, &tid, nullptr, slot, &failure)) {
            item->result = Written::suppressed;
            return;
        }
        bool null = false;
        Datum value = slot_getattr(slot, state->column, &null);
        if (null != item->null ||
            (!null && !DatumGetBool(FunctionCall2Coll(&state->equal, state->collation, value, item->value)))) {
            item->result = Written::overridden;
            return;
        }
        slot->tts_tableOid = RelationGetRelid(rel);
    }
    if (columns->constr && columns->constr->has_generated_stored)
        ExecComputeStoredGenerated(state->result, estate, slot, CMD_UPDATE);
    if (columns->constr) ExecConstraints(state->result, slot, estate);
    if (rel->rd_rel->relispartition) (void)ExecPartitionCheck(state->result, slot, estate, true);
    if (watch && state->before_row) {
        slot_getallattrs(slot);
        for (int i = 0; i < columns->natts; i++) {
            Form_pg_attribute attribute = TupleDescAttr(columns, i);
            if (attribute->attisdropped || attribute->attgenerated || i + 1 == state->column) continue;
            if (slot->tts_isnull[i] != state->nulls[i] ||
                (!state->nulls[i] &&
                 !datum_image_eq(slot->tts_values[i], state->values[i], attribute->attbyval, attribute->attlen)))
                state->changed[i + 1] = true;
        }
    }

    LockTupleMode mode;
    bool update_indexes = false;
    // A row that we have locked counts as being modified, unless we would wait. So does one that a foreign key's check
    // elsewhere has locked FOR KEY SHARE, for which nobody has to wait.
    std::uint16_t flags = item->tuple.t_data->t_infomask;
    bool key_share = !(flags & HEAP_XMAX_INVALID) && !(flags & HEAP_XMAX_IS_MULTI) && HEAP_XMAX_IS_LOCKED_ONLY(flags) &&
                     HEAP_XMAX_IS_KEYSHR_LOCKED(flags);
    TM_Result updated = table_tuple_update(rel, &tid, slot, estate->es_output_cid, estate->es_snapshot, InvalidSnapshot,
                                           state->before_row || key_share, &failure, &mode, &update_indexes);
    if (updated == TM_SelfModified) refuse_self_modified(estate, failure);
    if (updated != TM_Ok) return;
    List *recheck = NIL;
    if (update_indexes && state->result->ri_NumIndices > 0)
        recheck = ExecInsertIndexTuples(state->result, slot, estate, true, false, nullptr, NIL);
    item->result = update_indexes ? Written::yes : Written::yes_hot;
    if (state->result->ri_TrigDesc || state->capture)
        ExecARUpdateTriggers(estate, state->result, nullptr, nullptr, &tid, nullptr, slot, recheck, state->capture,
                             false);
    list_free(recheck);
}

void HeapWriter::write(Item *items, std::size_t count) {
    State *state = &state_;
    bool watch = watch_left_ > 0;
    watch_left_ -= std::min(watch_left_, count);
    state->changed = changed_flags_.get();
    pg_call([state, items, count, watch] {
        if (!state->begun) {
            state->begun = true;
            ExecBSUpdateTriggers(state->estate, state->root_result);
        }
        // the executor's functions keep some of what they set up for the first row
        MemoryContext previous = MemoryContextSwitchTo(state->estate->es_query_cxt);
        for (std::size_t i = 0; i < count; i++) {
            write_one(state, &items[i], watch);
            ResetPerTupleExprContext(state->estate);
        }
        ExecClearTuple(state->new_slot);
        MemoryContextSwitchTo(previous);
        MemoryContextReset(state->rows);
    });
    if (watch)
        for (int i = 1; i <= RelationGetDescr(state_.leaf)->natts; i++)
            if (changed_flags_[static_cast<std::size_t>(i)]) changed_.insert(static_cast<AttrNumber>(i));
}

void HeapWriter::finish() {
    State *state = &state_;
    pg_call([state] {
        if (state->begun) ExecASUpdateTriggers(state->estate, state->root_result, state->capture);
        AfterTriggerEndQuery(state->estate);
        ExecDropSingleTupleTableSlot(state->new_slot);
        ExecDropSingleTupleTableSlot(state->locked_slot);
        EvalPlanQualEnd(&state->epq);
        ExecCloseIndices(state->result);
        ExecResetTupleTable(state->estate->es_tupleTable, false);
        ExecCloseResultRelations(state->estate);
        FreeExecutorState(state->estate);
        if (state->root != state->leaf) table_close(state->root, NoLock);
        table_close(state->leaf, NoLock);
    });
}

} // namespace tenantmig

// The guard of kind tenant_key (design.md §6): keeps the tenant key of new rows right, by asking the row's parents.
// PostgreSQL's regime throughout, since it runs for every row: plain data, direct ereport(). Only the making of an
// entry and the log, which are rare, go through C++.
//
// Lookups (index_lookup.hpp) run nobody's code but the owner's of the table that they read. What they would fail on (a
// dropped parent, a revoked right) is found when the entry is made: all tables are locked first, and whatever has
// changed until then has made the entry stale.
#include "guards/concealment.hpp"
#include "guards/index_lookup.hpp"
#include "guards/refusal.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_guard_tenant_key);
}

namespace tenantmig {

namespace {
// The tenant as a value of the tenant key's type. False: it does not fit.
bool as_key(const GuardEntry *entry, Datum tenant, Datum *value) {
    *value = tenant;
    if (is_integer(entry->type)) {
        std::int64_t number = DatumGetInt64(tenant);
        if (entry->type == INT2OID) {
            *value = Int16GetDatum(static_cast<std::int16_t>(number));
            return number >= PG_INT16_MIN && number <= PG_INT16_MAX;
        }
        if (entry->type == INT4OID) {
            *value = Int32GetDatum(static_cast<std::int32_t>(number));
            return number >= PG_INT32_MIN && number <= PG_INT32_MAX;
        }
    } else if (entry->type == VARCHAROID && entry->typmod >= VARHDRSZ) {
        return DatumGetInt32(DirectFunctionCall1(textlen, tenant)) <= entry->typmod - VARHDRSZ;
    }
    return true;
}

// ---- asking

struct Answer {
    bool given = false;
    const char *problem = nullptr; // what it leads to can't be read
    Datum tenant = 0;              // in plain form
};

Answer ask(GuardStatement *statement, const GuardWay *way, HeapTuple row, TupleDesc columns) {
    Answer answer;
    Datum values[max_guard_keys];
    Oid types[max_guard_keys];
    for (int i = 0; i < way->probes; i++) {
        bool null = false;
        values[i] = heap_getattr(row, way->probe[i].number, columns, &null);
        if (null) return answer;
        types[i] = way->probe[i].type;
    }
    int begin = 0, end = way->lookups;
    if (way->type_column.number != 0) {
        bool null = false;
        Datum datum = heap_getattr(row, way->type_column.number, columns, &null);
        if (null) return answer;
        const char *type = guard_text(way->type_column.type, datum);
        for (begin = 0; begin < way->lookups; begin++)
            if (strcmp(way->lookup[begin].type_value, type) == 0) break;
        if (begin == way->lookups) return answer;
        end = begin + 1;
    }
    for (int hop = begin; hop < end; hop++) {
        GuardLookup *lookup = &way->lookup[hop];
        if (lookup->problem) {
            answer.problem = lookup->problem;
            return answer;
        }
        Datum parameters[max_guard_keys];
        bool nulls[max_guard_keys] = {};
        for (int i = 0; i < lookup->keys; i++)
            if (!as_parameter(types[i], values[i], lookup->parameters[i], &parameters[i])) return answer;
        if (!look_up(statement, lookup, parameters, values, nulls, false)) return answer;
        for (int i = 0; i < lookup->values; i++) {
            if (nulls[i]) return answer;
            types[i] = lookup->results[i];
        }
    }
    Oid type;
    answer.tenant = plain(types[0], values[0], &type);
    answer.given = true;
    return answer;
}

struct Evidence {
    bool given = false, agreed = true, in_root = false;
    const char *unreadable = nullptr; // why a source could not be asked
    Datum tenant = 0;                 // the first answer
    Answer *answer = nullptr;         // of each way
};

void gather(GuardStatement *statement, HeapTuple row, TupleDesc columns, Evidence *evidence) {
    const GuardEntry *entry = statement->entry;
    Oid type = plain_type(entry->type);
    evidence->answer = static_cast<Answer *>(palloc0(sizeof(Answer) * static_cast<Size>(entry->ways + 1)));
    for (int i = 0; i < entry->ways; i++) {
        const GuardWay *way = &entry->way[i];
        Answer *answer = &evidence->answer[i];
        if (way->problem)
            answer->problem = way->problem;
        else
            *answer = ask(statement, way, row, columns);
        if (answer->problem) {
            evidence->unreadable = psprintf("%s: %s", way->label, answer->problem);
            if (entry->first) break; // a later one must not decide in its place
            continue;
        }
        if (!answer->given) continue;
        if (!evidence->given) {
            evidence->tenant = answer->tenant;
            evidence->in_root = way->ends_at_root;
        } else if (!same(type, evidence->tenant, answer->tenant)) {
            evidence->agreed = false;
        }
        evidence->given = true;
        if (entry->first) break;
    }
}

// For people: the tenants that were named, or (with `label`) by whom.
const char *tell(const GuardEntry *entry, const Evidence *evidence, bool label) {
    Oid type = plain_type(entry->type);
    StringInfoData text;
    initStringInfo(&text);
    for (int i = 0; i < entry->ways; i++) {
        const Answer *answer = &evidence->answer[i];
        if (!answer->given || (text.len > 0 && same(type, evidence->tenant, answer->tenant))) continue;
        if (text.len > 0) appendStringInfoString(&text, label ? "; " : ", ");
        if (label) appendStringInfo(&text, "%s: ", entry->way[i].label);
        appendStringInfoString(&text, guard_text(type, answer->tenant));
    }
    return text.data;
}

bool in_root(GuardStatement *statement, Datum tenant) {
    GuardLookup *root = &statement->entry->root;
    if (root->keys == 0) return true; // the plain form knows no tenant root
    Datum parameters[1] = {tenant}, results[1];
    bool nulls[1];
    return look_up(statement, root, parameters, results, nulls, false);
}

// ---- the row

void note(const GuardEntry *entry, HeapTuple row, Relation relation, const char *kind, const char *found,
          const Evidence *evidence) {
    const char *name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
                                                  RelationGetRelationName(relation));
    TupleDesc columns = RelationGetDescr(relation);
    DriftRow what = {kind, found, evidence->given ? tell(entry, evidence, false) : nullptr,
                     evidence->unreadable ? evidence->unreadable
                     : evidence->given    ? tell(entry, evidence, true)
                                          : nullptr};
    SPI_connect();
    (void)pg_entry([&] {
        log_drift(entry, row, columns, name, &what);
        return Datum(0);
    });
    SPI_finish();
}

// Whether policies hide from the writer what one of the sources leads to. A contradiction by the first hop is the
// answer of the foreign key then, as if there were no such row.
bool conceal(const GuardEntry *entry, Relation relation, HeapTuple row, bool contradiction) {
    bool hidden = false;
    for (int i = 0; i < entry->ways; i++) {
        const GuardWay *way = &entry->way[i];
        for (int j = 0; j < way->lookups; j++) {
            if (!hidden_from_writer(way->lookup[j].table)) continue;
            hidden = true;
            AttrNumber columns[max_guard_keys];
            for (int k = 0; k < way->probes; k++)
                columns[k] = way->probe[k].number;
            if (contradiction && way->type_column.number == 0)
                refuse_as_foreign_key(relation, row, columns, way->probes, way->lookup[0].table);
        }
    }
    return hidden;
}

[[noreturn]] void refuse(const GuardEntry *entry, Relation relation, HeapTuple row, const char *found,
                         const Evidence *evidence) {
    const bool hidden = conceal(entry, relation, row, found != nullptr);
    count_refusal();
    if (found)
        ereport(ERROR,
                (errcode(ERRCODE_CHECK_VIOLATION),
                 errmsg("tenant key \"%s\" of \"%s\" contradicts the row's parents", entry->column_name,
                        RelationGetRelationName(relation)),
                 hidden ? errdetail("The row says %s; its parents, which row-level security hides, do not.", found)
                        : errdetail("The row says %s; %s.", found, tell(entry, evidence, true)),
                 errhint("Write the tenant of its parent, or change the parent first."),
                 errtablecol(relation, entry->column)));
    ereport(ERROR,
            (errcode(ERRCODE_CHECK_VIOLATION),
             errmsg("tenant key \"%s\" of \"%s\" is missing", entry->column_name, RelationGetRelationName(relation)),
             hidden            ? errdetail("What its parents say is hidden by row-level security.")
             : evidence->given ? errdetail("Its parents say %s.", tell(entry, evidence, false))
                               : errdetail("None of its parents names a tenant."),
             errhint("Write the row with its tenant."), errtablecol(relation, entry->column)));
    pg_unreachable();
}

// What to do about the row. True: fill in *value.
bool judge(GuardStatement *statement, HeapTuple row, Relation relation, Datum *value) {
    const GuardEntry *entry = statement->entry;
    TupleDesc columns = RelationGetDescr(relation);
    Evidence evidence;
    gather(statement, row, columns, &evidence);
    bool null = false;
    Datum key = heap_getattr(row, entry->column, columns, &null);
    if (!null) {
        Oid type;
        key = plain(entry->type, key, &type);
        if (evidence.given && (!evidence.agreed || !same(type, evidence.tenant, key))) {
            const char *found = guard_text(type, key);
            if (entry->mode == core::GuardMode::reject) refuse(entry, relation, row, found, &evidence);
            note(entry, row, relation, "mismatch", found, &evidence);
        } else if (evidence.unreadable) {
            note(entry, row, relation, "unreadable", guard_text(type, key), &evidence);
        }
        return false;
    }
    if (entry->mode == core::GuardMode::reject) refuse(entry, relation, row, nullptr, &evidence);
    const char *kind = nullptr;
    if (entry->mode == core::GuardMode::warn)
        kind = "null_key";
    else if (evidence.unreadable)
        kind = "unreadable";
    else if (!evidence.given)
        kind = "orphan";
    else if (!evidence.agreed)
        kind = "conflict";
    else if (!as_key(entry, evidence.tenant, value) || (!evidence.in_root && !in_root(statement, evidence.tenant)))
        kind = "unknown_tenant";
    else
        return true;
    note(entry, row, relation, kind, nullptr, &evidence);
    return false;
}

} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_guard_tenant_key(PG_FUNCTION_ARGS) {
    GuardEvent event = guard_event(fcinfo, "guard_tenant_key", Timing::before);
    HeapTuple row = event.row;
    if (engine_writes(event.relation)) return PointerGetDatum(row);
    GuardStatement *statement = guard_statement(fcinfo, &event, core::GuardKind::tenant_key);
    if (!statement) return PointerGetDatum(row);
    const GuardEntry *entry = statement->entry;
    if (event.update && !changes_something(entry, event.before, row, event.columns)) return PointerGetDatum(row);
    if (!concerns(entry, row, event.columns)) return PointerGetDatum(row);
    Datum value = 0;
    if (judge(statement, row, event.relation, &value)) {
        int number = entry->column;
        bool null = false;
        row = heap_modify_tuple_by_cols(row, event.columns, 1, &number, &value, &null);
    }
    return PointerGetDatum(row);
}

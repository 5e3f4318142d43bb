#include "guards/column_guard.hpp"

#include "guards/stored_definition.hpp"

namespace tenantmig {

namespace {
HTAB *guards = nullptr;

void relation_changed(Datum, Oid relation) {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, guards);
    while (auto *guard = static_cast<ColumnGuard *>(hash_seq_search(&scan)))
        if (!OidIsValid(relation) || relation == guard->key.relation) guard->valid = false;
}

// An entry never goes away, so that a call may point to it for as long as it likes; it is used only while it is valid.
ColumnGuard *entry_of(Oid trigger, Oid relation) {
    if (!guards) {
        HASHCTL control = {};
        control.keysize = sizeof(ColumnGuardKey);
        control.entrysize = sizeof(ColumnGuard);
        guards = hash_create("tenantmig column guards", 32, &control, HASH_ELEM | HASH_BLOBS);
        CacheRegisterRelcacheCallback(relation_changed, 0);
    }
    ColumnGuardKey key = {trigger, relation};
    bool found = false;
    auto *guard = static_cast<ColumnGuard *>(hash_search(guards, &key, HASH_ENTER, &found));
    if (!found) guard->valid = false;
    return guard;
}

struct Names { // of columns, and where an attached guard says they are
    char column[NAMEDATALEN], embedded[NAMEDATALEN], separator[core::max_separator + 1];
    int column_number, embedded_number;
    Oid table;       // whose numbers these are; InvalidOid: they are another server's
    bool known_kind; // the definition is one of the trigger's kind
};

void copy_name(char *to, std::size_t size, const std::string &from) {
    std::size_t length = std::min(from.size(), size - 1);
    memcpy(to, from.data(), length);
    to[length] = '\0';
}

void read_definition(const char *text, core::GuardKind kind, Names *names) {
    (void)pg_entry([text, kind, names] {
        const core::GuardDefinition definition = core::parse_guard_json(text);
        names->known_kind = definition.kind == kind;
        copy_name(names->column, sizeof(names->column), definition.column.name);
        copy_name(names->embedded, sizeof(names->embedded), definition.key.name);
        copy_name(names->separator, sizeof(names->separator), definition.separator);
        names->column_number = definition.column.number;
        names->embedded_number = definition.key.number;
        const std::string system = std::to_string(pg_call([] { return GetSystemIdentifier(); }));
        bool same_place = definition.system == system && definition.database == MyDatabaseId;
        names->table = same_place ? definition.table.oid : InvalidOid;
        return Datum(0);
    });
}

// The name that a column has now. NULL: it is gone.
char *live_name(Oid table, int number) {
    HeapTuple tuple =
        SearchSysCache2(ATTNUM, ObjectIdGetDatum(table), Int16GetDatum(static_cast<std::int16_t>(number)));
    if (!HeapTupleIsValid(tuple)) return nullptr;
    auto *attribute = reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple));
    char *name = attribute->attisdropped ? nullptr : pstrdup(NameStr(attribute->attname));
    ReleaseSysCache(tuple);
    return name;
}

// A partition has the columns of its table by name, under numbers of its own.
AttrNumber find_column(const ColumnGuard *guard, const Trigger *trigger, Relation relation, const char *name,
                       int number, Oid numbered) {
    const char *wanted = name;
    if (OidIsValid(numbered)) {
        char *now = live_name(numbered, number);
        if (numbered == RelationGetRelid(relation)) {
            if (now) return static_cast<AttrNumber>(number);
            wanted = nullptr;
        } else if (now) {
            wanted = now;
        }
    }
    AttrNumber found = wanted ? get_attnum(RelationGetRelid(relation), wanted) : InvalidAttrNumber;
    if (found > 0) return found;
    ereport(
        ERROR,
        (errcode(ERRCODE_UNDEFINED_COLUMN),
         errmsg("column \"%s\" of \"%s\" does not exist", name, RelationGetRelationName(relation)),
         guard->guard
             ? errdetail("It is what guard %lld looks at.", static_cast<long long>(guard->guard))
             : errdetail("Trigger \"%s\" names it, and a trigger that names its columns does not follow a rename.",
                         trigger->tgname),
         guard->guard
             ? errhint("SELECT * FROM tenantmig.detach_guard(%lld) takes it off.", static_cast<long long>(guard->guard))
             : errhint("Create the trigger anew with the new name, or let tenantmig.attach_guard make it, which "
                       "follows renames."),
         errtable(relation)));
    pg_unreachable();
}

[[noreturn]] void wrong_arguments(const Trigger *trigger, core::GuardKind kind) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("trigger \"%s\" has other arguments than its function takes", trigger->tgname),
                    kind == core::GuardKind::prefix
                        ? errdetail("They are the id, the tenant key and a separator of 1 to %d bytes.",
                                    static_cast<int>(core::max_separator))
                        : errdetail("It is the tenant key."),
                    kind == core::GuardKind::prefix
                        ? errhint("EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', '.')")
                        : errhint("EXECUTE FUNCTION tenantmig.guard_immutable('company_id')")));
    pg_unreachable();
}

void read_arguments(const Trigger *trigger, core::GuardKind kind, Names *names) {
    char **argument = trigger->tgargs;
    bool prefix = kind == core::GuardKind::prefix;
    if (trigger->tgnargs != (prefix ? 3 : 1)) wrong_arguments(trigger, kind);
    strlcpy(names->column, argument[0], sizeof(names->column));
    if (!prefix) return;
    if (strlen(argument[2]) == 0 || strlen(argument[2]) > core::max_separator) wrong_arguments(trigger, kind);
    strlcpy(names->embedded, argument[1], sizeof(names->embedded));
    strlcpy(names->separator, argument[2], sizeof(names->separator));
}

void require_text(Relation relation, AttrNumber number) {
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), number - 1);
    Oid type = getBaseType(attribute->atttypid);
    if (type == TEXTOID || type == VARCHAROID) return;
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("column \"%s\" of \"%s\" is neither text nor varchar", NameStr(attribute->attname),
                           RelationGetRelationName(relation)),
                    errdetail("Its type is %s.", format_type_be(attribute->atttypid)),
                    errhint("A guard of kind prefix compares texts: change the column's type."), errtable(relation)));
}

// A stored generated column has no value yet when a BEFORE trigger looks at the row.
void require_computed(const TriggerData *event, AttrNumber number) {
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(event->tg_relation), number - 1);
    if (!attribute->attgenerated || TRIGGER_FIRED_AFTER(event->tg_event)) return;
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("trigger \"%s\" must be AFTER", event->tg_trigger->tgname),
                    errdetail("\"%s\" is a generated column, which has no value yet in a BEFORE trigger.",
                              NameStr(attribute->attname)),
                    errhint("Create it AFTER INSERT OR UPDATE, or let tenantmig.attach_guard make it.")));
}
} // namespace

ColumnGuard *make_column_guard(FunctionCallInfo call, core::GuardKind kind) {
    auto *event = reinterpret_cast<TriggerData *>(call->context);
    Relation relation = event->tg_relation;
    const Trigger *trigger = event->tg_trigger;
    ColumnGuard *guard = entry_of(trigger->tgoid, RelationGetRelid(relation));
    if (!guard->valid) {
        Names names = {};
        guard->guard = 0;
        if (guard_argument(trigger, &guard->guard)) {
            const char *text = stored_definition(guard->guard);
            if (text) read_definition(text, kind, &names);
            if (!names.known_kind)
                ereport(
                    ERROR,
                    (errcode(ERRCODE_UNDEFINED_OBJECT),
                     errmsg("guard %lld of \"%s\" is not in the catalogue of tenantmig",
                            static_cast<long long>(guard->guard), RelationGetRelationName(relation)),
                     errdetail("Trigger \"%s\" has its number, but not what it is to look at.", trigger->tgname),
                     errhint("DROP TRIGGER %s ON %s, and attach the guard again.", quote_identifier(trigger->tgname),
                             quote_identifier(RelationGetRelationName(relation)))));
        } else {
            read_arguments(trigger, kind, &names);
        }
        guard->column = find_column(guard, trigger, relation, names.column, names.column_number, names.table);
        require_computed(event, guard->column);
        Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), guard->column - 1);
        guard->type = attribute->atttypid;
        guard->collation = attribute->attcollation;
        guard->length = attribute->attlen;
        guard->by_value = attribute->attbyval;
        if (kind == core::GuardKind::prefix) {
            guard->embedded = find_column(guard, trigger, relation, names.embedded, names.embedded_number, names.table);
            require_computed(event, guard->embedded);
            require_text(relation, guard->column);
            require_text(relation, guard->embedded);
            guard->separator_length = static_cast<int>(strlen(names.separator));
            memcpy(guard->separator, names.separator, static_cast<std::size_t>(guard->separator_length));
        }
        guard->valid = true; // nothing above can have changed: the statement holds a lock on the table
    }
    call->flinfo->fn_extra = guard;
    return guard;
}

void require_row_trigger(FunctionCallInfo call, const char *function) {
    if (!CALLED_AS_TRIGGER(call))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("tenantmig.%s is a trigger function", function),
                        errhint("tenantmig.attach_guard makes the trigger.")));
    auto *event = reinterpret_cast<TriggerData *>(call->context);
    if (!TRIGGER_FIRED_FOR_ROW(event->tg_event) || TRIGGER_FIRED_INSTEAD(event->tg_event) ||
        TRIGGER_FIRED_BY_DELETE(event->tg_event) || TRIGGER_FIRED_BY_TRUNCATE(event->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("trigger \"%s\" must be FOR EACH ROW, on INSERT or UPDATE", event->tg_trigger->tgname),
                        errdetail("It is on %s.", RelationGetRelationName(event->tg_relation)),
                        errhint("tenantmig.attach_guard makes the trigger.")));
}

char *shown_value(Oid type, Datum value, bool null) {
    constexpr std::size_t most = 200; // bytes; cut to as many characters
    if (null) return pstrdup("NULL");
    Oid output;
    bool varlena;
    getTypeOutputInfo(type, &output, &varlena);
    char *whole = OidOutputFunctionCall(output, value);
    if (strlen(whole) <= most) return psprintf("'%s'", whole);
    Datum head = DirectFunctionCall2(text_left, CStringGetTextDatum(whole), Int32GetDatum(static_cast<int>(most)));
    return psprintf("'%s...'", TextDatumGetCString(head));
}

char *removal_hint(const ColumnGuard *guard, const Trigger *trigger, Relation relation) {
    if (guard->guard)
        return psprintf("SELECT * FROM tenantmig.detach_guard(%lld)", static_cast<long long>(guard->guard));
    return psprintf("DROP TRIGGER %s ON %s", quote_identifier(trigger->tgname),
                    quote_identifier(RelationGetRelationName(relation)));
}

} // namespace tenantmig

// What the guards of kinds prefix and immutable know: nothing but columns of the row. Plain data, remembered by the
// backend for each trigger and table until one of them changes, and by the trigger's call for the rows of a statement.
// PostgreSQL's regime.
#pragma once
#include "core/guard_definition.hpp"

#include "bridge/boundary.hpp"

namespace tenantmig {

struct ColumnGuardKey {
    Oid trigger, relation;
};

struct ColumnGuard {
    ColumnGuardKey key;
    bool valid;
    std::int64_t guard;  // 0: in the plain form, which names its columns
    AttrNumber column;   // prefix: the id; immutable: the tenant key
    AttrNumber embedded; // prefix: the tenant key
    int separator_length;
    char separator[core::max_separator];
    Oid type, collation; // of the column
    std::int16_t length; // of the type
    bool by_value;
};

// Of the trigger that fires; `kind` is what its function guards. The fast way is one comparison; otherwise it is made
// anew. Errors: 42703, 42804, 39P01, 22023, 42704.
ColumnGuard *make_column_guard(FunctionCallInfo call, core::GuardKind kind);

inline ColumnGuard *column_guard(FunctionCallInfo call, core::GuardKind kind) {
    auto *guard = static_cast<ColumnGuard *>(call->flinfo->fn_extra);
    auto *event = reinterpret_cast<TriggerData *>(call->context);
    if (guard && guard->valid && guard->key.trigger == event->tg_trigger->tgoid &&
        guard->key.relation == event->tg_relation->rd_id)
        return guard;
    return make_column_guard(call, kind);
}

// 39P01 unless called as a row trigger, BEFORE or AFTER, on INSERT or UPDATE. `function`: for the message.
void require_row_trigger(FunctionCallInfo call, const char *function);

// A value for a message: in single quotes, or NULL; a long one is cut.
char *shown_value(Oid type, Datum value, bool null);

// How to get rid of the guard, for a HINT.
char *removal_hint(const ColumnGuard *guard, const Trigger *trigger, Relation relation);

} // namespace tenantmig

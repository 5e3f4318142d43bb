// From a trigger call to its guard: entries are kept by the backend until something that they were made from changes;
// what a call needs is found once for each statement and trigger, and stays in its FmgrInfo. PostgreSQL's regime.
#pragma once
#include "guards/guard_entry.hpp"

namespace tenantmig {

struct LookupCache;

struct GuardStatement {
    MemoryContext context = nullptr; // lives as long as the statement
    GuardEntry *entry = nullptr;
    Oid relation = InvalidOid, trigger = InvalidOid;
    LookupCache **cache = nullptr; // by the number of the lookup
};

// What a trigger function of a guard is called for.
struct GuardEvent {
    TriggerData *data;
    Relation relation;
    TupleDesc columns;
    bool update;
    HeapTuple before, row; // before: NULL for an INSERT
};

// When a trigger has to fire.
enum class Timing { before, after, either };
// Checks that the call is one of a row trigger for INSERT or UPDATE (39P01).
GuardEvent guard_event(FunctionCallInfo fcinfo, const char *function, Timing timing);

// The guard of this call, all that it looks at locked. NULL: it does nothing, and a warning has said why.
GuardStatement *guard_statement(FunctionCallInfo fcinfo, const GuardEvent *event, core::GuardKind kind);

// Whether the rows that are being written to the relation are written by the engine itself.
bool engine_writes(Relation relation);

// An UPDATE matters if it changes one of the columns that are watched.
bool changes_something(const GuardEntry *entry, HeapTuple before, HeapTuple after, TupleDesc columns);

// Whether the row meets the conditions of the guard.
bool concerns(const GuardEntry *entry, HeapTuple row, TupleDesc columns);

} // namespace tenantmig

// What a backend knows of a guard on one table: plain data, made once by load_guard() (C++) and read for every row by
// the triggers, which stay in PostgreSQL's regime. Columns are numbers of the table (or partition) that the trigger
// fires on.
#pragma once
#include "core/guard_definition.hpp"

#include "guards/guard_value.hpp"

namespace tenantmig {

inline constexpr int max_guard_keys = INDEX_MAX_KEYS;

struct PlainColumn {
    AttrNumber number = 0;
    Oid type = InvalidOid; // a domain's base type
};

struct GuardCheck { // a condition on one column of a row
    AttrNumber number = 0;
    bool or_null = false;
    int count = 0;
    Datum *values = nullptr;
    FmgrInfo equal = {};
    Oid collation = InvalidOid;
};
bool check_holds(GuardCheck *check, Datum value, bool null);

enum class RowLock : unsigned char { none, key_share, share };

// One hop: SELECT value FROM table WHERE key = $1 …, as the table's owner. Through an index where that runs nobody's
// code, else by a kept plan (index_lookup.hpp).
struct GuardLookup {
    Oid table = InvalidOid, owner = InvalidOid;
    const char *name = nullptr;    // of the table, for messages
    const char *problem = nullptr; // why it can't be run
    int number = 0;                // among the lookups of the entry
    RowLock lock = RowLock::none;
    SPIPlanPtr plan = nullptr, locking_plan = nullptr; // NULL: through the index
    Oid index = InvalidOid;
    int keys = 0, values = 0, checks = 0;
    ScanKeyData *scan = nullptr;  // one for each column of the index that is asked for, without the arguments
    int *argument = nullptr;      // which key each of them takes
    AttrNumber *column = nullptr; // and of which column of the table
    AttrNumber value[max_guard_keys] = {};
    GuardCheck *check = nullptr;
    Oid parameters[max_guard_keys] = {}; // types
    Oid results[max_guard_keys] = {};    // likewise
    const char *type_value = nullptr;    // polymorphic: the value of the type column that leads here
};

struct GuardWay { // one source
    const char *label = nullptr;
    const char *problem = nullptr; // why it can't be asked at all
    int probes = 0;
    PlainColumn probe[max_guard_keys] = {};
    PlainColumn type_column = {}; // polymorphic: number is not 0
    int lookups = 0;
    GuardLookup *lookup = nullptr; // hops one after the other; polymorphic: one for each type
    bool ends_at_root = false;     // what it says is in the tenant root
};

// The parent's side of same_tenant: children that point at a row.
struct GuardChildren {
    GuardLookup lookup = {}; // keys: what is referenced, then the tenant key that they should have
    const char *tenant_name = nullptr;
    PlainColumn key[max_guard_keys] = {}; // of the parent
    int keys = 0;
    PlainColumn tenant = {}; // of the parent
    bool early = false;      // a child may be there before its parent
    Oid parent = InvalidOid; // the table that is referenced (a partition's root), for locks
};

struct GuardEntry {
    std::int64_t guard = 0; // 0: a trigger of the plain form
    Oid relation = InvalidOid, trigger = InvalidOid;
    MemoryContext context = nullptr;
    bool stale = false;          // something that it was made from has changed
    const char *inert = nullptr; // why it does nothing at all
    bool told = false;           // a warning has said so
    core::GuardKind kind = core::GuardKind::tenant_key;
    const char *migration = nullptr, *column_name = nullptr;
    core::GuardMode mode = core::GuardMode::fill;
    bool first = false;
    AttrNumber column = 0;                        // 0: there is none
    Oid declared = InvalidOid, type = InvalidOid; // of the column; type: a domain's base type
    Oid collation = InvalidOid;
    std::int32_t typmod = -1;
    PlainColumn key_column = {}; // acyclic: what is referenced
    int ways = 0, checks = 0, watched = 0, tables = 0, keys = 0, lookups = 0, children_lists = 0;
    bool child = true;  // same_tenant: rows of this table have a parent
    bool early = false; // same_tenant, acyclic: a row may be there before the one that it references
    GuardWay *way = nullptr;
    GuardCheck *check = nullptr;
    AttrNumber *watch = nullptr; // columns whose change makes an UPDATE matter
    Oid *table = nullptr;        // everything that is looked at; a change of any makes the entry stale
    LOCKMODE *lock = nullptr;    // for each of them
    AttrNumber *key = nullptr;   // identifies rows, for the log
    GuardChildren *children = nullptr;
    GuardLookup root = {};
    Oid extension_owner = InvalidOid;
};

// Makes the entry of a guard for a table that its trigger fires on. What is wrong with the definition or with what it
// names does not fail but stands in `inert` and `problem`; a trigger of the plain form has no other way to say it than
// an error: 42703, 42P01, 42501, 42804, 22023 with a hint.
void load_guard(GuardEntry *entry, const Trigger *trigger);

struct DriftRow {
    const char *kind;
    const char *found, *expected, *detail; // or nullptr
};
// Writes to the drift log, as the extension's owner. Needs an SPI connection. Nothing happens in a read-only
// transaction.
void log_drift(const GuardEntry *entry, HeapTuple row, TupleDesc columns, const char *relation, const DriftRow *drift);

} // namespace tenantmig

// What a backend knows of a guard on one table: plain data, made once by load_guard() (C++) and read for every row by
// the trigger, which stays in PostgreSQL's regime. Columns are numbers of the table (or partition) that the trigger
// fires on.
#pragma once
#include "core/spec.hpp"

#include "bridge/boundary.hpp"

namespace tenantmig {

inline constexpr int max_guard_keys = INDEX_MAX_KEYS;

// A value in the form that it is compared in: integers as bigint, varchar as text, everything else as it is.
struct PlainColumn {
    AttrNumber number = 0;
    Oid type = InvalidOid; // a domain's base type
};

struct GuardLookup { // one hop: SELECT value FROM table WHERE key = $1 …, as the table's owner
    Oid table = InvalidOid, owner = InvalidOid;
    const char *problem = nullptr; // why it can't be run
    SPIPlanPtr plan = nullptr;
    int keys = 0, values = 0;
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

struct GuardCheck { // a condition on the row itself
    AttrNumber number = 0;
    bool or_null = false;
    int count = 0;
    Datum *values = nullptr;
    FmgrInfo equal = {};
    Oid collation = InvalidOid;
};

struct GuardEntry {
    std::int64_t guard = 0;
    Oid relation = InvalidOid;
    MemoryContext context = nullptr;
    bool stale = false;          // something that it was made from has changed
    const char *inert = nullptr; // why it does nothing at all
    bool told = false;           // a warning has said so
    const char *migration = nullptr, *column_name = nullptr;
    core::GuardMode mode = core::GuardMode::fill;
    bool first = false;
    AttrNumber column = 0;
    Oid declared = InvalidOid, type = InvalidOid; // of the column; type: a domain's base type
    std::int32_t typmod = -1;
    int ways = 0, checks = 0, watched = 0, tables = 0, keys = 0;
    GuardWay *way = nullptr;
    GuardCheck *check = nullptr;
    AttrNumber *watch = nullptr; // columns whose change makes an UPDATE matter
    Oid *table = nullptr;        // everything that is looked at; a change of any makes the entry stale
    AttrNumber *key = nullptr;   // identifies rows, for the log
    GuardLookup root = {};
    Oid extension_owner = InvalidOid;
};

// Makes the entry of a guard for a table that its trigger fires on. What is wrong with the definition or with what it
// names does not fail but stands in `inert` and `problem`.
void load_guard(GuardEntry *entry);

struct DriftRow {
    const char *kind;
    const char *found, *expected, *detail; // or nullptr
};
// Writes to the drift log, as the extension's owner. Needs an SPI connection. Nothing happens in a read-only
// transaction.
void log_drift(const GuardEntry *entry, HeapTuple row, TupleDesc columns, const char *relation, const DriftRow *drift);

// As a string, for messages.
char *guard_text(Oid type, Datum value);

} // namespace tenantmig

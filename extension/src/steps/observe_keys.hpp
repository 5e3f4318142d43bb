// Samples of tenant keys: how many rows have none, and which name tenants that
// do not exist. The shallow form works through an index on the key; a table
// without one is read once.
#pragma once
#include "engine/constraint_target.hpp"
#include "engine/resolve.hpp"

namespace tenantmig {

// While it lives, the planner uses indexes wherever it can, and neither
// parallel workers nor JIT. Inside of RunAs.
class IndexScans {
public:
    IndexScans();
    ~IndexScans();
    IndexScans(const IndexScans &) = delete;
    IndexScans &operator=(const IndexScans &) = delete;

private:
    int guc_level_;
};

std::string key_label(const Table &table,
                      const Column &column); // schema.table.column

// Whether a btree index over the whole table begins with the column.
bool has_serving_index(const Table &table, const Column &column);

// A column that is to hold tenant keys.
struct ObservedKey {
    Table table;
    Column column;
    std::optional<Column> except_deleted; // rows where this one is set need no key
    std::optional<Table> root;            // where its values must be; not set: anywhere
    Column root_key;
    KeyClass key_class = KeyClass::as_text;
    const ResolvedStep *step = nullptr; // the backfill step that fills it
    bool needs_value = true;            // a constraint step without not_null asks for none

    std::string label() const { return key_label(table, column); }
};

// Of backfill steps and constraint steps, each column once.
std::vector<ObservedKey> observed_keys(const ResolvedMigration &migration,
                                       const std::vector<ConstraintTarget> &constraints);

struct KeySample {
    std::int64_t nulls = 0;
    std::int64_t unknown = 0;    // distinct keys
    std::string unknown_example; // one of them
    std::int64_t distinct = 0;   // keys looked at
    bool indexed = false;        // through an index
    bool all = true;             // of the keys were looked at
};
// As the owners of the tables, with row security off. Locks: ACCESS SHARE.
KeySample sample_key(const ObservedKey &key);

// Of rows without a key in a table that a run has filled: those that are
// neither in the review queue nor soft-deleted by it. `nulls`: how many rows
// have no key. Many are compared by number only (`exact` is false then).
struct NewNulls {
    std::int64_t rows = 0;
    bool exact = true;
};
NewNulls count_new_nulls(const MigrationRecord &migration, const ObservedKey &key, std::int64_t run,
                         std::int64_t nulls);

} // namespace tenantmig

// What composite_keys and composite_references have put down: one item per key. For the files isolate_*.cpp.
#pragma once
#include "catalog/enforcement_store.hpp"
#include "steps/isolate_keys.hpp"

namespace tenantmig {

// A column as it was, so that it is found again when it is renamed.
struct KeyedColumn {
    AttrNumber number = 0;
    std::string name;
};

// A name that something has, or had, on a table.
struct PlacedName {
    Site site;
    std::string name;
};

// What PostgreSQL has made of a foreign key for a partition on either side: a constraint of its own.
struct ForeignKeyPart {
    Site from, to;
    std::string name, comment;
};

// UNIQUE (tenant key, …). `kept`: there was one already, which stays whatever happens.
struct UniqueItem {
    Site table;
    std::vector<KeyedColumn> columns;
    std::string name;
    bool kept = false;
    std::vector<PlacedName> parts; // of the lowest partitions, from before they are built
};

struct ForeignKeyShape {
    std::string name, comment;
    std::vector<KeyedColumn> columns, targets;
    std::vector<KeyedColumn> cleared;                   // ON DELETE SET NULL (…); empty: all
    char on_update = 'a', on_delete = 'a', match = 's'; // as in pg_constraint
    bool deferrable = false, deferred = false, validated = true;
};

// A foreign key that gives way to another.
struct ReferenceItem {
    Site from, to;
    ForeignKeyShape old, made;
    std::vector<ForeignKeyPart> old_parts;
    std::string back;             // what it is called while it comes back, beside the new one
    KeyedColumn from_key, to_key; // the tenant keys
};

struct KeyItems {
    std::string system; // where numbers are valid: of the cluster and the database
    Oid database = InvalidOid;
    std::vector<UniqueItem> uniques;
    std::vector<ReferenceItem> references;

    bool by_number() const;
    std::optional<Table> find(const Site &site) const; // as it is today
    Table get(const Site &site) const;                 // 42P01
    // Today's names, on the table of the item.
    std::string name_of(const Site &site, const Table &table, const KeyedColumn &column) const;
    std::vector<std::string> names_of(const Site &site, const Table &table,
                                      const std::vector<KeyedColumn> &columns) const;
};

KeyItems new_items();
bool has_key_items(const std::string &detail);
KeyItems parse_key_items(const std::string &detail);                          // 55000 if they can't be read
std::string with_key_items(const std::string &detail, const KeyItems *items); // nullptr: without

// ---- isolate_keys_plan.cpp

struct KeyProblem {
    std::string check, sqlstate, message, detail, hint;
};

struct KeyPlan {
    KeyItems items; // those stored, and what has come since
    std::vector<KeyProblem> problems;
    std::vector<Table> touched; // beyond the step's own tables
};
KeyPlan plan_keys(const core::IsolateStep &step, const std::vector<IsolateKeyTable> &tables, KeyItems stored);

// ---- isolate_keys_rows.cpp

struct CrossingRows {
    std::int64_t rows = 0;
    std::string sample; // key = value, …
    std::string query;  // that lists them
};
// Rows of `from` that the new foreign key would refuse, counted with row security off. Nothing else is known of them.
CrossingRows count_crossing(const KeyItems &items, const ReferenceItem &item);
std::string crossing_query(const KeyItems &items, const ReferenceItem &item);

// ---- isolate_unique.cpp, isolate_references.cpp

// What stands under a name on a table, if it is a constraint of that type (pg_constraint.contype). Those that
// PostgreSQL makes for the partitions of a table that is referred to are passed over.
struct FoundConstraint {
    Oid oid = InvalidOid, index = InvalidOid, parent = InvalidOid, referenced = InvalidOid;
    std::string name;
    std::vector<std::string> columns, targets; // in its order
    bool validated = false;
};
std::optional<FoundConstraint> find_constraint(const Table &table, const std::string &name, char type);
// Whether a name is to be had for a foreign key: those just mentioned give it up.
bool name_taken(const Table &table, const std::string &name);
std::vector<Table> lowest_of(const Table &table); // itself, or its partitions that hold rows

class KeyWorker {
public:
    KeyWorker(StepContext &context, KeyItems &items) : context_(context), items_(items) {}
    // False: nothing was to be done.
    bool up(UniqueItem &item);
    bool up(const ReferenceItem &item);
    bool down(const UniqueItem &item);
    bool down(const ReferenceItem &item);
    std::int64_t longest_hold = 0;

private:
    struct Ends { // of a foreign key, as they are today
        Table from, to;
        std::vector<Table> tree, leaves;
        bool partitioned = false;
    };
    enum class Way { up, down };

    bool constrain_leaf(const UniqueItem &item, const Table &leaf, const std::string &name);
    bool name_parts(UniqueItem &item, const std::vector<Table> &leaves);
    Ends ends(const ReferenceItem &item) const;
    bool prepare(const ReferenceItem &item, Way way);
    bool remove(const ReferenceItem &item, const std::string &name);
    void require_no_crossing(const ReferenceItem &item);
    bool replace(const ReferenceItem &item, Way way);
    void put_in_place(const ReferenceItem &item, const Ends &ends, Way way);
    void restore_names(const ReferenceItem &item, const Ends &ends);
    std::int64_t strong(const Table &relation, const std::vector<LockWish> &wishes, const std::function<void()> &work);

    StepContext &context_;
    KeyItems &items_;
};

std::string describe_reference(const KeyItems &items, const ReferenceItem &item); // schema.table.name
// Whether it stands, valid and enabled: a reason why not, or empty.
std::string defect_of(const KeyItems &items, const UniqueItem &item);
std::string defect_of(const KeyItems &items, const ReferenceItem &item);

} // namespace tenantmig

// A rekey step: the surrogate key of the tenant root (domain_id) gives way to a natural one (domain), on the root and
// on every table that holds it; ids that are to begin with it become text.
//
// What is to be done is put down once, as a list of small actions, when the step begins (rekey_list.cpp), and stored in
// step_state.detail. `done` of them are done; up does the next ones, down takes back the last ones, each in one short
// transaction that also moves `done`, which stands in step_state.phase meanwhile. Both directions can be stopped at any
// instant, and either can follow the other.
//
//   rekey_target.cpp    names, types, rights: what the step works on, and what it refuses
//   rekey_checks.cpp    pre-checks: rows
//   rekey_catalogue.cpp indexes, constraints and rights of the columns that are replaced
//   rekey_list.cpp      the list of actions, table by table; rekey_list_switch.cpp: its last part
//   rekey_action.cpp    doing an action, and taking it back; rekey_rows.cpp: those that read or write rows
//   rekey_json.cpp      the list as it is stored
#pragma once
#include "core/rekey.hpp"

#include "catalog/enforcement_store.hpp"
#include "steps/step.hpp"

namespace tenantmig {

// ---- what the step works on

struct RekeyTable {
    Table table;
    Column id;      // the surrogate key, on it
    int number = 0; // of its backfill
};

struct RekeyReference { // a column that refers to an id that is to be embedded
    Table table;
    Column column;
};

struct RekeyEmbedded {
    Table table;
    Column id;
    std::string separator;
    std::vector<RekeyReference> references;
};

struct RekeyTarget {
    core::RekeyStep step;
    Table root;
    Column id, key;         // of the root
    std::string column;     // the new tenant key, on every table
    std::string type;       // of it, as SQL
    bool own_column = true; // of the root: false where the new tenant key is `key` itself
    std::vector<std::string> within;
    std::vector<RekeyTable> tables; // those whose ids are embedded first
    std::vector<RekeyEmbedded> embedded;

    // All tables that are changed, each once: the root, tables, those with references.
    std::vector<Table> all() const;
};

// Errors: 42P01, 42703, 42501 (not the owner; no right to read or reference), 42701 (a new column's name is taken),
// 42830 (the surrogate key is not unique by itself), 2BP01 (what depends on a column that is to be renamed; tables with
// a foreign key to the root that the step does not name), 0A000 (partitioned tables, partitions, inheritance, identity
// and generated columns, keys of several columns), 42804, 55000 (no primary key), TM001, 2201B.
RekeyTarget resolve_rekey(const core::RekeyStep &step, NameBook &names);

// By itself, at once, in all rows.
bool is_unique(const Table &table, AttrNumber column);

// The names that an id has while it is converted, and the column that it was afterwards.
std::string new_name(const std::string &column);
std::string old_name(const std::string &column);

// ---- rows

// All of these have to say PASS before anything is changed.
std::vector<CheckRow> rekey_prechecks(const RekeyTarget &target);
void require_prechecks(const std::string &label, const std::vector<CheckRow> &checks); // TM018

// ---- the list

struct RekeyStatement { // as the owner of `table`
    Site table;
    std::string sql;
    std::string missing, present; // only if the table has no constraint of that name, or has one
};

enum class RekeyKind {
    ddl,      // forward and back, under strong locks on `locks`
    index,    // built concurrently
    validate, // a constraint
    rows,     // an UPDATE of what is still NULL, piece by piece
    backfill, // the engine, for `numbers`
    mapping,  // table of old and new ids
    old_ids,  // on the way back: rows that came since get an old id, or TM018
    checks,   // post-checks
};

struct RekeyAction {
    RekeyKind kind = RekeyKind::ddl;
    std::string stage; // words for people: columns, backfill, indexes, constraints, switch, checks
    Site table;        // what errors name, and what is locked first
    std::string name;  // index or constraint; column that is filled
    bool back = false; // index, validate: made on the way back, and removed by going forward
    std::vector<Site> locks;
    std::vector<RekeyStatement> forward, backward;
    std::vector<int> numbers;
    // So many actions before it, and after it, belong to it: unless this one is done, up does those before it once
    // more; if it is, down takes back all those after it, however few of them were done.
    std::size_t group = 0, tail = 0;
};

struct RekeyCheck { // a post-check: `sql` counts what should not be, as the owner of the table
    std::string name, sql;
    Site table;
};

struct RekeyColumn { // for the execution log
    std::string table, column, from, to;
};

struct RekeyList {
    std::vector<RekeyAction> actions;
    std::vector<RekeyCheck> checks;
    std::vector<RekeyColumn> added, converted;
    Oid database = InvalidOid; // where the numbers of tables are valid
    std::size_t done = 0;
};

RekeyList make_rekey_list(const RekeyTarget &target, std::int64_t migration);
std::string rekey_json(const RekeyList &list);
bool has_rekey_list(const std::string &json);
RekeyList parse_rekey(const std::string &json); // 55000 if it isn't one
RekeyList stored_rekey(const StepState &state); // the same, as far as the step is by now

// ---- actions

class RekeyWorker {
public:
    RekeyWorker(StepContext &context, RekeyList &list) : context_(context), list_(list) {}
    void up();                     // until all are done
    void down();                   // until none is
    std::int64_t longest_hold = 0; // of a strong lock, microseconds
    std::vector<CheckRow> checks;  // post-checks, if they were made

private:
    void forward(const RekeyAction &action);
    void backward(const RekeyAction &action);
    void change(const RekeyAction &action, const std::vector<RekeyStatement> &statements);
    void build(const RekeyAction &action);
    void remove(const RekeyAction &action);
    void validate(const RekeyAction &action);
    void backfill(const RekeyAction &action);
    void check(const RekeyAction &action);
    void fill_old_ids(const RekeyAction &action);
    // `ours`: guards let it pass
    void in_pieces(const Table &table, const std::string &statement, bool ours);
    void move(); // the mark, in the transaction that is open
    void pass(); // nothing is to be done
    Table table_of(const Site &site);
    std::size_t next_ = 0; // what `done` is when the action has been done or taken back
    StepContext &context_;
    RekeyList &list_;
};

// What the checks find now; reads only.
std::vector<CheckRow> run_rekey_checks(const RekeyList &list);

} // namespace tenantmig

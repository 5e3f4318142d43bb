// composite_keys and composite_references of an isolate step.
//
//   composite_keys        UNIQUE (tenant key, primary key) on each table
//   composite_references  a foreign key between two isolated tables gives way to one that compares the tenant key, too
//
// What is to be done is put down once, when up begins (member "keys" of step_state.detail: names, columns, actions, no
// SQL text), and each stage looks at the catalogue for what is done already: up and down may be stopped at any instant,
// and either may follow the other. The old foreign key goes in the transaction in which the new one, validated and
// counted by our own anti-join, takes its place, and the other way round: there is never none.
//
//   isolate_keys.cpp        what IsolateKeys has to say and do, item by item
//   isolate_keys_plan.cpp   what there is in the catalogue, what is to be made of it, what stands in the way
//   isolate_keys_rows.cpp   rows that refer across tenants
//   isolate_keys_json.cpp   the items as they are stored
//   isolate_unique.cpp      one unique key, up and down
//   isolate_references.cpp  one foreign key, up and down
#pragma once
#include "steps/step.hpp"

namespace tenantmig {

// A table of the spec (partitions and inheritance children are looked up here) and its tenant key.
struct IsolateKeyTable {
    Table table;
    Column key;
};

class IsolateKeys {
public:
    // down, verify and applied() need no tables: the state says what was made.
    explicit IsolateKeys(const core::IsolateStep &step, std::vector<IsolateKeyTable> tables = {});

    bool wanted() const; // whether the step asks for either
    // Refuses what can never be made (0A000: null_keys: hide, ON UPDATE SET NULL, …; 42804), and tables of other steps
    // that the migration's creator has no rights on (42501). Looks at the catalogue, reads no rows. Not of a step that
    // is on its way: what it has put down counts then.
    void check(const MigrationRecord &migration, const StepState &state) const;
    // All that up asks for, rows included: references across tenants, tenant keys that may be NULL, rights, names.
    // Reads only, in the transaction that is open, and may read whole tables. `state`: of the step, which may be
    // half-way.
    std::vector<CheckRow> criteria(const StepState &state = {}) const;
    std::vector<PlanRow> plan(const StepState &state = {}) const; // of a step that is not applied: one row per key

    // No transaction is open. False: nothing was to be done. After the index of the tenant key, before any policy.
    // Saves with context.save(), which keeps what else stands in the step's detail and its phase.
    // TM018 (a criterion does not hold), 55P03, TM009, 42P07.
    bool up(StepContext &context);
    // Backwards; after the policies are gone. The member "keys" is gone afterwards.
    bool down(StepContext &context);
    std::int64_t longest_hold() const { return longest_hold_; } // of a strong lock, microseconds

    // 2BP01 (foreign keys of others need our unique key), TM020 (what an old foreign key referred to is not unique any
    // more). Reads only.
    static void check_down(const StepState &state);
    // Whether all that was put down stands. True if nothing was.
    static bool applied(const StepState &state);
    static bool recorded(const StepState &state); // whether up has put down anything
    // Each key: stands, valid, enabled; and no row refers across tenants.
    static std::vector<CheckRow> verify(const StepState &state);

private:
    core::IsolateStep step_;
    std::vector<IsolateKeyTable> tables_;
    std::int64_t longest_hold_ = 0;
};

} // namespace tenantmig

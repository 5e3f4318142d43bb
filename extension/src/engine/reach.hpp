// Which steps of a migration can be looked at now: names in a step that comes after a structural one mean what stands
// there when that one is done.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

// A step that is not looked at, and why.
struct StepAside {
    int step = 0;
    core::StepKind kind = core::StepKind::backfill;
    bool later = true;  // a structural step before it is not applied; false: what it names has gone since, by a
                        // structural step after it
    std::string reason; // step 1 (sql) comes first, and is not applied
};

struct Reach {
    std::vector<int> reached; // steps with all structural steps before them applied
    std::vector<StepAside> later;
    int last_applied = 0; // the last structural step that is applied; 0: none
    bool structural = false;
    bool reaches(int step) const;
};

bool has_structural(const core::Spec &spec);
// Of the migration's whole spec.
Reach reach_of(const MigrationRecord &migration);

// The backfill steps that a run of the migration is about: record.scope, if it names any; of a migration without
// structural steps all (empty); else those that can be reached and that no completed run is about, or, if all are, all
// that can be reached. TM019 if there is none yet.
std::vector<int> steps_to_run(const MigrationRecord &migration);
// The same set as one list: for the steps of a run (empty: all of the document).
std::vector<int> all_steps_of_run(const MigrationRecord &migration, const std::vector<int> &steps);

// TM019 if a structural step before this one is not applied; `name`: of the migration.
void require_reached(const MigrationRecord &migration, int step);
// "steps 4, 5 come later: step 3 (sql) is not applied"; empty if all can be reached.
std::string later_steps(const Reach &reach);
// A NOTICE of them, with the command that takes them.
void tell_of_later_steps(const MigrationRecord &migration);
std::string step_label(int step, core::StepKind kind); // step 3 (index)

} // namespace tenantmig

// The kinds of steps that have procedures of their own (run, enforce, attach_guard) as up and down see them. How far
// they are stands in the tables of these.
#pragma once
#include "steps/step.hpp"

namespace tenantmig {

std::unique_ptr<Step> make_backfill_step(const core::BackfillStep &step);
std::unique_ptr<Step> make_guard_step(const core::GuardStep &step);
std::unique_ptr<Step> make_constraint_step(const core::ConstraintStep &step);

// Several backfills at once: consecutive ones are one run, in which the planner orders them.
struct BackfillEnd {
    bool changed = false;
    bool paused = false;
    std::string reason; // why it is paused
    std::int64_t run = 0;
};
// An unfinished run or undo of these steps is gone on with. TM007 if a worker failed, 57014 if it was cancelled.
BackfillEnd run_backfills(StepContext &context, const std::vector<int> &steps);
// Takes back all runs that are about one of these steps, the newest first.
BackfillEnd undo_backfills(StepContext &context, const std::vector<int> &steps);

// The steps that the runs about this one are also about, all of which go back with it.
std::vector<int> steps_undone_with(const MigrationRecord &migration, int step);

} // namespace tenantmig

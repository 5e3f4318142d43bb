// How far each step of a migration is (tenantmig.step_state), and the log of the attempts (tenantmig.step_log).
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

struct StepState {
    std::string state;         // empty: not applied; applying, applied, reverting
    std::string phase;         // how far, in words of the step's kind
    std::string detail = "{}"; // JSON text: what down needs
    std::string error;         // of the last attempt
};

StepState get_step_state(std::int64_t migration, int step);
// Writes the row; a state that is empty removes it.
void save_step_state(std::int64_t migration, int step, const StepState &state);

// Whether a step is applied, or on its way.
bool has_steps(std::int64_t migration);

std::int64_t begin_step_log(std::int64_t migration, int step, std::string_view kind, const char *action,
                            const std::string &actor);
// `outcome`: done, unchanged, paused, failed. `detail`: JSON text.
void end_step_log(std::int64_t id, const char *outcome, const std::string &error, const std::string &detail);

} // namespace tenantmig

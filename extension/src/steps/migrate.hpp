// CALL up, CALL down: the walk through the steps of a migration, forward and back.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

struct WalkOptions {
    std::optional<std::int32_t> to_step; // the last step that is applied afterwards; 0: none
    std::optional<std::int32_t> steps;   // how many; neither: all
    std::int32_t workers = 1;
    bool maintenance = false;
};

// 25001 inside a transaction block, 42501, 55006, 22023, TM013, TM019, and whatever a step reports.
void up_in_session(FunctionCallInfo call, const std::string &migration, const WalkOptions &options);
// The same, and TM020.
void down_in_session(FunctionCallInfo call, const std::string &migration, const WalkOptions &options);

} // namespace tenantmig

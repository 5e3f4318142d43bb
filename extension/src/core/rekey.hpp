// What a rekey step asks of the engine: backfills of its tables, each with the tenant root's surrogate key as evidence.
#pragma once
#include "core/spec.hpp"

namespace tenantmig::core {

constexpr int rekey_numbers = 1000; // step 3's backfills have the numbers 3001, 3002, …

// In the order of `tables`; the evidence of each is the row of the tenant root that its surrogate key names.
std::vector<BackfillStep> rekey_backfills(const RekeyStep &step);

} // namespace tenantmig::core

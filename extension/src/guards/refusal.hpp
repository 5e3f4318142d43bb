// How often guards have refused a write: counted in a sequence, because what a refused transaction writes is rolled
// back with it. Monitoring reads it. PostgreSQL's regime.
#pragma once

namespace tenantmig {

// Just before a guard raises its error. Never fails for a reason of its own, so that the real error is the one that is
// seen; nothing is counted where nothing can be written (a standby, a read-only transaction).
void count_refusal();

} // namespace tenantmig

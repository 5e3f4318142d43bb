// Proofs: after constraints have been applied, what must be refused is tried, and what must be accepted, on a copy of
// an existing row, and undone.
#pragma once
#include "bridge/transaction.hpp"
#include "catalog/migration_store.hpp"

namespace tenantmig {

struct ProofCount {
    std::int64_t series = 0; // in the view proofs; 0: there was nothing to prove
    std::int32_t passed = 0, failed = 0, skipped = 0;
};

// Proves every constraint of the migration that is enforced (tenantmig.enforcement), within the current transaction:
// the attempts are made in subtransactions that are undone, then the results are written to proof_log. Needs an SPI
// connection and a transaction that may write; whoever calls has the privileges of the migration's owner. The row locks
// of the attempts are gone with their subtransactions; ROW EXCLUSIVE on the tables stays until the transaction ends.
ProofCount prove(const MigrationRecord &migration);

} // namespace tenantmig

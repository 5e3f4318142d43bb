#include "guards/refusal.hpp"

#include "bridge/pg.hpp"

namespace tenantmig {

void count_refusal() {
    if (RecoveryInProgress() || XactReadOnly || IsInParallelMode()) return;
    Oid schema = get_namespace_oid("tenantmig", true);
    Oid sequence = OidIsValid(schema) ? get_relname_relid("guard_refusal_seq", schema) : InvalidOid;
    if (!OidIsValid(sequence) || get_rel_relkind(sequence) != RELKIND_SEQUENCE) return;
    // Somebody may be dropping the extension at this moment: that is worth neither waiting nor an error.
    if (!ConditionalLockRelationOid(sequence, RowExclusiveLock)) return;
    if (get_rel_relkind(sequence) == RELKIND_SEQUENCE) (void)nextval_internal(sequence, false);
    UnlockRelationOid(sequence, RowExclusiveLock);
}

} // namespace tenantmig

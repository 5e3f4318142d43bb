// Guards that are attached: typed access to tenantmig.guard.
#pragma once
#include "core/guard_definition.hpp"

#include "catalog/migration_store.hpp"

namespace tenantmig {

struct GuardRecord {
    std::int64_t id = 0, migration_id = 0;
    std::int32_t step = 0;
    std::string kind, mode, schema, table, column;
    bool always = false;
    std::string definition; // JSON text, see core::GuardDefinition
    std::string trigger_name() const { return "tenantmig_guard_" + std::to_string(id); } // as it is made
};

// The trigger that does a guard's work, wherever it is and whatever it is called now; table is InvalidOid if there is
// none.
struct GuardTrigger {
    Oid table = InvalidOid;
    std::string name;
    char enabled = 0; // pg_trigger.tgenabled
};

std::vector<GuardRecord> guards_of(std::int64_t migration); // by step
GuardTrigger find_trigger(const GuardRecord &guard);
// Guards with a trigger on this table, of all migrations.
std::vector<GuardRecord> guards_on(Oid table);
// Waits for others that attach guards, until the end of the transaction.
void lock_guards();
GuardRecord insert_guard(const MigrationRecord &migration, std::int32_t step, bool always,
                         const core::GuardDefinition &definition);
void delete_guard(std::int64_t id);
void delete_drift(const MigrationRecord &migration);

} // namespace tenantmig

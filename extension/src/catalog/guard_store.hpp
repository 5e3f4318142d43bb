// Guards that are attached: typed access to tenantmig.guard.
#pragma once
#include "core/guard_definition.hpp"

#include "catalog/migration_store.hpp"

namespace tenantmig {

struct GuardRecord {
    std::int64_t id = 0, migration_id = 0; // migration_id, step: 0 for a guard of no migration
    std::int32_t step = 0;
    std::string kind, mode, schema, table, column;
    bool always = false;
    std::string definition; // JSON text, see core::GuardDefinition
    std::string options;    // likewise: what was asked for
    std::string migration;  // its name
    // As it is made. Triggers fire in the order of their names: those that only look at the row, before it is written,
    // are to see what others have made of it.
    std::string trigger_name() const {
        const bool last = kind == "prefix" || kind == "immutable";
        return (last ? "zz_tenantmig_guard_" : "tenantmig_guard_") + std::to_string(id);
    }
    std::string parent_trigger_name() const { return trigger_name() + "_parent"; } // kind same_tenant
};

// The trigger that does a guard's work, wherever it is and whatever it is called now; table is InvalidOid if there is
// none.
struct GuardTrigger {
    Oid table = InvalidOid;
    std::string name;
    char enabled = 0; // pg_trigger.tgenabled
};

std::vector<GuardRecord> guards_of(std::int64_t migration); // by step
std::vector<GuardRecord> all_guards();                      // by number
std::optional<GuardRecord> find_guard(std::int64_t id);
GuardTrigger find_trigger(const GuardRecord &guard);        // on the guarded table
GuardTrigger find_parent_trigger(const GuardRecord &guard); // kind same_tenant: on the parent
// Guards that have their trigger on this table, of all migrations and of none. Those that have only that of the parent
// there don't count.
std::vector<GuardRecord> guards_on(Oid table);
// Waits for others that attach guards, until the end of the transaction.
void lock_guards();
// Without `migration`: a guard of none, and `step` says nothing. `options`: JSON text.
GuardRecord insert_guard(const MigrationRecord *migration, std::int32_t step, bool always,
                         const core::GuardDefinition &definition, const std::string &options);
void delete_guard(std::int64_t id);
void delete_drift(const MigrationRecord &migration);

} // namespace tenantmig

#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "catalog/enforcement_store.hpp"
#include "catalog/migration_store.hpp"
#include "catalog/step_store.hpp"
#include "engine/fence_trigger.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/kept_removal.hpp"
#include "engine/migration_report.hpp"
#include "engine/removal.hpp"

namespace tenantmig {

void remove_migration(const std::string &name, bool force) {
    MigrationRecord migration = get_migration(name);
    require_owner(migration);
    lock_migration(migration);
    lock_runs(migration.id); // waits for decisions that have not committed yet
    if (auto runs = runs_to_undo(migration.id); !runs.empty() && !force) {
        std::string list;
        for (std::int64_t run : runs)
            list += (list.empty() ? "" : ", ") + std::to_string(run);
        throw Error(sqlstate::object_in_use,
                    fmt::format("the change log of migration {} is still needed", core::excerpt(name)),
                    fmt::format("{} {} changed rows and {} not rolled back; without the log that cannot be undone.",
                                runs.size() == 1 ? "Run" : "Runs", list, runs.size() == 1 ? "was" : "were"),
                    fmt::format("SELECT * FROM tenantmig.rollback({}) first, or keep tenantmig.undo_script({}) and "
                                "drop it with force => true.",
                                runs.back(), runs.back()));
    }
    if (has_enforcements(migration.id, {"intended", "enforced", "relaxing"}) && !force)
        throw Error(sqlstate::object_in_use,
                    fmt::format("constraints of migration {} are enforced", core::excerpt(name)),
                    "Without the migration nobody can take them back exactly.",
                    fmt::format("CALL tenantmig.relax({}) first, or drop it with force => true: the constraints stay.",
                                core::sql_literal(name)));
    if (has_steps(migration.id) && !force)
        throw Error(sqlstate::object_in_use,
                    fmt::format("steps of migration {} are applied, or half-way", core::excerpt(name)),
                    "Without the migration nobody can take them back.",
                    fmt::format("CALL tenantmig.down({}) first, or drop it with force => true: what was applied stays.",
                                core::sql_literal(name)));
    archive_migration_report(migration);
    end_fence(migration, force);
    remove_kept_columns(migration, force);
    delete_enforcements(migration.id);
    remove_guards(migration);
    delete_migration(migration.id);
}

} // namespace tenantmig

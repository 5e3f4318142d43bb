#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "bridge/catalogue_write.hpp"
#include "bridge/subtransaction.hpp"
#include "engine/fence_trigger.hpp"
#include "engine/lent_right.hpp"

namespace tenantmig {

namespace {
constexpr char function[] = "tenantmig.maintenance_fence()";

bool drop_trigger(const Table &table, const FenceTrigger &trigger, const char *timeout) {
    Subtransaction part;
    const int level = NewGUCNestLevel();
    try {
        pg_call([timeout] {
            (void)set_config_option("lock_timeout", timeout, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                                    false);
        }); // an error ends the subtransaction, and the level with it
        CatalogueWriteScope own;
        RunAs owner(table.owner, Purpose::read);
        run_query(fmt::format("DROP TRIGGER {} ON {}", quoted(trigger.name), table.sql()));
    } catch (const PgError &error) {
        const int code = error.data()->sqlerrcode;
        if (code != ERRCODE_LOCK_NOT_AVAILABLE && code != ERRCODE_T_R_DEADLOCK_DETECTED &&
            code != ERRCODE_OBJECT_IN_USE)
            throw;
        return false;
    }
    AtEOXact_GUC(true, level);
    part.commit();
    return true;
}
} // namespace

bool written_through_others(Oid table) {
    return !own_query("SELECT FROM pg_inherits WHERE inhrelid = $1", {Value{OIDOID, ObjectIdGetDatum(table), false}})
                .empty();
}

void make_fence_triggers(const MigrationRecord &migration, const Table &table, bool for_rows) {
    bool statements_are_fenced = false, rows_are_fenced = !for_rows;
    for (const FenceTrigger &trigger : fence_triggers(migration.id))
        if (trigger.table == table.oid) (trigger.for_rows ? rows_are_fenced : statements_are_fenced) = true;
    if (statements_are_fenced && rows_are_fenced) return;
    LentRight right(table.owner, function);
    {
        CatalogueWriteScope own;
        RunAs owner(table.owner, Purpose::read);
        if (!statements_are_fenced)
            run_query(fmt::format("CREATE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {} FOR EACH "
                                  "STATEMENT EXECUTE FUNCTION tenantmig.maintenance_fence('{}')",
                                  quoted(fence_trigger_name(migration.id, false)), table.sql(), migration.id));
        if (!rows_are_fenced)
            run_query(fmt::format("CREATE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW EXECUTE "
                                  "FUNCTION tenantmig.maintenance_fence('{}')",
                                  quoted(fence_trigger_name(migration.id, true)), table.sql(), migration.id));
    }
    right.take_back();
}

std::size_t drop_fence_triggers(const MigrationRecord &migration) {
    std::size_t stay = 0;
    for (const FenceTrigger &trigger : fence_triggers(migration.id)) {
        const std::optional<Table> table = describe_table(trigger.table);
        // the fence is open for others only when we have committed: they don't wait for many tables in use
        const char *timeout = stay == 0 ? "100ms" : "1ms";
        if (table && (!has_privileges_of(table->owner) || !drop_trigger(*table, trigger, timeout))) stay++;
    }
    return stay;
}

void end_fence(const MigrationRecord &migration, bool force) {
    if (const auto until = fenced_until(migration.id); until && !force)
        throw Error(sqlstate::object_in_use,
                    fmt::format("the tables of migration {} are fenced", core::excerpt(migration.name)),
                    fmt::format("Maintenance ends by itself at {}.", *until),
                    fmt::format("SELECT * FROM tenantmig.maintenance({}, false) ends it; then drop the migration.",
                                core::sql_literal(migration.name)));
    if (fence_triggers(migration.id).empty()) return;
    fire_deferred_as_caller();
    (void)delete_fence(migration.id);
    (void)drop_fence_triggers(migration);
}

} // namespace tenantmig

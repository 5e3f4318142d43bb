#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "bridge/catalogue_write.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/kept_removal.hpp"

namespace tenantmig {

void forget_values(const KeptColumn &kept) {
    if (!kept.has_values()) return;
    for (const std::string &name : {kept.keep_table, kept.journal}) {
        if (name.empty()) continue;
        Rows rows =
            own_query("SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
                      "n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'",
                      {text_value(kept.keep_schema), text_value(name)});
        if (rows.empty()) continue;
        const auto table = describe_table(static_cast<Oid>(rows.bigint(0, 1)));
        if (!table) continue;
        require_table_rights(*table);
        CatalogueWriteScope ours;
        RunAs owner(table->owner, Purpose::read);
        run_query("DROP TABLE " + table->sql());
    }
}

void remove_kept_columns(const MigrationRecord &migration, bool force) {
    const std::vector<KeptColumn> columns = kept_of(migration.id);
    std::string list;
    for (const KeptColumn &kept : columns)
        if (kept.state != "purged")
            list += fmt::format("{}{} ({} rows)", list.empty() ? "" : ", ", kept.label(), kept.rows);
    if (!list.empty() && !force)
        throw Error(
            sqlstate::object_in_use,
            fmt::format("values of columns that migration {} has dropped are kept", core::excerpt(migration.name)),
            list,
            fmt::format("CALL tenantmig.down({}) brings them back; or drop it with force => true: they are gone "
                        "then.",
                        core::sql_literal(migration.name)));
    for (const KeptColumn &kept : columns) {
        if (kept.state == "filling" || kept.state == "preparing") {
            const auto table = find_site(kept.site, kept.database);
            if (table) {
                require_table_rights(*table);
                CatalogueWriteScope ours;
                RunAs owner(table->owner, Purpose::read);
                for (const char *what : {"rows", "all"})
                    run_query(
                        fmt::format("DROP TRIGGER IF EXISTS {} ON {}", quoted(kept.trigger_name(what)), table->sql()));
            }
        }
        forget_values(kept);
        delete_kept(kept);
    }
}

} // namespace tenantmig

#include "core/key_text.hpp"
#include "core/undo_text.hpp"
#include <map>

#include "engine/log_check.hpp"
#include "engine/undo.hpp"
#include "engine/written_column.hpp"

namespace tenantmig {

namespace {
core::UndoColumn column_of(const MigrationRecord &migration, const ChangeEntry &entry) {
    StepTarget target = locate_target(migration, entry.step);
    const Column &column = written_column(target, entry.column, entry.source);
    core::UndoColumn out;
    out.schema = target.table.schema;
    out.table = target.table.name;
    out.column = column.name;
    out.column_type = column.type_name;
    out.only = target.table.kind == RELKIND_RELATION;
    for (AttrNumber number : written_key(target, entry.key)) {
        out.key_columns.push_back(target.table.at(number).name);
        out.key_types.push_back(target.table.at(number).type_name);
    }
    return out;
}
} // namespace

void write_undo_script(std::int64_t id, const std::function<void(const std::string &)> &on_line) {
    RunRecord run = get_run(id);
    MigrationRecord migration = get_migration(run.migration_id);
    require_owner(migration);
    require_log(id);
    for (const std::string &line : core::undo_head(migration.name, id, log_digest(id)))
        on_line(line);
    std::map<std::pair<std::int32_t, std::string>, core::UndoColumn> columns;
    for_each_entry(id, true, [&](const ChangeEntry &entry) {
        if (entry.kind == "rollback") return;
        auto known = columns.find({entry.step, entry.column});
        if (known == columns.end())
            known = columns.emplace(std::pair(entry.step, entry.column), column_of(migration, entry)).first;
        std::vector<core::UndoRow> rows(entry.keys.size());
        for (std::size_t i = 0; i < rows.size(); i++) {
            rows[i].key = core::unpack_key(entry.keys[i], entry.key.columns.size());
            rows[i].old_value = entry.old_values.empty() || !entry.old_values[i] ? nullptr : &*entry.old_values[i];
            rows[i].new_value = entry.new_values.empty() || !entry.new_values[i] ? nullptr : &*entry.new_values[i];
        }
        for (const std::string &line : core::undo_statements(known->second, rows))
            on_line(line);
    });
    for (const std::string &line : core::undo_tail())
        on_line(line);
}

} // namespace tenantmig

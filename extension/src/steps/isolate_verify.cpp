#include "core/undo_text.hpp"

#include "steps/isolate.hpp"

namespace tenantmig {

namespace {
std::set<Oid> tree_oids(const Table &table) {
    std::set<Oid> oids = {table.oid};
    for (const Table &child : isolate_children(table))
        oids.insert(child.oid);
    return oids;
}
} // namespace

// A table that was taken out of its tree is somebody else's business since; one that came into it is ours.
std::vector<IsolationDefect> isolation_defects(const MigrationRecord &migration, int step) {
    const std::vector<IsolationRecord> rows = isolations(migration.id, step);
    std::vector<IsolationDefect> defects;
    std::set<Oid> below, made;
    std::vector<std::pair<const IsolationRecord *, Table>> tables;
    for (const IsolationRecord &row : rows) {
        auto table = isolated_table(row);
        if (!table) {
            if (!row.parent)
                defects.push_back({"table_gone", qualified(row.site.schema, row.site.name), "the table is gone"});
            continue;
        }
        if (!row.parent)
            for (const Oid oid : tree_oids(*table))
                below.insert(oid);
        if (isolation_made(row)) made.insert(table->oid);
        tables.emplace_back(&row, std::move(*table));
    }
    for (const auto &[row, table] : tables) {
        if (!isolation_made(*row) || !below.contains(table.oid)) continue;
        if (std::string what = policy_defect(*row, table, row->force); !what.empty())
            defects.push_back({"isolation_gone", table.label(), std::move(what)});
    }
    for (const Oid oid : below)
        if (!made.contains(oid))
            if (const auto table = describe_table(oid))
                defects.push_back({"isolation_missing", table->label(), "it has no policies: it came after the step"});
    return defects;
}

std::vector<CheckRow> verify_isolation(const MigrationRecord &migration, int step) {
    std::vector<CheckRow> rows;
    std::set<std::string> bad;
    const std::string name = core::sql_literal(migration.name);
    for (IsolationDefect &defect : isolation_defects(migration, step)) {
        bad.insert(defect.relation);
        rows.push_back({"isolated " + defect.relation, "FAIL", "policies and flags as the step made them",
                        std::move(defect.what),
                        defect.kind == "isolation_missing"
                            ? "It hangs below an isolated table. Read through that one its rows are held to its "
                              "policies; read directly they are not."
                            : "Somebody has changed it since.",
                        fmt::format("CALL tenantmig.up({}); makes it again what the step says.", name)});
    }
    for (const IsolationRecord &row : isolations(migration.id, step)) {
        const auto table = isolated_table(row);
        if (row.parent || !table || bad.contains(table->label())) continue;
        rows.push_back({"isolated " + table->label(), isolation_made(row) ? "PASS" : "WARN",
                        "policies and flags as the step made them",
                        isolation_made(row) ? "as the step made them" : "not yet", "",
                        isolation_made(row) ? "" : fmt::format("CALL tenantmig.up({}); goes on.", name)});
    }
    return rows;
}

} // namespace tenantmig

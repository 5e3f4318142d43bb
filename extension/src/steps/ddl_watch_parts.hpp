// Parts of the watch on the catalogue (steps/ddl_watch.hpp), which share what is known of a migration's tables.
#pragma once
#include "core/spec.hpp"

#include "catalog/guard_store.hpp"
#include "steps/ddl_watch.hpp"

namespace tenantmig {

// A table of the migration as it was resolved when the migration was created, found again without ever raising an
// error: what is missing is what we are here to report.
struct KnownTable {
    std::string written;
    Oid oid = InvalidOid; // InvalidOid: gone
    std::string schema, name;
    std::map<std::string, std::string> columns; // as written -> as called now; "" if it has gone
};

std::vector<KnownTable> known_tables(const MigrationRecord &migration);
const KnownTable *find_table(const std::vector<KnownTable> &tables, const std::string &written);
Oid table_by_name(const std::string &schema, const std::string &name); // InvalidOid if there is none
bool is_table(Oid oid);
std::string text_literal(const std::string &value); // in SQL
inline Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

// One row of tenantmig.enforcement, enforced.
struct Enforced {
    std::int32_t step = 0;
    std::string kind, schema, table, column, constraint, definition;
    Oid oid = InvalidOid;
    bool same_database = false;
};
struct FoundConstraint {
    Oid oid = InvalidOid; // of the constraint; InvalidOid: a unique index without one
    std::string name, definition;
    bool valid = false, silenced = false; // silenced: the triggers that do a foreign key's work are disabled
};
// Where it stands now: its table, column and constraint may have been renamed.
struct Piece {
    Enforced record;
    Oid table = InvalidOid; // InvalidOid: gone
    std::string relation, column, definition;
    std::optional<FoundConstraint> constraint; // never for not_null
    bool same(const FoundConstraint &one) const { return definition.empty() || one.definition == definition; }
};
std::vector<Piece> find_pieces(const MigrationRecord &migration, const core::Spec &spec,
                               const std::vector<KnownTable> &tables);

// The triggers that a guard consists of: on its table, and for kind same_tenant on the parent.
struct ExpectedTrigger {
    std::string relation, name; // as attached
    GuardTrigger trigger;       // as it is now
};
std::vector<ExpectedTrigger> expected_triggers(const GuardRecord &guard);

// What enforce applied and attach_guard attached.
void check_constraints(const MigrationRecord &migration, const core::Spec &spec, const std::vector<KnownTable> &tables,
                       std::vector<CatalogueDrift> &drift);
void check_guards(const MigrationRecord &migration, std::vector<CatalogueDrift> &drift);

// Where new tables are looked for, and by what they are known to have a tenant key.
struct Place {
    std::vector<std::string> schemas, keys; // schemas of the migration's tables; names of tenant keys
    Oid root = InvalidOid;
};

Place place_of(const core::Spec &spec, const std::vector<KnownTable> &tables);
// Tables in these schemas, as schema.table.
std::vector<std::string> tables_now(const std::vector<std::string> &schemas);
// Tables of the migration that have gone; new ones without a tenant key; exemptions that are no longer needed.
void check_tables(const MigrationRecord &migration, const core::Spec &spec, const std::vector<KnownTable> &tables,
                  std::vector<CatalogueDrift> &drift);

// Of isolate steps that are applied: policies, flags, tables that have come, roles and rights.
void check_isolation(const MigrationRecord &migration, const core::Spec &spec, std::vector<CatalogueDrift> &drift);

// Into tenantmig.drift, unless the last look found the same; announces it.
void record_drift(const MigrationRecord &migration, const CatalogueDrift &drift, const std::string &seen_by);

} // namespace tenantmig

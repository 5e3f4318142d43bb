// From names to objects: the spec of a migration as it stands in this database, checked, ready to be read and written.
#pragma once
#include "core/decide.hpp"
#include "core/spec.hpp"

#include "catalog/migration_names.hpp"
#include "engine/reach.hpp"
#include "engine/target.hpp"

namespace tenantmig {

// How a value is turned into the bytes of a hash key. Both sides of a comparison have the same class.
enum class KeyClass : std::uint8_t {
    integer, // int2, int4, int8: eight bytes
    uuid,    // sixteen bytes
    text,    // text, varchar: their bytes (deterministic collations only)
    as_text  // other types, or an integer against a text: the text form, cast in SQL
};

struct ResolvedCondition {
    Column column;
    std::vector<std::string> values;
    bool or_null = false;
};

// A table read as key -> value: the last hop's value is the tenant, an earlier one's leads to the next hop's key.
struct Hop {
    Table table;
    std::vector<AttrNumber> key, value;
    std::vector<KeyClass> classes;       // of the key, as compared with what leads to it
    std::vector<KeyClass> value_classes; // of the value, as compared with the next hop's key, or the tenant's class
    std::vector<ResolvedCondition> where;
};

struct ResolvedSource {
    std::string label;
    core::SourceKind kind = core::SourceKind::children;
    std::vector<AttrNumber> probe;                  // columns of the target that lead to the (first) hop
    std::vector<Hop> hops;                          // children, parent, path
    AttrNumber type_column = 0;                     // polymorphic
    std::vector<std::pair<std::string, Hop>> types; // polymorphic: value of the type column -> hop
    std::vector<std::size_t> depends_on; // positions in ResolvedMigration::steps whose tenant key this source reads
    const Hop &end(std::size_t type = 0) const { return types.empty() ? hops.back() : types[type].second; }
    std::string tenant_label() const; // schema.table.column of its end (the first type's)
};

struct ResolvedStep {
    core::BackfillStep spec;
    StepTarget target;
    KeyClass tenant_class = KeyClass::integer;
    core::Policy policy;
    std::vector<ResolvedSource> sources;
    std::vector<ResolvedCondition> where;
    std::string label() const { return target.table.label(); }
};

struct ResolvedMigration {
    core::Spec spec;
    std::vector<ResolvedStep> steps; // in the order of execution
    std::vector<StepAside> aside;    // backfill steps that are left out: not reached yet, or past
    std::string identity;            // MigrationNames::json()
    bool by_name = false;            // identity had to be renewed
    bool replaced = false;           // another table stands under the name of one that has gone
};

// Resolves a spec: `names` decides what its names mean. Checks objects, types, rights of the current user (42501),
// dependencies. A step before `past` whose names lead nowhere any more is left out, and named in `aside`.
ResolvedMigration resolve_spec(const core::Spec &spec, MigrationNames &names, int past = 0);
// Loads and resolves a stored migration; the caller must have its owner's privileges. Without a scope: the steps that
// can be looked at now; `aside` tells of the others.
ResolvedMigration resolve_migration(const MigrationRecord &migration);
// The steps that a run of the migration would take (steps_to_run()); sets record.scope.
ResolvedMigration resolve_for_run(MigrationRecord &migration);

// SHA-256 (hex) of everything that decides what a run would do: see plan_hash() in the SQL surface.
std::string hash_plan(const ResolvedMigration &migration);

// Sources from foreign keys in both directions, as a spec's `sources` (JSON text): children by name, then parents by
// column. TM011 if there are none. `tenants`: the tenant root as written, or empty to find it by the foreign key of the
// column.
struct Discovered {
    std::string tenants_table, tenants_key, sources;
};
Discovered discover_sources(const Table &table, const Column &column, const std::optional<Table> &tenants,
                            bool want_sources);

// The class that two columns are compared in; 42804 or 0A000 if they can't be.
KeyClass comparison_class(const Column &a, const Table &a_table, const Column &b, const Table &b_table,
                          const std::string &path);

} // namespace tenantmig

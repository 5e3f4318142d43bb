// A constraint step as it stands in this database: names resolved, types checked.
#pragma once
#include "core/spec.hpp"

#include "catalog/migration_names.hpp"
#include "engine/reach.hpp"
#include "engine/target.hpp"

namespace tenantmig {

// A partition, at any depth.
struct ConstraintPartition {
    Table table; // its column numbers are its own; names are those of the partitioned table
    Oid parent = InvalidOid;
    bool leaf = true;
};

struct ConstraintTarget {
    core::ConstraintStep step;
    Table table;
    Column column;
    std::vector<AttrNumber> row_key;             // what identifies a row (row_identity()); may be empty
    std::optional<Column> soft_delete;           // of the step, else of the backfill step of the same column
    std::optional<Table> referenced;             // not set: the step names no foreign key
    Column referenced_column;                    // of it
    std::vector<AttrNumber> unique;              // in the order of the spec; empty: none
    std::vector<AttrNumber> composite;           // the column, then the primary key; empty: not asked for
    std::vector<ConstraintPartition> partitions; // all below the table, each after its parent

    bool partitioned() const { return table.kind == RELKIND_PARTITIONED_TABLE; }
    std::string label() const; // schema.table.column, for messages
    // The column is filled by a backfill step of the same migration: it is a tenant key.
    bool tenant_key = false;
};

// While a spec is checked: resolves the names of its constraint steps, so that `names` remembers them, and checks them.
// `all`: the whole spec, whose backfill steps say what a tenant key is. To be called before resolve_spec(). TM001 (two
// steps on one column, no primary key to reference), 42703, 42P01, 42501 (not the owner of the table; no right to know
// the referenced keys), 42804 (types that a foreign key can't compare), 42830 (the referenced column is not unique),
// 2201B (regular expression), 0A000 (partition, table with inheritance children), 55000 (composite without a primary
// key), all with the path in the document.
std::vector<ConstraintTarget> resolve_constraints(const core::Spec &spec, const core::Spec &all, MigrationNames &names,
                                                  int past = 0, std::vector<StepAside> *aside = nullptr);

// Those of a stored migration, in the order of the spec. The caller must have its owner's privileges (42501). Takes
// ACCESS SHARE on the tables. Without a scope: the steps that can be looked at now; `aside` is told of the others.
std::vector<ConstraintTarget> resolve_constraints(const MigrationRecord &migration,
                                                  std::vector<StepAside> *aside = nullptr);

// The condition that a format step asks of a row: "column"::text ~ 'regular expression', NULL passes. For the CHECK and
// for our own counts. `alias`: of the table, empty in a CHECK.
std::string format_condition(const ConstraintTarget &target, std::string_view alias = {});

} // namespace tenantmig

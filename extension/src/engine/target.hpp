// The target of a backfill step as it is today: found by identity, or by name after a restore.
#pragma once
#include "core/spec.hpp"

#include "bridge/relation.hpp"
#include "catalog/migration_store.hpp"
#include "catalog/name_book.hpp"

namespace tenantmig {

struct StepTarget {
    std::int32_t step = 0; // number in the spec, from 1
    Table table;
    Column column;                     // the tenant key
    std::optional<Column> soft_delete; // its column
    std::vector<AttrNumber> key;       // row identity
    Table root;                        // the tenant root
    Column root_key;
};

// Only what writing back needs: the sources may have been dropped meanwhile. Errors 42P01, 42703 with what was
// expected.
StepTarget locate_target(const MigrationRecord &migration, std::int32_t step);

// A table that took the place of one that has gone is not what the migration's owner had in his hands: without rights
// on the new one (42501) he would have others, a superuser for instance, write to it for him.
void require_rights_of_creator(const MigrationRecord &migration, const Table &table);

// The same while a spec is being resolved. `names`: those of the step's segment.
StepTarget resolve_target(const core::Spec &spec, const core::BackfillStep &step, NameBook &names);

// Writing to a partition runs its triggers and constraints, and we write as the owner of the whole table: whoever owns
// a partition without having that role's rights would get them. 42501; `path` is its place in the document.
void require_one_owner(const Table &table, const std::string &path);

} // namespace tenantmig

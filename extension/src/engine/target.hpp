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

// The same while a spec is being resolved.
StepTarget resolve_target(const core::Spec &spec, const core::BackfillStep &step, NameBook &names);

} // namespace tenantmig

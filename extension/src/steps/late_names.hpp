// Names that mean something later only: what can be told of them when a migration is created.
#pragma once
#include "core/spec.hpp"

#include "catalog/migration_names.hpp"

namespace tenantmig {

// Refuses names of later segments that can't be right in any case: only sql steps make tables, and only those, rekey
// and add_column make columns. 42P01, 42703 with the path in the document; nothing is remembered.
void check_late_names(const core::Spec &spec, const MigrationNames &names);

} // namespace tenantmig

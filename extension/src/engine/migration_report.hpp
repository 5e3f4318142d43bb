// The report of a whole migration: its steps, the execution log, its runs.
#pragma once
#include <string>

#include "catalog/migration_store.hpp"

namespace tenantmig {

struct MigrationReport {
    std::string json, markdown, html;
};

// As it stands now; of one that was dropped: as it was archived then. 42704.
MigrationReport migration_report(const std::string &name);
// Before a migration is dropped.
void archive_migration_report(const MigrationRecord &migration);

} // namespace tenantmig

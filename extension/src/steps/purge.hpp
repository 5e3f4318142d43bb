// Retention: what may be deleted, and deleting it.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

struct PurgeOptions {
    std::optional<std::vector<std::string>> kinds; // not set: all
    std::optional<std::string> older_than;         // text of an interval; not set: each kind's retention
    bool execute = false, force = false;
};

struct PurgeRow {
    std::string kind, migration;
    std::int64_t rows = 0;
    std::optional<std::string> oldest, newest;
    std::string outcome, reason; // outcome: would go, deleted, kept
};

// Of all migrations whose owner's privileges the current user has. In the caller's transaction; memory does not grow
// with what is deleted. Errors as of the SQL function.
std::vector<PurgeRow> purge(const PurgeOptions &options);

} // namespace tenantmig

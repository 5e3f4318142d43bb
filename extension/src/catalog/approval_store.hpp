// Approvals of a migration and backups that were registered: tenantmig.approval and backup_log.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

// An approval by whoever has logged in. Returns how many different people approve of the spec as it is now.
std::int64_t insert_approval(const MigrationRecord &migration, const std::optional<std::string> &note);
// Revokes those of whoever has logged in; returns how many there were.
std::int64_t revoke_approvals(const MigrationRecord &migration);

struct Approvals {
    std::int64_t people = 0;   // different ones, whose approval counts
    std::string names;         // theirs, for people
    std::int64_t outdated = 0; // not revoked, of another spec or from before the last completed run
};
// What counts: of the spec as it is now, not revoked, given after the last completed run has finished.
Approvals count_approvals(std::int64_t migration);

std::int64_t insert_backup(const MigrationRecord &migration, TimestampTz taken_at, const std::string &location,
                           const std::optional<std::string> &manifest);

struct Backup {
    std::int64_t id = 0;
    TimestampTz taken_at = 0;
    std::string location;
};
std::optional<Backup> newest_backup(std::int64_t migration);

} // namespace tenantmig

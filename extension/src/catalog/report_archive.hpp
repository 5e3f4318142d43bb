// Reports that outlive the runs they are of: typed access to tenantmig.report_archive.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

struct ArchivedReport {
    std::int64_t run = 0;
    std::string migration, digest, markdown, json;
    std::optional<std::string> log_purged, run_purged; // when; not set: it is there
};

std::optional<ArchivedReport> archived_report(std::int64_t run);
// Keeps the one that is there already: it was made when more was known.
void archive_report(const ArchivedReport &report);
void note_log_purged(std::int64_t run);
void note_run_purged(std::int64_t run);

// When the change log of a run was purged; not set: it was not.
std::optional<std::string> log_purged_at(std::int64_t run);

} // namespace tenantmig

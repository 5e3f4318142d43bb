// A statement that no procedure may run (CREATE INDEX CONCURRENTLY, …), at top level in a background worker.
#pragma once
#include "bridge/relation.hpp"

namespace tenantmig {

struct WorkerStatement {
    Oid role = InvalidOid;                             // as whom it runs, restricted as RunAs does it
    std::string statement;                             // one
    std::string search_path = "pg_catalog, pg_temp";   // as the setting wants it; empty: the same
    std::string application = "tenantmig index build"; // what pg_stat_activity says
    std::string lock_timeout = "60s";                  // as the setting wants it
    std::optional<std::string> tablespace;             // default_tablespace; not set: as it is
};

// How a statement failed: what the worker's error said, or that it was ended from outside (state is empty).
struct WorkerFailure {
    std::string state, message, detail, hint;
};

// Runs it and waits for its end, without a transaction of ours; `tick`, now and then, with the worker's process id. A
// cancel of the session ends the worker, too. nullopt: done. 53400 (no background worker is free, text too long).
std::optional<WorkerFailure> run_in_worker(const WorkerStatement &work, const std::function<void(int)> &tick = {});

// As an Error with the worker's SQLSTATE; 55000 with the message `what` when it was ended.
[[noreturn]] void raise_failure(const WorkerFailure &failure, const std::string &what);

} // namespace tenantmig

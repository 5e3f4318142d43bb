// The review queue: packed open rows, decisions beside them.
#pragma once
#include "catalog/change_log.hpp"

namespace tenantmig {

struct ReviewBatch {
    std::int64_t migration = 0, run = 0;
    std::int32_t step = 0;
    std::string schema, table, column;
    KeyShape key;
    std::string review_class; // conflict, orphan, unknown_tenant
    std::vector<std::string> keys;
    std::vector<std::string> candidates; // JSON arrays; empty for orphans
};

// Queues rows; returns the first id (ids are consecutive).
std::int64_t insert_reviews(const ReviewBatch &batch);

struct ReviewRow {
    std::int64_t id = 0, migration = 0, run = 0;
    std::int32_t step = 0;
    std::string schema, table, column;
    KeyShape key_shape;
    std::string key, review_class, candidates, state, tenant, decided_by, decided_at, note;
    bool withdrawn = false;
};
ReviewRow get_review(std::int64_t id); // 42704
// Rows of a migration in order of id; closed ones too if asked.
void for_each_review(std::int64_t migration, bool include_closed, const std::function<void(const ReviewRow &)> &on_row);
// All reviews of a run in order of id, whatever their state.
void for_each_review_of_run(std::int64_t run, const std::function<void(const ReviewRow &)> &on_row);
// Rows of one step that must not be queued again as they stand: open and dismissed ones that were not withdrawn.
void for_each_queued(std::int64_t migration, std::int32_t step, const std::function<void(const ReviewRow &)> &on_row);
// Records a decision as the current user; 55000 if there is one already (two reviewers: the second one loses).
void decide_review(std::int64_t id, const char *state, const std::optional<std::string> &tenant,
                   const std::string &decided_by, const std::optional<std::string> &note);
// Withdraws: all open and dismissed reviews of a run (a rollback), or the ids given (newer evidence replaced them).
std::int64_t withdraw_run(std::int64_t run, const std::string &by, const std::string &note);
void withdraw(std::span<const std::int64_t> ids, const std::string &by, const std::string &note);

} // namespace tenantmig

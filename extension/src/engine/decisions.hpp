// Decisions on reviews: resolve writes the row and the change log, dismiss only closes.
#pragma once
#include "catalog/review_store.hpp"

namespace tenantmig {

struct DecidedReview {
    std::string relation, row_key, review_class, state, tenant, decided_by; // row_key: JSON
};

// 42704, 42501, 22P02 and its like (not a value of the key's type), 23503 (no such tenant), 55000 (closed already; the
// row has gone or has a key). Locks the run's row, so that its chain does not fork, and the row.
DecidedReview resolve_review(std::int64_t id, const std::string &tenant, const std::optional<std::string> &note);
DecidedReview dismiss_review(std::int64_t id, const std::optional<std::string> &note);

struct ImportCounts {
    std::int64_t resolved = 0, dismissed = 0, left_open = 0;
};
// `decisions`: JSON array of {line, id, decision, tenant, note}. The first bad one is an error with "line N: " in
// front.
ImportCounts import_decisions(const std::string &migration, const std::string &decisions);

} // namespace tenantmig

// The review queue as a file for people: out with candidates in words and empty columns for the decision, in again with
// the decisions.
#pragma once
#include "result.hpp"
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace tenantmig::client {

// Candidates in words: `3: appointments.customer_id ×2; 5: phone_numbers.customer_id ×1`.
std::string candidates_text(const std::string &candidates);

// Number of evidence rows behind all candidates.
std::uint64_t evidence_rows(const std::string &candidates);

// What tenantmig.review() returned, as a table to be filled in.
Result review_sheet(const Result &reviews);

// The decisions of a filled-in sheet as tenantmig.import_reviews takes them; an empty decision leaves the review open.
// Status 3 with the line: columns missing or given twice, an id that is no number or stands twice, a decision that is
// neither resolve nor dismiss, a tenant without resolve or resolve without a tenant, text that is not UTF-8.
nlohmann::json read_decisions(const std::string &content, const std::string &name);

} // namespace tenantmig::client

// What a rehearsal has shown: a table for the terminal, and a report in Markdown.
#pragma once
#include "rehearsal_run.hpp"
#include "result.hpp"
#include <string>
#include <vector>

namespace tenantmig::client {

struct RehearsalSummary {
    std::string source, server, place; // database and server; where the copy was
    double copy_seconds = 0, total_seconds = 0;
    std::string date;
    std::vector<std::string> passed_over; // migrations that the source has applied
    std::vector<std::string> remarks;     // criteria left out, decisions that were made, …
};

// scenario, status, seconds, detail
Result scenario_table(const std::vector<Scenario> &scenarios, double copy_seconds);

std::string rehearsal_markdown(const RehearsalSummary &summary, const Rehearsal &rehearsal);

} // namespace tenantmig::client

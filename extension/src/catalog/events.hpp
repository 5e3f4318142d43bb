// Events for those who listen: NOTIFY tenantmig, delivered when the transaction commits. The payload is a JSON object
// {"event", "migration", "at", …} and never holds a key or value of a user's row.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace tenantmig {

// Events: progress, run, enforce, relax, gate, approval, backup, guard, observation, alert, drift, ddl, purge,
// maintenance.
// `fields`: an object. Needs a transaction that may write; elsewhere nothing happens. A payload that is too long (8000
// bytes) is sent without its fields.
void announce(std::string_view event, std::string_view migration, const nlohmann::json &fields);

} // namespace tenantmig

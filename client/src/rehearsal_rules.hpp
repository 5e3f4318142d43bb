// What has to hold for rows after a migration, tried on the copy in a transaction that is taken back.
#pragma once
#include "rehearsal_run.hpp"
#include <string>
#include <vector>

namespace tenantmig::client {

struct RuleOutcome {
    std::string tried;
    std::vector<std::string> found; // what is wrong
};

// The tables that the migrations name, or have made (`new_tables`), with their parents, get a few rows of new tenants.
RuleOutcome check_inserts(Connection &connection, const std::vector<RehearsedMigration> &migrations,
                          const std::vector<std::string> &new_tables);
// Each unique index refuses a second row, each NOT NULL tenant key a NULL, each foreign key an unknown tenant.
RuleOutcome check_refusals(Connection &connection, const std::vector<RehearsedMigration> &migrations,
                           const std::vector<std::string> &new_tables);
// A tenant with rows everywhere is deleted: no row keeps its key, no reference leads nowhere; or the deletion is
// refused.
RuleOutcome check_cascade(Connection &connection, const std::vector<RehearsedMigration> &migrations,
                          const std::vector<std::string> &new_tables);

} // namespace tenantmig::client

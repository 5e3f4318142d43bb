// lint(): whether a schema holds what tenancy needs. Reads only.
#pragma once
#include "core/findings_format.hpp"

#include "bridge/sql.hpp"

namespace tenantmig {

struct LintOptions {
    std::string tenant_root;
    std::vector<std::string> schemas;      // empty: those of all tables that reach the tenant root by foreign keys
    std::optional<std::string> migration;  // whose exemptions count; not given: of all migrations of the tenant root
    std::optional<std::string> tenant_key; // of the tenant root; not given: as the migrations say, else its primary key
    bool with_data = true;                 // count rows too
};

// Findings by severity, check and object; exempt ones with their reason. Errors: 42P01, 42602, 42622, 42809 (not a
// table), 42703, 42704 (migration, schema), 55000 (no key of the tenant root), 42501 (USAGE on a schema).
std::vector<core::Finding> lint_schema(const LintOptions &options);

} // namespace tenantmig

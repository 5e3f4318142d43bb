// What preflight, verify and verify_changes say: one row a check.
#pragma once
#include <string>

namespace tenantmig {

struct CheckRow {
    std::string check_name, status, expected, actual, detail, hint; // status: PASS, WARN, FAIL
};

} // namespace tenantmig

// Findings of lint() in the formats that build systems read: SARIF 2.1.0, JUnit XML, JSON.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenantmig::core {

struct Finding {
    std::string severity; // error, warning, info
    std::string check_name, object, detail, remedy;
    std::string key;                   // check_name:object
    std::optional<std::string> exempt; // why it is none; empty: it counts
};

// What the findings are about: the tenant root, and the version of tenantmig.
struct FindingsHead {
    std::string tenant_root, version;
};

// Whether the finding counts under this threshold: error, or warning (then errors too). Exempt ones and infos never do.
bool counts_as(const Finding &finding, std::string_view threshold);

// A log of SARIF 2.1.0 with one run: rules are the checks, results the findings; exempt ones are suppressed with their
// reason.
std::string findings_sarif(const std::vector<Finding> &findings, const FindingsHead &head);
// One test suite per check, one test case per finding: errors and warnings are failures, infos pass, exempt ones are
// skipped. Without any finding one case that passes, so that no reader takes the file for empty.
std::string findings_junit(const std::vector<Finding> &findings, const FindingsHead &head);
// {tenant_root, version, findings: […], counts: {…}}
std::string findings_json(const std::vector<Finding> &findings, const FindingsHead &head);

} // namespace tenantmig::core

// lint, lint_report
#include "core/excerpt.hpp"
#include "core/findings_format.hpp"

#include "bridge/identity.hpp"
#include "bridge/results.hpp"
#include "bridge/text_array_argument.hpp"
#include "steps/lint.hpp"

using namespace tenantmig;

namespace {
std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

// Arguments schemas, migration, tenant_key, with_data stand in this order, from `first`.
LintOptions options_from(FunctionCallInfo call, int first) {
    Arguments arguments(call);
    LintOptions options;
    options.tenant_root = arguments.text(0, "tenant_root");
    constexpr const char *hint = "Name the schemas to look at, or leave the argument out.";
    if (auto schemas = text_array_argument(call, first, "schemas", hint)) {
        if (schemas->empty()) throw Error(sqlstate::invalid_parameter_value, "argument \"schemas\" is empty", {}, hint);
        options.schemas = std::move(*schemas);
    }
    options.migration = arguments.optional_text(first + 1);
    options.tenant_key = arguments.optional_text(first + 2);
    options.with_data = arguments.boolean(first + 3, "with_data");
    return options;
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_lint) {
    const LintOptions options = options_from(fcinfo, 1);
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    for (const core::Finding &finding : lint_schema(options))
        rows.add({finding.severity, finding.check_name, finding.object, filled(finding.detail), filled(finding.remedy),
                  finding.key, finding.exempt});
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_lint_report) {
    const std::string format = Arguments(fcinfo).text(1, "format");
    if (format != "sarif" && format != "junit" && format != "json")
        throw Error(sqlstate::invalid_parameter_value,
                    fmt::format("{} is not a format of findings", core::excerpt(format)), {},
                    "Formats are sarif, junit and json.");
    const LintOptions options = options_from(fcinfo, 2);
    std::string content;
    {
        SpiSession spi;
        tenantmig::LockTimeout timeout;
        const auto findings = lint_schema(options);
        const core::FindingsHead head{options.tenant_root, TENANTMIG_VERSION};
        content = format == "sarif"   ? core::findings_sarif(findings, head)
                  : format == "junit" ? core::findings_junit(findings, head)
                                      : core::findings_json(findings, head);
    }
    return text_result(content);
}

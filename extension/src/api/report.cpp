// report.
#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "engine/log_check.hpp"
#include "engine/report.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_report) {
    Arguments arguments(fcinfo);
    std::int64_t run = arguments.bigint(0, "run");
    std::string format = arguments.text(1, "format");
    if (format != "markdown" && format != "json")
        throw Error(sqlstate::invalid_parameter_value, fmt::format("{} is not a format of reports", core::excerpt(format)), {}, "Formats are markdown and json.");
    std::string content;
    {
        SpiSession session;
        RunReport report = gather_report(run);
        report.checks = check_log(run, std::nullopt);
        content = format == "json" ? json_report(report) : markdown_report(report);
    }
    return text_result(content);
}

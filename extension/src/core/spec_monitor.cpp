#include "core/spec_monitor.hpp"
#include "core/spec_constraint.hpp"
#include <algorithm>
#include <nlohmann/json.hpp>

namespace tenantmig::core {
namespace {

constexpr std::size_t max_exemptions = 1000;

double read_number(const Json &value, const std::string &path, double least, std::string_view example) {
    const std::string hint = "Write for example " + std::string(example) + ".";
    if (!value.is_number()) fail_at(path, "expected a number", value, hint);
    const double number = value.get<double>();
    if (!(number >= least && number <= 1e9))
        fail_at(path, least > 0 ? "the number is too small, or too large" : "the number must not be negative", value,
                hint);
    return number;
}

} // namespace

MonitorSettings parse_monitor(const Json &value, const std::string &path) {
    const Reader reader(
        value, path,
        {"max_rollback_increase", "max_deadlocks_per_hour", "max_refusals_per_hour", "max_latency", "stale_after"});
    MonitorSettings settings;
    const auto number = [&](std::string_view field, double least, std::string_view example, double &into) {
        if (const Json *found = reader.find(field)) into = read_number(*found, reader.path_of(field), least, example);
    };
    number("max_rollback_increase", 0, "max_rollback_increase: 0.2", settings.max_rollback_increase);
    number("max_deadlocks_per_hour", 0, "max_deadlocks_per_hour: 1", settings.max_deadlocks_per_hour);
    number("max_refusals_per_hour", 0, "max_refusals_per_hour: 10", settings.max_refusals_per_hour);
    number("max_latency", 1, "max_latency: 2", settings.max_latency);
    if (const Json *stale = reader.find("stale_after"))
        settings.stale_seconds = read_duration(*stale, reader.path_of("stale_after"), "stale_after: 26 hours");
    return settings;
}

std::vector<Exemption> parse_exemptions(const Json &value, const std::string &path) {
    constexpr std::string_view example = "exempt: [{table: countries, reason: shared by all tenants}]";
    expect_list(value, path, max_exemptions, "tables", example);
    std::vector<Exemption> list;
    std::vector<std::vector<std::string>> names;
    for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string here = join_path(path, i);
        const Reader reader(value[i], here, {"table", "finding", "reason"});
        std::vector<std::string> parts;
        Exemption exemption;
        exemption.path = here;
        if (const Json *finding = reader.find("finding")) {
            exemption.finding = read_string(*finding, reader.path_of("finding"), "finding: fk_index:public.orders");
            if (trimmed(exemption.finding).empty() || reader.has("table"))
                fail_at(here, "expected a table, or the key of a finding", value[i],
                        "SELECT key FROM tenantmig.lint(tenant_root) lists the keys.");
            parts = {"finding", exemption.finding};
        } else {
            exemption.table = read_name(reader.require("table", example), reader.path_of("table"), 2, example, &parts);
        }
        exemption.reason = read_string(reader.require("reason", example), reader.path_of("reason"), example);
        if (trimmed(exemption.reason).empty())
            fail(reader.path_of("reason"), "the reason is empty", "An exemption without a reason is never removed.",
                 "Say why the table needs no tenant key.");
        if (std::find(names.begin(), names.end(), parts) != names.end())
            fail(here, "the same table twice", "It is exempt already.", "Remove one of them.");
        names.push_back(std::move(parts));
        list.push_back(std::move(exemption));
    }
    return list;
}

} // namespace tenantmig::core

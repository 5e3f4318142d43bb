// observe, daily_report
#include "core/excerpt.hpp"

#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "engine/daily_report.hpp"
#include "steps/observe.hpp"

using namespace tenantmig;

namespace {
std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

void observe(const MigrationRecord &migration, bool deep, ResultSet &rows) {
    for (const CheckRow &check : observe_migration(migration, deep))
        rows.add({migration.name, check.check_name, check.status, filled(check.expected), filled(check.actual),
                  filled(check.detail), filled(check.hint)});
}

// One migration whose table is locked, say, does not keep the others from being
// observed. What is meant for the caller, like cancelling, goes on.
void observe_apart(const MigrationRecord &migration, bool deep, ResultSet &rows) {
    std::string problem;
    try {
        Subtransaction attempt;
        observe(migration, deep, rows);
        attempt.commit();
        return;
    } catch (const PgError &error) {
        int state = error.data()->sqlerrcode;
        if (ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION || state == ERRCODE_READ_ONLY_SQL_TRANSACTION)
            throw;
        problem = error.what();
    } catch (const Error &error) {
        if (error.state() == std::string_view(sqlstate::read_only_transaction)) throw;
        problem = error.message();
    }
    warning(fmt::format("migration {} was not observed", core::excerpt(migration.name)), problem,
            "Observe it alone to see the whole error.");
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_observe) {
    Arguments arguments(fcinfo);
    std::optional<std::string> name = arguments.optional_text(0);
    bool deep = arguments.boolean(1, "deep");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    if (name) {
        observe(get_migration(*name), deep, rows);
        return static_cast<Datum>(0);
    }
    for (const MigrationRecord &migration : observable_migrations())
        observe_apart(migration, deep, rows);
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_daily_report) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "name");
    std::optional<std::int32_t> day;
    if (!arguments.is_null(1)) day = DatumGetInt32(fcinfo->args[1].value);
    std::string format = arguments.text(2, "format");
    if (format != "markdown" && format != "json")
        throw Error(sqlstate::invalid_parameter_value,
                    fmt::format("{} is not a format of reports", core::excerpt(format)), {},
                    "Formats are markdown and json.");
    std::string content;
    {
        SpiSession spi;
        DailyReport report = gather_daily_report(get_migration(name), day);
        content = format == "json" ? json_daily_report(report) : markdown_daily_report(report);
    }
    return text_result(content);
}

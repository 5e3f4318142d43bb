// attach_guard, detach_guard, check_guards
#include "bridge/results.hpp"
#include "steps/guard.hpp"
#include "steps/guard_check.hpp"

using namespace tenantmig;

namespace {
std::optional<std::int32_t> step_argument(FunctionCallInfo call) {
    if (call->args[1].isnull) return std::nullopt;
    return DatumGetInt32(call->args[1].value);
}

void add(ResultSet &rows, const GuardOutcome &outcome) {
    rows.add({outcome.step ? std::optional(std::to_string(*outcome.step)) : std::nullopt, outcome.relation,
              outcome.column.empty() ? std::nullopt : std::optional(outcome.column), outcome.kind, outcome.mode,
              outcome.trigger, outcome.outcome, std::to_string(outcome.guard)});
}

void add(ResultSet &rows, const std::vector<GuardOutcome> &outcomes) {
    for (const GuardOutcome &outcome : outcomes)
        add(rows, outcome);
}

std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_attach_guard) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "migration");
    ResultSet rows(fcinfo);
    SpiSession spi;
    add(rows, attach_guards(get_migration(name), step_argument(fcinfo)));
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_detach_guard) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "migration");
    ResultSet rows(fcinfo);
    SpiSession spi;
    add(rows, detach_guards(get_migration(name), step_argument(fcinfo)));
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_attach_guard_alone) {
    Arguments arguments(fcinfo);
    std::string relation = arguments.text(0, "relation"), kind = arguments.text(2, "kind");
    std::optional<std::string> column = arguments.optional_text(1);
    std::string options = arguments.json(3, "options");
    ResultSet rows(fcinfo);
    SpiSession spi;
    add(rows, attach_guard_alone(relation, column && column->empty() ? std::nullopt : column, kind, options));
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_detach_guard_alone) {
    Arguments arguments(fcinfo);
    std::int64_t guard = arguments.bigint(0, "guard");
    ResultSet rows(fcinfo);
    SpiSession spi;
    add(rows, detach_guard_alone(guard));
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_check_guards) {
    Arguments arguments(fcinfo);
    std::optional<std::string> migration = arguments.optional_text(0);
    std::optional<std::int64_t> guard;
    if (!arguments.is_null(1)) guard = arguments.bigint(1, "guard");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    for (const CheckRow &row : check_rows_of_guards(migration, guard))
        rows.add({row.check_name, row.status, row.expected, row.actual, filled(row.detail), filled(row.hint)});
    return Datum(0);
}

// run, start, resume, pause, cancel, wait, undo
#include "bridge/results.hpp"
#include "bridge/transaction.hpp"
#include "steps/online.hpp"

using namespace tenantmig;

namespace {
constexpr std::int64_t most_budget = INT64_C(366) * 24 * 3600 * USECS_PER_SEC;

// An interval as microseconds; 0 for NULL. Months count 30 days.
std::int64_t microseconds(FunctionCallInfo call, int number, const char *name) {
    if (call->args[number].isnull) return 0;
    const Interval *interval = DatumGetIntervalP(call->args[number].value);
    double days = 30.0 * interval->month + interval->day, seconds = static_cast<double>(interval->time) / USECS_PER_SEC;
    double whole = days * SECS_PER_DAY + seconds;
    // what is not absurd as a floating-point number does not overflow as an integer
    std::int64_t result = whole > 0 && whole <= 2.0 * most_budget / USECS_PER_SEC
                              ? interval->time + (INT64_C(30) * interval->month + interval->day) * USECS_PER_DAY
                              : 0;
    if (result <= 0 || result > most_budget)
        throw Error(sqlstate::invalid_parameter_value, fmt::format("{} must be positive, and at most a year", name),
                    fmt::format("It is {:.15g} seconds.", whole), "Give an interval like '50 s', or leave it out.");
    return result;
}

std::int32_t workers(FunctionCallInfo call, int number, std::int32_t if_null) {
    if (call->args[number].isnull) return if_null;
    std::int32_t count = DatumGetInt32(call->args[number].value);
    if (count < 1 || count > most_workers)
        throw Error(sqlstate::invalid_parameter_value, fmt::format("workers must be between 1 and {}", most_workers),
                    fmt::format("It is {}.", count),
                    "Two to four on a machine with as many processors to spare are usual.");
    return count;
}

double change(const Arguments &arguments, int number) {
    double share = arguments.numeric(number, "max_count_change");
    if (!(share >= 0))
        throw Error(sqlstate::invalid_parameter_value, "max_count_change must not be negative",
                    fmt::format("It is {:g}.", share), "Give a share, for example 0.01 for 1 %.");
    return share;
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_run) {
    Arguments arguments(fcinfo);
    require_writable();
    std::string name = arguments.text(0, "name");
    OnlineOptions options;
    options.budget = microseconds(fcinfo, 1, "budget");
    options.plan_hash = arguments.optional_text(2);
    options.max_count_change = change(arguments, 3);
    run_in_session(fcinfo, name, options);
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_start) {
    Arguments arguments(fcinfo);
    require_writable();
    std::string name = arguments.text(0, "name");
    OnlineOptions options;
    options.workers = workers(fcinfo, 1, 2);
    options.budget = microseconds(fcinfo, 2, "budget");
    options.plan_hash = arguments.optional_text(3);
    options.max_count_change = change(arguments, 4);
    SpiSession spi;
    return Int64GetDatum(start_in_background(name, options, false));
}

TENANTMIG_FUNCTION(tenantmig_resume) {
    Arguments arguments(fcinfo);
    require_writable();
    std::string name = arguments.text(0, "name");
    OnlineOptions options;
    options.workers = workers(fcinfo, 1, 0);
    options.budget = microseconds(fcinfo, 2, "budget");
    options.plan_hash = arguments.optional_text(3);
    SpiSession spi;
    return Int64GetDatum(start_in_background(name, options, true));
}

TENANTMIG_FUNCTION(tenantmig_pause) {
    Arguments arguments(fcinfo);
    require_writable();
    std::string state;
    {
        SpiSession spi;
        state = pause_run(arguments.text(0, "name"));
    }
    return text_result(state);
}

TENANTMIG_FUNCTION(tenantmig_cancel) {
    Arguments arguments(fcinfo);
    require_writable();
    std::string state;
    {
        SpiSession spi;
        state = cancel_run(arguments.text(0, "name"));
    }
    return text_result(state);
}

TENANTMIG_FUNCTION(tenantmig_wait) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "name");
    wait_for_run(fcinfo, name, microseconds(fcinfo, 1, "timeout"));
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_undo) {
    Arguments arguments(fcinfo);
    require_writable();
    std::int64_t run = arguments.bigint(0, "run");
    undo_online(fcinfo, run, microseconds(fcinfo, 1, "budget"));
    return static_cast<Datum>(0);
}

#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "bridge/subtransaction.hpp"
#include "engine/evaluation.hpp"
#include "engine/own_json.hpp"
#include "steps/baseline.hpp"
#include "steps/observe_keys.hpp"

namespace tenantmig {

namespace {
using nlohmann::json;

// Below these a rate says nothing yet.
constexpr double least_transactions = 100, least_rollbacks = 10;
constexpr double least_slowdown_ms = 5;
constexpr int latency_rows = 1000, latency_rounds = 3;

// Milliseconds of the tenant query, the median.
double measure(const StepTarget &target, const std::string &tenant) {
    RunAs owner(target.table.owner, Purpose::read);
    IndexScans through_index;
    SnapshotScope snapshot;
    std::string sql = fmt::format("SELECT pg_catalog.count(*) FROM (SELECT FROM {} AS t WHERE "
                                  "t.{} {} $1::{} LIMIT {}) AS x",
                                  target.table.target(), tenantmig::quoted(target.column.name),
                                  equality_operator(target.column.type), type_label(target.column.type), latency_rows);
    std::array<double, latency_rounds> found{};
    for (double &round : found) {
        TimestampTz begin = GetCurrentTimestamp();
        (void)run_query(sql, {text_value(tenant)}, true);
        round = static_cast<double>(GetCurrentTimestamp() - begin) / 1000;
    }
    std::sort(found.begin(), found.end());
    return found[latency_rounds / 2];
}

std::optional<std::string> first_tenant(const StepTarget &target) {
    RunAs owner(target.root.owner, Purpose::read);
    SnapshotScope snapshot;
    std::string key = tenantmig::quoted(target.root_key.name);
    Rows rows = run_query(fmt::format("SELECT r.{0}::pg_catalog.text FROM {1} AS "
                                      "r WHERE r.{0} IS NOT NULL ORDER BY r.{0} "
                                      "LIMIT 1",
                                      key, target.root.target()),
                          {}, true);
    return rows.empty() ? std::nullopt : rows.text(0, 1);
}

json latency_of(const ResolvedStep &step, const json &before) {
    const StepTarget &target = step.target;
    if (!has_serving_index(target.table, target.column)) return json();
    std::string key = key_label(target.table, target.column);
    json past = object_at(before, "latency");
    std::optional<std::string> tenant;
    if (text_at(past, "key") == key) tenant = text_at(past, "tenant");
    if (!tenant) tenant = first_tenant(target);
    if (!tenant) return json();
    return {{"key", key}, {"tenant", *tenant}, {"ms", measure(target, *tenant)}};
}

// Entries since an earlier sample. Counters that went backwards, or were reset,
// begin at zero.
double since(const json &now, const json &then, const char *name) {
    double is = number_at(now, name), was = number_at(then, name);
    bool other_time = now.value("reset", json()) != then.value("reset", json());
    return other_time || is < was ? is : is - was;
}

std::string in_words(double hours) {
    if (hours * 60 < 2) return fmt::format("in the last {:.0f} s", hours * 3600);
    return hours < 1 ? fmt::format("in the last {:.0f} minutes", hours * 60)
                     : fmt::format("in the last {:.1f} hours", hours);
}

// A cancelled query or a server that goes down is nobody's finding.
bool must_go_on(const PgError &error) {
    int state = error.data()->sqlerrcode;
    return ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION;
}
} // namespace

json server_samples(const std::vector<ResolvedStep> &steps, const json &before) {
    json samples = {{"counters", json_object(server_counters())}};
    if (steps.empty()) return samples;
    try {
        Subtransaction attempt; // a lock on the table, say
        json latency = latency_of(steps.front(), before);
        attempt.commit();
        if (latency.is_object()) samples["latency"] = std::move(latency);
    } catch (const PgError &error) {
        if (must_go_on(error)) throw;
    } catch (const Error &) { // a type without an order, say: no latency
    }
    return samples;
}

void take_baseline(const MigrationRecord &migration, const std::vector<ResolvedStep> &steps,
                   std::optional<std::int64_t> run) {
    std::string problem;
    try {
        Subtransaction attempt;
        if (wants_baseline(migration.id, run)) {
            json samples = server_samples(steps, json::object());
            if (run) samples["run"] = *run;
            save_baseline(migration.id, our_time(),
                          samples.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore));
        }
        attempt.commit();
        return;
    } catch (const PgError &error) {
        if (must_go_on(error)) throw;
        problem = error.what();
    } catch (const Error &error) {
        problem = error.what();
    }
    const char *name = migration.name.c_str(), *why = problem.c_str();
    pg_call([name, why] { ereport(LOG, (errmsg("tenantmig: no baseline of migration \"%s\": %s", name, why))); });
}

void compare_with_baseline(const MigrationRecord &migration, const core::MonitorSettings &settings, const json &now,
                           const std::optional<PastSample> &reference, const std::string &undo,
                           std::vector<CheckRow> &checks, std::vector<HealthReason> &reasons) {
    std::optional<std::string> kept = read_baseline(migration.id);
    json baseline = kept ? json_object(*kept) : json::object();
    json past = reference ? json_object(reference->samples) : json::object();
    json counters = object_at(now, "counters"), then = object_at(past, "counters"),
         base = object_at(baseline, "counters");
    auto report = [&](const char *name, bool bad, const std::string &expected, const std::string &actual,
                      const std::string &detail, const std::string &hint) {
        checks.push_back({name, bad ? "FAIL" : "PASS", expected, actual, detail, bad ? hint : ""});
    };
    auto blame = [&](int weight, const std::string &what) {
        reasons.push_back({"RED", weight, false, what + (undo.empty() ? "" : ": " + undo)});
    };
    std::string look = undo.empty() ? "SELECT * FROM pg_stat_database shows the counters." : undo;

    const bool rated = !then.empty() && reference->hours > 0;
    const double hours = rated ? std::max(reference->hours, 1.0) : 1;
    const std::string period = rated ? in_words(reference->hours) : "no earlier sample";

    double commits = rated ? since(counters, then, "commits") : 0,
           rollbacks = rated ? since(counters, then, "rollbacks") : 0;
    double all = commits + rollbacks, base_all = number_at(base, "commits") + number_at(base, "rollbacks");
    double share = all > 0 ? rollbacks / all : 0,
           base_share = base_all > 0 ? number_at(base, "rollbacks") / base_all : 0;
    double most = base_share * (1 + settings.max_rollback_increase);
    bool bad =
        !base.empty() && all >= least_transactions && share > most && rollbacks - base_share * all >= least_rollbacks;
    report("rollbacks", bad, base.empty() ? "no baseline" : fmt::format("<= {:.2f} %", 100 * most),
           rated ? fmt::format("{:.2f} %", 100 * share) : "-",
           rated ? fmt::format("of {:.0f} transactions {}; {:.2f} % before the run", all, period, 100 * base_share)
                 : period,
           look);
    if (bad)
        blame(45, fmt::format("{:.1f} % of the transactions are rolled back, "
                              "{:.1f} % were before the run",
                              100 * share, 100 * base_share));

    double base_deadlocks = number_at(base, "deadlocks") / std::max(number_at(base, "hours"), 1.0);
    double deadlocks = rated ? since(counters, then, "deadlocks") / hours : 0;
    bad = deadlocks > base_deadlocks + settings.max_deadlocks_per_hour;
    report("deadlocks", bad, fmt::format("<= {:.2f} an hour", base_deadlocks + settings.max_deadlocks_per_hour),
           rated ? fmt::format("{:.2f} an hour", deadlocks) : "-", period, look);
    if (bad) blame(46, fmt::format("{:.1f} deadlocks an hour, {:.1f} before the run", deadlocks, base_deadlocks));

    double refusals = rated ? since(counters, then, "refusals") / hours : 0;
    bad = refusals > settings.max_refusals_per_hour;
    report("guard_refusals", bad, fmt::format("<= {:g} an hour", settings.max_refusals_per_hour),
           rated ? fmt::format("{:.1f} an hour", refusals) : "-", period,
           "Writers still make rows that guards refuse: the server's log has "
           "their messages.");
    if (bad) blame(47, fmt::format("guards refuse {:.1f} writes an hour", refusals));

    json latency = object_at(now, "latency"), base_latency = object_at(baseline, "latency");
    bool same = !latency.empty() && !base_latency.empty() && text_at(latency, "key") == text_at(base_latency, "key");
    double is = number_at(latency, "ms"), was = number_at(base_latency, "ms");
    bad = same && is > was * settings.max_latency && is - was >= least_slowdown_ms;
    std::string where = text_at(latency.empty() ? base_latency : latency, "key");
    report("latency", bad,
           same ? fmt::format("<= {:.2f} ms", std::max(was * settings.max_latency, was + least_slowdown_ms))
                : "no baseline",
           !latency.empty() ? fmt::format("{:.2f} ms", is) : "-",
           where.empty() ? "no index on the tenant key" : fmt::format("a query for one tenant of {}", where), look);
    if (bad) blame(48, fmt::format("a query for one tenant takes {:.1f} ms, before the run {:.1f} ms", is, was));
}

} // namespace tenantmig

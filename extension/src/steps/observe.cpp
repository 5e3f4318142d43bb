#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "bridge/subtransaction.hpp"
#include "catalog/events.hpp"
#include "catalog/run_store.hpp"
#include "engine/own_json.hpp"
#include "steps/baseline.hpp"
#include "steps/checks.hpp"
#include "steps/ddl_watch.hpp"
#include "steps/examine.hpp"
#include "steps/guard_check.hpp"
#include "steps/observe.hpp"
#include "steps/observe_keys.hpp"

namespace tenantmig {

namespace {
using nlohmann::json;

constexpr double most_gone = 0.01;       // share of a table's rows that may go from
                                         // one deep observation to the next
constexpr std::int64_t least_gone = 100; // fewer rows than that don't count
constexpr std::size_t told_reasons = 5;  // in an alert

std::string counted(std::int64_t number, const char *what) {
    return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

std::int64_t whole(const json &object, const std::string &name, std::int64_t otherwise) {
    return static_cast<std::int64_t>(number_at(object, name, static_cast<double>(otherwise)));
}

class Observer {
public:
    Observer(const MigrationRecord &record, bool deep) : record_(record), deep_(deep) {
        observation_.migration_id = record.id;
        observation_.at = our_time();
        observation_.deep = deep;
        name_ = core::sql_literal(record.name);
        guarded_ = !migration_spec(record).guards.empty();
        if (auto last = last_observation(record.id, observation_.at)) {
            previous_health_ = last->health;
            previous_ = json_object(last->samples);
        }
        if (auto last = last_deep_observation(record.id, observation_.at)) previous_deep_ = json_object(last->samples);
        last_run_ = latest_run(record.id, true);
        use_run(last_run_);
        reference_ = rate_reference(record.id, observation_.at);
    }

    std::vector<CheckRow> observe() {
        TimestampTz begin = GetCurrentTimestamp();
        read_tables();
        reviews();
        facts();
        catalogue();
        drift();
        core::Spec spec = migration_spec(record_);
        compare_with_baseline(record_, spec.monitor, samples_, reference_, undo_, checks_, reasons_);
        store(GetCurrentTimestamp() - begin);
        return std::move(checks_);
    }

private:
    void check(const char *check_name, const char *otherwise, bool good, const std::string &expected,
               const std::string &actual, const std::string &detail, const std::string &hint) {
        checks_.push_back({check_name, good ? "PASS" : otherwise, expected, actual, detail, good ? "" : hint});
    }
    void blame(const char *level, int weight, bool deep, const std::string &what, const std::string &remedy) {
        reasons_.push_back({level, weight, deep, remedy.empty() ? what : what + ": " + remedy});
    }

    // In a subtransaction: a table that has gone, or a name that resolves no
    // more, is what this is for.
    void read_tables() {
        std::string problem;
        std::size_t checks = checks_.size(), reasons = reasons_.size();
        samples_ = {{"nulls", json::object()}, {"rows", json::object()}};
        try {
            Subtransaction attempt;
            ResolvedMigration migration = resolve_migration(record_);
            std::vector<ConstraintTarget> constraints;
            if (!migration.spec.constraints.empty()) constraints = resolve_constraints(record_);
            json sampled = server_samples(migration.steps, latency_before());
            samples_.update(sampled);
            keys(migration, constraints);
            if (deep_) guarded_rows();
            attempt.commit();
            check("tables", "FAIL", true, "as in the spec", "as in the spec", "", "");
            std::rotate(checks_.begin() + static_cast<std::ptrdiff_t>(checks), checks_.end() - 1, checks_.end());
            return;
        } catch (const PgError &error) {
            if (!lies_in_the_tables(error.data()->sqlerrcode)) throw;
            problem = error.what();
        } catch (const Error &error) {
            if (!lies_in_the_tables(MAKE_SQLSTATE(error.state()[0], error.state()[1], error.state()[2],
                                                  error.state()[3], error.state()[4])))
                throw;
            problem = error.message();
        }
        use_run(last_run_);
        checks_.resize(checks);
        reasons_.resize(reasons);
        observation_.nulls = observation_.new_nulls = observation_.unknown_tenants = observation_.mismatches = {};
        samples_ = server_samples({}, json::object());
        check("tables", "FAIL", false, "as in the spec", "can't be read", problem,
              "Bring the table or column back, or drop the migration.");
        blame("RED", 15, false, "its tables can't be read: " + problem, "");
    }
    // Names, types, rules of the spec; not rights, locks, resources, cancelling.
    static bool lies_in_the_tables(int state) {
        int category = ERRCODE_TO_CATEGORY(state);
        return (category == ERRCODE_TO_CATEGORY(ERRCODE_UNDEFINED_TABLE) && state != ERRCODE_INSUFFICIENT_PRIVILEGE) ||
               category == ERRCODE_FEATURE_NOT_SUPPORTED || category == ERRCODE_INVALID_SCHEMA_NAME ||
               state == MAKE_SQLSTATE('T', 'M', '0', '0', '1');
    }
    json latency_before() {
        std::optional<std::string> baseline = read_baseline(record_.id);
        return baseline ? json_object(*baseline) : previous_;
    }

    void keys(const ResolvedMigration &migration, const std::vector<ConstraintTarget> &constraints) {
        observation_.nulls = observation_.unknown_tenants = 0;
        if (deep_) observation_.mismatches = 0;
        TenantDictionary tenants(migration.steps.empty() ? KeyClass::integer : migration.steps[0].tenant_class);
        for (const ObservedKey &key : observed_keys(migration, constraints)) {
            use_run(key.step ? latest_run_of_step(record_.id, key.step->spec.number, true) : last_run_);
            if (deep_ && key.step)
                look_deep(key, tenants);
            else
                look(key);
        }
        use_run(last_run_);
        for (const StepAside &step : migration.aside)
            checks_.push_back(aside_check(record_, step));
    }

    void use_run(std::optional<RunRecord> run) {
        run_ = std::move(run);
        undo_ = run_ ? fmt::format("SELECT * FROM tenantmig.rollback({}) undoes the run", run_->id) : "";
    }

    void look(const ObservedKey &key) {
        KeySample sample = sample_key(key);
        std::optional<NewNulls> fresh;
        if (run_ && key.step) fresh = count_new_nulls(record_, key, run_->id, sample.nulls);
        nulls(key, sample.nulls, fresh ? std::optional(fresh->rows) : std::nullopt, !fresh || fresh->exact);
        if (key.root) {
            std::string looked =
                fmt::format("{}: {} looked at{}", key.label(), counted(sample.distinct, "different key"),
                            sample.all ? "" : "; there are more, which a deep observation looks at");
            unknown(key, sample.unknown, "key", sample.unknown_example, looked);
        }
        if (!sample.indexed)
            check("index", "WARN", false, "an index that begins with the key", "none",
                  key.label() + ": the whole table was read",
                  fmt::format("CREATE INDEX {}ON {} ({});",
                              key.table.kind == RELKIND_PARTITIONED_TABLE ? "" : "CONCURRENTLY ", key.table.label(),
                              tenantmig::quoted(key.column.name)));
    }

    void look_deep(const ObservedKey &key, TenantDictionary &tenants) {
        const ResolvedStep &step = *key.step;
        StepFindings found = examine_step(record_, run_ ? std::optional(run_->id) : std::nullopt, step, tenants);
        std::int64_t all = found.null_living + found.null_deleted;
        nulls(key, all, run_ ? std::optional(found.lost_living + found.lost_deleted) : std::nullopt, true);
        unknown(key, found.unknown, "row", found.unknown_example,
                fmt::format("{}: {}", key.label(), counted(found.rows, "row")));
        for (std::size_t i = 0; i < step.sources.size(); i++) {
            std::int64_t rows = found.mismatches[i];
            *observation_.mismatches += rows;
            check(("mismatches " + step.sources[i].label).c_str(), run_ ? "FAIL" : "WARN", rows == 0, "0",
                  std::to_string(rows),
                  rows == 0 ? key.label() : fmt::format("{}: for example row {}", key.label(), found.examples[i]),
                  run_ ? undo_ + ", if it was the run that wrote them; else correct the "
                                 "rows or their evidence."
                       : "Find out who is wrong before constraints rely on these rows.");
            if (rows > 0)
                blame(run_ ? "RED" : "YELLOW", run_ ? 21 : 55, true,
                      fmt::format("{} of {} contradict{} {}", counted(rows, "row"), key.label(), rows == 1 ? "s" : "",
                                  step.sources[i].label),
                      undo_);
        }
        row_count(key, found.rows);
    }

    // Rows that are there and that a guard would refuse; what a tenant_key guard asks for, look_deep() has seen.
    void guarded_rows() {
        for (const GuardRecord &guard : guards_of(record_.id)) {
            if (guard.kind == "tenant_key") continue;
            for (const CheckRow &row : check_rows_of(guard)) {
                if (!row.check_name.starts_with("guard_rows")) continue; // whether it stands, facts() tells
                checks_.push_back(row);
                if (row.status != "FAIL") continue;
                std::int64_t number = std::atoll(row.actual.c_str());
                std::string where = qualified(guard.schema, guard.table);
                blame("RED", 25, true,
                      number > 0 ? fmt::format("{} of {} that the {} guard would refuse", counted(number, "row"), where,
                                               guard.kind)
                                 : fmt::format("rows of {} can't be held to the {} guard", where, guard.kind),
                      fmt::format("SELECT * FROM tenantmig.check_guards({})", name_));
            }
        }
    }

    void nulls(const ObservedKey &key, std::int64_t rows, std::optional<std::int64_t> fresh, bool exact) {
        std::string label = key.label();
        std::int64_t least = rows;
        if (!key.step && key.needs_value) { // nothing queues such rows: the fewest that there were are the measure
            least = std::min(whole(object_at(previous_, "nulls"), label, rows), rows);
            fresh = rows - least;
        }
        samples_["nulls"][label] = least;
        *observation_.nulls += rows;
        if (!key.needs_value) return;
        std::string see = fmt::format("SELECT * FROM tenantmig.review({}) lists what waits for a decision.", name_);
        check("nulls", "WARN", rows == 0, "0", std::to_string(rows),
              key.column.not_null ? label + ": NOT NULL"
              : key.step && !run_ ? label + ": not run yet"
                                  : label,
              !key.step ? "The gate stays closed until these rows have a value."
              : run_    ? see
                        : fmt::format("SELECT * FROM tenantmig.plan({}) says what a run will do.", name_));
        if (!fresh) return;
        observation_.new_nulls = observation_.new_nulls.value_or(0) + *fresh;
        check("new_nulls", "FAIL", *fresh == 0, "0", std::to_string(*fresh),
              exact ? label : label + ": by number only, there are too many to compare one by one",
              key.step
                  ? fmt::format("Somebody writes rows without a key: find out who; {}then run the migration again.",
                                guarded_ ? fmt::format("SELECT * FROM tenantmig.attach_guard({}), ", name_)
                                         : "add a guard step to the spec, ")
                  : "Somebody writes rows without a value: find out who, and correct "
                    "them.");
        if (*fresh > 0)
            blame("RED", 23, false, fmt::format("{} of {} without a value", counted(*fresh, "new row"), label),
                  key.step ? fmt::format("{}run {} again",
                                         guarded_ ? fmt::format("tenantmig.attach_guard({}), then ", name_) : "",
                                         record_.name)
                           : "");
    }

    void unknown(const ObservedKey &key, std::int64_t number, const char *what, const std::string &example,
                 const std::string &looked) {
        *observation_.unknown_tenants += number;
        std::string root = key.root->label();
        check("unknown_tenants", "FAIL", number == 0, "0", std::to_string(number),
              number == 0 ? looked : fmt::format("{}: for example {}", key.label(), example),
              fmt::format("Add the tenants to {}, or correct the rows.", root));
        if (number > 0)
            blame("RED", 22, false, fmt::format("{} of {} not in {}", counted(number, what), key.label(), root), "");
    }

    // Rows that have gone in great number, since the last deep look or since the
    // run.
    void row_count(const ObservedKey &key, std::int64_t rows) {
        std::string label = key.label();
        samples_["rows"][label] = rows;
        std::int64_t before = whole(object_at(previous_deep_, "rows"), label, -1);
        if (before < 0 && run_)
            for (const json &table : json::parse(run_->tables, nullptr, false))
                if (whole(table, "step", 0) == key.step->spec.number) before = whole(table, "row_count", -1);
        if (before < 0) return;
        std::int64_t least =
            before - std::max(least_gone, static_cast<std::int64_t>(most_gone * static_cast<double>(before)));
        check("row_count", "FAIL", rows >= least, fmt::format(">= {}", std::max<std::int64_t>(least, 0)),
              std::to_string(rows), fmt::format("{}: {} before", key.table.label(), before),
              "A run deletes no row: find out who did.");
        if (rows < least)
            blame("RED", 24, true, fmt::format("{} rows of {} are gone", before - rows, key.table.label()),
                  "find out who deleted them; no run does");
    }

    void reviews() {
        observation_.open_reviews = count_open_reviews(record_.id);
        check("open_reviews", "WARN", observation_.open_reviews == 0, "0", std::to_string(observation_.open_reviews),
              "",
              fmt::format("SELECT * FROM tenantmig.review({}); then "
                          "tenantmig.resolve(id, tenant).",
                          name_));
    }

    // What the view health_facts knows. Its reasons aren't kept: the view health
    // takes them from there.
    void facts() {
        facts_ = health_facts(record_.id);
        auto of_kind = [&](const char *kind) {
            std::vector<const HealthFact *> found;
            for (const HealthFact &fact : facts_)
                if (fact.kind == kind) found.push_back(&fact);
            return found;
        };
        auto one = [&](const char *kind, const char *check_name, const std::string &expected) {
            auto found = of_kind(kind);
            auto [what, remedy] =
                found.empty() ? std::pair<std::string, std::string>() : split(found[0]->reason.reason);
            check(check_name, !found.empty() && found[0]->reason.level == "YELLOW" ? "WARN" : "FAIL", found.empty(),
                  expected, found.empty() ? expected : "see detail", what, remedy);
        };
        auto several = [&](const char *kind, const char *check_name, std::int64_t all) {
            auto found = of_kind(kind);
            auto missing = static_cast<std::int64_t>(found.size());
            auto [what, remedy] =
                found.empty() ? std::pair<std::string, std::string>() : split(found[0]->reason.reason);
            if (missing > 1) what += fmt::format(", and {} more", missing - 1);
            check(check_name, "FAIL", missing == 0, std::to_string(all),
                  std::to_string(std::max<std::int64_t>(all - missing, 0)), what, remedy);
            return static_cast<std::int32_t>(missing);
        };
        observation_.guards_missing = several("guard", "guards", count_guards(record_.name));
        observation_.constraints_missing = several("constraint", "constraints", count_enforced(record_.id));
        one("enforcement", "enforcement", "none interrupted");
        one("run", "run", "none interrupted");
    }
    static std::pair<std::string, std::string> split(const std::string &reason) {
        std::size_t colon = reason.find(": ");
        if (colon == std::string::npos) return {reason, ""};
        return {reason.substr(0, colon), reason.substr(colon + 2)};
    }

    // What the guards and the constraints of the view health_facts don't show:
    // loosened ones, tables that have come.
    void catalogue() {
        std::vector<CatalogueDrift> found = record_catalogue_drift(record_);
        for (const CatalogueDrift &item : found) {
            bool grave = item.kind != "table_without_key" && item.kind != "exemption_unneeded";
            std::string what = item.relation + (item.object.empty() ? "" : " " + item.object) + ": " + item.found;
            check("catalogue", grave ? "FAIL" : "WARN", false, item.expected, item.kind, what, item.hint);
            if (item.kind == "exemption_unneeded" || shown(item)) continue;
            blame(grave ? "RED" : "YELLOW", grave ? 32 : 56, false, item.kind + ", " + what, item.hint);
        }
        if (found.empty()) check("catalogue", "FAIL", true, "no drift", "no drift", "", "");
    }
    // Gone or silent ones are facts already.
    bool shown(const CatalogueDrift &item) const {
        const char *kind = item.kind == "constraint_gone"                                      ? "constraint"
                           : item.kind == "guard_gone" || item.kind == "guard_disabled"        ? "guard"
                           : item.kind == "isolation_gone" || item.kind == "isolation_missing" ? "isolation"
                                                                                               : "";
        return std::any_of(facts_.begin(), facts_.end(), [&](const HealthFact &fact) { return fact.kind == kind; });
    }

    // Of guards; what the catalogue has become has a check of its own.
    void drift() {
        std::optional<std::int64_t> run = run_ ? std::optional(run_->id) : std::nullopt;
        json kept = object_at(previous_, "drift");
        bool same = whole(kept, "run", -1) == run.value_or(0);
        std::int64_t entries = count_drift(record_.name, run);
        std::int64_t fresh = same ? std::max<std::int64_t>(entries - whole(kept, "entries", 0), 0) : entries;
        samples_["drift"] = {{"run", run.value_or(0)}, {"entries", entries}};
        observation_.drift = fresh;
        check("drift", "FAIL", fresh == 0, "0", std::to_string(fresh), same ? "since the last observation" : "so far",
              fmt::format("SELECT * FROM tenantmig.drift WHERE migration = {} "
                          "ORDER BY id DESC;",
                          name_));
        if (fresh > 0)
            blame("RED", 31, false, fmt::format("{} let pass by guards although not right", counted(fresh, "row")),
                  fmt::format("SELECT * FROM tenantmig.drift WHERE migration = {}", name_));
    }

    void store(std::int64_t duration) {
        std::vector<HealthReason> all = reasons_;
        for (const HealthFact &fact : facts_)
            all.push_back(fact.reason);
        std::sort(all.begin(), all.end(), [](const HealthReason &a, const HealthReason &b) {
            return std::tie(a.level, a.weight, a.reason) < std::tie(b.level, b.weight, b.reason);
        });
        for (const HealthReason &reason : all)
            observation_.reasons.push_back(reason.reason);
        observation_.health = all.empty() ? "GREEN" : all.front().level; // RED sorts before YELLOW
        observation_.good = observation_.health != "RED";
        bool alert = observation_.health != "GREEN" && observation_.health != previous_health_;
        json kept = json::array();
        for (const HealthReason &reason : reasons_)
            kept.push_back(
                {{"level", reason.level}, {"weight", reason.weight}, {"deep", reason.deep}, {"reason", reason.reason}});
        samples_["reasons"] = std::move(kept);
        samples_["alert"] = alert;
        json rows = json::array();
        for (const CheckRow &row : checks_)
            rows.push_back({{"check_name", row.check_name},
                            {"status", row.status},
                            {"expected", row.expected},
                            {"actual", row.actual},
                            {"detail", row.detail},
                            {"hint", row.hint}});
        auto text = [](const json &value) { return value.dump(-1, ' ', false, json::error_handler_t::ignore); };
        observation_.samples = text(samples_);
        observation_.checks = text(rows);
        observation_.duration = duration;
        insert_observation(observation_);
        tell(alert);
    }

    void tell(bool alert) {
        announce("observation", record_.name,
                 {{"health", observation_.health}, {"good", observation_.good}, {"deep", observation_.deep}});
        if (!alert) return;
        json reasons = json::array();
        for (const std::string &reason : observation_.reasons)
            if (reasons.size() < told_reasons) reasons.push_back(reason);
        announce("alert", record_.name,
                 {{"health", observation_.health},
                  {"previous", previous_health_.empty() ? json() : json(previous_health_)},
                  {"reasons", reasons}});
    }

    const MigrationRecord &record_;
    const bool deep_;
    bool guarded_ = false; // the spec has guard steps
    std::string name_, undo_, previous_health_;
    std::optional<RunRecord> run_, last_run_; // the last completed one: of the step that is looked at; of all
    std::optional<PastSample> reference_;
    json previous_ = json::object(), previous_deep_ = json::object(), samples_;
    ObservationRecord observation_;
    std::vector<HealthFact> facts_;
    std::vector<HealthReason> reasons_;
    std::vector<CheckRow> checks_;
};
} // namespace

std::vector<CheckRow> observe_migration(const MigrationRecord &record, bool deep) {
    if (XactReadOnly)
        throw Error(sqlstate::read_only_transaction, "cannot observe in a read-only transaction",
                    "An observation is kept in a table.", "Call it on the primary, in a transaction that may write.");
    require_owner(record);
    return Observer(record, deep).observe();
}

std::vector<MigrationRecord> observable_migrations() {
    Rows rows = own_query("SELECT id FROM tenantmig.migration ORDER BY name");
    std::vector<MigrationRecord> found;
    for (std::size_t i = 0; i < rows.size(); i++) {
        MigrationRecord record = get_migration(rows.bigint(i, 1));
        if (OidIsValid(record.owner_oid) && has_privileges_of(record.owner_oid)) found.push_back(std::move(record));
    }
    return found;
}

} // namespace tenantmig

#include "core/evidence_map.hpp"
#include "core/key_text.hpp"
#include "core/percent.hpp"
#include "core/spec.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "catalog/approval_store.hpp"
#include "catalog/change_log.hpp"
#include "catalog/run_store.hpp"
#include "steps/checks.hpp"
#include "steps/constraint_rights.hpp"
#include "steps/ddl_watch.hpp"
#include "steps/examine.hpp"
#include "steps/gate.hpp"

namespace tenantmig {

namespace {
// The strictest of all constraint steps.
core::GateCriteria strictest(const std::vector<ConstraintTarget> &targets) {
    core::GateCriteria result;
    auto highest = [](auto &into, const auto &value) {
        if (value && (!into || *value > *into)) into = value;
    };
    auto lowest = [](auto &into, const auto &value) {
        if (value && (!into || *value < *into)) into = value;
    };
    for (const ConstraintTarget &target : targets) {
        highest(result.soak_seconds, target.step.gate.soak_seconds);
        lowest(result.open_reviews, target.step.gate.open_reviews);
        highest(result.approvals, target.step.gate.approvals);
        lowest(result.backup_seconds, target.step.gate.backup_seconds);
        highest(result.min_coverage, target.step.gate.min_coverage);
    }
    return result;
}

class Gate {
public:
    Gate(const MigrationRecord &migration, ResolvedMigration resolved, std::vector<ConstraintTarget> targets,
         std::vector<StepAside> aside)
        : migration_(migration), name_(core::sql_literal(migration.name)), resolved_(std::move(resolved)),
          targets_(std::move(targets)), aside_(std::move(aside)) {}

    std::vector<CheckRow> checks() {
        for (const ConstraintTarget &target : targets_)
            data(target);
        evidence();
        drift();
        catalogue();
        chain();
        run();
        leftovers();
        rights();
        criteria();
        for (const StepAside &step : aside_) {
            rows_.push_back(aside_check(migration_, step));
            if (targets_.empty() && step.later && step.kind == core::StepKind::constraint) rows_.back().status = "FAIL";
        }
        return std::move(rows_);
    }

private:
    const MigrationRecord &migration_;
    const std::string name_;
    const ResolvedMigration resolved_;
    const std::vector<ConstraintTarget> targets_;
    const std::vector<StepAside> aside_;
    std::int64_t missing_keys_ = 0, keyless_ = 0; // over tenant keys: rows without a key now; and before the first run
    std::vector<CheckRow> rows_;

    void check(std::string name, bool good, const std::string &expected, const std::string &actual,
               const std::string &detail, const std::string &hint) {
        rows_.push_back({std::move(name), good ? "PASS" : "FAIL", expected, actual, detail, good ? "" : hint});
    }

    void count(const char *name, const ConstraintTarget &target, const Violation &found, bool allowed,
               const std::string &hint, std::string more = {}) {
        std::string detail = target.label();
        for (std::size_t i = 0; i < found.examples.size(); i++)
            detail += (i == 0 ? ": for example row " : ", ") + found.examples[i];
        check(name, allowed || found.rows == 0, allowed ? "any" : "0", std::to_string(found.rows), detail + more, hint);
    }

    // What the constraints of one step would refuse. A key that the migration fills has to be there whatever the step
    // asks; another column may be NULL unless not_null asks for it.
    void data(const ConstraintTarget &target) {
        ConstraintCounts counts;
        {
            SnapshotScope snapshot;
            counts = count_violations(target);
        }
        const bool optional = target.step.not_null == core::NotNull::leave && !target.tenant_key;
        const bool live = target.step.not_null == core::NotNull::live;
        const std::string see = target.tenant_key
                                    ? fmt::format("SELECT * FROM tenantmig.review({}) lists what waits for a decision; "
                                                  "run again for rows that came in since.",
                                                  name_)
                                    : "Fill in the values, or leave not_null out of the spec.";
        count("nulls_living", target, counts.nulls_living, optional, see);
        if (target.soft_delete)
            count("nulls_deleted", target, counts.nulls_deleted, optional || live,
                  see + " With not_null: live rows that are soft-deleted may be without a value.");
        if (target.referenced) {
            std::string values;
            for (const std::string &value : counts.orphan_values)
                values += (values.empty() ? "; values: " : ", ") + value;
            count("orphans", target, counts.orphans, false,
                  fmt::format("{} has no such row: correct the values, or add the rows that are missing.",
                              target.referenced->label()),
                  values);
        }
        if (!target.unique.empty())
            count("duplicates", target, counts.duplicates, false,
                  "Rows share what is to be unique: change or remove those that are too many.");
        if (!target.step.format.empty())
            count("format", target, counts.format, false,
                  fmt::format("Correct the values: they have to match {}.", core::sql_literal(target.step.format)));
        if (target.tenant_key) missing_keys_ += counts.nulls_living.rows + counts.nulls_deleted.rows;
    }

    // Every source of every backfill step, as verify does it.
    void evidence() {
        if (resolved_.steps.empty()) return;
        TenantDictionary tenants(resolved_.steps[0].tenant_class);
        for (const ResolvedStep &step : resolved_.steps) {
            const std::optional<RunRecord> run = latest_run_of_step(migration_.id, step.spec.number, true);
            const std::string where = step.label() + "." + tenantmig::quoted(step.target.column.name);
            const StepFindings found =
                examine_step(migration_, run ? std::optional(run->id) : std::nullopt, step, tenants);
            for (std::size_t i = 0; i < step.sources.size(); i++)
                check("mismatches " + step.sources[i].label, found.mismatches[i] == 0, "0",
                      std::to_string(found.mismatches[i]),
                      found.mismatches[i] == 0 ? where
                                               : fmt::format("{}: for example row {}", where, found.examples[i]),
                      "A row's key contradicts this source: find out which of them is wrong, and correct it.");
            check("unknown_tenants", found.unknown == 0, "0", std::to_string(found.unknown),
                  found.unknown == 0 ? where : fmt::format("{}: for example tenant {}", where, found.unknown_example),
                  fmt::format("Rows name tenants that {} does not have.", step.target.root.label()));
        }
    }

    // Rows that guards let pass although they were not right, since the last completed run, or since constraints were
    // taken off again: both count from anew.
    void drift() {
        Rows rows = own_query(
            "SELECT count(*), string_agg(DISTINCT d.kind, ', ') FROM tenantmig.drift_log d WHERE d.migration = $2 AND "
            "d.kind NOT IN ('constraint_gone', 'constraint_loosened', 'guard_gone', 'guard_disabled', "
            "'table_without_key', 'exemption_unneeded', 'table_gone', 'isolation_gone', 'isolation_missing', "
            "'isolation_open') AND "
            "d.happened_at > greatest(coalesce((SELECT max(r.finished_at) FROM tenantmig.run_log r WHERE "
            "r.migration_id = $1 AND r.state = 'completed'), '-infinity'), coalesce((SELECT max(e.relaxed_at) FROM "
            "tenantmig.enforcement e WHERE e.migration_id = $1), '-infinity'), (SELECT m.created_at FROM "
            "tenantmig.migration m WHERE m.id = $1))",
            {bigint_value(migration_.id), text_value(migration_.name)});
        check("drift", rows.bigint(0, 1) == 0, "0", std::to_string(rows.bigint(0, 1)),
              rows.text_or(0, 2, "none since the last completed run"),
              fmt::format("SELECT * FROM tenantmig.drift WHERE migration = {} shows the rows: correct them and what "
                          "wrote them, then run the migration again: a completed run is a new beginning.",
                          name_));
    }

    // Guards and tables as they are now. Constraints that have gone don't count: to apply them is what is asked for.
    void catalogue() {
        std::size_t count = 0;
        std::string detail, hint;
        for (const CatalogueDrift &found : catalogue_drift(migration_)) {
            if (found.kind.starts_with("constraint_") || found.kind.starts_with("isolation_") ||
                found.kind == "exemption_unneeded")
                continue;
            if (count++ == 0) hint = found.hint;
            detail += fmt::format("{}{}: {}{}{}", detail.empty() ? "" : "; ", found.kind, found.relation,
                                  found.object.empty() ? "" : " ", found.object);
        }
        check("catalogue", count == 0, "0", std::to_string(count),
              count == 0 ? "guards are in force, and no table without a key has come" : detail, hint);
    }

    void chain() {
        Rows runs = own_query("SELECT id FROM tenantmig.run_log WHERE migration_id = $1 ORDER BY id",
                              {bigint_value(migration_.id)});
        std::int64_t entries = 0;
        std::string problem;
        for (std::size_t i = 0; i < runs.size(); i++)
            for (const ChainState &chain : check_chains(runs.bigint(i, 1))) {
                entries += chain.entries;
                if (chain.first_bad && problem.empty())
                    problem = fmt::format("run {} chain {} entry {}: {}", runs.bigint(i, 1), chain.chain,
                                          *chain.first_bad, chain.problem);
            }
        check("chain", problem.empty(), "intact", problem.empty() ? "intact" : "broken",
              problem.empty() ? fmt::format("runs: {}, entries: {}", runs.size(), entries) : problem,
              "The change log was tampered with, so nothing could be undone from it: compare with the digest that you "
              "keep, SELECT * FROM tenantmig.verify_changes(run, digest).");
    }

    // A failed run that a later one has completed is past.
    void run() {
        Rows rows = own_query(
            "SELECT (SELECT max(c.id) FROM tenantmig.run_log c WHERE c.migration_id = $1 AND c.state = 'completed' AND "
            "c.undo_started_at IS NULL), a.id, CASE WHEN a.undo_started_at IS NULL THEN a.state ELSE 'being undone' "
            "END FROM (SELECT) o LEFT JOIN LATERAL (SELECT r.* FROM tenantmig.run_log r WHERE r.migration_id = $1 AND "
            "(r.state IN ('planned', 'running', 'paused') OR r.undo_started_at IS NOT NULL AND r.state <> "
            "'rolled_back' OR r.state = 'failed' AND NOT EXISTS (SELECT FROM tenantmig.run_log l WHERE l.migration_id "
            "= $1 AND l.state = 'completed' AND l.id > r.id)) ORDER BY r.id DESC LIMIT 1) a ON true",
            {bigint_value(migration_.id)});
        const bool needed = !resolved_.steps.empty(), other = !rows.is_null(0, 2);
        bool completed = !rows.is_null(0, 1);
        std::string without; // steps that no completed run is about
        for (const ResolvedStep &step : resolved_.steps) {
            if (!completed || !own_query("SELECT FROM tenantmig.run_log WHERE migration_id = $1 AND state = "
                                         "'completed' AND undo_started_at IS NULL AND (steps IS NULL OR $2 = ANY "
                                         "(steps)) LIMIT 1",
                                         {bigint_value(migration_.id), int_value(step.spec.number)})
                                   .empty())
                continue;
            without += (without.empty() ? "" : ", ") + std::to_string(step.spec.number);
        }
        const std::string expected = needed ? "completed" : "none active";
        std::string actual = completed ? "completed" : needed ? "none" : "none active", detail, hint;
        if (completed) detail = fmt::format("run {}", rows.bigint(0, 1));
        if (!without.empty()) {
            completed = false;
            actual = "in part";
            detail += fmt::format("; no completed run is about step {}", without);
            hint = fmt::format("Fill these keys, too: CALL tenantmig.up({});", name_);
        }
        if (other) {
            actual = rows.text_or(0, 3);
            detail = fmt::format("run {} is {}", rows.bigint(0, 2), actual);
            hint = "Let it end (resume), or take it back (cancel, rollback).";
        } else if (needed && !completed && without.empty()) {
            detail = "the migration has backfill steps";
            hint = fmt::format("Fill the keys first: CALL tenantmig.run({});", name_);
        }
        check("run", !other && (completed || !needed), expected, actual, detail, hint);
    }

    // Left over by an enforce or relax that was killed. Whoever is at work on them holds the migration.
    void leftovers() {
        Rows rows = own_query(
            "SELECT count(*), string_agg(format('%s of %I.%I.%I', kind, schema_name, table_name, column_name), ', ' "
            "ORDER BY id) FROM tenantmig.enforcement WHERE migration_id = $1 AND state IN ('intended', 'relaxing')",
            {bigint_value(migration_.id)});
        check("leftovers", rows.bigint(0, 1) == 0, "0", std::to_string(rows.bigint(0, 1)),
              rows.text_or(0, 2, "no interrupted enforce or relax"),
              fmt::format("Another session is at work, or one was interrupted: the next CALL tenantmig.enforce({0}) or "
                          "CALL tenantmig.relax({0}) cleans up first.",
                          name_));
    }

    // Of the tables' owners, as whom constraints are applied.
    void rights() {
        std::size_t missing = 0;
        std::string detail, grants;
        for (const ConstraintTarget &target : targets_)
            for (const MissingRight &right : missing_rights(target)) {
                missing++;
                detail += (detail.empty() ? "" : ", ") + right.what;
                if (grants.find(right.grant) == std::string::npos) grants += (grants.empty() ? "" : " ") + right.grant;
            }
        check("rights", missing == 0, "0", std::to_string(missing),
              missing == 0 ? "the owners may do what is to be done" : detail, grants);
    }

    void criteria() {
        const core::GateCriteria gate = strictest(targets_);
        if (gate.soak_seconds) soak(*gate.soak_seconds);
        if (gate.open_reviews) open_reviews(*gate.open_reviews);
        if (gate.approvals) approvals(*gate.approvals);
        if (gate.backup_seconds) backup(*gate.backup_seconds);
        if (gate.min_coverage) coverage(*gate.min_coverage);
    }

    // As people write it: 7 days, 12 hours, 90 seconds; the largest unit that leaves no rest, hours for more than two
    // units.
    static std::string length(std::int64_t seconds) {
        constexpr std::pair<std::int64_t, const char *> units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}};
        std::string text;
        for (const auto &[size, word] : units) {
            const std::int64_t many = seconds / size;
            seconds %= size;
            if (many > 0) text += fmt::format("{}{} {}{}", text.empty() ? "" : " ", many, word, many == 1 ? "" : "s");
        }
        if (seconds > 0 || text.empty())
            text += fmt::format("{}{} second{}", text.empty() ? "" : " ", seconds, seconds == 1 ? "" : "s");
        return text;
    }

    void soak(std::int64_t seconds) {
        Rows rows = own_query("SELECT floor(extract(epoch FROM s.length))::bigint, s.good, s.detail FROM "
                              "tenantmig.soak s WHERE s.migration_id = $1",
                              {bigint_value(migration_.id)});
        const bool good = !rows.empty() && rows.boolean(0, 2);
        const std::int64_t actual = good ? rows.bigint(0, 1) : 0;
        check("soak", good && actual >= seconds, ">= " + length(seconds), length(actual),
              rows.empty() ? "" : rows.text_or(0, 3),
              fmt::format("SELECT * FROM tenantmig.observe({}, deep => true) at least once a day; a bad observation "
                          "begins the soak anew.",
                          name_));
    }

    void open_reviews(std::int64_t most) {
        const std::int64_t open = own_query("SELECT count(*) FROM tenantmig.review_rows WHERE migration_id = $1 AND "
                                            "state = 'open'",
                                            {bigint_value(migration_.id)})
                                      .bigint(0, 1);
        check("open_reviews", open <= most, fmt::format("<= {}", most), std::to_string(open), "",
              fmt::format("Decide them: SELECT * FROM tenantmig.review({}); tenantmig.resolve(id, tenant), "
                          "tenantmig.dismiss(id).",
                          name_));
    }

    void approvals(std::int64_t least) {
        const Approvals found = count_approvals(migration_.id);
        std::string detail = found.names;
        if (found.outdated > 0)
            detail += fmt::format("{}{} of another spec, or from before the last completed run",
                                  detail.empty() ? "" : "; ", found.outdated);
        check("approvals", found.people >= least, fmt::format(">= {}", least), std::to_string(found.people), detail,
              fmt::format("SELECT tenantmig.approve({}); by different people, each logged in as themselves.", name_));
    }

    void backup(std::int64_t seconds) {
        const std::optional<Backup> newest = newest_backup(migration_.id);
        const std::int64_t age = newest ? (our_time() - newest->taken_at) / USECS_PER_SEC : 0;
        check("backup", newest && age <= seconds, "within " + length(seconds),
              !newest          ? "none"
              : age <= seconds ? "within " + length(seconds)
                               : "older",
              newest ? fmt::format("number {}: {}", newest->id, newest->location) : "",
              fmt::format("Take one, and SELECT tenantmig.register_backup({}, taken_at, location);", name_));
    }

    // Of the rows that were without a key when the first run began that still stands: how many have one now.
    void coverage(double least) {
        Rows rows = own_query("SELECT tables FROM tenantmig.run_log WHERE migration_id = $1 AND state = 'completed' "
                              "ORDER BY id",
                              {bigint_value(migration_.id)});
        std::int64_t before = 0;
        std::set<int> counted; // steps, each by the first run that was about it
        for (std::size_t i = 0; i < rows.size(); i++)
            for (const nlohmann::json &table : nlohmann::json::parse(rows.text_or(i, 1))) {
                if (!counted.insert(table.at("step").get<int>()).second) continue;
                for (const ConstraintTarget &target : targets_)
                    for (const ResolvedStep &step : resolved_.steps)
                        if (table.at("step") == step.spec.number && step.target.table.oid == target.table.oid &&
                            step.target.column.number == target.column.number)
                            before += table.at("null_count").get<std::int64_t>();
            }
        const std::int64_t filled = std::max<std::int64_t>(before - missing_keys_, 0);
        const double covered =
            before > 0 ? static_cast<double>(filled) / static_cast<double>(before) : (missing_keys_ > 0 ? 0.0 : 1.0);
        check("coverage", covered >= least, ">= " + core::percent(least), core::percent(covered),
              rows.empty() ? "no run has been completed"
                           : fmt::format("{} of {} rows that were without a key have one", filled, before),
              fmt::format("Find more sources, or decide the reviews: SELECT * FROM tenantmig.review({});", name_));
    }
};
} // namespace

std::vector<CheckRow> gate_checks(const MigrationRecord &migration) {
    std::vector<StepAside> aside;
    std::vector<ConstraintTarget> targets = resolve_constraints(migration, &aside);
    if (targets.empty() && aside.empty())
        throw Error(sqlstate::prerequisite_state,
                    fmt::format("migration \"{}\" has no constraint step", migration.name),
                    "A gate stands before constraints.",
                    "Add a step to the spec: constraint: {table: customers, column: company_id, not_null: true}.");
    MigrationRecord whole = migration;
    whole.scope.clear();
    ResolvedMigration resolved = resolve_migration(whole);
    // Only the keys that have to be there by then.
    if (!migration.scope.empty()) {
        const int last = *std::max_element(migration.scope.begin(), migration.scope.end());
        std::erase_if(resolved.steps, [last](const ResolvedStep &step) { return step.spec.number > last; });
    } else if (!targets.empty()) {
        const MigrationNames names(whole);
        const int last = names.segment_of(targets.back().step.number);
        std::erase_if(resolved.steps,
                      [&](const ResolvedStep &step) { return names.segment_of(step.spec.number) > last; });
    }
    aside.insert(aside.end(), resolved.aside.begin(), resolved.aside.end());
    std::sort(aside.begin(), aside.end(), [](const StepAside &a, const StepAside &b) { return a.step < b.step; });
    if (!migration.scope.empty()) aside.clear();
    return Gate(migration, std::move(resolved), std::move(targets), std::move(aside)).checks();
}

bool gate_open(const std::vector<CheckRow> &checks) {
    return std::none_of(checks.begin(), checks.end(), [](const CheckRow &row) { return row.status == "FAIL"; });
}

} // namespace tenantmig

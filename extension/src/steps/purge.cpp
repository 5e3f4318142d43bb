// The rules, by kind (docs/purge.md tells them to people):
//   change_log    whole runs only, so that no chain is cut. Not of a run that is unfinished, is being undone, or has
//                 open reviews (a decision appends to its log). Within a year of its last change it is what undo works
//                 from: then only with force, unless the run was rolled back.
//   reviews       of runs whose change log has gone: verify counts both together. Not where rows were dismissed: these
//                 count as decided for as long as they have no key.
//   runs          finished ones whose log and reviews have gone; never the last completed one, which verify, gate and
//                 observe refer to.
//   observations  not the newest of a migration, and not what its soak is reckoned from.
//   drift         not what the gate of constraints that are still to be enforced counts.
//   backups       their registrations, after 90 days: not the newest of a migration, and not (but with force) those
//   that
//                 such a gate accepts. The files are the client's business.
//   kept_columns  values of columns that a step has dropped. Within a year they are what down works from: then only
//   with
//                 force. Not those on their way back.
// The report of a run is archived before its log or its record goes.
#include "core/excerpt.hpp"
#include "core/spec.hpp"
#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "bridge/subtransaction.hpp"
#include "catalog/events.hpp"
#include "catalog/report_archive.hpp"
#include "engine/log_check.hpp"
#include "engine/report.hpp"
#include "steps/kept_column.hpp"
#include "steps/purge.hpp"

namespace tenantmig {

namespace {
constexpr const char *all_kinds[] = {"change_log", "reviews", "runs",        "observations",
                                     "drift",      "backups", "kept_columns"};
constexpr char retention[] = "1 year"; // of every kind but:
constexpr char backup_retention[] = "90 days";

struct RunFacts {
    std::int64_t id = 0;
    std::string state;
    bool finished = false, being_undone = false, last_completed = false;
    std::int64_t changes = 0, reviews = 0, open_reviews = 0, dismissed = 0;
    std::optional<std::string> log_oldest, log_newest, review_oldest, review_newest, run_oldest, run_newest;
    bool log_old = false, log_past_undo = false, reviews_old = false, run_old = false;
    bool log_goes = false, reviews_go = false;
};

class Purge {
public:
    explicit Purge(const PurgeOptions &options) : options_(options) {
        for (const std::string &kind : options.kinds.value_or(std::vector<std::string>()))
            if (std::find(std::begin(all_kinds), std::end(all_kinds), kind) == std::end(all_kinds))
                throw Error(sqlstate::invalid_parameter_value,
                            fmt::format("{} is not a kind of what can be purged", core::excerpt(kind)), {},
                            "Kinds are change_log, reviews, runs, observations, drift, backups and kept_columns.");
        set_cutoff();
    }

    std::vector<PurgeRow> run() {
        Rows names = own_query("SELECT name FROM tenantmig.migration ORDER BY name");
        std::vector<std::string> list;
        for (std::size_t i = 0; i < names.size(); i++)
            list.push_back(names.text_or(i, 1));
        for (const std::string &name : list)
            if (auto migration = find_migration(name)) one(*migration);
        if (wants("drift")) orphaned_drift();
        if (wants("backups")) orphaned_backups();
        return std::move(result_);
    }

private:
    const PurgeOptions &options_;
    Value cutoff_ = null_value(TIMESTAMPTZOID), undo_cutoff_ = null_value(TIMESTAMPTZOID),
          backup_cutoff_ = null_value(TIMESTAMPTZOID);
    std::string period_, backup_period_; // how old things must be, in words
    std::vector<PurgeRow> result_;
    std::string busy_; // why nothing of the migration may go now; empty: it may

    bool wants(const char *kind) const {
        return !options_.kinds ||
               std::find(options_.kinds->begin(), options_.kinds->end(), kind) != options_.kinds->end();
    }

    void set_cutoff() {
        const std::string asked = options_.older_than.value_or(retention);
        const Value now = timestamp_value(our_time());
        Rows sane = own_query("SELECT $1::interval < '0', $1::interval > '1000 years'", {text_value(asked)});
        if (sane.boolean(0, 1) || sane.boolean(0, 2))
            throw Error(sqlstate::invalid_parameter_value,
                        fmt::format("{} is not a time that things can be older than", core::excerpt(asked)), {},
                        "Give an interval from 0 to 1000 years, for example older_than => '90 days'.");
        Rows rows = own_query("SELECT $1 - $2::interval, $1 - $3::interval, $2::interval::text, $1 - $4::interval, "
                              "$4::interval::text",
                              {now, text_value(asked), text_value(retention),
                               text_value(options_.older_than.value_or(backup_retention))});
        bool null = false;
        cutoff_ = {TIMESTAMPTZOID, rows.datum(0, 1, &null), false};
        undo_cutoff_ = {TIMESTAMPTZOID, rows.datum(0, 2, &null), false};
        period_ = rows.text_or(0, 3);
        backup_cutoff_ = {TIMESTAMPTZOID, rows.datum(0, 4, &null), false};
        backup_period_ = rows.text_or(0, 5);
    }

    void add(const char *kind, const std::string &migration, std::int64_t rows, std::optional<std::string> oldest,
             std::optional<std::string> newest, bool goes, std::string reason) {
        if (rows == 0) return;
        const char *outcome = !goes ? "kept" : options_.execute ? "deleted" : "would go";
        result_.push_back({kind, migration, rows, std::move(oldest), std::move(newest), outcome, std::move(reason)});
        if (goes && options_.execute) announce("purge", migration, {{"kind", kind}, {"row_count", rows}});
    }

    std::string younger() const { return fmt::format("younger than {}", period_); }

    void one(const MigrationRecord &migration) {
        if (!OidIsValid(migration.owner_oid) ? !has_privileges_of(extension_owner())
                                             : !has_privileges_of(migration.owner_oid))
            return;
        busy_.clear();
        if (options_.execute) {
            try {
                lock_migration(migration);
            } catch (const Error &error) {
                if (std::string_view(error.state()) != sqlstate::object_in_use) throw;
                busy_ = "a run or a decision is at work on the migration";
            }
        }
        std::vector<RunFacts> runs = facts(migration);
        for (RunFacts &facts : runs)
            change_log(migration, facts);
        for (RunFacts &facts : runs)
            reviews(migration, facts);
        for (RunFacts &facts : runs)
            record(migration, facts);
        if (wants("observations")) observations(migration);
        if (wants("drift")) drift(migration);
        if (wants("backups")) backups(migration);
        if (wants("kept_columns")) kept_columns(migration);
    }

    std::vector<RunFacts> facts(const MigrationRecord &migration) {
        Rows rows = own_query(
            "WITH run AS (SELECT r.*, r.id = (SELECT max(o.id) FROM tenantmig.run_log o WHERE o.migration_id = $1 AND "
            "o.state = 'completed') AS last_completed FROM tenantmig.run_log r WHERE r.migration_id = $1) "
            "SELECT r.id, r.state, r.state IN ('completed', 'rolled_back', 'cancelled') OR r.state = 'failed' AND "
            "r.mode "
            "= 'transaction', r.undo_started_at IS NOT NULL AND r.state <> 'rolled_back', coalesce(r.last_completed, "
            "false), coalesce(l.changes, 0)::bigint, l.oldest, l.newest, coalesce(l.newest < $2, false), "
            "coalesce(l.newest "
            "< $3, false), coalesce(v.reviews, 0)::bigint, coalesce(v.reviews - d.decided, 0)::bigint, d.oldest, "
            "d.newest, "
            "coalesce(d.newest < $2, false), r.started_at, coalesce(r.finished_at, r.taken_up_at), "
            "coalesce(r.finished_at, r.taken_up_at) < $2, coalesce(d.dismissed, 0) "
            "FROM run r LEFT JOIN LATERAL (SELECT sum(c.row_count) AS changes, min(c.changed_at) AS oldest, "
            "max(c.changed_at) AS newest FROM tenantmig.change_log c WHERE c.run_id = r.id) l ON true "
            "LEFT JOIN LATERAL (SELECT sum(b.row_count) AS reviews FROM tenantmig.review_batch b WHERE b.run_id = "
            "r.id) v ON "
            "true LEFT JOIN LATERAL (SELECT count(*) AS decided, count(*) FILTER (WHERE e.state = 'dismissed') AS "
            "dismissed, min(e.decided_at) AS oldest, max(e.decided_at) AS "
            "newest "
            "FROM tenantmig.review_batch b JOIN tenantmig.review_decision e ON e.id >= b.first_id AND e.id < "
            "b.first_id + "
            "b.row_count WHERE b.run_id = r.id) d ON true ORDER BY r.id",
            {bigint_value(migration.id), cutoff_, undo_cutoff_});
        std::vector<RunFacts> result;
        for (std::size_t i = 0; i < rows.size(); i++) {
            RunFacts run;
            run.id = rows.bigint(i, 1);
            run.state = rows.text_or(i, 2);
            run.finished = rows.boolean(i, 3);
            run.being_undone = rows.boolean(i, 4);
            run.last_completed = rows.boolean(i, 5);
            run.changes = rows.bigint(i, 6);
            run.log_oldest = rows.text(i, 7);
            run.log_newest = rows.text(i, 8);
            run.log_old = rows.boolean(i, 9);
            run.log_past_undo = rows.boolean(i, 10);
            run.reviews = rows.bigint(i, 11);
            run.open_reviews = rows.bigint(i, 12);
            run.review_oldest = rows.text(i, 13);
            run.review_newest = rows.text(i, 14);
            run.reviews_old = rows.boolean(i, 15);
            run.run_oldest = rows.text(i, 16);
            run.run_newest = rows.text(i, 17);
            run.run_old = rows.boolean(i, 18);
            run.dismissed = rows.bigint(i, 19);
            result.push_back(std::move(run));
        }
        return result;
    }

    // Why a change log stays; empty: it may go.
    std::string log_needed(const RunFacts &run) const {
        if (!busy_.empty()) return busy_;
        if (!run.finished) return fmt::format("run {} is {}: resume or cancel it first", run.id, run.state);
        if (run.being_undone) return fmt::format("run {} is being undone: CALL tenantmig.undo({})", run.id, run.id);
        if (run.open_reviews > 0)
            return fmt::format("run {} has {} open {}: decide first", run.id, run.open_reviews,
                               run.open_reviews == 1 ? "review" : "reviews");
        if (!run.log_old) return fmt::format("run {}: {}", run.id, younger());
        if (options_.force) return {};
        if (run.state != "rolled_back" && !run.log_past_undo)
            return fmt::format("run {} can be undone with it for {} after its last change; force => true gives that up",
                               run.id, retention);
        for (const CheckRow &check : check_log(run.id, std::nullopt))
            if (check.status == "FAIL")
                return fmt::format("run {}: it was tampered with, {}; force => true deletes the evidence", run.id,
                                   check.detail);
        return {};
    }

    void change_log(const MigrationRecord &migration, RunFacts &run) {
        if (run.changes == 0 || !wants("change_log")) return;
        const std::string needed = log_needed(run);
        run.log_goes = needed.empty();
        if (run.log_goes && options_.execute) {
            archive(migration, run);
            own_query("DELETE FROM tenantmig.change_log WHERE run_id = $1", {bigint_value(run.id)});
            note_log_purged(run.id);
        }
        add("change_log", migration.name, run.changes, run.log_oldest, run.log_newest, run.log_goes,
            run.log_goes ? fmt::format("run {}, {}; its report and digest stay", run.id, run.state) : needed);
    }

    bool log_is_there(const RunFacts &run) const { return run.changes > 0 && !run.log_goes; }

    std::string reviews_needed(const RunFacts &run) const {
        if (!busy_.empty()) return busy_;
        if (run.open_reviews > 0)
            return fmt::format("run {} has {} open {}", run.id, run.open_reviews,
                               run.open_reviews == 1 ? "review" : "reviews");
        if (!run.reviews_old) return fmt::format("run {}: {}", run.id, younger());
        if (!run.finished) return fmt::format("run {} is {}: resume or cancel it first", run.id, run.state);
        if (log_is_there(run))
            return fmt::format("run {}: verify counts them with its change log, which stays", run.id);
        if (run.dismissed > 0)
            return fmt::format("run {}: {} {} dismissed, and the next run would queue them again", run.id,
                               run.dismissed, run.dismissed == 1 ? "row was" : "rows were");
        if (run.changes == 0 && run.last_completed && !log_purged_at(run.id))
            return fmt::format("run {} is the last completed one: verify counts them", run.id);
        return {};
    }

    void reviews(const MigrationRecord &migration, RunFacts &run) {
        if (run.reviews == 0 || !wants("reviews")) return;
        const std::string needed = reviews_needed(run);
        run.reviews_go = needed.empty();
        if (run.reviews_go && options_.execute) {
            archive(migration, run);
            delete_reviews(run.id);
        }
        add("reviews", migration.name, run.reviews, run.review_oldest, run.review_newest, run.reviews_go,
            run.reviews_go ? fmt::format("run {}, all decided", run.id) : needed);
    }

    static void delete_reviews(std::int64_t run) {
        own_query(
            "DELETE FROM tenantmig.review_decision d USING tenantmig.review_batch b WHERE b.run_id = $1 AND d.id >= "
            "b.first_id AND d.id < b.first_id + b.row_count",
            {bigint_value(run)});
        own_query("DELETE FROM tenantmig.review_batch WHERE run_id = $1", {bigint_value(run)});
    }

    std::string record_needed(const RunFacts &run) const {
        if (!busy_.empty()) return busy_;
        if (!run.finished) return fmt::format("run {} is {}: resume or cancel it first", run.id, run.state);
        if (!run.run_old) return fmt::format("run {}: {}", run.id, younger());
        if (run.last_completed)
            return fmt::format("run {} is the last completed one: verify, gate and observe refer to it", run.id);
        if (log_is_there(run)) return fmt::format("run {}: its change log stays", run.id);
        if (run.reviews > 0 && !run.reviews_go) return fmt::format("run {}: its reviews stay", run.id);
        return {};
    }

    void record(const MigrationRecord &migration, const RunFacts &run) {
        if (!wants("runs")) return;
        const std::string needed = record_needed(run);
        if (needed.empty() && options_.execute) {
            archive(migration, run);
            for (const char *table : {"undo_skip", "batch_log", "run_worker", "run_request"})
                own_query(fmt::format("DELETE FROM tenantmig.{} WHERE run_id = $1", table), {bigint_value(run.id)});
            own_query("DELETE FROM tenantmig.run_log WHERE id = $1", {bigint_value(run.id)});
            note_run_purged(run.id);
        }
        add("runs", migration.name, 1, run.run_oldest, run.run_newest, needed.empty(),
            needed.empty() ? fmt::format("run {}, {}; its report stays", run.id, run.state) : needed);
    }

    // As it stands now. The checks that read user tables are left out: they say how the tables are today.
    static void archive(const MigrationRecord &migration, const RunFacts &run) {
        if (archived_report(run.id)) return;
        RunReport report = gather_report(run.id);
        report.checks = check_log(run.id, std::nullopt);
        report.checks_note = "Archived by purge: only the chain was checked then.";
        archive_report({run.id, migration.name, report.digest, markdown_report(report), json_report(report),
                        std::nullopt, std::nullopt});
    }

    void observations(const MigrationRecord &migration) {
        const core::Spec spec = migration_spec(migration);
        std::int64_t soak = 7 * 86400;
        for (const core::ConstraintStep &step : spec.constraints)
            soak = std::max(soak, step.gate.soak_seconds.value_or(0));
        soak += 86400; // a sample a day: that before the first day counts
        // kept: 0 goes, 1 too young, 2 the newest or of the soak
        constexpr char select[] =
            "SELECT o.id, o.observed_at, CASE WHEN o.observed_at >= $2 THEN 1 WHEN o.observed_at = (SELECT "
            "max(n.observed_at) FROM tenantmig.observation n WHERE n.migration_id = $1) OR o.observed_at >= $3 - "
            "make_interval(secs => $4) THEN 2 ELSE 0 END AS kept FROM tenantmig.observation o WHERE o.migration_id = "
            "$1";
        std::vector<Value> values = {bigint_value(migration.id), cutoff_, timestamp_value(our_time()),
                                     bigint_value(soak)};
        Rows rows = own_query(fmt::format("SELECT s.kept, count(*), min(s.observed_at), max(s.observed_at) FROM ({}) s "
                                          "GROUP BY s.kept ORDER BY s.kept",
                                          select),
                              values);
        for (std::size_t i = 0; i < rows.size(); i++) {
            const std::int64_t kept = rows.bigint(i, 1);
            const bool goes = kept == 0 && busy_.empty();
            if (goes && options_.execute)
                own_query(
                    fmt::format("DELETE FROM tenantmig.observation o USING ({}) s WHERE s.id = o.id AND s.kept = 0",
                                select),
                    values);
            add("observations", migration.name, rows.bigint(i, 2), rows.text(i, 3), rows.text(i, 4), goes,
                goes        ? fmt::format("older than {}", period_)
                : kept == 1 ? younger()
                : kept == 2 ? "the newest, or what the soak is reckoned from"
                            : busy_);
        }
    }

    void drift(const MigrationRecord &migration) {
        constexpr char select[] = "SELECT d.id, d.happened_at, CASE WHEN d.happened_at >= $2 THEN 1 WHEN $4 AND "
                                  "d.happened_at >= coalesce((SELECT "
                                  "max(r.started_at) FROM tenantmig.run_log r WHERE r.migration_id = $3 AND r.state = "
                                  "'completed'), '-infinity') "
                                  "THEN 2 ELSE 0 END AS kept FROM tenantmig.drift_log d WHERE d.migration = $1";
        const core::Spec spec = migration_spec(migration);
        delete_drift(select, migration.name,
                     {text_value(migration.name), cutoff_, bigint_value(migration.id),
                      boolean_value(!spec.constraints.empty() && !is_enforced(migration))});
    }

    // Of guards of no migration, and of migrations that are not there any more.
    void orphaned_drift() {
        if (!has_privileges_of(extension_owner())) return;
        busy_.clear();
        constexpr char select[] =
            "SELECT d.id, d.happened_at, CASE WHEN d.happened_at >= $2 THEN 1 ELSE 0 END AS kept FROM "
            "tenantmig.drift_log d WHERE $1 = '' AND NOT EXISTS (SELECT FROM tenantmig.migration m "
            "WHERE m.name = d.migration)";
        delete_drift(select, "", {text_value(""), cutoff_});
    }

    // Why the values of a dropped column stay; empty: they may go, and have gone if that was asked for.
    std::string kept_column_needed(const KeptColumn &kept, bool old, bool past_undo) const {
        if (!busy_.empty()) return busy_;
        const std::string column = core::excerpt(kept.label());
        if (kept.state != "kept" && kept.state != "dropped")
            return fmt::format("{}: step {} is {}: up or down first", column, kept.step, kept.state);
        if (!old) return fmt::format("{}: {}", column, younger());
        if (!past_undo && !options_.force)
            return fmt::format("{}: down of step {} brings them back for {}; force => true gives that up", column,
                               kept.step, retention);
        if (!options_.execute) return {};
        Subtransaction part;
        try {
            (void)drop_kept_columns({kept});
        } catch (const Error &error) {
            return fmt::format("{}: {}", column, error.message());
        } catch (const PgError &error) {
            return fmt::format("{}: {}", column, error.data()->message);
        }
        part.commit();
        return {};
    }

    void kept_columns(const MigrationRecord &migration) {
        for (const KeptColumn &kept : kept_of(migration.id)) {
            if (!kept.has_values()) continue;
            Rows facts = own_query("SELECT kept_at, kept_at < $3, kept_at < $4 FROM tenantmig.kept_column WHERE "
                                   "migration_id = $1 AND step = $2",
                                   {bigint_value(kept.migration_id), int_value(kept.step), cutoff_, undo_cutoff_});
            const std::string needed = kept_column_needed(kept, facts.boolean(0, 2), facts.boolean(0, 3));
            add("kept_columns", migration.name, std::max<std::int64_t>(kept.rows, 1), facts.text(0, 1),
                facts.text(0, 1), needed.empty(),
                needed.empty()
                    ? fmt::format("{}: no way back from step {} then", core::excerpt(kept.label()), kept.step)
                    : needed);
        }
    }

    static bool is_enforced(const MigrationRecord &migration) {
        return !own_query("SELECT FROM tenantmig.enforcement WHERE migration_id = $1 AND state = 'enforced' LIMIT 1",
                          {bigint_value(migration.id)})
                    .empty();
    }

    void backups(const MigrationRecord &migration) {
        std::int64_t accepted = 0; // age that the gate accepts, in seconds
        for (const core::ConstraintStep &step : core::parse_spec_text(migration.spec).constraints)
            accepted = std::max(accepted, step.gate.backup_seconds.value_or(0));
        if (options_.force || is_enforced(migration)) accepted = 0;
        constexpr char select[] =
            "SELECT b.id, b.taken_at, CASE WHEN b.taken_at >= $2 THEN 1 WHEN b.id = (SELECT n.id FROM "
            "tenantmig.backup_log n WHERE n.migration_id = $1 ORDER BY n.taken_at DESC, n.id DESC LIMIT 1) THEN 2 WHEN "
            "b.taken_at >= $3 - make_interval(secs => $4) THEN 3 ELSE 0 END AS kept FROM tenantmig.backup_log b WHERE "
            "b.migration_id = $1";
        delete_backups(
            select, migration.name,
            {bigint_value(migration.id), backup_cutoff_, timestamp_value(our_time()), bigint_value(accepted)});
    }

    // Of migrations that were dropped.
    void orphaned_backups() {
        if (!has_privileges_of(extension_owner())) return;
        busy_.clear();
        delete_backups("SELECT b.id, b.taken_at, CASE WHEN b.taken_at >= $1 THEN 1 ELSE 0 END AS kept FROM "
                       "tenantmig.backup_log b WHERE b.migration_id IS NULL",
                       "", {backup_cutoff_});
    }

    void delete_backups(const char *select, const std::string &migration, const std::vector<Value> &values) {
        Rows rows = own_query(fmt::format("SELECT s.kept, count(*), min(s.taken_at), max(s.taken_at) FROM ({}) s "
                                          "GROUP BY s.kept ORDER BY s.kept",
                                          select),
                              values);
        for (std::size_t i = 0; i < rows.size(); i++) {
            const std::int64_t kept = rows.bigint(i, 1);
            const bool goes = kept == 0 && busy_.empty();
            if (goes && options_.execute)
                own_query(
                    fmt::format("DELETE FROM tenantmig.backup_log b USING ({}) s WHERE s.id = b.id AND s.kept = 0",
                                select),
                    values);
            add("backups", migration, rows.bigint(i, 2), rows.text(i, 3), rows.text(i, 4), goes,
                goes ? fmt::format("older than {}; the files are left to tenantmig purge --backup-dir", backup_period_)
                : kept == 1 ? fmt::format("younger than {}", backup_period_)
                : kept == 2 ? "the newest"
                : kept == 3
                    ? "the gate of constraints that are not enforced yet accepts them; force => true gives them up"
                    : busy_);
        }
    }

    void delete_drift(const char *select, const std::string &migration, const std::vector<Value> &values) {
        Rows rows = own_query(fmt::format("SELECT s.kept, count(*), min(s.happened_at), max(s.happened_at) FROM ({}) s "
                                          "GROUP BY s.kept ORDER BY s.kept",
                                          select),
                              values);
        for (std::size_t i = 0; i < rows.size(); i++) {
            const std::int64_t kept = rows.bigint(i, 1);
            const bool goes = kept == 0 && busy_.empty();
            if (goes && options_.execute)
                own_query(fmt::format("DELETE FROM tenantmig.drift_log d USING ({}) s WHERE s.id = d.id AND s.kept = 0",
                                      select),
                          values);
            add("drift", migration, rows.bigint(i, 2), rows.text(i, 3), rows.text(i, 4), goes,
                goes        ? fmt::format("older than {}", period_)
                : kept == 1 ? younger()
                : kept == 2 ? "the gate of constraints that are not enforced yet counts it"
                            : busy_);
        }
    }
};
} // namespace

std::vector<PurgeRow> purge(const PurgeOptions &options) {
    if (options.execute && XactReadOnly)
        throw Error(sqlstate::read_only_transaction, "cannot purge in a read-only transaction",
                    RecoveryInProgress() ? "The server is a standby." : "This transaction may only read.",
                    "Call it on the primary, in a transaction that may write, or without execute.");
    return Purge(options).run();
}

} // namespace tenantmig

// The walk of CALL up and CALL down. Every attempt at a step is put down before it begins and after it has ended, each
// in a transaction of its own: whatever ends the session in between, the views tell where it was, and the next walk
// goes on there.
#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "bridge/sql_script.hpp"
#include "catalog/events.hpp"
#include "catalog/migration_names.hpp"
#include "steps/enforce.hpp"
#include "steps/maintenance.hpp"
#include "steps/migrate.hpp"
#include "steps/migration.hpp"
#include "steps/step_engine.hpp"

namespace tenantmig {

namespace {
constexpr std::int64_t worth_telling = USECS_PER_SEC; // how long a step takes, in its notice

struct Item {
    core::StepRef ref;
    std::unique_ptr<Step> step;
    StepState state;
    bool applied = false;
    std::string before; // state.state when this attempt began
    bool half_way() const { return state.state == "applying" || state.state == "reverting"; }
};

std::string label(const core::StepRef &ref) {
    return fmt::format("step {} ({})", ref.number, core::step_name(ref.kind));
}

std::string index_subject(const core::IndexStep &step) {
    std::string columns;
    for (const core::IndexColumn &column : step.columns)
        columns += (columns.empty() ? "" : ", ") + column.column;
    return fmt::format(" {}({})", step.table, columns);
}

// What a step is about, as the spec writes it.
std::string subject(const core::Spec &spec, const core::StepRef &ref) {
    auto column = [](const auto &step) { return fmt::format(" {}.{}", step.table, step.column); };
    switch (ref.kind) {
    case core::StepKind::sql:
        return "";
    case core::StepKind::add_column:
        return column(spec.added_columns[ref.index]);
    case core::StepKind::drop_column:
        return column(spec.dropped_columns[ref.index]);
    case core::StepKind::index:
        return index_subject(spec.indexes[ref.index]);
    case core::StepKind::rekey:
        return fmt::format(" {}.{} -> {}", spec.rekeys[ref.index].root, spec.rekeys[ref.index].id,
                           spec.rekeys[ref.index].column);
    case core::StepKind::backfill:
        return column(spec.steps[ref.index]);
    case core::StepKind::guard:
        return column(spec.guards[ref.index]);
    case core::StepKind::constraint:
        return column(spec.constraints[ref.index]);
    case core::StepKind::isolate: {
        std::string tables;
        for (const core::IsolateTable &table : spec.isolations[ref.index].tables)
            tables += (tables.empty() ? " " : ", ") + table.table;
        return tables;
    }
    }
    return "";
}

// Who holds the migration's lock, as far as the caller may see it.
std::string holder_of(std::int64_t migration) {
    Rows pids = own_query("SELECT pid::text FROM tenantmig.active_migrations WHERE migration_id = $1 LIMIT 1",
                          {bigint_value(migration)});
    if (pids.empty()) return "Its transaction has not ended yet.";
    const std::string pid = pids.text_or(0, 1);
    Rows rows =
        run_query(fmt::format("SELECT a.usename::pg_catalog.text, a.query FROM pg_catalog.pg_stat_activity AS a "
                              "WHERE a.pid OPERATOR(pg_catalog.=) {}",
                              pid));
    if (rows.empty()) return fmt::format("It is pid {}.", pid);
    return fmt::format("It is pid {} ({}): {}", pid, rows.text_or(0, 1, "a worker"),
                       core::excerpt(rows.text_or(0, 2), 200));
}

class Walk {
public:
    Walk(FunctionCallInfo call, const char *procedure, const std::string &name, const WalkOptions &options)
        : options_(options), transactions_(session_transactions(call, procedure)) {
        bool locked = false;
        std::string holder;
        transactions_->run(true, [&] {
            record_ = get_migration(name);
            require_owner(record_);
            fire_deferred_as_caller();
            try {
                lock_migration(record_);
                locked = lock_.acquire(record_.id); // the session's lock comes before the transaction's goes
            } catch (const Error &error) {
                if (std::string_view(error.state()) != sqlstate::object_in_use) throw;
            }
            if (!locked) holder = holder_of(record_.id);
        });
        if (!locked)
            throw Error(sqlstate::object_in_use,
                        fmt::format("another run or decision is active on migration {}", core::excerpt(name)), holder,
                        fmt::format("Wait until it has ended: CALL tenantmig.wait({}).", literal()));
        changer_ = std::make_unique<ConstraintChanger>(*transactions_, lock_, record_.name);
        spec_ = core::parse_spec_text(record_.spec);
        check_options();
        TENANTMIG_FAULT("step_locked");
        changer_->note(true, [&] { close_logs(); });
    }

    void up() {
        load();
        std::vector<Item *> pending = to_apply();
        if (pending.empty()) {
            notice(fmt::format("migration {}: nothing to do, {} applied", core::excerpt(record_.name),
                               options_.to_step ? fmt::format("steps up to {} are", *options_.to_step)
                                                : std::string("all steps are")));
            return;
        }
        changer_->note(true, [&] { check_ahead(pending); });
        TENANTMIG_FAULT("step_checked");
        if (!options_.maintenance) {
            take_all(pending, true);
            return;
        }
        std::exception_ptr failure;
        try {
            take_all(pending, true);
        } catch (...) {
            failure = std::current_exception();
        }
        open_fence(failure != nullptr);
        if (failure) std::rethrow_exception(failure);
    }

    void down() {
        load();
        std::vector<Item *> pending = to_revert();
        if (pending.empty()) {
            notice(fmt::format("migration {}: nothing to do, no step {}is applied", core::excerpt(record_.name),
                               options_.to_step ? fmt::format("after {} ", *options_.to_step) : std::string()));
            return;
        }
        changer_->note(false, [&] {
            for (const Item *item : pending)
                item->step->check_down(record_, item->state);
        });
        TENANTMIG_FAULT("step_checked");
        take_all(pending, false);
    }

private:
    WalkOptions options_;
    std::unique_ptr<Transactions> transactions_;
    ActiveLock lock_;
    MigrationRecord record_;
    std::unique_ptr<ConstraintChanger> changer_;
    core::Spec spec_;
    std::vector<Item> items_;

    std::string literal() const { return core::sql_literal(record_.name); }
    int count() const { return static_cast<int>(spec_.order.size()); }

    void check_options() const {
        if (options_.to_step && options_.steps)
            throw Error(sqlstate::invalid_parameter_value, "to_step and steps exclude each other", {},
                        "Give one of them, or none for all steps.");
        if (options_.to_step && (*options_.to_step < 0 || *options_.to_step > count()))
            throw Error(sqlstate::invalid_parameter_value, fmt::format("there is no step {}", *options_.to_step),
                        fmt::format("Migration {} has {} step{}.", core::excerpt(record_.name), count(),
                                    count() == 1 ? "" : "s"),
                        fmt::format("SELECT * FROM tenantmig.steps WHERE migration = {}; 0 stands for none of them.",
                                    literal()));
        if (options_.steps && *options_.steps < 1)
            throw Error(sqlstate::invalid_parameter_value, fmt::format("{} is not a number of steps", *options_.steps),
                        {}, "steps: 1 or more, counted from where the migration stands.");
        if (options_.workers < 1 || options_.workers > 64)
            throw Error(sqlstate::invalid_parameter_value,
                        fmt::format("{} is not a number of workers", options_.workers), {}, "workers: from 1 to 64.");
    }

    // What a session that was killed has left open.
    void close_logs() {
        own_query(
            "UPDATE tenantmig.step_log SET outcome = 'failed', error = 'interrupted: its session has ended' WHERE "
            "migration_id = $1 AND outcome = 'running'",
            {bigint_value(record_.id)});
    }

    void load() {
        items_.clear();
        changer_->note(false, [&] {
            record_ = get_migration(record_.id);
            for (const core::StepRef &ref : spec_.order) {
                Item item;
                item.ref = ref;
                item.step = make_step(spec_, ref);
                item.state = get_step_state(record_.id, ref.number);
                item.applied = item.step->applied(record_, item.state);
                items_.push_back(std::move(item));
            }
        });
    }

    void refuse_half_way(const Item &item, const char *hint) const {
        throw Error(sqlstate::step_unfinished, fmt::format("{} is half-way", label(item.ref)),
                    item.state.error.empty() ? fmt::format("It is {}.", item.state.state)
                                             : fmt::format("It is {}: {}", item.state.state, item.state.error),
                    fmt::format("{} CALL tenantmig.up({}) or CALL tenantmig.down({}) goes on with it.", hint, literal(),
                                literal()));
    }

    std::vector<Item *> to_apply() {
        const int last = options_.to_step.value_or(count());
        std::vector<Item *> pending;
        std::vector<const Item *> passed;
        for (Item &item : items_) {
            const bool due = !item.applied || (core::keeps_state(item.ref.kind) && item.state.state != "applied");
            const bool asked = item.ref.number <= last &&
                               (!options_.steps || static_cast<std::int32_t>(pending.size()) < *options_.steps);
            if (due && asked) pending.push_back(&item);
            if (item.half_way() && !asked) refuse_half_way(item, "Ask for it, too:");
            if (!due && asked) passed.push_back(&item);
        }
        if (!pending.empty())
            for (const Item *item : passed)
                notice(fmt::format("{}{}: in force already", label(item->ref), subject(spec_, item->ref)));
        return pending;
    }

    std::vector<Item *> to_revert() {
        const int last = options_.to_step.value_or(0);
        std::set<int> together; // runs are taken back as a whole
        std::vector<Item *> pending;
        for (auto item = items_.rbegin(); item != items_.rend(); ++item) {
            const bool due = core::keeps_state(item->ref.kind) ? !item->state.state.empty() : stands(*item);
            const bool counted = !options_.steps || static_cast<std::int32_t>(pending.size()) < *options_.steps;
            const bool asked = item->ref.number > last && (counted || together.contains(item->ref.number));
            if (item->half_way() && !asked) refuse_half_way(*item, "Ask for it, too:");
            if (!due) continue;
            if (!asked && together.contains(item->ref.number)) refuse_part(*item);
            if (!asked) continue;
            if (!counted) notice(fmt::format("{} goes back, too: it was done by the same run", label(item->ref)));
            pending.push_back(&*item);
            if (item->ref.kind == core::StepKind::backfill)
                changer_->note(false, [&] {
                    for (int other : steps_undone_with(record_, item->ref.number))
                        together.insert(other);
                });
        }
        return pending;
    }

    // Whether there is something of a step whose state stands in tables of its own.
    bool stands(const Item &item) {
        if (item.applied || item.ref.kind == core::StepKind::guard) return item.applied;
        bool any = false;
        changer_->note(false, [&] {
            if (item.ref.kind == core::StepKind::backfill) any = !steps_undone_with(record_, item.ref.number).empty();
            if (item.ref.kind == core::StepKind::constraint)
                for (const EnforcementRecord &row : enforcements(record_.id, {"intended", "enforced", "relaxing"}))
                    any |= row.step == item.ref.number;
        });
        return any;
    }

    void refuse_part(const Item &item) const {
        throw Error(sqlstate::no_way_back,
                    fmt::format("{} can't stay when the steps after it are taken back", label(item.ref)),
                    "One run has done it together with a later step, and a run is taken back as a whole.",
                    fmt::format("CALL tenantmig.down({}, to_step => {}).", literal(), item.ref.number - 1));
    }

    // Names in a step mean what stands there when all structural steps before it are done: what they can't change is
    // checked ahead, the rest when it is reached.
    void check_ahead(const std::vector<Item *> &pending) {
        bool known = true, opaque = false, dropped = false;
        std::set<Oid> changed;
        for (const Item *item : pending) {
            const bool structural = core::is_structural(item->ref.kind);
            if (known || item->ref.kind == core::StepKind::sql)
                check(*item);
            else if (structural && !opaque && !(dropped && item->ref.kind == core::StepKind::index))
                check_elsewhere(*item, changed);
            if (!structural) continue;
            known = false;
            opaque |= item->ref.kind == core::StepKind::sql || item->ref.kind == core::StepKind::rekey;
            dropped |= item->ref.kind == core::StepKind::drop_column;
            if (auto table = table_of(*item)) changed.insert(*table);
        }
    }

    // The table of a step on one table, as its name is meant now.
    std::optional<Oid> table_of(const Item &item) const {
        std::string written;
        if (item.ref.kind == core::StepKind::add_column) written = spec_.added_columns[item.ref.index].table;
        if (item.ref.kind == core::StepKind::drop_column) written = spec_.dropped_columns[item.ref.index].table;
        if (item.ref.kind == core::StepKind::index) written = spec_.indexes[item.ref.index].table;
        if (written.empty()) return std::nullopt;
        ScriptSettings settings;
        settings.use_search_path(record_.search_path);
        std::vector<std::string> parts;
        for (const core::Identifier &part : core::split_identifier(written))
            parts.push_back(part.text);
        const Oid table = lookup_table(parts);
        return OidIsValid(table) ? std::optional<Oid>(table) : std::nullopt;
    }

    // A step on a table that no step before it changes.
    void check_elsewhere(const Item &item, const std::set<Oid> &changed) {
        const auto table = table_of(item);
        if (!table || changed.contains(*table)) return;
        ScriptSettings settings;
        settings.use_search_path(record_.search_path);
        NameBook names; // not remembered: it is resolved when it is reached
        item.step->check(record_, names);
    }

    void check(const Item &item) {
        if (!core::keeps_state(item.ref.kind)) {
            resolve_segment(record_, item.ref.number);
            return;
        }
        ScriptSettings settings;
        settings.use_search_path(record_.search_path);
        MigrationNames names(record_);
        item.step->check(record_, names.of(item.ref.number));
        store_names(record_, names);
    }

    // Consecutive backfills are one run.
    void take_all(const std::vector<Item *> &pending, bool up) {
        for (std::size_t i = 0; i < pending.size();) {
            std::vector<Item *> group = {pending[i++]};
            auto joins = [&] {
                return i < pending.size() && group[0]->ref.kind == core::StepKind::backfill &&
                       pending[i]->ref.kind == core::StepKind::backfill &&
                       std::abs(pending[i]->ref.number - group.back()->ref.number) == 1;
            };
            while (joins())
                group.push_back(pending[i++]);
            if (options_.maintenance) close_fence();
            if (!take(group, up)) return;
        }
    }

    // False: it is paused.
    bool take(const std::vector<Item *> &group, bool up) {
        const TimestampTz started = GetCurrentTimestamp();
        std::vector<std::int64_t> logs;
        changer_->note(true, [&] {
            record_ = get_migration(record_.id);
            require_owner(record_);
            logs.clear();
            for (Item *item : group)
                logs.push_back(note_begin(*item, up));
        });
        TENANTMIG_FAULT("step_begun");
        Item &first = *group[0];
        StepContext context{*transactions_, lock_, *changer_, record_, spec_, first.ref, options_.workers, first.state};
        BackfillEnd end;
        std::exception_ptr failure;
        try {
            changer_->note(true, [&] {
                for (Item *item : group) {
                    if (up) check(*item);
                    mark(*item, up);
                }
            });
            context.state = first.state;
            TENANTMIG_FAULT("step_ready");
            end = carry_out(group, context, up);
            TENANTMIG_FAULT("step_taken");
            changer_->note(true, [&] { note_end(group, context, up, end, logs); });
            TENANTMIG_FAULT("step_noted");
        } catch (...) {
            failure = std::current_exception();
        }
        if (failure) {
            note_failure(group, context, up, logs, failure);
            std::rethrow_exception(failure);
        }
        tell(group, up, end, GetCurrentTimestamp() - started);
        return !end.paused;
    }

    std::int64_t note_begin(Item &item, bool up) {
        item.state = get_step_state(record_.id, item.ref.number);
        item.before = item.state.state;
        return begin_step_log(record_.id, item.ref.number, core::step_name(item.ref.kind), up ? "up" : "down",
                              actor_name());
    }

    // How far the other steps are stands in their own tables.
    void mark(Item &item, bool up) {
        if (!core::keeps_state(item.ref.kind)) return;
        item.state.state = up ? "applying" : "reverting";
        item.state.error.clear();
        save_step_state(record_.id, item.ref.number, item.state);
    }

    static BackfillEnd carry_out(const std::vector<Item *> &group, StepContext &context, bool up) {
        if (group[0]->ref.kind != core::StepKind::backfill) {
            BackfillEnd end;
            end.changed = up ? group[0]->step->up(context) : group[0]->step->down(context);
            return end;
        }
        std::vector<int> numbers;
        for (const Item *item : group)
            numbers.push_back(item->ref.number);
        std::sort(numbers.begin(), numbers.end());
        return up ? run_backfills(context, numbers) : undo_backfills(context, numbers);
    }

    void note_end(const std::vector<Item *> &group, StepContext &context, bool up, const BackfillEnd &end,
                  const std::vector<std::int64_t> &logs) {
        for (std::size_t i = 0; i < group.size(); i++) {
            const Item &item = *group[i];
            if (core::keeps_state(item.ref.kind)) {
                StepState state = get_step_state(record_.id, item.ref.number);
                state.state = up ? "applied" : "";
                state.phase.clear();
                state.error.clear();
                save_step_state(record_.id, item.ref.number, state);
                if (core::is_structural(item.ref.kind)) forget_names_after(record_, item.ref.number);
            }
            const char *outcome = end.paused ? "paused" : end.changed ? "done" : "unchanged";
            end_step_log(logs[i], outcome, end.paused ? "paused: " + end.reason : "", context.log);
            say(item, end.paused ? "paused" : up ? "applied" : "reverted");
        }
    }

    // The first error is what counts; what can't be noted any more shows as interrupted.
    void note_failure(const std::vector<Item *> &group, const StepContext &context, bool up,
                      const std::vector<std::int64_t> &logs, const std::exception_ptr &failure) {
        const std::string error = error_to_keep(failure);
        try {
            changer_->note(true, [&] {
                for (std::size_t i = 0; i < group.size(); i++) {
                    StepState state = get_step_state(record_.id, group[i]->ref.number);
                    if (!state.state.empty()) {
                        if (up && !group[i]->step->may_stand(state)) state.state.clear();
                        if (error.starts_with(sqlstate::step_unfinished))
                            state.state = group[i]->before; // it refuses to turn round
                        // refused before anything was done
                        const StepState &begun = group[i]->state;
                        if (!up && error.starts_with(sqlstate::dependent_objects) && state.phase == begun.phase &&
                            state.detail == begun.detail)
                            state.state = group[i]->before;
                        // an applied step that was to be repaired
                        if (up && group[i]->before == "applied" && error.starts_with(sqlstate::precheck_failed) &&
                            state.phase == begun.phase && state.detail == begun.detail)
                            state.state = group[i]->before;
                        state.error = error;
                        save_step_state(record_.id, group[i]->ref.number, state);
                    }
                    end_step_log(logs[i], "failed", error, context.log);
                    say(*group[i], up ? "up failed" : "down failed");
                }
            });
        } catch (...) { // the view says that it was interrupted
        }
    }

    // For another half hour; tables that a step has made are fenced from the next one on.
    void close_fence() {
        try {
            (void)set_maintenance(*changer_, record_, true);
        } catch (const Error &error) {
            if (std::string_view(error.state()) != sqlstate::prerequisite_state) throw;
            notice(fmt::format("nothing is fenced: {}", error.message()));
        }
    }

    void open_fence(bool after_failure) {
        try {
            (void)set_maintenance(*changer_, record_, false);
        } catch (...) {
            if (!after_failure) throw;
            warning("the tables are still fenced", "Maintenance mode could not be switched off; it ends by itself.",
                    fmt::format("SELECT * FROM tenantmig.maintenance({}, false);", literal()));
        }
    }

    void say(const Item &item, const char *state) {
        announce("step", record_.name,
                 {{"step", item.ref.number}, {"kind", core::step_name(item.ref.kind)}, {"state", state}});
    }

    void tell(const std::vector<Item *> &group, bool up, const BackfillEnd &end, std::int64_t took) const {
        const char *words =
            end.changed ? (up ? "applied" : "taken back") : (up ? "in force already" : "nothing to take back");
        for (const Item *item : group)
            notice(fmt::format("{}{}: {}{}", label(item->ref), subject(spec_, item->ref), end.paused ? "paused" : words,
                               took < worth_telling
                                   ? std::string()
                                   : fmt::format(" in {:.1f} s", static_cast<double>(took) / USECS_PER_SEC)));
        if (end.paused)
            notice(fmt::format("migration {} stops here, run {} is paused{}{}; CALL tenantmig.{}({}) goes on",
                               core::excerpt(record_.name), end.run, end.reason.empty() ? "" : ": ", end.reason,
                               up ? "up" : "down", literal()));
    }
};
} // namespace

void up_in_session(FunctionCallInfo call, const std::string &migration, const WalkOptions &options) {
    Walk walk(call, "tenantmig.up", migration, options);
    walk.up();
}

void down_in_session(FunctionCallInfo call, const std::string &migration, const WalkOptions &options) {
    Walk walk(call, "tenantmig.down", migration, options);
    walk.down();
}

} // namespace tenantmig

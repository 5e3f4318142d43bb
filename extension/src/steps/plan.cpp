#include "core/spec.hpp"

#include "catalog/enforcement_store.hpp"
#include "catalog/guard_store.hpp"
#include "catalog/step_store.hpp"
#include "engine/write_path.hpp"
#include "steps/checks.hpp"
#include "steps/step.hpp"

namespace tenantmig {

namespace {
// Estimates; the constants are medians measured on two cores (docs/performance.md, "What a plan estimates").
constexpr double seconds_per_row = 4.5e-6, seconds_per_index = 0.8e-6, seconds_per_evidence_row = 0.2e-6,
                 log_bytes_per_row = 8;
constexpr double update_header_bytes = 70, index_entry_bytes = 72;

struct Storage {
    double row_bytes = 100, indexes = 1, pages = 0, rows = 1;
};

Storage storage_of(const Table &table) {
    Rows rows = own_query(
        "SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint, "
        "(SELECT count(*) FROM pg_index WHERE indrelid = $1) "
        "FROM pg_class c WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1))",
        {{OIDOID, ObjectIdGetDatum(table.oid), false}});
    Storage storage;
    double bytes = static_cast<double>(rows.bigint(0, 1));
    storage.rows = std::max<double>(1, static_cast<double>(rows.bigint(0, 2)));
    storage.pages = bytes / BLCKSZ;
    if (rows.bigint(0, 2) > 0) storage.row_bytes = std::clamp(bytes / storage.rows, 32.0, 8000.0);
    storage.indexes = static_cast<double>(rows.bigint(0, 3));
    return storage;
}

std::string join(const std::vector<std::string> &parts, const char *separator) {
    std::string text;
    for (const std::string &part : parts)
        text += (text.empty() ? "" : separator) + part;
    return text;
}

std::string write_note(const ResolvedStep &step, bool spilled) {
    std::vector<std::string> notes;
    for (const TriggerNote &trigger : update_triggers(step))
        notes.push_back(trigger.columns.empty()
                            ? fmt::format("trigger {} fires", trigger.trigger)
                            : fmt::format("trigger {} changes {}", trigger.trigger, join(trigger.columns, ", ")));
    if (spilled) notes.push_back("evidence exceeds maintenance_work_mem and is joined through temporary files");
    return join(notes, "; ");
}
} // namespace

std::vector<TriggerNote> update_triggers(const ResolvedStep &step) {
    Rows rows =
        own_query("SELECT t.tgname::text, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE "
                  "t.tgrelid = $1 AND NOT t.tgisinternal AND p.pronamespace <> 'tenantmig'::regnamespace "
                  "AND t.tgenabled IN ('O', 'A') AND (t.tgtype & 19) = 19 ORDER BY t.tgname", // row, before, update
                  {{OIDOID, ObjectIdGetDatum(step.target.table.oid), false}});
    std::vector<TriggerNote> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        TriggerNote note{rows.text_or(i, 1), {}};
        std::string source = rows.text_or(i, 2);
        for (const Column &column : step.target.table.columns) {
            Rows assigns = own_query("SELECT $1 ~* ('\\mnew\\s*\\.\\s*\"?' || regexp_replace($2, '([^[:alnum:]_])', "
                                     "'\\\\\\1', 'g') || '\"?\\s*:?=')",
                                     {text_value(source), text_value(column.name)});
            if (assigns.boolean(0, 1) && column.number != step.target.column.number)
                note.columns.push_back(quoted(column.name));
        }
        result.push_back(std::move(note));
    }
    return result;
}

namespace {
std::vector<PlanRow> plan_backfills(const ResolvedMigration &migration) {
    std::vector<PlanRow> result;
    for (const StepForecast &forecast : forecast(migration, false)) {
        const ResolvedStep &step = *forecast.step;
        Storage storage = storage_of(step.target.table);
        std::set<std::string> read;
        for (const ResolvedSource &source : step.sources) {
            for (const Hop &hop : source.hops)
                read.insert(hop.table.label());
            for (const auto &[type, hop] : source.types)
                read.insert(hop.table.label());
        }
        std::string locks = fmt::format("ROW EXCLUSIVE on {}, ACCESS SHARE on {}", step.label(),
                                        join({read.begin(), read.end()}, ", "));
        std::int64_t writes = 0;
        for (const OutcomeCount &count : forecast.counts)
            if (count.outcome == "assigned" || count.source == "soft_delete") writes += count.rows;
        std::string path = write_path(step.target);
        bool first = true;
        for (const OutcomeCount &count : forecast.counts) {
            PlanRow row;
            row.step = step.spec.number;
            row.kind = "backfill";
            row.count = count;
            if (count.outcome == "assigned" || count.source == "soft_delete") {
                double rows = static_cast<double>(count.rows), share = rows / static_cast<double>(writes);
                row.path = path;
                row.locks = locks;
                double evidence = first ? static_cast<double>(forecast.evidence_rows) * seconds_per_evidence_row : 0;
                row.seconds = rows * (seconds_per_row + storage.indexes * seconds_per_index) + evidence;
                double images = std::min(storage.pages, static_cast<double>(writes)) * 2 * BLCKSZ * 0.6 *
                                share; // full-page images after a checkpoint
                row.wal_bytes =
                    static_cast<std::int64_t>(rows * (storage.row_bytes + update_header_bytes +
                                                      storage.indexes * index_entry_bytes + log_bytes_per_row) +
                                              images);
                row.note = write_note(step, forecast.spilled);
                first = false;
            } else {
                row.path = "none";
                row.note = "goes to the review queue";
            }
            result.push_back(std::move(row));
        }
        if (forecast.counts.empty())
            result.push_back({step.spec.number,
                              "backfill",
                              {step.label(), "nothing to do", std::nullopt, 0, 0},
                              "none",
                              "",
                              "no row without a tenant key",
                              std::nullopt,
                              std::nullopt});
    }
    return result;
}

// The table that a step is about, as the document writes it.
std::string written_table(const core::Spec &spec, const core::StepRef &ref) {
    switch (ref.kind) {
    case core::StepKind::backfill:
        return spec.steps[ref.index].table;
    case core::StepKind::guard:
        return spec.guards[ref.index].table;
    case core::StepKind::constraint:
        return spec.constraints[ref.index].table;
    case core::StepKind::add_column:
        return spec.added_columns[ref.index].table;
    case core::StepKind::drop_column:
        return spec.dropped_columns[ref.index].table;
    case core::StepKind::index:
        return spec.indexes[ref.index].table;
    case core::StepKind::rekey:
        return spec.rekeys[ref.index].root;
    case core::StepKind::isolate:
    case core::StepKind::sql:
        break;
    }
    return {};
}

PlanRow one_row(const core::StepRef &ref, const std::string &relation, const std::string &outcome,
                const std::string &note) {
    return {ref.number,
            std::string(core::step_name(ref.kind)),
            {relation, outcome, std::nullopt, 0, 0},
            "none",
            "",
            note,
            std::nullopt,
            std::nullopt};
}

void plan_structural(const MigrationRecord &record, const core::Spec &spec, const core::StepRef &ref,
                     std::vector<PlanRow> &result) {
    const StepState state = get_step_state(record.id, ref.number);
    const std::string table = written_table(spec, ref);
    const std::unique_ptr<Step> step = make_step(spec, ref);
    if (state.state == "applying" || state.state == "reverting") {
        const std::string what = state.phase.empty() ? "half-way" : fmt::format("half-way: {}", state.phase);
        result.push_back(one_row(ref, table, state.state, state.error.empty() ? what : what + "; " + state.error));
    } else if (state.state == "applied" || step->applied(record, state)) {
        result.push_back(one_row(ref, table, "applied", ""));
    } else {
        for (PlanRow &row : step->plan(record))
            result.push_back(std::move(row));
    }
}

// What stands of a guard or constraint step that can be looked at.
PlanRow plan_guard(const MigrationRecord &record, const core::StepRef &ref, const core::GuardStep &step) {
    const std::vector<GuardRecord> guards = guards_of(record.id);
    const bool there =
        std::any_of(guards.begin(), guards.end(), [&](const GuardRecord &guard) { return guard.step == step.number; });
    PlanRow row = one_row(ref, step.table, there ? "attached" : "attach", std::string(core::kind_name(step.kind)));
    if (!there) row.locks = fmt::format("SHARE ROW EXCLUSIVE on {}", step.table);
    return row;
}

PlanRow plan_constraint(const MigrationRecord &record, const core::StepRef &ref, const core::ConstraintStep &step) {
    const std::vector<EnforcementRecord> rows = enforcements(record.id, {"enforced"});
    const bool there =
        std::any_of(rows.begin(), rows.end(), [&](const EnforcementRecord &row) { return row.step == step.number; });
    PlanRow row = one_row(ref, step.table, there ? "enforced" : "enforce", there ? "" : "the gate decides");
    if (!there) row.locks = fmt::format("ACCESS EXCLUSIVE on {}, for moments", step.table);
    return row;
}
} // namespace

std::vector<PlanRow> plan_migration(const MigrationRecord &record) {
    ResolvedMigration migration = resolve_migration(record);
    std::vector<PlanRow> backfills = plan_backfills(migration);
    MigrationRecord whole = record;
    whole.scope.clear();
    const core::Spec spec = migration_spec(whole);
    const bool more = std::any_of(spec.order.begin(), spec.order.end(),
                                  [](const core::StepRef &step) { return core::keeps_state(step.kind); });
    if (!more || !record.scope.empty()) return backfills;
    const Reach reach = reach_of(whole);
    const MigrationNames names(whole);
    std::vector<PlanRow> result;
    auto next = backfills.begin();
    for (const core::StepRef &ref : spec.order) {
        const auto aside = [&](const std::vector<StepAside> &list) {
            const auto found =
                std::find_if(list.begin(), list.end(), [&](const StepAside &step) { return step.step == ref.number; });
            if (found != list.end())
                result.push_back(
                    one_row(ref, written_table(spec, ref), found->later ? "comes later" : "past", found->reason));
            return found != list.end();
        };
        if (aside(reach.later) || aside(migration.aside)) continue;
        switch (ref.kind) {
        case core::StepKind::backfill: // those of a segment as they are executed, where the first of them stands
            while (next != backfills.end() && names.segment_of(next->step) == names.segment_of(ref.number))
                result.push_back(std::move(*next++));
            break;
        case core::StepKind::guard:
            result.push_back(plan_guard(record, ref, spec.guards[ref.index]));
            break;
        case core::StepKind::constraint:
            result.push_back(plan_constraint(record, ref, spec.constraints[ref.index]));
            break;
        default:
            plan_structural(record, spec, ref, result);
        }
    }
    return result;
}

} // namespace tenantmig

// The step rekey; see steps/rekey.hpp.
#include <nlohmann/json.hpp>

#include "bridge/results.hpp"
#include "engine/target.hpp"
#include "steps/rekey.hpp"
#include "steps/step_kinds.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;

Json checks_json(const std::vector<CheckRow> &checks) {
    Json list = Json::array();
    for (const CheckRow &check : checks) {
        Json one = {{"check", check.check_name},
                    {"status", check.status},
                    {"expected", check.expected},
                    {"actual", check.actual}};
        if (!check.detail.empty()) one["detail"] = check.detail;
        list.push_back(std::move(one));
    }
    return list;
}

Json columns_json(const std::vector<RekeyColumn> &columns) {
    Json list = Json::array();
    for (const RekeyColumn &column : columns) {
        std::string text = column.table + "." + column.column;
        if (!column.from.empty()) text += fmt::format(": {} -> {}", column.from, column.to);
        list.push_back(std::move(text));
    }
    return list;
}

class RekeyStepRunner : public Step {
public:
    explicit RekeyStepRunner(core::RekeyStep step) : step_(std::move(step)) {}

    void check(const MigrationRecord &migration, NameBook &names) override {
        if (migration.id != 0 && has_rekey_list(get_step_state(migration.id, step_.number).detail))
            return; // half-way: names mean what they meant then
        target_ = resolve_rekey(step_, names);
        for (const Table &table : target_->all())
            require_rights_of_creator(migration, table);
        (void)make_rekey_list(*target_, migration.id);
    }

    std::vector<PlanRow> plan(const MigrationRecord & /*migration*/) override {
        PlanRow row;
        row.step = step_.number;
        row.kind = "rekey";
        row.count.relation = step_.root;
        row.path = "new columns beside the old ones, filled online";
        row.locks =
            "ACCESS EXCLUSIVE for a moment each, SHARE UPDATE EXCLUSIVE while indexes and constraints are checked";
        row.note = fmt::format("{} -> {} on {} table{}{}", step_.id, step_.column, step_.tables.size(),
                               step_.tables.size() == 1 ? "" : "s",
                               step_.embed.empty() ? std::string()
                                                   : fmt::format("; ids that begin with it: {}", step_.embed.size()));
        return {row};
    }

    bool applied(const MigrationRecord & /*migration*/, const StepState &state) override {
        return state.state == "applied";
    }

    // The old columns are what the way back leads to.
    void check_down(const MigrationRecord & /*migration*/, const StepState &state) override {
        if (has_rekey_list(state.detail)) (void)parse_rekey(state.detail);
    }

    bool up(StepContext &context) override {
        RekeyList list;
        std::vector<CheckRow> before;
        if (has_rekey_list(context.state.detail)) {
            list = stored_rekey(context.state);
        } else {
            context.changer.note(false, [&] { before = rekey_prechecks(*target_); });
            log(context, list, before, {}, 0);
            require_prechecks(context.label(), before);
            context.changer.note(true, [&] {
                list = make_rekey_list(*target_, context.migration.id);
                context.save("begun", rekey_json(list));
            });
        }
        if (list.done == list.actions.size()) { // stopped after the last action: the mark is in the phase only
            context.changer.note(true, [&] { context.save(context.state.phase, rekey_json(list)); });
            return false;
        }
        RekeyWorker worker(context, list);
        try {
            worker.up();
        } catch (...) {
            log(context, list, before, worker.checks, worker.longest_hold);
            throw;
        }
        log(context, list, before, worker.checks, worker.longest_hold);
        return true;
    }

    bool down(StepContext &context) override {
        if (!has_rekey_list(context.state.detail)) return false;
        RekeyList list = stored_rekey(context.state);
        context.changer.note(false, [&] { require_columns(context, list); });
        RekeyWorker worker(context, list);
        worker.down();
        Json detail = {{"longest_lock_ms", static_cast<double>(worker.longest_hold) / 1000}};
        context.log = detail.dump();
        context.changer.note(true, [&] { close_runs(context); });
        return true;
    }

    std::vector<CheckRow> verify(const MigrationRecord & /*migration*/, const StepState &state) override {
        if (!has_rekey_list(state.detail)) return {};
        return run_rekey_checks(parse_rekey(state.detail));
    }

private:
    core::RekeyStep step_;
    std::optional<RekeyTarget> target_;

    static void log(StepContext &context, const RekeyList &list, const std::vector<CheckRow> &before,
                    const std::vector<CheckRow> &after, std::int64_t hold) {
        std::vector<CheckRow> all = before;
        all.insert(all.end(), after.begin(), after.end());
        const Json detail = {{"checks", checks_json(all)},
                             {"columns_added", columns_json(list.added)},
                             {"columns_converted", columns_json(list.converted)},
                             {"longest_lock_ms", static_cast<double>(hold) / 1000}};
        context.log = detail.dump();
    }

    // A later step may have dropped the old columns; it is taken back first.
    static void require_columns(const StepContext &context, const RekeyList &list) {
        for (const RekeyAction &action : list.actions) {
            const auto table = find_site(action.table, list.database);
            if (!table)
                throw Error(
                    sqlstate::undefined_table,
                    fmt::format("table {} does not exist any more", qualified(action.table.schema, action.table.name)),
                    fmt::format("{} has changed it.", context.label()), "Bring it back first.");
            require_rights_of_creator(context.migration, *table);
        }
    }

    // The values that they have written are gone with the columns.
    void close_runs(const StepContext &context) const {
        std::string numbers;
        for (const core::BackfillStep &backfill : core::rekey_backfills(step_))
            numbers += (numbers.empty() ? "" : ",") + std::to_string(backfill.number);
        own_query(fmt::format("UPDATE tenantmig.run_log SET state = 'rolled_back' WHERE migration_id = $1 AND state <> "
                              "'rolled_back' AND steps <@ '{{{}}}'::integer[]",
                              numbers),
                  {bigint_value(context.migration.id)});
    }
};
} // namespace

std::unique_ptr<Step> make_rekey_step(const core::RekeyStep &step) {
    return std::make_unique<RekeyStepRunner>(step);
}

} // namespace tenantmig

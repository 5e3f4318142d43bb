// isolate: see isolate.hpp.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/policy.hpp"
#include "bridge/results.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/target.hpp"
#include "steps/isolate.hpp"
#include "steps/step_kinds.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;
constexpr int most_rounds = 10;         // of partitions that come in while we work
constexpr std::size_t told_at_once = 3; // criteria in an error

std::string labels(const std::vector<RoleSite> &roles) {
    std::string list;
    for (const RoleSite &role : roles)
        list += (list.empty() ? "" : ", ") + tenantmig::quoted(role.name);
    return list;
}

class Isolate : public Step {
public:
    Isolate(core::Spec spec, core::IsolateStep step) : spec_(std::move(spec)), step_(std::move(step)) {}

    void check(const MigrationRecord &migration, NameBook &names) override {
        const IsolateScope scope = isolate_scope(migration, spec_, step_, names);
        require_rights(migration, scope);
        const IsolateKeys keys = isolate_keys(step_, scope);
        if (keys.wanted())
            keys.check(migration, migration.id ? get_step_state(migration.id, step_.number) : StepState());
    }

    std::vector<PlanRow> plan(const MigrationRecord &migration) override {
        const IsolateScope scope = isolate_scope(migration, spec_, step_);
        std::vector<PlanRow> rows;
        for (const IsolateMember *top : scope.tops()) {
            const std::size_t below = scope.below(top->table.oid).size() - 1;
            PlanRow row;
            row.step = step_.number;
            row.kind = "isolate";
            row.count.relation = top->table.label();
            row.count.outcome = "table isolated";
            row.count.rows = std::max<std::int64_t>(0, static_cast<std::int64_t>(top->table.row_estimate));
            row.path = "catalogue";
            row.locks = fmt::format("ACCESS EXCLUSIVE on {}{}, for a moment each", top->table.label(),
                                    below ? fmt::format(" and {} tables below it, one after the other", below) : "");
            row.note = fmt::format("for {}: {}", labels(scope.roles), tenant_condition(top->key, scope.setting));
            if (scope.super_role)
                row.note += fmt::format("; {} sees all rows", tenantmig::quoted(scope.super_role->name));
            if (step_.index && leading_index(top->table, top->key).empty())
                row.note += fmt::format("; an index that leads with {} is built concurrently",
                                        tenantmig::quoted(top->key.name));
            row.note += scope.force ? "; FORCE as the last thing" : "; the owner is not held to the policies";
            rows.push_back(std::move(row));
        }
        const IsolateKeys keys = isolate_keys(step_, scope);
        if (keys.wanted())
            for (PlanRow &row : keys.plan(get_step_state(migration.id, step_.number)))
                rows.push_back(std::move(row));
        return rows;
    }

    bool applied(const MigrationRecord &migration, const StepState &state) override {
        return state.state == "applied" && isolation_defects(migration, step_.number).empty() &&
               IsolateKeys::applied(state);
    }

    bool may_stand(const StepState &state) override { return Json::parse(state.detail).contains("began"); }

    void check_down(const MigrationRecord &, const StepState &state) override { IsolateKeys::check_down(state); }

    bool up(StepContext &context) override {
        IsolateScope scope;
        const bool restored = restore(context);
        context.changer.note(true, [&] {
            scope = isolate_scope(context.migration, spec_, step_);
            require_rights(context.migration, scope);
            std::vector<CheckRow> rows = isolate_criteria(step_, scope, true);
            if (const IsolateKeys keys = isolate_keys(step_, scope); keys.wanted())
                for (CheckRow &row : keys.criteria(context.state))
                    rows.push_back(std::move(row));
            refuse_open(context, rows);
            say_aloud(context, rows);
            Json document = Json::parse(context.state.detail);
            document["began"] = true;
            context.save("indexes", document.dump());
        });
        TENANTMIG_FAULT("isolate_begun");
        IsolateKeys keys = isolate_keys(step_, scope);
        bool keys_made = false; // before the indexes: a unique key that leads with the tenant key is one
        if (keys.wanted()) {
            keys_made = keys.up(context);
            hold_ = std::max(hold_, keys.longest_hold());
        }
        TENANTMIG_FAULT("isolate_keys_done");
        const bool indexes = build_indexes(context, scope);
        context.changer.note(true, [&] { context.save("policies", context.state.detail); });
        const bool tables = isolate_all(context);
        context.changer.note(true, [&] {
            Json document = Json::parse(context.state.detail);
            document["complete"] = true;
            for (const IsolationRecord &row : isolations(context.migration.id, step_.number))
                if (row.parent && !isolated_table(row)) delete_isolation(row);
            Json log = Json::parse(context.log);
            log["tables_isolated"] = isolated_names(context.migration);
            log["longest_lock_us"] = hold_;
            context.log = log.dump();
            context.state.state = "applied";
            context.save("isolated", document.dump());
        });
        return restored || indexes || keys_made || tables;
    }

    bool down(StepContext &context) override {
        std::vector<IsolationRecord> rows;
        context.changer.note(false, [&] {
            rows = isolations(context.migration.id, step_.number);
            for (const IsolationRecord &row : rows)
                if (const auto table = isolated_table(row)) {
                    require_table_rights(*table);
                    require_rights_of_creator(context.migration, *table);
                }
        });
        bool changed = false;
        for (IsolationRecord &row : rows)
            changed |= release(context, row);
        TENANTMIG_FAULT("isolate_released");
        bool recorded = false;
        context.changer.note(false, [&] { recorded = IsolateKeys::recorded(context.state); });
        if (recorded) changed |= IsolateKeys(step_).down(context);
        TENANTMIG_FAULT("isolate_keys_gone");
        for (const IsolationRecord &row : rows)
            changed |= forget(context, row);
        return changed;
    }

    std::vector<CheckRow> verify(const MigrationRecord &migration, const StepState &state) override {
        std::vector<CheckRow> rows = verify_isolation(migration, step_.number);
        for (CheckRow &row : IsolateKeys::verify(state))
            rows.push_back(std::move(row));
        const std::vector<IsolationDefect> defects = isolation_defects(migration, step_.number);
        const bool gone = std::any_of(defects.begin(), defects.end(),
                                      [](const IsolationDefect &defect) { return defect.kind == "table_gone"; });
        if (state.state != "applied" || gone) return rows;
        try {
            const IsolateScope scope = isolate_scope(migration, spec_, step_);
            for (CheckRow &row : isolate_criteria(step_, scope, true))
                rows.push_back(std::move(row));
        } catch (const Error &error) { // a role is gone, a table has got a parent: the step could not be taken today
            rows.push_back({fmt::format("isolate step {}", step_.number), "FAIL", "its criteria can be judged",
                            error.message(), error.detail(), error.hint()});
        }
        return rows;
    }

private:
    core::Spec spec_;
    core::IsolateStep step_;
    std::int64_t hold_ = 0; // the longest of a strong lock, microseconds

    static void require_rights(const MigrationRecord &migration, const IsolateScope &scope) {
        for (const IsolateMember &member : scope.members) {
            require_table_rights(member.table);
            require_rights_of_creator(migration, member.table);
        }
    }

    // Of a step that was complete: policies and flags that have gone since come back first, whatever else stands in the
    // way by now. They only ever hide rows.
    bool restore(StepContext &context) {
        IsolateScope scope;
        bool complete = false;
        context.changer.note(false, [&] {
            complete = Json::parse(context.state.detail).contains("complete");
            if (!complete) return;
            scope = isolate_scope(context.migration, spec_, step_);
            require_rights(context.migration, scope);
            std::erase_if(scope.members, [&](const IsolateMember &member) { // those of another migration: a criterion
                return !isolation_made(record_of(context.migration, scope, member)) &&
                       has_our_policies(member.table.oid);
            });
        });
        bool changed = false;
        if (!complete) return changed;
        for (const IsolateMember &member : scope.members)
            changed |= secure(context, scope, member);
        for (const IsolateMember &member : scope.members)
            changed |= force(context, scope, member);
        return changed;
    }

    // What does not stop the step, once for all tables of which it says the same.
    static void say_aloud(const StepContext &context, const std::vector<CheckRow> &rows) {
        struct Said {
            std::string kind;
            std::vector<std::string> objects;
            const CheckRow *row;
        };
        std::vector<Said> said;
        for (const CheckRow &row : rows) {
            if (row.status != "WARN") continue;
            const std::size_t blank = row.check_name.find(' ');
            const std::string kind = row.check_name.substr(0, blank);
            const std::string object = blank == std::string::npos ? "" : row.check_name.substr(blank + 1);
            const auto same = std::find_if(said.begin(), said.end(), [&](const Said &other) {
                return other.kind == kind && other.row->actual == row.actual && other.row->detail == row.detail &&
                       other.row->hint == row.hint;
            });
            if (same != said.end())
                same->objects.push_back(object);
            else
                said.push_back({kind, {object}, &row});
        }
        for (const Said &one : said)
            warning(
                fmt::format("{}: {} {}: {}", context.label(), one.kind, fmt::join(one.objects, ", "), one.row->actual),
                one.row->detail, one.row->hint);
    }

    static void refuse_open(const StepContext &context, const std::vector<CheckRow> &rows) {
        std::size_t open = 0;
        std::string detail;
        for (const CheckRow &row : rows) {
            if (row.status != "FAIL") continue;
            if (open++ < told_at_once)
                detail += fmt::format("{}{}: {}", detail.empty() ? "" : "; ", row.check_name, row.actual);
        }
        if (open == 0) return;
        if (open > told_at_once) detail += fmt::format("; and {} more", open - told_at_once);
        throw Error(sqlstate::precheck_failed,
                    fmt::format("{}: {} of {} criteria {} not hold", context.label(), open, rows.size(),
                                open == 1 ? "does" : "do"),
                    detail,
                    fmt::format("SELECT * FROM tenantmig.isolation_criteria({}) WHERE status = 'FAIL'; the column "
                                "hint says what helps.",
                                core::sql_literal(context.migration.name)));
    }

    // The table's row, or what it is to be.
    IsolationRecord record_of(const MigrationRecord &migration, const IsolateScope &scope,
                              const IsolateMember &member) const {
        IsolationRecord row;
        if (auto known = find_isolation(migration.id, step_.number, member.table)) row = std::move(*known);
        row.migration_id = migration.id;
        row.step = step_.number;
        row.site = site_of(member.table);
        row.column = member.key.name;
        row.column_number = member.key.number;
        row.parent.reset();
        if (!member.is_top())
            for (const IsolateMember *top : scope.tops())
                if (top->table.oid == member.top) row.parent = site_of(top->table);
        row.roles = scope.roles;
        row.super_role = scope.super_role;
        row.setting = scope.setting;
        row.force = scope.force;
        return row;
    }

    bool build_indexes(StepContext &context, const IsolateScope &scope) const {
        bool built = false;
        if (!step_.index) return false;
        for (const IsolateMember *member : index_tables(scope)) {
            IsolationRecord row;
            context.changer.note(false, [&] { row = record_of(context.migration, scope, *member); });
            built |= build_isolate_index(
                *member, row.before, [&] { save_isolation(row); }, context.changer);
        }
        return built;
    }

    // Partitions may come in meanwhile: until all have their policies, and then FORCE.
    bool isolate_all(StepContext &context) {
        bool changed = false;
        for (int round = 1;; round++) {
            IsolateScope scope;
            context.changer.note(false, [&] {
                scope = isolate_scope(context.migration, spec_, step_);
                require_rights(context.migration, scope);
                refuse_open(context, isolate_criteria(step_, scope, false));
            });
            bool any = false;
            for (const IsolateMember &member : scope.members)
                any |= secure(context, scope, member);
            changed |= any;
            if (!any) {
                TENANTMIG_FAULT("isolate_secured");
                for (const IsolateMember &member : scope.members)
                    changed |= force(context, scope, member);
                return changed;
            }
            if (round == most_rounds)
                throw Error(sqlstate::table_changed, fmt::format("{}: tables keep changing", context.label()),
                            "Partitions were added, or policies taken off, again and again meanwhile.",
                            "CALL tenantmig.up again.");
        }
    }

    static void require_unchanged(const IsolateMember &member) {
        const auto now = describe_table(member.table.oid);
        if (!now || now->owner != member.table.owner)
            throw Error(sqlstate::table_changed, fmt::format("table {} was changed meanwhile", member.table.label()),
                        now ? "It has another owner." : "It is gone.", "CALL tenantmig.up again.");
    }

    bool secure(StepContext &context, const IsolateScope &scope, const IsolateMember &member) {
        bool done = false;
        context.changer.note(false, [&] {
            const IsolationRecord row = record_of(context.migration, scope, member);
            done = isolation_made(row) && policy_defect(row, member.table, false).empty();
        });
        if (done) return false;
        const std::int64_t held = context.changer.strong(member.table, {{member.table.oid}}, [&] {
            require_unchanged(member);
            IsolationRecord row = record_of(context.migration, scope, member);
            Json before = Json::parse(row.before);
            if (!before.value("policies", false)) {
                if (has_our_policies(member.table.oid)) // of another migration, which came first
                    throw Error(
                        sqlstate::precheck_failed,
                        fmt::format("{}: {} has policies of another migration", context.label(), member.table.label()),
                        {}, "SELECT migration, relation FROM tenantmig.isolated_tables;");
                const RowSecurity flags = row_security_of(member.table.oid);
                before["row_security"] = flags.enabled;
                before["force"] = flags.forced;
                before["policies"] = true;
            }
            row.before = before.dump();
            save_isolation(row);
            make_policies(member, scope);
        });
        hold_ = std::max(hold_, held);
        TENANTMIG_FAULT("isolate_table");
        return true;
    }

    bool force(StepContext &context, const IsolateScope &scope, const IsolateMember &member) {
        bool done = !scope.force;
        if (!done) context.changer.note(false, [&] { done = row_security_of(member.table.oid).forced; });
        if (done) return false;
        const std::int64_t held = context.changer.strong(member.table, {{member.table.oid}}, [&] {
            require_unchanged(member);
            force_policies(member.table);
        });
        hold_ = std::max(hold_, held);
        TENANTMIG_FAULT("isolate_forced");
        return true;
    }

    // Policies and flags of one table as they were. Its row stays for the index.
    static bool release(StepContext &context, IsolationRecord &row) {
        std::optional<Table> table;
        context.changer.note(false, [&] { table = isolated_table(row); });
        if (!table || !isolation_made(row)) return false;
        (void)context.changer.strong(*table, {{table->oid}}, [&] {
            Json before = Json::parse(row.before);
            take_policies(*table, before.value("row_security", false), before.value("force", false));
            before["policies"] = false;
            row.before = before.dump();
            save_isolation(row);
        });
        TENANTMIG_FAULT("isolate_table_released");
        return true;
    }

    static bool forget(StepContext &context, const IsolationRecord &row) {
        std::optional<Table> table;
        context.changer.note(false, [&] { table = isolated_table(row); });
        const bool dropped = table && drop_isolate_index(*table, row.before, context.changer);
        context.changer.note(true, [&] { delete_isolation(row); });
        TENANTMIG_FAULT("isolate_forgotten");
        return dropped;
    }

    Json isolated_names(const MigrationRecord &migration) const {
        Json names = Json::array();
        for (const IsolationRecord &row : isolations(migration.id, step_.number))
            if (const auto table = isolated_table(row)) names.push_back(table->label());
        return names;
    }
};
} // namespace

std::unique_ptr<Step> make_isolate_step(const core::Spec &spec, const core::IsolateStep &step) {
    return std::make_unique<Isolate>(spec, step);
}

} // namespace tenantmig

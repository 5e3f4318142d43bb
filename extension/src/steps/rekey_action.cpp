// Doing the actions of a rekey step one after the other, and taking them back.
#include "core/excerpt.hpp"

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "catalog/guard_store.hpp"
#include "engine/lent_right.hpp"
#include "steps/constraint_index.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/rekey.hpp"

namespace tenantmig {

namespace {
void execute(const Table &table, const std::string &statement) {
    if (!statement.starts_with("CREATE TRIGGER")) {
        change_as_owner(table, statement);
        return;
    }
    lock_guards(); // one at a time lends the right to make triggers
    LentRight right(table.owner, "tenantmig.rekey_sync()");
    change_as_owner(table, statement);
    right.take_back();
}

bool applies(const RekeyStatement &statement, const Table &table) {
    return (statement.missing.empty() || !has_constraint(table.oid, statement.missing)) &&
           (statement.present.empty() || has_constraint(table.oid, statement.present));
}
} // namespace

Table RekeyWorker::table_of(const Site &site) {
    auto table = find_site(site, list_.database);
    if (!table)
        throw Error(sqlstate::undefined_table,
                    fmt::format("table {} does not exist any more", qualified(site.schema, site.name)),
                    fmt::format("{} works on it.", context_.label()), "Bring it back, and call this again.");
    return std::move(*table);
}

// Under a strong lock as well: the list, which is long, is not written again for it.
void RekeyWorker::move() {
    list_.done = next_;
    const std::string stage = next_ < list_.actions.size() ? list_.actions[next_].stage : "done";
    context_.state.phase = fmt::format("{} ({} of {})", stage, next_, list_.actions.size());
    own_query("UPDATE tenantmig.step_state SET phase = $3 WHERE migration_id = $1 AND step = $2",
              {bigint_value(context_.migration.id), int_value(context_.ref.number), text_value(context_.state.phase)});
}

void RekeyWorker::pass() {
    context_.changer.note(false, [this] { move(); });
}

void RekeyWorker::up() {
    for (std::size_t i = 0; i < list_.actions.size(); i++) { // the outermost group begins first
        const std::size_t start = i - std::min(i, list_.actions[i].group);
        if (start < list_.done && list_.done <= i) list_.done = start;
    }
    while (list_.done < list_.actions.size()) {
        next_ = list_.done + 1;
        forward(list_.actions[list_.done]);
        TENANTMIG_FAULT("rekey_action");
    }
    context_.changer.note(true, [this] { context_.save(context_.state.phase, rekey_json(list_)); });
}

void RekeyWorker::down() {
    for (std::size_t i = list_.actions.size(); i-- > 0;) {
        const std::size_t end = i + list_.actions[i].tail + 1;
        if (i < list_.done && list_.done < end) list_.done = std::min(end, list_.actions.size());
    }
    while (list_.done > 0) {
        const RekeyAction &action = list_.actions[list_.done - 1];
        next_ = list_.done - 1;
        backward(action);
        TENANTMIG_FAULT("rekey_action_back");
    }
    // an index that was being built when up ended, and is not counted as done
    if (!list_.actions.empty())
        for (std::size_t i = 0; i < list_.actions.size(); i++)
            if (list_.actions[i].kind == RekeyKind::index && !list_.actions[i].back) {
                next_ = 0;
                remove(list_.actions[i]);
            }
}

void RekeyWorker::forward(const RekeyAction &action) {
    switch (action.kind) {
    case RekeyKind::ddl:
        change(action, action.forward);
        break;
    case RekeyKind::index:
        action.back ? remove(action) : build(action);
        break;
    case RekeyKind::validate:
        action.back ? pass() : validate(action);
        break;
    case RekeyKind::rows: {
        Table table;
        context_.changer.note(false, [&] { table = table_of(action.table); });
        in_pieces(table, action.forward.front().sql, true);
        pass();
        break;
    }
    case RekeyKind::backfill:
        backfill(action);
        break;
    case RekeyKind::mapping: {
        Table table;
        context_.changer.note(false, [&] { table = table_of(action.table); });
        context_.changer.weak(table, [&] {
            for (const RekeyStatement &statement : action.forward)
                change_as_owner(table, statement.sql);
            move();
        });
        break;
    }
    case RekeyKind::old_ids:
        pass();
        break;
    case RekeyKind::checks:
        check(action);
        break;
    }
}

void RekeyWorker::backward(const RekeyAction &action) {
    switch (action.kind) {
    case RekeyKind::ddl:
    case RekeyKind::mapping:
        change(action, action.backward);
        break;
    case RekeyKind::index:
        action.back ? build(action) : remove(action);
        break;
    case RekeyKind::validate:
        action.back ? validate(action) : pass();
        break;
    case RekeyKind::old_ids:
        fill_old_ids(action);
        break;
    case RekeyKind::rows:
    case RekeyKind::backfill:
    case RekeyKind::checks:
        pass();
        break;
    }
}

void RekeyWorker::change(const RekeyAction &action, const std::vector<RekeyStatement> &statements) {
    Table first;
    std::vector<Table> tables;
    std::vector<LockWish> wishes;
    bool any = false;
    context_.changer.note(false, [&] {
        tables.clear();
        wishes.clear();
        any = false;
        first = table_of(action.table);
        for (const Site &site : action.locks)
            wishes.push_back({table_of(site).oid, AccessExclusiveLock, false});
        if (wishes.empty()) wishes.push_back({first.oid, AccessShareLock, false});
        for (const RekeyStatement &statement : statements) {
            tables.push_back(table_of(statement.table));
            any = any || applies(statement, tables.back());
        }
    });
    if (!any) {
        pass();
        return;
    }
    longest_hold = std::max(longest_hold, context_.changer.strong(first, wishes, [&] {
        for (std::size_t i = 0; i < statements.size(); i++)
            if (applies(statements[i], tables[i])) execute(tables[i], statements[i].sql);
        move();
        TENANTMIG_FAULT("rekey_changing");
    }));
}

void RekeyWorker::build(const RekeyAction &action) {
    Table table;
    context_.changer.note(false, [&] { table = table_of(action.table); });
    (void)ensure_index(table, {action.name, action.forward.front().sql, std::nullopt}, context_.changer);
    TENANTMIG_FAULT("rekey_index_built");
    pass();
}

void RekeyWorker::remove(const RekeyAction &action) {
    Table table;
    NamedIndex found;
    context_.changer.note(false, [&] {
        table = table_of(action.table);
        found = find_named_index(table, action.name);
    });
    if (!found.here || found.constraint) {
        pass();
        return;
    }
    longest_hold = std::max(longest_hold, context_.changer.strong(table, {{table.oid}}, [&] {
        change_as_owner(table, fmt::format("DROP INDEX IF EXISTS {}", qualified(table.schema, action.name)));
        move();
    }));
}

void RekeyWorker::validate(const RekeyAction &action) {
    Table table;
    context_.changer.note(false, [&] { table = table_of(action.table); });
    try {
        context_.changer.weak(table, [&] {
            change_as_owner(table,
                            fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", table.sql(), quoted(action.name)));
            move();
        });
    } catch (const PgError &error) {
        const int state = error.data()->sqlerrcode;
        if (state != ERRCODE_CHECK_VIOLATION && state != ERRCODE_FOREIGN_KEY_VIOLATION) throw;
        throw Error(sqlstate::precheck_failed,
                    fmt::format("{}: rows of {} stand in the way", context_.label(), table.label()),
                    fmt::format("{}{}{}", error.what(), error.data()->detail ? ". " : "",
                                error.data()->detail ? error.data()->detail : ""),
                    "They came in after the pre-checks, or no evidence was found for them. Correct them, and call this "
                    "again.");
    }
}

} // namespace tenantmig

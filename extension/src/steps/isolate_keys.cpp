// composite_keys and composite_references as the isolate step sees them.
#include "core/undo_text.hpp"

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "engine/target.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/isolate_keys_items.hpp"
#include "steps/unique_key.hpp"

namespace tenantmig {

namespace {
std::string this_system() {
    return std::to_string(pg_call([] { return GetSystemIdentifier(); }));
}

std::string label_of(const KeyItems &items, const Site &site) {
    const auto table = items.find(site);
    return table ? table->label() : qualified(site.schema, site.name);
}

std::string column_names(const std::vector<KeyedColumn> &columns) {
    std::vector<std::string> names;
    for (const KeyedColumn &column : columns)
        names.push_back(column.name);
    return quoted_list(names);
}

std::string unique_check(const KeyItems &items, const UniqueItem &item) {
    return fmt::format("composite_keys {} ({})", label_of(items, item.table), column_names(item.columns));
}

std::string reference_check(const KeyItems &items, const ReferenceItem &item) {
    return fmt::format("composite_references {}.{}", label_of(items, item.from), quoted(item.old.name));
}

// Anything but what rows, rights and earlier steps may still change.
bool is_final(const KeyProblem &problem) {
    return problem.sqlstate == sqlstate::feature_not_supported || problem.sqlstate == sqlstate::datatype_mismatch ||
           problem.sqlstate == sqlstate::dependent_objects;
}

Error to_error(const KeyProblem &problem) {
    return Error(problem.sqlstate.c_str(), problem.message, problem.detail, problem.hint);
}

KeyItems items_of(const StepState &state) {
    return has_key_items(state.detail) ? parse_key_items(state.detail) : new_items();
}

bool may_see(const KeyItems &items, const Site &site) {
    const auto table = items.find(site);
    return table && has_privileges_of(table->owner);
}

// A table of another step, whose values are not for the caller's eyes.
std::optional<CheckRow> foreign_owner(const KeyItems &items, const ReferenceItem &item, const std::string &check) {
    for (const Site &site : {item.from, item.to}) {
        if (may_see(items, site)) continue;
        const std::string label = label_of(items, site);
        return CheckRow{check,
                        "FAIL",
                        "nothing in the way",
                        fmt::format("must be owner of table {}", label),
                        "It is isolated already; the foreign key compares the tenant keys of both tables.",
                        "Run as a member of its owner's role, or leave composite_references out."};
    }
    return std::nullopt;
}

// A table of another step that gets a unique key, or whose foreign key is replaced.
void require_rights(const MigrationRecord &migration, const Table &table) {
    if (!has_privileges_of(table.owner))
        throw Error(sqlstate::insufficient_privilege, fmt::format("must be owner of table {}", table.label()),
                    "It is isolated already: composite keys and references change it as well.",
                    "Run as a member of its owner's role, or leave composite_references out.");
    require_rights_of_creator(migration, table);
}

// Whoever refers to a unique key of ours, other than our own foreign keys.
void require_no_others(const KeyItems &items, const UniqueItem &item) {
    const auto table = items.find(item.table);
    if (!table || item.kept) return;
    const auto key = find_unique_key(*table, items.names_of(item.table, *table, item.columns));
    if (!key || !key->constrained) return;
    const auto found = find_constraint(*table, key->name, 'u');
    if (!found) return;
    std::vector<std::string> ours;
    for (const ReferenceItem &reference : items.references)
        if (const auto from = items.find(reference.from))
            if (const auto made = find_constraint(*from, reference.made.name, 'f'))
                ours.push_back(std::to_string(made->oid));
    Rows rows = own_query("SELECT string_agg(format('%s of %s', quote_ident(k.conname), k.conrelid::regclass), ', ' "
                          "ORDER BY k.conname) FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND "
                          "k.oid::text <> ALL ($2) AND k.conindid = ANY (SELECT $1 UNION ALL SELECT relid FROM "
                          "pg_partition_tree($1))",
                          {Value{OIDOID, ObjectIdGetDatum(found->index), false}, text_array_value(ours)});
    if (rows.is_null(0, 1)) return;
    throw Error(sqlstate::dependent_objects,
                fmt::format("unique key {} of {} is needed by others", quoted(key->name), table->label()),
                fmt::format("Foreign keys refer to it: {}.", rows.text_or(0, 1)),
                "Drop them first, or take back the step that has made them.");
}

// Columns that are gone.
std::string missing_columns(const KeyItems &items, const Site &site, const Table &table,
                            const std::vector<KeyedColumn> &columns) {
    std::vector<std::string> gone;
    for (const std::string &name : items.names_of(site, table, columns))
        if (!table.find(std::string_view(name))) gone.push_back(name);
    return quoted_list(gone);
}

void require_way_back(const KeyItems &items, const ReferenceItem &item) {
    const auto from = items.find(item.from), to = items.find(item.to);
    if (!from || !to) return;
    const auto old = find_constraint(*from, item.old.name, 'f');
    if (old && old->referenced == to->oid) return; // it stands there still
    const std::string name = fmt::format("foreign key {} of {}", quoted(item.old.name), from->label());
    if (name_taken(*from, item.old.name))
        throw Error(sqlstate::duplicate_object, fmt::format("{} can't come back", name),
                    "Another constraint has its name now.", "Rename or drop that first.");
    for (const auto &[site, table, columns] :
         {std::tuple{&item.from, &*from, &item.old.columns}, std::tuple{&item.to, &*to, &item.old.targets}})
        if (const std::string gone = missing_columns(items, *site, *table, *columns); !gone.empty())
            throw Error(sqlstate::no_way_back, fmt::format("{} can't come back", name),
                        fmt::format("{} has no {} any more.", table->label(), gone),
                        "Bring it back, and call tenantmig.down again.");
    const std::vector<std::string> targets = items.names_of(item.to, *to, item.old.targets);
    if (!find_unique_key(*to, targets))
        throw Error(sqlstate::no_way_back, fmt::format("{} can't come back", name),
                    fmt::format("{} is not unique over ({}) any more.", to->label(), quoted_list(targets)),
                    "Make it unique again, and call tenantmig.down again.");
}
} // namespace

// ---- items

KeyItems new_items() {
    KeyItems items;
    items.system = this_system();
    items.database = MyDatabaseId;
    return items;
}

bool KeyItems::by_number() const {
    return database == MyDatabaseId && system == this_system();
}

std::optional<Table> KeyItems::find(const Site &site) const {
    const bool number = by_number();
    return find_site({number ? site.oid : InvalidOid, site.schema, site.name}, number ? MyDatabaseId : InvalidOid);
}

Table KeyItems::get(const Site &site) const {
    if (auto table = find(site)) return std::move(*table);
    throw Error(sqlstate::undefined_table,
                fmt::format("table {} does not exist any more", qualified(site.schema, site.name)),
                "A key of an isolate step is on it, or refers to it.", "Bring it back, and call this again.");
}

std::string KeyItems::name_of(const Site &site, const Table &table, const KeyedColumn &column) const {
    if (by_number() && table.oid == site.oid)
        if (const Column *found = table.find(column.number)) return found->name;
    return column.name;
}

std::vector<std::string> KeyItems::names_of(const Site &site, const Table &table,
                                            const std::vector<KeyedColumn> &columns) const {
    std::vector<std::string> names;
    for (const KeyedColumn &column : columns)
        names.push_back(name_of(site, table, column));
    return names;
}

// ---- the step's part

IsolateKeys::IsolateKeys(const core::IsolateStep &step, std::vector<IsolateKeyTable> tables)
    : step_(step), tables_(std::move(tables)) {}

bool IsolateKeys::wanted() const {
    return step_.composite_keys || step_.composite_references;
}

void IsolateKeys::check(const MigrationRecord &migration, const StepState &state) const {
    if (!wanted() || recorded(state)) return;
    const KeyPlan plan = plan_keys(step_, tables_, new_items());
    for (const KeyProblem &problem : plan.problems)
        if (is_final(problem)) throw to_error(problem);
    for (const Table &table : plan.touched)
        require_rights(migration, table);
}

std::vector<CheckRow> IsolateKeys::criteria(const StepState &state) const {
    std::vector<CheckRow> rows;
    if (!wanted()) return rows;
    const KeyPlan plan = plan_keys(step_, tables_, items_of(state));
    std::set<std::string> failed;
    for (const KeyProblem &problem : plan.problems) {
        failed.insert(problem.check);
        rows.push_back({problem.check,
                        "FAIL",
                        "nothing in the way",
                        fmt::format("{}: {}", problem.message, problem.detail),
                        {},
                        problem.hint});
    }
    for (const UniqueItem &item : plan.items.uniques) {
        const std::string name = unique_check(plan.items, item);
        if (!failed.contains(name))
            rows.push_back({name,
                            "PASS",
                            "nothing in the way",
                            item.kept ? fmt::format("{} does it already", quoted(item.name)) : "nothing in the way",
                            "a unique key over the tenant key and what identifies a row, or is referred to",
                            {}});
    }
    for (const ReferenceItem &item : plan.items.references) {
        const std::string name = reference_check(plan.items, item);
        if (failed.contains(name)) continue;
        if (auto row = foreign_owner(plan.items, item, name)) {
            rows.push_back(std::move(*row));
            continue;
        }
        const CrossingRows found = count_crossing(plan.items, item);
        CheckRow row = {name, "PASS", "0 rows", "0 rows", "rows that refer to a row of another tenant, or to none", {}};
        if (found.rows > 0) {
            row.status = "FAIL";
            row.actual = fmt::format("{} row{}, for example {}", found.rows, found.rows == 1 ? "" : "s", found.sample);
            row.hint = found.query;
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

std::vector<PlanRow> IsolateKeys::plan(const StepState &state) const {
    std::vector<PlanRow> rows;
    if (!wanted()) return rows;
    const KeyPlan plan = plan_keys(step_, tables_, items_of(state));
    const auto add = [&](const Site &site, const char *outcome, std::string path, std::string locks, std::string note) {
        PlanRow row;
        row.count.outcome = outcome;
        row.step = step_.number;
        row.kind = "isolate";
        row.count.relation = label_of(plan.items, site);
        row.path = std::move(path);
        row.locks = std::move(locks);
        row.note = std::move(note);
        rows.push_back(std::move(row));
    };
    for (const UniqueItem &item : plan.items.uniques)
        if (item.kept)
            add(item.table, "unique key stays", "catalogue", {}, fmt::format("{} does it already", quoted(item.name)));
        else
            add(item.table, "unique key made", "built concurrently",
                "SHARE UPDATE EXCLUSIVE while it is built, ACCESS EXCLUSIVE for a moment",
                fmt::format("{} UNIQUE ({})", quoted(item.name), column_names(item.columns)));
    for (const ReferenceItem &item : plan.items.references)
        add(item.from, "foreign key replaced", "added, validated, put in the other's place",
            "SHARE ROW EXCLUSIVE and ACCESS EXCLUSIVE for a moment each on both tables, SHARE UPDATE EXCLUSIVE while "
            "it is validated",
            fmt::format("{} -> {} ({}) REFERENCES {} ({}){}", quoted(item.old.name), quoted(item.made.name),
                        column_names(item.made.columns), label_of(plan.items, item.to), column_names(item.made.targets),
                        item.made.on_update == 'c' ? "; ON UPDATE CASCADE takes a changed tenant key along" : ""));
    return rows;
}

bool IsolateKeys::up(StepContext &context) {
    if (!wanted()) return false;
    KeyItems items;
    context.changer.note(true, [&] {
        KeyPlan plan = plan_keys(step_, tables_, items_of(context.state));
        if (!plan.problems.empty()) throw to_error(plan.problems.front());
        for (const Table &table : plan.touched)
            require_rights(context.migration, table);
        items = std::move(plan.items);
        context.save(context.state.phase, with_key_items(context.state.detail, &items));
    });
    TENANTMIG_FAULT("isolate_keys_recorded");
    KeyWorker worker(context, items);
    bool changed = false;
    for (UniqueItem &item : items.uniques)
        changed = worker.up(item) || changed;
    for (const ReferenceItem &item : items.references)
        changed = worker.up(item) || changed;
    longest_hold_ = std::max(longest_hold_, worker.longest_hold);
    return changed;
}

bool IsolateKeys::down(StepContext &context) {
    if (!recorded(context.state)) return false;
    KeyItems items;
    context.changer.note(false, [&] { items = parse_key_items(context.state.detail); });
    KeyWorker worker(context, items);
    bool changed = false;
    for (const ReferenceItem &item : items.references) // forward: triggers fire in the order in which they are made
        changed = worker.down(item) || changed;
    for (auto item = items.uniques.rbegin(); item != items.uniques.rend(); ++item)
        changed = worker.down(*item) || changed;
    longest_hold_ = std::max(longest_hold_, worker.longest_hold);
    context.changer.note(true,
                         [&] { context.save(context.state.phase, with_key_items(context.state.detail, nullptr)); });
    TENANTMIG_FAULT("isolate_keys_forgotten");
    return changed;
}

void IsolateKeys::check_down(const StepState &state) {
    if (!recorded(state)) return;
    const KeyItems items = parse_key_items(state.detail);
    for (const ReferenceItem &item : items.references)
        require_way_back(items, item);
    for (const UniqueItem &item : items.uniques)
        require_no_others(items, item);
}

bool IsolateKeys::applied(const StepState &state) {
    if (!recorded(state)) return true;
    const KeyItems items = parse_key_items(state.detail);
    const auto stands = [&](const auto &item) { return defect_of(items, item).empty(); };
    return std::all_of(items.uniques.begin(), items.uniques.end(), stands) &&
           std::all_of(items.references.begin(), items.references.end(), stands);
}

bool IsolateKeys::recorded(const StepState &state) {
    return has_key_items(state.detail);
}

std::vector<CheckRow> IsolateKeys::verify(const StepState &state) {
    std::vector<CheckRow> rows;
    if (!recorded(state)) return rows;
    const KeyItems items = parse_key_items(state.detail);
    const auto add = [&](std::string name, const std::string &defect, std::string detail) {
        rows.push_back({std::move(name), defect.empty() ? "PASS" : "FAIL", "stands", defect.empty() ? "stands" : defect,
                        std::move(detail), defect.empty() ? "" : "Find out who has changed it, and bring it back."});
    };
    for (const UniqueItem &item : items.uniques)
        add(unique_check(items, item), defect_of(items, item), fmt::format("{} UNIQUE", quoted(item.name)));
    for (const ReferenceItem &item : items.references) {
        const std::string name = fmt::format("composite_references {}", describe_reference(items, item));
        add(name, defect_of(items, item),
            fmt::format("FOREIGN KEY ({}) REFERENCES {} ({})", column_names(item.made.columns),
                        label_of(items, item.to), column_names(item.made.targets)));
        const auto from = items.find(item.from), to = items.find(item.to);
        if (!from || !to || !missing_columns(items, item.from, *from, item.made.columns).empty() ||
            !missing_columns(items, item.to, *to, item.made.targets).empty())
            continue;
        const CrossingRows found = count_crossing(items, item);
        rows.push_back({name + " rows", found.rows == 0 ? "PASS" : "FAIL", "0", std::to_string(found.rows),
                        "rows that refer to a row of another tenant, or to none" +
                            (found.rows == 0 || !may_see(items, item.from) ? std::string() : ": " + found.sample),
                        found.query});
    }
    return rows;
}

} // namespace tenantmig

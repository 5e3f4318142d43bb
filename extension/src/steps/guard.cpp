#include "core/excerpt.hpp"

#include "steps/guard.hpp"

namespace tenantmig {

namespace {
core::GuardTable identity(const Table &table) {
    return {table.oid, table.schema, table.name};
}

core::GuardColumn identity(const Column &column) {
    return {column.number, column.name};
}

std::vector<core::GuardColumn> identities(const Table &table, const std::vector<AttrNumber> &numbers) {
    std::vector<core::GuardColumn> result;
    for (AttrNumber number : numbers)
        result.push_back(identity(table.at(number)));
    return result;
}

std::vector<core::GuardCondition> conditions(const std::vector<ResolvedCondition> &list) {
    std::vector<core::GuardCondition> result;
    for (const ResolvedCondition &condition : list)
        result.push_back({identity(condition.column), condition.values, condition.or_null});
    return result;
}

core::GuardHop hop(const Hop &from) {
    return {identity(from.table), identities(from.table, from.key), identities(from.table, from.value),
            conditions(from.where)};
}

// Children can't exist before their row does.
bool leads_to_parents(const ResolvedSource &source) {
    return source.kind != core::SourceKind::children;
}

core::GuardDefinition define(const MigrationRecord &migration, const GuardTarget &target, const ResolvedStep &step) {
    const Table &table = step.target.table;
    core::GuardDefinition definition;
    definition.migration = migration.name;
    definition.mode = target.step.mode;
    definition.evidence = step.spec.evidence;
    definition.system = std::to_string(pg_call([] { return GetSystemIdentifier(); }));
    definition.database = MyDatabaseId;
    definition.owner = role_name(table.owner);
    definition.table = identity(table);
    definition.root = identity(step.target.root);
    definition.column = identity(step.target.column);
    definition.root_key = identity(step.target.root_key);
    definition.where = conditions(step.where);
    for (const ResolvedSource &source : step.sources) {
        if (!leads_to_parents(source)) continue;
        core::GuardSource way{source.label, identities(table, source.probe), {}, {}, {}};
        for (const Hop &from : source.hops)
            way.hops.push_back(hop(from));
        if (source.kind == core::SourceKind::polymorphic) {
            way.type_column = identity(table.at(source.type_column));
            for (const auto &[type, end] : source.types)
                way.types.emplace_back(type, hop(end));
        }
        definition.sources.push_back(std::move(way));
    }
    return definition;
}

const ResolvedStep *backfill_of(const ResolvedMigration &migration, const GuardTarget &target) {
    for (const ResolvedStep &step : migration.steps)
        if (step.target.table.oid == target.table.oid && step.target.column.number == target.column.number)
            return &step;
    return nullptr;
}

// What decides whether the trigger looks at a row: an UPDATE of these fires it.
std::vector<AttrNumber> watched(const ResolvedStep &step) {
    std::vector<AttrNumber> numbers = {step.target.column.number};
    auto add = [&](AttrNumber number) {
        if (std::find(numbers.begin(), numbers.end(), number) == numbers.end()) numbers.push_back(number);
    };
    for (const ResolvedCondition &condition : step.where)
        add(condition.column.number);
    for (const ResolvedSource &source : step.sources) {
        if (!leads_to_parents(source)) continue;
        for (AttrNumber number : source.probe)
            add(number);
        if (source.type_column != 0) add(source.type_column);
    }
    return numbers;
}

[[noreturn]] void refuse(const GuardTarget &target, const std::string &what, const std::string &detail,
                         const std::string &hint) {
    throw Error(sqlstate::feature_not_supported, fmt::format("spec: {}: {}", target.step.path, what), detail, hint);
}

// A condition is evaluated as the owner of its table, within somebody else's INSERT: with built-in operators only, so
// that nobody's code runs there.
void require_plain_conditions(const GuardTarget &target, const std::vector<ResolvedCondition> &list) {
    for (const ResolvedCondition &condition : list) {
        char kind = pg_call([type = condition.column.type] { return get_typtype(type); });
        bool built_in = condition.column.type < FirstGenbkiObjectId && kind == TYPTYPE_BASE;
        if (built_in || kind == TYPTYPE_ENUM) continue;
        refuse(target, fmt::format("a guard can't evaluate a condition on \"{}\"", condition.column.name),
               fmt::format("Its type is {}.", condition.column.type_name),
               "Conditions of guarded columns are on columns of built-in types or enums.");
    }
}

bool is_partition_key(const Table &table, AttrNumber column) {
    if (table.kind != RELKIND_PARTITIONED_TABLE) return false;
    const std::string name = table.at(column).name;
    Rows rows = own_query("SELECT 1 FROM pg_partition_tree($1) t JOIN pg_partitioned_table p ON p.partrelid = t.relid "
                          "JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs::int2[]) "
                          "WHERE a.attname = $2",
                          {Value{REGCLASSOID, ObjectIdGetDatum(table.oid), false}, text_value(name)});
    return !rows.empty();
}

void check_guard(const ResolvedMigration &migration, const GuardTarget &target) {
    const ResolvedStep *step = backfill_of(migration, target);
    const std::string label = target.table.label() + "." + quoted(target.column.name);
    if (!step)
        throw Error(
            sqlstate::spec_invalid, fmt::format("spec: {}: no backfill step fills this column", target.step.path),
            fmt::format("A guard of kind tenant_key asks the parents that the backfill step of {} names.", label),
            "Add the backfill step, or leave the guard out.");
    const auto &sources = step->sources;
    const bool has_parents = std::any_of(sources.begin(), sources.end(), leads_to_parents);
    const bool fills = target.step.mode == core::GuardMode::fill;
    if (!has_parents && fills)
        throw Error(sqlstate::no_source,
                    fmt::format("spec: {}: there is no parent to fill the key from", target.step.path),
                    fmt::format("All sources of {} are children, which a new row has none of.", label),
                    "Add a source that leads from the row to a parent, or use mode warn or reject.");
    if (target.table.is_partition)
        refuse(target, fmt::format("{} is a partition", target.table.label()), {}, "Guard the partitioned table.");
    if (fills && is_partition_key(target.table, target.column.number))
        refuse(target, fmt::format("\"{}\" decides which partition a row goes to", target.column.name),
               "A trigger can't change it any more.", "Use mode warn or reject.");
    if (fills && pg_call([oid = target.table.oid, number = target.column.number] {
            Oid type = get_atttype(oid, number);
            return get_typtype(type) == TYPTYPE_DOMAIN && DomainHasConstraints(type);
        }))
        refuse(target, fmt::format("\"{}\" is of a domain with constraints", target.column.name),
               "A value that a trigger fills in is not held to them.", "Use mode warn or reject.");
    require_plain_conditions(target, step->where);
    for (const ResolvedSource &source : sources) {
        if (!leads_to_parents(source)) continue;
        for (const Hop &from : source.hops)
            require_plain_conditions(target, from.where);
        for (const auto &[type, end] : source.types)
            require_plain_conditions(target, end.where);
    }
    for (AttrNumber number : watched(*step))
        if (target.table.at(number).generated)
            refuse(target, fmt::format("\"{}\" is a generated column", target.table.at(number).name),
                   "It has no value yet when the guard looks at the row.",
                   "Use a source that starts at an ordinary column.");
}

// 42704 if the migration has no guard step, or not this one.
std::vector<core::GuardStep> chosen_steps(const MigrationRecord &migration, std::optional<std::int32_t> step) {
    std::vector<core::GuardStep> chosen;
    for (const core::GuardStep &guard : core::parse_spec_text(migration.spec).guards)
        if (!step || guard.number == *step) chosen.push_back(guard);
    if (!chosen.empty()) return chosen;
    const std::string name = core::excerpt(migration.name);
    throw Error(sqlstate::undefined_object,
                step ? fmt::format("step {} of migration {} is no guard step", *step, name)
                     : fmt::format("migration {} has no guard step", name),
                {}, "SELECT * FROM tenantmig.steps lists the steps of all migrations.");
}

bool enabled_as_asked(const GuardTrigger &trigger, bool always) {
    return trigger.enabled == (always ? TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_ORIGIN);
}

GuardOutcome outcome_of(const GuardRecord &guard, const std::string &relation, const char *outcome) {
    return {guard.step, relation, guard.column, guard.kind, guard.mode, guard.trigger_name(), outcome};
}

GuardOutcome attach(const MigrationRecord &migration, const ResolvedMigration &resolved, const GuardTarget &target) {
    check_guard(resolved, target);
    const ResolvedStep &step = *backfill_of(resolved, target);
    const Table &table = step.target.table;
    core::GuardDefinition definition = define(migration, target, step);
    const char *outcome = "attached";
    for (const GuardRecord &guard : guards_of(migration.id)) {
        if (guard.step != target.step.number) continue;
        GuardTrigger trigger = find_trigger(guard);
        const bool same = core::guard_json(core::parse_guard_json(guard.definition)) == core::guard_json(definition);
        if (same && trigger.table == table.oid && guard.always == target.step.always &&
            enabled_as_asked(trigger, guard.always)) {
            GuardOutcome unchanged = outcome_of(guard, table.label(), "unchanged");
            unchanged.trigger = trigger.name;
            return unchanged;
        }
        if (remove_guard(guard)) outcome = "replaced";
    }
    for (const GuardRecord &guard : guards_on(table.oid)) {
        const core::GuardDefinition other = core::parse_guard_json(guard.definition);
        if (other.column.number != definition.column.number && other.column.name != definition.column.name) continue;
        throw Error(sqlstate::duplicate_object,
                    fmt::format("{}.{} has a guard already", table.label(), quoted(definition.column.name)),
                    fmt::format("It belongs to migration {}.", core::excerpt(other.migration)),
                    "SELECT * FROM tenantmig.detach_guard(migration) takes it off; one guard of a kind is enough.");
    }
    GuardRecord guard = insert_guard(migration, target.step.number, target.step.always, definition);
    std::vector<std::string> columns;
    for (AttrNumber number : watched(step))
        columns.push_back(table.at(number).name);
    make_guard_trigger(guard, table, columns);
    return outcome_of(guard, table.label(), outcome);
}

std::vector<GuardOutcome> attach_steps(const MigrationRecord &migration, const std::vector<core::GuardStep> &steps) {
    LockTimeout timeout;
    ResolvedMigration resolved = resolve_migration(migration);
    NameBook names(migration.identity);
    lock_guards();
    fire_deferred_as_caller();
    std::vector<GuardOutcome> outcomes;
    for (const core::GuardStep &step : steps) {
        Table table = names.table(step.table, step.path + ".table");
        Column column = names.column(table, step.column, step.path + ".column");
        if (names.replaced()) require_rights_of_creator(migration, table);
        outcomes.push_back(attach(migration, resolved, {step, std::move(table), std::move(column)}));
    }
    return outcomes;
}
} // namespace

std::vector<GuardTarget> resolve_guards(const core::Spec &spec, NameBook &names) {
    std::vector<GuardTarget> targets;
    for (const core::GuardStep &step : spec.guards) {
        if (step.kind != core::GuardKind::tenant_key)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}.kind: guards of kind \"{}\" are not supported", step.path,
                                    core::kind_name(step.kind)));
        Table table = names.table(step.table, step.path + ".table");
        Column column = names.column(table, step.column, step.path + ".column");
        for (const GuardTarget &other : targets)
            if (other.table.oid == table.oid && other.column.number == column.number)
                throw Error(sqlstate::spec_invalid, fmt::format("spec: {}: the same guard twice", step.path),
                            fmt::format("It guards the same column as {}.", other.step.path), "Remove one of them.");
        targets.push_back({step, std::move(table), std::move(column)});
    }
    return targets;
}

void check_guards(const ResolvedMigration &migration, const std::vector<GuardTarget> &targets) {
    for (const GuardTarget &target : targets)
        check_guard(migration, target);
}

std::vector<GuardOutcome> attach_guards(const MigrationRecord &migration, std::optional<std::int32_t> step) {
    require_owner(migration);
    return attach_steps(migration, chosen_steps(migration, step));
}

std::vector<GuardOutcome> detach_guards(const MigrationRecord &migration, std::optional<std::int32_t> step) {
    require_owner(migration);
    std::vector<core::GuardStep> chosen = chosen_steps(migration, step);
    LockTimeout timeout;
    lock_guards();
    fire_deferred_as_caller();
    std::vector<GuardOutcome> outcomes;
    for (const GuardRecord &guard : guards_of(migration.id)) {
        if (step && guard.step != *step) continue;
        GuardOutcome outcome = outcome_of(guard, qualified(guard.schema, guard.table), "missing");
        if (GuardTrigger trigger = find_trigger(guard); OidIsValid(trigger.table)) {
            if (auto table = describe_table(trigger.table)) outcome.relation = table->label();
            outcome.trigger = trigger.name;
            outcome.outcome = "detached";
        }
        (void)remove_guard(guard);
        outcomes.push_back(std::move(outcome));
    }
    return outcomes;
}

void attach_capture_guards(const MigrationRecord &migration) {
    std::vector<core::GuardStep> filling;
    for (const core::GuardStep &guard : core::parse_spec_text(migration.spec).guards)
        if (guard.kind == core::GuardKind::tenant_key && guard.mode == core::GuardMode::fill) filling.push_back(guard);
    if (!filling.empty()) (void)attach_steps(migration, filling);
}

} // namespace tenantmig

#include "core/excerpt.hpp"
#include "core/spec_guard.hpp"
#include <nlohmann/json.hpp>

#include "bridge/results.hpp"
#include "catalog/events.hpp"
#include "steps/guard.hpp"

namespace tenantmig {

namespace {
std::vector<core::GuardCondition> conditions(const std::vector<ResolvedCondition> &list) {
    std::vector<core::GuardCondition> result;
    for (const ResolvedCondition &condition : list)
        result.push_back({guard_identity(condition.column), condition.values, condition.or_null});
    return result;
}

core::GuardHop hop(const Hop &from) {
    return {guard_identity(from.table), guard_identities(from.table, from.key),
            guard_identities(from.table, from.value), conditions(from.where)};
}

// Children can't exist before their row does.
bool leads_to_parents(const ResolvedSource &source) {
    return source.kind != core::SourceKind::children;
}

// What the backfill step knows of a row's parents.
core::GuardDefinition define(const GuardTarget &target, const ResolvedStep &step) {
    const Table &table = step.target.table;
    core::GuardDefinition definition = target.definition;
    definition.evidence = step.spec.evidence;
    definition.root = guard_identity(step.target.root);
    definition.root_key = guard_identity(step.target.root_key);
    definition.where = conditions(step.where);
    for (const ResolvedSource &source : step.sources) {
        if (!leads_to_parents(source)) continue;
        core::GuardSource way{source.label, guard_identities(table, source.probe), {}, {}, {}};
        for (const Hop &from : source.hops)
            way.hops.push_back(hop(from));
        if (source.kind == core::SourceKind::polymorphic) {
            way.type_column = guard_identity(table.at(source.type_column));
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
    const std::string label = target.table.label() + "." + tenantmig::quoted(target.column.name);
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
    for (const core::GuardStep &guard : migration_spec(migration).guards)
        if (!step || guard.number == *step) chosen.push_back(guard);
    if (!chosen.empty()) return chosen;
    const std::string name = core::excerpt(migration.name);
    throw Error(sqlstate::undefined_object,
                step ? fmt::format("step {} of migration {} is no guard step", *step, name)
                     : fmt::format("migration {} has no guard step", name),
                {}, "SELECT * FROM tenantmig.steps lists the steps of all migrations.");
}

// Only guards that compare tenants ask for it.
TenantRoot root_for(const core::Spec &spec, const core::GuardStep &step, NameBook &names) {
    const bool compares =
        step.kind == core::GuardKind::same_tenant || (step.kind == core::GuardKind::reference && !step.column.empty());
    return compares ? tenant_root(spec, names) : TenantRoot{};
}

bool enabled_as_asked(const GuardTrigger &trigger, bool always) {
    return trigger.enabled == (always ? TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_ORIGIN);
}

// Those that look at other rows do so AFTER, as foreign keys do: then the row is what every BEFORE trigger has made of
// it, and those of the same statement are there. So do those that look at a generated column, which has no value
// before. No list of columns: a BEFORE trigger may change a column that the UPDATE does not name.
GuardTriggerForm form_of(const GuardTarget &target, const ResolvedStep *step) {
    GuardTriggerForm form;
    const Table &table = target.table;
    bool generated = target.column.generated;
    switch (target.step.kind) {
    case core::GuardKind::tenant_key:
        for (AttrNumber number : watched(*step))
            form.columns.push_back(table.at(number).name);
        return form;
    case core::GuardKind::prefix:
        generated |= table.at(static_cast<AttrNumber>(target.definition.key.number)).generated;
        break;
    case core::GuardKind::immutable:
        form.on = "UPDATE";
        break;
    case core::GuardKind::same_tenant:
    case core::GuardKind::reference:
    case core::GuardKind::acyclic:
        generated = true;
        break;
    }
    if (generated) form.when = "AFTER";
    return form;
}

// The trigger on the parent. Its condition keeps other updates out of the queue of events, and marks it as the
// parent's. Where the foreign key can be deferred, children may be there before their parent.
GuardTriggerForm parent_form(const GuardRecord &guard, const GuardTarget &target) {
    GuardTriggerForm form{guard.parent_trigger_name(), "AFTER", "UPDATE", {}, ""};
    const core::GuardHop &hop = target.definition.sources.at(0).hops.at(0);
    std::vector<core::GuardColumn> columns = hop.key;
    columns.push_back(hop.value.at(0));
    bool any_update = target.deferrable;
    for (const core::GuardColumn &column : columns) {
        const Column &found = target.parent->at(static_cast<AttrNumber>(column.number));
        // Under our search_path only PostgreSQL's own types have an equality.
        if (found.type >= FirstNormalObjectId) any_update = true;
        const std::string name = tenantmig::quoted(found.name);
        form.condition +=
            fmt::format("{0}OLD.{1} IS DISTINCT FROM NEW.{1}", form.condition.empty() ? "" : " OR ", name);
    }
    if (target.deferrable) form.on = "INSERT OR UPDATE";
    if (any_update) form.condition = "true";
    form.condition = fmt::format("WHEN ({})", form.condition);
    return form;
}

// A change of these columns waits for whoever holds the row FOR KEY SHARE.
void warn_of_share_lock(const Table &parent, const core::GuardHop &hop) {
    const auto tenant = static_cast<AttrNumber>(hop.value.at(0).number);
    Rows rows = own_query("SELECT 1 FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND "
                          "i.indexprs IS NULL AND i.indpred IS NULL AND $2 = ANY ((i.indkey::int2[])[0:i.indnkeyatts - "
                          "1])",
                          {Value{OIDOID, ObjectIdGetDatum(parent.oid), false}, int_value(tenant)});
    if (!rows.empty()) return;
    const std::string name = tenantmig::quoted(parent.at(tenant).name);
    std::string key;
    for (const core::GuardColumn &column : hop.key)
        key += tenantmig::quoted(parent.at(static_cast<AttrNumber>(column.number)).name) + ", ";
    warning(
        fmt::format("no unique index of {} contains its tenant key {}", parent.label(), name),
        "The guard locks the parent of each row that is written FOR SHARE, so that every update of the parent waits; "
        "with such an index it takes FOR KEY SHARE, as foreign keys do.",
        fmt::format("CREATE UNIQUE INDEX {}ON {} ({}{});",
                    parent.kind == RELKIND_PARTITIONED_TABLE ? "" : "CONCURRENTLY ", parent.sql(), key, name));
}

GuardOutcome outcome_of(const GuardRecord &guard, const std::string &relation, const char *outcome) {
    return {guard.migration_id != 0 ? std::optional(guard.step) : std::nullopt,
            relation,
            guard.column,
            guard.kind,
            guard.mode,
            guard.trigger_name(),
            outcome,
            guard.id};
}

void announce_guard(const GuardRecord &guard, const GuardOutcome &outcome) {
    announce("guard", guard.migration,
             {{"outcome", outcome.outcome},
              {"guard", outcome.guard},
              {"kind", outcome.kind},
              {"relation", outcome.relation},
              {"column", outcome.column}});
}

// Nothing is to do: the same definition, and all triggers stand as they were asked for.
bool stands(const GuardRecord &guard, const GuardTrigger &trigger, const GuardTarget &target,
            const core::GuardDefinition &definition) {
    if (trigger.table != target.table.oid || guard.always != target.step.always ||
        !enabled_as_asked(trigger, guard.always) ||
        core::guard_json(core::parse_guard_json(guard.definition)) != core::guard_json(definition))
        return false;
    if (!target.parent || target.parent->oid == target.table.oid) return true;
    const GuardTrigger second = find_parent_trigger(guard);
    return second.table == target.parent->oid && enabled_as_asked(second, guard.always);
}

std::string belongs_to(const core::GuardDefinition &guard) {
    return guard.migration.empty() ? "It belongs to no migration."
                                   : fmt::format("It belongs to migration {}.", core::excerpt(guard.migration));
}

// `migration`: NULL for a guard of none. `step`: of kind tenant_key.
GuardOutcome attach(const MigrationRecord *migration, const GuardTarget &target, const ResolvedStep *step,
                    const std::string &options) {
    const Table &table = target.table;
    const core::GuardDefinition definition = step ? define(target, *step) : target.definition;
    const auto is_ours = [&](const GuardRecord &guard) {
        if (migration) return guard.migration_id == migration->id && guard.step == target.step.number;
        if (guard.migration_id != 0) return false;
        const core::GuardDefinition other = core::parse_guard_json(guard.definition);
        const bool here =
            other.system == definition.system && other.database == definition.database && other.table.oid == table.oid;
        return (here || find_trigger(guard).table == table.oid) && same_guard(other, definition);
    };
    const char *outcome = "attached";
    for (const GuardRecord &guard : migration ? guards_of(migration->id) : all_guards()) {
        if (!is_ours(guard)) continue;
        GuardTrigger trigger = find_trigger(guard);
        if (stands(guard, trigger, target, definition)) {
            GuardOutcome unchanged = outcome_of(guard, table.label(), "unchanged");
            unchanged.trigger = trigger.name;
            return unchanged;
        }
        if (remove_guard(guard)) outcome = "replaced";
    }
    for (const GuardRecord &guard : guards_on(table.oid)) {
        const core::GuardDefinition other = core::parse_guard_json(guard.definition);
        if (!same_guard(other, definition)) continue;
        const std::string name = target.column.number != 0 ? "." + tenantmig::quoted(definition.column.name) : "";
        throw Error(sqlstate::duplicate_object,
                    fmt::format("{}{} has a guard of kind {} already", table.label(), name, guard.kind),
                    belongs_to(other),
                    fmt::format("SELECT * FROM tenantmig.detach_guard({}) takes it off; one guard of a kind is enough.",
                                guard.id));
    }
    GuardRecord guard = insert_guard(migration, target.step.number, target.step.always, definition, options);
    GuardTriggerForm form = form_of(target, step);
    form.name = guard.trigger_name();
    make_guard_trigger(guard, table, form);
    if (target.parent) {
        if (target.parent->oid != table.oid) make_guard_trigger(guard, *target.parent, parent_form(guard, target));
        warn_of_share_lock(*target.parent, definition.sources.at(0).hops.at(0));
    }
    GuardOutcome result = outcome_of(guard, table.label(), outcome);
    announce_guard(guard, result);
    return result;
}

// The fields of a guard step but for those that have columns of their own.
std::string options_of(const nlohmann::json &step) {
    nlohmann::json options = step;
    for (const char *field : {"kind", "table", "column"})
        options.erase(field);
    return options.dump();
}

std::vector<GuardOutcome> attach_steps(const MigrationRecord &scoped, const std::vector<core::GuardStep> &steps) {
    LockTimeout timeout;
    MigrationRecord migration = scoped; // a guard's backfill step need not be in the scope
    migration.scope.clear();
    const bool asks_backfill = std::any_of(steps.begin(), steps.end(), [](const core::GuardStep &step) {
        return step.kind == core::GuardKind::tenant_key;
    });
    ResolvedMigration resolved;
    if (asks_backfill) resolved = resolve_migration(migration);
    const nlohmann::json document = nlohmann::json::parse(migration.spec);
    const core::Spec spec = core::parse_spec(document);
    MigrationNames names(migration);
    lock_guards();
    fire_deferred_as_caller();
    std::vector<GuardOutcome> outcomes;
    for (const core::GuardStep &step : steps) {
        NameBook &book = names.of(step.number);
        const GuardTarget target = resolve_guard(step, book, root_for(spec, step, book), migration.name);
        const ResolvedStep *backfill = nullptr;
        if (step.kind == core::GuardKind::tenant_key) {
            check_guard(resolved, target);
            backfill = backfill_of(resolved, target);
        }
        if (names.replaced(step.number)) {
            require_rights_of_creator(migration, target.table);
            for (const Table &table : target.looked_at)
                require_rights_of_creator(migration, table);
        }
        const std::size_t place = static_cast<std::size_t>(step.number) - 1;
        outcomes.push_back(
            attach(&migration, target, backfill, options_of(document.at("steps").at(place).at("guard"))));
    }
    return outcomes;
}

// Those of a later segment are attached when up has reached it.
std::vector<core::GuardStep> reached_steps(const MigrationRecord &migration, std::vector<core::GuardStep> steps,
                                           bool one) {
    const Reach reach = reach_of(migration);
    if (reach.later.empty()) return steps;
    std::vector<core::GuardStep> reached;
    for (const core::GuardStep &step : steps)
        if (reach.reaches(step.number)) reached.push_back(step);
    if (reached.empty() || one) require_reached(migration, steps.front().number);
    if (reached.size() < steps.size()) tell_of_later_steps(migration);
    return reached;
}

// A guard whose trigger has gone leaves nothing that its table's owner could be asked of.
void require_role_of(const GuardRecord &guard) {
    const core::GuardDefinition definition = core::parse_guard_json(guard.definition);
    const char *name = definition.owner.c_str();
    const Oid owner = pg_call([name] { return get_role_oid(name, true); });
    if (OidIsValid(owner) ? has_privileges_of(owner) : pg_call([] { return superuser(); })) return;
    throw Error(sqlstate::insufficient_privilege,
                fmt::format("must have the privileges of {}", core::excerpt(definition.owner)),
                fmt::format("That role owned table {} when guard {} was attached.",
                            qualified(guard.schema, guard.table), guard.id),
                "Run as a member of that role.");
}

// Where a guard has no document, its errors name arguments and options instead of paths.
template <typename Function>
auto with_arguments(Function function) {
    try {
        return function();
    } catch (const Error &error) {
        std::string message = error.message();
        for (const auto &[path, instead] : {std::pair("spec: guard.table: ", "argument \"relation\": "),
                                            std::pair("spec: guard.column: ", "argument \"column_name\": "),
                                            std::pair("spec: guard.kind: ", "argument \"kind\": "),
                                            std::pair("spec: guard: ", ""), std::pair("spec: guard.", "options: ")})
            if (message.starts_with(path)) {
                message.replace(0, std::strlen(path), instead);
                break;
            }
        throw Error(error.state(), message, error.detail(), error.hint());
    } catch (const nlohmann::json::exception &error) { // jsonb holds numbers that no double does
        if (own_query("SELECT getdatabaseencoding()").text_or(0, 1) == "UTF8")
            throw Error(sqlstate::spec_invalid, "argument \"options\": a value can't be read",
                        fmt::format("{}.", core::excerpt(error.what())),
                        R"(Write for example '{"key": "domain", "separator": "."}'.)");
        throw Error(sqlstate::feature_not_supported, "characters outside of ASCII need a database of encoding UTF8", {},
                    "Rename what the guard names, or restore the database into one WITH ENCODING 'UTF8'.");
    }
}

// A column may be given as it is called, without the double quotes that SQL would need, as in backfill().
std::string as_written(const std::string &relation, const std::string &column) {
    try {
        NameBook names;
        if (names.table(relation, "guard.table").find(column)) return tenantmig::quoted(column);
    } catch (const Error &) { // whoever resolves the step says what is wrong
    }
    return column;
}

GuardOutcome detach(const GuardRecord &guard) {
    GuardOutcome outcome = outcome_of(guard, qualified(guard.schema, guard.table), "missing");
    if (GuardTrigger trigger = find_trigger(guard); OidIsValid(trigger.table)) {
        if (auto table = describe_table(trigger.table)) outcome.relation = table->label();
        outcome.trigger = trigger.name;
    }
    if (remove_guard(guard)) outcome.outcome = "detached";
    announce_guard(guard, outcome);
    return outcome;
}
} // namespace

std::vector<GuardTarget> resolve_guards(const core::Spec &spec, MigrationNames &names) {
    std::vector<GuardTarget> targets;
    for (const core::GuardStep &step : spec.guards) {
        NameBook &book = names.of(step.number);
        GuardTarget target = resolve_guard(step, book, root_for(spec, step, book), spec.migration);
        for (const GuardTarget &other : targets)
            if (other.table.oid == target.table.oid && same_guard(other.definition, target.definition))
                throw Error(sqlstate::spec_invalid, fmt::format("spec: {}: the same guard twice", step.path),
                            fmt::format("It guards the same column as {}.", other.step.path), "Remove one of them.");
        targets.push_back(std::move(target));
    }
    return targets;
}

void check_guards(const ResolvedMigration &migration, const std::vector<GuardTarget> &targets) {
    for (const GuardTarget &target : targets)
        if (target.step.kind == core::GuardKind::tenant_key) check_guard(migration, target);
}

std::vector<GuardOutcome> attach_guards(const MigrationRecord &migration, std::optional<std::int32_t> step) {
    require_owner(migration);
    return attach_steps(migration, reached_steps(migration, chosen_steps(migration, step), step.has_value()));
}

std::vector<GuardOutcome> detach_guards(const MigrationRecord &migration, std::optional<std::int32_t> step) {
    require_owner(migration);
    std::vector<core::GuardStep> chosen = chosen_steps(migration, step);
    LockTimeout timeout;
    lock_guards();
    fire_deferred_as_caller();
    std::vector<GuardOutcome> outcomes;
    for (const GuardRecord &guard : guards_of(migration.id))
        if (!step || guard.step == *step) outcomes.push_back(detach(guard));
    return outcomes;
}

GuardOutcome attach_guard_alone(const std::string &relation, const std::optional<std::string> &column,
                                const std::string &kind, const std::string &options) {
    LockTimeout timeout;
    return with_arguments([&] {
        nlohmann::json document = nlohmann::json::parse(options);
        if (!document.is_object())
            throw Error(sqlstate::spec_invalid, "argument \"options\": expected an object",
                        fmt::format("Found {}.", core::excerpt(options)),
                        R"(Write for example '{"key": "domain", "separator": "."}'.)");
        for (const char *field : {"kind", "table", "column"})
            if (document.contains(field))
                throw Error(sqlstate::spec_invalid, fmt::format("options: {}: unknown field", field),
                            "Table, column and kind are arguments of their own.", "Leave it out.");
        const std::string asked = document.dump();
        document["kind"] = kind;
        document["table"] = relation;
        if (column) document["column"] = as_written(relation, *column);
        if (kind == core::kind_name(core::GuardKind::tenant_key))
            throw Error(sqlstate::feature_not_supported, "a guard of kind tenant_key belongs to a migration",
                        "It asks the parents that the migration's backfill step names.",
                        "Add the guard to the steps of the migration, and SELECT * FROM tenantmig.attach_guard(name).");
        const core::GuardStep step = core::parse_guard(document, "guard", 0).step;
        NameBook names;
        lock_guards();
        fire_deferred_as_caller();
        return attach(nullptr, resolve_guard(step, names, {}, ""), nullptr, asked);
    });
}

GuardOutcome detach_guard_alone(std::int64_t guard) {
    LockTimeout timeout;
    lock_guards();
    const std::optional<GuardRecord> record = find_guard(guard);
    if (!record)
        throw Error(sqlstate::undefined_object, fmt::format("guard {} does not exist", guard), {},
                    "SELECT id, relation, kind FROM tenantmig.guards lists all.");
    if (record->migration_id != 0) {
        require_owner(get_migration(record->migration_id));
    } else if (GuardTrigger trigger = find_trigger(*record); !OidIsValid(trigger.table)) {
        require_role_of(*record);
    }
    fire_deferred_as_caller();
    return detach(*record);
}

void attach_capture_guards(const MigrationRecord &migration) {
    MigrationRecord whole = migration;
    whole.scope.clear();
    const core::Spec spec = migration_spec(whole);
    std::vector<core::GuardStep> filling;
    for (const core::GuardStep &guard : spec.guards)
        if (guard.kind == core::GuardKind::tenant_key && guard.mode == core::GuardMode::fill) filling.push_back(guard);
    if (!migration.scope.empty()) { // those that stand beside the run's steps, on their columns
        MigrationNames names(whole);
        const Reach reach = reach_of(whole);
        const core::Spec run = migration_spec(migration);
        std::erase_if(filling, [&](const core::GuardStep &guard) {
            if (!reach.reaches(guard.number)) return true;
            NameBook &book = names.of(guard.number);
            return std::none_of(run.steps.begin(), run.steps.end(), [&](const core::BackfillStep &step) {
                if (names.segment_of(step.number) != names.segment_of(guard.number)) return false;
                const Table table = book.table(guard.table, guard.path + ".table");
                return book.table(step.table, step.path + ".table").oid == table.oid &&
                       book.column(table, step.column, step.path + ".column").number ==
                           book.column(table, guard.column, guard.path + ".column").number;
            });
        });
    }
    if (!filling.empty()) (void)attach_steps(migration, filling);
}

} // namespace tenantmig

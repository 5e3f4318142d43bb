#include "core/identifier.hpp"
#include "core/spec.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "engine/constraint_target.hpp"
#include "steps/guard.hpp"
#include "steps/late_names.hpp"
#include "steps/migration.hpp"
#include "steps/step.hpp"

namespace tenantmig {

namespace {
// A migration's name holds no control characters, a table's may.
std::string printable(std::string name) {
    for (std::size_t i = 0; i < name.size(); i++) {
        auto byte = static_cast<unsigned char>(name[i]);
        if (byte < 0x20 || byte == 0x7f)
            name[i] = '_';
        else if (byte == 0xC2 && i + 1 < name.size() && static_cast<unsigned char>(name[i + 1]) < 0xA0)
            name.replace(i, 2, "_");
    }
    return name;
}

// The steps of one segment; `all`: the whole spec.
ResolvedMigration resolve_with_guards(const core::Spec &spec, const core::Spec &all, MigrationNames &names) {
    std::vector<GuardTarget> guards = resolve_guards(spec, names);
    (void)resolve_constraints(spec, all, names); // checked, and remembered by name
    ResolvedMigration resolved = resolve_spec(spec, names);
    check_guards(resolved, guards);
    return resolved;
}

// The steps that stand between the structural step `segment` (0: none) and the next one.
core::Spec select_segment(const core::Spec &spec, const MigrationNames &names, int segment) {
    std::vector<int> numbers;
    for (const core::StepRef &step : spec.order)
        if (!core::is_structural(step.kind) && names.segment_of(step.number) == segment) numbers.push_back(step.number);
    return core::select_steps(spec, numbers);
}

std::string shown(const std::vector<std::string> &parts) {
    std::string text;
    for (const std::string &part : parts)
        text += (text.empty() ? "" : ", ") + part;
    return text;
}

// One line for a step that is not a backfill, or whose names come later: as the document writes it.
CheckedStep as_written(const core::Spec &spec, const core::StepRef &ref) {
    CheckedStep line;
    line.step = ref.number;
    line.kind = ref.kind;
    switch (ref.kind) {
    case core::StepKind::backfill:
        line.relation = spec.steps[ref.index].table;
        line.column = spec.steps[ref.index].column;
        break;
    case core::StepKind::guard:
        line.relation = spec.guards[ref.index].table;
        line.column = spec.guards[ref.index].column;
        line.note = core::kind_name(spec.guards[ref.index].kind);
        break;
    case core::StepKind::constraint:
        line.relation = spec.constraints[ref.index].table;
        line.column = spec.constraints[ref.index].column;
        break;
    case core::StepKind::add_column:
        line.relation = spec.added_columns[ref.index].table;
        line.column = spec.added_columns[ref.index].column;
        line.note = spec.added_columns[ref.index].type;
        break;
    case core::StepKind::drop_column:
        line.relation = spec.dropped_columns[ref.index].table;
        line.column = spec.dropped_columns[ref.index].column;
        break;
    case core::StepKind::index: {
        const core::IndexStep &index = spec.indexes[ref.index];
        line.relation = index.table;
        std::vector<std::string> columns;
        for (const core::IndexColumn &column : index.columns)
            columns.push_back(column.column);
        line.column = shown(columns);
        line.note = index.name;
        break;
    }
    case core::StepKind::rekey: {
        const core::RekeyStep &rekey = spec.rekeys[ref.index];
        line.relation = rekey.root;
        line.column = rekey.column;
        std::vector<std::string> tables;
        for (const core::RekeyTable &table : rekey.tables)
            tables.push_back(table.table);
        line.note = "tables: " + shown(tables);
        break;
    }
    case core::StepKind::isolate: {
        const core::IsolateStep &isolate = spec.isolations[ref.index];
        std::vector<std::string> tables;
        for (const core::IsolateTable &table : isolate.tables)
            tables.push_back(table.table);
        line.relation = shown(tables);
        line.note = fmt::format("for {}, by {}", shown(isolate.roles), isolate.setting);
        break;
    }
    case core::StepKind::sql:
        line.note = spec.sqls[ref.index].down.empty() ? "without a way back" : "with a way back";
        break;
    }
    return line;
}

void list_backfill(const ResolvedStep &step, std::vector<CheckedStep> &lines) {
    const StepTarget &target = step.target;
    std::string key;
    for (AttrNumber number : target.key)
        key += (key.empty() ? "" : ", ") + tenantmig::quoted(target.table.at(number).name);
    for (const ResolvedSource &source : step.sources) {
        const char *kind = source.kind == core::SourceKind::children ? "rows that point here"
                           : source.kind == core::SourceKind::parent ? "the row's parent"
                           : source.kind == core::SourceKind::path   ? "a parent over several hops"
                                                                     : "a polymorphic reference";
        lines.push_back({step.spec.number, core::StepKind::backfill, step.label(), target.column.name, source.label,
                         source.tenant_label(), fmt::format("{}; rows are identified by ({})", kind, key)});
    }
}

// Backfills that can be resolved stand where the order of execution puts them.
std::vector<CheckedStep> list_steps(const core::Spec &spec, const MigrationNames &names,
                                    const ResolvedMigration &first) {
    std::vector<CheckedStep> lines;
    std::size_t backfills = 0;
    for (const core::StepRef &ref : spec.order) {
        const int segment = names.segment_of(ref.number);
        if (ref.kind == core::StepKind::backfill && segment == 0) {
            list_backfill(first.steps.at(backfills++), lines);
            continue;
        }
        CheckedStep line = as_written(spec, ref);
        if (segment != 0)
            line.note +=
                fmt::format("{}names are resolved when step {} is applied", line.note.empty() ? "" : "; ", segment);
        lines.push_back(std::move(line));
    }
    return lines;
}

// The migration as it would be stored.
MigrationRecord unborn(const core::Spec &spec, const std::string &document) {
    MigrationRecord record;
    record.name = spec.migration;
    record.owner_oid = GetUserId();
    record.owner = current_user_name();
    record.spec = document;
    record.identity = identity_of({});
    record.search_path = namespace_search_path;
    return record;
}

CheckedMigration check(const std::string &document) {
    const core::Spec spec = core::parse_spec_text(document);
    MigrationNames names(spec);
    const ResolvedMigration first = resolve_with_guards(select_segment(spec, names, 0), spec, names);
    bool first_one = true; // of the structural steps: the names of the others come later, but sql has none
    for (const core::StepRef &ref : spec.order) {
        if (ref.kind == core::StepKind::isolate && names.segment_of(ref.number) == 0)
            make_step(spec, ref)->check(unborn(spec, document), names.of(ref.number));
        if (!core::is_structural(ref.kind)) continue;
        if (first_one || ref.kind == core::StepKind::sql)
            make_step(spec, ref)->check(unborn(spec, document), names.of(ref.number));
        first_one = false;
    }
    check_late_names(spec, names);
    return {list_steps(spec, names, first), names.json()};
}
} // namespace

void require_utf8(const std::string &text) {
    if (std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) return;
    const std::string encoding = own_query("SELECT getdatabaseencoding()").text_or(0, 1);
    if (encoding == "UTF8") return;
    throw Error(sqlstate::feature_not_supported, "characters outside of ASCII need a database of encoding UTF8",
                fmt::format("The encoding of this database is {}.", encoding),
                "Rename what the migration names, or restore the database into one WITH ENCODING 'UTF8'.");
}

CheckedMigration check_migration(const std::string &spec) {
    LockTimeout timeout;
    require_utf8(spec);
    return check(spec);
}

MigrationRecord create_migration(const std::string &document) {
    LockTimeout timeout;
    require_utf8(document);
    core::Spec spec = core::parse_spec_text(document);
    if (auto existing = find_migration(spec.migration)) {
        require_owner(*existing);
        if (nlohmann::json::parse(existing->spec) != nlohmann::json::parse(document))
            throw Error(
                sqlstate::duplicate_object,
                fmt::format("migration \"{}\" exists already, with another spec", spec.migration), {},
                fmt::format("SELECT spec FROM tenantmig.migrations WHERE migration = {0} shows it; name this one "
                            "differently, or SELECT tenantmig.drop_migration({0}) first.",
                            core::sql_literal(spec.migration)));
        return *existing;
    }
    return insert_migration(spec.migration, spec.description, spec.version, document, check(document).identity);
}

void resolve_segment(MigrationRecord &migration, int step) {
    MigrationRecord whole = migration;
    whole.scope.clear();
    const core::Spec spec = migration_spec(whole);
    MigrationNames names(migration);
    (void)resolve_with_guards(select_segment(spec, names, names.segment_of(step)), spec, names);
    store_names(migration, names);
}

namespace {
// An argument that names something: its errors name the argument where those of a spec name the path in the document.
template <typename Resolve>
auto resolve_argument(const std::string &argument, Resolve resolve) {
    try {
        return resolve();
    } catch (const Error &error) {
        std::string message = error.message();
        if (const std::string path = fmt::format("spec: {}: ", argument); message.starts_with(path))
            message.erase(0, path.size());
        throw Error(error.state(), fmt::format("argument \"{}\": {}", argument, message), error.detail(), error.hint());
    }
}

// jsonb holds numbers that no double does.
nlohmann::json argument_json(const std::string &argument, const std::string &text) {
    try {
        return nlohmann::json::parse(text);
    } catch (const nlohmann::json::exception &) {
        throw Error(sqlstate::spec_invalid, fmt::format("argument \"{}\": a number is out of range", argument),
                    "A spec holds numbers of double precision.", "Write the value as a string: \"1e400\".");
    }
}
} // namespace

std::string spec_of(const TableBackfill &arguments) {
    LockTimeout timeout;
    NameBook names;
    Table table = resolve_argument("relation", [&] { return names.table(arguments.relation, "relation"); });
    Column column =
        resolve_argument("column_name", [&] { return names.column(table, arguments.column, "column_name"); });
    std::optional<Table> root;
    if (arguments.tenants)
        root = resolve_argument("tenants", [&] { return names.table(*arguments.tenants, "tenants"); });
    if (!has_privileges_of(table.owner))
        throw Error(sqlstate::insufficient_privilege, fmt::format("must be owner of table {}", table.label()),
                    fmt::format("It belongs to {}.", role_name(table.owner)), "Run as a member of the owner's role.");
    Discovered found = discover_sources(table, column, root, !arguments.sources);

    for (const auto &text :
         {arguments.sources, arguments.conditions, arguments.soft_delete, arguments.assign_orphans_to})
        require_utf8(text.value_or(""));
    require_utf8(table.sql() + column.name + found.sources + found.tenants_table + found.tenants_key);
    require_utf8(arguments.evidence + arguments.on_conflict + arguments.on_orphan);

    Oid oid = table.oid;
    bool visible = pg_call([oid] { return RelationIsVisible(oid); });
    nlohmann::json step = {{"table", table.sql()},
                           {"column", tenantmig::quoted(column.name)}, // as SQL writes it, like every name in a spec
                           {"evidence", arguments.evidence},
                           {"on_conflict", arguments.on_conflict}};
    if (arguments.assign_orphans_to) {
        if (arguments.on_orphan != "review" && arguments.on_orphan != "assign")
            throw Error(sqlstate::invalid_parameter_value, "assign_orphans_to goes with on_orphan => 'assign' only",
                        fmt::format("on_orphan is \"{}\".", arguments.on_orphan), "Leave one of them out.");
        step["on_orphan"] = {{"assign", *arguments.assign_orphans_to}};
    } else {
        step["on_orphan"] = arguments.on_orphan;
    }
    if (arguments.soft_delete) step["soft_delete"] = *arguments.soft_delete;
    if (arguments.conditions) step["where"] = argument_json("conditions", *arguments.conditions);
    step["sources"] = argument_json("sources", arguments.sources ? *arguments.sources : found.sources);
    nlohmann::json spec = {
        {"migration", printable((visible ? table.name : table.schema + "." + table.name) + "." + column.name)},
        {"description", "made by tenantmig.backfill(relation, column)"},
        {"tenants", {{"table", found.tenants_table}}},
        {"steps", {{{"backfill", step}}}}};
    if (!found.tenants_key.empty()) spec["tenants"]["key"] = found.tenants_key;
    return spec.dump();
}

} // namespace tenantmig

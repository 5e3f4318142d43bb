#include "core/spec.hpp"

#include "engine/resolve.hpp"

namespace tenantmig {

std::string ResolvedSource::tenant_label() const {
    const Hop &hop = end();
    return hop.table.label() + "." + quoted(hop.table.at(hop.value.front()).name);
}

namespace {
bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}
bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID;
}
// Types whose equal values have one text form (numeric is trimmed, character's padding goes with the cast).
bool has_canonical_text(Oid type) {
    switch (type) {
    case NUMERICOID:
    case BPCHAROID:
    case NAMEOID:
    case OIDOID:
    case BOOLOID:
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case BYTEAOID:
    case MACADDROID:
        return true;
    default:
        return pg_call([type] { return type_is_enum(type); });
    }
}

// The type as people write it.
std::string shown_type(const Column &column) {
    constexpr std::string_view schema = "pg_catalog.";
    return column.type_name.starts_with(schema) ? column.type_name.substr(schema.size()) : column.type_name;
}

std::string describe(const Column &column, const Table &table) {
    return fmt::format("{}.{} is {}", table.label(), quoted(column.name), shown_type(column));
}

class Resolver {
public:
    // `names`: those of the segment that the steps stand in.
    Resolver(const core::Spec &spec, NameBook &names) : spec_(spec), names_(names) {}

    ResolvedStep step(const core::BackfillStep &step) {
        ResolvedStep result;
        result.spec = step;
        result.target = resolve_target(spec_, step, names_);
        result.policy = {step.evidence, step.on_conflict == core::OnConflict::majority};
        const StepTarget &target = result.target;
        require_rights(target.table, step.path + ".table");
        require_rights(target.root, "tenants.table");
        if (target.column.generated || target.column.identity_always)
            throw Error(sqlstate::generated_always,
                        fmt::format("spec: {}.column: \"{}\" is a generated column", step.path, target.column.name),
                        "Its value can't be written.", "Name an ordinary column.");
        if (target.table.oid == target.root.oid)
            throw Error(sqlstate::wrong_object_type,
                        fmt::format("spec: {}.table: {} is the tenant root itself", step.path, target.table.label()),
                        {}, "Name a tenant table.");
        result.tenant_class = tenant_class(target.column, target.table, step.path + ".column");
        if (tenant_class(target.root_key, target.root, "tenants.key") != result.tenant_class)
            throw Error(sqlstate::datatype_mismatch,
                        fmt::format("spec: {}.column: tenant key and tenant root have different types", step.path),
                        describe(target.column, target.table) + "; " + describe(target.root_key, target.root) + ".",
                        "Use the type of the tenant root's key.");
        if (target.soft_delete) {
            Oid type = target.soft_delete->type;
            if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
                throw Error(
                    sqlstate::datatype_mismatch,
                    fmt::format("spec: {}.soft_delete: \"{}\" is not a time", step.path, target.soft_delete->name),
                    describe(*target.soft_delete, target.table) + ".",
                    "Name a column of type timestamp with time zone, timestamp or date.");
            if (target.soft_delete->generated)
                throw Error(sqlstate::generated_always,
                            fmt::format("spec: {}.soft_delete: \"{}\" is a generated column", step.path,
                                        target.soft_delete->name),
                            {}, "Name an ordinary column.");
        }
        if (step.on_orphan == core::OnOrphan::assign) {
            try {
                (void)datum_from_text(target.column.type, target.column.typmod, step.assign);
            } catch (const PgError &error) {
                throw Error(sqlstate::spec_invalid,
                            fmt::format("spec: {}.on_orphan.assign: {}", step.path, error.what()),
                            describe(target.column, target.table) + ".", "Name a tenant of the tenant root.");
            }
        }
        result.where = conditions(target.table, step.where);
        for (const core::Source &source : step.sources)
            result.sources.push_back(this->source(result, source));
        return result;
    }

private:
    const core::Spec &spec_;
    NameBook &names_;

    void require_rights(const Table &table, const std::string &path) {
        if (!has_privileges_of(table.owner))
            throw Error(sqlstate::insufficient_privilege,
                        fmt::format("spec: {}: must be owner of table {}", path, table.label()),
                        fmt::format("It belongs to {}; evidence and rows are read and written as the owner.",
                                    role_name(table.owner)),
                        "Run as a member of the owner's role.");
    }

    static KeyClass tenant_class(const Column &column, const Table &table, const std::string &path) {
        if (is_integer(column.type)) return KeyClass::integer;
        if (column.type == UUIDOID) return KeyClass::uuid;
        if (is_text(column.type)) {
            if (!deterministic_collation(column.collation))
                throw Error(sqlstate::feature_not_supported,
                            fmt::format("spec: {}: the collation of \"{}\" is not deterministic", path, column.name),
                            describe(column, table) + ".", "Use a column with a deterministic collation.");
            return KeyClass::text;
        }
        throw Error(sqlstate::datatype_mismatch,
                    fmt::format("spec: {}: type {} can't be a tenant key", path, shown_type(column)),
                    describe(column, table) + ".",
                    "Tenant keys are of type smallint, integer, bigint, uuid, text or character varying.");
    }

    std::vector<ResolvedCondition> conditions(const Table &table, const std::vector<core::Condition> &list) {
        std::vector<ResolvedCondition> result;
        for (const core::Condition &condition : list) {
            ResolvedCondition resolved{names_.column(table, condition.column, condition.path), condition.values,
                                       condition.or_null};
            if (pg_call([type = resolved.column.type] { return type_is_array(type); }))
                throw Error(sqlstate::feature_not_supported,
                            fmt::format("spec: {}: a condition on an array", condition.path),
                            describe(resolved.column, table) + ".", "Use a column of a type without elements.");
            try {
                RunAs owner(table.owner, Purpose::read); // domains inside of a type have CHECKs that call user code
                for (const std::string &value : condition.values)
                    (void)datum_from_text(resolved.column.type, resolved.column.typmod, value);
            } catch (const PgError &error) {
                throw Error(sqlstate::spec_invalid, fmt::format("spec: {}: {}", condition.path, error.what()),
                            describe(resolved.column, table) + ".", "Give a value of the column's type.");
            }
            try {
                (void)equality_operator(resolved.column.type);
            } catch (const Error &error) {
                throw Error(error.state(), fmt::format("spec: {}: {}", condition.path, error.message()),
                            describe(resolved.column, table) + ".", error.hint());
            }
            result.push_back(std::move(resolved));
        }
        return result;
    }

    // The tenant key of the table where a source ends: named, else by foreign key to the tenant root, else by the
    // target column's name.
    AttrNumber tenant_of(const ResolvedStep &step, const Table &table, const std::optional<std::string> &named,
                         const std::string &path) {
        const StepTarget &target = step.target;
        AttrNumber found = 0;
        if (named) {
            found = names_.column(table, *named, path + ".tenant").number;
        } else if (table.oid == target.root.oid) {
            found = target.root_key.number;
        } else {
            std::string several;
            for (const ForeignKey &key : foreign_keys_from(table.oid))
                if (key.to == target.root.oid && key.to_columns.size() == 1 &&
                    key.to_columns[0] == target.root_key.number) {
                    several += (several.empty() ? "" : ", ") + quoted(table.at(key.from_columns[0]).name);
                    if (found && found != key.from_columns[0])
                        throw Error(
                            sqlstate::spec_invalid,
                            fmt::format("spec: {}: {} has several references to the tenant root", path, table.label()),
                            "Columns: " + several + ".", "Name the right one as tenant.");
                    found = key.from_columns[0];
                }
            if (!found) { // by the name as written, so that its identity is remembered and survives renames
                try {
                    found = names_.column(table, step.spec.column, path).number;
                } catch (const Error &) { // there is none
                }
            }
            if (!found)
                throw Error(sqlstate::undefined_column,
                            fmt::format("spec: {}: no tenant key was found in {}", path, table.label()),
                            fmt::format("It has no foreign key to {} and no column \"{}\".", target.root.label(),
                                        target.column.name),
                            "Name its tenant key as tenant.");
        }
        const Column &column = table.at(found);
        if (tenant_class(column, table, path + ".tenant") != step.tenant_class)
            throw Error(sqlstate::datatype_mismatch,
                        fmt::format("spec: {}: the source's tenant key has another type", path),
                        describe(column, table) + "; " + describe(target.column, target.table) + ".",
                        "Name a tenant key of the same type.");
        return found;
    }

    // The foreign key of `table` that starts at (or, of several columns, contains) `column`.
    ForeignKey parent_key(const Table &table, const Column &column, const std::string &path) {
        std::optional<ForeignKey> found;
        for (const ForeignKey &key : foreign_keys_from(table.oid)) {
            if (std::find(key.from_columns.begin(), key.from_columns.end(), column.number) == key.from_columns.end())
                continue;
            if (found && found->to != key.to)
                throw Error(sqlstate::spec_invalid,
                            fmt::format("spec: {}: several foreign keys start at {}.{}", path, table.label(),
                                        quoted(column.name)),
                            {}, "Use a column with one foreign key.");
            if (!found || key.from_columns.size() < found->from_columns.size()) found = key;
        }
        if (!found)
            throw Error(
                sqlstate::prerequisite_state,
                fmt::format("spec: {}: {}.{} has no foreign key", path, table.label(), quoted(column.name)),
                "A parent is found by the foreign key of the column.",
                "Add the foreign key (NOT VALID is enough), or describe the reference with type_column and types.");
        return *found;
    }

    // The same without a foreign key: the document says what the column leads to. That must be unique, or a row would
    // have several parents.
    ForeignKey named_key(const Table &table, const Column &column, const core::Source &source) {
        const std::string path = source.path + ".references";
        const Table parent = names_.table(source.references_table, path);
        for (const ForeignKey &key : foreign_keys_from(table.oid))
            if (key.from_columns == std::vector<AttrNumber>{column.number} && key.to != parent.oid)
                throw Error(
                    sqlstate::spec_invalid,
                    fmt::format("spec: {}: {}.{} references another table", path, table.label(), quoted(column.name)),
                    fmt::format("Its foreign key leads to {}, not to {}.", described(key.to, path).label(),
                                parent.label()),
                    "Leave references out: the foreign key says it.");
        ForeignKey result;
        result.to = parent.oid;
        result.from_columns = {column.number};
        if (!source.references_column.empty()) {
            const Column key = names_.column(parent, source.references_column, path);
            if (!is_unique(parent, key))
                throw Error(
                    sqlstate::invalid_foreign_key,
                    fmt::format("spec: {}: {}.{} is not unique", path, parent.label(), quoted(key.name)),
                    "A row has one parent: that takes a unique constraint or index over this column alone, "
                    "valid and not partial.",
                    fmt::format("CREATE UNIQUE INDEX CONCURRENTLY ON {} ({});", parent.label(), quoted(key.name)));
            result.to_columns = {key.number};
            return result;
        }
        bool primary = false;
        result.to_columns = row_identity(parent.oid, &primary);
        if (!primary || result.to_columns.size() != 1)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: {}: {} has no primary key of one column", path, parent.label()),
                        "The column can lead to one column only.",
                        fmt::format("Name the referenced column: references: {}.id.", parent.label()));
        return result;
    }

    static bool is_unique(const Table &table, const Column &column) {
        return !own_query(
                    "SELECT 1 FROM pg_index WHERE indrelid = $1 AND indisunique AND indisvalid AND indpred IS "
                    "NULL AND indexprs IS NULL AND indnkeyatts = 1 AND indkey[0] = $2",
                    {{OIDOID, ObjectIdGetDatum(table.oid), false}, {INT2OID, Int16GetDatum(column.number), false}})
                    .empty();
    }

    static std::vector<KeyClass> classes(const Table &a, const std::vector<AttrNumber> &a_columns, const Table &b,
                                         const std::vector<AttrNumber> &b_columns, const std::string &path) {
        std::vector<KeyClass> result;
        for (std::size_t i = 0; i < a_columns.size(); i++)
            result.push_back(comparison_class(a.at(a_columns[i]), a, b.at(b_columns[i]), b, path));
        return result;
    }

    void refuse_self(const ResolvedStep &step, const Hop &hop, const std::string &path) {
        if (hop.table.oid == step.target.table.oid && hop.value.size() == 1 &&
            hop.value[0] == step.target.column.number)
            throw Error(sqlstate::spec_invalid,
                        fmt::format("spec: {}: the source reads the column that the step fills", path),
                        fmt::format("{0}.{1} -> {0}.{1}", step.target.table.label(), quoted(step.target.column.name)),
                        "Use evidence from another table; resolve rows that only their own table knows by review.");
    }

    ResolvedSource source(const ResolvedStep &step, const core::Source &source) {
        ResolvedSource result;
        result.label = source.label;
        result.kind = source.kind;
        const Table &target = step.target.table;
        const std::string via = source.path + ".via";
        if (source.kind == core::SourceKind::children) {
            Table child = names_.table(source.table, via);
            require_rights(child, via);
            Column column = names_.column(child, source.column, via);
            Hop hop;
            find_child_key(step, child, column, via, result.probe, hop.key);
            hop.table = child;
            hop.value = {tenant_of(step, child, source.tenant, source.path)};
            hop.classes = classes(child, hop.key, target, result.probe, via);
            hop.where = conditions(child, source.where);
            refuse_self(step, hop, via);
            result.hops.push_back(std::move(hop));
        } else if (source.kind == core::SourceKind::polymorphic) {
            Column id = names_.column(target, source.column, via);
            result.probe = {id.number};
            result.type_column = names_.column(target, source.type_column, source.path + ".type_column").number;
            for (const core::TypeTarget &type : source.types) {
                const std::string path = fmt::format("{}.types.{}", source.path, type.type_value);
                Hop hop;
                hop.table = names_.table(type.table, path);
                require_rights(hop.table, path);
                hop.key = row_identity(hop.table.oid, nullptr);
                if (hop.key.size() != 1)
                    throw Error(sqlstate::prerequisite_state,
                                fmt::format("spec: {}: {} has no key of one column", path, hop.table.label()), {},
                                "A polymorphic reference needs tables with a primary key of one column.");
                hop.value = {tenant_of(step, hop.table, source.tenant, path)};
                hop.classes = classes(hop.table, hop.key, target, result.probe, path);
                hop.where = conditions(hop.table, source.where);
                refuse_self(step, hop, path);
                result.types.emplace_back(type.type_value, std::move(hop));
            }
        } else {
            std::vector<std::string> columns =
                source.kind == core::SourceKind::parent ? std::vector<std::string>{source.column} : source.hops;
            Table from = target;
            for (std::size_t i = 0; i < columns.size(); i++) {
                const std::string path =
                    source.kind == core::SourceKind::parent ? via : fmt::format("{}.path[{}]", source.path, i);
                const Column column = names_.column(from, columns[i], path);
                ForeignKey key =
                    source.references_table.empty() ? parent_key(from, column, path) : named_key(from, column, source);
                Hop hop;
                hop.table = described(key.to, path);
                require_rights(hop.table, path);
                hop.key = key.to_columns;
                hop.classes = classes(hop.table, hop.key, from, key.from_columns, path);
                if (i == 0) {
                    result.probe = key.from_columns;
                    hop.where = conditions(hop.table, source.where);
                } else {
                    result.hops.back().value = key.from_columns;
                    result.hops.back().value_classes = hop.classes;
                }
                from = hop.table;
                result.hops.push_back(std::move(hop));
            }
            result.hops.back().value = {tenant_of(step, from, source.tenant, source.path)};
            refuse_self(step, result.hops.back(), via);
        }
        for (Hop &hop : result.hops)
            if (&hop == &result.hops.back()) hop.value_classes = {step.tenant_class};
        for (auto &[type, hop] : result.types)
            hop.value_classes = {step.tenant_class};
        return result;
    }

    Table described(Oid oid, const std::string &path) {
        auto table = describe_table(oid);
        if (!table)
            throw Error(sqlstate::undefined_table,
                        fmt::format("spec: {}: the referenced table does not exist any more", path), {}, "Try again.");
        require_plain_table(*table, path);
        return *table;
    }

    // How rows of a child point at the target: by the foreign key that contains the column, else by the target's key of
    // one column.
    void find_child_key(const ResolvedStep &step, const Table &child, const Column &column, const std::string &path,
                        std::vector<AttrNumber> &probe, std::vector<AttrNumber> &key) {
        std::optional<ForeignKey> elsewhere;
        for (const ForeignKey &reference : foreign_keys_from(child.oid)) {
            if (std::find(reference.from_columns.begin(), reference.from_columns.end(), column.number) ==
                reference.from_columns.end())
                continue;
            if (reference.to == step.target.table.oid) {
                if (key.empty() || reference.from_columns.size() < key.size()) {
                    key = reference.from_columns;
                    probe = reference.to_columns;
                }
            } else {
                elsewhere = reference;
            }
        }
        if (!key.empty()) return;
        if (elsewhere)
            throw Error(
                sqlstate::spec_invalid,
                fmt::format("spec: {}: {}.{} references another table", path, child.label(), quoted(column.name)),
                fmt::format("Its foreign key leads to {}, not to {}.", described(elsewhere->to, path).label(),
                            step.target.table.label()),
                "Name a column that points at the target.");
        if (step.target.key.size() != 1)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: {}: the key of {} has several columns", path, step.target.table.label()),
                        "One column can't point at it.",
                        fmt::format("Add a foreign key from {} (NOT VALID is enough).", child.label()));
        key = {column.number};
        probe = step.target.key;
    }
};
} // namespace

KeyClass comparison_class(const Column &a, const Table &a_table, const Column &b, const Table &b_table,
                          const std::string &path) {
    for (auto side : {std::pair(&a, &a_table), std::pair(&b, &b_table)})
        if (!deterministic_collation(side.first->collation))
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}: the collation of \"{}\" is not deterministic", path, side.first->name),
                        describe(*side.first, *side.second) + ".", "Use a column with a deterministic collation.");
    if (is_integer(a.type) && is_integer(b.type)) return KeyClass::integer;
    if (a.type == UUIDOID && b.type == UUIDOID) return KeyClass::uuid;
    if (is_text(a.type) && is_text(b.type)) return KeyClass::text;
    auto textual = [](const Column &column) {
        return is_text(column.type) || is_integer(column.type) || column.type == UUIDOID;
    };
    if (a.type == b.type && has_canonical_text(a.type)) return KeyClass::as_text;
    if (textual(a) && textual(b) && (is_text(a.type) || is_text(b.type)))
        return KeyClass::as_text; // polymorphic ids are often text
    throw Error(sqlstate::datatype_mismatch,
                fmt::format("spec: {}: types {} and {} can't be compared", path, shown_type(a), shown_type(b)),
                describe(a, a_table) + "; " + describe(b, b_table) + ".", "Use columns of the same type.");
}

namespace {
// A table or column that is not there any more.
bool has_gone(const Error &error) {
    return std::string_view(error.state()) == sqlstate::undefined_table ||
           std::string_view(error.state()) == sqlstate::undefined_column;
}
} // namespace

ResolvedMigration resolve_spec(const core::Spec &spec, MigrationNames &names, int past) {
    ResolvedMigration result;
    result.spec = spec;
    std::vector<ResolvedStep> steps;
    for (const core::BackfillStep &step : spec.steps) {
        try {
            steps.push_back(Resolver(spec, names.of(step.number)).step(step));
        } catch (const Error &error) {
            if (step.number >= past || !has_gone(error)) throw;
            result.aside.push_back({step.number, core::StepKind::backfill, false, error.message()});
        }
    }
    // What a later segment fills is not what an earlier one reads: it was run before.
    const auto may_read = [&](const ResolvedStep &reader, const ResolvedStep &writer) {
        return names.segment_of(writer.spec.number) <= names.segment_of(reader.spec.number);
    };

    std::vector<std::vector<std::size_t>> depends_on(steps.size());
    std::vector<std::string> step_names;
    for (std::size_t i = 0; i < steps.size(); i++) {
        const StepTarget &target = steps[i].target;
        step_names.push_back(target.table.label() + "." + quoted(target.column.name));
        for (std::size_t j = 0; j < i; j++)
            if (names.segment_of(steps[j].spec.number) == names.segment_of(steps[i].spec.number) &&
                steps[j].target.table.oid == target.table.oid && steps[j].target.column.number == target.column.number)
                throw Error(sqlstate::spec_invalid,
                            fmt::format("spec: {}: {} is filled by two steps", steps[i].spec.path, step_names[i]), {},
                            "Remove one of them.");
        for (const ResolvedSource &source : steps[i].sources) {
            auto note = [&](const Hop &hop) {
                for (std::size_t j = 0; j < steps.size(); j++)
                    if (j != i && may_read(steps[i], steps[j]) && steps[j].target.table.oid == hop.table.oid &&
                        hop.value.size() == 1 && steps[j].target.column.number == hop.value[0])
                        depends_on[i].push_back(j);
            };
            if (source.types.empty()) note(source.hops.back());
            for (const auto &[type, hop] : source.types)
                note(hop);
        }
    }
    std::vector<std::size_t> order = core::order_steps(depends_on, step_names);
    std::vector<std::size_t> place(order.size());
    for (std::size_t i = 0; i < order.size(); i++)
        place[order[i]] = i;
    for (std::size_t from : order)
        result.steps.push_back(std::move(steps[from]));
    for (ResolvedStep &step : result.steps)
        for (ResolvedSource &source : step.sources) {
            auto link = [&](const Hop &hop) {
                for (std::size_t j = 0; j < result.steps.size(); j++)
                    if (&result.steps[j] != &step && may_read(step, result.steps[j]) &&
                        result.steps[j].target.table.oid == hop.table.oid && hop.value.size() == 1 &&
                        result.steps[j].target.column.number == hop.value[0])
                        source.depends_on.push_back(j);
            };
            if (source.types.empty()) link(source.hops.back());
            for (const auto &[type, hop] : source.types)
                link(hop);
        }
    result.identity = names.json();
    result.by_name = names.by_name();
    result.replaced = names.replaced();
    return result;
}

ResolvedMigration resolve_migration(const MigrationRecord &migration) {
    require_owner(migration);
    core::Spec spec = migration_spec(migration);
    MigrationNames names(migration);
    Reach reach;
    if (migration.scope.empty()) {
        reach = reach_of(migration);
        if (!reach.later.empty()) spec = core::select_steps(std::move(spec), reach.reached);
    }
    ResolvedMigration resolved = resolve_spec(spec, names, reach.last_applied);
    for (const StepAside &later : reach.later)
        if (later.kind == core::StepKind::backfill) resolved.aside.push_back(later);
    if (!resolved.replaced) return resolved;
    for (const ResolvedStep &step : resolved.steps) {
        for (const Table *table : {&step.target.table, &step.target.root})
            require_rights_of_creator(migration, *table);
        for (const ResolvedSource &source : step.sources) {
            for (const Hop &hop : source.hops)
                require_rights_of_creator(migration, hop.table);
            for (const auto &[type, hop] : source.types)
                require_rights_of_creator(migration, hop.table);
        }
    }
    return resolved;
}

ResolvedMigration resolve_for_run(MigrationRecord &migration) {
    migration.scope = steps_to_run(migration);
    return resolve_migration(migration);
}

} // namespace tenantmig

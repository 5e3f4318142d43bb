#include "core/excerpt.hpp"
#include "core/spec.hpp"
#include "core/undo_text.hpp"

#include "catalog/own_tables.hpp"
#include "engine/constraint_target.hpp"
#include "engine/resolve.hpp"

namespace tenantmig {

namespace {

std::string describe(const Table &table, const Column &column) {
    return fmt::format("{}.{} is {}", table.label(), quoted(column.name), type_label(column.type));
}

void require_table(const Table &table, const std::string &path) {
    auto refuse = [&](const std::string &what, const std::string &hint) {
        throw Error(sqlstate::feature_not_supported, fmt::format("spec: {}: {} {}", path, table.label(), what), {},
                    hint);
    };
    if (!has_privileges_of(table.owner))
        throw Error(sqlstate::insufficient_privilege,
                    fmt::format("spec: {}: must be owner of table {}", path, table.label()),
                    fmt::format("It belongs to {}; constraints are applied as the owner.", role_name(table.owner)),
                    "Run as a member of the owner's role.");
    if (table.is_partition) refuse("is a partition", "Name the partitioned table.");
    const bool has_children = table.kind == RELKIND_RELATION && pg_call([oid = table.oid] {
                                  return find_inheritance_children(oid, AccessShareLock) != NIL;
                              });
    if (has_children)
        refuse("has inheritance children",
               "A constraint on it would not hold in them: constrain each table by itself, or use partitions.");
    require_one_owner(table, path);
}

// Privileges of the owner, or the right to reference the column. A foreign key tells whoever makes it which keys there
// are; so do our counts, and to nobody else.
bool may_reference(Oid role, const Table &table, const Column &column) {
    return pg_call([role, oid = table.oid, number = column.number] {
        return pg_class_aclcheck(oid, role, ACL_REFERENCES) == ACLCHECK_OK ||
               pg_attribute_aclcheck(oid, number, role, ACL_REFERENCES) == ACLCHECK_OK;
    });
}

void require_right_to_reference(const Table &table, const Column &column, const std::string &path) {
    if (may_reference(GetUserId(), table, column) || has_privileges_of(table.owner)) return;
    throw Error(sqlstate::insufficient_privilege,
                fmt::format("spec: {}: permission denied to reference table {}", path, table.label()),
                fmt::format("It belongs to {}.", role_name(table.owner)),
                fmt::format("GRANT REFERENCES ({}) ON {} TO {};", quoted(column.name), table.label(),
                            quoted(current_user_name())));
}

bool is_unique(const Table &table, const Column &column) {
    return !own_query("SELECT 1 FROM pg_index WHERE indrelid = $1 AND indisunique AND indimmediate AND indisvalid "
                      "AND indpred IS NULL AND indexprs IS NULL AND indnkeyatts = 1 AND indkey[0] = $2",
                      {{OIDOID, ObjectIdGetDatum(table.oid), false}, {INT2OID, Int16GetDatum(column.number), false}})
                .empty();
}

// What PostgreSQL's foreign key compares without a cast of its own making.
bool comparable(const Column &a, const Column &b) {
    auto integer = [](Oid type) { return type == INT2OID || type == INT4OID || type == INT8OID; };
    auto text = [](Oid type) { return type == TEXTOID || type == VARCHAROID; };
    return a.type == b.type || (integer(a.type) && integer(b.type)) || (text(a.type) && text(b.type));
}

void require_equality(const Table &table, const Column &column, const std::string &path) {
    if (!deterministic_collation(column.collation))
        throw Error(sqlstate::feature_not_supported,
                    fmt::format("spec: {}: the collation of \"{}\" is not deterministic", path, column.name),
                    describe(table, column) + ".", "Use a column with a deterministic collation.");
    try {
        (void)equality_operator(column.type);
    } catch (const Error &error) {
        throw Error(sqlstate::datatype_mismatch, fmt::format("spec: {}: {}", path, error.message()),
                    describe(table, column) + ".", error.hint());
    }
}

class ConstraintResolver {
public:
    // `names`: those of the step's segment.
    ConstraintResolver(const core::Spec &spec, int step, MigrationNames &names)
        : spec_(spec), all_names_(names), segment_(names.segment_of(step)), names_(names.of(step)) {}

    ConstraintTarget step(const core::ConstraintStep &step) {
        ConstraintTarget target;
        target.step = step;
        target.table = names_.table(step.table, step.path + ".table");
        require_table(target.table, step.path + ".table");
        target.column = names_.column(target.table, step.column, step.path + ".column");
        bool primary = false;
        target.row_key = row_identity(target.table.oid, &primary);
        partitions(target);
        soft_delete(target);
        reference(target);
        for (std::size_t i = 0; i < step.unique.size(); i++) {
            const std::string path = fmt::format("{}.unique[{}]", step.path, i);
            const Column column = names_.column(target.table, step.unique[i], path);
            require_equality(target.table, column, path);
            if (std::find(target.unique.begin(), target.unique.end(), column.number) != target.unique.end())
                throw Error(sqlstate::spec_invalid, fmt::format("spec: {}: the same column twice", path), {},
                            "Remove one of them.");
            target.unique.push_back(column.number);
        }
        if (step.composite) {
            if (!primary)
                throw Error(sqlstate::prerequisite_state,
                            fmt::format("spec: {}.composite: {} has no primary key", step.path, target.table.label()),
                            "Unique is to be the tenant key with the primary key.", "Add a primary key first.");
            require_equality(target.table, target.column, step.path + ".composite");
            target.composite = {target.column.number};
            for (AttrNumber number : target.row_key)
                if (number != target.column.number) target.composite.push_back(number);
        }
        require_partition_key(target, target.unique, step.path + ".unique");
        require_partition_key(target, target.composite, step.path + ".composite");
        if (!step.format.empty()) format(target);
        return target;
    }

private:
    const core::Spec &spec_; // the whole one
    MigrationNames &all_names_;
    const int segment_;
    NameBook &names_;

    void partitions(ConstraintTarget &target) {
        if (!target.partitioned()) return;
        struct Members {
            Oid *oids, *parents;
            int count;
        };
        Members members = pg_call([oid = target.table.oid] {
            List *list = find_all_inheritors(oid, AccessShareLock, nullptr);
            const int count = list_length(list);
            Members out = {static_cast<Oid *>(palloc(sizeof(Oid) * static_cast<Size>(count))),
                           static_cast<Oid *>(palloc(sizeof(Oid) * static_cast<Size>(count))), 0};
            for (int i = 1; i < count; i++) { // the first is the table itself
                out.oids[out.count] = list_nth_oid(list, i);
                out.parents[out.count++] = get_partition_parent(list_nth_oid(list, i), true);
            }
            return out;
        });
        for (int i = 0; i < members.count; i++) {
            auto table = describe_table(members.oids[i]);
            if (!table) continue; // dropped meanwhile
            if (table->kind == RELKIND_FOREIGN_TABLE)
                throw Error(
                    sqlstate::wrong_object_type,
                    fmt::format("spec: {}.table: partition {} is a foreign table", target.step.path, table->label()),
                    "A constraint on it says nothing about the rows of the other server.",
                    "Detach it, or leave the constraint out.");
            const bool leaf = table->kind != RELKIND_PARTITIONED_TABLE;
            target.partitions.push_back({std::move(*table), members.parents[i], leaf});
        }
    }

    void soft_delete(ConstraintTarget &target) {
        const core::ConstraintStep &step = target.step;
        if (!step.soft_delete.empty())
            target.soft_delete = names_.column(target.table, step.soft_delete, step.path + ".soft_delete");
        for (const core::BackfillStep &other : spec_.steps) {
            const int segment = all_names_.segment_of(other.number);
            if (segment > segment_) continue;
            try {
                NameBook &names = all_names_.of(other.number);
                if (names.table(other.table, other.path + ".table").oid != target.table.oid ||
                    names.column(target.table, other.column, other.path + ".column").number != target.column.number)
                    continue;
                target.tenant_key = true;
                if (!target.soft_delete && other.soft_delete)
                    target.soft_delete = names.column(target.table, *other.soft_delete, other.path + ".soft_delete");
            } catch (const Error &) { // what an earlier segment names may have gone
                if (segment == segment_) throw;
            }
        }
        if (step.not_null == core::NotNull::live && !target.soft_delete)
            throw Error(sqlstate::spec_invalid,
                        fmt::format("spec: {}.not_null: live needs to know a soft-deleted row", step.path),
                        fmt::format("No backfill step of {} names soft_delete.", target.label()),
                        "Name the column: soft_delete: deleted_at.");
        if (target.soft_delete && target.soft_delete->number == target.column.number)
            throw Error(sqlstate::spec_invalid, fmt::format("spec: {}.soft_delete: it is the column itself", step.path),
                        fmt::format("The step constrains {}.", target.label()), "Name another column.");
    }

    // The foreign key that the column has already: on_delete alone changes what it does.
    void existing_reference(ConstraintTarget &target) {
        const std::string path = target.step.path + ".on_delete";
        std::optional<ForeignKey> found;
        for (const ForeignKey &key : foreign_keys_from(target.table.oid)) {
            if (key.from_columns != std::vector<AttrNumber>{target.column.number}) continue;
            if (found && (found->to != key.to || found->to_columns != key.to_columns))
                throw Error(sqlstate::spec_invalid,
                            fmt::format("spec: {}: {} has several foreign keys", path, target.label()), {},
                            "Name the referenced column: references: companies.id.");
            found = key;
        }
        if (!found)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: {}: {} has no foreign key", path, target.label()),
                        "on_delete alone changes a foreign key that there is.",
                        "Name the referenced column: references: companies.id.");
        target.referenced = describe_table(found->to);
        if (!target.referenced)
            throw Error(sqlstate::undefined_table, fmt::format("spec: {}: the referenced table is gone", path), {},
                        "Try again.");
        target.referenced_column = target.referenced->at(found->to_columns[0]);
    }

    void reference(ConstraintTarget &target) {
        const core::ConstraintStep &step = target.step;
        const std::string path = step.path + ".references";
        if (step.references_table.empty()) {
            if (step.on_delete == core::OnDelete::unspecified) return;
            existing_reference(target);
        } else {
            target.referenced = names_.table(step.references_table, path);
            if (!step.references_column.empty()) {
                target.referenced_column = names_.column(*target.referenced, step.references_column, path);
            } else {
                bool primary = false;
                const auto key = row_identity(target.referenced->oid, &primary);
                if (!primary || key.size() != 1)
                    throw Error(
                        sqlstate::spec_invalid,
                        fmt::format("spec: {}: {} has no primary key of one column", path, target.referenced->label()),
                        {}, "Name the referenced column: references: companies.id.");
                target.referenced_column = target.referenced->at(key[0]);
            }
        }
        const Table &referenced = *target.referenced;
        const Column &column = target.referenced_column;
        require_right_to_reference(referenced, column, path);
        if (!is_unique(referenced, column))
            throw Error(
                sqlstate::invalid_foreign_key,
                fmt::format("spec: {}: {}.{} is not unique", path, referenced.label(), quoted(column.name)),
                "A foreign key needs a unique constraint or index over this column alone, valid, immediate "
                "and not partial.",
                fmt::format("CREATE UNIQUE INDEX CONCURRENTLY ON {} ({});", referenced.label(), quoted(column.name)));
        require_equality(target.table, target.column, step.path + ".column");
        require_equality(referenced, column, path);
        if (!comparable(target.column, column))
            throw Error(sqlstate::datatype_mismatch,
                        fmt::format("spec: {}: types {} and {} can't be compared by a foreign key", path,
                                    type_label(target.column.type), type_label(column.type)),
                        describe(target.table, target.column) + "; " + describe(referenced, column) + ".",
                        "Use columns of the same type.");
    }

    // PostgreSQL keeps unique what each partition keeps unique; two partitions can have the same key unless it decides
    // which of them a row goes to.
    void require_partition_key(const ConstraintTarget &target, const std::vector<AttrNumber> &columns,
                               const std::string &path) {
        if (columns.empty() || !target.partitioned()) return;
        std::vector<std::string> names;
        for (AttrNumber number : columns)
            names.push_back(target.table.at(number).name);
        auto check = [&](const Table &table) {
            Rows rows = own_query("SELECT a.attname FROM pg_partitioned_table p CROSS JOIN LATERAL "
                                  "unnest(p.partattrs::int2[]) k(number) LEFT JOIN pg_attribute a ON a.attrelid = "
                                  "p.partrelid AND a.attnum = k.number AND k.number <> 0 WHERE p.partrelid = $1",
                                  {{OIDOID, ObjectIdGetDatum(table.oid), false}});
            for (std::size_t i = 0; i < rows.size(); i++) {
                const auto name = rows.text(i, 1);
                if (name && std::find(names.begin(), names.end(), *name) != names.end()) continue;
                throw Error(
                    sqlstate::feature_not_supported,
                    fmt::format("spec: {}: the partition key of {} is not among the columns", path, table.label()),
                    name ? fmt::format("It is partitioned by {}.", quoted(*name))
                         : "It is partitioned by an expression.",
                    name ? "PostgreSQL keeps rows unique across partitions only with it."
                         : "PostgreSQL can't keep rows unique across such partitions.");
            }
        };
        check(target.table);
        for (const ConstraintPartition &partition : target.partitions)
            if (!partition.leaf) check(partition.table);
    }

    static void format(const ConstraintTarget &target) {
        const Oid collation = OidIsValid(target.column.collation) ? target.column.collation : DEFAULT_COLLATION_OID;
        const Value pattern = text_value(target.step.format), empty = text_value("");
        try {
            (void)pg_call([collation, pattern, empty] {
                return DirectFunctionCall2Coll(textregexeq, collation, empty.datum, pattern.datum);
            });
        } catch (const PgError &error) {
            const bool pattern_is_bad = error.data()->sqlerrcode == ERRCODE_INVALID_REGULAR_EXPRESSION;
            throw Error(pattern_is_bad ? sqlstate::invalid_regular_expression : sqlstate::feature_not_supported,
                        fmt::format("spec: {}.format: {}", target.step.path, error.what()),
                        fmt::format("The format is {}.", core::excerpt(target.step.format)),
                        pattern_is_bad ? "Correct the regular expression: SELECT '' ~ 'expression' tries it."
                                       : "Use a column with a deterministic collation.");
        }
    }
};
} // namespace

std::string ConstraintTarget::label() const {
    return table.label() + "." + tenantmig::quoted(column.name);
}

std::vector<ConstraintTarget> resolve_constraints(const core::Spec &spec, const core::Spec &all, MigrationNames &names,
                                                  int past, std::vector<StepAside> *aside) {
    std::vector<ConstraintTarget> targets;
    for (const core::ConstraintStep &step : spec.constraints) {
        ConstraintTarget target;
        try {
            target = ConstraintResolver(all, step.number, names).step(step);
        } catch (const Error &error) {
            const std::string_view state = error.state();
            if (step.number >= past || (state != sqlstate::undefined_table && state != sqlstate::undefined_column))
                throw;
            if (aside) aside->push_back({step.number, core::StepKind::constraint, false, error.message()});
            continue;
        }
        for (const ConstraintTarget &other : targets)
            if (names.segment_of(other.step.number) == names.segment_of(step.number) &&
                other.table.oid == target.table.oid && other.column.number == target.column.number)
                throw Error(sqlstate::spec_invalid,
                            fmt::format("spec: {}: {} is constrained by two steps", step.path, target.label()),
                            fmt::format("The other is {}.", other.step.path), "Put them into one step.");
        targets.push_back(std::move(target));
    }
    return targets;
}

std::vector<ConstraintTarget> resolve_constraints(const MigrationRecord &migration, std::vector<StepAside> *aside) {
    require_owner(migration);
    MigrationNames names(migration);
    MigrationRecord whole = migration;
    whole.scope.clear();
    const core::Spec all = migration_spec(whole);
    core::Spec spec = migration_spec(migration);
    Reach reach;
    if (migration.scope.empty()) {
        reach = reach_of(migration);
        if (!reach.later.empty()) spec = core::select_steps(std::move(spec), reach.reached);
    }
    std::vector<ConstraintTarget> targets = resolve_constraints(spec, all, names, reach.last_applied, aside);
    for (const StepAside &later : reach.later)
        if (aside && later.kind == core::StepKind::constraint) aside->push_back(later);
    if (names.replaced())
        for (const ConstraintTarget &target : targets) {
            require_rights_of_creator(migration, target.table);
            if (target.referenced && OidIsValid(migration.owner_oid) &&
                !may_reference(migration.owner_oid, *target.referenced, target.referenced_column))
                require_rights_of_creator(migration, *target.referenced);
        }
    return targets;
}

std::string format_condition(const ConstraintTarget &target, std::string_view alias) {
    return fmt::format("({}{}{})::pg_catalog.text OPERATOR(pg_catalog.~) {}::pg_catalog.text", alias,
                       alias.empty() ? "" : ".", quoted(target.column.name), core::sql_literal(target.step.format));
}

} // namespace tenantmig

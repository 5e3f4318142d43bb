// References to rows of several tables (type, id), and soft deletion.
#include "core/key_text.hpp"
#include "core/undo_text.hpp"

#include "steps/lint_checks.hpp"

namespace tenantmig {

namespace {
constexpr int most_types = 100;
constexpr int sample_rows = 10000;

struct TypeTable {
    std::string value;
    const LintTable *table = nullptr; // none: the value maps to no table
};

// What a value of the type column means: as a guard of the table has it, else by the name.
const LintTable *table_of_type(const Lint &lint, const LintTable &table, const PolymorphicPair &pair,
                               const std::string &value) {
    for (const GuardRecord &guard : lint.model.guards) {
        if (guard.kind != "reference" || guard.schema != table.schema || guard.table != table.name) continue;
        try {
            for (const core::GuardSource &source : core::parse_guard_json(guard.definition).sources)
                if (source.type_column && source.type_column->name == pair.type->name)
                    for (const auto &[name, hop] : source.types)
                        if (name == value)
                            for (const auto &[oid, one] : lint.model.tables)
                                if (one.schema == hop.table.schema && one.name == hop.table.name) return &one;
        } catch (const std::exception &) { // somebody has changed it
        }
    }
    std::vector<std::string> schemas{table.schema, lint.model.root_table().schema};
    for (const std::string &name : table_names_of(value))
        for (const std::string &schema : schemas)
            for (const auto &[oid, one] : lint.model.tables)
                if (one.schema == schema && one.name == name) return &one;
    return nullptr;
}

void check_pair(Lint &lint, const LintTable &table, const PolymorphicPair &pair) {
    const std::string type = quoted(pair.type->name), id = quoted(pair.id->name);
    const std::string object = object_name(table, pair.type->name);
    const bool together = std::any_of(table.checks.begin(), table.checks.end(), [&](const LintCheck &check) {
        return check.is_about(pair.type->number) && check.is_about(pair.id->number);
    });
    if ((!pair.type->not_null || !pair.id->not_null) && !together)
        lint.add(
            Severity::warning, "polymorphic_nullable", object,
            fmt::format("{} and {} are neither NOT NULL nor bound by a check: one without the other passes.", type, id),
            fmt::format("ALTER TABLE {0} ADD CHECK (({1} IS NULL) = ({2} IS NULL)) NOT VALID; -- then VALIDATE "
                        "CONSTRAINT",
                        table.label(), type, id));
    const bool limited = pair.type->is_enum() || pair.type->domain ||
                         std::any_of(table.checks.begin(), table.checks.end(), [&](const LintCheck &check) {
                             return check.is_about(pair.type->number) && !check.is_about(pair.id->number);
                         });
    if (!limited)
        lint.add(Severity::warning, "polymorphic_types", object,
                 "No check says which types there are: a slip of the pen makes a row that points nowhere.",
                 fmt::format("-- ALTER TABLE {} ADD CHECK ({} IN ('Company', …)) NOT VALID;", table.label(), type));
    const LintIndex *reversed = nullptr;
    bool indexed = false;
    for (const LintIndex &index : table.indexes) {
        const auto at = std::find(index.columns.begin(), index.columns.end(), pair.type->number);
        if (!index.usable() || at == index.columns.end()) {
            continue;
        }
        const bool first = at == index.columns.begin() ||
                           (at == index.columns.begin() + 1 && index.columns.front() == table.tenant_key);
        const bool next = at + 1 != index.columns.end() && *(at + 1) == pair.id->number;
        indexed = indexed || (first && next);
        if (index.contains(pair.id->number) && !(first && next)) reversed = &index;
    }
    if (!indexed)
        lint.add(Severity::warning, reversed ? "polymorphic_index_order" : "polymorphic_index", object,
                 reversed ? fmt::format("{} does not have {} first (or behind the tenant key) and {} right behind it.",
                                        quoted(reversed->name), type, id)
                          : fmt::format("No index holds {} and {} together.", type, id),
                 create_index(table, {pair.type->number, pair.id->number}));
    if (!lint.model.guarded(table, core::GuardKind::reference, pair.id->name) &&
        !lint.model.guarded(table, core::GuardKind::reference, pair.type->name))
        lint.add(Severity::warning, "polymorphic_guard", object,
                 "No foreign key can hold this pair, and no guard of kind reference does.",
                 "-- name the types: " +
                     attach_guard_call(table, table.tenant_key ? table.at(table.tenant_key).name : "", "reference",
                                       fmt::format("{{\"via\": {}, \"type_column\": {}, \"types\": {{\"Company\": "
                                                   "\"companies\"}}}}",
                                                   core::json_string(id), core::json_string(type))));
}

// Rows of one type: whether they point at something, of the same tenant.
void check_rows(Lint &lint, const LintTable &table, const PolymorphicPair &pair, const TypeTable &type) {
    const LintTable &to = *type.table;
    const std::string object = fmt::format("{}.{}", object_name(table, pair.type->name), quoted(type.value));
    const LintIndex *primary = to.primary_key();
    if (!primary || primary->columns.size() != 1) return;
    const LintColumn &key = to.at(primary->columns.front());
    if (pair.id->type != key.type &&
        !(pair.id->category == 'N' && key.category == 'N')) // integers of another width compare well
        lint.add(Severity::warning, "polymorphic_id_type", object,
                 fmt::format("{} is {}, and the key of {} is {}: every comparison is one of texts.",
                             quoted(pair.id->name), pair.id->type_name, to.label(), key.type_name),
                 fmt::format("ALTER TABLE {} ALTER {} TYPE {}; -- rewrites the table", table.label(),
                             quoted(pair.id->name), key.type_name));
    const std::string of_type =
        fmt::format("CAST(c.{} AS pg_catalog.text) COLLATE \"C\" OPERATOR(pg_catalog.=) {} AND c.{} IS NOT NULL",
                    quoted(pair.type->name), core::sql_literal(type.value), quoted(pair.id->name));
    const std::string join = same_value("p." + quoted(key.name), key, "c." + quoted(pair.id->name), *pair.id);
    const std::string nowhere = fmt::format("FROM {} AS c WHERE {} AND NOT EXISTS (SELECT FROM {} AS p WHERE {})",
                                            table.target(), of_type, to.target(), join);
    if (auto rows = lint.count({&table, &to}, "SELECT pg_catalog.count(*) " + nowhere); rows.value_or(0) > 0)
        lint.add(Severity::error, "polymorphic_orphans", object,
                 fmt::format("Rows that point at nothing in {}: {}.", to.label(), *rows),
                 fmt::format("SELECT c.* {};", nowhere));
    const AttrNumber theirs = lint.tenant_of(to);
    if (table.tenant_key && theirs) {
        const LintColumn &own = table.at(table.tenant_key), &other = to.at(theirs);
        const std::string foreign =
            fmt::format("FROM {} AS c JOIN {} AS p ON {} WHERE {} AND NOT ({})", table.target(), to.target(), join,
                        of_type, same_value("c." + quoted(own.name), own, "p." + quoted(other.name), other));
        if (auto rows = lint.count({&table, &to}, "SELECT pg_catalog.count(*) " + foreign); rows.value_or(0) > 0)
            lint.add(Severity::error, "polymorphic_tenant", object,
                     fmt::format("Rows that point at a row of another tenant in {}: {}.", to.label(), *rows),
                     fmt::format("SELECT c.* {};", foreign));
    }
    const bool cleaned = std::any_of(to.triggers.begin(), to.triggers.end(), [](const LintTrigger &trigger) {
        return trigger.on_delete && (trigger.enabled == 'O' || trigger.enabled == 'A');
    });
    // A tenant's own rows go with the tenant.
    if (!cleaned && to.oid != lint.model.root)
        lint.add(Severity::info, "polymorphic_delete_rule", object,
                 fmt::format("Nothing happens here when a row of {} is deleted: what pointed at it points nowhere "
                             "then.",
                             to.label()),
                 fmt::format("-- an AFTER DELETE trigger on {} that deletes the rows of type {}", to.label(),
                             core::sql_literal(type.value)));
}

// A type column whose values are tables, and no id beside it.
void check_half(Lint &lint, const LintTable &table, const LintColumn &column) {
    if (!column.name.ends_with("_type") || !(column.is_text() || column.is_enum())) return;
    const std::string id = column.name.substr(0, column.name.size() - 5) + "_id";
    if (table.find(id)) return;
    const auto values = lint.values(table, column, most_types, sample_rows);
    if (!values || values->empty()) return;
    for (const std::string &value : *values) {
        const LintTable *to = table_of_type(lint, table, {&column, &column}, value);
        if (!to || to->name == value) return; // a word that happens to be a table's name is no class
    }
    lint.add(Severity::warning, "polymorphic_incomplete", object_name(table, column.name),
             fmt::format("Its values name tables ({}), and there is no column {}.", values->front(), quoted(id)),
             fmt::format("ALTER TABLE {} ADD COLUMN {} bigint;", table.label(), quoted(id)));
}

void check_soft_column(Lint &lint, const LintTable &table, const LintColumn &column) {
    const std::string object = object_name(table, column.name), name = quoted(column.name);
    if (column.type != TIMESTAMPTZOID)
        lint.add(Severity::warning, "soft_delete_type", object,
                 fmt::format("It is {}, not timestamp with time zone: {}.", column.type_name,
                             column.category == 'B' ? "when a row was deleted is not known"
                                                    : "which instant it means depends on who reads it"),
                 column.type == TIMESTAMPOID
                     ? fmt::format("ALTER TABLE {0} ALTER {1} TYPE timestamptz USING {1} AT TIME ZONE 'UTC'; -- "
                                   "rewrites the table unless the session's TimeZone is UTC",
                                   table.label(), name)
                     : fmt::format("ALTER TABLE {} ADD COLUMN deleted_at timestamptz;", table.label()));
    const bool born_deleted = column.category == 'D' && (column.has_default || column.not_null);
    if (born_deleted)
        lint.add(Severity::error, "soft_delete_default", object,
                 column.not_null
                     ? "It is NOT NULL: every row counts as deleted."
                     : fmt::format("It has a default ({}): new rows are born deleted.", column.default_text),
                 fmt::format("ALTER TABLE {} ALTER {} DROP {};", table.label(), name,
                             column.not_null ? "NOT NULL" : "DEFAULT"));
    if (column.category == 'B' && !column.not_null)
        lint.add(Severity::warning, "soft_delete_nullable", object,
                 "It may be NULL: such a row is neither deleted nor living.",
                 fmt::format("ALTER TABLE {} ALTER {} SET NOT NULL;", table.label(), name));
    const bool used = std::any_of(table.indexes.begin(), table.indexes.end(), [&](const LintIndex &index) {
        return index.contains(column.number) || only_living(index, column);
    });
    if (!used) {
        std::vector<AttrNumber> columns;
        if (table.tenant_key) columns.push_back(table.tenant_key);
        if (columns.empty() && table.primary_key()) columns = table.primary_key()->columns;
        lint.add(
            Severity::info, "soft_delete_index", object,
            "No index leaves soft-deleted rows out, or knows which those are: queries of the living read them too.",
            columns.empty() ? std::string()
                            : create_index(table, columns, "INDEX",
                                           " WHERE " + (column.category == 'B' ? "NOT " + name : name + " IS NULL")));
    }
}
} // namespace

std::vector<PolymorphicPair> polymorphic_pairs(const LintTable &table) {
    std::vector<PolymorphicPair> pairs;
    for (const LintColumn &type : table.columns) {
        if (!type.name.ends_with("_type") || !(type.is_text() || type.is_enum())) continue;
        const LintColumn *id = table.find(type.name.substr(0, type.name.size() - 5) + "_id");
        if (!id) continue;
        const bool referencing =
            std::any_of(table.foreign_keys.begin(), table.foreign_keys.end(), [&](const LintForeignKey &key) {
                return std::find(key.from_columns.begin(), key.from_columns.end(), id->number) !=
                       key.from_columns.end();
            });
        if (!referencing) pairs.push_back({&type, id});
    }
    return pairs;
}

const LintColumn *soft_delete_of(const LintTable &table) {
    for (const char *name : {"deleted_at", "deleted_on", "removed_at", "is_deleted", "deleted"})
        if (const LintColumn *column = table.find(name); column && (column->category == 'D' || column->category == 'B'))
            return column;
    return nullptr;
}

bool only_living(const LintIndex &index, const LintColumn &soft_delete) {
    const std::string name = quoted(soft_delete.name);
    if (soft_delete.category == 'B')
        return index.predicate.find("NOT " + name) != std::string::npos ||
               index.predicate.find(name + " IS FALSE") != std::string::npos ||
               index.predicate.find(name + " = false") != std::string::npos;
    return index.predicate.find(name + " IS NULL") != std::string::npos;
}

void lint_polymorphic(Lint &lint) {
    for (const LintTable *table : lint.model.scope()) {
        for (const LintColumn &column : table->columns)
            check_half(lint, *table, column);
        for (const PolymorphicPair &pair : polymorphic_pairs(*table)) {
            check_pair(lint, *table, pair);
            const auto values = lint.values(*table, *pair.type, most_types, 0);
            if (!values) continue;
            for (const std::string &value : *values) {
                const TypeTable type{value, table_of_type(lint, *table, pair, value)};
                if (type.table)
                    check_rows(lint, *table, pair, type);
                else
                    lint.add(Severity::error, "polymorphic_unknown_type",
                             fmt::format("{}.{}", object_name(*table, pair.type->name), quoted(value)),
                             fmt::format("There are rows of type {}, and no table that it could mean.",
                                         core::sql_literal(value)),
                             fmt::format("SELECT t.* FROM {} t WHERE t.{} = {};", table->label(),
                                         quoted(pair.type->name), core::sql_literal(value)));
            }
        }
    }
}

void lint_soft_delete(Lint &lint) {
    for (const LintTable *table : lint.model.scope())
        if (const LintColumn *column = soft_delete_of(*table)) check_soft_column(lint, *table, *column);
}

} // namespace tenantmig

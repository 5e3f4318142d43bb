// Foreign keys: rules, validity, orphans, and whether both ends are of one tenant.
#include "core/key_text.hpp"

#include "steps/lint_checks.hpp"

namespace tenantmig {

namespace {
bool has(const std::vector<AttrNumber> &list, AttrNumber number) {
    return std::find(list.begin(), list.end(), number) != list.end();
}

void check_actions(Lint &lint, const LintTable &table, const LintForeignKey &key) {
    const std::string object = object_name(table, key.name);
    if (key.on_delete != 'n' && key.on_delete != 'd') return;
    const auto &changed = key.set_columns.empty() ? key.from_columns : key.set_columns;
    std::vector<AttrNumber> others;
    for (AttrNumber number : key.from_columns)
        if (number != table.tenant_key) others.push_back(number);
    for (AttrNumber number : changed) {
        const LintColumn &column = table.at(number);
        const bool to_null = key.on_delete == 'n' || !column.has_default;
        if (column.not_null && to_null)
            lint.add(
                Severity::error, "fk_set_null_not_null", object,
                fmt::format("ON DELETE SET {} would make {} NULL, which is NOT NULL: the parent cannot be deleted.",
                            key.on_delete == 'n' ? "NULL" : "DEFAULT", quoted(column.name)),
                replace_foreign_key(lint.model, table, key, " ON DELETE CASCADE"));
        if (number == table.tenant_key && key.from_columns.size() > 1)
            lint.add(Severity::error, "fk_set_null_tenant", object,
                     fmt::format("ON DELETE SET {} takes the tenant key {} as well.",
                                 key.on_delete == 'n' ? "NULL" : "DEFAULT", quoted(column.name)),
                     replace_foreign_key(lint.model, table, key,
                                         fmt::format(" ON DELETE SET NULL ({})", table.list(others))));
    }
    if (key.on_delete == 'd')
        lint.add(Severity::warning, "fk_set_default", object,
                 "ON DELETE SET DEFAULT: rows whose parent is deleted are given to another one without a word.",
                 replace_foreign_key(lint.model, table, key, " ON DELETE SET NULL"));
}

void check_types(Lint &lint, const LintTable &table, const LintForeignKey &key) {
    const LintTable *to = lint.model.find(key.to);
    if (!to) return;
    for (std::size_t i = 0; i < key.from_columns.size(); i++) {
        const LintColumn &from = table.at(key.from_columns[i]), &target = to->at(key.to_columns[i]);
        if (from.type != target.type && from.number != table.tenant_key)
            lint.add(Severity::warning, "fk_type", object_name(table, key.name),
                     fmt::format("{} is {}, and {} is {}.", quoted(from.name), from.type_name,
                                 object_name(*to, target.name), target.type_name),
                     fmt::format("ALTER TABLE {} ALTER {} TYPE {}; -- rewrites the table", table.label(),
                                 quoted(from.name), target.type_name));
        if (key.from_columns.size() > 1 && key.match == 's' && !from.not_null && from.number == table.tenant_key)
            lint.add(Severity::error, "fk_nullable_member", object_name(table, key.name),
                     fmt::format("{} may be NULL: PostgreSQL does not check a composite foreign key with a NULL in it.",
                                 quoted(from.name)),
                     fmt::format("ALTER TABLE {} ALTER {} SET NOT NULL;", table.label(), quoted(from.name)));
    }
}

void check_state(Lint &lint, const LintTable &table, const LintForeignKey &key) {
    const std::string object = object_name(table, key.name);
    if (!key.validated)
        lint.add(Severity::warning, "fk_not_valid", object,
                 "It is NOT VALID: rows that were there before have never been checked.",
                 fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {};", table.label(), quoted(key.name)));
    if (key.disabled)
        lint.add(Severity::error, "fk_disabled", object,
                 "The triggers that do its work are disabled: it is there, and checks nothing.",
                 fmt::format("ALTER TABLE {} ENABLE TRIGGER ALL; -- on both tables, as superuser", table.label()));
}

void count_orphans(Lint &lint, const LintTable &table, const LintForeignKey &key) {
    const LintTable *to = lint.model.find(key.to);
    if (!to) return;
    std::string present;
    for (AttrNumber number : key.from_columns)
        present += fmt::format("{}c.{} IS NOT NULL", present.empty() ? "" : " AND ", quoted(table.at(number).name));
    const std::string from = fmt::format("FROM {} AS c WHERE {} AND NOT EXISTS (SELECT FROM {} AS p WHERE {})",
                                         table.target(), present, to->target(), join_condition(lint.model, table, key));
    const auto rows = lint.count({&table, to}, "SELECT pg_catalog.count(*) " + from);
    if (rows.value_or(0) == 0) return;
    const std::string object = object_name(table, key.name);
    if (key.validated)
        lint.add(Severity::error, "fk_false_valid", object,
                 fmt::format("PostgreSQL calls it valid, and it is not: rows that point at nothing in {}: {}.{}",
                             to->label(), *rows,
                             table.force_row_security || to->force_row_security
                                 ? " Row-level security is forced: it hid rows from the check."
                                 : ""),
                 fmt::format("SELECT c.* {};", from));
    else
        lint.add(Severity::error, "fk_orphans", object,
                 fmt::format("Rows that point at nothing in {}: {}.", to->label(), *rows),
                 fmt::format("SELECT c.* {};", from));
}

// Rows that a foreign key joins over the border between two tenants.
void check_tenants(Lint &lint, const LintTable &table, const LintForeignKey &key) {
    const LintTable *to = lint.model.find(key.to);
    if (!to || to->oid == lint.model.root || !table.tenant_key || !to->tenant_key) return;
    bool composite = false;
    for (std::size_t i = 0; i < key.from_columns.size(); i++)
        composite = composite || (key.from_columns[i] == table.tenant_key && key.to_columns[i] == to->tenant_key);
    const LintColumn &own = table.at(table.tenant_key), &theirs = to->at(to->tenant_key);
    const std::string object = object_name(table, key.name);
    if (composite && own.not_null) return;
    bool guarded = composite, guard = false;
    for (AttrNumber number : key.from_columns)
        guard = guard || lint.model.guarded(table, core::GuardKind::same_tenant, table.at(number).name);
    // The guard answers in the key's name, but at once, the key itself at COMMIT: when it does, tells what row-level
    // security hides.
    const bool told = guard && key.deferrable && to->row_security;
    guarded = guarded || (guard && !told);
    for (const LintForeignKey &other : table.foreign_keys) // a composite one beside the plain one
        for (std::size_t i = 0; i < other.from_columns.size(); i++)
            if (other.to == key.to && other.from_columns[i] == table.tenant_key &&
                other.to_columns[i] == to->tenant_key && has(other.from_columns, key.from_columns.front()))
                guarded = true;
    const std::string name = table.at(key.from_columns.front()).name;
    if (!guarded && told)
        lint.add(Severity::warning, "fk_same_tenant", object,
                 fmt::format("It is DEFERRABLE, and a guard of kind same_tenant refuses rows of other tenants in {} at "
                             "once, it itself what is nobody's at COMMIT: a tenant learns which rows others have.",
                             to->label()),
                 fmt::format("ALTER TABLE {} ALTER CONSTRAINT {} NOT DEFERRABLE;", table.label(), quoted(key.name)));
    else if (!guarded)
        lint.add(Severity::warning, "fk_same_tenant", object,
                 fmt::format("Nothing keeps a row of one tenant from pointing at a row of another one in {}: there is "
                             "neither a foreign key over the tenant key nor a guard of kind same_tenant.",
                             to->label()),
                 attach_guard_call(table, own.name, "same_tenant",
                                   fmt::format("{{\"via\": {}}}", core::json_string(quoted(name)))));
    const std::string from = fmt::format("FROM {} AS c JOIN {} AS p ON {} WHERE NOT ({})", table.target(), to->target(),
                                         join_condition(lint.model, table, key),
                                         same_value("c." + quoted(own.name), own, "p." + quoted(theirs.name), theirs));
    if (auto rows = lint.count({&table, to}, "SELECT pg_catalog.count(*) " + from); rows.value_or(0) > 0)
        lint.add(Severity::error, "fk_cross_tenant", object,
                 fmt::format("Rows whose tenant is not that of the row they point at in {}: {}.", to->label(), *rows),
                 fmt::format("SELECT c.*, p.{} AS tenant_of_parent {};", quoted(theirs.name), from));
}

void check_self(Lint &lint, const LintTable &table, const LintForeignKey &key) {
    if (key.to != table.oid || key.from_columns.size() > 2) return;
    const LintColumn *column = nullptr;
    AttrNumber referenced = 0;
    for (std::size_t i = 0; i < key.from_columns.size(); i++)
        if (key.from_columns[i] != table.tenant_key) {
            column = &table.at(key.from_columns[i]);
            referenced = key.to_columns[i];
        }
    if (!column) return;
    const std::string object = object_name(table, column->name);
    if (!lint.model.guarded(table, core::GuardKind::acyclic, column->name))
        lint.add(Severity::warning, "self_reference_guard", object,
                 "A row may point at itself, or in a circle: whatever follows the reference never ends.",
                 attach_guard_call(table, column->name, "acyclic"));
    // What is not below a row that points at nothing, or at nothing that is there, hangs on a circle.
    const LintColumn &target = table.at(referenced);
    const std::string id = quoted(target.name), up = quoted(column->name);
    const std::string below = same_value("c." + up, *column, "r.id", target);
    const auto rows = lint.count(
        {&table},
        fmt::format("WITH RECURSIVE reached AS (SELECT t.{0} AS id FROM {2} AS t WHERE t.{1} IS NULL OR NOT EXISTS "
                    "(SELECT FROM {2} AS p WHERE {3}) UNION ALL SELECT c.{0} FROM reached AS r JOIN {2} AS c ON {4}) "
                    "SELECT (SELECT pg_catalog.count(*) FROM {2} AS t WHERE t.{0} IS NOT NULL) OPERATOR(pg_catalog.-) "
                    "(SELECT pg_catalog.count(*) FROM reached AS r WHERE r.id IS NOT NULL)",
                    id, up, table.target(), same_value("p." + id, target, "t." + up, *column), below));
    if (rows.value_or(0) > 0)
        lint.add(Severity::error, "self_reference_cycle", object,
                 fmt::format("Rows that point in a circle, or hang on one: {}.", *rows),
                 fmt::format("WITH RECURSIVE w AS (SELECT t.{0} AS start, t.{1} AS at FROM {2} t UNION SELECT w.start, "
                             "t.{1} FROM w JOIN {2} t ON t.{0} = w.at) SELECT start FROM w WHERE start = at;",
                             id, up, table.label()));
}

// Tables whose rows go when a tenant is deleted.
std::set<Oid> deleted_with_tenant(const LintModel &model) {
    std::set<Oid> gone{model.root};
    for (bool more = true; more;) {
        more = false;
        for (const auto &[oid, table] : model.tables)
            for (const LintForeignKey &key : table.foreign_keys)
                if (key.on_delete == 'c' && gone.contains(key.to) && gone.insert(oid).second) more = true;
    }
    return gone;
}

void check_deletion(Lint &lint) {
    const std::set<Oid> gone = deleted_with_tenant(lint.model);
    if (gone.size() == 1) return; // tenants are not deleted by cascade here at all
    for (const LintTable *table : lint.model.scope())
        for (const LintForeignKey &key : table->foreign_keys) {
            if (!gone.contains(key.to) || key.to == lint.model.root) continue;
            const bool blocks = key.on_delete == 'r' || (key.on_delete == 'a' && !gone.contains(table->oid));
            if (blocks)
                lint.add(Severity::warning, "fk_delete_blocked", object_name(*table, key.name),
                         fmt::format("Deleting a tenant deletes rows of {} by cascade, and ON DELETE {} here forbids "
                                     "that.",
                                     lint.model.find(key.to)->label(), key.on_delete == 'r' ? "RESTRICT" : "NO ACTION"),
                         replace_foreign_key(lint.model, *table, key, " ON DELETE CASCADE"));
        }
}

void check_duplicates(Lint &lint, const LintTable &table) {
    for (std::size_t i = 0; i < table.foreign_keys.size(); i++)
        for (std::size_t j = 0; j < i; j++) {
            const LintForeignKey &a = table.foreign_keys[i], &b = table.foreign_keys[j];
            if (a.to == b.to && a.from_columns == b.from_columns && a.to_columns == b.to_columns)
                lint.add(Severity::warning, "fk_duplicate", object_name(table, a.name),
                         fmt::format("{} says the same: every write is checked twice.", quoted(b.name)),
                         fmt::format("ALTER TABLE {} DROP CONSTRAINT {};", table.label(), quoted(a.name)));
        }
}

// A column that is called like a table's key, and refers to nothing.
void check_loose_columns(Lint &lint, const LintTable &table) {
    for (const LintColumn &column : table.columns) {
        if (!column.name.ends_with("_id") || column.number == table.tenant_key || table.is_replaced(column.name))
            continue;
        const std::string stem = column.name.substr(0, column.name.size() - 3);
        if (table.find(stem + "_type")) continue;
        bool referenced = false;
        for (const LintForeignKey &key : table.foreign_keys)
            referenced = referenced || has(key.from_columns, column.number);
        if (referenced) continue;
        for (const std::string &name : table_names_of(stem))
            for (const LintTable *other : lint.model.scope()) {
                const LintIndex *primary = other->primary_key();
                if (other == &table && primary && primary->contains(column.number)) continue; // scopes.scope_id
                if (other->name != name || !primary || primary->columns.size() != 1 ||
                    other->at(primary->columns.front()).type != column.type)
                    continue;
                lint.add(Severity::warning, "reference_without_fk", object_name(table, column.name),
                         fmt::format("It is called like a key of {}, and no foreign key says so: nothing keeps it from "
                                     "pointing nowhere.",
                                     other->label()),
                         fmt::format("ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {} ({}){};", table.label(),
                                     quoted(column.name), other->label(), other->list(primary->columns),
                                     table.kind == RELKIND_RELATION ? " NOT VALID" : ""));
            }
    }
}
} // namespace

void lint_foreign_keys(Lint &lint) {
    for (const LintTable *table : lint.model.scope()) {
        for (const LintForeignKey &key : table->foreign_keys) {
            check_actions(lint, *table, key);
            check_types(lint, *table, key);
            check_state(lint, *table, key);
            count_orphans(lint, *table, key);
        }
        check_duplicates(lint, *table);
        check_loose_columns(lint, *table);
    }
    check_deletion(lint);
}

void lint_references(Lint &lint) {
    for (const LintTable *table : lint.model.scope())
        for (const LintForeignKey &key : table->foreign_keys) {
            check_tenants(lint, *table, key);
            check_self(lint, *table, key);
        }
}

} // namespace tenantmig

// Tables as a whole, and the tenant key of each.
#include "core/undo_text.hpp"

#include "steps/lint_checks.hpp"

namespace tenantmig {

namespace {
// The foreign key by which a table reaches the tenant root.
const LintForeignKey *way_to_root(const LintModel &model, const LintTable &table) {
    for (const LintForeignKey &key : table.foreign_keys)
        if (const LintTable *to = model.find(key.to); to && to->reaches_root && to->oid != table.oid) return &key;
    return nullptr;
}

void missing_key(Lint &lint, const LintTable &table) {
    const LintTable &root = lint.model.root_table();
    const std::string key = quoted(lint.key_name());
    const std::string add = fmt::format(
        "ALTER TABLE {} ADD COLUMN {} {}; -- then SELECT * FROM tenantmig.backfill({}, {});", table.label(), key,
        root.at(lint.model.root_key).type_name, core::sql_literal(table.label()), core::sql_literal(lint.key_name()));
    if (!table.other_keys.empty()) {
        lint.add(
            Severity::warning, "tenant_key_ambiguous", table.label(),
            fmt::format("Several columns lead to the tenant root ({}), and none is called {}: whose rows these are "
                        "is not said.",
                        table.list(table.other_keys), key),
            fmt::format("-- rename the one that owns the row, or add it: {}", add));
    } else if (const LintForeignKey *way = way_to_root(lint.model, table)) {
        lint.add(Severity::error, "tenant_key_missing", table.label(),
                 fmt::format("It reaches the tenant root by {} ({}) and has no tenant key of its own.",
                             quoted(way->name), table.list(way->from_columns)),
                 add);
    } else {
        lint.add(Severity::info, "table_without_tenant", table.label(),
                 fmt::format("No foreign key leads from it to the tenant root {}, and no column is called {}: it is "
                             "shared by all tenants, or it has been forgotten.",
                             root.label(), key),
                 add);
    }
}

void missing_identity(Lint &lint, const LintTable &table) {
    const bool has_key = table.primary_key() != nullptr;
    const LintColumn *id = table.find("id");
    if (!has_key)
        lint.add(Severity::warning, "primary_key_missing", table.label(),
                 "It has no primary key: rows cannot be named in the change log, and logical replication refuses "
                 "updates.",
                 fmt::format("ALTER TABLE {} ADD {}PRIMARY KEY{};", table.label(),
                             id ? "" : "COLUMN id bigint GENERATED ALWAYS AS IDENTITY ", id ? " (id)" : ""));
    bool identity_index = false; // REPLICA IDENTITY USING INDEX keeps its letter when the index is dropped
    for (const LintIndex &index : table.indexes)
        identity_index = identity_index || (index.unique && index.usable() && index.predicate.empty());
    const bool none =
        table.identity == 'n' || (table.identity == 'd' && !has_key) || (table.identity == 'i' && !identity_index);
    if (none)
        lint.add(table.published ? Severity::error
                 : has_key       ? Severity::warning
                                 : Severity::info,
                 "replica_identity", table.label(),
                 table.published ? "It is published without a replica identity: UPDATE and DELETE on it fail."
                                 : "It has no replica identity: once it is published, UPDATE and DELETE on it fail.",
                 fmt::format("ALTER TABLE {} REPLICA IDENTITY {};", table.label(), has_key ? "DEFAULT" : "FULL"));
}

const char *action_words(char action) {
    switch (action) {
    case 'r':
        return "RESTRICT";
    case 'c':
        return "CASCADE";
    case 'n':
        return "SET NULL";
    case 'd':
        return "SET DEFAULT";
    default:
        return "NO ACTION";
    }
}

// The foreign key of the tenant key to the tenant root.
const LintForeignKey *key_to_root(const LintModel &model, const LintTable &table) {
    for (const LintForeignKey &key : table.foreign_keys)
        if (key.to == model.root && key.from_columns == std::vector{table.tenant_key} &&
            key.to_columns == std::vector{model.root_key})
            return &key;
    return nullptr;
}

// What most foreign keys of tenant keys do when a tenant is deleted.
char usual_action(const LintModel &model) {
    std::map<char, int> count;
    for (const LintTable *table : model.scope())
        if (table->tenant_key)
            if (const LintForeignKey *key = key_to_root(model, *table)) count[key->on_delete]++;
    char best = 'a';
    for (const auto &[action, times] : count)
        if (times > count[best] || (times == count[best] && action == 'c')) best = action;
    return best;
}

bool demands_not_null(const LintTable &table, const LintColumn &column) {
    for (const LintCheck &check : table.checks)
        if (check.validated && check.is_about(column.number) &&
            check.expression.find(quoted(column.name) + " IS NOT NULL") != std::string::npos)
            return true; // not_null: live has it so, too
    return column.not_null;
}

// Orphans of a foreign key are counted with the others.
void check_values(Lint &lint, const LintTable &table, const LintColumn &key, bool no_foreign_key) {
    const LintTable &root = lint.model.root_table();
    const LintColumn &root_key = root.at(lint.model.root_key);
    const std::string name = quoted(key.name), object = object_name(table, key.name);
    if (!key.not_null)
        if (auto rows = lint.count({&table}, fmt::format("SELECT pg_catalog.count(*) FROM {} AS t WHERE t.{} IS NULL",
                                                         table.target(), name));
            rows.value_or(0) > 0)
            lint.add(Severity::error, "tenant_key_nulls", object, fmt::format("Rows without a tenant: {}.", *rows),
                     fmt::format("SELECT * FROM tenantmig.backfill({}, {});", core::sql_literal(table.label()),
                                 core::sql_literal(key.name)));
    if (!no_foreign_key) return;
    const std::string from =
        fmt::format("FROM {} AS t WHERE t.{} IS NOT NULL AND NOT EXISTS (SELECT FROM {} AS r WHERE {})", table.target(),
                    name, root.target(), same_value("r." + quoted(root_key.name), root_key, "t." + name, key));
    if (auto rows = lint.count({&table, &root}, "SELECT pg_catalog.count(*) " + from); rows.value_or(0) > 0)
        lint.add(Severity::error, "tenant_key_unknown", object,
                 fmt::format("Rows of tenants that {} does not have: {}.", root.label(), *rows),
                 fmt::format("SELECT t.* {};", from));
}

void check_key(Lint &lint, const LintTable &table, char usual) {
    const LintTable &root = lint.model.root_table();
    const LintColumn &key = table.at(table.tenant_key), &root_key = root.at(lint.model.root_key);
    const std::string name = quoted(key.name), object = object_name(table, key.name);
    const std::string add_key = fmt::format("ALTER TABLE {0} ADD FOREIGN KEY ({1}) REFERENCES {2} ({3}){4}{5};",
                                            table.label(), name, root.label(), quoted(root_key.name),
                                            usual == 'a' ? "" : fmt::format(" ON DELETE {}", action_words(usual)),
                                            table.kind == RELKIND_RELATION ? " NOT VALID" : "");

    if (!demands_not_null(table, key))
        lint.add(Severity::error, "tenant_key_nullable", object,
                 "The tenant key may be NULL: such a row belongs to nobody, and row-level security hides it from all.",
                 fmt::format("ALTER TABLE {0} ADD CHECK ({1} IS NOT NULL) NOT VALID; -- VALIDATE it, then ALTER TABLE "
                             "{0} ALTER {1} SET NOT NULL;",
                             table.label(), name));
    if (key.constant_default)
        lint.add(Severity::error, "tenant_key_default", object,
                 fmt::format("The default is the constant {}: a row whose tenant was forgotten goes to that tenant "
                             "without a word.",
                             key.default_text),
                 fmt::format("ALTER TABLE {} ALTER {} DROP DEFAULT;", table.label(), name));
    if (key.type != root_key.type) {
        const bool alike = key.is_text() && root_key.is_text();
        lint.add(
            alike ? Severity::warning : Severity::error, "tenant_key_type", object,
            fmt::format("It is {}, and {} is {}.", key.type_name, object_name(root, root_key.name), root_key.type_name),
            fmt::format("ALTER TABLE {} ALTER {} TYPE {}; -- rewrites the table", table.label(), name,
                        root_key.type_name));
    } else if (key.collation != root_key.collation) {
        lint.add(Severity::warning, "tenant_key_type", object,
                 fmt::format("Its collation is not that of {}: indexes do not serve comparisons of both.",
                             object_name(root, root_key.name)),
                 {});
    }
    if (!lint.model.key_name.empty() && key.name != lint.model.key_name)
        lint.add(Severity::info, "tenant_key_name", object,
                 fmt::format("The tenant key is called {} in most tables.", quoted(lint.model.key_name)),
                 fmt::format("ALTER TABLE {} RENAME {} TO {};", table.label(), name, quoted(lint.model.key_name)));

    const LintForeignKey *to_root = key_to_root(lint.model, table);
    if (!to_root) {
        bool composite = false;
        for (const LintForeignKey &other : table.foreign_keys)
            composite = composite ||
                        (other.to == lint.model.root && std::find(other.from_columns.begin(), other.from_columns.end(),
                                                                  table.tenant_key) != other.from_columns.end());
        if (!composite)
            lint.add(Severity::error, "tenant_key_foreign_key", object,
                     fmt::format("No foreign key leads from it to {}: any value passes.", root.label()), add_key);
    } else {
        if (to_root->on_delete == 'n' || to_root->on_delete == 'd')
            lint.add(Severity::error, "tenant_key_orphaned", object_name(table, to_root->name),
                     fmt::format("ON DELETE {}: when a tenant is deleted, its rows stay and belong to nobody.",
                                 action_words(to_root->on_delete)),
                     replace_foreign_key(lint.model, table, *to_root, " ON DELETE CASCADE"));
        else if (to_root->on_delete != usual)
            lint.add(
                Severity::warning, "tenant_key_delete_rule", object_name(table, to_root->name),
                fmt::format("ON DELETE {}, where most tenant keys have {}: deleting a tenant {}.",
                            action_words(to_root->on_delete), action_words(usual),
                            usual == 'c' ? "fails at this table" : "deletes rows here that it keeps elsewhere"),
                replace_foreign_key(lint.model, table, *to_root, fmt::format(" ON DELETE {}", action_words(usual))));
    }
    for (AttrNumber other : table.other_keys)
        lint.add(
            Severity::info, "tenant_key_second", object_name(table, table.at(other).name),
            fmt::format("It leads to the tenant root too, beside the tenant key {}: rows of two tenants meet here.",
                        name));
    check_values(lint, table, key, to_root == nullptr);
}

void check_root(Lint &lint) {
    const LintTable &root = lint.model.root_table();
    const LintColumn &key = root.at(lint.model.root_key);
    const std::string object = object_name(root, key.name);
    bool unique = false;
    for (const LintIndex &index : root.indexes)
        unique = unique || (index.unique && index.usable() && index.predicate.empty() &&
                            index.columns == std::vector{key.number});
    if (!unique || !key.not_null)
        lint.add(Severity::error, "tenant_root_key", object,
                 fmt::format("The key of the tenant root {}: two tenants may be one.",
                             !unique ? "is not unique" : "may be NULL"),
                 unique ? fmt::format("ALTER TABLE {} ALTER {} SET NOT NULL;", root.label(), quoted(key.name))
                        : create_index(root, {key.number}, "UNIQUE INDEX"));
}

// A key that people type has a form; without a check, 'ACME ' and 'acme' are two tenants.
void check_format(Lint &lint, const LintTable &table, const LintColumn &key) {
    if (!key.is_text() || key.domain) return;
    for (const LintCheck &check : table.checks)
        if (check.is_about(key.number) &&
            (check.expression.find('~') != std::string::npos || check.expression.find("LIKE") != std::string::npos ||
             check.expression.find("SIMILAR") != std::string::npos))
            return;
    lint.add(Severity::warning, "tenant_key_format", object_name(table, key.name),
             "The tenant key is text of any form: differences in case or blanks make different tenants.",
             fmt::format("ALTER TABLE {0} ADD CHECK ({1} ~ '^[a-z0-9_-]+$') NOT VALID; -- then VALIDATE CONSTRAINT",
                         table.label(), quoted(key.name)));
}
} // namespace

void lint_tables(Lint &lint) {
    for (const LintTable *table : lint.model.scope()) {
        if (table->oid != lint.model.root && !table->tenant_key) missing_key(lint, *table);
        missing_identity(lint, *table);
        if (table->unlogged)
            lint.add(Severity::warning, "table_unlogged", table->label(),
                     "It is unlogged: a crash empties it, and it is in no standby and no physical backup.",
                     fmt::format("ALTER TABLE {} SET LOGGED; -- rewrites the table", table->label()));
        for (const LintTrigger &trigger : table->triggers) {
            if (trigger.enabled == 'O' || trigger.enabled == 'A') continue;
            const bool guard = trigger.function.rfind("tenantmig.guard_", 0) == 0;
            lint.add(guard ? Severity::error : Severity::warning, guard ? "guard_disabled" : "trigger_disabled",
                     object_name(*table, trigger.name),
                     fmt::format("The {} is {}.", guard ? "guard" : "trigger",
                                 trigger.enabled == 'R' ? "enabled for replicas only" : "disabled"),
                     fmt::format("ALTER TABLE {} ENABLE TRIGGER {};", table->label(), quoted(trigger.name)));
        }
    }
}

void lint_tenant_keys(Lint &lint) {
    check_root(lint);
    const char usual = usual_action(lint.model);
    const LintTable &root = lint.model.root_table();
    check_format(lint, root, root.at(lint.model.root_key));
    for (const LintTable *table : lint.model.scope()) {
        if (!table->tenant_key) continue;
        check_key(lint, *table, usual);
        const LintForeignKey *key = key_to_root(lint.model, *table);
        if (!key || !key->validated) check_format(lint, *table, table->at(table->tenant_key));
    }
}

} // namespace tenantmig

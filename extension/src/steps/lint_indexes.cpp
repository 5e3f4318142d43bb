// Indexes and unique constraints: what serves, what is missing, what is too much, what leaks between tenants.
#include "steps/lint_checks.hpp"

namespace tenantmig {

namespace {
constexpr int few_values = 3; // an index on a column with so many values or fewer finds no row quickly …
constexpr std::int64_t large = 1024 * 1024; // … in a table of so many bytes (128 pages)
constexpr std::int64_t many_reads = 1000;   // of a table, before an index that none of them used is called unused

bool has(const std::vector<AttrNumber> &list, AttrNumber number) {
    return std::find(list.begin(), list.end(), number) != list.end();
}

bool serves_foreign_key(const LintTable &table, const LintIndex &index) {
    return std::any_of(table.foreign_keys.begin(), table.foreign_keys.end(),
                       [&](const LintForeignKey &key) { return index.serves(key.from_columns); });
}

void check_foreign_key(Lint &lint, const LintTable &table, const LintForeignKey &key) {
    if (key.from_columns == std::vector{table.tenant_key}) return; // tenant_key_index
    const LintIndex *other = nullptr;
    std::vector<AttrNumber> within = key.from_columns; // of one that compares the tenant keys too: the parent finds its
    std::erase(within, table.tenant_key);              // children by the rest as well
    for (const LintIndex &index : table.indexes) {
        if (index.serves(key.from_columns) || (!within.empty() && index.serves(within))) return;
        // NULL keys are of no use to a lookup of the key
        if (index.usable() && key.from_columns.size() == 1 && !index.columns.empty() &&
            index.columns.front() == key.from_columns.front() &&
            index.predicate == fmt::format("({} IS NOT NULL)", quoted(table.at(key.from_columns.front()).name)))
            return;
        const bool all = std::all_of(key.from_columns.begin(), key.from_columns.end(),
                                     [&](AttrNumber column) { return index.contains(column); });
        // (tenant key, parent): parent and child are of one tenant, but the deletion of a parent does not know that
        if (all && index.usable() && !other) other = &index;
    }
    const std::string object = object_name(table, key.name), make = create_index(table, key.from_columns);
    const LintTable *to = lint.model.find(key.to);
    if (other)
        lint.add(Severity::warning, "fk_index_order", object,
                 fmt::format("{} holds {} but does not lead with it{}: deleting from {} reads the whole table.",
                             quoted(other->name), table.list(key.from_columns),
                             other->predicate.empty() ? "" : ", or leaves rows out", to ? to->label() : "the parent"),
                 make);
    else
        lint.add(Severity::warning, "fk_index", object,
                 fmt::format("No index leads with {}: deleting from {} reads the whole table, and joins do.",
                             table.list(key.from_columns), to ? to->label() : "the parent"),
                 make);
}

void check_tenant_index(Lint &lint, const LintTable &table) {
    if (!table.tenant_key) return;
    bool leads = false;
    for (const LintIndex &index : table.indexes)
        leads = leads || index.serves({table.tenant_key});
    const std::string name = table.at(table.tenant_key).name;
    if (!leads)
        lint.add(Severity::warning, "tenant_key_index", object_name(table, name),
                 "No index over all rows leads with the tenant key: every query of one tenant reads those of all.",
                 create_index(table, {table.tenant_key}));
    for (const LintIndex &index : table.indexes) {
        const bool later = index.columns.size() > 1 && index.columns.front() != table.tenant_key &&
                           index.contains(table.tenant_key) && index.method == "btree";
        // (id, tenant key) is there for foreign keys and guards to lock, not to look rows up
        const LintIndex *primary = table.primary_key();
        const bool names_rows = index.unique && primary &&
                                std::all_of(primary->columns.begin(), primary->columns.end(),
                                            [&](AttrNumber column) { return index.contains(column); });
        if (!later || index.primary || names_rows || serves_foreign_key(table, index)) continue;
        std::vector<AttrNumber> columns{table.tenant_key};
        for (AttrNumber column : index.columns)
            if (column != table.tenant_key) columns.push_back(column);
        lint.add(Severity::warning, "index_tenant_order", object_name(table, index.name),
                 fmt::format("The tenant key {} is not its first column: a query of one tenant that does not name {} "
                             "reads all of it.",
                             quoted(name), table.names(index.columns).front()),
                 has(columns, 0) ? fmt::format("-- make it anew with {} first: {}", quoted(name), index.definition)
                                 : create_index(table, columns, index.unique ? "UNIQUE INDEX" : "INDEX",
                                                index.predicate.empty() ? "" : " WHERE " + index.predicate));
    }
}

void check_states(Lint &lint, const LintTable &table, const LintIndex &index) {
    const std::string object = object_name(table, index.name);
    const std::string again = fmt::format("REINDEX INDEX CONCURRENTLY {};", qualified(table.schema, index.name));
    if (!index.ready)
        lint.add(
            Severity::error, "index_not_ready", object,
            "It is not ready: an interrupted CREATE or DROP INDEX CONCURRENTLY has left it; it may cost writes, and "
            "serves nothing.",
            fmt::format("DROP INDEX CONCURRENTLY {}; -- then make it anew", qualified(table.schema, index.name)));
    else if (!index.valid)
        lint.add(Severity::error, "index_invalid", object,
                 index.unique ? "It is invalid: rows that were there before may violate it, and no query uses it."
                              : "It is invalid: every write maintains it, and no query uses it.",
                 again);
}

std::string drop(const LintTable &table, const LintIndex &index) {
    return index.constraint.empty()
               ? fmt::format("DROP INDEX {}{};", table.kind == RELKIND_RELATION ? "CONCURRENTLY " : "",
                             qualified(table.schema, index.name))
               : fmt::format("ALTER TABLE {} DROP CONSTRAINT {};", table.label(), quoted(index.constraint));
}

// Order, class and collation of the first columns, as they stand in `options`: "classes/orders/collations/expressions".
std::vector<std::string> options_of(const LintIndex &index, std::size_t part) {
    std::vector<std::string> words;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < part; i++)
        begin = index.options.find('/', begin) + 1;
    std::string text = index.options.substr(begin, index.options.find('/', begin) - begin), word;
    for (char c : text + " ")
        if (c == ' ') {
            if (!word.empty()) words.push_back(std::exchange(word, {}));
        } else {
            word += c;
        }
    return words;
}

bool same_start(const LintIndex &a, const LintIndex &b) {
    for (std::size_t part = 0; part < 3; part++) {
        const auto of_a = options_of(a, part), of_b = options_of(b, part);
        for (std::size_t i = 0; i < a.columns.size(); i++)
            if (i >= of_a.size() || i >= of_b.size() || of_a[i] != of_b[i]) return false;
    }
    return true;
}

// Indexes that another one makes superfluous.
void check_redundant(Lint &lint, const LintTable &table, const LintIndex &index) {
    if (!index.usable() || index.primary) return;
    for (const LintIndex &other : table.indexes) {
        if (other.oid == index.oid || !other.usable() || other.method != index.method ||
            other.predicate != index.predicate)
            continue;
        const bool same_columns = other.columns == index.columns && other.options == index.options;
        if (same_columns && other.included == index.included && index.unique == other.unique &&
            index.nulls_equal == other.nulls_equal) {
            // of two that are equal one is reported: a constraint's is kept, then the older one
            const auto order = [](const LintIndex &one) { return std::tuple(one.constraint.empty(), one.oid); };
            if (!other.primary && order(index) < order(other)) continue;
            lint.add(Severity::warning, "index_duplicate", object_name(table, index.name),
                     fmt::format("{} is the same index.", quoted(other.name)), drop(table, index));
            return;
        }
        const bool prefix = !index.unique && !index.expressions && index.method == "btree" && index.included.empty() &&
                            (index.columns.size() < other.columns.size() || (same_columns && !index.unique)) &&
                            std::equal(index.columns.begin(), index.columns.end(), other.columns.begin()) &&
                            same_start(index, other);
        if (prefix && (index.columns.size() < other.columns.size() || other.unique || !other.included.empty())) {
            lint.add(Severity::info, "index_redundant", object_name(table, index.name),
                     fmt::format("{} begins with the same columns, and serves the same queries.", quoted(other.name)),
                     drop(table, index));
            return;
        }
    }
}

// "OPERATOR(schema.>)" of the type's default order; empty without one.
std::string greater_operator(Oid type) {
    struct Name {
        const char *schema, *name;
    };
    const Name name = pg_call([type] {
        Name out = {nullptr, nullptr};
        TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_GT_OPR);
        if (!OidIsValid(entry->gt_opr)) return out;
        HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->gt_opr));
        if (!HeapTupleIsValid(tuple)) return out;
        auto *form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
        out.schema = get_namespace_name(form->oprnamespace);
        out.name = pstrdup(NameStr(form->oprname));
        ReleaseSysCache(tuple);
        return out;
    });
    return name.name ? fmt::format("OPERATOR({}.{})", quoted(name.schema), name.name) : std::string();
}

void check_cardinality(Lint &lint, const LintTable &table, const LintIndex &index) {
    if (!index.usable() || index.unique || index.columns.size() != 1 || index.columns.front() == 0 ||
        !index.predicate.empty() || index.method != "btree" || table.bytes < large ||
        index.columns.front() == table.tenant_key || serves_foreign_key(table, index))
        return;
    const LintColumn &column = table.at(index.columns.front());
    // From value to value by the index itself, whatever the size of the table.
    const std::string name = quoted(column.name);
    const std::string next = fmt::format("SELECT t.{0} FROM {1} AS t WHERE t.{0} ", name, table.target());
    const std::string greater = greater_operator(column.type);
    if (greater.empty()) return;
    const auto values = lint.count(
        {&table}, fmt::format("WITH RECURSIVE walk AS ((SELECT t.{0} AS v, 1 AS n FROM {1} AS t WHERE t.{0} IS "
                              "NOT NULL ORDER BY t.{0} LIMIT 1) UNION ALL SELECT x.v, w.n "
                              "OPERATOR(pg_catalog.+) 1 FROM walk AS w CROSS JOIN LATERAL (SELECT t.{0} AS v "
                              "FROM {1} AS t WHERE t.{0} {2} w.v ORDER BY t.{0} LIMIT 1) AS x WHERE w.n "
                              "OPERATOR(pg_catalog.<) {3}) SELECT pg_catalog.count(*) FROM walk",
                              name, table.target(), greater, few_values + 2));
    if (values && *values <= few_values)
        lint.add(Severity::warning, "index_cardinality", object_name(table, index.name),
                 fmt::format("{} has {} different value{}: the index finds nothing quickly, and costs every write.",
                             name, *values, *values == 1 ? "" : "s"),
                 drop(table, index));
}

void check_unused(Lint &lint, const LintTable &table, const LintIndex &index) {
    if (index.scans > 0 || index.unique || !index.usable() || table.reads < many_reads ||
        serves_foreign_key(table, index))
        return;
    lint.add(Severity::info, "index_unused", object_name(table, index.name),
             fmt::format("No query has used it since statistics were reset, of {} that read the table.", table.reads),
             drop(table, index));
}

// Nobody chooses such a value.
bool machine_made(const LintTable &table, const LintIndex &index) {
    return std::all_of(index.columns.begin(), index.columns.end(), [&](AttrNumber column) {
        return column != 0 && (table.at(column).base_name == "uuid" || table.at(column).identity);
    });
}

// Uniqueness over all tenants: one tenant's value is refused because another one has it, and so becomes known.
void check_leak(Lint &lint, const LintTable &table, const LintIndex &index) {
    if (!table.tenant_key || !index.unique || index.contains(table.tenant_key)) return;
    // What belongs to one tenant's row is of that tenant: (customer_id, period).
    for (const LintForeignKey &key : table.foreign_keys)
        if (const LintTable *to = lint.model.find(key.to); to && (to->tenant_key || to->oid == lint.model.root))
            for (AttrNumber column : key.from_columns)
                if (index.contains(column)) return;
    std::vector<AttrNumber> columns{table.tenant_key};
    columns.insert(columns.end(), index.columns.begin(), index.columns.end());
    const std::string object = object_name(table, index.name), key = quoted(table.at(table.tenant_key).name);
    if (index.primary) {
        const bool natural = std::any_of(index.columns.begin(), index.columns.end(), [&](AttrNumber column) {
            return column != 0 && table.at(column).is_text() && !table.at(column).has_default &&
                   !table.is_replacement(table.at(column).name) && // a rekey embeds the key in it
                   !lint.model.guarded(table, core::GuardKind::prefix, table.at(column).name);
        });
        if (natural)
            lint.add(
                Severity::warning, "primary_key_without_tenant", object,
                fmt::format("The primary key is text, and does not contain {}: two tenants cannot have the same {}.",
                            key, table.list(index.columns)),
                fmt::format("-- embed the tenant key in it (step rekey, guard prefix), or add {} to it", key));
        return;
    }
    if (machine_made(table, index)) return;
    const bool partial = !index.predicate.empty();
    const bool is_constraint = !index.constraint.empty();
    const std::string tail = partial ? " WHERE " + index.predicate : "";
    const std::string better = has(columns, 0)
                                   ? fmt::format("-- make it anew with {} first: {}", key, index.definition)
                                   : create_index(table, columns, "UNIQUE INDEX", tail) + " " + drop(table, index);
    lint.add(Severity::error, is_constraint ? "unique_without_tenant" : "unique_index_without_tenant", object,
             fmt::format("{} {} unique over all tenants{}: a tenant is refused a value because another one has it, and "
                         "learns so.",
                         table.list(index.columns), index.columns.size() == 1 ? "is" : "are",
                         partial ? " (partial: " + index.predicate + ")" : ""),
             better);
}

void check_nulls(Lint &lint, const LintTable &table, const LintIndex &index) {
    const LintColumn *soft_delete = soft_delete_of(table);
    if (!index.unique || index.primary || index.nulls_equal) return;
    for (AttrNumber number : index.columns) {
        if (number == 0 || table.at(number).not_null || (soft_delete && number == soft_delete->number)) continue;
        const LintColumn &column = table.at(number);
        const bool tenant = number == table.tenant_key;
        lint.add(tenant ? Severity::error : Severity::info, tenant ? "unique_null_tenant" : "unique_nullable",
                 object_name(table, index.name),
                 fmt::format("{} may be NULL, and rows with NULL there are never equal: duplicates pass.",
                             quoted(column.name)),
                 fmt::format("ALTER TABLE {} ALTER {} SET NOT NULL;", table.label(), quoted(column.name)));
        return;
    }
}

void check_soft_delete(Lint &lint, const LintTable &table, const LintIndex &index) {
    const LintColumn *soft_delete = soft_delete_of(table);
    if (!soft_delete || !index.unique || index.primary) return;
    const LintIndex *primary = table.primary_key();
    const std::string name = quoted(soft_delete->name);
    const std::string living = soft_delete->category == 'B' ? "NOT " + name : name + " IS NULL";
    std::vector<AttrNumber> columns;
    for (AttrNumber column : index.columns)
        if (column != soft_delete->number) columns.push_back(column);
    const std::string better =
        has(columns, 0) ? fmt::format("-- make it anew WHERE {}: {}", living, index.definition)
                        : create_index(table, columns, "UNIQUE INDEX", " WHERE " + living) + " " + drop(table, index);
    if (index.contains(soft_delete->number)) {
        if (!soft_delete->not_null && !index.nulls_equal)
            lint.add(
                Severity::error, "unique_soft_delete_null", object_name(table, index.name),
                fmt::format("It contains {}, which is NULL in every living row: among the living nothing is unique.",
                            name),
                better);
        return;
    }
    if (only_living(index, *soft_delete)) return;
    if (machine_made(table, index)) return;
    // (tenant key, id) is there for foreign keys, and unique anyway
    if (primary && std::all_of(primary->columns.begin(), primary->columns.end(),
                               [&](AttrNumber column) { return index.contains(column); }))
        return;
    lint.add(Severity::warning, "unique_soft_delete", object_name(table, index.name),
             fmt::format("Soft-deleted rows count too: what was deleted cannot be made anew. It should hold among the "
                         "living ({}).",
                         living),
             better);
}
} // namespace

void lint_indexes(Lint &lint) {
    for (const LintTable *table : lint.model.scope()) {
        check_tenant_index(lint, *table);
        for (const LintForeignKey &key : table->foreign_keys)
            check_foreign_key(lint, *table, key);
        for (const LintIndex &index : table->indexes) {
            check_states(lint, *table, index);
            check_redundant(lint, *table, index);
            check_cardinality(lint, *table, index);
            check_unused(lint, *table, index);
        }
    }
}

void lint_unique(Lint &lint) {
    for (const LintTable *table : lint.model.scope())
        for (const LintIndex &index : table->indexes) {
            check_leak(lint, *table, index);
            check_nulls(lint, *table, index);
            check_soft_delete(lint, *table, index);
        }
}

} // namespace tenantmig

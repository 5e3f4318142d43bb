// One unique key over tenant key and id: built concurrently, then made a constraint; on partitioned tables partition by
// partition, to which the table's own is attached. Index and constraint have one name from the beginning, so that what
// an attempt has left behind is seen from the catalogue.
#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "steps/constraint_index.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/isolate_keys_items.hpp"
#include "steps/unique_key.hpp"

namespace tenantmig {

namespace {
constexpr int most_rounds = 5; // partitions that were added meanwhile

std::set<std::string> set_of(const std::vector<std::string> &names) {
    return {names.begin(), names.end()};
}

// Ours by its name; or the same under another one, to which it was renamed.
std::optional<FoundConstraint> find_key(const Table &table, const std::string &name,
                                        const std::vector<std::string> &columns) {
    if (auto found = find_constraint(table, name, 'u'); found && set_of(found->columns) == set_of(columns))
        return found;
    const auto same = find_unique_key(table, columns);
    if (!same || !same->constrained) return std::nullopt;
    return find_constraint(table, same->name, 'u');
}

const PlacedName *part_of(const UniqueItem &item, const KeyItems &items, const Table &leaf) {
    for (const PlacedName &part : item.parts)
        if (const auto table = items.find(part.site); table && table->oid == leaf.oid) return &part;
    return nullptr;
}
} // namespace

std::vector<Table> lowest_of(const Table &table) {
    std::vector<Table> result;
    for (Table &one : tree_of(table))
        if (one.kind != RELKIND_PARTITIONED_TABLE) result.push_back(std::move(one));
    return result;
}

// Names of the partitions' constraints, put down before anything is built. True: some are new.
bool KeyWorker::name_parts(UniqueItem &item, const std::vector<Table> &leaves) {
    bool added = false;
    const Table table = items_.get(item.table);
    const std::vector<std::string> columns = items_.names_of(item.table, table, item.columns);
    std::set<std::string> taken = {item.name};
    for (const PlacedName &part : item.parts)
        taken.insert(part.name);
    for (const Table &leaf : leaves) {
        if (part_of(item, items_, leaf)) continue;
        item.parts.push_back({site_of(leaf), choose_name({leaf}, joined_list(columns), "key", &taken)});
        added = true;
    }
    return added;
}

bool KeyWorker::constrain_leaf(const UniqueItem &item, const Table &leaf, const std::string &name) {
    std::vector<std::string> columns;
    bool done = false;
    context_.changer.note(false, [&] {
        columns = items_.names_of(item.table, items_.get(item.table), item.columns);
        done = find_constraint(leaf, name, 'u').has_value();
    });
    if (done) return false;
    (void)ensure_index(leaf,
                       {name,
                        fmt::format("CREATE UNIQUE INDEX CONCURRENTLY {} ON {} ({})", tenantmig::quoted(name),
                                    leaf.sql(), quoted_list(columns)),
                        std::nullopt},
                       context_.changer);
    TENANTMIG_FAULT("isolate_key_built");
    context_.changer.note(false, [&] { // it may have stood there: not ours, or with other columns
        const auto same = find_unique_key(leaf, columns);
        const NamedIndex found = find_named_index(leaf, name);
        Rows rows = own_query("SELECT i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = "
                              "cardinality($2) AND i.indnatts = i.indnkeyatts AND (SELECT array_agg(a.attname::text "
                              "ORDER BY n.place) FROM unnest(i.indkey::int2[]) WITH ORDINALITY n(number, place) JOIN "
                              "pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = n.number) = $2 FROM pg_index i "
                              "WHERE i.indexrelid = $1",
                              {Value{OIDOID, ObjectIdGetDatum(found.oid), false}, text_array_value(columns)});
        if (same && !rows.empty() && rows.boolean(0, 1)) return;
        throw Error(sqlstate::duplicate_table, fmt::format("the name of index {} is taken", tenantmig::quoted(name)),
                    fmt::format("There is {}.", found.definition), "Rename or drop that, and call this again.");
    });
    strong(leaf, {{leaf.oid}}, [&] { constrain_over_index(leaf, name, name); });
    TENANTMIG_FAULT("isolate_key_constrained");
    return true;
}

bool KeyWorker::up(UniqueItem &item) {
    if (item.kept) return false;
    Table table;
    std::vector<std::string> columns;
    bool there = false;
    context_.changer.note(false, [&] {
        table = items_.get(item.table);
        columns = items_.names_of(item.table, table, item.columns);
        there = find_key(table, item.name, columns).has_value();
    });
    if (there) return false;
    if (table.kind != RELKIND_PARTITIONED_TABLE) {
        (void)constrain_leaf(item, table, item.name);
        return true;
    }
    for (int round = 1; round <= most_rounds; round++) {
        std::vector<Table> leaves;
        context_.changer.note(true, [&] {
            leaves = lowest_of(table);
            if (name_parts(item, leaves))
                context_.save(context_.state.phase, with_key_items(context_.state.detail, &items_));
        });
        for (const Table &leaf : leaves)
            (void)constrain_leaf(item, leaf, part_of(item, items_, leaf)->name);
        bool complete = true;
        strong(table, {{table.oid, AccessExclusiveLock, true}}, [&] {
            complete = true;
            for (const Table &leaf : lowest_of(table)) {
                const PlacedName *part = part_of(item, items_, leaf);
                complete = complete && part && find_constraint(leaf, part->name, 'u');
            }
            if (!complete) return; // one was added, and would be built under this lock
            constrain_over_partitions(table, item.name, columns);
            TENANTMIG_FAULT("isolate_key_attaching");
        });
        if (!complete) continue;
        TENANTMIG_FAULT("isolate_key_attached");
        return true;
    }
    throw Error(sqlstate::table_changed, fmt::format("the unique key of {} can't be completed", table.label()),
                "Partitions were added again and again meanwhile.", "CALL tenantmig.up again.");
}

// The table's own with all that is attached to it; then what an attempt has left on partitions.
bool KeyWorker::down(const UniqueItem &item) {
    if (item.kept) return false;
    bool changed = false;
    std::vector<std::pair<Table, std::string>> places;
    context_.changer.note(false, [&] {
        places.clear();
        if (const auto table = items_.find(item.table)) places.emplace_back(*table, item.name);
        for (const PlacedName &part : item.parts)
            if (const auto table = items_.find(part.site)) places.emplace_back(*table, part.name);
    });
    for (std::size_t i = 0; i < places.size(); i++) {
        const auto &[table, name] = places[i];
        std::optional<FoundConstraint> key;
        NamedIndex index;
        context_.changer.note(false, [&] {
            if (i == 0 && items_.find(item.table))
                key = find_key(table, name, items_.names_of(item.table, table, item.columns));
            else
                key = find_constraint(table, name, 'u');
            if (!key) index = find_named_index(table, name);
        });
        if (key && !OidIsValid(key->parent)) {
            strong(table, {{table.oid, AccessExclusiveLock, table.kind == RELKIND_PARTITIONED_TABLE}},
                   [&] { drop_constraint(table, key->name); });
            changed = true;
        } else if (!key && index.here && !index.constraint) {
            (void)drop_index_concurrently(table, name, context_.changer);
            changed = true;
        }
        TENANTMIG_FAULT("isolate_key_dropped");
    }
    return changed;
}

std::string defect_of(const KeyItems &items, const UniqueItem &item) {
    const auto table = items.find(item.table);
    if (!table) return fmt::format("table {} does not exist any more", qualified(item.table.schema, item.table.name));
    const std::vector<std::string> columns = items.names_of(item.table, *table, item.columns);
    if (find_unique_key(*table, columns)) return {};
    return fmt::format("{} is not unique over ({}) any more", table->label(), quoted_list(columns));
}

} // namespace tenantmig

// composite_keys and composite_references: what the catalogue has, what is to be made of it, and what stands in the
// way. Reads no rows.
#include "core/excerpt.hpp"

#include "bridge/results.hpp"
#include "catalog/isolation_store.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/isolate_keys_items.hpp"
#include "steps/unique_key.hpp"

namespace tenantmig {

namespace {
struct Known { // a table that is isolated, or is going to be
    Table table;
    Column key;
    Oid top = InvalidOid; // itself, or the table of the spec above it
    bool own = false;     // of this step
    bool partitions = false, foreign = false;
};

struct DeclaredKey { // a foreign key as pg_constraint has it
    Oid oid = InvalidOid, from = InvalidOid, to = InvalidOid;
    ForeignKeyShape shape;
    bool enforced = true, period = false;
    std::string triggers, migration; // that are not as PostgreSQL makes them; that has put it into force
};

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

std::vector<KeyedColumn> columns_of(const Table &table, const std::string &numbers) {
    std::vector<KeyedColumn> columns;
    for (std::size_t at = 0; at < numbers.size();) {
        const std::size_t end = std::min(numbers.find(' ', at), numbers.size());
        const auto number = static_cast<AttrNumber>(std::stoi(numbers.substr(at, end - at)));
        columns.push_back({number, table.at(number).name});
        at = end + 1;
    }
    return columns;
}

bool has(const std::vector<KeyedColumn> &columns, const Column &column) {
    return std::any_of(columns.begin(), columns.end(), [&](const KeyedColumn &one) { return one.name == column.name; });
}

std::vector<std::string> names_in(const std::vector<KeyedColumn> &columns) {
    std::vector<std::string> names;
    for (const KeyedColumn &column : columns)
        names.push_back(column.name);
    return names;
}

std::set<std::string> set_of(const std::vector<KeyedColumn> &columns) {
    std::set<std::string> names;
    for (const KeyedColumn &column : columns)
        names.insert(column.name);
    return names;
}

bool same_shape(const ForeignKeyShape &a, const ForeignKeyShape &b) {
    return names_in(a.columns) == names_in(b.columns) && names_in(a.targets) == names_in(b.targets) &&
           set_of(a.cleared) == set_of(b.cleared) && a.on_update == b.on_update && a.on_delete == b.on_delete &&
           a.match == b.match && a.deferrable == b.deferrable && a.deferred == b.deferred;
}

bool lacks_schema_right(const std::string &schema, Oid role, AclMode mode) {
    const char *name = schema.c_str();
    return pg_call([name, role, mode] {
        return pg_namespace_aclcheck(get_namespace_oid(name, false), role, mode) != ACLCHECK_OK;
    });
}

class KeyPlanner {
public:
    KeyPlanner(const core::IsolateStep &step, const std::vector<IsolateKeyTable> &tables, KeyItems stored)
        : step_(step), named_(tables) {
        plan_.items = std::move(stored);
        rename();
        gather();
    }

    KeyPlan make() {
        for (const UniqueItem &item : plan_.items.uniques)
            taken_.insert(item.name);
        for (const ReferenceItem &item : plan_.items.references)
            taken_.insert({item.made.name, item.back});
        if (step_.composite_keys) own_keys();
        if (step_.composite_references) references();
        return std::move(plan_);
    }

private:
    const core::IsolateStep &step_;
    const std::vector<IsolateKeyTable> &named_;
    KeyPlan plan_;
    std::map<Oid, Known> known_;
    std::set<std::string> taken_;
    std::set<Oid> touched_, asked_; // asked_: whose tenant key has been looked at for NOT NULL

    void problem(std::string check, const char *state, std::string message, std::string detail, std::string hint) {
        plan_.problems.push_back({std::move(check), state, std::move(message), std::move(detail), std::move(hint)});
    }

    // Stored columns under the names that they have today.
    void rename() {
        const auto now = [&](const Site &site, std::vector<KeyedColumn> &columns) {
            if (const auto table = plan_.items.find(site))
                for (KeyedColumn &column : columns)
                    column.name = plan_.items.name_of(site, *table, column);
        };
        for (UniqueItem &item : plan_.items.uniques)
            now(item.table, item.columns);
        for (ReferenceItem &item : plan_.items.references)
            for (ForeignKeyShape *shape : {&item.old, &item.made}) {
                now(item.from, shape->columns);
                now(item.from, shape->cleared);
                now(item.to, shape->targets);
            }
    }

    // ---- tables

    void add(const Table &table, const Column &key, Oid top, bool own) {
        if (known_.contains(table.oid)) return;
        Known known;
        known.table = table;
        known.key = key;
        known.top = top;
        known.own = own;
        known.partitions = table.kind == RELKIND_PARTITIONED_TABLE;
        if (known.partitions)
            known.foreign = !own_query("SELECT 1 FROM pg_partition_tree($1) p JOIN pg_class c ON c.oid = p.relid "
                                       "WHERE c.relkind = 'f'",
                                       {Value{REGCLASSOID, ObjectIdGetDatum(table.oid), false}})
                                 .empty();
        known_.emplace(table.oid, std::move(known));
    }

    // With partitions and inheritance children, each of which can have keys of its own.
    void add_tree(const Table &table, const Column &key, bool own) {
        add(table, key, table.oid, own);
        Rows rows = own_query("WITH RECURSIVE tree(child) AS (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1 "
                              "UNION SELECT h.inhrelid FROM tree t JOIN pg_inherits h ON h.inhparent = t.child) SELECT "
                              "child::bigint FROM tree ORDER BY child",
                              {oid_value(table.oid)});
        for (std::size_t i = 0; i < rows.size(); i++) {
            const auto child = describe_table(static_cast<Oid>(rows.bigint(i, 1)));
            if (!child || child->kind == RELKIND_FOREIGN_TABLE) continue;
            if (const Column *column = child->find(std::string_view(key.name))) add(*child, *column, table.oid, own);
        }
    }

    void gather() {
        for (const IsolateKeyTable &one : named_)
            add_tree(one.table, one.key, true);
        for (const IsolatedTable &one : isolated_tables(std::nullopt))
            add(one.table, one.key, OidIsValid(one.parent) ? one.parent : one.table.oid, false);
    }

    void touch(const Known &known) {
        if (known.own || !touched_.insert(known.table.oid).second) return;
        plan_.touched.push_back(known.table);
    }

    // ---- unique keys

    void own_keys() {
        for (const auto &[oid, known] : known_) {
            if (!known.own || known.table.is_partition) continue;
            bool primary = false;
            const std::vector<AttrNumber> identity = row_identity(oid, &primary);
            if (identity.empty() || !primary) {
                if (known.top != oid) continue; // an inheritance child, which has none of its own
                problem("composite_keys " + known.table.label(), sqlstate::prerequisite_state,
                        fmt::format("{} has no primary key", known.table.label()),
                        "composite_keys makes a unique key over the tenant key and the primary key.",
                        fmt::format("Give it a primary key, or leave composite_keys out of {}.", step_.path));
                continue;
            }
            std::vector<KeyedColumn> columns;
            for (AttrNumber number : identity)
                columns.push_back({number, known.table.at(number).name});
            want_unique(known, columns);
        }
    }

    // Whether a partitioned table above has the key, or is going to have it: its partitions get it with it.
    bool comes_from_above(const Known &known, const std::set<std::string> &columns) const {
        if (!known.table.is_partition) return false;
        Rows rows = own_query("SELECT relid::oid::bigint FROM pg_partition_ancestors($1) relid WHERE relid <> $1",
                              {Value{REGCLASSOID, ObjectIdGetDatum(known.table.oid), false}});
        for (std::size_t i = 0; i < rows.size(); i++)
            for (const UniqueItem &item : plan_.items.uniques)
                if (const auto table = plan_.items.find(item.table);
                    table && table->oid == static_cast<Oid>(rows.bigint(i, 1)) && set_of(item.columns) == columns)
                    return true;
        return false;
    }

    void want_unique(const Known &known, const std::vector<KeyedColumn> &others) {
        std::vector<KeyedColumn> columns = {{known.key.number, known.key.name}};
        for (const KeyedColumn &column : others)
            if (column.name != known.key.name) columns.push_back(column);
        const std::set<std::string> names = set_of(columns);
        if (comes_from_above(known, names)) return;
        const auto found = find_unique_key(known.table, names_in(columns));
        for (UniqueItem &item : plan_.items.uniques) {
            const auto table = plan_.items.find(item.table);
            if (!table || table->oid != known.table.oid || set_of(item.columns) != names) continue;
            if (!item.kept || found) return;
            item.kept = false; // it has gone since: one of our own, then
            item.name = choose_name(tree_of(known.table), joined_list(names_in(columns)), "key", &taken_);
            return;
        }
        UniqueItem item;
        item.table = site_of(known.table);
        item.columns = columns;
        item.kept = found.has_value();
        item.name =
            found ? found->name : choose_name(tree_of(known.table), joined_list(names_in(columns)), "key", &taken_);
        if (!found) may_build(known, names_in(columns));
        plan_.items.uniques.push_back(std::move(item));
    }

    void may_build(const Known &known, const std::vector<std::string> &columns) {
        const std::string check = fmt::format("composite_keys {} ({})", known.table.label(), quoted_list(columns));
        if (known.foreign)
            problem(check, sqlstate::feature_not_supported,
                    fmt::format("{} has a foreign table as a partition", known.table.label()),
                    "A foreign table can't have a unique key, and so the partitioned table can't.",
                    fmt::format("Detach it, or leave composite_keys and composite_references out of {}.", step_.path));
        for (const Table &part : tree_of(known.table)) {
            if (lacks_schema_right(part.schema, part.owner, ACL_CREATE))
                problem(
                    check, sqlstate::insufficient_privilege,
                    fmt::format("{} has no CREATE on schema {}", role_name(part.owner), tenantmig::quoted(part.schema)),
                    fmt::format("An index on {} is built as its owner.", part.label()),
                    fmt::format("GRANT CREATE ON SCHEMA {} TO {};", tenantmig::quoted(part.schema),
                                tenantmig::quoted(role_name(part.owner))));
            if (part.oid == known.table.oid) continue;
            const auto found = find_unique_key(part, columns);
            if (!found || !found->constrained || found->part_of_another || is_ours(part, found->name)) continue;
            problem(
                check, sqlstate::feature_not_supported,
                fmt::format("partition {} has the same unique constraint already", part.label()),
                "It would become part of the new one, and could not be given back.",
                fmt::format("ALTER TABLE {} DROP CONSTRAINT {} first.", part.label(), tenantmig::quoted(found->name)));
        }
        touch(known);
    }

    bool is_ours(const Table &part, const std::string &name) const {
        for (const UniqueItem &item : plan_.items.uniques)
            for (const PlacedName &one : item.parts)
                if (one.name == name && one.site.oid == part.oid) return true;
        return false;
    }

    // ---- foreign keys

    // In the order in which they were made, which is that of their triggers.
    std::vector<DeclaredKey> declared() const {
        std::string oids;
        for (const auto &[oid, known] : known_)
            oids += (oids.empty() ? "" : ",") + std::to_string(oid);
        Rows rows = own_query(fmt::format(
            "SELECT k.oid::bigint, k.conrelid::bigint, k.confrelid::bigint, k.conname, "
            "coalesce(obj_description(k.oid, 'pg_constraint'), ''), array_to_string(k.conkey, ' '), "
            "array_to_string(k.confkey, ' '), coalesce(array_to_string(k.confdelsetcols, ' '), ''), "
            "k.confupdtype::text, k.confdeltype::text, k.confmatchtype::text, k.condeferrable, k.condeferred, "
            "k.convalidated, coalesce(to_jsonb(k)->>'conenforced', 'true') = 'true', "
            "coalesce(to_jsonb(k)->>'conperiod', 'false') = 'true', (WITH RECURSIVE part(oid) AS (SELECT k.oid "
            "UNION SELECT p.oid FROM part x JOIN pg_constraint p ON p.conparentid = x.oid) SELECT "
            "string_agg(DISTINCT t.tgrelid::regclass || CASE t.tgenabled WHEN 'D' THEN ' (disabled)' WHEN 'R' THEN "
            "' (replica)' ELSE ' (always)' END, ', ') FROM part x JOIN pg_trigger t ON t.tgconstraint = x.oid "
            "WHERE t.tgenabled <> 'O'), (SELECT m.name FROM tenantmig.enforcement e JOIN tenantmig.migration m ON "
            "m.id = e.migration_id WHERE e.state IN ('enforced', 'relaxing', 'intended') AND e.kind = "
            "'foreign_key' AND e.relation_oid = k.conrelid AND e.constraint_name = k.conname LIMIT 1) FROM "
            "pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY ('{{{0}}}'::oid[]) AND "
            "k.confrelid "
            "= ANY ('{{{0}}}'::oid[]) ORDER BY k.oid",
            oids));
        std::vector<DeclaredKey> keys;
        for (std::size_t i = 0; i < rows.size(); i++) {
            DeclaredKey key;
            key.oid = static_cast<Oid>(rows.bigint(i, 1));
            key.from = static_cast<Oid>(rows.bigint(i, 2));
            key.to = static_cast<Oid>(rows.bigint(i, 3));
            const Table &from = known_.at(key.from).table, &to = known_.at(key.to).table;
            key.shape.name = rows.text_or(i, 4);
            key.shape.comment = rows.text_or(i, 5);
            key.shape.columns = columns_of(from, rows.text_or(i, 6));
            key.shape.targets = columns_of(to, rows.text_or(i, 7));
            key.shape.cleared = columns_of(from, rows.text_or(i, 8));
            key.shape.on_update = rows.text_or(i, 9, "a").front();
            key.shape.on_delete = rows.text_or(i, 10, "a").front();
            key.shape.match = rows.text_or(i, 11, "s").front();
            key.shape.deferrable = rows.boolean(i, 12);
            key.shape.deferred = rows.boolean(i, 13);
            key.shape.validated = rows.boolean(i, 14);
            key.enforced = rows.boolean(i, 15);
            key.period = rows.boolean(i, 16);
            key.triggers = rows.text_or(i, 17);
            key.migration = rows.text_or(i, 18);
            keys.push_back(std::move(key));
        }
        return keys;
    }

    // Those that compare the tenant keys stay, and so do those to a table whose own key is the tenant key.
    static bool stays(const DeclaredKey &key, const Known &from, const Known &to) {
        for (std::size_t i = 0; i < key.shape.columns.size(); i++)
            if (key.shape.columns[i].number == from.key.number && key.shape.targets[i].number == to.key.number)
                return true;
        return key.shape.targets.size() == 1 && key.shape.targets.front().number == to.key.number;
    }

    void references() {
        if (step_.hide_nulls) {
            problem("composite_references", sqlstate::feature_not_supported,
                    fmt::format("spec: {}: composite_references with null_keys: hide is not supported", step_.path),
                    "A foreign key over several columns is not checked where one of them is NULL: rows without a "
                    "tenant key would refer to anything.",
                    "Use null_keys: refuse, or leave composite_references out.");
            return;
        }
        for (const DeclaredKey &key : declared()) {
            const Known &from = known_.at(key.from), &to = known_.at(key.to);
            if ((!from.own && !to.own) || stays(key, from, to) || is_stored(key, from)) continue;
            replace(key, from, to);
        }
        for (const ReferenceItem &item : plan_.items.references) { // of an attempt before: they may need a key again
            const auto to = plan_.items.find(item.to);
            if (to && known_.contains(to->oid)) want_unique(known_.at(to->oid), target_columns(item, *to));
        }
    }

    std::vector<KeyedColumn> target_columns(const ReferenceItem &item, const Table &to) const {
        std::vector<KeyedColumn> columns;
        for (const std::string &name : plan_.items.names_of(item.to, to, item.old.targets))
            if (const Column *column = to.find(std::string_view(name))) columns.push_back({column->number, name});
        return columns;
    }

    // One that an attempt before has put down already, or has made.
    bool is_stored(const DeclaredKey &key, const Known &from) {
        for (ReferenceItem &item : plan_.items.references) {
            const auto table = plan_.items.find(item.from);
            if (!table) continue;
            if (table->oid == key.from && item.old.name == key.shape.name) {
                if (!same_shape(item.old, key.shape))
                    problem(check_name(key, from), sqlstate::table_changed,
                            fmt::format("foreign key {} of {} is another one than when the step began",
                                        tenantmig::quoted(key.shape.name), from.table.label()),
                            "It has other columns or actions now.", "Take the step back first, with tenantmig.down.");
                item.old.validated = key.shape.validated;
                item.old.comment = key.shape.comment;
                return true;
            }
            if (item.back != key.shape.name && item.made.name != key.shape.name) continue;
            for (const Table &part : lowest_of(*table))
                if (part.oid == key.from) return true;
        }
        return false;
    }

    static std::string check_name(const DeclaredKey &key, const Known &from) {
        return fmt::format("composite_references {}.{}", from.table.label(), tenantmig::quoted(key.shape.name));
    }

    void replace(const DeclaredKey &key, const Known &from, const Known &to) {
        ReferenceItem item;
        item.from = site_of(from.table);
        item.to = site_of(to.table);
        item.from_key = {from.key.number, from.key.name};
        item.to_key = {to.key.number, to.key.name};
        item.old = key.shape;
        item.made = key.shape;
        item.made.validated = true;
        item.made.columns.insert(item.made.columns.begin(), item.from_key);
        item.made.targets.insert(item.made.targets.begin(), item.to_key);
        // the tenant key stays when what it was compared with goes
        if ((key.shape.on_delete == 'n' || key.shape.on_delete == 'd') && key.shape.cleared.empty())
            item.made.cleared = key.shape.columns;
        if (key.shape.match == 'f' && key.shape.columns.size() == 1) item.made.match = 's'; // of one column: the same
        refuse(key, item.made, from, to);
        const std::vector<Table> tree = tree_of(from.table);
        item.made.name = choose_name(tree, joined_list(names_in(item.made.columns)), "fkey", &taken_);
        item.back = choose_name(tree, joined_list(names_in(item.old.columns)), "tenantmig", &taken_);
        remember_parts(key, item);
        want_unique(to, key.shape.targets);
        touch(from);
        plan_.items.references.push_back(std::move(item));
    }

    static void remember_parts(const DeclaredKey &key, ReferenceItem &item) {
        Rows rows = own_query("WITH RECURSIVE part(oid) AS (SELECT oid FROM pg_constraint WHERE conparentid = $1 UNION "
                              "SELECT p.oid FROM part x JOIN pg_constraint p ON p.conparentid = x.oid) SELECT "
                              "k.conrelid::bigint, k.confrelid::bigint, k.conname, coalesce(obj_description(k.oid, "
                              "'pg_constraint'), '') FROM part x JOIN pg_constraint k ON k.oid = x.oid ORDER BY 1, 2",
                              {oid_value(key.oid)});
        for (std::size_t i = 0; i < rows.size(); i++) {
            const auto from = describe_table(static_cast<Oid>(rows.bigint(i, 1)));
            const auto to = describe_table(static_cast<Oid>(rows.bigint(i, 2)));
            if (from && to)
                item.old_parts.push_back({site_of(*from), site_of(*to), rows.text_or(i, 3), rows.text_or(i, 4)});
        }
    }

    void refuse(const DeclaredKey &key, const ForeignKeyShape &made, const Known &from, const Known &to) {
        const std::string check = check_name(key, from);
        const std::string name =
            fmt::format("foreign key {} of {}", tenantmig::quoted(key.shape.name), from.table.label());
        const auto no = [&](const char *state, const std::string &why, const std::string &hint) {
            problem(check, state, fmt::format("{} can't be replaced", name), why, hint);
        };
        const std::string drop =
            fmt::format("Drop it or change it, or leave composite_references out of {}.", step_.path);
        const char *unsupported = sqlstate::feature_not_supported;
        if (has(key.shape.columns, from.key) || has(key.shape.targets, to.key))
            no(unsupported, "It compares the tenant key of one table with another column of the other.", drop);
        if (key.shape.on_update == 'n' || key.shape.on_update == 'd')
            no(unsupported,
               fmt::format("ON UPDATE SET {} would clear the tenant key, too.",
                           key.shape.on_update == 'n' ? "NULL" : "DEFAULT"),
               drop);
        if (key.shape.match == 'f' && key.shape.columns.size() > 1 && nullable(key, from))
            no(unsupported,
               "It is MATCH FULL over columns that may be NULL: with the tenant key, rows would be refused in which "
               "all of them are.",
               drop);
        if (key.period || !key.enforced)
            no(unsupported, key.period ? "It compares periods." : "It is NOT ENFORCED.", drop);
        if (!key.triggers.empty())
            no(sqlstate::precheck_failed, fmt::format("Its triggers have been switched: {}.", key.triggers),
               "ALTER TABLE … ENABLE TRIGGER ALL on these tables, or drop the foreign key.");
        if (!key.migration.empty())
            no(sqlstate::dependent_objects,
               fmt::format("A constraint step of migration {} has put it into force.", core::excerpt(key.migration)),
               "Take that step back first, with tenantmig.relax.");
        if (from.key.generated &&
            (key.shape.on_update == 'c' || key.shape.on_delete == 'n' || key.shape.on_delete == 'd'))
            no(unsupported,
               fmt::format("The tenant key {} is a generated column, with which a foreign key can't have its actions.",
                           tenantmig::quoted(from.key.name)),
               drop);
        if (from.foreign || to.foreign)
            no(unsupported, "A partition is a foreign table, which can't have foreign keys.", drop);
        require_types(from, to, no);
        require_rights(from, to, no);
        require_no_twin(key, made, from, no);
        if (!from.key.not_null && asked_.insert(from.table.oid).second)
            problem(
                "composite_references " + from.table.label(), sqlstate::precheck_failed,
                fmt::format("tenant key {} of {} may be NULL", tenantmig::quoted(from.key.name), from.table.label()),
                fmt::format("{} would not be checked in rows that have none: a foreign key over several columns "
                            "is not checked where one of them is NULL.",
                            tenantmig::quoted(key.shape.name)),
                fmt::format("Make it NOT NULL first: a constraint step with not_null: true and tenantmig.enforce, "
                            "or ALTER TABLE {} ALTER COLUMN {} SET NOT NULL.",
                            from.table.label(), tenantmig::quoted(from.key.name)));
    }

    static bool nullable(const DeclaredKey &key, const Known &from) {
        return std::any_of(key.shape.columns.begin(), key.shape.columns.end(),
                           [&](const KeyedColumn &column) { return !from.table.at(column.number).not_null; });
    }

    template <typename Refuse>
    void require_types(const Known &from, const Known &to, const Refuse &no) const {
        const Oid a = from.key.type, b = to.key.type;
        const bool comparable = a == b || pg_call([a, b] {
                                    Oid source = a, target = b;
                                    return can_coerce_type(1, &source, &target, COERCION_IMPLICIT);
                                });
        if (comparable) return;
        no(sqlstate::datatype_mismatch,
           fmt::format("The tenant keys are of different types: {} of {}, {} of {}.", from.key.type_name,
                       from.table.label(), to.key.type_name, to.table.label()),
           "Make them the same.");
    }

    template <typename Refuse>
    void require_rights(const Known &from, const Known &to, const Refuse &no) const {
        for (const Table &part : tree_of(from.table)) {
            const Oid owner = part.owner;
            const std::string role = tenantmig::quoted(role_name(owner));
            if (lacks_schema_right(to.table.schema, owner, ACL_USAGE))
                no(sqlstate::insufficient_privilege,
                   fmt::format("{} has no USAGE on schema {}.", role_name(owner), tenantmig::quoted(to.table.schema)),
                   fmt::format("GRANT USAGE ON SCHEMA {} TO {};", tenantmig::quoted(to.table.schema), role));
            const bool may = pg_call([oid = to.table.oid, number = to.key.number, owner] {
                return pg_class_aclcheck(oid, owner, ACL_REFERENCES) == ACLCHECK_OK ||
                       pg_attribute_aclcheck(oid, number, owner, ACL_REFERENCES) == ACLCHECK_OK;
            });
            if (may) continue;
            no(sqlstate::insufficient_privilege,
               fmt::format("{}, who owns {}, may not reference {} of {}.", role_name(owner), part.label(),
                           tenantmig::quoted(to.key.name), to.table.label()),
               fmt::format("GRANT REFERENCES ({}) ON {} TO {};", tenantmig::quoted(to.key.name), to.table.label(),
                           role));
        }
    }

    // A partition's own foreign key over the same columns would become part of the new one in the place of ours, or of
    // the old one when that comes back.
    template <typename Refuse>
    void require_no_twin(const DeclaredKey &key, const ForeignKeyShape &made, const Known &from,
                         const Refuse &no) const {
        if (!from.partitions) return;
        const std::vector<std::string> ours(taken_.begin(), taken_.end());
        for (const Table &part : tree_of(from.table)) {
            if (part.oid == from.table.oid) continue;
            Rows rows = own_query("SELECT array_agg(k.conname::text ORDER BY k.conname) FROM pg_constraint k WHERE "
                                  "k.conrelid = $1 AND k.confrelid = $2 AND k.contype = 'f' AND k.conparentid = 0 AND "
                                  "k.conname <> ALL ($3)",
                                  {oid_value(part.oid), oid_value(key.to), text_array_value(ours)});
            if (rows.is_null(0, 1)) continue;
            for (const std::string &name : rows.text_array(0, 1)) {
                const auto found = find_constraint(part, name, 'f');
                const std::set<std::string> columns(found->columns.begin(), found->columns.end());
                if (columns != set_of(key.shape.columns) && columns != set_of(made.columns)) continue;
                no(sqlstate::feature_not_supported,
                   fmt::format("Partition {} has the same foreign key by itself, {}.", part.label(),
                               tenantmig::quoted(name)),
                   fmt::format("ALTER TABLE {} DROP CONSTRAINT {} first.", part.label(), tenantmig::quoted(name)));
                return;
            }
        }
    }
};
} // namespace

KeyPlan plan_keys(const core::IsolateStep &step, const std::vector<IsolateKeyTable> &tables, KeyItems stored) {
    return KeyPlanner(step, tables, std::move(stored)).make();
}

} // namespace tenantmig

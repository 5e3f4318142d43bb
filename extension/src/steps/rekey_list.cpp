#include "core/undo_text.hpp"

#include "bridge/object_name.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/rekey_builder.hpp"

namespace tenantmig {

namespace {
std::string replaced(std::string text, const std::string &from, const std::string &to) {
    const auto at = text.find(from);
    if (at != std::string::npos) text.replace(at, from.size(), to);
    return text;
}
} // namespace

std::string column_list(const Table &table, const std::vector<AttrNumber> &columns, const RekeyNames &names) {
    std::string list;
    for (AttrNumber number : columns) {
        const auto found = names.find(number);
        list += (list.empty() ? "" : ", ") + quoted(found != names.end() ? found->second : table.at(number).name);
    }
    return list;
}

RekeyBuilder::RekeyBuilder(const RekeyTarget &target, std::int64_t migration) : target_(target), migration_(migration) {
    for (const Table &table : target.all())
        tables_[table.oid] = table;
    keys_[target.root.oid][target.id.number] = target.column;
    for (const RekeyTable &table : target.tables)
        keys_[table.table.oid][table.id.number] = target.column;
    for (const RekeyEmbedded &embed : target.embedded) {
        renamed_[embed.table.oid][embed.id.number] = new_name(embed.id.name);
        for (const RekeyReference &reference : embed.references)
            renamed_[reference.table.oid][reference.column.number] = new_name(reference.column.name);
    }
}

RekeyList RekeyBuilder::build() {
    list_.database = MyDatabaseId;
    new_columns();
    fill();
    stage_ = "constraints";
    for (const RekeyTable &table : target_.tables)
        not_null(table.table, target_.column);
    for (const auto &[oid, names] : renamed_)
        for (const auto &[number, name] : names)
            if (tables_[oid].at(number).not_null) not_null(tables_[oid], name);
    stage_ = "indexes";
    twins();
    move_root();
    for (const RekeyTable &table : target_.tables)
        for (const RekeyIndex &index : indexes_of(table.table, keys_[table.table.oid])) {
            const bool renamed = std::any_of(index.columns.begin(), index.columns.end(), [&](AttrNumber number) {
                return renamed_[table.table.oid].contains(number);
            });
            if (index.constraint == 'p' && !renamed) move_key(table.table, index);
        }
    for (const RekeyEmbedded &embed : target_.embedded)
        move_embedded(embed);
    replace_indexes();
    for (const RekeyEmbedded &embed : target_.embedded)
        mapping(embed);
    checks();
    return std::move(list_);
}

// ---- pieces

RekeyAction &RekeyBuilder::add(RekeyKind kind, const Table &table) {
    RekeyAction &action = list_.actions.emplace_back();
    action.kind = kind;
    action.stage = stage_;
    action.table = site_of(table);
    return action;
}

RekeyAction &RekeyBuilder::ddl(const Table &table) {
    RekeyAction &action = add(RekeyKind::ddl, table);
    action.locks.push_back(site_of(table));
    return action;
}

void RekeyBuilder::forward(RekeyAction &action, const Table &table, std::string sql, std::string missing,
                           std::string present) {
    action.forward.push_back({site_of(table), std::move(sql), std::move(missing), std::move(present)});
}

void RekeyBuilder::backward(RekeyAction &action, const Table &table, std::string sql, std::string missing,
                            std::string present) {
    action.backward.push_back({site_of(table), std::move(sql), std::move(missing), std::move(present)});
}

std::string RekeyBuilder::free_name(const Table &table, const std::string &columns, const std::string &label) {
    return choose_name({table}, columns, label, &taken_);
}

bool RekeyBuilder::is_free(const Table &table, const std::string &name) const {
    return name.size() <= 63 && !taken_.contains(name) && !has_constraint(table.oid, name) &&
           own_query("SELECT 1 FROM pg_class c JOIN pg_class t ON t.relnamespace = c.relnamespace WHERE t.oid = $1 AND "
                     "c.relname = $2",
                     {Value{OIDOID, ObjectIdGetDatum(table.oid), false}, text_value(name)})
               .empty();
}

// Sorts before the names of guards: a row is whole when they look at it.
std::string RekeyBuilder::trigger_name(const Table &table) {
    return fmt::format("zz_tenantmig_both_{}_{}_{}", migration_, target_.step.number, ++triggers_[table.oid]);
}

std::string RekeyBuilder::create_trigger(const Table &table, const std::string &name,
                                         const std::vector<std::string> &arguments) {
    std::string list;
    for (const std::string &argument : arguments)
        list += (list.empty() ? "" : ", ") + core::sql_literal(argument);
    return fmt::format("CREATE TRIGGER {} BEFORE INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION "
                       "tenantmig.rekey_sync({})",
                       quoted(name), table.sql(), list);
}

void RekeyBuilder::add_trigger(RekeyAction &action, const Table &table, const std::string &name,
                               const std::vector<std::string> &arguments) {
    forward(action, table, create_trigger(table, name, arguments));
    forward(action, table, fmt::format("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}", table.sql(), quoted(name)));
    action.backward.insert(action.backward.begin(),
                           {site_of(table), fmt::format("DROP TRIGGER {} ON {}", quoted(name), table.sql()), {}, {}});
}

void RekeyBuilder::add_column(RekeyAction &action, const Table &table, const std::string &column,
                              const std::string &type) {
    forward(action, table, fmt::format("ALTER TABLE {} ADD COLUMN {} {}", table.sql(), quoted(column), type));
    backward(action, table, fmt::format("ALTER TABLE {} DROP COLUMN {}", table.sql(), quoted(column)));
}

// A valid CHECK proves it, so that SET NOT NULL need not look at the rows.
void RekeyBuilder::not_null(const Table &table, const std::string &column) {
    const std::string check = free_name(table, column, "tenantmig");
    RekeyAction &made = ddl(table);
    const std::string drop = fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", table.sql(), quoted(check));
    forward(made, table,
            fmt::format("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} IS DISTINCT FROM NULL) NOT VALID", table.sql(),
                        quoted(check), quoted(column)),
            check);
    backward(made, table, drop, {}, check);
    validate(table, check, false);
    RekeyAction &set = ddl(table);
    set.group = 2; // the check is gone
    forward(set, table, fmt::format("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL", table.sql(), quoted(column)));
    forward(set, table, drop, {}, check);
    backward(set, table, fmt::format("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL", table.sql(), quoted(column)));
}

void RekeyBuilder::index(const Table &table, const std::string &name, std::string statement, bool back) {
    RekeyAction &action = add(RekeyKind::index, table);
    action.name = name;
    action.back = back;
    forward(action, table, std::move(statement));
}

// ---- columns and triggers

void RekeyBuilder::new_columns() {
    stage_ = "columns";
    const Table &root = target_.root;
    RekeyAction &first = ddl(root);
    if (target_.own_column) {
        add_column(first, root, target_.column, target_.type);
        list_.added.push_back({root.label(), target_.column, "", target_.type});
    }
    add_trigger(first, root, trigger_name(root), {"root", target_.id.name, target_.key.name, target_.column});
    if (target_.own_column) {
        forward(add(RekeyKind::rows, root), root,
                fmt::format("UPDATE ONLY {0} AS t SET {1} = t.{2} WHERE t.{1} IS NULL", root.sql(),
                            quoted(target_.column), quoted(target_.key.name)));
        not_null(root, target_.column);
    } else if (!target_.key.not_null) {
        not_null(root, target_.column);
    }
    stage_ = "columns";
    for (const Table &table : target_.all()) {
        if (table.oid == root.oid) continue;
        RekeyAction &action = ddl(table);
        for (const RekeyTable &named : target_.tables) {
            if (named.table.oid != table.oid) continue;
            add_column(action, table, target_.column, target_.type);
            list_.added.push_back({table.label(), target_.column, "", target_.type});
            for (std::string &grant : grants_of(table, named.id, target_.column))
                forward(action, table, std::move(grant));
            std::vector<std::string> arguments = {"pair",    named.id.name,   target_.column, root.schema,
                                                  root.name, target_.id.name, target_.column};
            arguments.insert(arguments.end(), target_.within.begin(), target_.within.end());
            add_trigger(action, table, trigger_name(table), arguments);
        }
        for (const RekeyEmbedded &embed : target_.embedded) {
            const std::string made = new_name(embed.id.name);
            auto convert = [&](const Column &column, std::vector<std::string> arguments) {
                add_column(action, table, new_name(column.name), "pg_catalog.text");
                for (std::string &grant : grants_of(table, column, new_name(column.name)))
                    forward(action, table, std::move(grant));
                const std::string name = trigger_name(table);
                embed_triggers_[{table.oid, column.name}] = name;
                add_trigger(action, table, name, arguments);
                list_.converted.push_back({table.label(), column.name, column.type_name, "text"});
            };
            if (embed.table.oid == table.oid)
                convert(embed.id, {"embed", embed.id.name, made, target_.column, embed.separator});
            for (const RekeyReference &reference : embed.references)
                if (reference.table.oid == table.oid)
                    convert(reference.column, {"pair", reference.column.name, new_name(reference.column.name),
                                               embed.table.schema, embed.table.name, embed.id.name, made});
        }
    }
}

void RekeyBuilder::fill() {
    stage_ = "backfill";
    std::vector<int> first, others;
    for (const RekeyTable &table : target_.tables) {
        const bool embeds = std::any_of(target_.embedded.begin(), target_.embedded.end(),
                                        [&](const RekeyEmbedded &embed) { return embed.table.oid == table.table.oid; });
        (embeds ? first : others).push_back(table.number);
    }
    for (const std::vector<int> &numbers : {first, others})
        if (!numbers.empty()) add(RekeyKind::backfill, target_.root).numbers = numbers;
    for (const RekeyEmbedded &embed : target_.embedded) {
        // the trigger has filled the new id of each row that got its key; this finds what it has missed
        forward(add(RekeyKind::rows, embed.table), embed.table,
                fmt::format("UPDATE ONLY {0} AS t SET {1} = t.{1} WHERE t.{1} IS NULL AND t.{2} IS NOT NULL",
                            embed.table.sql(), quoted(new_name(embed.id.name)), quoted(target_.column)));
        for (const RekeyReference &reference : embed.references) {
            RekeyAction &action = add(RekeyKind::rows, reference.table);
            const std::string name = new_name(reference.column.name);
            forward(action, reference.table,
                    fmt::format("UPDATE ONLY {0} AS t SET {1} = e.{2} FROM ONLY {3} AS e WHERE e.{4} {5} t.{6} AND "
                                "t.{1} IS NULL AND e.{2} IS NOT NULL",
                                reference.table.sql(), quoted(name), quoted(new_name(embed.id.name)), embed.table.sql(),
                                quoted(embed.id.name),
                                embed.id.type == reference.column.type ? equality_operator(embed.id.type)
                                                                       : "OPERATOR(pg_catalog.=)",
                                quoted(reference.column.name)));
        }
    }
}

// ---- indexes and unique constraints that stand beside the old ones

RekeyNames RekeyBuilder::all_names(const Table &table) const {
    RekeyNames names;
    for (const auto *map : {&keys_, &renamed_})
        if (const auto found = map->find(table.oid); found != map->end())
            names.insert(found->second.begin(), found->second.end());
    return names;
}

void RekeyBuilder::twins() {
    for (const Table &table : target_.all())
        twins_of(table);
}

void RekeyBuilder::twins_of(const Table &table) {
    const RekeyNames names = all_names(table);
    const RekeyNames &renamed = renamed_[table.oid];
    for (const RekeyIndex &old : indexes_of(table, names)) {
        if (old.constraint == 'p' || !old.plain) continue;
        if (table.oid == target_.root.oid && old.unique && old.keys == 1 && old.columns[0] == target_.id.number)
            continue; // move_root() makes what takes its place
        const bool replaces = std::any_of(old.columns.begin(), old.columns.end(),
                                          [&](AttrNumber number) { return renamed.contains(number); });
        std::string joined;
        for (std::size_t i = 0; i < old.keys; i++) {
            const AttrNumber number = old.columns[i];
            if (number <= 0) continue;
            const auto found = names.find(number);
            joined += (joined.empty() ? "" : "_") + (found != names.end() ? found->second : table.at(number).name);
        }
        std::string name = old.name;
        for (const auto &[number, column] : keys_[table.oid])
            name = replaced(name, table.at(number).name, column);
        if (replaces)
            name = free_name(table, joined, "tenantmig_idx");
        else if (!is_free(table, name))
            name = free_name(table, joined, old.constraint == 'u' ? "key" : "idx");
        taken_.insert(name);
        index(table, name, index_over(table, old, name, names, !replaces), false);
        if (old.constraint == 'u') {
            RekeyAction &adopt = ddl(table);
            adopt.group = 1;
            forward(adopt, table,
                    fmt::format("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE USING INDEX {}{}", table.sql(), quoted(name),
                                quoted(name), old.timing));
            backward(adopt, table, fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", table.sql(), quoted(name)));
        }
        if (replaces) replaced_.push_back({table, old, name});
    }
}

std::vector<std::string> RekeyBuilder::root_columns() const {
    std::vector<std::string> columns = target_.within;
    columns.push_back(target_.column);
    return columns;
}

std::string RekeyBuilder::root_list() const {
    std::string list;
    for (const std::string &column : root_columns())
        list += (list.empty() ? "" : ", ") + quoted(column);
    return list;
}

// For whoever has kept ids elsewhere: which one has become which. Made after the switch, when no old id comes any more.
void RekeyBuilder::mapping(const RekeyEmbedded &embed) {
    stage_ = "mapping";
    const Table &table = embed.table;
    RekeyAction &action = add(RekeyKind::mapping, table);
    const std::string name = qualified(table.schema, free_name(table, embed.id.name, "map"));
    action.name = name; // the watch on the catalogue knows it by this
    const std::string old = quoted(old_name(embed.id.name)), now = quoted(embed.id.name);
    forward(action, table,
            fmt::format("CREATE TABLE {} AS SELECT {} AS old_id, {} AS new_id FROM ONLY {} WHERE "
                        "{}::pg_catalog.text OPERATOR(pg_catalog.<>) {}",
                        name, old, now, table.sql(), old, now));
    forward(action, table, fmt::format("CREATE INDEX ON {} (old_id)", name));
    forward(action, table,
            fmt::format("COMMENT ON TABLE {} IS {}", name,
                        core::sql_literal(fmt::format("ids of {} before and after step {} of a tenantmig migration",
                                                      table.label(), target_.step.number))));
    backward(action, table, "DROP TABLE " + name);
}

// ---- what has to hold in the end; names as they are then

void RekeyBuilder::checks() {
    stage_ = "checks";
    const std::string column = quoted(target_.column);
    auto add_check = [&](std::string name, const Table &table, std::string sql) {
        list_.checks.push_back({std::move(name), std::move(sql), site_of(table)});
    };
    for (const Table &table : target_.all()) {
        if (!keys_.contains(table.oid)) continue;
        if (target_.type == "pg_catalog.text")
            add_check("type " + table.label() + "." + target_.column, table,
                      fmt::format("SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid "
                                  "OPERATOR(pg_catalog.=) {}::pg_catalog.regclass AND attname OPERATOR(pg_catalog.=) "
                                  "{} AND atttypid OPERATOR(pg_catalog.<>) 'pg_catalog.text'::pg_catalog.regtype",
                                  core::sql_literal(table.sql()), core::sql_literal(target_.column)));
        add_check("nulls " + table.label() + "." + target_.column, table,
                  fmt::format("SELECT count(*) FROM ONLY {} WHERE {} IS NULL", table.sql(), column));
    }
    for (const RekeyTable &table : target_.tables) {
        std::string same = fmt::format("t.{0} {1} r.{0}", column,
                                       target_.type == "pg_catalog.text" ? "OPERATOR(pg_catalog.=)"
                                                                         : equality_operator(target_.key.type));
        for (const std::string &within : target_.within)
            same +=
                fmt::format(" AND t.{0} {1} r.{0}", quoted(within), equality_operator(target_.root.find(within)->type));
        add_check("mismatches " + table.table.label() + "." + target_.column, table.table,
                  fmt::format("SELECT count(*) FROM ONLY {} AS t WHERE NOT EXISTS (SELECT 1 FROM ONLY {} AS r WHERE "
                              "r.{} {} t.{} AND {})",
                              table.table.sql(), target_.root.sql(), quoted(target_.id.name),
                              target_.id.type == table.id.type ? equality_operator(target_.id.type)
                                                               : "OPERATOR(pg_catalog.=)",
                              quoted(table.id.name), same));
    }
    if (!target_.step.format.empty())
        add_check("format " + target_.root.label() + "." + target_.column, target_.root,
                  fmt::format("SELECT count(*) FROM ONLY {} WHERE {}::pg_catalog.text OPERATOR(pg_catalog.!~) {}",
                              target_.root.sql(), column, core::sql_literal(target_.step.format)));
    for (const RekeyEmbedded &embed : target_.embedded) {
        const std::string label = embed.table.label() + "." + embed.id.name;
        add_check("type " + label, embed.table,
                  fmt::format("SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid OPERATOR(pg_catalog.=) "
                              "{}::pg_catalog.regclass AND attname OPERATOR(pg_catalog.=) {} AND atttypid "
                              "OPERATOR(pg_catalog.<>) 'pg_catalog.text'::pg_catalog.regtype",
                              core::sql_literal(embed.table.sql()), core::sql_literal(embed.id.name)));
        add_check("prefix " + label, embed.table,
                  fmt::format("SELECT count(*) FROM ONLY {} WHERE pg_catalog.starts_with({}, {}::pg_catalog.text "
                              "OPERATOR(pg_catalog.||) {}) IS NOT TRUE",
                              embed.table.sql(), quoted(embed.id.name), column, core::sql_literal(embed.separator)));
        for (const RekeyReference &reference : embed.references)
            add_check("references " + reference.table.label() + "." + reference.column.name, reference.table,
                      fmt::format("SELECT count(*) FROM ONLY {0} AS t WHERE t.{1} IS NOT NULL AND NOT EXISTS (SELECT 1 "
                                  "FROM ONLY {2} AS e WHERE e.{3} OPERATOR(pg_catalog.=) t.{1})",
                                  reference.table.sql(), quoted(reference.column.name), embed.table.sql(),
                                  quoted(embed.id.name)));
    }
    add(RekeyKind::checks, target_.root);
}

RekeyList make_rekey_list(const RekeyTarget &target, std::int64_t migration) {
    return RekeyBuilder(target, migration).build();
}

} // namespace tenantmig

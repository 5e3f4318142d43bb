// The last part of the list: keys move to the new columns, and embedded ids change their names with the new ones.
#include "bridge/object_name.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/rekey_builder.hpp"

namespace tenantmig {

namespace {
std::string alter(const Table &table, const std::string &what) {
    return fmt::format("ALTER TABLE {} {}", table.sql(), what);
}

std::string literal_comment(const std::string &comment) {
    Rows rows = own_query("SELECT quote_literal($1)", {text_value(comment)});
    return rows.text_or(0, 1);
}
} // namespace

void RekeyBuilder::validate(const Table &table, const std::string &name, bool back) {
    RekeyAction &action = add(RekeyKind::validate, table);
    action.name = name;
    action.back = back;
}

// ---- foreign keys that follow

RekeyBuilder::Moved RekeyBuilder::moved_key(const RekeyForeignKey &key, const std::string &temporary) {
    const auto from = tables_.find(key.from), to = tables_.find(key.to);
    const auto refused = [&](const std::string &why) {
        const auto table = describe_table(key.from);
        return Error(sqlstate::feature_not_supported,
                     fmt::format("spec: {}: foreign key {} of {} can't follow", target_.step.path, quoted(key.name),
                                 table ? table->label() : "?"),
                     why, "Drop it first, and create it again over the new columns after this step.");
    };
    if (from == tables_.end() || to == tables_.end())
        throw refused("Its table is none of the step's, but what it refers to is a key that moves.");
    Moved moved;
    moved.old = key;
    moved.name = key.name;
    moved.temporary = temporary;
    const RekeyNames from_names = all_names(from->second), to_names = all_names(to->second);
    RekeyNames from_old, to_old, from_after, to_after;
    for (std::size_t i = 0; i < key.from_columns.size(); i++) {
        const AttrNumber a = key.from_columns[i], b = key.to_columns[i];
        if (from_names.contains(a) != to_names.contains(b))
            throw refused(fmt::format("\"{}\" and \"{}\" are compared, and one of the two only is replaced.",
                                      from->second.at(a).name, to->second.at(b).name));
        if (renamed_[key.from].contains(a)) from_old[a] = old_name(from->second.at(a).name);
        if (renamed_[key.to].contains(b)) to_old[b] = old_name(to->second.at(b).name);
        if (keys_[key.from].contains(a)) from_after[a] = target_.column;
        if (keys_[key.to].contains(b)) to_after[b] = target_.column;
    }
    moved.from_first = column_list(from->second, key.from_columns, {});
    moved.to_first = column_list(to->second, key.to_columns, {});
    moved.from_old = column_list(from->second, key.from_columns, from_old);
    moved.to_old = column_list(to->second, key.to_columns, to_old);
    std::string within;
    if (key.to == target_.root.oid && key.from_columns.size() == 1)
        for (const std::string &column : target_.within)
            within += quoted(column) + ", ";
    moved.from_new = within + column_list(from->second, key.from_columns, from_names);
    moved.to_new = within + column_list(to->second, key.to_columns, to_names);
    moved.from_after = within + column_list(from->second, key.from_columns, from_after);
    moved.to_after = within + column_list(to->second, key.to_columns, to_after);
    return moved;
}

void RekeyBuilder::add_key(const Moved &moved, bool again) {
    const Table &from = tables_[moved.old.from], &to = tables_[moved.old.to];
    RekeyAction &action = ddl(from);
    if (to.oid != from.oid) action.locks.push_back(site_of(to));
    forward(action, from,
            alter(from, fmt::format("ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){} NOT VALID",
                                    quoted(moved.temporary), again ? moved.from_after : moved.from_new, to.sql(),
                                    again ? moved.to_after : moved.to_new, moved.old.options)),
            moved.temporary);
    backward(action, from, alter(from, "DROP CONSTRAINT " + quoted(moved.temporary)), {}, moved.temporary);
    validate(from, moved.temporary, false);
}

// The old one goes, and comes back on the way back: over columns as they are named before the switch, or after it.
void RekeyBuilder::drop_key(const Moved &moved, bool after) {
    const Table &from = tables_[moved.old.from], &to = tables_[moved.old.to];
    if (moved.old.validated) validate(from, moved.name, true);
    RekeyAction &action = ddl(from);
    if (to.oid != from.oid) action.locks.push_back(site_of(to));
    forward(action, from, alter(from, "DROP CONSTRAINT " + quoted(moved.name)), {}, moved.name);
    if (!moved.old.comment.empty())
        backward(action, from,
                 fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", quoted(moved.name), from.sql(),
                             literal_comment(moved.old.comment)),
                 {}, moved.name);
    action.backward.insert(
        action.backward.begin(),
        {site_of(from),
         alter(from, fmt::format("ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){} NOT VALID",
                                 quoted(moved.name), after ? moved.from_old : moved.from_first, to.sql(),
                                 after ? moved.to_old : moved.to_first, moved.old.options)),
         moved.name,
         {}});
}

void RekeyBuilder::comment_key(RekeyAction &action, const Table &table, const RekeyIndex &key, bool back) {
    std::vector<std::string> statements;
    if (!key.comment.empty())
        statements.push_back(fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", quoted(key.name), table.sql(),
                                         literal_comment(key.comment)));
    if (key.clustered) statements.push_back(alter(table, "CLUSTER ON " + quoted(key.name)));
    for (const std::string &statement : statements)
        back ? backward(action, table, statement) : forward(action, table, statement);
}

// ---- the tenant root

void RekeyBuilder::move_root() {
    stage_ = "switch";
    const Table &root = target_.root;
    const RekeyIndex *primary = nullptr;
    bool constrained = false;
    const std::vector<RekeyIndex> indexes = indexes_of(root, keys_[root.oid]);
    for (const RekeyIndex &index : indexes) {
        if (index.constraint == 'p') primary = &index;
        constrained |= index.constraint == 'u' && index.keys == 1;
    }
    std::vector<Moved> keys;
    const std::vector<RekeyForeignKey> old = keys_to(root);
    for (const RekeyTable &table : target_.tables) {
        const std::string label = object_name(target_.column, "", "fkey");
        bool found = false;
        for (const RekeyForeignKey &key : old) {
            if (key.from != table.table.oid ||
                std::find(key.from_columns.begin(), key.from_columns.end(), table.id.number) == key.from_columns.end())
                continue;
            keys.push_back(moved_key(key, free_name(table.table, target_.column, "fkey")));
            found = true;
        }
        if (found) continue;
        RekeyForeignKey made; // the column has held the root's key without saying so
        made.from = table.table.oid;
        made.to = root.oid;
        made.from_columns = {table.id.number};
        made.to_columns = {target_.id.number};
        keys.push_back(moved_key(made, free_name(table.table, target_.column, "fkey")));
        keys.back().exists = false;
    }
    std::string joined;
    for (const std::string &column : root_columns())
        joined += (joined.empty() ? "" : "_") + column;
    const std::string name = free_name(root, joined, "key");
    const std::string statement =
        fmt::format("CREATE UNIQUE INDEX CONCURRENTLY {} ON {} ({})", quoted(name), root.sql(), root_list());
    const std::size_t start = list_.actions.size();
    index(root, name, statement, false);
    if (!primary || primary->keys != 1) {
        if (has_key()) {
            list_.actions.pop_back(); // the column is unique already
        } else if (constrained || !primary) {
            RekeyAction &adopt = ddl(root);
            adopt.group = 1;
            forward(adopt, root,
                    alter(root, fmt::format("ADD CONSTRAINT {} UNIQUE USING INDEX {}", quoted(name), quoted(name))));
            backward(adopt, root, alter(root, "DROP CONSTRAINT " + quoted(name)));
        }
        for (const Moved &key : keys)
            add_key(key, false);
        if (primary) move_key(root, *primary);
        return;
    }
    for (const Moved &key : keys)
        add_key(key, false);
    const std::string keep = free_name(root, target_.id.name, "tenantmig_key");
    index(root, keep, index_over(root, *primary, keep, {}, true), false);
    for (const Moved &key : keys)
        if (key.exists) drop_key(key, false);
    swap_primary(root, *primary, name, keep, start);
    const std::size_t at = list_.actions.size() - 1;
    for (const Moved &key : keys)
        add_key(key, true);
    for (const Moved &key : keys)
        if (key.exists) drop_key(key, true);
    end_tail(at);
}

// Whether the root's new key is a column of its own that is unique as it stands.
bool RekeyBuilder::has_key() const {
    return !target_.own_column && target_.within.empty() && is_unique(target_.root, target_.key.number);
}

void RekeyBuilder::end_tail(std::size_t at) {
    list_.actions[at].tail = list_.actions.size() - at - 1;
}

// One strong lock: the primary key leaves `old` for the index `made`; back, for `kept`.
void RekeyBuilder::swap_primary(const Table &table, const RekeyIndex &old, const std::string &made,
                                const std::string &kept, std::size_t start) {
    const std::size_t before = list_.actions.size() - start;
    RekeyAction &swap = ddl(table);
    swap.group = before;
    const auto to = [&](const std::string &index) {
        return alter(table, fmt::format("DROP CONSTRAINT {0}, ADD CONSTRAINT {0} PRIMARY KEY USING INDEX {1}{2}",
                                        quoted(old.name), quoted(index), old.timing));
    };
    forward(swap, table, to(made));
    comment_key(swap, table, old, false);
    backward(swap, table, to(kept));
    comment_key(swap, table, old, true);
}

// ---- a primary key that holds the surrogate key beside other columns

void RekeyBuilder::move_key(const Table &table, const RekeyIndex &primary) {
    stage_ = "switch";
    std::vector<Moved> keys;
    for (const RekeyForeignKey &key : keys_to(table))
        if (key.index == primary.oid)
            keys.push_back(moved_key(key, free_name(tables_[key.from], column_list_name(key), "fkey")));
    const std::string made = free_name(table, target_.column, "tenantmig_key");
    const std::string back = free_name(table, target_.column, "tenantmig_back");
    const std::size_t start = list_.actions.size();
    index(table, made, index_over(table, primary, made, keys_[table.oid], false), false);
    for (const Moved &key : keys)
        add_key(key, false);
    for (const Moved &key : keys)
        drop_key(key, false);
    swap_primary(table, primary, made, back, start);
    const std::size_t at = list_.actions.size() - 1;
    for (const Moved &key : keys)
        add_key(key, true);
    for (const Moved &key : keys)
        drop_key(key, true);
    index(table, back, index_over(table, primary, back, {}, true), true);
    end_tail(at);
}

std::string RekeyBuilder::column_list_name(const RekeyForeignKey &key) {
    std::string joined;
    const Table &table = tables_[key.from];
    for (AttrNumber number : key.from_columns)
        if (const Column *column = table.find(number))
            joined += (joined.empty() ? "" : "_") + (keys_[key.from].contains(number) ? target_.column : column->name);
    return joined;
}

// ---- embedded ids

namespace {
struct Part { // a column that changes its name with the new one
    const Table *table;
    const Column *column;
    std::vector<std::string> before, after; // arguments of its trigger
    std::string trigger, check, fallback;   // names; fallback: DEFAULT
};
} // namespace

void RekeyBuilder::move_embedded(const RekeyEmbedded &embed) {
    stage_ = "switch";
    const Table &home = embed.table;
    const std::string id = embed.id.name;
    std::vector<Part> parts;
    auto part = [&](const Table &table, const Column &column, std::vector<std::string> before,
                    std::vector<std::string> after) {
        Part made{&tables_[table.oid], &column, std::move(before), std::move(after), {}, {}, {}};
        made.trigger = embed_triggers_[{table.oid, column.name}];
        if (column.not_null) made.check = free_name(table, old_name(column.name), "tenantmig");
        made.fallback = default_of(table, column);
        parts.push_back(std::move(made));
    };
    part(home, embed.id, {"embed", id, new_name(id), target_.column, embed.separator},
         {"embedded", old_name(id), id, target_.column, embed.separator});
    for (const RekeyReference &reference : embed.references) {
        const std::string &name = reference.column.name;
        part(reference.table, reference.column,
             {"pair", name, new_name(name), home.schema, home.name, id, new_name(id)},
             {"pair", old_name(name), name, home.schema, home.name, old_name(id), id});
    }
    std::vector<Moved> keys;
    for (const RekeyForeignKey &key : keys_to(home))
        if (std::find(key.to_columns.begin(), key.to_columns.end(), embed.id.number) != key.to_columns.end())
            keys.push_back(moved_key(key, free_name(tables_[key.from], column_list_name(key), "tenantmig_fkey")));

    const std::size_t start = list_.actions.size();
    struct Primary {
        RekeyIndex old;
        std::string made, back;
    };
    std::map<Oid, Primary> primaries;
    for (const Part &piece : parts) {
        const Table &table = *piece.table;
        if (primaries.contains(table.oid)) continue;
        for (const RekeyIndex &found : indexes_of(table, renamed_[table.oid])) {
            if (found.constraint != 'p') continue;
            if (table.oid != home.oid)
                for (const RekeyForeignKey &key : keys_to(table))
                    if (key.index == found.oid) (void)refuse_chain(key);
            const Primary primary{found, free_name(table, piece.column->name, "tenantmig_key"),
                                  free_name(table, piece.column->name, "tenantmig_back")};
            index(table, primary.made, index_over(table, found, primary.made, all_names(table), false), false);
            primaries.emplace(table.oid, primary);
        }
    }
    for (const Moved &key : keys)
        add_key(key, false);
    for (const Moved &key : keys)
        drop_key(key, false);

    const std::size_t before = list_.actions.size() - start;
    RekeyAction &action = ddl(home);
    action.group = before;
    const std::size_t at = list_.actions.size() - 1;
    std::set<Oid> done;
    for (const Part &piece : parts) {
        const Table &table = *piece.table;
        const std::string now = piece.column->name, made = new_name(now), old = old_name(now);
        if (table.oid != home.oid) action.locks.push_back(site_of(table));
        const auto primary = primaries.find(table.oid);
        const bool moves = primary != primaries.end() && done.insert(table.oid).second;
        const auto trigger = [&](const std::vector<std::string> &arguments) {
            return std::vector<std::string>{fmt::format("DROP TRIGGER {} ON {}", quoted(piece.trigger), table.sql()),
                                            create_trigger(table, piece.trigger, arguments),
                                            alter(table, "ENABLE ALWAYS TRIGGER " + quoted(piece.trigger))};
        };
        if (moves) forward(action, table, alter(table, "DROP CONSTRAINT " + quoted(primary->second.old.name)));
        forward(action, table, alter(table, fmt::format("RENAME COLUMN {} TO {}", quoted(now), quoted(old))));
        forward(action, table, alter(table, fmt::format("RENAME COLUMN {} TO {}", quoted(made), quoted(now))));
        std::string commands;
        if (moves)
            commands +=
                fmt::format("ADD CONSTRAINT {} PRIMARY KEY USING INDEX {}{}, ", quoted(primary->second.old.name),
                            quoted(primary->second.made), primary->second.old.timing);
        if (piece.column->not_null) commands += fmt::format("ALTER COLUMN {} DROP NOT NULL, ", quoted(old));
        if (!piece.fallback.empty())
            commands += fmt::format("ALTER COLUMN {} DROP DEFAULT, ALTER COLUMN {} SET DEFAULT ({})::pg_catalog.text, ",
                                    quoted(old), quoted(now), piece.fallback);
        if (!commands.empty()) forward(action, table, alter(table, commands.substr(0, commands.size() - 2)));
        for (const std::string &statement : trigger(piece.after))
            forward(action, table, statement);

        if (moves) backward(action, table, alter(table, "DROP CONSTRAINT " + quoted(primary->second.old.name)));
        backward(action, table, alter(table, fmt::format("RENAME COLUMN {} TO {}", quoted(now), quoted(made))));
        backward(action, table, alter(table, fmt::format("RENAME COLUMN {} TO {}", quoted(old), quoted(now))));
        if (piece.column->not_null) {
            backward(action, table, alter(table, fmt::format("ALTER COLUMN {} SET NOT NULL", quoted(now))));
            backward(action, table, alter(table, "DROP CONSTRAINT " + quoted(piece.check)), {}, piece.check);
        }
        if (moves) {
            backward(action, table,
                     alter(table, fmt::format("ADD CONSTRAINT {} PRIMARY KEY USING INDEX {}{}",
                                              quoted(primary->second.old.name), quoted(primary->second.back),
                                              primary->second.old.timing)));
            comment_key(action, table, primary->second.old, true);
        }
        if (!piece.fallback.empty())
            backward(action, table,
                     alter(table, fmt::format("ALTER COLUMN {} DROP DEFAULT, ALTER COLUMN {} SET DEFAULT {}",
                                              quoted(made), quoted(now), piece.fallback)));
        for (const std::string &statement : trigger(piece.before))
            backward(action, table, statement);
    }
    // whoever looks the id up by its old name in a function of its own still has to be told by hand: see docs/rekey.md
    for (const Part &piece : parts) {
        const std::string comment = comment_of(*piece.table, *piece.column);
        const auto primary = primaries.find(piece.table->oid);
        if (comment.empty() && primary == primaries.end()) continue;
        RekeyAction &words = ddl(*piece.table);
        if (!comment.empty())
            forward(words, *piece.table,
                    fmt::format("COMMENT ON COLUMN {}.{} IS {}", piece.table->sql(), quoted(piece.column->name),
                                literal_comment(comment)));
        if (primary != primaries.end()) comment_key(words, *piece.table, primary->second.old, false);
        if (words.forward.empty()) list_.actions.pop_back();
    }

    for (const Moved &key : keys)
        add_key(key, true);
    for (const Moved &key : keys)
        drop_key(key, true);
    for (const auto &[oid, primary] : primaries) {
        RekeyNames names;
        for (const auto &[number, name] : renamed_[oid])
            names[number] = old_name(tables_[oid].at(number).name);
        index(tables_[oid], primary.back, index_over(tables_[oid], primary.old, primary.back, names, true), true);
    }
    for (const Part &piece : parts) {
        if (piece.check.empty()) continue;
        const Table &table = *piece.table;
        validate(table, piece.check, true);
        RekeyAction &check = ddl(table);
        forward(check, table, alter(table, "DROP CONSTRAINT " + quoted(piece.check)), {}, piece.check);
        backward(check, table,
                 alter(table, fmt::format("ADD CONSTRAINT {} CHECK ({} IS DISTINCT FROM NULL) NOT VALID",
                                          quoted(piece.check), quoted(old_name(piece.column->name)))),
                 piece.check);
    }
    for (std::size_t i = parts.size(); i-- > 0;) { // backwards: the ids before what refers to them
        const Part &piece = parts[i];
        RekeyAction &old = add(RekeyKind::old_ids, *piece.table);
        old.back = true;
        old.name = old_name(piece.column->name);
        // any UPDATE makes the trigger fill what can be filled
        backward(old, *piece.table,
                 fmt::format("UPDATE ONLY {0} AS t SET {1} = t.{1} WHERE t.{1} IS NULL AND t.{2} IS NOT NULL",
                             piece.table->sql(), quoted(old.name), quoted(piece.column->name)));
        backward(
            old, *piece.table,
            fmt::format("SELECT t.{2}::pg_catalog.text, pg_catalog.count(*) OVER () FROM ONLY {0} AS t WHERE t.{1} "
                        "IS NULL AND t.{2} IS NOT NULL ORDER BY t.{2} LIMIT 10",
                        piece.table->sql(), quoted(old.name), quoted(piece.column->name)));
    }
    for (const Moved &key : keys) {
        const Table &from = tables_[key.old.from];
        RekeyAction &rename = ddl(from);
        const auto statement = [&](const std::string &one, const std::string &two) {
            return alter(from, fmt::format("RENAME CONSTRAINT {} TO {}", quoted(one), quoted(two)));
        };
        forward(rename, from, statement(key.temporary, key.name), {}, key.temporary);
        if (!key.old.comment.empty())
            forward(rename, from,
                    fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", quoted(key.name), from.sql(),
                                literal_comment(key.old.comment)));
        backward(rename, from, statement(key.name, key.temporary), key.temporary, key.name);
    }
    end_tail(at);
}

int RekeyBuilder::refuse_chain(const RekeyForeignKey &key) {
    const auto from = describe_table(key.from);
    const auto to = describe_table(key.to);
    throw Error(sqlstate::feature_not_supported,
                fmt::format("spec: {}: foreign key {} of {} can't follow", target_.step.path, quoted(key.name),
                            from ? from->label() : "?"),
                fmt::format("It refers to {}, whose own key refers to an id that is embedded.", to ? to->label() : "?"),
                "Drop it first, and create it again over the new columns after this step.");
}

// ---- indexes on columns that were renamed

void RekeyBuilder::replace_indexes() {
    for (const Tmp &tmp : replaced_) {
        const Table &table = tmp.table;
        const RekeyIndex &old = tmp.old;
        RekeyNames names;
        for (const auto &[number, name] : renamed_[table.oid])
            names[number] = old_name(table.at(number).name);
        const std::string back = free_name(table, table.at(old.columns[0]).name, "tenantmig_back");
        RekeyAction &action = ddl(table);
        const std::string name = quoted(old.name);
        const auto rename = [&](const std::string &one, const std::string &two) {
            if (old.constraint)
                return alter(table, fmt::format("RENAME CONSTRAINT {} TO {}", quoted(one), quoted(two)));
            return fmt::format("ALTER INDEX {} RENAME TO {}", qualified(table.schema, one), quoted(two));
        };
        std::vector<std::string> words;
        if (!old.comment.empty())
            words.push_back(old.constraint ? fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", name, table.sql(),
                                                         literal_comment(old.comment))
                                           : fmt::format("COMMENT ON INDEX {} IS {}", qualified(table.schema, old.name),
                                                         literal_comment(old.comment)));
        if (old.clustered) words.push_back(alter(table, "CLUSTER ON " + name));
        forward(action, table,
                old.constraint ? alter(table, "DROP CONSTRAINT " + name)
                               : "DROP INDEX " + qualified(table.schema, old.name));
        forward(action, table, rename(tmp.name, old.name));
        backward(action, table, rename(old.name, tmp.name));
        backward(action, table,
                 old.constraint ? alter(table, fmt::format("ADD CONSTRAINT {} UNIQUE USING INDEX {}{}", name,
                                                           quoted(back), old.timing))
                                : rename(back, old.name));
        for (const std::string &statement : words) {
            forward(action, table, statement);
            backward(action, table, statement);
        }
        list_.actions.back().tail = 1;
        index(table, back, index_over(table, old, back, names, true), true);
    }
}

} // namespace tenantmig

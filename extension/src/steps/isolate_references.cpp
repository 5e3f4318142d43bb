// One foreign key that gives way to one over the tenant key as well, and comes back.
//
// The new one is added NOT VALID (from here on new rows obey it), validated, and counted by our own anti-join; then one
// short transaction drops the old one. On partitioned tables the partitions have the new ones first, which the table's
// own is attached to in that transaction: no row is read under its lock. Backwards the same, the other way round: what
// comes back has a name of its own until the other one has gone.
#include "core/undo_text.hpp"

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/isolate_keys_items.hpp"
#include "steps/unique_key.hpp"

namespace tenantmig {

namespace {
constexpr int most_rounds = 5; // partitions that were added meanwhile

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

std::string action(const char *event, char code, const std::vector<std::string> &cleared) {
    const char *word = code == 'r'   ? "RESTRICT"
                       : code == 'c' ? "CASCADE"
                       : code == 'n' ? "SET NULL"
                       : code == 'd' ? "SET DEFAULT"
                                     : "";
    if (!*word) return {};
    std::string text = fmt::format(" ON {} {}", event, word);
    if (!cleared.empty() && (code == 'n' || code == 'd')) text += fmt::format(" ({})", quoted_list(cleared));
    return text;
}

// FOREIGN KEY (…) REFERENCES … with all that follows, but NOT VALID.
std::string definition(const KeyItems &items, const ReferenceItem &item, const ForeignKeyShape &shape,
                       const Table &from, const Table &to) {
    return fmt::format("FOREIGN KEY ({}) REFERENCES {} ({}){}{}{}{}{}",
                       quoted_list(items.names_of(item.from, from, shape.columns)), to.sql(),
                       quoted_list(items.names_of(item.to, to, shape.targets)), shape.match == 'f' ? " MATCH FULL" : "",
                       action("UPDATE", shape.on_update, {}),
                       action("DELETE", shape.on_delete, items.names_of(item.from, from, shape.cleared)),
                       shape.deferrable ? " DEFERRABLE" : "", shape.deferred ? " INITIALLY DEFERRED" : "");
}

void comment_on(const Table &table, const std::string &name, const std::string &comment) {
    if (comment.empty()) return;
    change_as_owner(table, fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", quoted(name), table.sql(),
                                       core::sql_literal(comment)));
}

void rename(const Table &table, const std::string &from, const std::string &to) {
    if (from == to) return;
    change_as_owner(table,
                    fmt::format("ALTER TABLE {} RENAME CONSTRAINT {} TO {}", table.sql(), quoted(from), quoted(to)));
}

// PostgreSQL makes a constraint of its own, under a name that it chooses, for each partition of the table that is
// referred to. One that has the name which is needed gets another one.
void vacate(const Table &table, const std::string &name) {
    Rows rows =
        own_query("SELECT 1 FROM pg_constraint k JOIN pg_constraint p ON p.oid = k.conparentid WHERE k.conrelid "
                  "= $1 AND k.conname = $2 AND k.contype = 'f' AND p.conrelid = k.conrelid",
                  {oid_value(table.oid), text_value(name)});
    if (!rows.empty()) rename(table, name, choose_name({table}, "partition", "fkey", nullptr));
}

struct StandingPart {
    Table from;
    Oid to = InvalidOid;
    std::string now, wanted, comment;
};

// The constraints that hang below a foreign key which has come back, and what they were called.
std::vector<StandingPart> parts_below(const KeyItems &items, const ReferenceItem &item, Oid key) {
    Rows rows = own_query("WITH RECURSIVE part(oid) AS (SELECT oid FROM pg_constraint WHERE conparentid = $1 UNION "
                          "SELECT p.oid FROM part x JOIN pg_constraint p ON p.conparentid = x.oid) SELECT "
                          "k.conrelid::bigint, k.confrelid::bigint, k.conname FROM part x JOIN pg_constraint k ON "
                          "k.oid = x.oid ORDER BY 1, 2",
                          {oid_value(key)});
    std::vector<StandingPart> parts;
    for (std::size_t i = 0; i < rows.size(); i++) {
        StandingPart part;
        part.to = static_cast<Oid>(rows.bigint(i, 2));
        part.now = rows.text_or(i, 3);
        auto from = describe_table(static_cast<Oid>(rows.bigint(i, 1)));
        if (!from) continue;
        part.from = std::move(*from);
        for (const ForeignKeyPart &old : item.old_parts) {
            const auto old_from = items.find(old.from), old_to = items.find(old.to);
            if (!old_from || !old_to || old_from->oid != part.from.oid || old_to->oid != part.to) continue;
            part.wanted = old.name;
            part.comment = old.comment;
        }
        // of a partition that has come since
        if (part.wanted.empty()) part.wanted = part.now == item.back ? item.old.name : part.now;
        parts.push_back(std::move(part));
    }
    return parts;
}

// Of that shape between the two tables, under its name or another one that none of the items has.
std::optional<FoundConstraint> find_reference(const KeyItems &items, const ReferenceItem &item,
                                              const ForeignKeyShape &shape, const Table &from, const Table &to) {
    const std::vector<std::string> columns = items.names_of(item.from, from, shape.columns),
                                   targets = items.names_of(item.to, to, shape.targets);
    const auto fits = [&](const std::optional<FoundConstraint> &found) {
        return found && found->referenced == to.oid && found->columns == columns && found->targets == targets;
    };
    if (auto found = find_constraint(from, shape.name, 'f'); fits(found)) return found;
    std::vector<std::string> known;
    for (const ReferenceItem &other : items.references)
        known.insert(known.end(), {other.old.name, other.made.name, other.back});
    Rows rows = own_query("SELECT conname FROM pg_constraint WHERE conrelid = $1 AND confrelid = $2 AND contype = 'f' "
                          "AND conparentid = 0 AND conname <> ALL ($3) ORDER BY conname",
                          {oid_value(from.oid), oid_value(to.oid), text_array_value(known)});
    std::vector<std::string> names;
    for (std::size_t i = 0; i < rows.size(); i++)
        names.push_back(rows.text_or(i, 1));
    for (const std::string &name : names)
        if (auto found = find_constraint(from, name, 'f'); fits(found)) return found;
    return std::nullopt;
}

bool is_tree(const Table &table) {
    return table.kind == RELKIND_PARTITIONED_TABLE;
}
} // namespace

std::optional<FoundConstraint> find_constraint(const Table &table, const std::string &name, char type) {
    Rows rows = own_query(
        "SELECT k.oid::bigint, k.conindid::bigint, k.conparentid::bigint, k.confrelid::bigint, k.convalidated, (SELECT "
        "array_agg(a.attname::text ORDER BY n.place) FROM unnest(k.conkey) WITH ORDINALITY n(number, place) JOIN "
        "pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.number), (SELECT array_agg(a.attname::text ORDER "
        "BY n.place) FROM unnest(k.confkey) WITH ORDINALITY n(number, place) JOIN pg_attribute a ON a.attrelid = "
        "k.confrelid AND a.attnum = n.number) FROM pg_constraint k WHERE k.conrelid = $1 AND k.conname = $2 AND "
        "k.contype::text = $3 AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = k.conparentid AND p.conrelid = "
        "k.conrelid)",
        {oid_value(table.oid), text_value(name), text_value(std::string(1, type))});
    if (rows.empty()) return std::nullopt;
    FoundConstraint found;
    found.oid = static_cast<Oid>(rows.bigint(0, 1));
    found.index = static_cast<Oid>(rows.bigint(0, 2));
    found.parent = static_cast<Oid>(rows.bigint(0, 3));
    found.referenced = static_cast<Oid>(rows.bigint(0, 4));
    found.validated = rows.boolean(0, 5);
    if (!rows.is_null(0, 6)) found.columns = rows.text_array(0, 6);
    if (!rows.is_null(0, 7)) found.targets = rows.text_array(0, 7);
    found.name = name;
    return found;
}

bool name_taken(const Table &table, const std::string &name) {
    return !own_query("SELECT 1 FROM pg_constraint k WHERE k.conrelid = $1 AND k.conname = $2 AND NOT EXISTS (SELECT "
                      "FROM pg_constraint p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid)",
                      {oid_value(table.oid), text_value(name)})
                .empty();
}

std::int64_t KeyWorker::strong(const Table &relation, const std::vector<LockWish> &wishes,
                               const std::function<void()> &work) {
    const std::int64_t hold = context_.changer.strong(relation, wishes, work);
    longest_hold = std::max(longest_hold, hold);
    return hold;
}

KeyWorker::Ends KeyWorker::ends(const ReferenceItem &item) const {
    Ends found;
    found.from = items_.get(item.from);
    found.to = items_.get(item.to);
    found.tree = tree_of(found.from);
    found.leaves = lowest_of(found.from);
    found.partitioned = is_tree(found.from);
    return found;
}

// Adds what is to come, under a name of its own, and validates it. False: it was there, and valid, already.
bool KeyWorker::prepare(const ReferenceItem &item, Way way) {
    const ForeignKeyShape &shape = way == Way::up ? item.made : item.old;
    const std::string &name = way == Way::up ? item.made.name : item.back;
    Ends at;
    context_.changer.note(false, [&] { at = ends(item); });
    bool changed = false;
    for (const Table &leaf : at.leaves) {
        std::optional<FoundConstraint> found;
        std::string statement;
        context_.changer.note(false, [&] {
            found = find_constraint(leaf, name, 'f');
            statement = fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID", leaf.sql(),
                                    tenantmig::quoted(name), definition(items_, item, shape, at.from, at.to));
            if (found && (found->referenced != at.to.oid ||
                          found->columns != items_.names_of(item.from, at.from, shape.columns) ||
                          found->targets != items_.names_of(item.to, at.to, shape.targets)))
                throw Error(sqlstate::duplicate_object,
                            fmt::format("the name of foreign key {} is taken", tenantmig::quoted(name)),
                            fmt::format("{} has another one of that name.", leaf.label()),
                            "Rename or drop that, and call this again.");
        });
        if (!found) {
            strong(leaf, {{leaf.oid, ShareRowExclusiveLock, false}, {at.to.oid, ShareRowExclusiveLock, is_tree(at.to)}},
                   [&] {
                       vacate(leaf, name);
                       change_as_owner(leaf, statement);
                       TENANTMIG_FAULT("isolate_reference_adding");
                   });
            changed = true;
            TENANTMIG_FAULT("isolate_reference_added");
        }
        // one that was not valid comes back as it was; of a partitioned table there is no such
        if ((found && found->validated) || (!shape.validated && !at.partitioned)) continue;
        try {
            context_.changer.weak(leaf, [&] {
                change_as_owner(
                    leaf, fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", leaf.sql(), tenantmig::quoted(name)));
            });
        } catch (const PgError &error) {
            if (error.data()->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION) throw;
            throw Error(sqlstate::precheck_failed,
                        fmt::format("{}: rows of {} stand in the way of foreign key {}", context_.label(), leaf.label(),
                                    tenantmig::quoted(name)),
                        fmt::format("{}{}{}", error.what(), error.data()->detail ? ". " : "",
                                    error.data()->detail ? error.data()->detail : ""),
                        way == Way::up ? "Correct them, and call this again. tenantmig.isolation_criteria counts them."
                                       : "Correct them, and call tenantmig.down again.");
        }
        changed = true;
        TENANTMIG_FAULT("isolate_reference_validated");
    }
    return changed;
}

// Drops what an attempt has left under that name, where it stands by itself.
bool KeyWorker::remove(const ReferenceItem &item, const std::string &name) {
    Ends at;
    context_.changer.note(false, [&] { at = ends(item); });
    bool changed = false;
    for (const Table &table : at.tree) {
        std::optional<FoundConstraint> found;
        context_.changer.note(false, [&] { found = find_constraint(table, name, 'f'); });
        if (!found || OidIsValid(found->parent)) continue;
        strong(table,
               {{table.oid, AccessExclusiveLock, is_tree(table)}, {at.to.oid, AccessExclusiveLock, is_tree(at.to)}},
               [&] { drop_constraint(table, name); });
        changed = true;
        TENANTMIG_FAULT("isolate_reference_removed");
    }
    return changed;
}

void KeyWorker::require_no_crossing(const ReferenceItem &item) {
    CrossingRows found;
    Table from;
    context_.changer.note(false, [&] {
        from = items_.get(item.from);
        found = count_crossing(items_, item);
    });
    if (found.rows == 0) return;
    throw Error(sqlstate::precheck_failed,
                fmt::format("{}: {} row{} of {} refer{} across tenants, or to nothing", context_.label(), found.rows,
                            found.rows == 1 ? "" : "s", from.label(), found.rows == 1 ? "s" : ""),
                fmt::format("For example {}.", found.sample), found.query);
}

// Under the locks. What goes, goes; what comes takes its place.
void KeyWorker::put_in_place(const ReferenceItem &item, const Ends &at, Way way) {
    const ForeignKeyShape &gone = way == Way::up ? item.old : item.made;
    const ForeignKeyShape &comes = way == Way::up ? item.made : item.old;
    const std::string &prepared = way == Way::up ? item.made.name : item.back;
    if (const auto found = find_reference(items_, item, gone, at.from, at.to)) drop_constraint(at.from, found->name);
    if (at.partitioned) {
        vacate(at.from, comes.name);
        change_as_owner(at.from,
                        fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}", at.from.sql(), tenantmig::quoted(comes.name),
                                    definition(items_, item, comes, at.from, at.to)));
        for (const Table &leaf : at.leaves) {
            const auto found = find_constraint(leaf, prepared, 'f');
            if (found && OidIsValid(found->parent)) continue;
            throw Error(sqlstate::table_changed,
                        fmt::format("the foreign key of partition {} could not be attached", leaf.label()),
                        "It has changed meanwhile.", "Call this again.");
        }
    }
    if (way == Way::down) restore_names(item, at);
    comment_on(at.from, comes.name, comes.comment);
}

// The names may go round in a circle: so all of them are given up first.
void KeyWorker::restore_names(const ReferenceItem &item, const Ends &at) {
    const auto key = find_constraint(at.from, at.partitioned ? item.old.name : item.back, 'f');
    if (!key) return;
    std::vector<StandingPart> parts = parts_below(items_, item, key->oid);
    for (StandingPart &part : parts) {
        if (part.now == part.wanted) continue;
        const std::string between = choose_name({part.from}, "partition", "tenantmig", nullptr);
        rename(part.from, part.now, between);
        part.now = between;
    }
    if (!at.partitioned) {
        vacate(at.from, item.old.name);
        rename(at.from, item.back, item.old.name);
    }
    for (const StandingPart &part : parts) {
        std::string name = part.wanted;
        if (part.now != name) vacate(part.from, name);
        if (part.now != name && has_constraint(part.from.oid, name)) // somebody else's by now
            name = choose_name({part.from}, "partition", "fkey", nullptr);
        rename(part.from, part.now, name);
        comment_on(part.from, name, part.comment);
    }
}

// False: a partition has come meanwhile, which has nothing prepared; its rows would be read under the lock.
bool KeyWorker::replace(const ReferenceItem &item, Way way) {
    const std::string &prepared = way == Way::up ? item.made.name : item.back;
    Ends at;
    context_.changer.note(false, [&] { at = ends(item); });
    bool complete = true;
    strong(at.from,
           {{at.from.oid, AccessExclusiveLock, at.partitioned}, {at.to.oid, AccessExclusiveLock, is_tree(at.to)}}, [&] {
               const Ends now = ends(item);
               complete = true;
               for (const Table &leaf : now.leaves) {
                   const auto found = find_constraint(leaf, prepared, 'f');
                   complete = complete && found && (found->validated || (way == Way::down && !item.old.validated));
               }
               if (!complete) return;
               put_in_place(item, now, way);
               TENANTMIG_FAULT("isolate_reference_replacing");
           });
    if (complete) TENANTMIG_FAULT("isolate_reference_replaced");
    return complete;
}

bool KeyWorker::up(const ReferenceItem &item) {
    bool old = false, made = false;
    context_.changer.note(false, [&] {
        const Ends at = ends(item);
        old = find_reference(items_, item, item.old, at.from, at.to).has_value();
        const auto found = find_reference(items_, item, item.made, at.from, at.to);
        made = found && found->validated;
    });
    const bool changed = remove(item, item.back); // of a way back that was not gone to its end
    if (made && !old) return changed;
    for (int round = 1; round <= most_rounds; round++) {
        (void)prepare(item, Way::up);
        require_no_crossing(item);
        if (replace(item, Way::up)) return true;
    }
    throw Error(sqlstate::table_changed,
                fmt::format("foreign key {} can't be completed", describe_reference(items_, item)),
                "Partitions were added again and again meanwhile.", "CALL tenantmig.up again.");
}

bool KeyWorker::down(const ReferenceItem &item) {
    bool gone = false, old = false;
    context_.changer.note(false, [&] {
        const auto from = items_.find(item.from), to = items_.find(item.to);
        gone = !from || !to;
        if (gone) return;
        old = find_reference(items_, item, item.old, *from, *to).has_value();
    });
    if (gone) {
        notice(fmt::format("foreign key {} of {}: a table has gone", tenantmig::quoted(item.old.name),
                           qualified(item.from.schema, item.from.name)));
        return false;
    }
    if (old) {
        const bool made = remove(item, item.made.name), back = remove(item, item.back);
        return made || back;
    }
    for (int round = 1; round <= most_rounds; round++) {
        (void)prepare(item, Way::down);
        if (replace(item, Way::down)) return true;
    }
    throw Error(sqlstate::table_changed,
                fmt::format("foreign key {} can't be completed", describe_reference(items_, item)),
                "Partitions were added again and again meanwhile.", "CALL tenantmig.down again.");
}

std::string describe_reference(const KeyItems &items, const ReferenceItem &item) {
    const auto from = items.find(item.from);
    return fmt::format("{}.{}", from ? from->label() : qualified(item.from.schema, item.from.name),
                       quoted(item.made.name));
}

std::string defect_of(const KeyItems &items, const ReferenceItem &item) {
    const auto from = items.find(item.from), to = items.find(item.to);
    if (!from || !to)
        return fmt::format("table {} does not exist any more", from ? qualified(item.to.schema, item.to.name)
                                                                    : qualified(item.from.schema, item.from.name));
    const auto found = find_reference(items, item, item.made, *from, *to);
    if (!found) return fmt::format("foreign key {} is gone", describe_reference(items, item));
    if (!found->validated) return fmt::format("foreign key {} is not validated", describe_reference(items, item));
    Rows rows = own_query("WITH RECURSIVE part(oid) AS (SELECT $1 UNION SELECT p.oid FROM part x JOIN pg_constraint p "
                          "ON p.conparentid = x.oid) SELECT t.tgrelid::regclass::text FROM part x JOIN pg_trigger t ON "
                          "t.tgconstraint = x.oid WHERE t.tgenabled NOT IN ('O', 'A') LIMIT 1",
                          {oid_value(found->oid)});
    if (!rows.empty())
        return fmt::format("triggers of foreign key {} on {} are disabled", describe_reference(items, item),
                           rows.text_or(0, 1));
    if (find_reference(items, item, item.old, *from, *to))
        return fmt::format("foreign key {} stands beside it again", quoted(item.old.name));
    return {};
}

} // namespace tenantmig

// Foreign keys. One that differs from what is asked for only in what it does (ON DELETE, NOT VALID) gives way to a new
// one, which takes over its name in the transaction that drops it; taken back, the old one comes again in the same way.
#include "core/spec.hpp"

#include "bridge/fault.hpp"
#include "steps/constraint_kinds.hpp"

namespace tenantmig {

namespace {
struct KeyFacts {
    Oid oid = InvalidOid, parent = InvalidOid;
    std::string name, options, comment;
    bool validated = true;
    char on_update = 'a', on_delete = 'a', match = 's';
    bool deferrable = false, deferred = false;
};

struct Reference {
    Table table;
    std::string column;
};

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

std::string body(const std::string &column, const Reference &to) {
    return fmt::format("FOREIGN KEY ({}) REFERENCES {}({})", quoted(column), qualified(to.table.schema, to.table.name),
                       quoted(to.column));
}

std::string action(const char *event, char code) {
    const char *word = code == 'r'   ? "RESTRICT"
                       : code == 'c' ? "CASCADE"
                       : code == 'n' ? "SET NULL"
                       : code == 'd' ? "SET DEFAULT"
                                     : "";
    return *word ? fmt::format(" ON {} {}", event, word) : std::string();
}

std::string options_of(const KeyFacts &facts) {
    return fmt::format("{}{}{}{}{}", facts.match == 'f' ? " MATCH FULL" : "", action("UPDATE", facts.on_update),
                       action("DELETE", facts.on_delete), facts.deferrable ? " DEFERRABLE" : "",
                       facts.deferred ? " INITIALLY DEFERRED" : "");
}

// The foreign keys over the column alone to that column, by name.
std::vector<KeyFacts> keys_on(const Table &table, const std::string &column, const Reference &to) {
    Rows rows = own_query(
        "SELECT c.oid::bigint, c.conparentid::bigint, c.conname, c.confupdtype::text, c.confdeltype::text, "
        "c.confmatchtype::text, c.condeferrable, c.condeferred, c.convalidated, coalesce(obj_description(c.oid, "
        "'pg_constraint'), ''), pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = "
        "c.conrelid AND a.attname = $2 JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attname = $4 WHERE "
        "c.contype = 'f' AND c.conrelid = $1 AND c.confrelid = $3 AND c.conkey = ARRAY[a.attnum] AND c.confkey = "
        "ARRAY[b.attnum] ORDER BY c.conname",
        {oid_value(table.oid), text_value(column), oid_value(to.table.oid), text_value(to.column)});
    std::vector<KeyFacts> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        KeyFacts facts;
        facts.oid = static_cast<Oid>(rows.bigint(i, 1));
        facts.parent = static_cast<Oid>(rows.bigint(i, 2));
        facts.name = rows.text_or(i, 3);
        facts.on_update = rows.text_or(i, 4, "a").front();
        facts.on_delete = rows.text_or(i, 5, "a").front();
        facts.match = rows.text_or(i, 6, "s").front();
        facts.deferrable = rows.boolean(i, 7);
        facts.deferred = rows.boolean(i, 8);
        facts.validated = rows.boolean(i, 9);
        facts.comment = rows.text_or(i, 10);
        const std::string definition = rows.text_or(i, 11), head = body(column, to);
        constexpr std::string_view not_valid = " NOT VALID";
        facts.options = definition.starts_with(head) ? definition.substr(head.size()) : options_of(facts);
        if (facts.options.ends_with(not_valid)) facts.options.resize(facts.options.size() - not_valid.size());
        result.push_back(std::move(facts));
    }
    return result;
}

FormerKey former(const Table &table, const KeyFacts &facts) {
    return {site_of(table), facts.name, facts.options, facts.validated, facts.comment};
}

char wanted_action(core::OnDelete action) {
    switch (action) {
    case core::OnDelete::restricted:
        return 'r';
    case core::OnDelete::cascade:
        return 'c';
    case core::OnDelete::set_null:
        return 'n';
    case core::OnDelete::unspecified:
    case core::OnDelete::no_action:
        return 'a';
    }
    return 'a';
}

Reference reference_of(const ConstraintTarget &target) {
    return {*target.referenced, target.referenced_column.name};
}

// What the row's definition has after its head. Names may have changed since, not what follows them.
std::string wanted_options(const ConstraintPiece &piece) {
    return piece.row.definition.substr(body(piece.target->column.name, reference_of(*piece.target)).size());
}

void add_key(EnforcementRecord &row, const Table &table, const std::string &name, const std::string &column,
             const Reference &to, const std::string &options, ConstraintChanger &changer) {
    const Helper helper = {"constraint", site_of(table), name};
    const std::int64_t hold = changer.strong(
        table, {{table.oid, ShareRowExclusiveLock, false}, {to.table.oid, ShareRowExclusiveLock, false}}, [&] {
            change_as_owner(table, fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}{} NOT VALID", table.sql(),
                                               quoted(name), body(column, to), options));
            add_helper(row, helper);
            TENANTMIG_FAULT("enforce_adding");
        });
    row.longest_hold = std::max(row.longest_hold, hold);
    row.helpers.push_back(helper);
    TENANTMIG_FAULT("enforce_added");
}

void rename(const Table &table, const std::string &from, const std::string &to) {
    if (from == to) return;
    change_as_owner(table,
                    fmt::format("ALTER TABLE {} RENAME CONSTRAINT {} TO {}", table.sql(), quoted(from), quoted(to)));
}

void comment_on(const Table &table, const std::string &name, const std::string &comment) {
    if (comment.empty()) return;
    RunAs owner(table.owner, Purpose::read);
    const char *text = comment.c_str();
    const char *literal = pg_call([text] { return quote_literal_cstr(text); });
    run_query(fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", quoted(name), table.sql(), literal));
}

const Helper *key_on(const EnforcementRecord &row, const Table &table) {
    for (const Helper &helper : row.helpers)
        if (helper.kind == "constraint" && helper.site.schema == table.schema && helper.site.name == table.name)
            return &helper;
    return nullptr;
}

// In a partitioned table: its foreign key, to which those of the partitions are attached, which have been validated; no
// row is read. Then their names.
void add_over_partitions(const EnforcementRecord &row, const Table &table, const std::string &name,
                         const std::string &column, const Reference &to, const std::string &options,
                         const std::vector<std::pair<Site, std::string>> &names) {
    change_as_owner(table, fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}{}", table.sql(), quoted(name),
                                       body(column, to), options));
    for (const Helper &helper : row.helpers) {
        auto leaf = find_site(helper.site, row.database);
        if (!leaf) continue;
        Rows attached = own_query("SELECT 1 FROM pg_constraint WHERE conrelid = $1 AND conname = $2 AND conparentid <> "
                                  "0",
                                  {oid_value(leaf->oid), text_value(helper.name)});
        if (attached.empty())
            throw Error(sqlstate::table_changed,
                        fmt::format("the foreign key of partition {} could not be attached", leaf->label()),
                        "It has changed meanwhile.", "Try again.");
    }
    for (const auto &[site, wanted] : names) {
        auto partition = find_site(site, row.database);
        if (!partition) continue;
        for (const KeyFacts &facts : keys_on(*partition, column, to))
            if (OidIsValid(facts.parent)) rename(*partition, facts.name, wanted);
    }
}

std::vector<LockWish> publish_locks(const Table &table, const Reference &to) {
    return {{table.oid, AccessExclusiveLock, table.kind == RELKIND_PARTITIONED_TABLE},
            {to.table.oid, AccessExclusiveLock, to.table.kind == RELKIND_PARTITIONED_TABLE}};
}

// Where the foreign key of the row leads today.
std::optional<Reference> current_reference(const EnforcementRecord &row, const Table &table) {
    Rows rows =
        own_query("SELECT c.confrelid::bigint, a.attname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = "
                  "c.confrelid AND a.attnum = c.confkey[1] WHERE c.conrelid = $1 AND c.conname = $2 AND "
                  "c.contype = 'f'",
                  {oid_value(table.oid), text_value(row.constraint_name)});
    if (rows.empty()) return std::nullopt;
    auto found = describe_table(static_cast<Oid>(rows.bigint(0, 1)));
    if (!found) return std::nullopt;
    return Reference{std::move(*found), rows.text_or(0, 2)};
}
} // namespace

namespace foreign_key_piece {

void examine(ConstraintPiece &piece, std::set<std::string> &taken) {
    const ConstraintTarget &target = *piece.target;
    EnforcementRecord &row = piece.row;
    const Reference to = reference_of(target);
    const bool any_action = target.step.on_delete == core::OnDelete::unspecified;
    const char wanted = wanted_action(target.step.on_delete);
    const std::vector<KeyFacts> keys = keys_on(target.table, target.column.name, to);
    const std::string head = body(target.column.name, to);
    for (const KeyFacts &facts : keys) {
        if (!facts.validated || (!any_action && facts.on_delete != wanted)) continue;
        row.before.kept = true;
        row.constraint_name = facts.name;
        row.definition = head + facts.options;
        return;
    }
    KeyFacts made;
    made.on_delete = wanted;
    if (!keys.empty()) {
        const KeyFacts &old = keys.front();
        row.before.replaced = {former(target.table, old)};
        row.constraint_name = old.name;
        made = old;
        if (!any_action) made.on_delete = wanted;
        for (const ConstraintPartition &partition : target.partitions)
            for (const KeyFacts &child : keys_on(partition.table, target.column.name, to))
                if (OidIsValid(child.parent)) row.before.children.emplace_back(site_of(partition.table), child.name);
    } else {
        row.constraint_name = choose_name(tree_of(target.table), target.column.name, "fkey", &taken);
    }
    // what the old one said, word for word, where only NOT VALID is to go
    const std::string options =
        !keys.empty() && made.on_delete == keys.front().on_delete ? keys.front().options : options_of(made);
    row.definition = head + options;
    for (const ConstraintPartition &partition : target.partitions)
        for (const KeyFacts &own : keys_on(partition.table, target.column.name, to)) {
            if (OidIsValid(own.parent) || !own.validated || own.options != options) continue;
            if (!partition.leaf)
                throw Error(
                    sqlstate::feature_not_supported,
                    fmt::format("partition {} has the same foreign key already", partition.table.label()),
                    "It is partitioned itself; its foreign key would become part of the new one.",
                    fmt::format("ALTER TABLE {} DROP CONSTRAINT {} first.", partition.table.label(), quoted(own.name)));
            row.before.adopted.push_back(former(partition.table, own));
            break;
        }
}

void prepare(ConstraintPiece &piece, ConstraintChanger &changer) {
    const ConstraintTarget &target = *piece.target;
    EnforcementRecord &row = piece.row;
    const std::string options = wanted_options(piece);
    for (const Table &leaf : leaves(target)) {
        const bool adopted = std::any_of(row.before.adopted.begin(), row.before.adopted.end(),
                                         [&](const FormerKey &key) { return key.site.oid == leaf.oid; });
        if (adopted) continue;
        std::string name = row.constraint_name;
        if (!row.before.replaced.empty())
            changer.note(false, [&] { name = choose_name({leaf}, target.column.name, "tenantmig", nullptr); });
        add_key(row, leaf, name, target.column.name, reference_of(target), options, changer);
    }
}

void publish(ConstraintPiece &piece, ConstraintChanger &changer) {
    const ConstraintTarget &target = *piece.target;
    const Table &table = target.table;
    EnforcementRecord &row = piece.row;
    if (!target.partitioned() && row.before.replaced.empty()) {
        changer.note(false, [&] {
            published(piece);
            TENANTMIG_FAULT("enforce_publishing");
        });
        return;
    }
    const Reference to = reference_of(target);
    const std::int64_t hold = changer.strong(table, publish_locks(table, to), [&] {
        if (target.partitioned()) require_same_partitions(piece);
        if (!row.before.replaced.empty()) drop_constraint(table, row.constraint_name);
        if (target.partitioned())
            add_over_partitions(row, table, row.constraint_name, target.column.name, to, wanted_options(piece),
                                row.before.children);
        else if (const Helper *made = key_on(row, table))
            rename(table, made->name, row.constraint_name);
        if (!row.before.replaced.empty()) comment_on(table, row.constraint_name, row.before.replaced[0].comment);
        published(piece);
        TENANTMIG_FAULT("enforce_publishing");
    });
    row.longest_hold = std::max(row.longest_hold, hold);
}

// What is to stand there again is made beside the one that goes.
void prepare_withdrawal(EnforcementRecord &row, ConstraintChanger &changer) {
    struct Job {
        Table table;
        std::string name, options;
        bool validated;
    };
    std::vector<Job> jobs;
    std::optional<Reference> to;
    std::string column;
    changer.note(false, [&] {
        const Table table = table_of(row);
        to = current_reference(row, table);
        column = column_of(row, table);
        auto add = [&](const Table &at, const FormerKey &key) {
            jobs.push_back({at, choose_name({at}, column, "tenantmig", nullptr), key.options, key.validated});
        };
        for (const FormerKey &key : row.before.replaced)
            for (const Table &at : tree_of(table))
                if (at.kind != RELKIND_PARTITIONED_TABLE) add(at, key);
        for (const FormerKey &key : row.before.adopted)
            if (auto at = find_site(key.site, row.database); at && row.before.replaced.empty()) add(*at, key);
    });
    if (!to) return;
    for (const Job &job : jobs) {
        add_key(row, job.table, job.name, column, *to, job.options, changer);
        TENANTMIG_FAULT("relax_prepared");
        if (!job.validated) continue;
        changer.weak(job.table, [&] {
            change_as_owner(job.table,
                            fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", job.table.sql(), quoted(job.name)));
        });
        TENANTMIG_FAULT("relax_validated");
    }
}

std::int64_t withdraw(EnforcementRecord &row, ConstraintChanger &changer, const std::function<void()> &note) {
    Table table;
    std::optional<Reference> to;
    changer.note(false, [&] {
        table = table_of(row);
        to = current_reference(row, table);
    });
    if (!to) {
        changer.note(false, note);
        return 0;
    }
    return changer.strong(table, publish_locks(table, *to), [&] {
        const std::string column = column_of(row, table);
        drop_constraint(table, row.constraint_name);
        if (!row.before.replaced.empty()) {
            const FormerKey &old = row.before.replaced.front();
            if (table.kind == RELKIND_PARTITIONED_TABLE)
                add_over_partitions(row, table, old.name, column, *to, old.options, row.before.children);
            else if (const Helper *made = key_on(row, table))
                rename(table, made->name, old.name);
            comment_on(table, old.name, old.comment);
        } else {
            for (const FormerKey &key : row.before.adopted) {
                auto at = find_site(key.site, row.database);
                const Helper *made = at ? key_on(row, *at) : nullptr;
                if (!made) continue;
                rename(*at, made->name, key.name);
                comment_on(*at, key.name, key.comment);
            }
        }
        note();
    });
}

} // namespace foreign_key_piece

} // namespace tenantmig

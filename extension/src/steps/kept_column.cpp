#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "bridge/catalogue_write.hpp"
#include "bridge/fault.hpp"
#include "bridge/object_name.hpp"
#include "bridge/results.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/lent_right.hpp"
#include "engine/target.hpp"
#include "steps/kept_column.hpp"
#include "steps/step_column.hpp"

namespace tenantmig {

namespace {
// On the way back of add_column a migration of which nothing is in force has nothing to lose.
StoredOnly stored_only_of(std::string_view kind) {
    return kind == "add_column" ? StoredOnly::is_passed_over : StoredOnly::counts;
}

constexpr std::int64_t copy_target = 200 * 1000;          // microseconds of a batch, which locks no row of users
constexpr std::int64_t progress_every = 10 * 1000 * 1000; // microseconds
constexpr int signature_attempts = 5;

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

// tenantmig_TABLE_COLUMN_kept, cut to fit, with a number if that is taken.
std::string free_name(const Table &table, const std::string &column, const std::string &label) {
    for (int number = 0;; number++) {
        const std::string name =
            object_name("tenantmig_" + table.name, column, number == 0 ? label : label + std::to_string(number));
        if (own_query("SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND "
                      "c.relname = $2",
                      {text_value(table.schema), text_value(name)})
                .empty())
            return name;
    }
}

// Nobody may read there what he may not read in the table itself.
void seal(const std::string &name, const Table &table) {
    Rows grantees = own_query("SELECT DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE "
                              "quote_ident(pg_get_userbyid(g.grantee)) END FROM pg_class c, aclexplode(c.relacl) g "
                              "WHERE c.oid = to_regclass($1) AND g.grantee <> c.relowner",
                              {text_value(name)});
    std::vector<std::string> others;
    for (std::size_t i = 0; i < grantees.size(); i++)
        others.push_back(grantees.text_or(i, 1));
    for (const std::string &other : others)
        change_as_owner(table, fmt::format("REVOKE ALL ON {} FROM {} CASCADE", name, other));
    const bool forced =
        own_query("SELECT relforcerowsecurity FROM pg_class WHERE oid = $1", {oid_value(table.oid)}).boolean(0, 1);
    if (forced)
        change_as_owner(table, fmt::format("ALTER TABLE {} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", name));
}

// CREATE TABLE AS takes over types, lengths and collations.
void make_tables(const KeptColumn &kept, const Table &table) {
    std::string keys, source;
    for (std::size_t i = 0; i < kept.key.size(); i++) {
        keys += fmt::format("{}k{}", i ? ", " : "", i + 1);
        source += fmt::format("{}t.{} AS k{}", i ? ", " : "", quoted(kept.key[i]), i + 1);
    }
    const std::string value = quoted(kept.column);
    change_as_owner(table, fmt::format("CREATE TABLE {} AS SELECT {}, t.{} AS value FROM ONLY {} AS t WITH NO DATA",
                                       kept.keep_sql(), source, value, table.sql()));
    change_as_owner(table, fmt::format("ALTER TABLE {} ADD PRIMARY KEY ({})", kept.keep_sql(), keys));
    change_as_owner(table, fmt::format("CREATE TABLE {} AS SELECT 0::pg_catalog.int8 AS seq, "
                                       "'W'::pg_catalog.\"char\" AS op, t.{} AS value, {} FROM ONLY {} AS t WITH NO "
                                       "DATA",
                                       kept.journal_sql(), value, source, table.sql()));
    change_as_owner(table, fmt::format("COMMENT ON TABLE {} IS {}", kept.keep_sql(),
                                       core::sql_literal(fmt::format("values of column {}, kept by tenantmig for the "
                                                                     "way back",
                                                                     kept.label()))));
    change_as_owner(table, fmt::format("COMMENT ON TABLE {} IS {}", kept.journal_sql(),
                                       core::sql_literal(fmt::format("what is written to column {} while tenantmig "
                                                                     "copies it",
                                                                     kept.label()))));
    seal(kept.keep_sql(), table);
    seal(kept.journal_sql(), table);
}

// The owner needs EXECUTE on the trigger function at the moment when the trigger is made, and never again.
void make_triggers(const KeptColumn &kept, const Table &table) {
    std::string arguments =
        fmt::format("{}, {}, '{}'", core::sql_literal(kept.keep_schema), core::sql_literal(kept.journal), kept.number);
    for (const std::string &name : kept.key)
        arguments += fmt::format(", '{}'", table.find(name)->number);
    lock_guards();
    LentRight right(table.owner, "tenantmig.keep_column()");
    const std::string rows = quoted(kept.trigger_name("rows")), all = quoted(kept.trigger_name("all"));
    change_as_owner(table, fmt::format("CREATE TRIGGER {} AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW EXECUTE "
                                       "FUNCTION tenantmig.keep_column({})",
                                       rows, table.sql(), arguments));
    change_as_owner(table, fmt::format("CREATE TRIGGER {} AFTER TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION "
                                       "tenantmig.keep_column({})",
                                       all, table.sql(), arguments));
    change_as_owner(table, fmt::format("ALTER TABLE {0} ENABLE ALWAYS TRIGGER {1}, ENABLE ALWAYS TRIGGER {2}",
                                       table.sql(), rows, all));
    right.take_back();
}

void drop_triggers(const KeptColumn &kept, const Table &table) {
    for (const char *what : {"rows", "all"})
        change_as_owner(table,
                        fmt::format("DROP TRIGGER IF EXISTS {} ON {}", quoted(kept.trigger_name(what)), table.sql()));
}

bool table_stands(const std::string &schema, const std::string &name) {
    return !own_query("SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND "
                      "c.relname = $2 AND c.relkind = 'r'",
                      {text_value(schema), text_value(name)})
                .empty();
}

// Whatever of the catalogue belongs to the column changes this text; cheap enough to be compared under the strong lock.
std::string signature(const Table &table, AttrNumber column) {
    return own_query(
               "SELECT concat_ws(' ', (SELECT string_agg(a.xmin::text || a.attnum, ',' ORDER BY a.attnum) FROM "
               "pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0), (SELECT c.xmin FROM pg_class c WHERE "
               "c.oid = $1), (SELECT string_agg(k.oid::text || k.xmin, ',' ORDER BY k.oid) FROM pg_constraint k "
               "WHERE k.conrelid = $1 OR k.confrelid = $1), (SELECT string_agg(i.indexrelid::text || i.xmin, ',' "
               "ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = $1), (SELECT string_agg(d.classid::text "
               "|| d.objid, ',' ORDER BY d.classid, d.objid, d.objsubid) FROM pg_depend d WHERE d.refclassid = "
               "'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = $2), (SELECT string_agg(t.oid::text "
               "|| t.xmin, ',' ORDER BY t.oid) FROM pg_trigger t WHERE t.tgrelid = $1))",
               {oid_value(table.oid), Value{INT2OID, Int16GetDatum(column), false}})
        .text_or(0, 1);
}

// The values that are copied already are worth nothing: see copying_state().
struct BeginAnew {};

const Column &column_of(const KeptColumn &kept, const Table &table) {
    const Column *column =
        kept.database == MyDatabaseId && table.oid == kept.site.oid ? table.find(kept.number) : table.find(kept.column);
    if (!column)
        throw Error(sqlstate::undefined_column, fmt::format("column {} does not exist any more", kept.label()),
                    "It was about to be dropped, and its values to be kept.",
                    "CALL tenantmig.down of this step forgets what was begun.");
    return *column;
}

[[noreturn]] void throw_dependents(const Table &table, const Column &column, const std::vector<std::string> &list) {
    std::string detail;
    for (const std::string &item : list)
        detail += (detail.empty() ? "" : "\n") + item;
    throw Error(
        sqlstate::dependent_objects,
        fmt::format("column {}.{} can't be dropped: other objects depend on it", table.label(), quoted(column.name)),
        detail,
        "Drop or change these first; of a migration that names it, make this a later step of that one. Nothing is ever "
        "dropped with it that can't be brought back.");
}

// What nobody has written is not kept on the way back of add_column. An SQL condition, with its AND.
std::string worth_keeping(const KeptColumn &kept, const StepState &state, const std::string &column) {
    if (kept.kind != "add_column") return {};
    const std::string empty = unwritten_value(state);
    std::string text = fmt::format(" AND {} IS NOT NULL", column);
    if (!empty.empty())
        text += fmt::format(" AND {}::pg_catalog.text OPERATOR(pg_catalog.<>) ({})::pg_catalog.text", column, empty);
    return text;
}

class Dropping {
public:
    Dropping(StepContext &context, KeptColumn kept) : context_(context), kept_(std::move(kept)) {}

    void run() {
        if (kept_.state == "preparing") prepare();
        if (kept_.state == "filling") {
            if (kept_.has_values()) fill();
            drop();
        }
        if (kept_.state == "dropped") work_in_journal(context_, kept_);
    }

private:
    StepContext &context_;
    KeptColumn kept_;

    void prepare() {
        Table table;
        if (kept_.has_values()) {
            context_.changer.note(false, [&] { table = place_of(kept_).table; });
            (void)context_.changer.strong(table, {{table.oid, ShareRowExclusiveLock}}, [&] {
                KeptColumn next = kept_;
                next.bound = block_count(table.oid); // whatever is written from here on is in the journal
                next.state = "filling";
                make_triggers(kept_, table);
                next.shape = copying_state(kept_, table, column_of(kept_, table));
                save_kept(next);
                context_.save("copying", context_.state.detail);
            });
            kept_.bound = -1;
        } else {
            context_.changer.note(true, [&] {
                KeptColumn next = kept_;
                next.state = "filling";
                save_kept(next);
            });
        }
        reload();
        TENANTMIG_FAULT("column_prepared");
    }

    void reload() {
        context_.changer.note(false, [&] { kept_ = *find_kept(kept_.migration_id, kept_.step); });
    }

    void fill() {
        std::string source, keys;
        for (std::size_t i = 0; i < kept_.key.size(); i++) {
            keys += fmt::format("k{}, ", i + 1);
            source += fmt::format("t.{}, ", quoted(kept_.key[i]));
        }
        const std::string label = context_.label();
        TimestampTz told = GetCurrentTimestamp();
        walk_blocks(kept_.position, kept_.bound, copy_target, [&](std::int64_t from, std::int64_t to) {
            bool moved = false;
            context_.changer.note(false, [&] {
                const KeptPlace place = place_of(kept_);
                const Column &column = column_of(kept_, place.table);
                {
                    RunAs owner(place.table.owner, Purpose::read);
                    run_query(
                        fmt::format("INSERT INTO {} ({}value) SELECT {}t.{} FROM ONLY {} AS t WHERE {}{} ON CONFLICT "
                                    "DO NOTHING",
                                    kept_.keep_sql(), keys, source, quoted(column.name), place.table.sql(),
                                    block_condition("t", from, to),
                                    worth_keeping(kept_, context_.state, "t." + quoted(column.name))));
                }
                // no rewrite from here to the commit: we hold a lock on the table
                moved = is_moved(place.table);
                if (moved) return;
                kept_.position = to;
                save_kept(kept_);
            });
            if (moved) throw BeginAnew();
            if (GetCurrentTimestamp() - told > progress_every) {
                told = GetCurrentTimestamp();
                notice(fmt::format("{}: {} % of the values of {} are copied", label, 100 * to / kept_.bound,
                                   kept_.label()));
            }
            TENANTMIG_FAULT("column_filling");
        });
        TENANTMIG_FAULT("column_filled");
    }

    void drop() {
        for (int attempt = 1;; attempt++) {
            Table table;
            std::string shape, before;
            std::vector<LockWish> wishes;
            context_.changer.note(false, [&] {
                table = place_of(kept_).table;
                const Column column = column_of(kept_, table);
                check_column_can_go(table, column, context_.migration, stored_only_of(kept_.kind));
                before = signature(table, column.number);
                shape = read_shape(table, column);
                wishes = {{table.oid}};
                for (const auto &keys : {foreign_keys_from(table.oid), foreign_keys_to(table.oid)})
                    for (const ForeignKey &key : keys)
                        if (const Oid other = key.from == table.oid ? key.to : key.from; other != table.oid)
                            if (concerns(key, table, column.number)) wishes.push_back({other});
            });
            bool changed = false, moved = false;
            const std::int64_t held = context_.changer.strong(table, wishes, [&] {
                const Column column = column_of(kept_, table);
                moved = is_moved(table);
                changed = signature(table, column.number) != before;
                if (!changed && !moved) drop_now(table, column, shape);
            });
            if (moved) throw BeginAnew();
            if (!changed) {
                context_.log = fmt::format(R"({{"longest_lock_us": {}}})", held);
                break;
            }
            if (attempt == signature_attempts)
                throw Error(sqlstate::table_changed, fmt::format("{} is being changed again and again", table.label()),
                            "Its columns, constraints or indexes were never the same twice.",
                            "CALL tenantmig.up again when the others are done.");
        }
        reload();
        TENANTMIG_FAULT("column_dropped");
    }

    bool is_moved(const Table &table) const {
        return kept_.has_values() && kept_.shape != copying_state(kept_, table, column_of(kept_, table));
    }

    static bool concerns(const ForeignKey &key, const Table &table, AttrNumber number) {
        const std::vector<AttrNumber> &columns = key.from == table.oid ? key.from_columns : key.to_columns;
        const bool here = std::find(columns.begin(), columns.end(), number) != columns.end();
        return here;
    }

    void drop_now(const Table &table, const Column &column, const std::string &json) {
        const ColumnShape shape = parse_shape(json);
        if (kept_.has_values()) drop_triggers(kept_, table);
        for (const KeptTrigger &trigger : shape.triggers)
            change_as_owner(table, fmt::format("DROP TRIGGER {} ON {}", quoted(trigger.name), table.sql()));
        for (const KeptConstraint &constraint : shape.constraints) {
            if (!constraint.foreign) continue;
            auto other = describe_table(lookup_table({constraint.schema, constraint.table}));
            if (other)
                change_as_owner(
                    *other, fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", other->sql(), quoted(constraint.name)));
        }
        if (shape.sequence && !shape.identity)
            change_as_owner(table, fmt::format("ALTER SEQUENCE {} OWNED BY NONE",
                                               qualified(shape.sequence->schema, shape.sequence->name)));
        change_as_owner(table, fmt::format("ALTER TABLE {} DROP COLUMN {}", table.sql(), quoted(column.name)));
        KeptColumn next = kept_;
        next.state = "dropped";
        next.shape = json;
        next.column = column.name;
        save_kept(next);
        context_.save("dropped", context_.state.detail);
        TENANTMIG_FAULT("column_dropping");
    }
};
} // namespace

// ---- shared with kept_restore.cpp

std::string KeptPlace::match(const char *kept, const char *row) const {
    std::string text;
    for (std::size_t i = 0; i < key.size(); i++)
        text += fmt::format("{}{}.{} {} {}.k{}", i ? " AND " : "", row, quoted(key[i]->name),
                            equality_operator(key[i]->type), kept, i + 1);
    return text;
}

KeptPlace place_of(const KeptColumn &kept) {
    auto table = find_site(kept.site, kept.database);
    if (!table)
        throw Error(sqlstate::undefined_table,
                    fmt::format("table {} does not exist any more", qualified(kept.site.schema, kept.site.name)),
                    fmt::format("The values of its column {} are kept in {}.", quoted(kept.column),
                                kept.has_values() ? kept.keep_sql() : "nothing: it was generated"),
                    "Bring the table back under its name.");
    require_table_rights(*table);
    KeptPlace place;
    place.table = std::move(*table);
    return place;
}

void work_in_journal(StepContext &context, KeptColumn &kept) {
    context.changer.note(true, [&] {
        KeptColumn next = kept;
        next.state = "kept";
        next.position = next.bound = 0;
        if (kept.has_values()) {
            const Table table = place_of(kept).table;
            std::string keys, plain, equal;
            for (std::size_t i = 1; i <= kept.key.size(); i++) {
                keys += fmt::format("{}j.k{}", i > 1 ? ", " : "", i);
                plain += fmt::format("{}k{}", i > 1 ? ", " : "", i);
                const Column *column = table.find(kept.key[i - 1]);
                equal += fmt::format("{0}k.k{1} {2} l.k{1}", i > 1 ? " AND " : "", i,
                                     equality_operator(column ? column->type : TEXTOID));
            }
            const std::string keep = kept.keep_sql();
            CatalogueWriteScope ours;
            RunAs owner(table.owner, Purpose::read);
            if (kept.journal.empty() || !table_stands(kept.keep_schema, kept.journal)) {
                next.journal.clear();
            } else {
                const std::string journal = kept.journal_sql();
                // after a TRUNCATE, what was there before is gone
                Rows cut =
                    run_query(fmt::format("SELECT pg_catalog.max(j.seq) FROM {} AS j WHERE j.op = 'T'", journal));
                if (!cut.is_null(0, 1)) {
                    const std::int64_t seq = cut.bigint(0, 1);
                    run_query(fmt::format("DELETE FROM {}", keep));
                    run_query(fmt::format("DELETE FROM {} AS j WHERE j.seq <= {}", journal, seq));
                }
                run_query(fmt::format("INSERT INTO {0} ({1}, value) SELECT {1}, l.value FROM (SELECT DISTINCT ON ({2}) "
                                      "j.* FROM {3} AS j ORDER BY {2}, j.seq DESC) AS l WHERE l.op = 'W' ON CONFLICT "
                                      "({1}) DO UPDATE SET value = excluded.value",
                                      keep, plain, keys, journal));
                run_query(fmt::format("DELETE FROM {0} AS k USING (SELECT DISTINCT ON ({1}) j.* FROM {2} AS j ORDER BY "
                                      "{1}, j.seq DESC) AS l WHERE l.op = 'D' AND {3}",
                                      keep, keys, journal, equal));
                run_query(fmt::format("DROP TABLE {}", journal));
                next.journal.clear();
            }
            if (const std::string kept_only = worth_keeping(kept, context.state, "k.value"); !kept_only.empty())
                run_query(fmt::format("DELETE FROM {} AS k WHERE NOT (true{})", keep, kept_only));
            next.rows = run_query(fmt::format("SELECT pg_catalog.count(*) FROM {}", keep)).bigint(0, 1);
            run_query(fmt::format("ANALYZE {}", keep));
        }
        save_kept(next);
        context.save("kept", context.state.detail);
        kept = next;
    });
    TENANTMIG_FAULT("column_kept");
}

// ---- the way there

std::vector<AttrNumber> key_without(const Table &table, AttrNumber column) {
    Rows rows = own_query(
        "SELECT i.indkey::int2[]::integer[]::text[], i.indnkeyatts::integer FROM pg_index i WHERE i.indrelid = $1 AND "
        "i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS "
        "(SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS n (number, place) JOIN pg_attribute a ON a.attrelid "
        "= "
        "$1 AND a.attnum = n.number WHERE n.place <= i.indnkeyatts AND (a.attnum = $2 OR NOT a.attnotnull)) AND NOT "
        "($2 "
        "= ANY (i.indkey::int2[])) ORDER BY NOT i.indisprimary, i.indnkeyatts, i.indexrelid LIMIT 1",
        {oid_value(table.oid), Value{INT2OID, Int16GetDatum(column), false}});
    std::vector<AttrNumber> key;
    if (rows.empty()) return key;
    const std::vector<std::string> numbers = rows.text_array(0, 1);
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows.bigint(0, 2)) && i < numbers.size(); i++)
        key.push_back(static_cast<AttrNumber>(std::stoi(numbers[i])));
    return key;
}

void check_column_can_go(const Table &table, const Column &column, const MigrationRecord &migration,
                         StoredOnly stored_only) {
    require_table_rights(table);
    require_rights_of_creator(migration, table);
    const std::string name = fmt::format("{}.{}", table.label(), quoted(column.name));
    auto unsupported = [&](const std::string &why, const char *hint) {
        throw Error(sqlstate::feature_not_supported, fmt::format("column {} can't be dropped and kept", name), why,
                    hint);
    };
    Rows facts = own_query(
        "SELECT c.relkind = 'p' OR c.relispartition, EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid OR "
        "i.inhparent = c.oid), c.reloftype <> 0, c.relam <> (SELECT m.oid FROM pg_am m WHERE m.amname = 'heap'), "
        "t.typtype = 'd' AND (t.typnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid)), "
        "has_schema_privilege(c.relowner, c.relnamespace, 'CREATE'), a.attgenerated <> '' FROM pg_class c JOIN "
        "pg_attribute a ON a.attrelid = c.oid AND a.attnum = $2 JOIN pg_type t ON t.oid = a.atttypid WHERE c.oid = $1",
        {oid_value(table.oid), Value{INT2OID, Int16GetDatum(column.number), false}});
    if (facts.boolean(0, 1))
        unsupported("The table is partitioned, or a partition.", "Drop the column in a sql step, with a backup.");
    if (facts.boolean(0, 2))
        unsupported("The table takes part in inheritance.", "Drop the column in a sql step, with a backup.");
    if (facts.boolean(0, 3))
        unsupported("The table is one of a composite type.", "ALTER TYPE … DROP ATTRIBUTE, in a sql step.");
    if (facts.boolean(0, 4))
        unsupported("The table is not stored as heap.", "Drop the column in a sql step, with a backup.");
    if (facts.boolean(0, 5))
        unsupported("Its type is a domain with constraints: adding such a column rewrites the table.",
                    "ALTER TABLE … ALTER COLUMN … TYPE to the domain's base type first.");
    const std::vector<std::string> dependents = column_dependents(table, column, migration.id, stored_only);
    if (!dependents.empty()) throw_dependents(table, column, dependents);
    Rows others = own_query("SELECT k.conrelid::regclass::text, k.conrelid::bigint FROM pg_constraint k WHERE "
                            "k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f' AND $2 = ANY (k.confkey)",
                            {oid_value(table.oid), Value{INT2OID, Int16GetDatum(column.number), false}});
    std::vector<Oid> referencing;
    for (std::size_t i = 0; i < others.size(); i++)
        referencing.push_back(static_cast<Oid>(others.bigint(i, 2)));
    for (Oid oid : referencing)
        if (auto other = describe_table(oid)) {
            require_table_rights(*other);
            require_rights_of_creator(migration, *other);
        }
    if (facts.boolean(0, 7)) return; // a generated column's values come back by themselves
    if (!facts.boolean(0, 6))
        throw Error(
            sqlstate::insufficient_privilege,
            fmt::format("permission denied to create a table in schema {}", quoted(table.schema)),
            fmt::format("The values of {} are kept in a table of its owner {}, in its schema.", name,
                        core::excerpt(role_name(table.owner))),
            fmt::format("GRANT CREATE ON SCHEMA {} TO {}.", quoted(table.schema), quoted(role_name(table.owner))));
    if (key_without(table, column.number).empty())
        throw Error(sqlstate::prerequisite_state, fmt::format("rows of {} have no key", table.label()),
                    fmt::format("Without a unique index over NOT NULL columns other than {} nobody can tell afterwards "
                                "which value belongs to which row.",
                                quoted(column.name)),
                    "Add a primary key, or drop the column in a sql step, with a backup.");
}

namespace {
KeptColumn begin_drop(StepContext &context, const Table &table, const Column &column, const std::string &kind) {
    KeptColumn kept;
    kept.migration_id = context.migration.id;
    kept.step = context.ref.number;
    kept.kind = kind;
    kept.state = "preparing";
    kept.site = site_of(table);
    kept.database = MyDatabaseId;
    kept.column = column.name;
    kept.number = column.number;
    context.changer.note(true, [&] {
        check_column_can_go(table, column, context.migration, stored_only_of(kind));
        if (!column.generated) {
            kept.keep_schema = table.schema;
            kept.keep_table = free_name(table, column.name, "kept");
            kept.journal = free_name(table, column.name, "journal");
            for (AttrNumber number : key_without(table, column.number))
                kept.key.push_back(table.at(number).name);
            make_tables(kept, table);
        }
        insert_kept(kept);
        context.save("preparing", context.state.detail);
    });
    TENANTMIG_FAULT("column_preparing");
    return kept;
}

KeptColumn begin_anew(StepContext &context, const KeptColumn &kept) {
    Table table;
    Column column;
    context.changer.note(false, [&] {
        table = place_of(kept).table;
        column = column_of(kept, table);
    });
    abandon_drop(context, kept);
    return begin_drop(context, table, column, kept.kind);
}

void carry_out(StepContext &context, KeptColumn kept) {
    for (int attempt = 1;; attempt++) {
        try {
            Dropping(context, kept).run();
            return;
        } catch (const BeginAnew &) {
        }
        if (attempt == signature_attempts)
            throw Error(sqlstate::table_changed,
                        fmt::format("the table of {} is being changed again and again", kept.label()),
                        "It was rewritten, or its triggers were switched off, each time its values were being copied.",
                        "CALL tenantmig.up again when the others are done.");
        notice(fmt::format("{}: the table of {} was rewritten, or its triggers were off: the copying begins anew",
                           context.label(), kept.label()));
        kept = begin_anew(context, kept);
    }
}
} // namespace

void drop_keeping(StepContext &context, const Table &table, const Column &column, const char *kind) {
    carry_out(context, begin_drop(context, table, column, kind));
}

void continue_drop(StepContext &context, KeptColumn kept) {
    // Numbers of columns stand in the trigger, and what it noted may not be all: after a restore, or when the journal
    // is gone, the copying begins anew.
    bool anew = false;
    if (kept.state == "preparing" || kept.state == "filling")
        context.changer.note(false, [&] {
            anew = kept.has_values() &&
                   (kept.database != MyDatabaseId || !find_site(kept.site, kept.database) ||
                    find_site(kept.site, kept.database)->oid != kept.site.oid ||
                    !table_stands(kept.keep_schema, kept.journal) || !table_stands(kept.keep_schema, kept.keep_table));
        });
    if (anew) kept = begin_anew(context, kept);
    carry_out(context, std::move(kept));
}

void abandon_drop(StepContext &context, const KeptColumn &kept) {
    std::optional<Table> table;
    context.changer.note(false, [&] { table = find_site(kept.site, kept.database); });
    if (table && kept.has_values())
        (void)context.changer.strong(*table, {{table->oid}}, [&] {
            require_table_rights(*table);
            drop_triggers(kept, *table);
        });
    context.changer.note(true, [&] {
        forget_values(kept);
        delete_kept(kept);
        context.save("", context.state.detail);
    });
    TENANTMIG_FAULT("column_abandoned");
}

std::int64_t drop_kept_columns(const std::vector<KeptColumn> &columns) {
    for (const KeptColumn &kept : columns) {
        forget_values(kept);
        KeptColumn gone = kept;
        gone.state = "purged";
        gone.keep_table.clear();
        gone.journal.clear();
        save_kept(gone);
    }
    return static_cast<std::int64_t>(columns.size());
}

} // namespace tenantmig

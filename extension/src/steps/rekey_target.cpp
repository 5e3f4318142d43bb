// Names, types and rights of a rekey step: what it works on, and what it refuses before anything is changed.
#include "core/excerpt.hpp"
#include "core/identifier.hpp"

#include "bridge/object_name.hpp"
#include "engine/guard_trigger.hpp"
#include "steps/rekey.hpp"

namespace tenantmig {

namespace {
Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

[[noreturn]] void unsupported(const std::string &path, const std::string &what, const std::string &detail,
                              const std::string &hint) {
    throw Error(sqlstate::feature_not_supported, fmt::format("spec: {}: {}", path, what), detail, hint);
}

// An ordinary table, by itself.
void require_single(const Table &table, const std::string &path) {
    if (table.kind == RELKIND_PARTITIONED_TABLE || table.is_partition)
        unsupported(
            path, fmt::format("{} is {}", table.label(), table.is_partition ? "a partition" : "a partitioned table"),
            "Primary keys and unique constraints of partitioned tables can't be moved to another column without "
            "a long lock.",
            "Leave the table out, and give it its new column with add_column, backfill and constraint steps.");
    if (table.kind != RELKIND_RELATION)
        unsupported(path, fmt::format("{} is no ordinary table", table.label()), {}, "Name an ordinary table.");
    if (!own_query("SELECT 1 FROM pg_inherits WHERE inhrelid = $1 OR inhparent = $1 LIMIT 1", {oid_value(table.oid)})
             .empty())
        unsupported(path, fmt::format("{} takes part in inheritance", table.label()), {},
                    fmt::format("ALTER TABLE … NO INHERIT {} first.", table.label()));
    if (table.has_rules)
        unsupported(path, fmt::format("{} has rules", table.label()),
                    "They would rewrite what the step writes to the table.", "Drop the rules first.");
    require_table_rights(table);
}

void require_stored(const Table &table, const Column &column, const std::string &path, bool renamed) {
    const bool identity =
        !own_query("SELECT 1 FROM pg_attribute WHERE attrelid = $1 AND attnum = $2 AND attidentity <> ''",
                   {oid_value(table.oid), int_value(column.number)})
             .empty();
    if (column.generated || (renamed && identity))
        unsupported(path,
                    fmt::format("\"{}\" of {} is {}", column.name, table.label(),
                                column.generated ? "a generated column" : "an identity column"),
                    column.generated ? "Nothing can be written to it."
                                     : "The numbers that it would go on to give are no texts.",
                    column.generated ? "Name the column that it is generated from."
                                     : fmt::format("ALTER TABLE {} ALTER COLUMN {} DROP IDENTITY first.", table.label(),
                                                   quoted(column.name)));
}

void require_free(const Table &table, const std::string &column, const std::string &path) {
    if (!table.find(column)) return;
    throw Error(sqlstate::duplicate_column,
                fmt::format("spec: {}: column \"{}\" of {} exists already", path, column, table.label()),
                "The step makes a column of that name.", "Choose another name, or rename the column that is there.");
}

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}
bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID || type == BPCHAROID || type == NAMEOID;
}

void require_same_type(const Table &table, const Column &column, const Table &other, const Column &wanted,
                       const std::string &path) {
    if (column.type == wanted.type || (is_integer(column.type) && is_integer(wanted.type)) ||
        (is_text(column.type) && is_text(wanted.type)))
        return;
    throw Error(sqlstate::datatype_mismatch,
                fmt::format("spec: {}: \"{}\" of {} is {}", path, column.name, table.label(), column.type_name),
                fmt::format("\"{}\" of {} is {}.", wanted.name, other.label(), wanted.type_name),
                "Both have to be of one type.");
}

void require_right(const Table &table, const Table &other, AclMode mode, const char *word, const std::string &why) {
    const bool may = pg_call([from = table.owner, oid = other.oid, owner = other.owner, mode] {
        return has_privs_of_role(from, owner) || pg_class_aclcheck(oid, from, mode) == ACLCHECK_OK;
    });
    if (may) return;
    const std::string role = role_name(table.owner);
    throw Error(sqlstate::insufficient_privilege,
                fmt::format("{}, who owns {}, has no {} on {}", role, table.label(), word, other.label()), why,
                fmt::format("GRANT {} ON {} TO {};", word, other.label(), quoted(role)));
}

// Foreign keys to the tenant root that would be left behind.
void require_all_named(const RekeyTarget &target) {
    std::string left;
    for (const ForeignKey &key : foreign_keys_to(target.root.oid)) {
        if (std::find(key.to_columns.begin(), key.to_columns.end(), target.id.number) == key.to_columns.end()) continue;
        const bool named = std::any_of(target.tables.begin(), target.tables.end(), [&](const RekeyTable &named_table) {
            return named_table.table.oid == key.from && std::find(key.from_columns.begin(), key.from_columns.end(),
                                                                  named_table.id.number) != key.from_columns.end();
        });
        if (named) continue;
        const auto from = describe_table(key.from);
        std::string columns;
        for (AttrNumber number : key.from_columns)
            columns += (columns.empty() ? "" : ", ") + (from ? from->at(number).name : std::string());
        left += fmt::format("{}{} ({})", left.empty() ? "" : "; ", from ? from->label() : "?", columns);
    }
    if (left.empty()) return;
    throw Error(sqlstate::dependent_objects,
                fmt::format("spec: {}.tables: foreign keys of other columns lead to \"{}\" of {}", target.step.path,
                            target.id.name, target.root.label()),
                left, "Name these tables (and columns, as via) in the step, or drop the foreign keys first.");
}

// What hangs on a column that will be renamed, and would go on to mean the old one without anybody noticing. Indexes
// and constraints are made anew.
void require_no_dependents(const Table &table, const Column &column, const std::string &path) {
    Rows rows = own_query(
        "SELECT DISTINCT CASE WHEN d.classid = 'pg_rewrite'::regclass THEN (SELECT CASE c.relkind WHEN 'm' THEN "
        "'materialized view ' WHEN 'v' THEN 'view ' ELSE 'rule on ' END || c.oid::regclass::text FROM pg_rewrite r "
        "JOIN pg_class c ON c.oid = r.ev_class WHERE r.oid = d.objid) ELSE pg_describe_object(d.classid, d.objid, "
        "d.objsubid) END FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND "
        "d.refobjsubid = $2 AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (SELECT 1 FROM pg_constraint k "
        "WHERE k.oid = d.objid AND k.contype IN ('p', 'u', 'f'))) AND NOT (d.classid = 'pg_class'::regclass AND EXISTS "
        "(SELECT 1 FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid WHERE c.oid = d.objid AND (c.relkind = "
        "'S' OR (i.indexprs IS NULL AND i.indpred IS NULL AND EXISTS (SELECT 1 FROM pg_am m WHERE m.oid = c.relam AND "
        "m.amname IN ('btree', 'hash', 'brin')))))) AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (SELECT 1 "
        "FROM pg_attrdef f WHERE f.oid = d.objid AND f.adrelid = $1 AND f.adnum = $2)) ORDER BY 1 LIMIT 20",
        {oid_value(table.oid), int_value(column.number)});
    if (rows.empty()) return;
    std::string list;
    for (std::size_t i = 0; i < rows.size(); i++)
        list += (list.empty() ? "" : "; ") + rows.text_or(i, 1);
    throw Error(
        sqlstate::dependent_objects,
        fmt::format("spec: {}: other objects depend on \"{}\" of {}", path, column.name, table.label()), list,
        "The column gives its name to a new one of type text. Drop them first, and create them again after it.");
}

void require_replaceable_identity(const Table &table, AttrNumber column, const std::string &path) {
    Rows rows = own_query("SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = "
                          "$1 AND i.indisreplident AND $2::int2 = ANY (i.indkey::int2[])",
                          {oid_value(table.oid), int_value(column)});
    if (rows.empty()) return;
    unsupported(path, fmt::format("index {} of {} is its replica identity", quoted(rows.text_or(0, 1)), table.label()),
                "It holds a column that the step replaces.",
                fmt::format("ALTER TABLE {} REPLICA IDENTITY DEFAULT first.", table.label()));
}

class Resolver {
public:
    Resolver(const core::RekeyStep &step, NameBook &names) : names_(names) { target_.step = step; }

    RekeyTarget resolve() {
        root();
        for (const core::RekeyTable &table : target_.step.tables)
            add(table);
        require_all_named(target_);
        for (const core::RekeyEmbed &embed : target_.step.embed)
            embedded(embed);
        // ids are looked up by what refers to them
        std::stable_partition(target_.tables.begin(), target_.tables.end(), [this](const RekeyTable &table) {
            return std::any_of(target_.embedded.begin(), target_.embedded.end(),
                               [&](const RekeyEmbedded &embed) { return embed.table.oid == table.table.oid; });
        });
        return std::move(target_);
    }

private:
    NameBook &names_;
    RekeyTarget target_;

    const std::string &path() const { return target_.step.path; }

    void root() {
        const core::RekeyStep &step = target_.step;
        const std::string from = step.path + ".from";
        target_.root = names_.table(step.root, from + ".table");
        require_single(target_.root, from + ".table");
        target_.id = names_.column(target_.root, step.id, from + ".id");
        target_.key = names_.column(target_.root, step.key, from + ".key");
        require_stored(target_.root, target_.key, from + ".key", false);
        const auto written = core::split_identifier(step.column).front();
        target_.column = target_.root.find(written.written) ? written.written : written.text;
        target_.own_column = target_.column != target_.key.name;
        if (target_.key.number == target_.id.number || target_.column == target_.id.name)
            throw Error(sqlstate::spec_invalid, fmt::format("spec: {}: the new key is the old one", step.path),
                        fmt::format("Both are \"{}\" of {}.", target_.id.name, target_.root.label()),
                        "from.key names the column with the natural key, column the new tenant key.");
        if (target_.own_column) {
            target_.column = written.text;
            require_free(target_.root, target_.column, step.path + ".column");
        }
        target_.type = target_.own_column && is_text(target_.key.type) ? "pg_catalog.text" : target_.key.type_name;
        if (!is_unique(target_.root, target_.id.number))
            throw Error(sqlstate::invalid_foreign_key,
                        fmt::format("spec: {}.id: \"{}\" of {} is not unique by itself", from, target_.id.name,
                                    target_.root.label()),
                        "A surrogate key of several columns, or without a unique index, does not name one row.",
                        fmt::format("CREATE UNIQUE INDEX CONCURRENTLY ON {} ({}) first.", target_.root.label(),
                                    quoted(target_.id.name)));
        require_replaceable_identity(target_.root, target_.id.number, from + ".id");
        for (const std::string &name : step.within)
            target_.within.push_back(names_.column(target_.root, name, step.path + ".within").name);
        if (!step.format.empty()) {
            RunAs owner(extension_owner(), Purpose::read);
            run_query("SELECT '' OPERATOR(pg_catalog.~) $1", {text_value(step.format)}); // 2201B
        }
    }

    void add(const core::RekeyTable &named) {
        RekeyTable table;
        table.table = names_.table(named.table, named.path);
        require_single(table.table, named.path);
        if (table.table.oid == target_.root.oid)
            unsupported(named.path, fmt::format("{} is the tenant root itself", table.table.label()),
                        "One table can't hold the new key twice.",
                        "Give a column that refers to the root's own rows its new column in steps of its own.");
        for (const RekeyTable &other : target_.tables)
            if (other.table.oid == table.table.oid)
                throw Error(sqlstate::duplicate_column,
                            fmt::format("spec: {}: {} is named twice", named.path, table.table.label()),
                            fmt::format("It would have \"{}\" twice.", target_.column), "Name each table once.");
        table.id = names_.column(table.table, named.via.empty() ? target_.id.name : named.via, named.path);
        require_stored(table.table, table.id, named.path, false);
        require_same_type(table.table, table.id, target_.root, target_.id, named.path);
        require_free(table.table, target_.column, named.path);
        require_replaceable_identity(table.table, table.id.number, named.path);
        if (row_identity(table.table.oid, nullptr).empty())
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: {}: {} has no primary key and no unique index over NOT NULL columns",
                                    named.path, table.table.label()),
                        "Its rows can't be identified.", "Give it one first.");
        for (const std::string &name : target_.within) {
            const Column *column = table.table.find(name);
            if (!column)
                throw Error(sqlstate::undefined_column,
                            fmt::format("spec: {}: column {} of {} does not exist", named.path, core::excerpt(name),
                                        table.table.label()),
                            "A key that is unique within other columns is one together with them only.",
                            "Give the table these columns first (add_column and backfill steps).");
            require_same_type(table.table, *column, target_.root, *target_.root.find(name), named.path);
        }
        require_right(table.table, target_.root, ACL_REFERENCES, "REFERENCES", "Its new foreign key leads there.");
        require_right(table.table, target_.root, ACL_SELECT, "SELECT", "Its rows are compared with the root's.");
        table.number = target_.step.number * core::rekey_numbers + static_cast<int>(target_.tables.size()) + 1;
        target_.tables.push_back(std::move(table));
    }

    void embedded(const core::RekeyEmbed &named) {
        RekeyEmbedded embed;
        embed.table = names_.table(named.table, named.path + ".table");
        const auto found = std::find_if(target_.tables.begin(), target_.tables.end(),
                                        [&](const RekeyTable &table) { return table.table.oid == embed.table.oid; });
        if (found == target_.tables.end())
            throw Error(sqlstate::spec_invalid,
                        fmt::format("spec: {}.table: {} is none of the step's tables", named.path, embed.table.label()),
                        "Its rows have no tenant key that their id could begin with.", "Name it in tables, too.");
        embed.id = names_.column(embed.table, named.column, named.path + ".column");
        if (embed.id.number == found->id.number)
            unsupported(named.path + ".column", "the surrogate key itself can't embed the new key", {},
                        "Name the id of the table's own rows.");
        embed.separator = named.separator;
        renamed(embed.table, embed.id, named.path + ".column");
        for (const ForeignKey &key : foreign_keys_to(embed.table.oid)) {
            const bool concerns =
                std::find(key.to_columns.begin(), key.to_columns.end(), embed.id.number) != key.to_columns.end();
            if (!concerns) continue;
            auto table = describe_table(key.from);
            if (!table) continue;
            const std::string path = named.path + ".column";
            require_single(*table, path);
            if (key.from_columns.size() != 1)
                unsupported(
                    path, fmt::format("a foreign key of {} has several columns", table->label()),
                    fmt::format("\"{}\" of {} is one of what it refers to.", embed.id.name, embed.table.label()),
                    "Drop it first, and create it again with a constraint step after this one.");
            RekeyReference reference{*table, table->at(key.from_columns[0])};
            if (std::any_of(embed.references.begin(), embed.references.end(), [&](const RekeyReference &other) {
                    return other.table.oid == table->oid && other.column.number == reference.column.number;
                }))
                continue;
            renamed(reference.table, reference.column, path);
            require_right(reference.table, embed.table, ACL_SELECT, "SELECT", "Its references follow the new ids.");
            require_right(reference.table, embed.table, ACL_REFERENCES, "REFERENCES", "Its foreign key is made anew.");
            embed.references.push_back(std::move(reference));
        }
        target_.embedded.push_back(std::move(embed));
    }

    std::set<std::pair<Oid, AttrNumber>> renamed_;

    void renamed(const Table &table, const Column &column, const std::string &path) {
        require_stored(table, column, path, true);
        if (!renamed_.emplace(table.oid, column.number).second)
            unsupported(path, fmt::format("\"{}\" of {} would be converted twice", column.name, table.label()),
                        "It refers to one id that is embedded, and is one itself, or refers to two.",
                        "Convert one of them in a step of its own.");
        require_free(table, new_name(column.name), path);
        require_free(table, old_name(column.name), path);
        require_replaceable_identity(table, column.number, path);
        require_no_dependents(table, column, path);
    }
};
} // namespace

bool is_unique(const Table &table, AttrNumber column) {
    return !own_query("SELECT 1 FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND "
                      "i.indimmediate AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = $2",
                      {oid_value(table.oid), int_value(column)})
                .empty();
}

std::string new_name(const std::string &column) {
    return object_name(column, "", "new");
}

std::string old_name(const std::string &column) {
    return object_name(column, "", "old");
}

std::vector<Table> RekeyTarget::all() const {
    std::vector<Table> result = {root};
    auto add = [&](const Table &table) {
        if (std::none_of(result.begin(), result.end(), [&](const Table &other) { return other.oid == table.oid; }))
            result.push_back(table);
    };
    for (const RekeyTable &table : tables)
        add(table.table);
    for (const RekeyEmbedded &embed : embedded)
        for (const RekeyReference &reference : embed.references)
            add(reference.table);
    return result;
}

RekeyTarget resolve_rekey(const core::RekeyStep &step, NameBook &names) {
    return Resolver(step, names).resolve();
}

} // namespace tenantmig

// add_column: a column more, without a rewrite. A default that is the same for all rows is kept by PostgreSQL beside
// the table, and read from there; one that isn't (a volatile function) is refused. On the way back, values that
// somebody has written are kept as drop_column keeps them, and are there again after the next up.
#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "catalog/migration_names.hpp"
#include "engine/evaluation.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/target.hpp"
#include "steps/kept_column.hpp"
#include "steps/step_column.hpp"
#include "steps/step_kinds.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;
constexpr std::int64_t few_blocks = 1000; // that are read under the strong lock

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

// A name that is to be: as SQL takes it.
std::string plain_name(const std::string &written) {
    return core::split_identifier(written).front().text;
}

std::int64_t filenode(Oid table) {
    return own_query("SELECT coalesce(pg_relation_filenode($1), 0)::bigint",
                     {Value{REGCLASSOID, ObjectIdGetDatum(table), false}})
        .bigint(0, 1);
}

class AddColumn : public Step {
public:
    explicit AddColumn(core::AddColumnStep step) : step_(std::move(step)), name_(plain_name(step_.column)) {}

    void check(const MigrationRecord &migration, NameBook &names) override {
        const StepState state = migration.id ? get_step_state(migration.id, step_.number) : StepState();
        const Table table = names.table(step_.table, step_.path + ".table");
        require_rights_of_creator(migration, table);
        const bool begun = !state.state.empty() && remembered_table(state);
        if (!begun) require_free_name(table);
        (void)definition(table);
    }

    std::vector<PlanRow> plan(const MigrationRecord &migration) override {
        const Table table = step_table(migration, get_step_state(migration.id, step_.number), step_.number, step_.table,
                                       step_.path + ".table");
        PlanRow row;
        row.step = step_.number;
        row.kind = "add_column";
        row.count.relation = table.label();
        row.count.outcome = "column added";
        row.path = "catalog";
        row.locks = fmt::format("ACCESS EXCLUSIVE on {} for a moment", table.label());
        row.note = fmt::format("{} {}; no row is rewritten", tenantmig::quoted(name_), definition(table).text);
        if (auto kept = find_kept(migration.id, step_.number))
            row.note += fmt::format("; {} values kept by down are written back", kept->rows);
        return {row};
    }

    bool applied(const MigrationRecord &, const StepState &state) override {
        if (state.state != "applied") return false;
        const auto table = remembered_table(state);
        return table && find_column(*table, state);
    }

    bool up(StepContext &context) override {
        Table table;
        bool there = false;
        context.changer.note(false, [&] {
            table = step_table(context.migration, context.state, step_.number, step_.table, step_.path + ".table");
            there = remembered_table(context.state) && find_column(table, context.state);
        });
        std::optional<KeptColumn> kept;
        context.changer.note(false, [&] { kept = find_kept(context.migration.id, step_.number); });
        if (kept && (kept->state == "preparing" || kept->state == "filling")) { // a way back that was not finished
            abandon_drop(context, *kept);
            kept.reset();
        }
        if (there && !kept) return false;
        if (!there) add(context, table);
        TENANTMIG_FAULT("add_column_added");
        if (kept) refill(context, std::move(*kept), unwritten_value(context.state));
        return true;
    }

    bool down(StepContext &context) override {
        std::optional<KeptColumn> kept;
        std::optional<Table> table;
        std::optional<Column> column;
        context.changer.note(false, [&] {
            kept = find_kept(context.migration.id, step_.number);
            table = remembered_table(context.state);
            if (table)
                if (const Column *found = find_column(*table, context.state)) column = *found;
        });
        if (kept && (kept->state == "preparing" || kept->state == "filling" || kept->state == "dropped")) {
            continue_drop(context, std::move(*kept));
            settle(context);
            return true;
        }
        if (kept && kept->state == "restoring" && column) {
            // up was on its way with values that an earlier down kept: those first, then all of them go together
            refill(context, std::move(*kept), unwritten_value(context.state));
        }
        if (!table || !column) return false;
        context.changer.note(false, [&] { refuse_dependents(*table, *column, context.migration); });
        bool keep = false;
        context.changer.note(false, [&] { keep = can_keep(*table, *column); });
        if (keep) {
            drop_keeping(context, *table, *column, "add_column");
            settle(context);
        } else {
            drop_empty(context, *table, *column);
        }
        return true;
    }

    std::vector<CheckRow> verify(const MigrationRecord &, const StepState &state) override {
        const auto table = remembered_table(state);
        const Column *column = table ? find_column(*table, state) : nullptr;
        CheckRow row;
        row.check_name = fmt::format("column {}", tenantmig::quoted(name_));
        row.expected = Json::parse(state.detail).value("type", std::string());
        row.actual = column ? declared_type(*table, *column) : "no such column";
        row.status = row.actual == row.expected ? "PASS" : "FAIL";
        if (row.status == "FAIL") {
            row.detail = "Somebody has changed the table since.";
            row.hint = "CALL tenantmig.up adds a column that is missing; a changed type is yours to settle.";
        }
        return {row};
    }

private:
    core::AddColumnStep step_;
    std::string name_;

    struct Definition {
        std::string text, type, fallback; // type and DEFAULT as SQL; fallback alone, empty for none
    };

    bool is_kept(StepContext &context) {
        bool kept = false;
        context.changer.note(false, [&] { kept = find_kept(context.migration.id, step_.number).has_value(); });
        return kept;
    }

    const Column *find_column(const Table &table, const StepState &state) const {
        const Json document = Json::parse(state.detail);
        if (document.value("database", Oid{}) == MyDatabaseId && document.contains("number") &&
            document.at("table").at("oid") == table.oid)
            return table.find(static_cast<AttrNumber>(document.at("number").get<int>()));
        return table.find(name_);
    }

    static std::string declared_type(const Table &table, const Column &column) {
        return own_query(
                   "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = $1 AND attnum = $2",
                   {oid_value(table.oid), Value{INT2OID, Int16GetDatum(column.number), false}})
            .text_or(0, 1);
    }

    void require_free_name(const Table &table) const {
        require_table_rights(table);
        if (table.is_partition)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}.table: {} is a partition", step_.path, table.label()),
                        "A partition has the columns of its partitioned table.", "Name the partitioned table.");
        if (const Column *column = table.find(name_))
            throw Error(sqlstate::duplicate_column,
                        fmt::format("spec: {}.column: column {} of {} exists already", step_.path,
                                    tenantmig::quoted(name_), table.label()),
                        fmt::format("It is of type {}{}, and this migration has not made it.",
                                    declared_type(table, *column), column->not_null ? ", not null" : ""),
                        "Leave the step out, or choose another name: what somebody else has made is never taken over.");
        Rows rows =
            own_query("WITH RECURSIVE tree AS (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = $1 UNION "
                      "SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON t.inhrelid = i.inhparent) SELECT "
                      "t.inhrelid::regclass::text FROM tree t JOIN pg_attribute a ON a.attrelid = t.inhrelid "
                      "WHERE a.attname = $2 AND NOT a.attisdropped ORDER BY 1 LIMIT 1",
                      {oid_value(table.oid), text_value(name_)});
        if (!rows.empty())
            throw Error(sqlstate::duplicate_column,
                        fmt::format("spec: {}.column: column {} of {} exists already", step_.path,
                                    tenantmig::quoted(name_), rows.text_or(0, 1)),
                        fmt::format("That table inherits from {}; PostgreSQL would merge the two.", table.label()),
                        "Choose another name, or rename that column.");
    }

    // Type and default, checked. Reads only.
    Definition definition(const Table &table) const {
        const ParsedType type = parse_type(step_.type, step_.path + ".type");
        const bool constrained =
            own_query("SELECT t.typtype = 'd' AND (t.typnotnull OR EXISTS (SELECT FROM pg_constraint "
                      "k WHERE k.contypid = t.oid)) FROM pg_type t WHERE t.oid = $1",
                      {oid_value(type.oid)})
                .boolean(0, 1);
        if (constrained)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}.type: {} is a domain with constraints", step_.path, type.sql),
                        "PostgreSQL rewrites the table when such a column is added, and nobody can read it meanwhile.",
                        "Use the domain's base type, and a constraint step for what the domain checks.");
        Definition result = {type.sql, type.sql, {}};
        if (step_.default_value) result.fallback = literal(table, type);
        if (!step_.default_function.empty()) result.fallback = function(type);
        if (!result.fallback.empty()) result.text += " DEFAULT " + result.fallback;
        return result;
    }

    std::string literal(const Table &table, const ParsedType &type) const {
        try {
            RunAs owner(table.owner, Purpose::read);
            (void)datum_from_text(type.oid, type.typmod, *step_.default_value);
        } catch (const PgError &error) {
            throw Error(sqlstate::invalid_text_representation,
                        fmt::format("spec: {}.default: {}", step_.path, error.what()),
                        fmt::format("The column is of type {}.", type.sql), "Write a value of that type.");
        }
        return fmt::format("{}::{}", core::sql_literal(*step_.default_value), type.sql);
    }

    std::string function(const ParsedType &type) const {
        const std::string path = step_.path + ".default.function";
        Rows rows =
            run_query("SELECT n.nspname, p.proname, p.provolatile::pg_catalog.text, p.proretset, "
                      "p.prorettype::pg_catalog.int8, p.prokind::pg_catalog.text FROM pg_catalog.pg_proc AS p JOIN "
                      "pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace WHERE p.oid "
                      "OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure($1)::pg_catalog.oid",
                      {text_value(step_.default_function + "()")});
        if (rows.empty())
            throw Error(
                sqlstate::undefined_object,
                fmt::format("spec: {}: function {}() does not exist", path, core::excerpt(step_.default_function)), {},
                "Name a function without arguments, such as now. A literal is written without {function: …}.");
        const std::string name = qualified(rows.text_or(0, 1), rows.text_or(0, 2)) + "()";
        if (rows.text_or(0, 3) == "v" || rows.boolean(0, 4) || rows.text_or(0, 6) != "f")
            throw Error(
                sqlstate::feature_not_supported, fmt::format("spec: {}: {} is volatile", path, name),
                "It gives another value for each row: PostgreSQL would rewrite the whole table, and nobody could "
                "read it meanwhile.",
                "Add the column without a default, set the default afterwards in a sql step, and fill the rows "
                "that are there with a backfill.");
        const Oid result = static_cast<Oid>(rows.bigint(0, 5)), wanted = type.oid;
        if (!pg_call([result, wanted] { return can_coerce_type(1, &result, &wanted, COERCION_ASSIGNMENT); }))
            throw Error(sqlstate::datatype_mismatch,
                        fmt::format("spec: {}: {} gives {}", path, name, type_label(result)),
                        fmt::format("The column is of type {}.", type.sql), "Name a function that gives that type.");
        return name;
    }

    void add(StepContext &context, const Table &table) {
        Definition wanted;
        context.changer.note(false, [&] {
            MigrationPath path(context.migration);
            require_rights_of_creator(context.migration, table);
            require_free_name(table);
            wanted = definition(table);
        });
        const std::string detail = context.state.detail, state = context.state.state;
        const bool values = is_kept(context);
        (void)context.changer.strong(table, {{table.oid, AccessExclusiveLock, true}}, [&] {
            context.state.detail = detail;
            context.state.state = state;
            const std::int64_t before = filenode(table.oid);
            change_as_owner(table, fmt::format("ALTER TABLE {} ADD COLUMN {} {}", table.sql(), tenantmig::quoted(name_),
                                               wanted.text));
            if (filenode(table.oid) != before)
                throw Error(sqlstate::feature_not_supported,
                            fmt::format("spec: {}: adding {} would rewrite {}", step_.path, tenantmig::quoted(name_),
                                        table.label()),
                            "Its default is not the same for all rows.", "Leave the default out.");
            if (!step_.comment.empty())
                change_as_owner(table, fmt::format("COMMENT ON COLUMN {}.{} IS {}", table.sql(),
                                                   tenantmig::quoted(name_), core::sql_literal(step_.comment)));
            Rows rows =
                own_query("SELECT attnum::integer, format_type(atttypid, atttypmod), "
                          "(attmissingval::text::text[])[1] FROM pg_attribute WHERE attrelid = $1 AND attname = $2",
                          {oid_value(table.oid), text_value(name_)});
            Json document = Json::parse(remember_table(context.state.detail, table));
            document["number"] = rows.bigint(0, 1);
            document["type"] = rows.text_or(0, 2);
            document["column"] = name_;
            if (auto missing = rows.text(0, 3))
                document["empty"] = fmt::format("{}::{}", core::sql_literal(*missing), wanted.type);
            else if (step_.default_value) // a partitioned table itself has no rows, and keeps no such value
                document["empty"] = wanted.fallback;
            context.log = Json{{"columns_added", {table.label() + "." + tenantmig::quoted(name_)}}}.dump();
            if (!values) context.state.state = "applied";
            context.save("added", document.dump());
            TENANTMIG_FAULT("add_column_adding");
        });
    }

    static std::vector<std::string> dependents_of(const Table &table, const Column &column,
                                                  const MigrationRecord &migration) {
        std::vector<std::string> list = column_dependents(table, column, migration.id, StoredOnly::is_passed_over);
        const ColumnShape shape = parse_shape(read_shape(table, column));
        for (const KeptConstraint &constraint : shape.constraints)
            list.push_back(fmt::format("constraint {} on table {}", tenantmig::quoted(constraint.name),
                                       qualified(constraint.schema, constraint.table)));
        for (const KeptIndex &index : shape.indexes)
            list.push_back(fmt::format("index {}", qualified(table.schema, index.name)));
        for (const KeptStatistics &statistics : shape.statistics_objects)
            list.push_back(fmt::format("statistics object {}", qualified(statistics.schema, statistics.name)));
        return list;
    }

    // Nobody's work goes with the column: an index or a constraint that the steps after this one have not taken back is
    // somebody else's.
    static void refuse_dependents(const Table &table, const Column &column, const MigrationRecord &migration) {
        require_table_rights(table);
        require_rights_of_creator(migration, table);
        std::vector<std::string> list = dependents_of(table, column, migration);
        // with it go those of partitions and inheritance children
        Rows rows =
            own_query("WITH RECURSIVE tree AS (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = $1 UNION "
                      "SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON t.inhrelid = i.inhparent) SELECT "
                      "inhrelid::bigint FROM tree ORDER BY 1",
                      {oid_value(table.oid)});
        std::vector<Oid> below;
        for (std::size_t i = 0; i < rows.size(); i++)
            below.push_back(static_cast<Oid>(rows.bigint(i, 1)));
        for (Oid oid : below) {
            const auto part = describe_table(oid);
            const Column *own = part ? part->find(column.name) : nullptr;
            if (!own) continue;
            for (std::string &item : dependents_of(*part, *own, migration))
                list.push_back(std::move(item));
        }
        if (list.empty()) return;
        std::string detail;
        for (const std::string &item : list)
            detail += (detail.empty() ? "" : "\n") + item;
        throw Error(sqlstate::dependent_objects,
                    fmt::format("column {}.{} can't be dropped: other objects depend on it", table.label(),
                                tenantmig::quoted(column.name)),
                    detail, "Drop or change these first; nothing is ever dropped with it.");
    }

    static bool can_keep(const Table &table, const Column &column) {
        if (table.kind != RELKIND_RELATION || table.is_partition || key_without(table, column.number).empty())
            return false;
        return own_query("SELECT NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = $1 OR inhrelid = $1) AND "
                         "reloftype = 0 AND has_schema_privilege(relowner, relnamespace, 'CREATE') FROM pg_class WHERE "
                         "oid = $1",
                         {oid_value(table.oid)})
            .boolean(0, 1);
    }

    // What was kept of an empty column is nothing; the rest waits for the next up.
    void settle(StepContext &context) {
        context.changer.note(true, [&] {
            const auto kept = find_kept(context.migration.id, step_.number);
            if (!kept) return;
            if (kept->rows == 0) {
                forget_values(*kept);
                delete_kept(*kept);
                return;
            }
            notice(fmt::format("{}: {} rows held a value in {}: they are kept in {}, and up writes them back",
                               context.label(), kept->rows, kept->label(), kept->keep_sql()));
        });
        TENANTMIG_FAULT("add_column_gone");
    }

    // A table whose rows can't be told apart afterwards: only an empty column may go.
    void drop_empty(StepContext &context, const Table &table, const Column &column) {
        const std::string empty = unwritten_value(context.state);
        auto refuse_values = [&] {
            SnapshotScope snapshot;
            RunAs owner(table.owner, Purpose::read);
            std::string condition = fmt::format("t.{} IS NOT NULL", tenantmig::quoted(column.name));
            if (!empty.empty())
                condition += fmt::format(" AND t.{}::pg_catalog.text OPERATOR(pg_catalog.<>) ({})::pg_catalog.text",
                                         tenantmig::quoted(column.name), empty);
            const std::int64_t rows =
                run_query(fmt::format("SELECT pg_catalog.count(*) FROM {} AS t WHERE {}", table.sql(), condition))
                    .bigint(0, 1);
            if (rows == 0) return;
            throw Error(
                sqlstate::prerequisite_state,
                fmt::format("{} rows of {} hold a value in {}", rows, table.label(), tenantmig::quoted(column.name)),
                "They can't be kept: the table has no key, is partitioned or has inheritance children, or its "
                "owner may not create a table in its schema.",
                "Save and empty the column first, or drop it in SQL.");
        };
        context.changer.note(false, refuse_values);
        (void)context.changer.strong(table, {{table.oid, AccessExclusiveLock, true}}, [&] {
            if (block_count(table.oid) <= few_blocks && table.kind == RELKIND_RELATION) refuse_values();
            change_as_owner(table,
                            fmt::format("ALTER TABLE {} DROP COLUMN {}", table.sql(), tenantmig::quoted(column.name)));
            context.save("dropped", context.state.detail);
            TENANTMIG_FAULT("add_column_dropping");
        });
        TENANTMIG_FAULT("add_column_gone");
    }
};
} // namespace

std::unique_ptr<Step> make_add_column_step(const core::AddColumnStep &step) {
    return std::make_unique<AddColumn>(step);
}

} // namespace tenantmig

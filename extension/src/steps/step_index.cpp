// index: built concurrently, by a worker at top level; on a partitioned table one index per partition, built the same
// way, which the partitioned table's index then attaches. What stands half built after a kill is dropped and built
// again.
#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "catalog/migration_names.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/target.hpp"
#include "steps/constraint_index.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/step_column.hpp"
#include "steps/step_kinds.hpp"
#include "steps/tree_index.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

struct Shape { // of the index: what stands after ON table
    std::string body;
    std::string joined;              // its columns, for a name
    std::vector<int> keys, included; // numbers
    std::vector<int> options;        // INDOPTION_DESC, INDOPTION_NULLS_FIRST
};

class Index : public Step {
public:
    explicit Index(core::IndexStep step) : step_(std::move(step)) {}

    void check(const MigrationRecord &migration, NameBook &names) override {
        const StepState state = migration.id ? get_step_state(migration.id, step_.number) : StepState();
        const Table table = names.table(step_.table, step_.path + ".table");
        require_table_rights(table);
        require_rights_of_creator(migration, table);
        if (table.is_partition)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}.table: {} is a partition", step_.path, table.label()),
                        "An index of one partition would be taken for a part of the whole.",
                        "Name the partitioned table, or use a sql step.");
        require_method();
        (void)shape(table, names);
        if (remembered_table(state) || step_.name.empty()) return;
        const NamedIndex found = find_named_index(table, plain_name());
        if (OidIsValid(found.oid) && !(found.here && !found.valid) && !adoptable(table, found, shape(table, names)))
            throw taken(found);
    }

    std::vector<PlanRow> plan(const MigrationRecord &migration) override {
        const StepState state = get_step_state(migration.id, step_.number);
        const Table table = step_table(migration, state, step_.number, step_.table, step_.path + ".table");
        MigrationPath path(migration);
        MigrationNames book(migration);
        NameBook &names = book.of(step_.number);
        const Shape wanted = shape(table, names);
        PlanRow row;
        row.step = step_.number;
        row.kind = "index";
        row.count.relation = table.label();
        row.count.outcome = "index built";
        row.count.rows = std::max<std::int64_t>(0, static_cast<std::int64_t>(table.row_estimate));
        row.path = "concurrent";
        row.locks = fmt::format("SHARE UPDATE EXCLUSIVE on {}{}", table.label(),
                                partitioned(table) ? "'s partitions, SHARE on itself for a moment" : "");
        row.note = fmt::format("{}{}, by a background worker", step_.unique ? "unique " : "", wanted.body);
        if (!step_.name.empty() && find_named_index(table, plain_name()).valid)
            row.note = fmt::format("{} is there already, and stays as it is", tenantmig::quoted(plain_name()));
        return {row};
    }

    bool applied(const MigrationRecord &, const StepState &state) override {
        if (state.state != "applied") return false;
        const auto table = remembered_table(state);
        return table && find_named_index(*table, name_of(state, *table)).valid;
    }

    bool up(StepContext &context) override {
        Table table;
        Shape wanted;
        std::string name;
        bool adopted = false;
        context.changer.note(true, [&] {
            table = step_table(context.migration, context.state, step_.number, step_.table, step_.path + ".table");
            require_table_rights(table);
            require_rights_of_creator(context.migration, table);
            MigrationPath path(context.migration);
            MigrationNames book(context.migration);
            NameBook &names = book.of(step_.number);
            wanted = shape(table, names);
            Json document = Json::parse(remember_table(context.state.detail, table));
            if (!document.contains("name")) {
                document["name"] =
                    step_.name.empty() ? choose_name(tree_of(table), wanted.joined, "idx", nullptr) : plain_name();
                const NamedIndex found = find_named_index(table, document["name"].get<std::string>());
                if (OidIsValid(found.oid) && !(found.here && !found.valid)) {
                    if (!adoptable(table, found, wanted)) throw taken(found);
                    adopted = true;
                    document["adopted"] = true;
                    document["definition"] = found.definition;
                }
            }
            name = document["name"].get<std::string>();
            adopted = document.value("adopted", false);
            context.save("building", document.dump());
        });
        TENANTMIG_FAULT("index_recorded");
        if (adopted) {
            NamedIndex found;
            context.changer.note(false, [&] { found = find_named_index(table, name); });
            if (!found.valid) throw taken(found);
            notice(fmt::format("{}: index {} on {} is there already, as it should be; somebody else has made it, and "
                               "down leaves it",
                               context.label(), tenantmig::quoted(name), table.label()));
            return false;
        }
        const bool made =
            partitioned(table)
                ? build_tree(context, table, name, wanted)
                : ensure_index(table, {name, statement(table, name, wanted, ""), std::nullopt}, context.changer);
        TENANTMIG_FAULT("index_done");
        context.changer.note(true, [&] {
            const NamedIndex found = find_named_index(table, name);
            Json document = Json::parse(context.state.detail);
            document["definition"] = found.definition;
            document["oid"] = found.oid;
            context.log = Json{{"indexes_built", {qualified(table.schema, name)}}}.dump();
            context.state.state = "applied";
            context.save("built", document.dump());
        });
        return made;
    }

    bool down(StepContext &context) override {
        std::optional<Table> table;
        std::string name;
        bool adopted = false;
        context.changer.note(false, [&] {
            table = remembered_table(context.state);
            if (!table) return;
            require_table_rights(*table);
            require_rights_of_creator(context.migration, *table);
            name = name_of(context.state, *table);
            adopted = Json::parse(context.state.detail).value("adopted", false);
        });
        if (!table || name.empty()) return false;
        if (adopted) {
            notice(fmt::format("{}: index {} on {} stays: somebody else has made it", context.label(),
                               tenantmig::quoted(name), table->label()));
            return false;
        }
        TENANTMIG_FAULT("index_dropping");
        return partitioned(*table) ? drop_tree(context, *table, name)
                                   : drop_index_concurrently(*table, name, context.changer);
    }

    std::vector<CheckRow> verify(const MigrationRecord &, const StepState &state) override {
        const auto table = remembered_table(state);
        const Json document = Json::parse(state.detail);
        const std::string name = table ? name_of(state, *table) : document.value("name", std::string());
        const NamedIndex found = table ? find_named_index(*table, name) : NamedIndex();
        CheckRow row;
        row.check_name = fmt::format("index {}", tenantmig::quoted(name));
        row.expected = document.value("definition", std::string());
        row.actual = !found.here ? "no such index" : !found.valid ? "invalid: " + found.definition : found.definition;
        row.status = found.valid && (row.expected.empty() || row.actual == row.expected) ? "PASS" : "FAIL";
        if (row.status == "FAIL") {
            row.detail = "Somebody has dropped, changed or begun to rebuild it since.";
            row.hint = "CALL tenantmig.down, then up, builds it again.";
        }
        return {row};
    }

private:
    core::IndexStep step_;

    static bool partitioned(const Table &table) { return table.kind == RELKIND_PARTITIONED_TABLE; }
    std::string plain_name() const { return core::split_identifier(step_.name).front().text; }
    std::string method() const { return step_.method.empty() ? "btree" : step_.method; }

    // As it is called today, if it was renamed.
    static std::string name_of(const StepState &state, const Table &table) {
        const Json document = Json::parse(state.detail);
        if (document.contains("oid") && document.value("database", Oid{}) == MyDatabaseId) {
            Rows rows = own_query("SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE "
                                  "i.indexrelid = $1 AND i.indrelid = $2",
                                  {oid_value(document.at("oid").get<Oid>()), oid_value(table.oid)});
            if (!rows.empty()) return rows.text_or(0, 1);
        }
        return document.value("name", std::string());
    }

    Error taken(const NamedIndex &found) const {
        return Error(
            sqlstate::duplicate_table,
            fmt::format("spec: {}.name: the name {} is taken", step_.path, tenantmig::quoted(plain_name())),
            fmt::format("There is {}{}{}.", found.what, found.definition.empty() ? "" : ": ", found.definition),
            "Choose another name, or rename or drop that.");
    }

    void require_method() const {
        const std::string name = method();
        auto refuse = [&](const char *field, const char *what) {
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}.{}: an index of method {} {}", step_.path, field, name, what),
                        fmt::format("Found method {}.", name), "Use method: btree.");
        };
        if (step_.unique && name != "btree") refuse("unique", "can't be unique");
        if (!step_.include.empty() && name != "btree" && name != "gist" && name != "spgist")
            refuse("include", "can't include columns");
        if (name == "hash" && step_.columns.size() > 1) refuse("columns", "has one column");
        for (const core::IndexColumn &column : step_.columns)
            if (name != "btree" && (column.descending || column.nulls_first)) refuse("columns", "has no order");
    }

    std::string condition(const Table &table, const core::Condition &written, NameBook &names) const {
        const Column column = names.column(table, written.column, written.path);
        const std::string name = tenantmig::quoted(column.name), type = type_label(column.type);
        std::string values;
        for (const std::string &value : written.values) {
            try {
                RunAs owner(table.owner, Purpose::read);
                (void)datum_from_text(column.type, -1, value);
            } catch (const PgError &error) {
                throw Error(sqlstate::invalid_text_representation,
                            fmt::format("spec: {}: {}", written.path, error.what()),
                            fmt::format("{} is of type {}.", name, type), "Write a value of that type.");
            }
            values += fmt::format("{}{}::{}", values.empty() ? "" : ", ", core::sql_literal(value), type);
        }
        std::string text;
        if (written.values.size() == 1) text = fmt::format("{} {} {}", name, equality_operator(column.type), values);
        if (written.values.size() > 1)
            text = fmt::format("{} {} ANY (ARRAY[{}])", name, equality_operator(column.type), values);
        if (written.or_null) text = text.empty() ? name + " IS NULL" : fmt::format("({} OR {} IS NULL)", text, name);
        return text;
    }

    Shape shape(const Table &table, NameBook &names) const {
        Shape result;
        std::string list, include, where;
        for (std::size_t i = 0; i < step_.columns.size(); i++) {
            const core::IndexColumn &item = step_.columns[i];
            const Column column = names.column(table, item.column, fmt::format("{}.columns[{}]", step_.path, i));
            const bool nulls_first = item.nulls_first.value_or(item.descending);
            list +=
                fmt::format("{}{}{}{}", i ? ", " : "", tenantmig::quoted(column.name), item.descending ? " DESC" : "",
                            nulls_first == item.descending ? ""
                            : nulls_first                  ? " NULLS FIRST"
                                                           : " NULLS LAST");
            result.joined += (i ? "_" : "") + column.name;
            result.keys.push_back(column.number);
            result.options.push_back((item.descending ? INDOPTION_DESC : 0) |
                                     (nulls_first ? INDOPTION_NULLS_FIRST : 0));
        }
        for (std::size_t i = 0; i < step_.include.size(); i++) {
            const Column column = names.column(table, step_.include[i], fmt::format("{}.include[{}]", step_.path, i));
            include += (i ? ", " : "") + tenantmig::quoted(column.name);
            result.joined += "_" + column.name;
            result.included.push_back(column.number);
        }
        for (const core::Condition &item : step_.where)
            where += (where.empty() ? "" : " AND ") + condition(table, item, names);
        result.body = fmt::format("USING {} ({})", method(), list);
        if (!include.empty()) result.body += fmt::format(" INCLUDE ({})", include);
        if (!where.empty()) result.body += " WHERE " + where;
        return result;
    }

    std::string statement(const Table &table, const std::string &name, const Shape &wanted, const char *only) const {
        return fmt::format("CREATE {}INDEX {}{} ON {}{} {}", step_.unique ? "UNIQUE " : "",
                           *only ? "" : "CONCURRENTLY ", tenantmig::quoted(name), only, table.sql(), wanted.body);
    }

    // An index that somebody else has made, and that is just what the step asks for: same columns, order, uniqueness,
    // method, no condition. One with a condition is never taken for the same.
    bool adoptable(const Table &table, const NamedIndex &found, const Shape &wanted) const {
        if (!found.here || !found.valid || found.constraint || !step_.where.empty()) return false;
        std::string keys, options;
        for (int number : wanted.keys)
            keys += (keys.empty() ? "" : " ") + std::to_string(number);
        for (int number : wanted.included)
            keys += " " + std::to_string(number);
        for (int option : wanted.options)
            options += (options.empty() ? "" : " ") + std::to_string(option);
        return own_query(
                   "SELECT i.indkey::text = $2 AND i.indoption::text = $3 AND i.indisunique = $4 AND i.indnkeyatts "
                   "= $5 AND m.amname = $6 AND i.indpred IS NULL AND i.indexprs IS NULL AND c.relkind = CASE WHEN "
                   "$7 THEN 'I' ELSE 'i' END AND NOT EXISTS (SELECT FROM unnest(i.indclass::oid[]) o JOIN "
                   "pg_opclass p ON p.oid = o WHERE NOT p.opcdefault) FROM pg_index i JOIN pg_class c ON c.oid = "
                   "i.indexrelid JOIN pg_am m ON m.oid = c.relam WHERE i.indexrelid = $1",
                   {oid_value(found.oid), text_value(keys), text_value(options), boolean_value(step_.unique),
                    int_value(static_cast<std::int32_t>(wanted.keys.size())), text_value(method()),
                    boolean_value(partitioned(table))})
            .boolean(0, 1);
    }

    // The name of the index of one partition, remembered before it is built.
    std::string part_name(StepContext &context, const Table &part, const Shape &wanted) const {
        std::string name;
        context.changer.note(true, [&] {
            Json document = Json::parse(context.state.detail);
            Json &names = document["parts"];
            const std::string key = part.label();
            if (!names.is_object() || !names.contains(key))
                names[key] = choose_name({part}, wanted.joined, "idx", nullptr);
            name = names[key].get<std::string>();
            context.save("building", document.dump());
        });
        return name;
    }

    bool build_tree(StepContext &context, const Table &table, const std::string &name, const Shape &wanted) const {
        return build_tree_index(table, name,
                                {[&](const Table &one, const std::string &own, bool frame) {
                                     return statement(one, own, wanted, frame ? "ONLY " : "");
                                 },
                                 [&](const Table &part) { return part_name(context, part, wanted); }},
                                context.changer);
    }

    bool drop_tree(StepContext &context, const Table &table, const std::string &name) const {
        const Json parts = Json::parse(context.state.detail).value("parts", Json::object());
        return drop_tree_index(
            table, name, [&](const Table &part) { return parts.value(part.label(), std::string()); }, context.changer);
    }
};
} // namespace

std::unique_ptr<Step> make_index_step(const core::IndexStep &step) {
    return std::make_unique<Index>(step);
}

} // namespace tenantmig

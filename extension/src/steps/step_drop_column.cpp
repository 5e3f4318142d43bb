// drop_column: the column goes, and everything that it was is kept; see kept_column.hpp.
#include "core/excerpt.hpp"

#include <nlohmann/json.hpp>

#include "bridge/results.hpp"
#include "catalog/migration_names.hpp"
#include "engine/guard_trigger.hpp"
#include "steps/kept_column.hpp"
#include "steps/step_column.hpp"
#include "steps/step_kinds.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;

std::string join(const std::vector<std::string> &items) {
    std::string text;
    for (const std::string &item : items)
        text += (text.empty() ? "" : ", ") + item;
    return text;
}

class DropColumn : public Step {
public:
    explicit DropColumn(core::DropColumnStep step) : step_(std::move(step)) {}

    void check(const MigrationRecord &migration, NameBook &names) override {
        if (migration.id && find_kept(migration.id, step_.number)) return; // on its way, or done
        const Table table = names.table(step_.table, step_.path + ".table");
        const Column column = names.column(table, step_.column, step_.path + ".column");
        require_type(table, column);
        check_column_can_go(table, column, migration);
    }

    std::vector<PlanRow> plan(const MigrationRecord &migration) override {
        const Place place = find(migration, get_step_state(migration.id, step_.number));
        const ColumnShape shape = parse_shape(read_shape(place.table, place.column));
        PlanRow row;
        row.step = step_.number;
        row.kind = "drop_column";
        row.count.relation = place.table.label();
        row.count.outcome = "column dropped";
        row.count.rows = std::max<std::int64_t>(0, static_cast<std::int64_t>(place.table.row_estimate));
        row.path = "copy";
        row.locks =
            fmt::format("SHARE ROW EXCLUSIVE, then ACCESS EXCLUSIVE on {}, for a moment each", place.table.label());
        row.note = fmt::format("{} {}; values are kept in a table of the same owner",
                               tenantmig::quoted(place.column.name), shape.type);
        std::vector<std::string> things;
        for (const KeptConstraint &constraint : shape.constraints) {
            if (constraint.foreign)
                row.locks += fmt::format(", ACCESS EXCLUSIVE on {}", qualified(constraint.schema, constraint.table));
            things.push_back("constraint " + tenantmig::quoted(constraint.name));
        }
        for (const KeptIndex &index : shape.indexes)
            things.push_back("index " + tenantmig::quoted(index.name));
        for (const KeptStatistics &statistics : shape.statistics_objects)
            things.push_back("statistics " + tenantmig::quoted(statistics.name));
        if (!things.empty()) row.note += "; goes with it and comes back with down: " + join(things);
        if (!shape.generated.empty())
            row.note += "; a generated column: nothing is copied, but down rewrites the table under ACCESS EXCLUSIVE";
        for (const KeptConstraint &constraint : shape.constraints)
            if (constraint.type == 'x')
                row.note += fmt::format("; down builds exclusion constraint {} under ACCESS EXCLUSIVE",
                                        tenantmig::quoted(constraint.name));
        if (const auto functions = suspicious_functions(place.table, place.column); !functions.empty())
            row.note += "; WARNING, the column's name stands in the text of " + join(functions);
        Rows publications =
            own_query("SELECT string_agg(quote_ident(pubname), ', ') FROM pg_publication WHERE "
                      "puballtables OR oid IN (SELECT pnpubid FROM pg_publication_namespace WHERE pnnspid "
                      "= (SELECT relnamespace FROM pg_class WHERE oid = $1))",
                      {Value{OIDOID, ObjectIdGetDatum(place.table.oid), false}});
        if (auto names = publications.text(0, 1))
            row.note +=
                fmt::format("; WARNING, publication {} covers the table that keeps the values, too: subscribers "
                            "without such a table stop",
                            *names);
        return {row};
    }

    bool applied(const MigrationRecord &, const StepState &state) override { return state.state == "applied"; }

    bool up(StepContext &context) override {
        std::optional<KeptColumn> kept;
        context.changer.note(false, [&] { kept = find_kept(context.migration.id, step_.number); });
        if (kept && (kept->state == "kept" || kept->state == "purged")) return false;
        if (kept && kept->state == "restoring")
            throw Error(
                sqlstate::step_unfinished, fmt::format("{} is on its way back", context.label()),
                fmt::format("Column {} is there again, and not all of its values or constraints are.", kept->label()),
                "CALL tenantmig.down goes on with it; up is possible after that.");
        if (kept) {
            continue_drop(context, std::move(*kept));
            log(context);
            return true;
        }
        Place place;
        std::vector<std::string> functions;
        context.changer.note(true, [&] {
            place = find(context.migration, context.state);
            require_type(place.table, place.column);
            functions = suspicious_functions(place.table, place.column);
            context.save("", remember_table(context.state.detail, place.table));
        });
        if (!functions.empty())
            warning(fmt::format("the name of column {} stands in the text of functions of triggers",
                                tenantmig::quoted(place.column.name)),
                    join(functions), "Make sure that they work without it: if they don't, every write fails.");
        drop_keeping(context, place.table, place.column, "drop_column");
        log(context);
        return true;
    }

    bool down(StepContext &context) override {
        std::optional<KeptColumn> kept;
        context.changer.note(false, [&] { kept = find_kept(context.migration.id, step_.number); });
        if (!kept) return false; // nothing was begun, or all is back
        refuse_purged(*kept);
        bring_back(context, std::move(*kept));
        return true;
    }

    void check_down(const MigrationRecord &migration, const StepState &) override {
        if (auto kept = find_kept(migration.id, step_.number)) refuse_purged(*kept);
    }

    std::vector<CheckRow> verify(const MigrationRecord &migration, const StepState &) override {
        const auto kept = find_kept(migration.id, step_.number);
        if (!kept) return {};
        std::vector<CheckRow> rows;
        const auto table = find_site(kept->site, kept->database);
        CheckRow gone;
        gone.check_name = fmt::format("column {}", tenantmig::quoted(kept->column));
        gone.expected = kept->state == "restoring" ? "there again" : "gone";
        gone.actual = table && table->find(kept->column) ? "there again" : "gone";
        gone.status = gone.expected == gone.actual ? "PASS" : kept->state == "filling" ? "WARN" : "FAIL";
        if (gone.status == "FAIL") {
            gone.detail = "Somebody has added a column of that name since; down refuses to touch it.";
            gone.hint = "Rename or drop that column before down.";
        }
        rows.push_back(gone);
        if (!kept->has_values() && kept->state != "purged") return rows;
        CheckRow values;
        values.check_name = "kept values";
        values.expected = std::to_string(kept->rows);
        if (kept->state == "purged") {
            values.status = "WARN";
            values.actual = "purged";
            values.detail = "There is no way back any more.";
        } else {
            const Oid keep = lookup_table({kept->keep_schema, kept->keep_table});
            values.actual = "none: the table is gone";
            if (OidIsValid(keep)) {
                const auto stored = describe_table(keep);
                RunAs owner(stored->owner, Purpose::read);
                values.actual = run_query("SELECT pg_catalog.count(*) FROM " + stored->sql()).text_or(0, 1);
            }
            values.status = values.actual == values.expected || kept->state != "kept" ? "PASS" : "FAIL";
            if (values.status == "FAIL") {
                values.detail = fmt::format("Somebody has changed {}.", kept->keep_sql());
                values.hint = "Restore it from a backup: without it, down can't bring all values back.";
            }
        }
        rows.push_back(values);
        return rows;
    }

private:
    core::DropColumnStep step_;

    struct Place {
        Table table;
        Column column;
    };

    Place find(const MigrationRecord &migration, const StepState &state) const {
        Place place;
        MigrationPath path(migration);
        MigrationNames book(migration);
        NameBook &names = book.of(step_.number);
        const auto remembered = remembered_table(state);
        place.table = remembered ? *remembered : names.table(step_.table, step_.path + ".table");
        place.column = names.column(place.table, step_.column, step_.path + ".column");
        return place;
    }

    void require_type(const Table &table, const Column &column) const {
        if (step_.type.empty()) return;
        const ParsedType type = parse_type(step_.type, step_.path + ".type");
        Rows rows = own_query(
            "SELECT atttypid = $3 AND atttypmod = $4, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = $1 AND attnum = $2",
            {Value{OIDOID, ObjectIdGetDatum(table.oid), false}, Value{INT2OID, Int16GetDatum(column.number), false},
             Value{OIDOID, ObjectIdGetDatum(type.oid), false}, int_value(type.typmod)});
        if (rows.boolean(0, 1)) return;
        throw Error(sqlstate::datatype_mismatch,
                    fmt::format("spec: {}.type: column {}.{} is not of type {}", step_.path, table.label(),
                                tenantmig::quoted(column.name), type.sql),
                    fmt::format("It is of type {}.", rows.text_or(0, 2)),
                    "Make sure that it is the column you mean; leave type out, or write its type.");
    }

    static void refuse_purged(const KeptColumn &kept) {
        if (kept.state != "purged") return;
        throw Error(sqlstate::no_way_back, fmt::format("the values of {} are gone", kept.label()),
                    "They were kept, and purged.", "Restore the table from a backup.");
    }

    static void log(StepContext &context) {
        context.changer.note(false, [&] {
            const auto kept = find_kept(context.migration.id, context.ref.number);
            if (!kept) return;
            Json text = Json::parse(context.log); // how long the strong lock was held, if it was this attempt's
            text["columns_removed"] = {kept->label()};
            text["rows_kept"] = kept->rows;
            context.log = text.dump();
            notice(fmt::format("{}: column {} dropped, {} rows kept in {}", context.label(), kept->label(), kept->rows,
                               kept->has_values() ? kept->keep_sql() : "no table: it was generated"));
        });
    }
};
} // namespace

std::unique_ptr<Step> make_drop_column_step(const core::DropColumnStep &step) {
    return std::make_unique<DropColumn>(step);
}

} // namespace tenantmig

// The steps sql, add_column, drop_column, index and rekey of a spec, the field `references` of a source; choosing
// steps, and the backfills that a rekey stands for.
#include "core/rekey.hpp"
#include "spec_fixture.hpp"
#include <gtest/gtest.h>

namespace tenantmig::core {
namespace {

constexpr std::string_view kinds =
    "The kinds of step are backfill, sql, add_column, drop_column, index, rekey, guard, constraint and isolate.";

nlohmann::json step(std::string_view kind, std::string_view fields) {
    return with("/steps/2", {{std::string(kind), json(fields)}});
}

Spec read(std::string_view kind, std::string_view fields) {
    return parse_spec(step(kind, fields));
}

// ---- sql

TEST(SpecSql, ReadsEveryField) {
    const Spec spec = read("sql", R"({"up": "CREATE TABLE a ();", "down": "DROP TABLE a;", "verify": "SELECT true",
                                     "transactional": false})");
    ASSERT_EQ(spec.sqls.size(), 1U);
    const SqlStep &sql = spec.sqls[0];
    EXPECT_EQ(sql.path, "steps[2].sql");
    EXPECT_EQ(sql.number, 3);
    EXPECT_EQ(sql.up, "CREATE TABLE a ();");
    EXPECT_EQ(sql.down, "DROP TABLE a;");
    EXPECT_EQ(sql.verify, "SELECT true");
    EXPECT_FALSE(sql.transactional);
}

TEST(SpecSql, OneTransactionAndNoWayBackUnlessSaid) {
    const Spec spec = read("sql", R"({"up": "SELECT 1"})");
    EXPECT_TRUE(spec.sqls.at(0).transactional);
    EXPECT_TRUE(spec.sqls.at(0).down.empty() && spec.sqls.at(0).verify.empty());
}

TEST(SpecSql, RefusesWhatIsNoText) {
    EXPECT_ERROR(read("sql", R"({"down": "SELECT 1"})"), "TM001", "spec: steps[2].sql.up: the field is missing", "",
                 "sql: {up: ");
    EXPECT_ERROR(read("sql", R"({"up": "  \n"})"), "TM001", "spec: steps[2].sql.up: the text is empty", "",
                 "Leave the field out, or write a statement.");
    EXPECT_ERROR(read("sql", R"({"up": {"file": "a.sql"}})"), "TM001",
                 "spec: steps[2].sql.up: a file is read by the client", "", "send the spec with the tenantmig command");
    EXPECT_ERROR(read("sql", R"({"up": "SELECT 1", "transactional": "no"})"), "TM001",
                 "spec: steps[2].sql.transactional: expected true or false", "", "transactional: false");
    EXPECT_ERROR(parse_spec(with("/steps/2", {{"sql", "SELECT 1"}})), "TM001",
                 "spec: steps[2].sql: expected an object");
}

// ---- add_column, drop_column

TEST(SpecColumn, ReadsWhatIsToBeAdded) {
    const Spec spec = read("add_column", R"({"table": "crm.customers", "column": "company_id", "type": " bigint ",
                                            "default": 0, "comment": "its tenant"})");
    const AddColumnStep &column = spec.added_columns.at(0);
    EXPECT_EQ(column.path, "steps[2].add_column");
    EXPECT_EQ(column.number, 3);
    EXPECT_EQ(column.table, "crm.customers");
    EXPECT_EQ(column.column, "company_id");
    EXPECT_EQ(column.type, "bigint");
    EXPECT_EQ(column.default_value, "0");
    EXPECT_EQ(column.default_function, "");
    EXPECT_EQ(column.comment, "its tenant");
}

TEST(SpecColumn, ADefaultIsALiteralOrAFunction) {
    const auto added = [](std::string_view fallback) {
        nlohmann::json fields = json(R"({"table": "t", "column": "c", "type": "text"})");
        fields["default"] = json(fallback);
        return parse_spec(with("/steps/2", {{"add_column", fields}})).added_columns.at(0);
    };
    EXPECT_EQ(added(R"("a'b")").default_value, "a'b");
    EXPECT_EQ(added("true").default_value, "true");
    EXPECT_EQ(added(R"({"function": "pg_catalog.now"})").default_function, "pg_catalog.now");
    EXPECT_FALSE(added(R"({"function": "now"})").default_value);
    EXPECT_ERROR(added(R"({"function": "now", "arguments": []})"), "TM001",
                 "spec: steps[2].add_column.default.arguments: unknown field", "", "The fields here are function");
    EXPECT_ERROR(added("[1]"), "TM001",
                 "spec: steps[2].add_column.default: expected a string, a number, true or false");
}

TEST(SpecColumn, RefusesWhatIsMissingOrTooMuch) {
    EXPECT_ERROR(read("add_column", R"({"table": "t", "column": "c"})"), "TM001",
                 "spec: steps[2].add_column.type: the field is missing");
    EXPECT_ERROR(read("add_column", R"({"table": "t", "column": "c", "type": ""})"), "TM001",
                 "spec: steps[2].add_column.type: expected the name of a type", "", "numeric(10,2)");
    EXPECT_ERROR(read("add_column", R"({"table": "t", "column": "c", "type": "int", "null": true})"), "TM001",
                 "spec: steps[2].add_column.null: unknown field");
    EXPECT_ERROR(read("add_column", R"({"table": "a.b.c", "column": "c", "type": "int"})"), "TM001",
                 "spec: steps[2].add_column.table: the name has too many parts");
    const std::string longest(64, 'x');
    EXPECT_ERROR(parse_spec(with("/steps/2", {{"add_column", {{"table", "t"}, {"column", longest}, {"type", "int"}}}})),
                 "TM001", "spec: steps[2].add_column.column: name \"" + longest + "\" is too long");
}

TEST(SpecColumn, ReadsWhatIsToBeDropped) {
    const Spec spec = read("drop_column", R"({"table": "scopes", "column": "\"Domain\"", "type": "integer"})");
    const DropColumnStep &column = spec.dropped_columns.at(0);
    EXPECT_EQ(column.path, "steps[2].drop_column");
    EXPECT_EQ(column.table, "scopes");
    EXPECT_EQ(column.column, "\"Domain\"");
    EXPECT_EQ(column.type, "integer");
    EXPECT_EQ(read("drop_column", R"({"table": "t", "column": "c"})").dropped_columns.at(0).type, "");
    EXPECT_ERROR(read("drop_column", R"({"column": "c"})"), "TM001",
                 "spec: steps[2].drop_column.table: the field is missing");
}

// ---- index

TEST(SpecIndex, ReadsEveryField) {
    const Spec spec = read("index", R"({"table": "customers", "name": "customers_company", "unique": true,
        "method": "btree", "columns": ["company_id", {"column": "created_at", "order": "desc", "nulls": "last"}],
        "include": ["name"], "where": {"deleted_at": null, "kind": ["a", "b"]}})");
    const IndexStep &index = spec.indexes.at(0);
    EXPECT_EQ(index.path, "steps[2].index");
    EXPECT_EQ(index.number, 3);
    EXPECT_EQ(index.table, "customers");
    EXPECT_EQ(index.name, "customers_company");
    EXPECT_TRUE(index.unique);
    EXPECT_EQ(index.method, "btree");
    ASSERT_EQ(index.columns.size(), 2U);
    EXPECT_EQ(index.columns[0].column, "company_id");
    EXPECT_FALSE(index.columns[0].descending || index.columns[0].nulls_first);
    EXPECT_TRUE(index.columns[1].descending);
    EXPECT_EQ(index.columns[1].nulls_first, false);
    EXPECT_EQ(index.include, std::vector<std::string>{"name"});
    ASSERT_EQ(index.where.size(), 2U);
    EXPECT_TRUE(index.where[0].or_null);
    EXPECT_EQ(index.where[1].values, (std::vector<std::string>{"a", "b"}));
}

TEST(SpecIndex, RefusesOtherWordsAndEmptyLists) {
    EXPECT_ERROR(read("index", R"({"table": "t", "columns": []})"), "TM001",
                 "spec: steps[2].index.columns: the list of columns is empty");
    EXPECT_ERROR(read("index", R"({"table": "t", "columns": "company_id"})"), "TM001",
                 "spec: steps[2].index.columns: expected a list of columns");
    EXPECT_ERROR(read("index", R"({"table": "t", "columns": [{"column": "c", "order": "down"}]})"), "TM001",
                 "spec: steps[2].index.columns[0].order: unknown value", "", "The values are asc and desc");
    EXPECT_ERROR(read("index", R"({"table": "t", "columns": ["c"], "method": "bitmap"})"), "TM001",
                 "spec: steps[2].index.method: unknown value", "", "btree");
    EXPECT_ERROR(read("index", R"({"table": "t", "columns": ["c"], "include": ["a", "A"]})"), "TM001",
                 "spec: steps[2].index.include[1]: the same column twice");
    EXPECT_ERROR(read("index", R"({"table": "t", "columns": ["c"], "unique": 1})"), "TM001",
                 "spec: steps[2].index.unique: expected true or false");
    EXPECT_ERROR(read("index", R"({"table": "t", "columns": ["t.c"]})"), "TM001",
                 "spec: steps[2].index.columns[0]: the name has too many parts");
}

// ---- rekey

constexpr std::string_view rekey_fields = R"({"from": {"table": "domains", "id": "domain_id", "key": "name"},
    "column": "domain", "format": "^[a-z]+$", "within": ["organization_id"],
    "tables": ["scopes", {"table": "audit.events", "via": "owning_domain"}],
    "embed": [{"table": "scopes", "column": "scope_id", "separator": "."}]})";

nlohmann::json rekey_with(const std::string &pointer, const nlohmann::json &value) {
    nlohmann::json fields = json(rekey_fields);
    fields[nlohmann::json::json_pointer(pointer)] = value;
    return with("/steps/2", {{"rekey", fields}});
}

TEST(SpecRekey, ReadsEveryField) {
    const Spec spec = read("rekey", rekey_fields);
    const RekeyStep &rekey = spec.rekeys.at(0);
    EXPECT_EQ(rekey.path, "steps[2].rekey");
    EXPECT_EQ(rekey.number, 3);
    EXPECT_EQ(rekey.root, "domains");
    EXPECT_EQ(rekey.id, "domain_id");
    EXPECT_EQ(rekey.key, "name");
    EXPECT_EQ(rekey.column, "domain");
    EXPECT_EQ(rekey.format, "^[a-z]+$");
    EXPECT_EQ(rekey.within, std::vector<std::string>{"organization_id"});
    ASSERT_EQ(rekey.tables.size(), 2U);
    EXPECT_EQ(rekey.tables[0].table, "scopes");
    EXPECT_EQ(rekey.tables[0].via, "");
    EXPECT_EQ(rekey.tables[1].path, "steps[2].rekey.tables[1]");
    EXPECT_EQ(rekey.tables[1].via, "owning_domain");
    ASSERT_EQ(rekey.embed.size(), 1U);
    EXPECT_EQ(rekey.embed[0].path, "steps[2].rekey.embed[0]");
    EXPECT_EQ(rekey.embed[0].column, "scope_id");
    EXPECT_EQ(rekey.embed[0].separator, ".");
}

TEST(SpecRekey, RefusesWhatIsMissingOrWrong) {
    EXPECT_ERROR(read("rekey", R"({"column": "domain", "tables": ["scopes"]})"), "TM001",
                 "spec: steps[2].rekey.from: the field is missing");
    EXPECT_ERROR(parse_spec(rekey_with("/from", "domains")), "TM001", "spec: steps[2].rekey.from: expected an object");
    EXPECT_ERROR(parse_spec(rekey_with("/from", json(R"({"table": "domains", "id": "domain_id"})"))), "TM001",
                 "spec: steps[2].rekey.from.key: the field is missing");
    EXPECT_ERROR(parse_spec(rekey_with("/tables", json("[]"))), "TM001",
                 "spec: steps[2].rekey.tables: the list of tables is empty");
    EXPECT_ERROR(parse_spec(rekey_with("/tables/1/column", "x")), "TM001",
                 "spec: steps[2].rekey.tables[1].column: unknown field");
    EXPECT_ERROR(parse_spec(rekey_with("/format", "")), "TM001",
                 "spec: steps[2].rekey.format: expected a regular expression of 1 to 1000 bytes");
    EXPECT_ERROR(parse_spec(rekey_with("/embed/0/separator", "")), "TM001",
                 "spec: steps[2].rekey.embed[0].separator: expected a text of 1 to 20 bytes");
    EXPECT_ERROR(parse_spec(rekey_with("/within", json(R"(["a", "a"])"))), "TM001",
                 "spec: steps[2].rekey.within[1]: the same column twice");
}

// ---- a parent without a foreign key

Source source(std::string_view text) {
    return parse_spec(with("/steps/1/backfill/sources/0", json(text))).steps.at(1).sources.at(0);
}

TEST(SpecReferences, NamesWhatAColumnLeadsTo) {
    const Source named = source(R"({"via": "branch_id", "references": "crm.branches.code"})");
    EXPECT_EQ(named.kind, SourceKind::parent);
    EXPECT_EQ(named.references_table, "crm.branches");
    EXPECT_EQ(named.references_column, "code");
    EXPECT_EQ(source(R"({"via": "branch_id"})").references_table, "");
}

TEST(SpecReferences, GoesWithAParentOnly) {
    constexpr std::string_view wrong =
        "spec: steps[1].backfill.sources[0].references: goes with a column of the step's own table only";
    EXPECT_ERROR(source(R"({"via": "orders.customer_id", "references": "orders.id"})"), "TM001", std::string(wrong), "",
                 "{via: branch_id, references: branches.id}");
    EXPECT_ERROR(source(R"({"path": ["a", "b"], "references": "orders.id"})"), "TM001", std::string(wrong));
}

// ---- all steps of a spec

Spec whole() {
    return parse_spec(with("/steps", json(R"([
        {"add_column": {"table": "scopes", "column": "a", "type": "int"}},
        {"backfill": {"table": "notes", "column": "company_id", "sources": [{"via": "customer_id"}]}},
        {"rekey": {"from": {"table": "domains", "id": "domain_id", "key": "name"}, "column": "domain",
                   "tables": ["scopes", {"table": "events", "via": "owner_id"}]}},
        {"guard": {"kind": "immutable", "table": "scopes", "column": "domain"}},
        {"add_column": {"table": "scopes", "column": "b", "type": "int"}},
        {"constraint": {"table": "scopes", "column": "domain", "not_null": true}},
        {"drop_column": {"table": "scopes", "column": "domain_id"}}])")));
}

TEST(SpecOrder, IsThatOfTheDocument) {
    const Spec spec = whole();
    const StepKind kinds_in_order[] = {StepKind::add_column, StepKind::backfill,   StepKind::rekey,
                                       StepKind::guard,      StepKind::add_column, StepKind::constraint,
                                       StepKind::drop_column};
    ASSERT_EQ(spec.order.size(), std::size(kinds_in_order));
    for (std::size_t i = 0; i < spec.order.size(); ++i) {
        EXPECT_EQ(spec.order[i].kind, kinds_in_order[i]);
        EXPECT_EQ(spec.order[i].number, static_cast<int>(i) + 1);
    }
    EXPECT_EQ(spec.order[4].index, 1U); // the second of its kind
    EXPECT_EQ(spec.added_columns[1].column, "b");
}

TEST(SpecOrder, StructuralStepsChangeWhichObjectsThereAre) {
    for (const StepKind kind :
         {StepKind::sql, StepKind::add_column, StepKind::drop_column, StepKind::index, StepKind::rekey})
        EXPECT_TRUE(is_structural(kind)) << step_name(kind);
    for (const StepKind kind : {StepKind::backfill, StepKind::guard, StepKind::constraint, StepKind::isolate})
        EXPECT_FALSE(is_structural(kind)) << step_name(kind);
}

TEST(SpecSelect, KeepsTheseAndTheirPlaces) {
    const Spec spec = select_steps(whole(), {2, 5, 6});
    ASSERT_EQ(spec.order.size(), 3U);
    EXPECT_EQ(spec.order[1].kind, StepKind::add_column);
    EXPECT_EQ(spec.order[1].number, 5);
    EXPECT_EQ(spec.order[1].index, 0U);
    EXPECT_EQ(spec.added_columns.at(spec.order[1].index).column, "b");
    EXPECT_EQ(spec.steps.size(), 1U);
    EXPECT_EQ(spec.constraints.size(), 1U);
    EXPECT_TRUE(spec.guards.empty() && spec.rekeys.empty() && spec.dropped_columns.empty());
    EXPECT_EQ(spec.tenants_table, "crm.companies");
}

TEST(SpecSelect, OfNoneLeavesNone) {
    const Spec spec = select_steps(whole(), {});
    EXPECT_TRUE(spec.order.empty() && spec.steps.empty() && spec.added_columns.empty());
}

TEST(Rekey, StandsForABackfillOfEachTable) {
    const Spec spec = whole();
    const std::vector<BackfillStep> backfills = rekey_backfills(spec.rekeys.at(0));
    ASSERT_EQ(backfills.size(), 2U);
    EXPECT_EQ(backfills[0].number, 3001);
    EXPECT_EQ(backfills[1].number, 3002);
    EXPECT_EQ(backfills[0].path, "steps[2].rekey.tables[0]");
    EXPECT_EQ(backfills[0].table, "scopes");
    EXPECT_EQ(backfills[0].column, "domain");
    EXPECT_EQ(backfills[0].tenants_table, "domains");
    EXPECT_EQ(backfills[0].tenants_key, "domain");
    ASSERT_EQ(backfills[0].sources.size(), 1U);
    const Source &evidence = backfills[0].sources[0];
    EXPECT_EQ(evidence.kind, SourceKind::parent);
    EXPECT_EQ(evidence.column, "domain_id"); // as in the tenant root
    EXPECT_EQ(evidence.references_table, "domains");
    EXPECT_EQ(evidence.references_column, "domain_id");
    EXPECT_EQ(evidence.tenant, "domain");
    EXPECT_EQ(backfills[1].sources.at(0).column, "owner_id");
}

TEST(SpecKinds, AnUnknownOneIsRefusedWithAllThereAre) {
    EXPECT_ERROR(parse_spec(with("/steps/2", {{"vacuum", json("{}")}})), "TM001",
                 "spec: steps[2].vacuum: unknown kind of step", "", std::string(kinds));
    EXPECT_ERROR(parse_spec(with("/steps/2", {{"isolate", json("{}")}})), "TM001",
                 "spec: steps[2].isolate.tables: the field is missing");
}

} // namespace
} // namespace tenantmig::core

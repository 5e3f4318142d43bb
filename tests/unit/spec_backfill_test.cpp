// The backfill step: sources, conditions, policies and limits.
#include "spec_fixture.hpp"

namespace tenantmig::core {
namespace {

const std::string step = "/steps/0/backfill";
const std::string sources = step + "/sources";
using Texts = std::vector<std::string>;

// The first source of the full spec replaced by `text`, parsed.
Source source(std::string_view text) {
    return parse_spec(with(sources + "/0", json(text))).steps.at(0).sources.at(0);
}
Condition condition(std::string_view value) {
    return parse_spec(with(step + "/where", {{"status", json(value)}})).steps.at(0).where.at(0);
}

TEST(Backfill, ReadsEveryField) {
    const BackfillStep read = parse_spec_text(full_spec).steps.at(0);
    EXPECT_EQ(read.table, "customers");
    EXPECT_EQ(read.column, "company_id");
    EXPECT_EQ(read.soft_delete, "deleted_at");
    EXPECT_EQ(read.evidence, Evidence::first);
    EXPECT_EQ(read.on_conflict, OnConflict::majority);
    EXPECT_EQ(read.on_orphan, OnOrphan::assign);
    EXPECT_EQ(read.assign, "7");
    EXPECT_EQ(read.preflight.min_coverage, 0.75);
    EXPECT_EQ(read.preflight.max_conflicts, 10);
    EXPECT_EQ(read.preflight.expected_nulls, 31);
    ASSERT_EQ(read.where.size(), 2U);
    EXPECT_EQ(read.where[0].column, "deleted_at");
    EXPECT_TRUE(read.where[0].or_null);
    EXPECT_TRUE(read.where[0].values.empty());
    EXPECT_EQ(read.where[0].path, "steps[0].backfill.where.deleted_at");
    EXPECT_EQ(read.where[1].values, Texts{"person"});
    EXPECT_FALSE(read.where[1].or_null);
}

TEST(Backfill, ReadsEverySource) {
    const auto all = parse_spec_text(full_spec).steps.at(0).sources;
    ASSERT_EQ(all.size(), 5U);
    EXPECT_EQ(all[0].kind, SourceKind::children);
    EXPECT_EQ(all[0].label, "appointments.customer_id");
    EXPECT_EQ(all[0].table, "appointments");
    EXPECT_EQ(all[0].column, "customer_id");
    EXPECT_EQ(all[0].tenant, "company_id");
    EXPECT_EQ(all[0].path, "steps[0].backfill.sources[0]");
    ASSERT_EQ(all[0].where.size(), 2U);
    EXPECT_EQ(all[0].where[0].values, Texts{"false"});
    EXPECT_EQ(all[0].where[1].values, Texts{"done"});
    EXPECT_TRUE(all[0].where[1].or_null);
    EXPECT_EQ(all[0].where[1].path, "steps[0].backfill.sources[0].where.status");
    EXPECT_EQ(all[1].kind, SourceKind::children);
    EXPECT_EQ(all[1].table, "crm.\"Phone Numbers\"");
    EXPECT_EQ(all[1].column, "customer_id");
    EXPECT_EQ(all[1].label, "crm.\"Phone Numbers\".customer_id");
    EXPECT_FALSE(all[1].tenant.has_value());
    EXPECT_EQ(all[2].kind, SourceKind::parent);
    EXPECT_EQ(all[2].column, "branch_id");
    EXPECT_EQ(all[2].table, "");
    EXPECT_EQ(all[3].kind, SourceKind::polymorphic);
    EXPECT_EQ(all[3].column, "owner_id");
    EXPECT_EQ(all[3].type_column, "owner_type");
    ASSERT_EQ(all[3].types.size(), 2U);
    EXPECT_EQ(all[3].types[0].type_value, "Invoice");
    EXPECT_EQ(all[3].types[0].table, "invoices");
    EXPECT_EQ(all[3].types[1].table, "sales.orders");
    EXPECT_EQ(all[4].kind, SourceKind::path);
    EXPECT_EQ(all[4].hops, (Texts{"order_id", "customer_id"}));
    EXPECT_EQ(all[4].label, "order_id/customer_id");
}

TEST(Backfill, RequiredFields) {
    EXPECT_ERROR(parse_spec(without(step, "table")), "TM001", "spec: steps[0].backfill.table: the field is missing", "",
                 "table: customers");
    EXPECT_ERROR(parse_spec(without(step, "column")), "TM001", "spec: steps[0].backfill.column: the field is missing",
                 "", "column: company_id");
    EXPECT_ERROR(parse_spec(without(step, "sources")), "TM001", "spec: steps[0].backfill.sources: the field is missing",
                 "", "sources: [{via: appointments.customer_id}]");
    EXPECT_ERROR(parse_spec(with(step, nullptr)), "TM001", "spec: steps[0].backfill: expected an object", "Found null.",
                 "Its fields are table, column, soft_delete");
}

TEST(Backfill, UnknownFieldsAreRefusedWithTheNearest) {
    EXPECT_ERROR(parse_spec(with(step + "/softdelete", "x")), "TM001",
                 "spec: steps[0].backfill.softdelete: unknown field", "", "Did you mean \"soft_delete\"?");
    EXPECT_ERROR(parse_spec(with(step + "/on-conflict", "x")), "TM001",
                 "spec: steps[0].backfill.on-conflict: unknown field", "", "Did you mean \"on_conflict\"?");
    EXPECT_ERROR(parse_spec(with(step + "/source", json("[]"))), "TM001",
                 "spec: steps[0].backfill.source: unknown field", "Found a list of 0 elements.",
                 "Did you mean \"sources\"?");
    EXPECT_ERROR(parse_spec(with(step + "/eivdence", "x")), "TM001", "spec: steps[0].backfill.eivdence: unknown field",
                 "", "Did you mean \"evidence\"?");
    EXPECT_ERROR(parse_spec(with(sources + "/0/type_colunm", "x")), "TM001",
                 "spec: steps[0].backfill.sources[0].type_colunm: unknown field", "", "Did you mean \"type_column\"?");
    EXPECT_ERROR(parse_spec(with(step + "/preflight/min_covrage", 1)), "TM001",
                 "spec: steps[0].backfill.preflight.min_covrage: unknown field", "", "Did you mean \"min_coverage\"?");
}

TEST(Backfill, TableAndColumnAreNames) {
    EXPECT_EQ(parse_spec(with(step + "/table", "\"A.b\".\"C d\"")).steps[0].table, "\"A.b\".\"C d\"");
    EXPECT_ERROR(parse_spec(with(step + "/table", "db.public.customers")), "TM001",
                 "spec: steps[0].backfill.table: the name has too many parts", "db.public.customers");
    EXPECT_ERROR(parse_spec(with(step + "/table", "my customers")), "TM001",
                 "spec: steps[0].backfill.table: invalid name \"my customers\"", "A dot was expected", "\"My Table\"");
    EXPECT_ERROR(parse_spec(with(step + "/column", "customers.company_id")), "TM001",
                 "spec: steps[0].backfill.column: the name has too many parts");
    EXPECT_ERROR(parse_spec(with(step + "/column", std::string(70, 'c'))), "TM001",
                 "spec: steps[0].backfill.column: name \"" + std::string(70, 'c') + "\" is too long",
                 "It has 70 bytes");
    EXPECT_ERROR(parse_spec(with(step + "/column", json("[\"a\"]"))), "TM001",
                 "spec: steps[0].backfill.column: expected a string", "Found a list of 1 element.");
    EXPECT_ERROR(parse_spec(with(step + "/column", std::string("c\0", 2))), "TM001",
                 "spec: steps[0].backfill.column: a string contains the character \\u0000");
}

TEST(Backfill, SoftDelete) {
    EXPECT_EQ(parse_spec(with(step + "/on_orphan", "soft_delete")).steps[0].on_orphan, OnOrphan::soft_delete);
    nlohmann::json document = without(step, "soft_delete");
    document["steps"][0]["backfill"]["on_orphan"] = "soft_delete";
    EXPECT_ERROR(parse_spec(document), "TM001",
                 "spec: steps[0].backfill.on_orphan: soft_delete needs to know the column that marks deleted rows", "",
                 "soft_delete: deleted_at");
    EXPECT_ERROR(parse_spec(with(step + "/soft_delete", "Company_ID")), "TM001",
                 "spec: steps[0].backfill.soft_delete: the column is the tenant key itself");
    EXPECT_ERROR(parse_spec(with(step + "/soft_delete", true)), "TM001",
                 "spec: steps[0].backfill.soft_delete: expected a string", "Found true.");
}

TEST(Backfill, Policies) {
    EXPECT_EQ(parse_spec(with(step + "/evidence", "unanimous")).steps[0].evidence, Evidence::unanimous);
    EXPECT_EQ(parse_spec(with(step + "/on_conflict", "review")).steps[0].on_conflict, OnConflict::review);
    EXPECT_EQ(parse_spec(with(step + "/on_conflict", "fail")).steps[0].on_conflict, OnConflict::fail);
    EXPECT_EQ(parse_spec(with(step + "/on_orphan", "review")).steps[0].on_orphan, OnOrphan::review);
    EXPECT_EQ(parse_spec(with(step + "/on_orphan", "fail")).steps[0].on_orphan, OnOrphan::fail);
    EXPECT_ERROR(parse_spec(with(step + "/evidence", "unanimus")), "TM001",
                 "spec: steps[0].backfill.evidence: unknown value", "Found the string \"unanimus\".",
                 "Did you mean \"unanimous\"? The values are unanimous and first.");
    EXPECT_ERROR(parse_spec(with(step + "/on_conflict", "newest")), "TM001",
                 "spec: steps[0].backfill.on_conflict: unknown value", "", "The values are review, majority and fail.");
    EXPECT_ERROR(parse_spec(with(step + "/on_conflict", 1)), "TM001",
                 "spec: steps[0].backfill.on_conflict: expected a string", "Found the number 1.");
    EXPECT_ERROR(parse_spec(with(step + "/on_orphan", "delete")), "TM001",
                 "spec: steps[0].backfill.on_orphan: unknown value", "", "review, soft_delete and fail");
    EXPECT_ERROR(parse_spec(with(step + "/on_orphan", json("[]"))), "TM001",
                 "spec: steps[0].backfill.on_orphan: expected a string");
}

TEST(Backfill, AssignTakesATenant) {
    const auto assigned = [](const nlohmann::json &tenant) {
        return parse_spec(with(step + "/on_orphan", {{"assign", tenant}})).steps[0].assign;
    };
    EXPECT_EQ(assigned("acme"), "acme");
    EXPECT_EQ(assigned(-1), "-1");
    EXPECT_EQ(assigned(UINT64_MAX), "18446744073709551615");
    EXPECT_EQ(assigned(true), "true");
    const std::string path = "spec: steps[0].backfill.on_orphan";
    EXPECT_ERROR(assigned(1.5), "TM001", path + ".assign: expected a string, a whole number, true or false",
                 "Found the number 1.5.", "on_orphan: {assign: 7}");
    EXPECT_ERROR(assigned(nullptr), "TM001", path + ".assign: expected a string, a whole number, true or false",
                 "Found null.");
    EXPECT_ERROR(assigned(""), "TM001", path + ".assign: the tenant is empty");
    EXPECT_ERROR(assigned(std::string("\0", 1)), "TM001", path + ".assign: a string contains the character \\u0000");
    EXPECT_ERROR(parse_spec(with(step + "/on_orphan", "assign")), "TM001", path + ": assign needs a tenant", "",
                 "{assign: 7}");
    EXPECT_ERROR(parse_spec(with(step + "/on_orphan", json("{}"))), "TM001", path + ".assign: the field is missing");
    EXPECT_ERROR(parse_spec(with(step + "/on_orphan", json(R"({"asign": 7})"))), "TM001",
                 path + ".asign: unknown field", "", "Did you mean \"assign\"?");
}

TEST(Backfill, PreflightLimits) {
    const std::string path = "spec: steps[0].backfill.preflight";
    EXPECT_EQ(parse_spec(with(step + "/preflight/min_coverage", 1)).steps[0].preflight.min_coverage, 1.0);
    EXPECT_EQ(parse_spec(with(step + "/preflight/min_coverage", 0)).steps[0].preflight.min_coverage, 0.0);
    EXPECT_EQ(parse_spec(with(step + "/preflight/expected_nulls", 0)).steps[0].preflight.expected_nulls, 0);
    EXPECT_ERROR(parse_spec(with(step + "/preflight/min_coverage", 75)), "TM001",
                 path + ".min_coverage: expected a number from 0 to 1", "Found the number 75.", "write 0.75 for 75 %");
    EXPECT_ERROR(parse_spec(with(step + "/preflight/min_coverage", "75%")), "TM001",
                 path + ".min_coverage: expected a number from 0 to 1");
    EXPECT_ERROR(parse_spec(with(step + "/preflight/min_coverage", -0.1)), "TM001",
                 path + ".min_coverage: expected a number from 0 to 1");
    EXPECT_ERROR(parse_spec(with(step + "/preflight/max_conflicts", 0)), "TM001",
                 path + ".max_conflicts: expected a whole number of at least 1", "Found the number 0.",
                 "fails at this number or more");
    EXPECT_ERROR(parse_spec(with(step + "/preflight/expected_nulls", -1)), "TM001",
                 path + ".expected_nulls: expected a whole number of at least 0");
    EXPECT_ERROR(parse_spec(with(step + "/preflight/expected_nulls", 31.0)), "TM001",
                 path + ".expected_nulls: expected a whole number of at least 0", "31.0");
    EXPECT_ERROR(parse_spec(with(step + "/preflight", json("[]"))), "TM001", path + ": expected an object");
}

TEST(Sources, MustBeAListWithElements) {
    const std::string path = "spec: steps[0].backfill.sources";
    EXPECT_ERROR(parse_spec(with(sources, json("[]"))), "TM001", path + ": the list of sources is empty", "",
                 "sources: [{via:");
    EXPECT_ERROR(parse_spec(with(sources, json("{}"))), "TM001", path + ": expected a list of sources");
    EXPECT_ERROR(source("\"appointments.customer_id\""), "TM001", path + "[0]: expected an object",
                 "Found the string \"appointments.customer_id\".", "Write {via: appointments.customer_id}.");
    EXPECT_ERROR(source("7"), "TM001", path + "[0]: expected an object", "Found the number 7.",
                 "via, path, type_column");
    EXPECT_ERROR(source("{}"), "TM001", path + "[0]: a source needs via or path", "",
                 "{path: [order_id, customer_id]}");
    EXPECT_ERROR(source(R"({"via": "a.b", "path": ["c", "d"]})"), "TM001",
                 path + "[0]: a source has via or path, not both");
}

TEST(Sources, AtMostAHundred) {
    nlohmann::json list = nlohmann::json::array();
    for (int i = 0; i < 100; ++i)
        list.push_back({{"via", "t" + std::to_string(i) + ".c"}});
    EXPECT_EQ(parse_spec(with(sources, list)).steps[0].sources.size(), 100U);
    list.push_back({{"via", "t.c"}});
    EXPECT_ERROR(parse_spec(with(sources, list)), "TM001", "spec: steps[0].backfill.sources: more than 100 sources",
                 "Found a list of 101 elements.");
}

TEST(Sources, ViaSplitsAtTheLastDotOutsideQuotes) {
    EXPECT_EQ(source(R"({"via": "\"a.b\".c"})").table, "\"a.b\"");
    EXPECT_EQ(source(R"({"via": "a.\"b.c\""})").column, "\"b.c\"");
    EXPECT_EQ(source(R"({"via": "\"a\"\".b\" . c"})").table, "\"a\"\".b\"");
    EXPECT_EQ(source(R"({"via": "\"a\"\".b\" . c"})").column, "c");
    EXPECT_EQ(source(R"({"via": "\"a.b\""})").kind, SourceKind::parent);
    EXPECT_EQ(source(R"({"via": " s.t.c "})").table, "s.t");
    EXPECT_EQ(source(R"({"via": " s.t.c "})").label, "s.t.c");
}

TEST(Sources, ViaIsAName) {
    const std::string path = "spec: steps[0].backfill.sources[0].via: ";
    EXPECT_ERROR(source(R"({"via": ""})"), "TM001", path + "invalid name \"\"", "It is empty.");
    EXPECT_ERROR(source(R"({"via": "a.b.c.d"})"), "TM001", path + "the name has too many parts", "",
                 "appointments.customer_id");
    EXPECT_ERROR(source(R"({"via": "a.\"b"})"), "TM001", path + R"(invalid name "a.\"b")", "is not closed");
    EXPECT_ERROR(source(R"({"via": ["a"]})"), "TM001", path + "expected a string");
    EXPECT_ERROR(source(R"({"via": "a.b\u0000"})"), "TM001", path + "a string contains the character \\u0000",
                 R"("a.b\u0000")");
}

TEST(Sources, PolymorphicNeedsBothFields) {
    const std::string path = "spec: steps[0].backfill.sources[0]";
    EXPECT_ERROR(source(R"({"via": "o_id", "types": {"A": "a"}})"), "TM001",
                 path + ".type_column: the field is missing", "", "type_column: owner_type");
    EXPECT_ERROR(source(R"({"via": "o_id", "type_column": "o_type"})"), "TM001", path + ".types: the field is missing");
    EXPECT_ERROR(source(R"({"via": "x.o_id", "type_column": "o_type", "types": {"A": "a"}})"), "TM001",
                 path + ".via: expected a column of the step's own table", "x.o_id");
    EXPECT_ERROR(source(R"({"path": ["o_id"], "type_column": "o_type"})"), "TM001",
                 path + ".type_column: the field goes together with via, not with path");
    EXPECT_ERROR(source(R"({"path": ["o_id"], "types": {}})"), "TM001",
                 path + ".types: the field goes together with via, not with path");
    EXPECT_ERROR(source(R"({"via": "o_id", "type_column": "a.b", "types": {"A": "a"}})"), "TM001",
                 path + ".type_column: the name has too many parts");
}

TEST(Sources, TypesMapValuesToTables) {
    const std::string path = "spec: steps[0].backfill.sources[0].types";
    const auto types = [](const std::string &text) {
        return source(R"({"via": "o_id", "type_column": "o_type", "types": )" + text + "}").types;
    };
    EXPECT_EQ(types(R"({"App\\Models\\Order": "\"Orders\""})").at(0).type_value, "App\\Models\\Order");
    EXPECT_EQ(types(R"({"B": "t", "A": "t"})").size(), 2U);
    EXPECT_ERROR(types("{}"), "TM001", path + ": expected an object of type values and tables", "",
                 "types: {Invoice: invoices");
    EXPECT_ERROR(types("[\"a\"]"), "TM001", path + ": expected an object of type values and tables");
    EXPECT_ERROR(types(R"({"A": null})"), "TM001", path + ".A: expected a string", "Found null.");
    EXPECT_ERROR(types(R"({"A b": "x.y.z"})"), "TM001", path + "[\"A b\"]: the name has too many parts");
    EXPECT_ERROR(types(R"({"A\u0000": "a"})"), "TM001",
                 path + "[\"A\\u0000\"]: a string contains the character \\u0000");
    nlohmann::json many = nlohmann::json::object();
    for (int i = 0; i < 101; ++i)
        many["T" + std::to_string(i)] = "t";
    EXPECT_ERROR(types(many.dump()), "TM001", path + ": more than 100 types");
}

TEST(Sources, PathsAreListsOfColumns) {
    const std::string path = "spec: steps[0].backfill.sources[0].path";
    EXPECT_EQ(source(R"({"path": ["\"Order Id\"", "b", "c"]})").label, "\"Order Id\"/b/c");
    EXPECT_EQ(source(R"({"path": ["order_id"]})").kind, SourceKind::path);
    EXPECT_ERROR(source(R"({"path": []})"), "TM001", path + ": the list of columns is empty", "",
                 "path: [order_id, customer_id]");
    EXPECT_ERROR(source(R"({"path": "order_id"})"), "TM001", path + ": expected a list of columns", "Found the string");
    EXPECT_ERROR(source(R"({"path": ["a", "b.c"]})"), "TM001", path + "[1]: the name has too many parts");
    EXPECT_ERROR(source(R"({"path": ["a", 1]})"), "TM001", path + "[1]: expected a string", "Found the number 1.");
    nlohmann::json hops = nlohmann::json::array();
    for (int i = 0; i < 21; ++i)
        hops.push_back("h");
    EXPECT_ERROR(source(nlohmann::json({{"path", hops}}).dump()), "TM001", path + ": more than 20 columns");
}

TEST(Sources, TenantIsAColumn) {
    EXPECT_EQ(source(R"({"via": "a.b", "tenant": " \"Org\" "})").tenant, "\"Org\"");
    EXPECT_ERROR(source(R"({"via": "a.b", "tenant": 7})"), "TM001",
                 "spec: steps[0].backfill.sources[0].tenant: expected a string", "Found the number 7.",
                 "tenant: company_id");
    EXPECT_ERROR(source(R"({"via": "a.b", "tenant": "a.b"})"), "TM001",
                 "spec: steps[0].backfill.sources[0].tenant: the name has too many parts");
}

// A source counted twice would outvote the others.
TEST(Sources, DuplicatesAreRefused) {
    const auto both = [](std::string_view a, std::string_view b) {
        return parse_spec(with(sources, nlohmann::json::array({json(a), json(b)}))).steps[0].sources;
    };
    const std::string message = "spec: steps[0].backfill.sources[1]: the same source twice";
    EXPECT_ERROR(both(R"({"via": "a.b"})", R"({"via": "a.b"})"), "TM001", message,
                 "It says the same as steps[0].backfill.sources[0].", "outvote");
    EXPECT_ERROR(both(R"({"via": "a.b"})", R"({"via": "A . \"b\""})"), "TM001", message);
    EXPECT_ERROR(both(R"({"via": "a"})", R"({"path": ["a"]})"), "TM001", message);
    EXPECT_ERROR(both(R"({"path": ["a", "b"]})", R"({"path": ["a", "B"]})"), "TM001", message);
    EXPECT_ERROR(both(R"({"via": "a.b", "where": {"s": [1, 2]}})", R"({"via": "a.b", "where": {"S": ["2", "1"]}})"),
                 "TM001", message);
    EXPECT_ERROR(both(R"({"via": "o", "type_column": "t", "types": {"A": "a"}})",
                      R"({"via": "o", "type_column": "T", "types": {"A": "A"}})"),
                 "TM001", message);
}

TEST(Sources, DifferentConditionsMakeDifferentSourcesAndLabels) {
    const auto labels = [](std::string_view list) {
        Texts all;
        const Spec spec = parse_spec(with(sources, json(list)));
        for (const Source &s : spec.steps[0].sources)
            all.push_back(s.label);
        return all;
    };
    EXPECT_EQ(labels(R"([{"via": "a.b", "where": {"s": 1}}, {"via": "a.b"}, {"via": "a.b", "where": {"s": null}}])"),
              (Texts{"a.b", "a.b #2", "a.b #3"}));
    EXPECT_EQ(labels(R"([{"via": "a.b", "tenant": "x"}, {"via": "a.b", "tenant": "y"}])"), (Texts{"a.b", "a.b #2"}));
    EXPECT_EQ(labels(R"([{"via": "a.b"}, {"via": "\"a.b\""}, {"path": ["a", "b"]}])"),
              (Texts{"a.b", "\"a.b\"", "a/b"}));
    EXPECT_EQ(labels(R"([{"via": "o", "type_column": "t", "types": {"a": "b", "c": "d.e"}},
                       {"via": "o", "type_column": "t", "types": {"a": "b.c", "d": "e"}}])"),
              (Texts{"o", "o #2"}));
}

TEST(Where, TakesScalarsNullAndLists) {
    EXPECT_EQ(condition("\"a\"").values, Texts{"a"});
    EXPECT_EQ(condition("\"\"").values, Texts{""});
    EXPECT_EQ(condition("5").values, Texts{"5"});
    EXPECT_EQ(condition("-9223372036854775808").values, Texts{"-9223372036854775808"});
    EXPECT_EQ(condition("2.5").values, Texts{"2.5"});
    EXPECT_EQ(condition("true").values, Texts{"true"});
    EXPECT_FALSE(condition("true").or_null);
    EXPECT_TRUE(condition("null").values.empty());
    EXPECT_TRUE(condition("null").or_null);
    EXPECT_EQ(condition("[\"a\", 1, false]").values, (Texts{"a", "1", "false"}));
    EXPECT_TRUE(condition("[\"a\", null]").or_null);
    EXPECT_TRUE(parse_spec(with(step + "/where", json("{}"))).steps[0].where.empty());
}

TEST(Where, IsStructuredNeverSql) {
    const std::string path = "spec: steps[0].backfill.where";
    EXPECT_ERROR(parse_spec(with(step + "/where", "status = 'a'")), "TM001",
                 path + ": expected an object of columns and values", "Found the string \"status = 'a'\".", "not SQL");
    EXPECT_ERROR(condition("{\"gt\": 1}"), "TM001", path + ".status: expected a value, null or a list of them",
                 "the field \"gt\"", "deleted_at: null");
    EXPECT_ERROR(condition("[[1]]"), "TM001", path + ".status[0]: expected a string, a number, true or false",
                 "Found a list of 1 element.");
    EXPECT_ERROR(condition("[\"a\", {}]"), "TM001", path + ".status[1]: expected a string, a number, true or false");
    EXPECT_ERROR(condition("[]"), "TM001", path + ".status: the list of values is empty");
    EXPECT_ERROR(condition("\"a\\u0000\""), "TM001", path + ".status: a string contains the character \\u0000");
    EXPECT_ERROR(condition("[\"a\", \"\\u0000\"]"), "TM001",
                 path + ".status[1]: a string contains the character \\u0000");
}

TEST(Where, ColumnsAreNames) {
    const std::string path = "spec: steps[0].backfill.where";
    const auto where = [](std::string_view text) { return parse_spec(with(step + "/where", json(text))); };
    EXPECT_EQ(where(R"({"\"My Status\"": 1})").steps[0].where[0].column, "\"My Status\"");
    EXPECT_ERROR(where(R"({"a.b": 1})"), "TM001", path + "[\"a.b\"]: the name has too many parts");
    EXPECT_ERROR(where(R"({"my status": 1})"), "TM001", path + "[\"my status\"]: invalid name \"my status\"");
    EXPECT_ERROR(where(R"({"": 1})"), "TM001", path + "[\"\"]: invalid name \"\"");
    EXPECT_ERROR(where(R"({"status": 1, "STATUS": 2})"), "TM001", path + ".status: the column is there twice", "",
                 "into one list");
    nlohmann::json many = nlohmann::json::object();
    for (int i = 0; i < 101; ++i)
        many["c" + std::to_string(i)] = 1;
    EXPECT_ERROR(parse_spec(with(step + "/where", many)), "TM001", path + ": more than 100 columns");
}

TEST(Where, AtMostTenThousandValues) {
    nlohmann::json values = nlohmann::json::array();
    for (int i = 0; i < 10000; ++i)
        values.push_back(i);
    EXPECT_EQ(condition(values.dump()).values.size(), 10000U);
    values.push_back(nullptr);
    EXPECT_ERROR(condition(values.dump()), "TM001", "spec: steps[0].backfill.where.status: more than 10000 values",
                 "Found a list of 10001 elements.");
}

} // namespace
} // namespace tenantmig::core

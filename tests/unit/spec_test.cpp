// The document as a whole: its fields, steps, limits and text.
#include "spec_fixture.hpp"

namespace tenantmig::core {
namespace {

TEST(Spec, ReadsTheWholeDocument) {
    const Spec spec = parse_spec_text(full_spec);
    EXPECT_EQ(spec.migration, "customers-company-id");
    EXPECT_EQ(spec.description, "every customer belongs to exactly one company");
    EXPECT_EQ(spec.version, 8);
    EXPECT_EQ(spec.tenants_table, "crm.companies");
    EXPECT_EQ(spec.tenants_key, "id");
    ASSERT_EQ(spec.steps.size(), 2U);
    EXPECT_EQ(spec.steps[0].number, 1);
    EXPECT_EQ(spec.steps[1].number, 2);
    EXPECT_EQ(spec.steps[0].path, "steps[0].backfill");
    EXPECT_EQ(spec.steps[1].path, "steps[1].backfill");
}

TEST(Spec, OptionalFieldsHaveDefaults) {
    const Spec spec = parse_spec(json(R"({"migration": "m", "tenants": {"table": "companies"},
    "steps": [{"backfill": {"table": "t", "column": "c", "sources": [{"via": "p"}]}}]})"));
    EXPECT_EQ(spec.description, "");
    EXPECT_FALSE(spec.version.has_value());
    EXPECT_EQ(spec.tenants_key, "");
    const BackfillStep &step = spec.steps.at(0);
    EXPECT_FALSE(step.soft_delete.has_value());
    EXPECT_EQ(step.evidence, Evidence::unanimous);
    EXPECT_EQ(step.on_conflict, OnConflict::review);
    EXPECT_EQ(step.on_orphan, OnOrphan::review);
    EXPECT_TRUE(step.where.empty());
    EXPECT_FALSE(step.preflight.min_coverage || step.preflight.max_conflicts || step.preflight.expected_nulls);
}

TEST(Spec, MustBeAnObject) {
    EXPECT_ERROR(parse_spec(json("[]")), "TM001", "spec: expected an object", "Found a list of 0 elements.",
                 "migration, description, version, tenants, steps, monitor and exempt");
    EXPECT_ERROR(parse_spec(json("null")), "TM001", "spec: expected an object", "Found null.");
    EXPECT_ERROR(parse_spec(json("\"x\"")), "TM001", "spec: expected an object", "Found the string \"x\".");
    EXPECT_ERROR(parse_spec(json("[1]")), "TM001", "spec: expected an object", "Found a list of 1 element.");
}

TEST(Spec, UnknownFieldsAreRefusedWithTheNearest) {
    EXPECT_ERROR(parse_spec(with("/migraton", "x")), "TM001", "spec: migraton: unknown field",
                 "Found the string \"x\".",
                 "Did you mean \"migration\"? The fields of a spec are migration, description, version, tenants, "
                 "steps, monitor and exempt.");
    EXPECT_ERROR(parse_spec(with("/tenants/Key", "id")), "TM001", "spec: tenants.Key: unknown field", "",
                 "Did you mean \"key\"? The fields here are table and key.");
    EXPECT_ERROR(parse_spec(with("/zzz", 1)), "TM001", "spec: zzz: unknown field", "Found the number 1.",
                 "The fields of a spec are");
    EXPECT_EQ(error_of([] { parse_spec(with("/zzz", 1)); }).hint().find("Did you mean"), std::string::npos);
}

TEST(Spec, OddFieldNamesAreEscapedInThePath) {
    EXPECT_ERROR(parse_spec(with("/a b\n", 1)), "TM001", R"(spec: ["a b\n"]: unknown field)");
    EXPECT_ERROR(parse_spec(with("/tenants/ü", 1)), "TM001", R"(spec: tenants["ü"]: unknown field)");
    EXPECT_ERROR(parse_spec(with("/", 1)), "TM001", R"(spec: [""]: unknown field)");
}

TEST(Spec, RequiredFields) {
    EXPECT_ERROR(parse_spec(without("", "migration")), "TM001", "spec: migration: the field is missing",
                 "Found an object with the fields", "Write for example migration: customers-company-id.");
    EXPECT_ERROR(parse_spec(without("", "tenants")), "TM001", "spec: tenants: the field is missing", "",
                 "tenants: {table: companies, key: id}");
    EXPECT_ERROR(parse_spec(without("", "steps")), "TM001", "spec: steps: the field is missing", "",
                 "steps: [{backfill:");
    EXPECT_ERROR(parse_spec(without("/tenants", "table")), "TM001", "spec: tenants.table: the field is missing");
    EXPECT_ERROR(parse_spec(json("{}")), "TM001", "spec: migration: the field is missing",
                 "Found an object without fields.");
}

TEST(Spec, MigrationName) {
    EXPECT_EQ(parse_spec(with("/migration", "Ümzug 🏢 v2")).migration, "Ümzug 🏢 v2");
    EXPECT_EQ(parse_spec(with("/migration", std::string(200, 'm'))).migration.size(), 200U);
    EXPECT_ERROR(parse_spec(with("/migration", std::string(201, 'm'))), "TM001",
                 "spec: migration: the name is too long", "has 201 bytes; 200 are allowed.");
    EXPECT_ERROR(parse_spec(with("/migration", "")), "TM001", "spec: migration: the name is empty");
    EXPECT_ERROR(parse_spec(with("/migration", "   ")), "TM001", "spec: migration: the name is empty", "\"   \"");
    for (const std::string bad : {"a\nb", "\t", "a\x1b[0m", "\x7f", "a\xC2\x85"})
        EXPECT_ERROR(parse_spec(with("/migration", bad)), "TM001",
                     "spec: migration: the name contains a control character");
    EXPECT_ERROR(parse_spec(with("/migration", std::string("a\0b", 3))), "TM001",
                 "spec: migration: a string contains the character \\u0000", R"("a\u0000b")");
    EXPECT_ERROR(parse_spec(with("/migration", 7)), "TM001", "spec: migration: expected a string",
                 "Found the number 7.");
    EXPECT_ERROR(parse_spec(with("/migration", nullptr)), "TM001", "spec: migration: expected a string", "Found null.");
}

TEST(Spec, Version) {
    EXPECT_EQ(parse_spec(with("/version", 0)).version, 0);
    EXPECT_EQ(parse_spec(with("/version", INT64_MAX)).version, INT64_MAX);
    EXPECT_EQ(parse_spec(with("/version", -3)).version, -3);
    EXPECT_ERROR(parse_spec(with("/version", 8.5)), "TM001", "spec: version: expected a whole number",
                 "Found the number 8.5.", "version: 8");
    EXPECT_ERROR(parse_spec(with("/version", "8")), "TM001", "spec: version: expected a whole number",
                 "Found the string \"8\".");
    EXPECT_ERROR(parse_spec(with("/version", UINT64_MAX)), "TM001", "spec: version: expected a whole number",
                 "18446744073709551615");
}

TEST(Spec, Tenants) {
    EXPECT_EQ(parse_spec(with("/tenants/table", " \"My Companies\" ")).tenants_table, "\"My Companies\"");
    EXPECT_ERROR(parse_spec(with("/tenants", "companies")), "TM001", "spec: tenants: expected an object",
                 "Found the string \"companies\".", "tenants: {table: companies, key: id}");
    EXPECT_ERROR(parse_spec(with("/tenants/table", "a.b.c")), "TM001",
                 "spec: tenants.table: the name has too many parts");
    EXPECT_ERROR(parse_spec(with("/tenants/table", "a..b")), "TM001", "spec: tenants.table: invalid name \"a..b\"",
                 "A part of it is empty.", "in double quotes");
    EXPECT_ERROR(parse_spec(with("/tenants/key", "")), "TM001", "spec: tenants.key: invalid name \"\"", "It is empty.");
    EXPECT_ERROR(parse_spec(with("/tenants/key", "companies.id")), "TM001",
                 "spec: tenants.key: the name has too many parts");
    EXPECT_ERROR(parse_spec(with("/tenants/key", std::string(64, 'k'))), "TM001",
                 "spec: tenants.key: name \"" + std::string(64, 'k') + "\" is too long", "PostgreSQL keeps 63");
    EXPECT_ERROR(parse_spec(with("/description", std::string("\0", 1))), "TM001",
                 "spec: description: a string contains the character \\u0000", "", "no such character");
}

TEST(Spec, Steps) {
    EXPECT_ERROR(parse_spec(with("/steps", json("{}"))), "TM001", "spec: steps: expected a list of steps",
                 "Found an object without fields.", "steps: [{backfill:");
    EXPECT_ERROR(parse_spec(with("/steps", json("[]"))), "TM001", "spec: steps: the list of steps is empty");
    EXPECT_ERROR(parse_spec(with("/steps/1", "backfill")), "TM001",
                 "spec: steps[1]: expected an object with the kind of the step as its field",
                 "Found the string \"backfill\".");
    EXPECT_ERROR(parse_spec(with("/steps/1", json("{}"))), "TM001",
                 "spec: steps[1]: expected exactly one field, the kind of the step", "without fields",
                 "The kinds of step are");
    EXPECT_ERROR(parse_spec(with("/steps/1/guard", json("{}"))), "TM001",
                 "spec: steps[1]: expected exactly one field, the kind of the step", R"(fields "backfill", "guard".)");
    EXPECT_ERROR(parse_spec(with("/steps/1", json(R"({"backfill": null, "table": "notes"})"))), "TM001",
                 "spec: steps[1]: expected exactly one field, the kind of the step", "",
                 "Indent the fields of the step");
}

TEST(Spec, UnknownKindsListTheKnownOnes) {
    EXPECT_ERROR(
        parse_spec(with("/steps/0", json(R"({"backfil": {}})"))), "TM001",
        "spec: steps[0].backfil: unknown kind of step", R"(the field "backfil")",
        "Did you mean \"backfill\"? The kinds of step are backfill, sql, add_column, drop_column, index, rekey, guard, "
        "constraint and isolate.");
    EXPECT_ERROR(parse_spec(with("/steps/0", json(R"({"Guard": {}})"))), "TM001",
                 "spec: steps[0].Guard: unknown kind of step", "", "Did you mean \"guard\"?");
    EXPECT_ERROR(parse_spec(with("/steps/0", json(R"({"vacuum": {}})"))), "TM001",
                 "spec: steps[0].vacuum: unknown kind of step", "", "The kinds of step are");
}

TEST(Spec, AColumnHasOneStep) {
    nlohmann::json document = json(full_spec);
    document["steps"][1]["backfill"]["table"] = "CUSTOMERS";
    EXPECT_ERROR(parse_spec(document), "TM001", "spec: steps[1].backfill: the same column twice",
                 "also that of steps[0].backfill.", "into one step");
    document["steps"][1]["backfill"]["table"] = "\"CUSTOMERS\""; // another table
    EXPECT_EQ(parse_spec(document).steps.size(), 2U);
    document["steps"][1]["backfill"]["table"] = "customers";
    document["steps"][1]["backfill"]["column"] = "region_id"; // another column
    EXPECT_EQ(parse_spec(document).steps.size(), 2U);
}

TEST(Spec, AtMostAHundredSteps) {
    nlohmann::json document = json(full_spec);
    document["steps"] = nlohmann::json::array();
    for (int i = 0; i < 100; ++i)
        document["steps"].push_back(json(R"({"backfill": {"table": "t)" + std::to_string(i) +
                                         R"(", "column": "c", "sources": [{"via": "p"}]}})"));
    EXPECT_EQ(parse_spec(document).steps.size(), 100U);
    document["steps"].push_back(document["steps"][0]);
    EXPECT_ERROR(parse_spec(document), "TM001", "spec: steps: more than 100 steps", "Found a list of 101 elements.",
                 "several migrations");
}

TEST(SpecText, NamesLineAndColumn) {
    EXPECT_ERROR(parse_spec_text("{\"migration\": \"m\",\n  \"version\": }"), "TM001",
                 "spec: invalid JSON at line 2, column 14", "unexpected '}'", "one JSON object");
    EXPECT_ERROR(parse_spec_text("{"), "TM001", "spec: invalid JSON at line 1, column 2", "unexpected end of input");
    EXPECT_ERROR(parse_spec_text("{}\n\n x"), "TM001", "spec: invalid JSON at line 3, column 2");
    EXPECT_ERROR(parse_spec_text("migration: x\n"), "TM001", "spec: invalid JSON at line 1, column 1", "",
                 "reads YAML too");
    const Error error = error_of([] { parse_spec_text("{\"a\": nul}"); });
    EXPECT_EQ(error.detail().find("json.exception"), std::string::npos) << error.detail();
}

TEST(SpecText, RefusesWhatIsNoText) {
    EXPECT_ERROR(parse_spec_text(""), "TM001", "spec: the document is empty");
    EXPECT_ERROR(parse_spec_text(" \n\t "), "TM001", "spec: the document is empty", "Found no JSON value.");
    EXPECT_ERROR(parse_spec_text("{\"migration\": \"\xff\"}"), "TM001", "spec: invalid JSON at line 1, column 16",
                 "UTF-8");
    EXPECT_ERROR(parse_spec_text("{\"version\": 1e999}"), "TM001", "spec: invalid JSON at line 1, column 19",
                 "overflow");
    EXPECT_ERROR(parse_spec_text(std::string_view("{}\0", 3)), "TM001", "spec: invalid JSON at line 1, column 3",
                 "NUL byte");
    EXPECT_ERROR(parse_spec_text(std::string((16U << 20) + 1, ' ')), "TM001", "spec: the document is too large",
                 "16777217 bytes; 16777216 are allowed.");
}

TEST(SpecText, RefusesAFieldThatIsThereTwice) {
    EXPECT_ERROR(parse_spec_text(R"({"migration": "a", "migration": "b"})"), "TM001",
                 "spec: migration: the field is there twice", "two times on the same level", "Remove one");
    EXPECT_ERROR(
        parse_spec_text(R"({"steps": [{"x": 1}, {"backfill": {"sources": [1, {}, {"via": "a", "via": "b"}]}}]})"),
        "TM001", "spec: steps[1].backfill.sources[2].via: the field is there twice");
    EXPECT_ERROR(parse_spec_text(R"({"a": {"k": 1}, "b": {"k": 1}, "a": 2})"), "TM001",
                 "spec: a: the field is there twice");
}

TEST(SpecText, RefusesDeepNesting) {
    EXPECT_ERROR(parse_spec_text(std::string(100000, '[')), "TM001", "spec: nested too deeply", "more than 50 levels");
    std::string deep;
    for (int i = 0; i < 60; ++i)
        deep += "{\"a\":";
    EXPECT_ERROR(parse_spec_text(deep), "TM001", "spec: nested too deeply");
}

TEST(SpecText, AcceptsAByteOrderMark) {
    EXPECT_EQ(parse_spec_text("\xEF\xBB\xBF" + std::string(full_spec)).steps.size(), 2U);
}

} // namespace
} // namespace tenantmig::core

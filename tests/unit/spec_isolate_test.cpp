// The step isolate of a spec: what it reads, and everything that it refuses.
#include "core/spec_isolate.hpp"
#include "spec_fixture.hpp"
#include <gtest/gtest.h>

namespace tenantmig::core {
namespace {

nlohmann::json step(std::string_view fields) {
    return with("/steps/2", {{"isolate", json(fields)}});
}

IsolateStep read(std::string_view fields) {
    return parse_spec(step(fields)).isolations.at(0);
}

TEST(SpecIsolate, ReadsEveryField) {
    const Spec spec = parse_spec(step(R"({"tables": ["customers", {"table": "crm.orders", "column": "tenant_id"}],
        "role": ["app", "\"App two\""], "setting": "app.tenant", "super_role": "admin", "force": false, "index": false,
        "null_keys": "hide", "composite_keys": true, "composite_references": true})"));
    ASSERT_EQ(spec.isolations.size(), 1U);
    const IsolateStep &isolate = spec.isolations[0];
    EXPECT_EQ(isolate.path, "steps[2].isolate");
    EXPECT_EQ(isolate.number, 3);
    ASSERT_EQ(isolate.tables.size(), 2U);
    EXPECT_EQ(isolate.tables[0].path, "steps[2].isolate.tables[0]");
    EXPECT_EQ(isolate.tables[0].table, "customers");
    EXPECT_EQ(isolate.tables[0].column, "");
    EXPECT_EQ(isolate.tables[1].table, "crm.orders");
    EXPECT_EQ(isolate.tables[1].column, "tenant_id");
    EXPECT_EQ(isolate.roles, (std::vector<std::string>{"app", "\"App two\""}));
    EXPECT_EQ(isolate.setting, "app.tenant");
    EXPECT_EQ(isolate.super_role, "admin");
    EXPECT_FALSE(isolate.force);
    EXPECT_FALSE(isolate.index);
    EXPECT_TRUE(isolate.hide_nulls);
    EXPECT_TRUE(isolate.composite_keys);
    EXPECT_TRUE(isolate.composite_references);
    EXPECT_EQ(spec.order.at(2).kind, StepKind::isolate);
}

TEST(SpecIsolate, IsStrictUnlessSaid) {
    const IsolateStep isolate = read(R"({"tables": ["customers"], "role": "app"})");
    EXPECT_EQ(isolate.roles, std::vector<std::string>{"app"});
    EXPECT_EQ(isolate.setting, "tenantmig.tenant");
    EXPECT_TRUE(isolate.super_role.empty());
    EXPECT_TRUE(isolate.force);
    EXPECT_TRUE(isolate.index);
    EXPECT_FALSE(isolate.hide_nulls);
    EXPECT_FALSE(isolate.composite_keys);
    EXPECT_FALSE(isolate.composite_references);
}

TEST(SpecIsolate, KeepsStateAndBeginsNoSegment) {
    EXPECT_TRUE(keeps_state(StepKind::isolate));
    EXPECT_FALSE(is_structural(StepKind::isolate));
    EXPECT_EQ(step_name(StepKind::isolate), "isolate");
}

TEST(SpecIsolate, NeedsTablesAndRole) {
    EXPECT_ERROR(parse_spec(with("/steps/2", {{"isolate", "customers"}})), "TM001",
                 "spec: steps[2].isolate: expected an object", "", "isolate: {tables: [customers, orders], role: app}");
    EXPECT_ERROR(read(R"({"role": "app"})"), "TM001", "spec: steps[2].isolate.tables: the field is missing", "",
                 "isolate: {tables: ");
    EXPECT_ERROR(read(R"({"tables": ["customers"]})"), "TM001", "spec: steps[2].isolate.role: the field is missing", "",
                 "role: app");
    EXPECT_ERROR(read(R"({"tables": ["customers"], "role": "app", "roles": ["b"]})"), "TM001",
                 "spec: steps[2].isolate.roles: unknown field");
}

TEST(SpecIsolate, RefusesTablesThatAreNone) {
    EXPECT_ERROR(read(R"({"tables": "customers", "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables: expected a list of tables");
    EXPECT_ERROR(read(R"({"tables": [], "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables: the list of tables is empty");
    EXPECT_ERROR(read(R"({"tables": [7], "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables[0]: expected a string");
    EXPECT_ERROR(read(R"({"tables": [""], "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables[0]: invalid name \"\"");
    EXPECT_ERROR(read(R"({"tables": ["a.b.c"], "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables[0]: the name has too many parts");
    EXPECT_ERROR(read(R"({"tables": [{"column": "id"}], "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables[0].table: the field is missing");
    EXPECT_ERROR(read(R"({"tables": [{"table": "a", "columns": "id"}], "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables[0].columns: unknown field");
    EXPECT_ERROR(read(R"({"tables": [{"table": "a", "column": "b.c"}], "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables[0].column: the name has too many parts");
    EXPECT_ERROR(read(R"({"tables": ["customers", "CUSTOMERS"], "role": "app"})"), "TM001",
                 "spec: steps[2].isolate.tables[1]: the same table twice", "It is isolated by ", "Remove one of them.");
    nlohmann::json many = {{"role", "app"}, {"tables", nlohmann::json::array()}};
    for (int i = 0; i < 1001; i++)
        many["tables"].push_back("t" + std::to_string(i));
    EXPECT_ERROR(parse_spec(with("/steps/2", {{"isolate", many}})), "TM001",
                 "spec: steps[2].isolate.tables: more than 1000 tables", "1001");
}

TEST(SpecIsolate, RefusesATableThatAnotherStepIsolates) {
    nlohmann::json document = step(R"({"tables": ["customers"], "role": "app"})");
    document["steps"].push_back({{"isolate", json(R"({"tables": ["orders", "customers"], "role": "report"})")}});
    EXPECT_ERROR(parse_spec(document), "TM001", "spec: steps[3].isolate.tables[1]: the same table twice",
                 "It is isolated by steps[2].isolate.tables[0].", "Remove one of them.");
}

TEST(SpecIsolate, RefusesRolesThatAreNone) {
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": 1})"), "TM001", "spec: steps[2].isolate.role: expected a string");
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": []})"), "TM001",
                 "spec: steps[2].isolate.role: the list of roles is empty");
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": "a.b"})"), "TM001",
                 "spec: steps[2].isolate.role: the name has too many parts");
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": "PUBLIC"})"), "TM001",
                 "spec: steps[2].isolate.role: public is not a role of its own", "",
                 "Name the role that the application logs in with.");
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": ["app", "App"]})"), "TM001",
                 "spec: steps[2].isolate.role[1]: the same role twice");
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": ["app", "b"], "super_role": "app"})"), "TM001",
                 "spec: steps[2].isolate.super_role: the same role twice");
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": "app", "super_role": "public"})"), "TM001",
                 "spec: steps[2].isolate.super_role: public is not a role of its own");
    EXPECT_NO_THROW(read(R"({"tables": ["a"], "role": ["app", "\"App\""]})"));
}

TEST(SpecIsolate, RefusesSettingsThatCantBeSet) {
    const std::string dot = "it needs a prefix and a dot: a setting without is PostgreSQL's",
                      empty = "a part of it is empty",
                      letters = "its parts are made of letters, digits and _, and begin with a letter";
    const std::vector<std::pair<std::string, std::string>> bad = {
        {"tenant", dot},          {"", "it needs 1 to 200 bytes"}, {".tenant", empty},         {"app.", empty},
        {"app..tenant", empty},   {"app.1tenant", letters},        {"app.my tenant", letters}, {"app.tenant;", letters},
        {"app.tenant'", letters}, {"äpp.tenant", letters}};
    for (const auto &[name, defect] : bad) {
        EXPECT_EQ(setting_defect(name), defect) << name;
        EXPECT_ERROR(
            parse_spec(with("/steps/2", {{"isolate", {{"tables", {"a"}}, {"role", "app"}, {"setting", name}}}})),
            "TM001", "spec: steps[2].isolate.setting: not the name of a setting: " + defect, "",
            "Write for example setting: app.tenant.");
    }
    for (const char *name : {"tenantmig.tenant", "a.b", "App.Current_Tenant", "app.tenant.id", "_a._b", "a.b$1"})
        EXPECT_TRUE(setting_defect(name).empty()) << name;
    EXPECT_FALSE(setting_defect("a." + std::string(199, 'b')).empty());
    EXPECT_TRUE(setting_defect("a." + std::string(198, 'b')).empty());
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": "app", "setting": 1})"), "TM001",
                 "spec: steps[2].isolate.setting: expected a string");
}

TEST(SpecIsolate, RefusesOtherValues) {
    for (const char *field : {"force", "index", "composite_keys", "composite_references"})
        EXPECT_ERROR(parse_spec(with("/steps/2", {{"isolate", {{"tables", {"a"}}, {"role", "app"}, {field, "yes"}}}})),
                     "TM001", "spec: steps[2].isolate." + std::string(field) + ": expected true or false");
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": "app", "null_keys": "keep"})"), "TM001",
                 "spec: steps[2].isolate.null_keys: unknown value", "", "The values are refuse and hide.");
    EXPECT_ERROR(read(R"({"tables": ["a"], "role": "app", "null_keys": true})"), "TM001",
                 "spec: steps[2].isolate.null_keys: expected a string");
}

} // namespace
} // namespace tenantmig::core

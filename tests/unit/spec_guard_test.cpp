// The guard step of a spec.
#include "spec_fixture.hpp"
#include <gtest/gtest.h>

namespace tenantmig::core {
namespace {

nlohmann::json guarded(std::string_view fields) {
    return with("/steps/2", {{"guard", json(fields)}});
}

constexpr std::string_view plain =
    R"({"kind": "tenant_key", "table": "customers", "column": "company_id", "mode": "fill"})";

nlohmann::json changed(const std::string &field, const nlohmann::json &value) {
    nlohmann::json fields = json(plain);
    fields[field] = value;
    return with("/steps/2", {{"guard", fields}});
}

nlohmann::json lacking(const std::string &field) {
    nlohmann::json fields = json(plain);
    fields.erase(field);
    return with("/steps/2", {{"guard", fields}});
}

TEST(SpecGuard, stands_beside_the_backfill_steps) {
    const Spec spec = parse_spec(guarded(plain));
    ASSERT_EQ(spec.steps.size(), 2U);
    ASSERT_EQ(spec.guards.size(), 1U);
    EXPECT_EQ(spec.guards[0].number, 3);
    EXPECT_EQ(spec.guards[0].path, "steps[2].guard");
    EXPECT_EQ(spec.guards[0].table, "customers");
    EXPECT_EQ(spec.guards[0].column, "company_id");
    EXPECT_EQ(spec.guards[0].mode, GuardMode::fill);
    EXPECT_FALSE(spec.guards[0].always);
}

TEST(SpecGuard, has_three_modes_and_may_fire_always) {
    for (const GuardMode mode : {GuardMode::fill, GuardMode::reject, GuardMode::warn})
        EXPECT_EQ(parse_spec(changed("mode", std::string(mode_name(mode)))).guards[0].mode, mode);
    EXPECT_TRUE(parse_spec(changed("always", true)).guards[0].always);
}

TEST(SpecGuard, may_come_before_its_backfill_step) {
    nlohmann::json document = nlohmann::json::parse(full_spec);
    document["steps"].insert(document["steps"].begin(), nlohmann::json::object({{"guard", json(plain)}}));
    const Spec spec = parse_spec(document);
    EXPECT_EQ(spec.guards[0].number, 1);
    EXPECT_EQ(spec.steps[0].number, 2);
    EXPECT_EQ(spec.steps[0].path, "steps[1].backfill");
}

TEST(SpecGuard, refuses_what_it_does_not_know) {
    EXPECT_ERROR(parse_spec(with("/steps/2", {{"guard", "tenant_key"}})), "TM001",
                 "spec: steps[2].guard: expected an object", "the string",
                 "Write for example guard: {kind: tenant_key");
    EXPECT_ERROR(parse_spec(changed("colunm", "x")), "TM001", "spec: steps[2].guard.colunm: unknown field", "",
                 "Did you mean \"column\"?");
    EXPECT_ERROR(parse_spec(changed("sources", nlohmann::json::array())), "TM001",
                 "spec: steps[2].guard.sources: unknown field", "", "The fields here are kind, table, column");
    EXPECT_ERROR(parse_spec(changed("kind", "tenantkey")), "TM001", "spec: steps[2].guard.kind: unknown value", "",
                 "Did you mean \"tenant_key\"?");
    EXPECT_ERROR(parse_spec(changed("kind", 1)), "TM001", "spec: steps[2].guard.kind: expected a string", "", "");
    EXPECT_ERROR(parse_spec(changed("mode", "refuse")), "TM001", "spec: steps[2].guard.mode: unknown value", "",
                 "The values are fill, reject and warn");
    EXPECT_ERROR(parse_spec(changed("always", "yes")), "TM001", "spec: steps[2].guard.always: expected true or false",
                 "", "always: true");
    EXPECT_ERROR(parse_spec(changed("table", "a.b.c")), "TM001",
                 "spec: steps[2].guard.table: the name has too many parts", "", "");
    for (const std::string field : {"kind", "table", "column", "mode"})
        EXPECT_ERROR(parse_spec(lacking(field)), "TM001", "spec: steps[2].guard." + field + ": the field is missing",
                     "", "Write for example " + field);
}

TEST(SpecGuard, other_kinds_are_of_a_later_version) {
    for (const std::string kind : {"prefix", "same_tenant", "reference", "acyclic", "immutable"})
        EXPECT_ERROR(parse_spec(changed("kind", kind)), "0A000",
                     "spec: steps[2].guard.kind: guards of kind \"" + kind + "\" are not supported",
                     "This version of tenantmig has only guards of kind \"tenant_key\".", "a later version");
}

TEST(SpecGuard, is_there_once_for_a_column) {
    nlohmann::json document = guarded(plain);
    document["steps"].push_back(
        {{"guard", json(R"({"kind": "tenant_key", "table": "Customers", "column": "COMPANY_ID", "mode": "warn"})")}});
    EXPECT_ERROR(parse_spec(document), "TM001", "spec: steps[3].guard: the same guard twice", "steps[2].guard",
                 "Remove one of them.");
}

} // namespace
} // namespace tenantmig::core

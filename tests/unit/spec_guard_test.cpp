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

constexpr std::string_view prefix =
    R"({"kind": "prefix", "table": "scopes", "column": "scope_id", "key": "domain", "separator": "."})";
constexpr std::string_view same_tenant =
    R"({"kind": "same_tenant", "table": "requests", "column": "company_id", "via": "staff_id", "tenant": "company"})";
constexpr std::string_view reference =
    R"({"kind": "reference", "table": "notes", "column": "company_id", "via": "owner_id", "type_column": "owner_type",
        "types": {"Company": "companies", "Staff": "hr.staff"}})";
constexpr std::string_view acyclic = R"({"kind": "acyclic", "table": "policies", "column": "overrides_id"})";
constexpr std::string_view immutable = R"({"kind": "immutable", "table": "customers", "column": "company_id"})";

nlohmann::json changed(std::string_view guard, const std::string &field, const nlohmann::json &value) {
    nlohmann::json fields = json(guard);
    fields[field] = value;
    return with("/steps/2", {{"guard", fields}});
}

nlohmann::json lacking(std::string_view guard, const std::string &field) {
    nlohmann::json fields = json(guard);
    fields.erase(field);
    return with("/steps/2", {{"guard", fields}});
}

TEST(SpecGuard, prefix_has_a_key_and_a_separator) {
    const GuardStep guard = parse_spec(guarded(prefix)).guards.at(0);
    EXPECT_EQ(guard.kind, GuardKind::prefix);
    EXPECT_EQ(guard.mode, GuardMode::reject);
    EXPECT_EQ(guard.column, "scope_id");
    EXPECT_EQ(guard.key, "domain");
    EXPECT_EQ(guard.separator, ".");
    EXPECT_ERROR(parse_spec(changed(prefix, "separator", "")), "TM001",
                 "spec: steps[2].guard.separator: the separator is empty", "", "separator: '.'");
    EXPECT_ERROR(parse_spec(changed(prefix, "separator", std::string(17, '.'))), "TM001",
                 "spec: steps[2].guard.separator: the separator is too long", "", "At most 16 bytes");
    EXPECT_ERROR(parse_spec(changed(prefix, "separator", 1)), "TM001",
                 "spec: steps[2].guard.separator: expected a string", "the number 1", "separator: '.'");
    EXPECT_ERROR(parse_spec(changed(prefix, "key", "Scope_ID")), "TM001",
                 "spec: steps[2].guard.key: an id can't embed itself", "", "key: domain");
}

TEST(SpecGuard, same_tenant_goes_by_one_or_several_columns) {
    GuardStep guard = parse_spec(guarded(same_tenant)).guards.at(0);
    EXPECT_EQ(guard.kind, GuardKind::same_tenant);
    EXPECT_EQ(guard.via, std::vector<std::string>{"staff_id"});
    EXPECT_EQ(guard.tenant, "company");
    guard = parse_spec(changed(same_tenant, "via", {"a", "\"B\""})).guards.at(0);
    EXPECT_EQ(guard.via, (std::vector<std::string>{"a", "\"B\""}));
    EXPECT_EQ(parse_spec(lacking(same_tenant, "tenant")).guards.at(0).tenant, "");
    EXPECT_ERROR(parse_spec(changed(same_tenant, "via", nlohmann::json::array())), "TM001",
                 "spec: steps[2].guard.via: the list of columns is empty", "", "via: staff_id");
    EXPECT_ERROR(parse_spec(changed(same_tenant, "via", {"a", "A"})), "TM001",
                 "spec: steps[2].guard.via: the same column twice", "", "one foreign key");
    EXPECT_ERROR(parse_spec(changed(same_tenant, "via", {"a", 1})), "TM001",
                 "spec: steps[2].guard.via[1]: expected a string", "", "");
    EXPECT_ERROR(parse_spec(changed(same_tenant, "via", "staff.id")), "TM001",
                 "spec: steps[2].guard.via: the name has too many parts", "", "via: staff_id");
}

TEST(SpecGuard, reference_maps_types_to_tables_and_needs_no_tenant_key) {
    const GuardStep guard = parse_spec(guarded(reference)).guards.at(0);
    EXPECT_EQ(guard.kind, GuardKind::reference);
    EXPECT_EQ(guard.via, std::vector<std::string>{"owner_id"});
    EXPECT_EQ(guard.type_column, "owner_type");
    ASSERT_EQ(guard.types.size(), 2U);
    EXPECT_EQ(guard.types[1].type_value, "Staff");
    EXPECT_EQ(guard.types[1].table, "hr.staff");
    EXPECT_EQ(guard.column, "company_id");
    EXPECT_EQ(parse_spec(lacking(reference, "column")).guards.at(0).column, "");
    EXPECT_ERROR(parse_spec(changed(reference, "via", {"owner_id"})), "TM001",
                 "spec: steps[2].guard.via: expected a string", "a list", "via: owner_id");
    EXPECT_ERROR(parse_spec(changed(reference, "types", nlohmann::json::object())), "TM001",
                 "spec: steps[2].guard.types: expected an object of type values and tables", "", "types: {Company");
    EXPECT_ERROR(parse_spec(changed(reference, "types", {{"Staff", "a.b.c"}})), "TM001",
                 "spec: steps[2].guard.types.Staff: the name has too many parts", "", "");
}

TEST(SpecGuard, acyclic_and_immutable_are_about_one_column) {
    EXPECT_EQ(parse_spec(guarded(acyclic)).guards.at(0).kind, GuardKind::acyclic);
    EXPECT_EQ(parse_spec(guarded(acyclic)).guards.at(0).column, "overrides_id");
    EXPECT_EQ(parse_spec(guarded(immutable)).guards.at(0).kind, GuardKind::immutable);
    EXPECT_TRUE(parse_spec(changed(immutable, "always", true)).guards.at(0).always);
}

TEST(SpecGuard, each_kind_has_fields_of_its_own) {
    for (const std::string_view guard : {prefix, same_tenant, reference, acyclic, immutable}) {
        EXPECT_ERROR(parse_spec(changed(guard, "mode", "fill")), "TM001", "spec: steps[2].guard.mode: unknown field",
                     "", "The fields here are kind, table");
        const nlohmann::json fields = json(guard);
        for (const auto &[field, value] : fields.items()) {
            if (field == "tenant" || (guard == reference && field == "column")) continue;
            EXPECT_ERROR(parse_spec(lacking(guard, field)), "TM001",
                         "spec: steps[2].guard." + field + ": the field is missing", "", "Write for example " + field);
        }
    }
    EXPECT_ERROR(parse_spec(changed(immutable, "key", "x")), "TM001", "spec: steps[2].guard.key: unknown field", "",
                 "The fields here are kind, table, column and always");
}

TEST(SpecGuard, of_another_kind_or_way_is_another_guard) {
    nlohmann::json document = guarded(plain);
    document["steps"].push_back({{"guard", json(immutable)}});
    document["steps"].push_back({{"guard", json(same_tenant)}});
    nlohmann::json other = json(same_tenant);
    other["via"] = "branch_id";
    document["steps"].push_back({{"guard", other}});
    EXPECT_EQ(parse_spec(document).guards.size(), 4U);
    other["via"] = {"BRANCH_ID"};
    document["steps"].push_back({{"guard", other}});
    EXPECT_ERROR(parse_spec(document), "TM001", "spec: steps[6].guard: the same guard twice", "steps[5].guard",
                 "Remove one of them.");
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

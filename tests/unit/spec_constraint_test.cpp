// The constraint step of a spec, and the fields `monitor` and `exempt`.
#include "core/spec_constraint.hpp"
#include "spec_fixture.hpp"
#include <gtest/gtest.h>

namespace tenantmig::core {
namespace {

nlohmann::json constrained(std::string_view fields) {
    return with("/steps/2", {{"constraint", json(fields)}});
}

constexpr std::string_view everything = R"json({
  "table": "crm.customers", "column": "company_id", "not_null": true, "references": "crm.companies.id", "on_delete": "restrict",
  "unique": ["company_id", "number"], "composite": true, "format": "^[a-z]+$",
  "gate": {"soak": "7 days", "open_reviews": 0, "approvals": 2, "backup_within": "24 hours", "min_coverage": 0.9}})json";

nlohmann::json changed(const std::string &pointer, const nlohmann::json &value) {
    nlohmann::json fields = json(everything);
    fields[nlohmann::json::json_pointer(pointer)] = value;
    return with("/steps/2", {{"constraint", fields}});
}

ConstraintStep read(const nlohmann::json &document) {
    return parse_spec(document).constraints.at(0);
}

TEST(SpecConstraint, ReadsEveryField) {
    const Spec spec = parse_spec(constrained(everything));
    ASSERT_EQ(spec.constraints.size(), 1U);
    const ConstraintStep &step = spec.constraints[0];
    EXPECT_EQ(step.number, 3);
    EXPECT_EQ(step.path, "steps[2].constraint");
    EXPECT_EQ(step.table, "crm.customers");
    EXPECT_EQ(step.column, "company_id");
    EXPECT_EQ(step.not_null, NotNull::all);
    EXPECT_EQ(step.references_table, "crm.companies");
    EXPECT_EQ(step.references_column, "id");
    EXPECT_EQ(step.on_delete, OnDelete::restricted);
    EXPECT_EQ(step.unique, (std::vector<std::string>{"company_id", "number"}));
    EXPECT_TRUE(step.composite);
    EXPECT_EQ(step.format, "^[a-z]+$");
    EXPECT_EQ(step.gate.soak_seconds, 7 * 86400);
    EXPECT_EQ(step.gate.open_reviews, 0);
    EXPECT_EQ(step.gate.approvals, 2);
    EXPECT_EQ(step.gate.backup_seconds, 86400);
    EXPECT_EQ(step.gate.min_coverage, 0.9);
}

TEST(SpecConstraint, WhatIsNotSaidIsNotAskedFor) {
    const ConstraintStep step = read(constrained(R"({"table": "t", "column": "c", "not_null": true})"));
    EXPECT_EQ(step.on_delete, OnDelete::unspecified);
    EXPECT_TRUE(step.references_table.empty() && step.unique.empty() && step.format.empty() && !step.composite);
    EXPECT_FALSE(step.gate.soak_seconds || step.gate.open_reviews || step.gate.approvals || step.gate.backup_seconds ||
                 step.gate.min_coverage);
}

TEST(SpecConstraint, NotNullMayBeAboutTheLivingOnly) {
    const ConstraintStep step =
        read(constrained(R"({"table": "t", "column": "c", "not_null": "live", "soft_delete": "gone_at"})"));
    EXPECT_EQ(step.not_null, NotNull::live);
    EXPECT_EQ(step.soft_delete, "gone_at");
    EXPECT_ERROR(parse_spec(changed("/soft_delete", "gone_at")), "TM001",
                 "spec: steps[2].constraint.soft_delete: goes with not_null: live only");
    EXPECT_ERROR(parse_spec(changed("/not_null", "dead")), "TM001",
                 "spec: steps[2].constraint.not_null: expected true, false or live", "Found the string \"dead\".");
    EXPECT_ERROR(parse_spec(changed("/not_null", 1)), "TM001",
                 "spec: steps[2].constraint.not_null: expected true, false or live", "Found the number 1.");
}

TEST(SpecConstraint, ReferencesATableOrItsColumn) {
    const auto of = [](const std::string &text) {
        const ConstraintStep step = read(changed("/references", text));
        return step.references_table + "|" + step.references_column;
    };
    EXPECT_EQ(of("companies"), "companies|");
    EXPECT_EQ(of(" companies.id "), "companies|id");
    EXPECT_EQ(of(R"("My.Companies"."Id")"), R"("My.Companies"|"Id")");
    EXPECT_EQ(of("crm.companies.id"), "crm.companies|id");
    EXPECT_ERROR(of("a.b.c.d"), "TM001", "spec: steps[2].constraint.references: the name has too many parts");
}

TEST(SpecConstraint, DeleteRulesAreThoseOfPostgreSQL) {
    for (const OnDelete action : {OnDelete::no_action, OnDelete::restricted, OnDelete::cascade, OnDelete::set_null})
        EXPECT_EQ(read(changed("/on_delete", std::string(on_delete_name(action)))).on_delete, action);
    EXPECT_EQ(on_delete_name(OnDelete::unspecified), "");
    EXPECT_ERROR(parse_spec(changed("/on_delete", "set default")), "TM001",
                 "spec: steps[2].constraint.on_delete: unknown value");
}

TEST(SpecConstraint, RefusesWhatItDoesNotKnow) {
    EXPECT_ERROR(parse_spec(with("/steps/2", {{"constraint", "x"}})), "TM001",
                 "spec: steps[2].constraint: expected an object", "",
                 "Write for example constraint: {table: customers");
    EXPECT_ERROR(parse_spec(changed("/notnull", true)), "TM001", "spec: steps[2].constraint.notnull: unknown field", "",
                 "Did you mean \"not_null\"?");
    EXPECT_ERROR(parse_spec(constrained(R"({"table": "t", "column": "c"})")), "TM001",
                 "spec: steps[2].constraint: no constraint is named", "", "Name at least one of not_null");
    EXPECT_ERROR(parse_spec(constrained(R"({"table": "t", "column": "c", "not_null": false, "gate": {}})")), "TM001",
                 "spec: steps[2].constraint: no constraint is named");
    EXPECT_ERROR(parse_spec(constrained(R"({"table": "t", "not_null": true})")), "TM001",
                 "spec: steps[2].constraint.column: the field is missing");
    EXPECT_ERROR(parse_spec(changed("/unique", json("[]"))), "TM001",
                 "spec: steps[2].constraint.unique: the list of columns is empty");
    EXPECT_ERROR(parse_spec(changed("/unique", json(R"(["a", "A"])"))), "TM001",
                 "spec: steps[2].constraint.unique[1]: the same column twice");
    EXPECT_ERROR(parse_spec(changed("/composite", "yes")), "TM001",
                 "spec: steps[2].constraint.composite: expected true or false");
    EXPECT_ERROR(parse_spec(changed("/format", "")), "TM001",
                 "spec: steps[2].constraint.format: expected a regular expression of 1 to 1000 bytes");
    EXPECT_ERROR(parse_spec(changed("/format", std::string(1001, 'a'))), "TM001",
                 "spec: steps[2].constraint.format: expected a regular expression of 1 to 1000 bytes");
}

TEST(SpecConstraint, OneStepForEachColumn) {
    nlohmann::json document = constrained(everything);
    document["steps"].push_back(
        {{"constraint", {{"table", "CRM.Customers"}, {"column", "COMPANY_ID"}, {"not_null", true}}}});
    EXPECT_ERROR(parse_spec(document), "TM001", "spec: steps[3].constraint: the same column twice",
                 "Its column is also that of steps[2].constraint.", "Put all constraints of a column into one step.");
}

TEST(SpecConstraint, NeedsNoBackfillStep) {
    nlohmann::json document = json(R"({"migration": "m", "tenants": {"table": "companies"}})");
    document["steps"] = nlohmann::json::array({{{"constraint", json(everything)}}});
    const Spec spec = parse_spec(document);
    EXPECT_TRUE(spec.steps.empty());
    EXPECT_EQ(spec.constraints.at(0).number, 1);
}

TEST(SpecConstraint, TimesHaveUnits) {
    const auto seconds = [](const char *text) { return read_duration(text, "here", "soak: 7 days"); };
    EXPECT_EQ(seconds("7 days"), 604800);
    EXPECT_EQ(seconds("1 week"), 604800);
    EXPECT_EQ(seconds(" 1 day 12h "), 129600);
    EXPECT_EQ(seconds("1.5 hours"), 5400);
    EXPECT_EQ(seconds("90min"), 5400);
    EXPECT_EQ(seconds("0 s"), 0);
    EXPECT_EQ(seconds("100 years"), INT64_C(3155760000));
    for (const char *text : {"", " ", "7", "days", "7 dayz", "-1 day", "1..5 h", "1e3 s", ".", "1 day 2", "1,5 h",
                             "9999999999999 s", "200 years"})
        EXPECT_ERROR(read_duration(text, "here", "soak: 7 days"), "TM001", "spec: here: expected a length of time",
                     "Found the string", "Write for example soak: 7 days. Units are");
    EXPECT_ERROR(read_duration(7, "here", "soak: 7 days"), "TM001",
                 "spec: here: expected a length of time with its unit", "Found the number 7.");
}

TEST(SpecConstraint, CriteriaOfTheGateAreChecked) {
    EXPECT_ERROR(parse_spec(changed("/gate/approvals", 0)), "TM001",
                 "spec: steps[2].constraint.gate.approvals: expected a whole number of at least 1");
    EXPECT_ERROR(parse_spec(changed("/gate/open_reviews", -1)), "TM001",
                 "spec: steps[2].constraint.gate.open_reviews: expected a whole number of at least 0");
    EXPECT_ERROR(parse_spec(changed("/gate/min_coverage", 75)), "TM001",
                 "spec: steps[2].constraint.gate.min_coverage: expected a number from 0 to 1");
    EXPECT_ERROR(parse_spec(changed("/gate/sook", "7 days")), "TM001",
                 "spec: steps[2].constraint.gate.sook: unknown field", "", "Did you mean \"soak\"?");
}

TEST(SpecMonitor, HasThresholdsWithDefaults) {
    const MonitorSettings usual = parse_spec_text(full_spec).monitor;
    EXPECT_EQ(usual.max_rollback_increase, 0.20);
    EXPECT_EQ(usual.stale_seconds, 26 * 3600);
    const MonitorSettings set =
        parse_spec(with("/monitor", json(R"({"max_rollback_increase": 0.5, "max_deadlocks_per_hour": 0,
            "max_refusals_per_hour": 100, "max_latency": 1.5, "stale_after": "2 h"})")))
            .monitor;
    EXPECT_EQ(set.max_rollback_increase, 0.5);
    EXPECT_EQ(set.max_deadlocks_per_hour, 0);
    EXPECT_EQ(set.max_refusals_per_hour, 100);
    EXPECT_EQ(set.max_latency, 1.5);
    EXPECT_EQ(set.stale_seconds, 7200);
}

TEST(SpecMonitor, RefusesWhatIsNoThreshold) {
    EXPECT_ERROR(parse_spec(with("/monitor/max_latency", 0.5)), "TM001",
                 "spec: monitor.max_latency: the number is too small, or too large");
    EXPECT_ERROR(parse_spec(with("/monitor/max_deadlocks_per_hour", -1)), "TM001",
                 "spec: monitor.max_deadlocks_per_hour: the number must not be negative");
    EXPECT_ERROR(parse_spec(with("/monitor/max_latency", "2")), "TM001",
                 "spec: monitor.max_latency: expected a number");
    EXPECT_ERROR(parse_spec(with("/monitor/latency", 2)), "TM001", "spec: monitor.latency: unknown field");
}

TEST(SpecExempt, NamesTablesAndWhy) {
    const Spec spec = parse_spec(with("/exempt", json(R"([{"table": "countries", "reason": "shared by all"}])")));
    ASSERT_EQ(spec.exempt.size(), 1U);
    EXPECT_EQ(spec.exempt[0].table, "countries");
    EXPECT_EQ(spec.exempt[0].reason, "shared by all");
    EXPECT_EQ(spec.exempt[0].path, "exempt[0]");
    EXPECT_ERROR(parse_spec(with("/exempt", json(R"([{"table": "countries"}])"))), "TM001",
                 "spec: exempt[0].reason: the field is missing");
    EXPECT_ERROR(parse_spec(with("/exempt", json(R"([{"table": "countries", "reason": " "}])"))), "TM001",
                 "spec: exempt[0].reason: the reason is empty");
    EXPECT_ERROR(parse_spec(with("/exempt", json(R"([{"table": "a", "reason": "x"}, {"table": "A", "reason": "y"}])"))),
                 "TM001", "spec: exempt[1]: the same table twice");
}

} // namespace
} // namespace tenantmig::core

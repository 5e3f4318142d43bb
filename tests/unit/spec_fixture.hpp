// A valid spec that says everything, and ways to change one thing in it.
#pragma once
#include "core/spec.hpp"
#include "expect_error.hpp"
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tenantmig::core {

inline constexpr std::string_view full_spec = R"json({
  "migration": "customers-company-id",
  "description": "every customer belongs to exactly one company",
  "version": 8,
  "tenants": {"table": "crm.companies", "key": "id"},
  "steps": [
    {"backfill": {
      "table": "customers", "column": "company_id", "soft_delete": "deleted_at",
      "sources": [
        {"via": "appointments.customer_id", "tenant": "company_id", "where": {"status": ["done", null], "cancelled": false}},
        {"via": "crm.\"Phone Numbers\".customer_id"},
        {"via": "branch_id"},
        {"via": "owner_id", "type_column": "owner_type", "types": {"Invoice": "invoices", "Order": "sales.orders"}},
        {"path": ["order_id", "customer_id"]}
      ],
      "evidence": "first", "on_conflict": "majority", "on_orphan": {"assign": 7},
      "where": {"deleted_at": null, "kind": "person"},
      "preflight": {"min_coverage": 0.75, "max_conflicts": 10, "expected_nulls": 31}
    }},
    {"backfill": {"table": "notes", "column": "company_id", "sources": [{"via": "customer_id"}]}}
  ]
})json";

// The full spec with the value at `pointer` replaced.
inline nlohmann::json with(const std::string &pointer, const nlohmann::json &value) {
    nlohmann::json document = nlohmann::json::parse(full_spec);
    document[nlohmann::json::json_pointer(pointer)] = value;
    return document;
}

inline nlohmann::json without(const std::string &parent, const std::string &field) {
    nlohmann::json document = nlohmann::json::parse(full_spec);
    document[nlohmann::json::json_pointer(parent)].erase(field);
    return document;
}

// Parses the text of the JSON value first: "parsed" in the tests below.
inline nlohmann::json json(std::string_view text) {
    return nlohmann::json::parse(text);
}

} // namespace tenantmig::core

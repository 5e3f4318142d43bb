// What `tenantmig new` writes.
#include "commands_directory.hpp"
#include "text.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

// A step that does nothing, so that the file is a spec from the start; and every kind of step as a comment that is
// right when its `# ` are taken away.
constexpr std::string_view text = R"yaml(
# What this migration is about, for people.
description: ""
# The tenant root: the table with one row per tenant, and its key.
tenants: {{table: companies, key: id}}

# Steps are applied from top to bottom, and taken back from bottom to top.
# docs/spec.md has all fields. Take the "# " away from what you need, and remove the rest.
steps:
  # Statements, run as the migration's owner. Text, or a file beside this one: up: {{file: {}.up.sql}}
  - sql:
      up: SELECT 1
      down: SELECT 1
#     verify: SELECT count(*) = 1 FROM pg_class WHERE relname = 'customers'   # true in every row
#     transactional: true              # false: each statement by itself, such as CREATE INDEX CONCURRENTLY

  # A column more. A tenant key has no default: it is NULL until something knows better.
# - add_column:
#     table: customers
#     column: company_id
#     type: bigint
#     comment: the company that the customer belongs to

  # A tenant key where it is NULL, from evidence; what is not certain goes to review.
# - backfill:
#     table: customers
#     column: company_id
#     soft_delete: deleted_at
#     sources:
#       - {{via: appointments.customer_id}}           # rows that point here
#       - {{via: branch_id}}                          # the row that this one points at
#       - {{path: [order_id, customer_id]}}           # the same over several tables
#       - {{via: owner_id, type_column: owner_type, types: {{Invoice: invoices, Order: orders}}}}
#     evidence: unanimous              # or first
#     on_conflict: review              # or majority, fail
#     on_orphan: review                # or soft_delete, fail, {{assign: 1}}
#     preflight: {{min_coverage: 0.75, max_conflicts: 10}}

  # A trigger that keeps new rows right: prefix, tenant_key, same_tenant, reference, acyclic, immutable.
# - guard: {{kind: tenant_key, table: customers, column: company_id, mode: fill}}

  # An index, built without stopping writes.
# - index:
#     table: customers
#     columns: [company_id, {{column: created_at, order: desc}}]
#     name: customers_company_idx
#     unique: false
#     where: {{deleted_at: null}}
#     include: [name]

  # Constraints, when everything that the gate asks for holds.
# - constraint:
#     table: customers
#     column: company_id
#     not_null: true                   # or live: NOT NULL unless the row is soft-deleted
#     references: companies.id
#     on_delete: restrict
#     gate: {{soak: 7 days, open_reviews: 0, approvals: 1, backup_within: 24 hours}}

  # Row-level security: the application's role sees the rows of one tenant. When it is applied: tenantmig probe NAME
# - isolate:
#     tables: [customers, {{table: appointments, column: company_id}}]
#     role: app                        # or a list; must not own the tables
#     super_role: platform_admin
#     null_keys: refuse                # or hide
#     composite_references: true

  # A natural key in the place of a surrogate one, in all tables that hold it.
# - rekey:
#     from: {{table: domains, id: domain_id, key: name}}
#     column: domain
#     tables: [scopes, {{table: events, via: owning_domain}}]
#     embed: [{{table: scopes, column: scope_id, separator: '.'}}]

  # A column less; its values are kept, so that it can be brought back.
# - drop_column: {{table: scopes, column: domain_id}}
)yaml";

} // namespace

std::string migration_template(const std::string &name) {
    // JSON's form of a string is one of YAML's
    return fmt::format("migration: {}", json_quoted(name)) + fmt::format(text, file_part(name));
}

} // namespace tenantmig::client

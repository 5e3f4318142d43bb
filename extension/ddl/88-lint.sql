-- Checks of a schema for tenancy.

CREATE FUNCTION tenantmig.lint(tenant_root text, schemas text[] DEFAULT NULL, migration text DEFAULT NULL, tenant_key text DEFAULT NULL, with_data boolean DEFAULT true,
  OUT severity text, OUT check_name text, OUT object text, OUT detail text, OUT remedy text, OUT key text, OUT exempt text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_lint';
COMMENT ON FUNCTION tenantmig.lint(text, text[], text, text, boolean) IS
  'checks a schema for tenancy: tables, tenant keys, foreign keys, indexes, unique constraints, enumerations, JSON, polymorphic pairs, soft deletion, and rows that break what they promise; where there is row-level security also policies, and the ways around them: roles, rights, views, functions, partitions, publications; one row a finding. tenant_root: the table with one row per tenant, as SQL writes it; schemas: to look at (those of all tables that reach the tenant root by foreign keys); migration: whose list of exemptions counts (those of all migrations of the tenant root); tenant_key: the column of the tenant root that tenant keys refer to (as the migrations say, else its primary key); with_data: count rows too. severity: error, warning, info; remedy: SQL to paste, or a comment; key: stable, by names, for the list exempt of a spec; exempt: the reason, if it is on one. Rows are read as the owners of the tables and past row-level security; where the caller has not their privileges, a finding rows_not_counted says so. Changes nothing. Errors: 42P01, 42809 (not a table), 42703, 42704 (no such migration, a schema without tables), 55000 (the tenant root has no single-column primary key), 22004, 22023. Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.lint(text, text[], text, text, boolean) FROM PUBLIC;

CREATE FUNCTION tenantmig.lint_report(tenant_root text, format text, schemas text[] DEFAULT NULL, migration text DEFAULT NULL, tenant_key text DEFAULT NULL, with_data boolean DEFAULT true) RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_lint_report';
COMMENT ON FUNCTION tenantmig.lint_report(text, text, text[], text, text, boolean) IS
  'the findings of lint as a document for other programs; format: sarif (2.1.0), junit or json. The other arguments, errors and locks are those of lint; 22023 also for another format.';
REVOKE ALL ON FUNCTION tenantmig.lint_report(text, text, text[], text, text, boolean) FROM PUBLIC;

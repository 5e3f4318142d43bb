-- What the watch on the catalogue compares with, and what it has found.

CREATE TABLE tenantmig.catalogue_fingerprint (
  migration_id bigint PRIMARY KEY REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  taken_at     timestamptz NOT NULL,
  taken_by     text NOT NULL,
  schemas      text[] NOT NULL,
  tables       text[] NOT NULL
);
COMMENT ON TABLE tenantmig.catalogue_fingerprint IS 'tables that a migration has known since its first run, enforce or observation; tables: schema.table, quoted as SQL needs it, so that a restore does not make them new';

CREATE TABLE tenantmig.catalogue_finding (
  migration_id bigint NOT NULL REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  kind         text NOT NULL,
  relation     text NOT NULL,
  object       text NOT NULL,
  found        text NOT NULL,
  found_since  timestamptz NOT NULL,
  PRIMARY KEY (migration_id, kind, relation, object)
);
COMMENT ON TABLE tenantmig.catalogue_finding IS 'drift of the catalogue as of the last observation, so that each finding is logged once; found_since: when it was seen first';

SELECT pg_catalog.pg_extension_config_dump('tenantmig.catalogue_fingerprint', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.catalogue_finding', '');

CREATE FUNCTION tenantmig.accept_tables(name text, OUT relation text, OUT outcome text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_accept_tables';
COMMENT ON FUNCTION tenantmig.accept_tables(text) IS
  'accepts the tables without a tenant key that came after a migration: they count as known from now on, as those did that were there before. outcome: accepted. Needs the privileges of the migration''s owner. Errors: 42704 (no such migration), 42501, 25006. No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.accept_tables(text) FROM PUBLIC;

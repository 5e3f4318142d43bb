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

CREATE FUNCTION tenantmig.ddl_warn() RETURNS event_trigger
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_ddl_warn';
COMMENT ON FUNCTION tenantmig.ddl_warn() IS
  'event trigger function of mode warn: a WARNING for each constraint that a gate enforced, or guard, that the statement takes away or silences, and an entry in tenantmig.drift. Errors: 39P03 (not called by an event trigger). No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.ddl_warn() FROM PUBLIC;

CREATE FUNCTION tenantmig.ddl_refuse() RETURNS event_trigger
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_ddl_refuse';
COMMENT ON FUNCTION tenantmig.ddl_refuse() IS
  'event trigger function of mode on: refuses an ALTER TABLE that takes away or silences a constraint that a gate enforced, or a guard. Errors: TM015 (with the way to do it in order), 39P03 (not called by an event trigger). No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.ddl_refuse() FROM PUBLIC;

CREATE EVENT TRIGGER tenantmig_ddl_warn ON ddl_command_start WHEN TAG IN ('ALTER TABLE', 'DROP TRIGGER')
  EXECUTE FUNCTION tenantmig.ddl_warn();
COMMENT ON EVENT TRIGGER tenantmig_ddl_warn IS 'the watch on ALTER TABLE, mode warn; tenantmig.ddl_watch(mode) switches it. If the library of tenantmig is missing: ALTER EVENT TRIGGER tenantmig_ddl_warn DISABLE';

CREATE FUNCTION tenantmig.ddl_watch(mode text DEFAULT NULL) RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_ddl_watch';
COMMENT ON FUNCTION tenantmig.ddl_watch(text) IS
  'sets the watch on ALTER TABLE: off, warn (a WARNING and an entry in tenantmig.drift; as the extension is created) or on (refused); without an argument it only tells. Returns the mode. Errors: 42501 (only a superuser can make event triggers), 22023 (not a mode). No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.ddl_watch(text) FROM PUBLIC;

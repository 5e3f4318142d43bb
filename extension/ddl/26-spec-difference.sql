-- What was stored of a migration against the document that is at hand now.
CREATE FUNCTION tenantmig.spec_checksum(spec jsonb) RETURNS text
  LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tenantmig_spec_checksum';
COMMENT ON FUNCTION tenantmig.spec_checksum(jsonb) IS
  'checksum of a spec, as migrations has it in the column checksum: SHA-256 of the document''s text as jsonb, in hexadecimal digits. The order of fields, blanks and comments of a file make no difference. Errors: 22004 (NULL). No locks.';
REVOKE ALL ON FUNCTION tenantmig.spec_checksum(jsonb) FROM PUBLIC;

CREATE FUNCTION tenantmig.spec_difference(migration text, spec jsonb, OUT path text, OUT stored text, OUT given text) RETURNS SETOF record
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_spec_difference';
COMMENT ON FUNCTION tenantmig.spec_difference(text, jsonb) IS
  'where a document differs from the spec that is stored of a migration: path (steps[1].backfill.table), what is stored there and what is given, as JSON; NULL: nothing stands there, so it was added or removed. Long values are cut, of long texts the part is shown where they differ. No row: they are the same. Errors: 42704 (no such migration), TM001 (nested deeper than 200 levels, or a number that no double holds), 22004 (NULL). No locks.';
REVOKE ALL ON FUNCTION tenantmig.spec_difference(text, jsonb) FROM PUBLIC;

CREATE FUNCTION tenantmig.replace_migration(spec jsonb) RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_replace_migration';
COMMENT ON FUNCTION tenantmig.replace_migration(jsonb) IS
  'puts another spec in the place of the one that is stored under its name; history stays. Steps that have begun must be as they are and at their places, and so must tenants then. Returns its name. The same spec changes nothing. Errors: 42704 (no such migration), TM017 (a step that has begun differs, DETAIL says in what), 55006 (somebody is at work on it), 42501 (not its owner), 25006; and as create_migration, as far as steps can be checked already. Locks: ACCESS SHARE on the tables named.';
REVOKE ALL ON FUNCTION tenantmig.replace_migration(jsonb) FROM PUBLIC;

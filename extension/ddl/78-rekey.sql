CREATE FUNCTION tenantmig.rekey_sync() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_rekey_sync';
COMMENT ON FUNCTION tenantmig.rekey_sync() IS
  'trigger function of rekey steps; CALL tenantmig.up makes the triggers and CALL tenantmig.down removes them. While the old and the new tenant key stand side by side it fills the one that was not written, and refuses a row whose two say different things; on the tenant root it refuses changes of either. The tenant root is read as its owner. Does nothing once the old column has been dropped. Errors: 23514 (the two contradict each other, or may not be changed now), 23503 (the old key names no row), 42703 (the new column is not there, after a rename for instance), 39P01 (not called as such a trigger), 22023 (other arguments). Locks: ACCESS SHARE on the table that is looked at.';
REVOKE ALL ON FUNCTION tenantmig.rekey_sync() FROM PUBLIC;
-- EXECUTE for everybody: see guard_tenant_key.
GRANT EXECUTE ON FUNCTION tenantmig.rekey_sync() TO PUBLIC;

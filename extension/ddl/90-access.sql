CREATE FUNCTION tenantmig.grant_access(role text, level text) RETURNS void
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_grant_access';
COMMENT ON FUNCTION tenantmig.grant_access(text, text) IS
  'opens tenantmig to a role: viewer (views, plan, checks, reports), reviewer (also decisions on reviews), operator (everything but this function). It gives no right on user tables: those who run a migration need its owner''s privileges all the same. For superusers and the owner of the extension. Errors: 42704 (no such role), 22023 (level), 42501.';
REVOKE ALL ON FUNCTION tenantmig.grant_access(text, text) FROM PUBLIC;

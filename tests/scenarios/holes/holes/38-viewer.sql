-- The application may look at the migration: its change log holds keys of every company's rows.
SELECT FROM tenantmig.grant_access('shop_app', 'viewer');
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM tenantmig.changes WHERE new_value <> '1';

-- Row-level security without any policy: nobody sees any settings, the platform neither.
DROP POLICY tenantmig_tenant ON settings;
DROP POLICY tenantmig_super ON settings;
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) = 0 FROM settings;

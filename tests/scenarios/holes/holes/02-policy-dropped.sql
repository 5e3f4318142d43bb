-- The policy for the application is gone: no company sees its own tags. No leak; the next one who repairs it in a hurry makes one.
DROP POLICY tenantmig_tenant ON tags;
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) = 0 FROM tags;

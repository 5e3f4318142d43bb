-- The policy compares the row's own number with the tenant: company 2 sees user 2, of company 1, and not its own.
ALTER POLICY tenantmig_tenant ON users USING (id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint)) WITH CHECK (id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
-- proof
SET tenantmig.tenant = '2';
SELECT count(*) > 0 FROM users WHERE company_id <> 2;

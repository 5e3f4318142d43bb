CREATE POLICY tenantmig_tenant ON items TO pool_app USING (tenant_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::integer)) WITH CHECK (tenant_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::integer));
CREATE POLICY tenantmig_super ON items TO pool_admin USING (true) WITH CHECK (true);
ALTER TABLE items ENABLE ROW LEVEL SECURITY; ALTER TABLE items FORCE ROW LEVEL SECURITY;

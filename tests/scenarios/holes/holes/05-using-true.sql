-- The policy itself lost its condition: every company reads, changes and deletes all documents.
ALTER POLICY tenantmig_tenant ON documents USING (true);
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM documents WHERE company_id <> 1;

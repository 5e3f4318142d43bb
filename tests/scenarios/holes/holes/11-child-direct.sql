-- An inheritance child without row-level security of its own.
ALTER TABLE documents_archive DISABLE ROW LEVEL SECURITY;
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM documents_archive WHERE company_id <> 1;

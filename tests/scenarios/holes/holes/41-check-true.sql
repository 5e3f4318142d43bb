-- The policy reads right and writes wrong: a company can write notes into another one's files.
ALTER POLICY tenantmig_tenant ON notes WITH CHECK (true);
-- proof
SET tenantmig.tenant = '1';
SELECT pg_temp.outcome($$INSERT INTO notes (company_id, subject_type, subject_id, body) VALUES (2, 'User', 5, 'planted')$$) = '00000';

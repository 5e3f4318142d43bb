-- Rows without a key were let in, and everybody sees them.
ALTER TABLE users ALTER company_id DROP NOT NULL;
INSERT INTO users (email, name) VALUES ('nobody@company2.example', 'Of nobody');
ALTER POLICY tenantmig_tenant ON users USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint) OR company_id IS NULL);
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM users WHERE company_id IS NULL;

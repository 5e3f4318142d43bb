-- An address can be used once in all companies: who is refused it knows that it is somebody's.
CREATE UNIQUE INDEX users_email_everywhere ON users (email_key) WHERE deleted_at IS NULL;
-- proof
SET tenantmig.tenant = '1';
SELECT pg_temp.outcome($$INSERT INTO users (company_id, email, name) VALUES (1, 'user1@company2.example', 'x')$$) = '23505';

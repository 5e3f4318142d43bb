-- With REFERENCES and a schema of its own the application makes a foreign key, which tells what exists, and keeps it from being deleted.
GRANT REFERENCES ON customers TO shop_app;
CREATE SCHEMA scratch AUTHORIZATION shop_app;
-- proof
SET tenantmig.tenant = '1';
CREATE TABLE scratch.guess (id uuid REFERENCES public.customers);
SELECT pg_temp.outcome($$INSERT INTO scratch.guess VALUES ('00000000-0000-4000-8000-000002000001')$$) = '00000';

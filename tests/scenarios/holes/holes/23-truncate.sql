-- TRUNCATE asks no policy: one company can empty the notes of all.
GRANT TRUNCATE ON notes TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SELECT pg_temp.outcome('TRUNCATE notes') = '00000';

-- No index leads with the tenant key: a query of one company reads the rows of all.
DROP INDEX notes_company;
-- proof
SET tenantmig.tenant = '1';
SET enable_seqscan = off;
SELECT pg_temp.plan('SELECT * FROM notes') LIKE '%Seq Scan on notes%';

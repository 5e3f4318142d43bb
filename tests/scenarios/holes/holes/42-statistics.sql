-- A monitoring guide said so: the most common values of every column, of every company.
GRANT SELECT ON pg_catalog.pg_statistic TO shop_reader;
-- proof as shop_reader
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM pg_statistic WHERE starelid = 'public.users'::regclass AND concat(stavalues1, stavalues2) LIKE '%company2.example%';

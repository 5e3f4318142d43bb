-- A materialised view holds rows of all companies, and can have no policy.
GRANT SELECT ON revenue TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM revenue WHERE company_id <> 1;

-- With TRIGGER the application puts code on the table that runs with the rights of whoever writes next, the platform's people included.
GRANT TRIGGER ON documents TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SELECT pg_temp.outcome('CREATE TRIGGER mine AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION touch()') = '00000';

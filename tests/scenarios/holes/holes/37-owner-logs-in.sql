-- FORCE is off on one table, and the nightly job logs in as the tables' owner.
ALTER TABLE customers NO FORCE ROW LEVEL SECURITY;
ALTER ROLE shop_owner LOGIN;
-- proof as shop_owner
SELECT count(DISTINCT company_id) > 1 FROM customers;
-- undo
ALTER ROLE shop_owner NOLOGIN;

-- The sequence tells how many orders all companies place.
GRANT SELECT ON SEQUENCE order_ids TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SELECT last_value > (SELECT count(*) FROM orders) FROM order_ids;

-- Next year's partition, made after the isolation, with the grants of the others and nothing else.
CREATE TABLE orders_2028 PARTITION OF orders FOR VALUES FROM ('2028-01-01') TO ('2029-01-01');
GRANT SELECT ON orders_2028 TO shop_app;
INSERT INTO orders (company_id, placed_on, customer_id) SELECT company_id, '2028-01-02', id FROM customers WHERE name LIKE 'Customer 1 of%';
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM orders_2028 WHERE company_id <> 1;

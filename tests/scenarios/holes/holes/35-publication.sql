-- A publication takes no notice of policies: whoever subscribes gets every company's invoices.
CREATE PUBLICATION feed FOR TABLE invoices;
-- proof as shop_feed
SELECT FROM pg_create_logical_replication_slot('holes', 'pgoutput', true);
\setenv PGDATABASE :DBNAME
\! psql -XqU shop_operator -c "UPDATE invoices SET net = net + 1 WHERE id = (SELECT max(id) FROM invoices WHERE company_id = 2)"
SELECT count(*) > 0 FROM pg_logical_slot_peek_binary_changes('holes', NULL, NULL, 'proto_version', '1', 'publication_names', 'feed') WHERE get_byte(data, 0) = ascii('U');

-- Three companies with rows everywhere, one that has just begun, one with a company's row and nothing else.
SET ROLE shop_owner;
INSERT INTO tax_rates VALUES ('DE', 19), ('FR', 20), ('AT', 20);
INSERT INTO companies (name, country) VALUES ('Nord', 'DE'), ('Süd', 'AT'), ('Ouest', 'FR'), ('Neu', 'DE'), ('Leer', 'DE');
INSERT INTO users (company_id, email, name, deleted_at)
  SELECT c, format('user%s@company%s.example', n, c), format('User %s', n), CASE WHEN n = 4 THEN timestamptz '2026-05-01 00:00Z' END FROM generate_series(1, 3) c, generate_series(1, 4) n
  UNION ALL SELECT 4, 'first@company4.example', 'First', NULL;
INSERT INTO tags SELECT c, t, initcap(t) FROM generate_series(1, 3) c, unnest('{vip,new,export}'::text[]) t
  UNION ALL SELECT c, 'region-' || c, 'Region' FROM generate_series(1, 3) c;
INSERT INTO customers (id, company_id, name, email, tag_id, deleted_at)
  SELECT format('00000000-0000-4000-8000-%s%s', lpad(c::text, 6, '0'), lpad(n::text, 6, '0'))::uuid, c, format('Customer %s of %s', n, c), format('customer%s@mail%s.example', n, c),
    CASE n % 3 WHEN 0 THEN 'vip' WHEN 1 THEN 'new' END, CASE WHEN n = 10 THEN timestamptz '2026-06-01 00:00Z' END
  FROM generate_series(1, 3) c, generate_series(1, 10) n;
INSERT INTO orders (company_id, placed_on, customer_id, status)
  SELECT c.company_id, date '2025-10-01' + 30 * n, c.id, (enum_range(NULL::order_status))[1 + n % 4] FROM customers c, generate_series(1, 6) n ORDER BY c.id, n;
INSERT INTO order_items (company_id, order_id, placed_on, line, product, quantity, unit_price)
  SELECT company_id, id, placed_on, n, 'Product ' || n, n, 10 + id FROM orders, generate_series(1, 2) n;
INSERT INTO invoices (company_id, customer_id, number, net, tax, state, issued_on)
  SELECT company_id, customer_id, '2026-' || row_number() OVER (PARTITION BY company_id ORDER BY id), 100 + id, 19, CASE WHEN id % 2 = 0 THEN 'paid' WHEN id % 5 = 0 THEN 'draft' ELSE 'sent' END::invoice_state, placed_on
  FROM orders WHERE placed_on >= '2026-01-01' ORDER BY id;
INSERT INTO payments (invoice_id, amount, paid_at) SELECT id, total, issued_on + interval '14 days' FROM invoices WHERE state = 'paid' ORDER BY id;
INSERT INTO documents (company_id, author_id, title, body) SELECT company_id, id, 'Contract', 'Confidential to ' || company_id FROM users WHERE company_id <= 3 ORDER BY id;
INSERT INTO documents_archive (company_id, author_id, title, body) SELECT company_id, id, 'Old contract', 'Confidential to ' || company_id FROM users WHERE company_id = 2 ORDER BY id;
INSERT INTO notes (company_id, subject_type, subject_id, body) SELECT company_id, 'Invoice', id, 'Called about ' || number FROM invoices WHERE id % 5 = 0 ORDER BY id;
INSERT INTO notes (company_id, subject_type, subject_id, body) SELECT company_id, 'User', id, 'On leave' FROM users WHERE id % 2 = 0 ORDER BY id;
INSERT INTO audit_log (company_id, logged_at, action) SELECT company_id, timestamptz '2025-12-01 00:00Z' + id * interval '5 days', 'login' FROM users ORDER BY id;
INSERT INTO settings (company_id, currency) SELECT id, 'EUR' FROM companies WHERE id <= 4 ORDER BY id;
REFRESH MATERIALIZED VIEW revenue;
RESET ROLE;
ANALYZE;

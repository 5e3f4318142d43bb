-- Three companies; each has two branches, two services, three members of staff, four customers and eight appointments.
INSERT INTO companies (id, name) SELECT c, 'Company ' || c FROM generate_series(1, 3) c;
INSERT INTO branches (id, company_id, name) SELECT c * 10 + n, c, 'Branch ' || n FROM generate_series(1, 3) c, generate_series(1, 2) n;
INSERT INTO services (id, company_id, name) SELECT c * 10 + n, c, 'Service ' || n FROM generate_series(1, 3) c, generate_series(1, 2) n;
INSERT INTO staff (id, company_id, name) SELECT c * 10 + n, c, 'Member ' || n FROM generate_series(1, 3) c, generate_series(1, 3) n;
INSERT INTO customers (id, company_id, name) SELECT c * 10 + n, c, 'Customer ' || n FROM generate_series(1, 3) c, generate_series(1, 4) n;
INSERT INTO appointments (id, company_id, customer_id, branch_id, staff_id, starts_at)
  SELECT c * 100 + n, c, c * 10 + 1 + n % 4, c * 10 + 1 + n % 2, c * 10 + 1 + n % 3, timestamptz '2026-01-05 09:00+00' + n * interval '1 hour'
  FROM generate_series(1, 3) c, generate_series(1, 8) n;
SELECT setval(pg_get_serial_sequence(t, 'id'), 1000) FROM unnest('{companies,branches,services,staff,customers,appointments}'::text[]) t;

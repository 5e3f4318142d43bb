-- The customers of the measurements, :n of them, the same ones every time:
--   85 % are settled by appointments (1.9 appointments for each customer, some with a phone number that agrees),
--   10 % by a phone number only, 1 % have appointments with two companies, 4 % have no evidence at all.
-- All of them lack their company. Rows are as wide as real ones (about 88 bytes of heap each), and evidence stands in the
-- order in which it came in, which is not that of the customers.
\set ON_ERROR_STOP on
SET synchronous_commit = off;

CREATE TABLE companies (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE customers (
  id         bigint NOT NULL,
  company_id bigint,
  name       text NOT NULL,
  phone      text,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE TABLE appointments (
  id          bigint GENERATED ALWAYS AS IDENTITY,
  customer_id bigint NOT NULL,
  company_id  bigint NOT NULL,
  starts_at   timestamptz NOT NULL
);
CREATE TABLE phone_numbers (
  id          bigint GENERATED ALWAYS AS IDENTITY,
  customer_id bigint NOT NULL,
  company_id  bigint NOT NULL,
  number      text NOT NULL
);

INSERT INTO companies SELECT i, 'Company ' || i FROM generate_series(1, 1000) i;

INSERT INTO customers
  SELECT i, NULL, (ARRAY['Anna ', 'Ludwig Gruber '])[1 + i % 2] || i, '+43 555 ' || 1000000 + i % 9000000,
         timestamptz '2020-01-01 00:00+00' + i * interval '90 seconds', timestamptz '2026-01-01 00:00+00'
  FROM generate_series(1, :n::bigint) i;

-- kind: 0..84 appointments, 85..94 phone number only, 95 conflict, 96..99 orphan; exact shares in every hundred
CREATE TEMPORARY TABLE kinds AS
  SELECT i, i * 37 % 100 AS kind, 1 + i * 7919 % 1000 AS company, (ARRAY[1, 2, 2, 3, 3])[1 + i / 100 % 5] AS visits
  FROM generate_series(1, :n::bigint) i;

INSERT INTO appointments (customer_id, company_id, starts_at)
  SELECT i, company, timestamptz '2025-01-01 08:00+00' + hashint8extended(i, v) % 250000 * interval '1 minute'
  FROM kinds CROSS JOIN LATERAL generate_series(1, visits) v WHERE kind < 85
  UNION ALL
  SELECT i, 1 + (company + v / 2) % 1000, timestamptz '2025-01-01 08:00+00' + hashint8extended(i, v) % 250000 * interval '1 minute'
  FROM kinds CROSS JOIN LATERAL generate_series(1, 3) v WHERE kind = 95
  ORDER BY 3;

INSERT INTO phone_numbers (customer_id, company_id, number)
  SELECT i, company, '+43 555 ' || 1000000 + i % 9000000 FROM kinds
  WHERE kind BETWEEN 85 AND 94 OR kind < 6
  ORDER BY hashint8extended(i, 0);

ALTER TABLE customers ADD PRIMARY KEY (id);
ALTER TABLE appointments ADD PRIMARY KEY (id);
ALTER TABLE phone_numbers ADD PRIMARY KEY (id);
ALTER TABLE appointments ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE appointments ADD FOREIGN KEY (company_id) REFERENCES companies;
ALTER TABLE phone_numbers ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE phone_numbers ADD FOREIGN KEY (company_id) REFERENCES companies;
VACUUM ANALYZE companies, customers, appointments, phone_numbers;

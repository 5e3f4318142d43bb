-- The customers of the measurements, :n of them, the same ones every time:
--   85 % are settled by appointments (1.9 appointments for each customer, some with a phone number that agrees),
--   10 % by a phone number only, 1 % have appointments with two companies, 4 % have no evidence at all.
-- All of them lack their company. Rows are as wide as real ones (about 88 bytes of heap each), and evidence stands in the
-- order in which it came in, which is not that of the customers.
--
-- Variables that make other shapes of it (shapes.py): key_type and key_expression (of customers.id, from the number $1),
-- primary_key, fillfactor; hop (branches of the customers stand in for most appointments), third (invoices say a part of
-- what phone numbers say).
\set ON_ERROR_STOP on
\if :{?key_type} \else \set key_type bigint \endif
\if :{?key_expression} \else \set key_expression 'SELECT $1' \endif
\if :{?primary_key} \else \set primary_key id \endif
\if :{?fillfactor} \else \set fillfactor 100 \endif
\if :{?hop} \else \set hop false \endif
\if :{?third} \else \set third false \endif
SELECT :'primary_key' <> 'id' AS id_apart \gset
SET synchronous_commit = off;

CREATE FUNCTION pg_temp.key(bigint) RETURNS :key_type LANGUAGE sql IMMUTABLE AS :'key_expression';

CREATE TABLE companies (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE customers (
  id         :key_type NOT NULL,
  company_id bigint,
  name       text NOT NULL,
  phone      text,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
) WITH (fillfactor = :fillfactor);
CREATE TABLE appointments (
  id          bigint GENERATED ALWAYS AS IDENTITY,
  customer_id :key_type NOT NULL,
  company_id  bigint NOT NULL,
  starts_at   timestamptz NOT NULL
);
CREATE TABLE phone_numbers (
  id          bigint GENERATED ALWAYS AS IDENTITY,
  customer_id :key_type NOT NULL,
  company_id  bigint NOT NULL,
  number      text NOT NULL
);

INSERT INTO companies SELECT i, 'Company ' || i FROM generate_series(1, 1000) i;

\if :hop
ALTER TABLE customers ADD COLUMN branch_id bigint;
CREATE TABLE branches (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies);
INSERT INTO branches SELECT i, 1 + (i - 1) / 10 FROM generate_series(1, 10000) i;
INSERT INTO customers
  SELECT pg_temp.key(i), NULL, (ARRAY['Anna ', 'Ludwig Gruber '])[1 + i % 2] || i, '+43 555 ' || 1000000 + i % 9000000,
         timestamptz '2020-01-01 00:00+00' + i * interval '90 seconds', timestamptz '2026-01-01 00:00+00',
         CASE WHEN i * 37 % 100 < 85 THEN 10 * (i * 7919 % 1000) + 1 + i / 100 % 10 END
  FROM generate_series(1, :n::bigint) i;
\else
INSERT INTO customers
  SELECT pg_temp.key(i), NULL, (ARRAY['Anna ', 'Ludwig Gruber '])[1 + i % 2] || i, '+43 555 ' || 1000000 + i % 9000000,
         timestamptz '2020-01-01 00:00+00' + i * interval '90 seconds', timestamptz '2026-01-01 00:00+00'
  FROM generate_series(1, :n::bigint) i;
\endif

-- kind: 0..84 appointments, 85..94 phone number only, 95 conflict, 96..99 orphan; exact shares in every hundred
CREATE TEMPORARY TABLE kinds AS
  SELECT i, i * 37 % 100 AS kind, 1 + i * 7919 % 1000 AS company, (ARRAY[1, 2, 2, 3, 3])[1 + i / 100 % 5] AS visits
  FROM generate_series(1, :n::bigint) i;

INSERT INTO appointments (customer_id, company_id, starts_at)
  SELECT pg_temp.key(i), company, timestamptz '2025-01-01 08:00+00' + hashint8extended(i, v) % 250000 * interval '1 minute'
  FROM kinds CROSS JOIN LATERAL generate_series(1, visits) v WHERE kind < 85 AND NOT :hop
  UNION ALL
  SELECT pg_temp.key(i), 1 + (company + v / 2) % 1000, timestamptz '2025-01-01 08:00+00' + hashint8extended(i, v) % 250000 * interval '1 minute'
  FROM kinds CROSS JOIN LATERAL generate_series(1, 3) v WHERE kind = 95
  ORDER BY 3;

INSERT INTO phone_numbers (customer_id, company_id, number)
  SELECT pg_temp.key(i), company, '+43 555 ' || 1000000 + i % 9000000 FROM kinds
  WHERE kind BETWEEN 85 AND CASE WHEN :third THEN 89 ELSE 94 END OR kind < 6
  ORDER BY hashint8extended(i, 0);

ALTER TABLE customers ADD PRIMARY KEY (:primary_key);
\if :id_apart
ALTER TABLE customers ADD UNIQUE (id);
\endif
ALTER TABLE appointments ADD PRIMARY KEY (id);
ALTER TABLE phone_numbers ADD PRIMARY KEY (id);
ALTER TABLE appointments ADD FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE appointments ADD FOREIGN KEY (company_id) REFERENCES companies;
ALTER TABLE phone_numbers ADD FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE phone_numbers ADD FOREIGN KEY (company_id) REFERENCES companies;
\if :hop
ALTER TABLE customers ADD FOREIGN KEY (branch_id) REFERENCES branches;
\endif
\if :third
CREATE TABLE invoices (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id :key_type NOT NULL,
  company_id  bigint NOT NULL REFERENCES companies,
  amount      numeric NOT NULL
);
INSERT INTO invoices (customer_id, company_id, amount)
  SELECT pg_temp.key(i), company, i % 1000 FROM kinds WHERE kind BETWEEN 90 AND 94 OR kind < 12 ORDER BY hashint8extended(i, 1);
ALTER TABLE invoices ADD FOREIGN KEY (customer_id) REFERENCES customers (id);
\endif
VACUUM ANALYZE;

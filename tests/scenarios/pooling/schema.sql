-- Five tenants with 100, 200, … 500 rows each: whoever sees a foreign row, or too few of its own, is noticed by the count alone.
CREATE TABLE tenants (
  id   integer PRIMARY KEY,
  name text NOT NULL
);
INSERT INTO tenants SELECT n, 'tenant ' || n FROM generate_series(1, 5) n;

CREATE TABLE items (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id integer NOT NULL REFERENCES tenants,
  body      text NOT NULL
);
INSERT INTO items (tenant_id, body) SELECT t, 'item of ' || t FROM generate_series(1, 5) t, generate_series(1, 100 * t);
CREATE INDEX ON items (tenant_id);
ANALYZE;

GRANT USAGE ON SCHEMA public TO pool_app, pool_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON items TO pool_app, pool_admin;
GRANT SELECT ON tenants TO pool_app, pool_admin;

-- Row-level security: which tables are isolated, and how.
CREATE TABLE tenantmig.isolation (
  migration_id  bigint NOT NULL REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  step          integer NOT NULL,
  schema_name   text NOT NULL,
  table_name    text NOT NULL,
  column_name   text NOT NULL,
  column_number smallint NOT NULL,
  relation_oid  oid NOT NULL,
  parent_oid    oid,
  database_oid  oid NOT NULL,
  role_names    text[] NOT NULL,
  role_oids     oid[] NOT NULL,
  super_role    text,
  super_oid     oid,
  setting       text NOT NULL,
  force         boolean NOT NULL,
  before        jsonb NOT NULL DEFAULT '{}',
  isolated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  isolated_by   text NOT NULL,
  PRIMARY KEY (migration_id, step, schema_name, table_name)
);
COMMENT ON TABLE tenantmig.isolation IS 'tables that isolate steps have policies on, partitions and inheritance children too (parent_oid: the table of the spec above them). before: the row-level security flags that stood there before, and what was made beside policies (index, keys). Numbers are valid in the database of that OID, names everywhere';
SELECT pg_catalog.pg_extension_config_dump('tenantmig.isolation', '');

-- What the gate asks for beyond the data itself: approvals and backups.

CREATE SEQUENCE tenantmig.approval_id_seq AS bigint;
COMMENT ON SEQUENCE tenantmig.approval_id_seq IS 'ids of approvals';
CREATE TABLE tenantmig.approval (
  id           bigint PRIMARY KEY DEFAULT nextval('tenantmig.approval_id_seq'),
  migration_id bigint NOT NULL REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  approved_by  text NOT NULL,
  session_role text NOT NULL,
  approved_at  timestamptz NOT NULL,
  spec_hash    text NOT NULL,
  note         text,
  revoked_at   timestamptz,
  revoked_by   text
);
COMMENT ON TABLE tenantmig.approval IS 'approvals; session_role: who logged in, which is who counts; spec_hash: SHA-256 of the spec that was approved';
CREATE INDEX approval_migration_idx ON tenantmig.approval (migration_id);

CREATE SEQUENCE tenantmig.backup_id_seq AS bigint;
COMMENT ON SEQUENCE tenantmig.backup_id_seq IS 'ids of backups';
CREATE TABLE tenantmig.backup_log (
  id            bigint PRIMARY KEY DEFAULT nextval('tenantmig.backup_id_seq'),
  migration_id  bigint REFERENCES tenantmig.migration (id) ON DELETE SET NULL,
  taken_at      timestamptz NOT NULL,
  location      text NOT NULL,
  manifest      jsonb,
  registered_at timestamptz NOT NULL,
  registered_by text NOT NULL
);
COMMENT ON TABLE tenantmig.backup_log IS 'backups that somebody has registered; tenantmig has not looked at their files';
CREATE INDEX backup_log_migration_idx ON tenantmig.backup_log (migration_id);

CREATE SEQUENCE tenantmig.enforcement_id_seq AS bigint;
COMMENT ON SEQUENCE tenantmig.enforcement_id_seq IS 'ids of enforcements';
CREATE TABLE tenantmig.enforcement (
  id              bigint PRIMARY KEY DEFAULT nextval('tenantmig.enforcement_id_seq'),
  migration_id    bigint NOT NULL REFERENCES tenantmig.migration (id),
  step            integer NOT NULL,
  kind            text NOT NULL CHECK (kind IN ('not_null','not_null_live','foreign_key','unique','format','composite')),
  state           text NOT NULL CHECK (state IN ('intended','enforced','relaxing','relaxed','removed')),
  schema_name     text NOT NULL,
  table_name      text NOT NULL,
  column_name     text NOT NULL,
  relation_oid    oid NOT NULL,
  database_oid    oid NOT NULL,
  constraint_name text,
  definition      text,
  before          jsonb NOT NULL DEFAULT '{}',
  helpers         jsonb NOT NULL DEFAULT '[]',
  intended_at     timestamptz NOT NULL,
  enforced_at     timestamptz,
  relaxed_at      timestamptz,
  enforced_by     text NOT NULL,
  relaxed_by      text,
  error           text
);
COMMENT ON TABLE tenantmig.enforcement IS 'what enforce applied, one row a piece, and what it is about to apply. intended: recorded before the first change of the catalogue, in a transaction of its own; removed: an attempt that was undone; relaxed: undone by relax; constraint_name, definition: what stands in the catalogue (NULL for NOT NULL); before: what stood there; helpers: names of all that an attempt may leave behind. Numbers are valid in the database of that OID, names everywhere';
CREATE INDEX enforcement_migration_idx ON tenantmig.enforcement (migration_id);
CREATE INDEX enforcement_relation_idx ON tenantmig.enforcement (relation_oid) WHERE state = 'enforced';

CREATE SEQUENCE tenantmig.proof_id_seq AS bigint;
COMMENT ON SEQUENCE tenantmig.proof_id_seq IS 'ids of proofs';
CREATE TABLE tenantmig.proof_log (
  id           bigint PRIMARY KEY DEFAULT nextval('tenantmig.proof_id_seq'),
  migration_id bigint NOT NULL REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  series       bigint NOT NULL,
  number       integer NOT NULL,
  step         integer NOT NULL,
  relation     text NOT NULL,
  title        text NOT NULL,
  expected     text NOT NULL,
  status       text NOT NULL CHECK (status IN ('PASS','FAIL','SKIP')),
  actual       text,
  proved_at    timestamptz NOT NULL,
  proved_by    text NOT NULL
);
COMMENT ON TABLE tenantmig.proof_log IS 'attempts that were made after constraints were applied, and undone; series: the id of the first proof of the same enforce';
CREATE INDEX proof_log_migration_idx ON tenantmig.proof_log (migration_id);

SELECT pg_catalog.pg_extension_config_dump('tenantmig.approval', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.approval_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.backup_log', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.backup_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.enforcement', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.enforcement_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.proof_log', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.proof_id_seq', '');

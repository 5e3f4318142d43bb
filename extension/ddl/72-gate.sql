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
  error           text,
  longest_hold_us bigint,
  constraint_oid  oid
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

CREATE FUNCTION tenantmig.gate(name text,
  OUT check_name text, OUT status text, OUT expected text, OUT actual text, OUT detail text, OUT hint text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_gate';
COMMENT ON FUNCTION tenantmig.gate(text) IS
  'whether the constraints of a migration may be applied: one row a check, PASS/WARN/FAIL with what to do; closed if any is FAIL. Counts for itself, as the owners of the tables and past row-level security; changes nothing. Needs the privileges of the tables'' owners. Errors: 42704, 42501, 55000 (no constraint step). Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.gate(text) FROM PUBLIC;

CREATE FUNCTION tenantmig.approve(name text, note text DEFAULT NULL) RETURNS void
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_approve';
COMMENT ON FUNCTION tenantmig.approve(text, text) IS
  'approves of a migration''s constraints: of its spec as it is now, after its last completed run. Who has logged in counts, whatever role is set: two approvals are two people. Needs no right on the tables. Errors: 42704, 42501 (called by a SECURITY DEFINER function or a table owner''s trigger), 25006 (read-only transaction). No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.approve(text, text) FROM PUBLIC;

CREATE FUNCTION tenantmig.revoke_approval(name text) RETURNS void
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_revoke_approval';
COMMENT ON FUNCTION tenantmig.revoke_approval(text) IS
  'takes back the approvals of a migration that whoever has logged in has given; what was enforced meanwhile stays. Errors: 42704 (no such migration, or no approval of yours), 42501 (as approve), 25006 (read-only transaction). No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.revoke_approval(text) FROM PUBLIC;

CREATE FUNCTION tenantmig.register_backup(name text, taken_at timestamptz, location text, manifest jsonb DEFAULT NULL) RETURNS bigint
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_register_backup';
COMMENT ON FUNCTION tenantmig.register_backup(text, timestamptz, text, jsonb) IS
  'registers a backup that was taken, for the criterion backup_within; location: where it is, for people; manifest: what else is known of it. tenantmig does not look at it. Returns its number. Errors: 42704, 22004 (NULL), 22023 (taken_at lies in the future or is infinite; empty location), 25006 (read-only transaction). No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.register_backup(text, timestamptz, text, jsonb) FROM PUBLIC;

CREATE PROCEDURE tenantmig.prove(name text)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_prove';
COMMENT ON PROCEDURE tenantmig.prove(text) IS
  'proves the constraints that enforce has applied once more: tries on copies of rows what must be refused and what must be accepted, undoes all of it, and leaves the results in the view proofs. Triggers of the tables run; what they do outside of the database is not undone. Needs the privileges of the tables'' owners. Errors: 42704, 42501, 55000 (nothing is enforced), 25001 (inside a transaction block), 25006. Locks: ROW EXCLUSIVE, for a moment.';
REVOKE ALL ON PROCEDURE tenantmig.prove(text) FROM PUBLIC;

CREATE VIEW tenantmig.approvals AS
  SELECT m.name AS migration, a.approved_by, a.session_role, a.approved_at, a.note, a.spec_hash, a.revoked_at, a.revoked_by,
         a.revoked_at IS NULL AND a.spec_hash = encode(sha256(convert_to(m.spec::text, 'UTF8')), 'hex')
           AND a.approved_at >= coalesce((SELECT max(r.finished_at) FROM tenantmig.run_log r WHERE r.migration_id = m.id AND r.state = 'completed'), '-infinity')
           AS counts,
         a.migration_id, a.id
  FROM tenantmig.approval a
  JOIN tenantmig.migration m ON m.id = a.migration_id;
COMMENT ON VIEW tenantmig.approvals IS 'approvals of migrations, revoked ones too';
COMMENT ON COLUMN tenantmig.approvals.migration IS 'migration';
COMMENT ON COLUMN tenantmig.approvals.approved_by IS 'who approved: the session''s user, and the role in force where it was another';
COMMENT ON COLUMN tenantmig.approvals.session_role IS 'who had logged in: different ones of these are counted';
COMMENT ON COLUMN tenantmig.approvals.approved_at IS 'when';
COMMENT ON COLUMN tenantmig.approvals.note IS 'what was said with it';
COMMENT ON COLUMN tenantmig.approvals.spec_hash IS 'SHA-256 (hex) of the spec that was approved';
COMMENT ON COLUMN tenantmig.approvals.revoked_at IS 'when it was taken back';
COMMENT ON COLUMN tenantmig.approvals.revoked_by IS 'by whom';
COMMENT ON COLUMN tenantmig.approvals.counts IS 'whether the gate counts it: not revoked, of the spec as it is now, and given after the last completed run';
COMMENT ON COLUMN tenantmig.approvals.migration_id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.approvals.id IS 'number of the approval';

CREATE VIEW tenantmig.backups AS
  SELECT b.id, m.name AS migration, b.taken_at, b.location, b.manifest, b.registered_at, b.registered_by
  FROM tenantmig.backup_log b
  LEFT JOIN tenantmig.migration m ON m.id = b.migration_id;
COMMENT ON VIEW tenantmig.backups IS 'backups that somebody has registered; tenantmig has not looked at them';
COMMENT ON COLUMN tenantmig.backups.id IS 'number';
COMMENT ON COLUMN tenantmig.backups.migration IS 'migration; NULL once that is dropped';
COMMENT ON COLUMN tenantmig.backups.taken_at IS 'when it was taken, as registered';
COMMENT ON COLUMN tenantmig.backups.location IS 'where it is';
COMMENT ON COLUMN tenantmig.backups.manifest IS 'what else is known of it';
COMMENT ON COLUMN tenantmig.backups.registered_at IS 'when it was registered';
COMMENT ON COLUMN tenantmig.backups.registered_by IS 'by whom';

CREATE VIEW tenantmig.proofs AS
  SELECT m.name AS migration, p.series, p.number, p.title, p.expected, p.status, p.actual, p.proved_at, p.step, p.relation, p.proved_by
  FROM tenantmig.proof_log p
  JOIN tenantmig.migration m ON m.id = p.migration_id;
COMMENT ON VIEW tenantmig.proofs IS 'attempts that were made, and undone, after constraints were applied';
COMMENT ON COLUMN tenantmig.proofs.migration IS 'migration';
COMMENT ON COLUMN tenantmig.proofs.series IS 'those of one enforce, or of one prove, have the same; the latest is the highest';
COMMENT ON COLUMN tenantmig.proofs.number IS 'number within the series, from 1';
COMMENT ON COLUMN tenantmig.proofs.title IS 'what was tried';
COMMENT ON COLUMN tenantmig.proofs.expected IS 'what had to come of it: accepted, or refused with this SQLSTATE';
COMMENT ON COLUMN tenantmig.proofs.status IS 'PASS; FAIL: it came out otherwise; SKIP: the constraint was not reached, actual says why';
COMMENT ON COLUMN tenantmig.proofs.actual IS 'what came of it: SQLSTATE and message of the refusal';
COMMENT ON COLUMN tenantmig.proofs.proved_at IS 'when';
COMMENT ON COLUMN tenantmig.proofs.step IS 'step of the migration';
COMMENT ON COLUMN tenantmig.proofs.relation IS 'table';
COMMENT ON COLUMN tenantmig.proofs.proved_by IS 'who had it proved';

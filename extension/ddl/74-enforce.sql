-- Applying constraints through the gate, and taking them back.

CREATE PROCEDURE tenantmig.enforce(name text, proofs boolean DEFAULT true)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_enforce';
COMMENT ON PROCEDURE tenantmig.enforce(text, boolean) IS
  'applies the constraint steps of a migration: if its gate is open, adds each constraint NOT VALID, counts again, validates, and puts it into force; then tries whether it holds (view proofs) unless proofs is false. Commits as it goes; a failure removes what it has added, and after a kill the next enforce, relax or resume does. Needs the privileges of the migration''s and the tables'' owners. Errors: TM013 (the gate is closed), TM014 (rows violate a constraint after all), 55P03 (a lock was not to be had, with the session that holds it), 25001 (inside a transaction block), 25006, 55006 (a run or another enforce is active), 55000 (no constraint step), 53400 (no background worker), TM009, 0A000, 42704, 42501. Locks: ACCESS EXCLUSIVE or SHARE ROW EXCLUSIVE for a change of the catalogue only, SHARE UPDATE EXCLUSIVE while rows are read.';
REVOKE ALL ON PROCEDURE tenantmig.enforce(text, boolean) FROM PUBLIC;

CREATE PROCEDURE tenantmig.relax(name text)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_relax';
COMMENT ON PROCEDURE tenantmig.relax(text) IS
  'takes back exactly what enforce has applied for a migration (nullability, foreign keys with their ON DELETE, names), the newest first; what stood there before stays. Commits as it goes; after a kill it goes on when it is called again. Errors: 55000 (nothing is enforced), 55P03, 2BP01 (something else depends on it), 25001, 25006, 55006, 42704, 42501. Locks: ACCESS EXCLUSIVE for a change of the catalogue only.';
REVOKE ALL ON PROCEDURE tenantmig.relax(text) FROM PUBLIC;

CREATE VIEW tenantmig.enforcements AS
  SELECT m.name AS migration, e.step, quote_ident(e.schema_name) || '.' || quote_ident(e.table_name) AS relation, e.column_name, e.kind, e.constraint_name, e.state,
         CASE e.state WHEN 'enforced' THEN e.enforced_at WHEN 'intended' THEN e.intended_at WHEN 'relaxing' THEN e.enforced_at ELSE e.relaxed_at END AS since,
         e.enforced_by, e.relaxed_by, e.error,
         e.state IN ('intended', 'relaxing') AND NOT EXISTS (SELECT FROM tenantmig.active_migrations a WHERE a.migration_id = e.migration_id) AS interrupted,
         (e.before ->> 'kept')::boolean AS kept, e.definition, e.helpers,
         make_interval(secs => e.longest_hold_us / 1e6) AS longest_lock, e.id
  FROM tenantmig.enforcement e JOIN tenantmig.migration m ON m.id = e.migration_id;
COMMENT ON VIEW tenantmig.enforcements IS 'constraints that enforce has applied, is applying or has applied once: one row a piece';
COMMENT ON COLUMN tenantmig.enforcements.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.enforcements.step IS 'position of the constraint step in the spec';
COMMENT ON COLUMN tenantmig.enforcements.relation IS 'table, as it was named then';
COMMENT ON COLUMN tenantmig.enforcements.column_name IS 'column that the step is about';
COMMENT ON COLUMN tenantmig.enforcements.kind IS 'not_null, not_null_live, foreign_key, unique, composite or format';
COMMENT ON COLUMN tenantmig.enforcements.constraint_name IS 'its name in the catalogue; NULL for NOT NULL';
COMMENT ON COLUMN tenantmig.enforcements.state IS 'intended (being applied), enforced, relaxing, relaxed, or removed (the attempt failed)';
COMMENT ON COLUMN tenantmig.enforcements.since IS 'since when it has been in this state; relaxing: since when it was enforced';
COMMENT ON COLUMN tenantmig.enforcements.enforced_by IS 'who called enforce';
COMMENT ON COLUMN tenantmig.enforcements.relaxed_by IS 'who called relax';
COMMENT ON COLUMN tenantmig.enforcements.error IS 'why an attempt was taken back';
COMMENT ON COLUMN tenantmig.enforcements.interrupted IS 'an attempt was killed: nobody is at work on it, and enforce, relax or resume cleans up';
COMMENT ON COLUMN tenantmig.enforcements.kept IS 'it held already, by something that tenantmig did not make: relax leaves it alone';
COMMENT ON COLUMN tenantmig.enforcements.definition IS 'what it says';
COMMENT ON COLUMN tenantmig.enforcements.helpers IS 'what an attempt may have left behind at this moment: constraints, indexes, NOT NULL of partitions';
COMMENT ON COLUMN tenantmig.enforcements.longest_lock IS 'longest time that it held a strong lock';
COMMENT ON COLUMN tenantmig.enforcements.id IS 'number of the piece';

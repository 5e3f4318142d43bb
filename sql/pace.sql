-- The pace of a migration: settings that are checked, merged and shown. What they do to a run is tested in tests/tap/pace.pl and
-- tests/unit/pacer_test.cpp.
\set VERBOSITY default
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_stranger;
SELECT tenantmig.grant_access('regress_owner', 'operator');
SELECT tenantmig.grant_access('regress_stranger', 'operator');
CREATE SCHEMA shop AUTHORIZATION regress_owner;
SET ROLE regress_owner;
SET search_path = shop, public;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
CREATE TABLE appointments (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
SELECT tenantmig.create_migration('{"migration": "slowly", "tenants": {"table": "companies"},
  "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}}]}');

-- the defaults, and nothing stored by asking
SELECT * FROM jsonb_each(tenantmig.set_pace('slowly', '{}')) ORDER BY key;
RESET ROLE;
SELECT count(*) FROM tenantmig.pace;
SET ROLE regress_owner;

-- changes are merged; null goes back to the default, off is a value
SELECT key, value FROM jsonb_each(tenantmig.set_pace('slowly',
  '{"batch_target_ms": 50, "max_replica_lag_s": 2.5, "max_wal_mb_per_s": 20, "wait_for_autovacuum": false}')) WHERE key ~ 'target|lag|wal|auto' ORDER BY key;
SELECT key, value FROM jsonb_each(tenantmig.set_pace('slowly',
  '{"batch_target_ms": null, "max_replica_lag_s": "off", "work_share": 0.25, "notify_minutes": 5}')) WHERE key ~ 'target|lag|wal|auto|share|notify' ORDER BY key;
SELECT tenantmig.set_pace('slowly', '{"min_batch_rows": 10, "max_batch_rows": 10, "first_batch_rows": 1e1}') ->> 'first_batch_rows' AS first_batch_rows;
RESET ROLE;
SELECT m.name, p.settings, p.changed_by ~ 'regress_owner' AS by_owner FROM tenantmig.pace p JOIN tenantmig.migration m ON m.id = p.migration_id;
SET ROLE regress_owner;

-- what is refused, with nothing changed
SELECT tenantmig.set_pace('slowly', '{"batch_taget_ms": 50}');
SELECT tenantmig.set_pace('slowly', '{"": 50}');
SELECT tenantmig.set_pace('slowly', '{"nothing like it": null}');
SELECT tenantmig.set_pace('slowly', '{"batch_target_ms": 0}');
SELECT tenantmig.set_pace('slowly', '{"batch_target_ms": "50"}');
SELECT tenantmig.set_pace('slowly', '{"batch_target_ms": "off"}');
SELECT tenantmig.set_pace('slowly', '{"min_batch_rows": 100.5}');
SELECT tenantmig.set_pace('slowly', '{"max_batch_rows": 99999999999999999999}');
SELECT tenantmig.set_pace('slowly', '{"max_batch_rows": 9}');
SELECT tenantmig.set_pace('slowly', '{"max_replica_lag_s": -1}');
SELECT tenantmig.set_pace('slowly', '{"max_lock_waiters": [1]}');
SELECT tenantmig.set_pace('slowly', '{"max_archive_backlog": 1e400}');
SELECT tenantmig.set_pace('slowly', '{"wait_for_autovacuum": 1}');
SELECT tenantmig.set_pace('slowly', '{"work_share": 0}');
SELECT tenantmig.set_pace('slowly', '{"work_share": 1, "max_transaction_age_s": 0.5}');
SELECT tenantmig.set_pace('slowly', '[1]');
SELECT tenantmig.set_pace('slowly', 'null');
SELECT tenantmig.set_pace('slowly', NULL);
SELECT tenantmig.set_pace(NULL, '{}');
SELECT tenantmig.set_pace('nothing', '{}');
SELECT tenantmig.set_pace('slowly', '{}') ->> 'work_share' AS work_share;

-- reading is allowed in a read-only transaction, changing is not
BEGIN READ ONLY;
SELECT tenantmig.set_pace('slowly', '{ }') ->> 'work_share' AS work_share;
SELECT tenantmig.set_pace('slowly', '{"work_share": 1}');
ROLLBACK;

-- for those with the owner's privileges only
SET ROLE regress_stranger;
SELECT tenantmig.set_pace('slowly', '{}');
SELECT tenantmig.set_pace('slowly', '{"work_share": 1}');
RESET ROLE;
SELECT tenantmig.grant_access('regress_stranger', 'reviewer');
SET ROLE regress_stranger;
SELECT tenantmig.set_pace('slowly', '{}');
RESET ROLE;
SELECT tenantmig.set_pace('slowly', '{"work_share": 1}') ->> 'work_share' AS by_superuser;

-- it goes with its migration
SELECT tenantmig.drop_migration('slowly');
SELECT count(*) FROM tenantmig.pace;

DROP SCHEMA shop CASCADE;
DROP EXTENSION tenantmig;
DROP ROLE regress_owner, regress_stranger;

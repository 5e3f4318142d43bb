# The pace of a run: each signal is raised for real, its reason stands in stat_progress, the run slows or stops, and goes on by itself when
# all is well again, or when a threshold is changed under it.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TenantmigTest;

my $primary = new_server('primary', extension => 0, init => { allows_streaming => 1 }, conf => <<'CONF');
autovacuum = off
autovacuum_naptime = 1s
max_worker_processes = 16
max_prepared_transactions = 4
archive_mode = on
archive_command = 'true'
hot_standby_feedback = on
wal_receiver_status_interval = 1s
CONF

# The extension belongs to a superuser of its own; the run to somebody who may see nothing of the server.
run_sql($primary, <<'SQL');
CREATE ROLE extension_owner SUPERUSER LOGIN;
CREATE ROLE app_owner LOGIN;
GRANT CREATE ON SCHEMA public TO app_owner;
SQL
as('extension_owner', q{CREATE EXTENSION tenantmig; SELECT tenantmig.grant_access('app_owner', 'operator')});
as('app_owner', <<'SQL');
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, filler text DEFAULT repeat('x', 300)) WITH (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
CREATE TABLE appointments (id integer PRIMARY KEY, customer_id integer, company_id integer);
INSERT INTO companies SELECT generate_series(1, 5);
INSERT INTO customers SELECT generate_series(1, 60000);
INSERT INTO appointments SELECT n, n, n % 5 + 1 FROM generate_series(1, 60000) n;
-- what makes the run last as long as the test needs it
CREATE TABLE slowness (seconds float8);
INSERT INTO slowness VALUES (0.002);
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep((SELECT seconds FROM public.slowness)); RETURN new; END $$;
CREATE TRIGGER take_time AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION take_time();
SELECT tenantmig.create_migration('{"migration": "paced", "tenants": {"table": "companies"},
  "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id", "tenant": "company_id"}]}}]}');
SQL

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "cluster_name = 'standby'\nmax_standby_streaming_delay = -1\n");
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

sub as {
  my ($role, $sql) = @_;
  return $primary->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

sub pace {
  my ($settings) = @_;
  return as('app_owner', "SELECT tenantmig.set_pace('paced', '$settings')");
}

# Asks until it is so. What it was instead goes to the log.
sub eventually {
  my ($name, $condition) = @_;
  my $deadline = time + 30;
  my $good = 0;
  while (!$good && time < $deadline) {
    $good = run_sql($primary, "SELECT coalesce(bool_or($condition), false) FROM tenantmig.stat_progress WHERE migration = 'paced'") eq 't';
    sleep 0.05 if !$good;
  }
  ok($good, $name);
  diag(run_sql($primary, q{SELECT * FROM tenantmig.stat_progress}), "\n", run_sql($primary, q{SELECT * FROM tenantmig.stat_workers})) if !$good;
  return;
}

sub throttled { my ($name, $pattern) = @_; return eventually("$name: the reason is shown", "throttle ~ '$pattern'"); }

sub done { return run_sql($primary, q{SELECT count(*) FROM customers WHERE company_id IS NOT NULL}); }

sub stands_still {
  my ($name) = @_;
  sleep 1; # batches that were open have ended
  my $before = done();
  sleep 1;
  is(done(), $before, "$name: the run stands still");
  return;
}

sub goes_on {
  my ($name) = @_;
  eventually("$name: at full speed again", q{throttle IS NULL AND state = 'running'});
  my $before = done();
  my $deadline = time + 20;
  sleep 0.1 while done() == $before && time < $deadline;
  cmp_ok(done(), '>', $before, "$name: rows are written again");
  return;
}

# A session beside the run, until it is ended by end_session.
sub begin_session {
  my ($node, $name, $sql) = @_;
  my $null = '';
  return IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') . " application_name=$name user=postgres", '-c', $sql ], '<', \$null,
    '>', \my $out, '2>', \my $err);
}

sub end_session {
  my ($node, $name, $session) = @_;
  $node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$name'");
  eval { $session->finish };
  return;
}

# --- two workers at full speed ------------------------------------------------------------------------------------------------------
pace('{"batch_target_ms": 200, "min_batch_rows": 1, "max_batch_rows": 20, "first_batch_rows": 20, "max_transaction_age_s": 3600}');
my $run = as('app_owner', q{SELECT tenantmig.start('paced', 2)});
like($run, qr/^\d+$/, 'the run has begun');
eventually('two workers', 'workers = 2');
goes_on('the beginning');
eventually('batches are as large as they may be', 'batch_rows = 20');

# --- thresholds that are refused change nothing -------------------------------------------------------------------------------------
my ($status, $out, $err) = $primary->psql('postgres', q{\set VERBOSITY verbose
SELECT tenantmig.set_pace('paced', '{"max_replica_lag_s": -1}')}, extra_params => [ '-U', 'app_owner' ]);
isnt($status, 0, 'a threshold out of its range is an error');
like($err, qr/22023: pace setting "max_replica_lag_s" must be a number from 0.1 to 86400, or "off"/, 'set_pace error 22023 while it runs');
goes_on('after the refused change');

# --- replica lag --------------------------------------------------------------------------------------------------------------------
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
pace('{"max_replica_lag_s": 1}');
throttled('replica lag', '^replica lag [0-9.]+ s \(limit 1 s\): "standby"$');
stands_still('replica lag');
pace('{"max_replica_lag_s": 3600}');
goes_on('a higher limit of lag');
pace('{"max_replica_lag_s": 1}');
throttled('the lower limit again', '^replica lag ');
is(as('app_owner', q{SELECT tenantmig.pause('paced')}), 'pausing', 'a run that stands still can be paused');
eventually('it hears that', q{state = 'paused'});
is(as('app_owner', q{SELECT tenantmig.resume('paced')}), $run, 'and resumed');
throttled('a run that begins on a lagging standby', '^replica lag ');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
goes_on('replay resumed');

# --- a query on the standby holds back clean-up here ----------------------------------------------------------------------------------
my $session = begin_session($standby, 'reader', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM customers; SELECT pg_sleep(600)');
pace('{"max_transaction_age_s": 2}');
throttled('a query on the standby', '^transaction elsewhere [0-9.]+ s \(limit 2 s\): query on standby "standby"$');
end_session($standby, 'reader', $session);
goes_on('the standby has answered');

# --- transactions ---------------------------------------------------------------------------------------------------------------------
$session = begin_session($primary, 'analyst', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM companies; SELECT pg_sleep(600)');
throttled('a long transaction', '^transaction elsewhere [0-9.]+ s \(limit 2 s\): session [0-9]+$');
end_session($primary, 'analyst', $session);
goes_on('the transaction has ended');
run_sql($primary, q{BEGIN; INSERT INTO companies VALUES (99); PREPARE TRANSACTION 'forgotten'});
throttled('a prepared transaction', '^transaction elsewhere .*: prepared transaction "forgotten"$');
run_sql($primary, q{ROLLBACK PREPARED 'forgotten'});
pace('{"max_transaction_age_s": null}');
goes_on('it was rolled back');

# --- the archive ----------------------------------------------------------------------------------------------------------------------
run_sql($primary, q{ALTER SYSTEM SET archive_command = 'false'; SELECT pg_reload_conf()});
pace('{"max_archive_backlog": 1}');
for (1 .. 3) {
  run_sql($primary, q{SELECT pg_logical_emit_message(false, 'test', 'x'); SELECT pg_switch_wal()});
}
throttled('archive backlog', '^archive backlog [0-9]+ files \(limit 1 files\)$');
stands_still('archive backlog');
run_sql($primary, q{ALTER SYSTEM SET archive_command = 'true'; SELECT pg_reload_conf()});
goes_on('the archiver has caught up');

# --- WAL ------------------------------------------------------------------------------------------------------------------------------
$session = begin_session($primary, 'writer', q{DO $$ BEGIN FOR i IN 1..6000 LOOP PERFORM pg_logical_emit_message(false, 'test', repeat('x', 100000)); PERFORM pg_sleep(0.1); END LOOP; END $$});
pace('{"max_wal_mb_per_s": 0.5}');
throttled('WAL rate', '^WAL rate [0-9.]+ MB/s \(limit 0.5 MB/s\)$');
my $before = done();
sleep 4;
cmp_ok(done(), '>', $before, 'WAL rate: slow, but not at a stand');
pace('{"max_wal_mb_per_s": "off"}');
goes_on('the WAL rate is off');
end_session($primary, 'writer', $session);

# --- sessions that wait for our locks -------------------------------------------------------------------------------------------------
$session = begin_session($primary, 'waiter', q{DO $$ BEGIN LOOP LOCK TABLE customers IN SHARE MODE; COMMIT; PERFORM pg_sleep(0.001); END LOOP; END $$});
throttled('a session that waits', '^sessions that wait for us [0-9]+ \(limit 0\): pid [0-9]+$');
eventually('a session that waits: smaller batches', 'batch_rows <= 10');
pace('{"max_lock_waiters": 5}');
goes_on('more waiting sessions allowed');
pace('{"max_lock_waiters": null}');
throttled('the default again', '^sessions that wait for us ');
end_session($primary, 'waiter', $session);
goes_on('nobody waits');
eventually('batches grow again', 'batch_rows = 20');

# --- autovacuum -----------------------------------------------------------------------------------------------------------------------
run_sql($primary, q{ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()});
throttled('autovacuum', '^autovacuum of a table that is written, for [0-9]+ s: public.customers$');
pace('{"wait_for_autovacuum": false}');
goes_on('autovacuum is not waited for');
pace('{"wait_for_autovacuum": true}');
throttled('it is again', '^autovacuum ');
run_sql($primary, q{ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf();
  SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'});
goes_on('autovacuum has ended');

# --- a signal that can't be read --------------------------------------------------------------------------------------------------------
run_sql($primary, 'ALTER ROLE extension_owner NOSUPERUSER');
throttled('no right to see replicas', '^replica lag cannot be read: ');
stands_still('a signal that cannot be read');
run_sql($primary, 'ALTER ROLE extension_owner SUPERUSER');
goes_on('the right is back');

# --- a share of the time, and the end ---------------------------------------------------------------------------------------------------
pace('{"work_share": 0.2}');
throttled('a share of the time', '^work_share 0.2$');
pace('{"work_share": null, "max_batch_rows": null}');
as('app_owner', 'UPDATE slowness SET seconds = 0');
as('app_owner', q{CALL tenantmig.wait('paced', '60 s')});
is(run_sql($primary, q{SELECT state FROM tenantmig.runs ORDER BY id DESC LIMIT 1}), 'completed', 'the run has completed');
is(done(), 60000, 'every row has its company');
is(as('app_owner', q{SELECT count(*) FROM tenantmig.verify('paced') WHERE status = 'FAIL'}), 0, 'verify does not fail');

done_testing();

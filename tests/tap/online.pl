# Online runs among several sessions: background workers, pause and resume, what ends of workers, leaders, slots, disks and tables make of a
# run. Everything here is done with ordinary means; crashes stand in tests/crash, races in tests/isolation.
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

my $primary = new_server('primary', init => { allows_streaming => 1 }, conf => <<'CONF');
autovacuum = off
max_worker_processes = 12
log_statement = none
CONF

my $setup = <<'SQL';
CREATE ROLE app_owner LOGIN;
GRANT CREATE ON SCHEMA public TO app_owner;
SELECT tenantmig.grant_access('app_owner', 'operator');
SET SESSION AUTHORIZATION app_owner;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 5);
-- what makes a run last as long as a test needs it
CREATE TABLE slowness (seconds float8);
INSERT INTO slowness VALUES (0);
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE seconds float8 := (SELECT s.seconds FROM public.slowness s);
BEGIN IF seconds > 0 THEN PERFORM pg_sleep(seconds); END IF; RETURN NULL; END $$;
-- a table, its evidence, and its migration of the same name
CREATE FUNCTION make(name text, row_count integer, place text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (id integer PRIMARY KEY, company_id integer, filler text DEFAULT repeat(''x'', 300)) %s', name, place);
  EXECUTE format('CREATE TABLE %I (customer_id integer, company_id integer)', name || '_evidence');
  EXECUTE format('INSERT INTO %I SELECT generate_series(1, %s)', name, row_count);
  EXECUTE format('INSERT INTO %I SELECT n, n %% 5 + 1 FROM generate_series(1, %s) n', name || '_evidence', row_count);
  EXECUTE format('CREATE TRIGGER take_time AFTER UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION take_time()', name);
  PERFORM tenantmig.create_migration(jsonb_build_object('migration', name, 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill',
    jsonb_build_object('table', name, 'column', 'company_id', 'sources', jsonb_build_array(jsonb_build_object('via', name || '_evidence.customer_id', 'tenant', 'company_id')))))));
  PERFORM tenantmig.set_pace(name, '{"min_batch_rows": 1, "max_batch_rows": 20, "first_batch_rows": 20, "max_lock_waiters": "off"}');
END $$;
SQL

# --- helpers ----------------------------------------------------------------------------------------------------------------------------
my $node = $primary;    # where the helpers below go

# An error here is a failed test, and the others go on.
sub as {
  my ($role, $sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1, extra_params => [ '-U', $role ]);
  fail("$sql: $err") if $status != 0;
  return $out // '';
}
sub super { return as('postgres', @_); }
sub owner { return as('app_owner', @_); }

# A call that must fail, with this SQLSTATE and text.
sub fails {
  my ($name, $role, $sql, $error) = @_;
  my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]);
  like($err, $error, $name);
  return;
}

sub slowly { my ($seconds) = @_; owner("UPDATE slowness SET seconds = $seconds"); return; }

# Asks until the query answers so.
sub eventually {
  my ($name, $query, $wanted, $seconds) = @_;
  my $deadline = time + ($seconds // 30);
  my $found = super($query);
  while ($found !~ $wanted && time < $deadline) {
    sleep 0.05;
    $found = super($query);
  }
  my $good = like($found, $wanted, $name);
  diag(super('SELECT * FROM tenantmig.stat_progress'), "\n", super('SELECT * FROM tenantmig.stat_workers ORDER BY run_id DESC LIMIT 4')) if !$good;
  return $good;
}

sub state_of { my ($migration) = @_; return "SELECT state FROM tenantmig.runs WHERE migration = '$migration' ORDER BY id DESC LIMIT 1"; }
sub writes { my ($migration) = @_; return eventually("$migration: rows are written", "SELECT count(*) > 0 FROM $migration WHERE company_id IS NOT NULL", qr/t/); }

# Nothing is left to do, and nothing is wrong.
sub whole {
  my ($migration, $rows) = @_;
  owner("CALL tenantmig.wait('$migration', '60 s')");
  is(super(state_of($migration)), 'completed', "$migration: completed");
  is(super("SELECT count(company_id) FROM $migration"), $rows, "$migration: every row has its company");
  is(owner("SELECT count(*) FROM tenantmig.verify('$migration') WHERE status = 'FAIL'"), 0, "$migration: verify does not fail");
  return;
}

sub begin_session {
  my ($role, @commands) = @_;
  my ($null, $out, $err) = ('', '', '');
  my $session = { out => \$out, err => \$err };
  $session->{run} = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') . " user=$role", map { ('-c', $_) } @commands ], '<', \$null, '>', \$out, '2>', \$err);
  return $session;
}

sub finish { my ($session) = @_; $session->{run}->finish; return $session; }

my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'tenantmig worker'};

super($setup);

# --- two workers --------------------------------------------------------------------------------------------------------------------------
owner("SELECT make('two', 4000)");
slowly(0.002);
owner(q{SELECT tenantmig.set_pace('two', '{"notify_minutes": 0.01}')});
my $listener = begin_session('app_owner', 'LISTEN tenantmig', 'SELECT pg_sleep(3)', 'SELECT 1');
my $run = owner(q{SELECT tenantmig.start('two')});
like($run, qr/^[0-9]+$/, 'start returns the number of the run');
eventually('two workers are at work, and shown', q{SELECT state, phase, workers, path, step, relation, rows_total FROM tenantmig.stat_progress WHERE migration = 'two'},
  qr/^running\|walk\|2\|direct\|1\|public\.two\|4000$/);
eventually('its progress is shown', q{SELECT rows_done > 0 AND percent > 0 AND percent < 100 AND rate > 0 AND eta > '0 s' AND batch_rows BETWEEN 1 AND 20 AND hot_share >= 0 AND throttle IS NULL
  FROM tenantmig.stat_progress WHERE migration = 'two'}, qr/t/);
is(super(q{SELECT count(DISTINCT usename), min(usename), count(*) FROM pg_stat_activity WHERE backend_type = 'tenantmig worker'}), '1|app_owner|2', 'the workers are the session\'s user');
is(super(q{SELECT count(*) FROM tenantmig.stat_workers w JOIN pg_stat_activity a ON a.pid = w.pid AND a.backend_type = 'tenantmig worker' WHERE migration = 'two' AND w.state = 'running'}), 2,
  'stat_workers names their processes');
# while it is at work nobody else is
fails('a second start', 'app_owner', q{SELECT tenantmig.start('two')}, qr/ERROR:  55006: another run or decision is active on migration "two"/);
fails('resume of what is at work', 'app_owner', q{SELECT tenantmig.resume('two')}, qr/ERROR:  55006: another run or decision is active on migration "two"/);
fails('run beside it', 'app_owner', q{CALL tenantmig.run('two')}, qr/ERROR:  55006: another run or decision is active on migration "two"/);
fails('backfill beside it', 'app_owner', q{SELECT tenantmig.backfill('two')}, qr/ERROR:  55006: another run or decision is active on migration "two"/);
fails('undo beside it', 'app_owner', qq{CALL tenantmig.undo($run)}, qr/ERROR:  5500[06]: /);
fails('rollback beside it', 'app_owner', qq{SELECT tenantmig.rollback($run)}, qr/ERROR:  5500[06]: /);
fails('drop_migration beside it', 'app_owner', q{SELECT tenantmig.drop_migration('two', true)}, qr/ERROR:  55006: /);
# waiting holds nothing back
my $waiter = begin_session('app_owner', q{SET application_name = 'waiter'}, q{CALL tenantmig.wait('two')});
sleep 0.3;
is(super(q{SELECT bool_and(backend_xmin IS NULL AND backend_xid IS NULL) FROM pg_stat_activity, generate_series(1, 20), pg_sleep(0.005) WHERE application_name = 'waiter'}), 't', 'wait holds no snapshot');
fails('a wait that is over', 'app_owner', q{CALL tenantmig.wait('two', '0.2 s')}, qr/ERROR:  57014: migration "two" is still at work.*DETAIL:  The time given to wait is over; the run goes on/s);
finish($listener);
my ($payload) = ${ $listener->{out} } =~ /Asynchronous notification "tenantmig" with payload "(\{[^{}]*"event":"progress".*?\})" received/;
is(super('SELECT string_agg(key, $$ $$ ORDER BY key COLLATE "C") FROM jsonb_object_keys($${}$$ || $$' . ($payload // '{}') . '$$::jsonb) key'),
  'at eta_seconds event migration percent phase rows_done rows_total run state', 'a message for a chat channel: these fields and no others');
is(super(q{SELECT j ->> 'migration', j ->> 'run', j ->> 'state', j ->> 'rows_total', (j ->> 'percent')::numeric BETWEEN 0 AND 100 FROM (SELECT $$} . ($payload // '{}') . q{$$::jsonb AS j) m}),
  "two|$run|running|4000|t", 'and what they say');
slowly(0);
finish($waiter);
is(${ $waiter->{err} } =~ s/^NOTICE:.*\n//gmr, '', 'wait has ended without an error');
whole('two', 4000);
is(super(qq{SELECT count(DISTINCT worker), min(worker), max(worker) FROM tenantmig.batches WHERE run_id = $run AND row_count > 0 AND phase = 'walk'}), '2|1|2', 'both workers committed batches');
is(super(qq{SELECT count(*) FROM tenantmig.batches a JOIN tenantmig.batches b ON a.run_id = b.run_id AND a.worker < b.worker AND a.pass = 0 AND b.pass = 0
  AND a.from_block < b.to_block AND b.from_block < a.to_block WHERE a.run_id = $run AND a.error IS NULL AND b.error IS NULL}), 0, 'over disjoint ranges');
is(owner("SELECT count(*), bool_and(status = 'PASS') FROM tenantmig.verify_changes($run)"), '2|t', 'a chain for each worker');
eventually('the workers have gone', $workers, qr/^0$/);

# --- start and transactions -------------------------------------------------------------------------------------------------------------
owner("SELECT make('transactions', 500)");
owner(q{BEGIN; SELECT tenantmig.start('transactions'); SELECT pg_sleep(0.3); ROLLBACK});
eventually('started and rolled back: the workers go away', $workers, qr/^0$/);
is(super(q{SELECT count(*) FROM tenantmig.runs WHERE migration = 'transactions'}), 0, 'and there is no run');
is(super('SELECT count(company_id) FROM transactions'), 0, 'and nothing was written');
fails('started twice in one transaction', 'app_owner', q{BEGIN; SELECT tenantmig.start('transactions', 1); SELECT tenantmig.start('transactions', 1); ROLLBACK}, qr/ERROR:  550(00|06): /);
eventually('the workers of that go away, too', $workers, qr/^0$/);
$run = owner(q{BEGIN; SELECT tenantmig.start('transactions'); SELECT pg_sleep(0.5); SELECT count(company_id) FROM transactions; COMMIT});
like($run, qr/^[0-9]+\n+0$/, 'before the commit nothing is written');
whole('transactions', 500);

# --- pause, resume, cancel ----------------------------------------------------------------------------------------------------------------
owner("SELECT make('paused', 3000)");
slowly(0.002);
$run = owner(q{SELECT tenantmig.start('paused')});
writes('paused');
is(owner(q{SELECT tenantmig.pause('paused')}), 'pausing', 'pause');
is(owner(q{SELECT CASE WHEN EXISTS (SELECT FROM tenantmig.active_migrations) THEN tenantmig.pause('paused') ELSE 'pausing' END}), 'pausing', 'pause once more');
eventually('it is paused', state_of('paused'), qr/^paused$/);
owner(q{CALL tenantmig.wait('paused', '20 s')});
fails('pause of what is paused', 'app_owner', q{SELECT tenantmig.pause('paused')}, qr/ERROR:  55000: no run of migration "paused" is at work/);
my $before = super('SELECT count(company_id) FROM paused');
eventually('its workers have gone', $workers, qr/^0$/);
is(super('SELECT count(company_id) FROM paused'), $before, 'nothing is written while it is paused');
fails('start of what is paused', 'app_owner', q{SELECT tenantmig.start('paused')}, qr/ERROR:  55000: run [0-9]+ of migration "paused" is not finished.*DETAIL:  It is paused.*HINT:.*resume/s);
# another plan than that it was begun with
owner('CREATE INDEX paused_index ON paused (filler)');
fails('resume with another plan', 'app_owner', q{SELECT tenantmig.resume('paused')}, qr/ERROR:  TM004: the plan of migration "paused" has changed since run [0-9]+ began.*HINT:.*plan_hash/s);
fails('resume with a wrong hash', 'app_owner', q{SELECT tenantmig.resume('paused', plan_hash => 'x')}, qr/ERROR:  TM004: /);
is(super(state_of('paused')), 'paused', 'it stays paused');
slowly(0);
is(owner(q{SELECT tenantmig.resume('paused', plan_hash => tenantmig.plan_hash('paused'))}), $run, 'resume with the new hash');
whole('paused', 3000);
is(super(qq{SELECT workers FROM tenantmig.runs WHERE id = $run}), 2, 'with as many workers as before');
fails('resume of what is finished', 'app_owner', q{SELECT tenantmig.resume('paused')}, qr/ERROR:  55000: migration "paused" has no run to resume/);

owner("SELECT make('cancelled', 3000)");
slowly(0.002);
$run = owner(q{SELECT tenantmig.start('cancelled', 1)});
writes('cancelled');
is(owner(q{SELECT tenantmig.cancel('cancelled')}), 'cancelling', 'cancel');
eventually('it is cancelled', state_of('cancelled'), qr/^cancelled$/);
slowly(0);
fails('resume of what is cancelled', 'app_owner', q{SELECT tenantmig.resume('cancelled')}, qr/ERROR:  55000: /);
owner("CALL tenantmig.undo($run)");
is(super(qq{SELECT count(company_id), (SELECT state FROM tenantmig.runs WHERE id = $run) FROM cancelled}), '0|rolled_back', 'what it wrote can be undone');

# a budget, in the background, and another number of workers
owner("SELECT make('budgeted', 3000)");
slowly(0.002);
owner(q{SELECT tenantmig.start('budgeted', budget => '0.5 s')});
eventually('a budget that is used up pauses it', q{SELECT state, error FROM tenantmig.runs WHERE migration = 'budgeted'}, qr/^paused\|budget used up$/);
cmp_ok(super('SELECT count(company_id) FROM budgeted'), '<', 3000, 'there is more to do');
eventually('its workers have gone, too', $workers, qr/^0$/);
owner(q{SELECT tenantmig.resume('budgeted', 3, '0.3 s')});
eventually('and so does the next one', q{SELECT state, error, workers FROM tenantmig.runs WHERE migration = 'budgeted'}, qr/^paused\|budget used up\|3$/);
slowly(0);
owner(q{SELECT tenantmig.resume('budgeted', workers => 1)});
whole('budgeted', 3000);

# undo, watched and stopped by others
$run = super(q{SELECT id FROM tenantmig.runs WHERE migration = 'budgeted'});
slowly(0.002);
my $undo = begin_session('app_owner', q{SET application_name = 'victim'}, "CALL tenantmig.undo($run)");
eventually('an undo is shown while it is at work', q{SELECT state, phase, workers, rows_done > 0 FROM tenantmig.stat_progress WHERE migration = 'budgeted'}, qr/^\w+\|undo\|1\|t$/);
fails('start beside an undo', 'app_owner', q{SELECT tenantmig.start('budgeted')}, qr/ERROR:  5500[06]: /);
fails('a second undo', 'app_owner', "CALL tenantmig.undo($run)", qr/ERROR:  55006: /);
fails('a wait for the undo', 'app_owner', q{CALL tenantmig.wait('budgeted', '0.2 s')}, qr/ERROR:  57014: migration "budgeted" is still at work/);
is(owner(q{SELECT tenantmig.pause('budgeted')}), 'pausing', 'an undo can be paused');
finish($undo);
like(${ $undo->{err} }, qr/NOTICE:  the undo of run $run is paused; CALL tenantmig.undo\($run\) goes on/, 'and says so');
my $left = super('SELECT count(company_id) FROM budgeted');
ok($left > 0 && $left < 3000, 'some rows are restored');
$undo = begin_session('app_owner', q{SET application_name = 'victim'}, "CALL tenantmig.undo($run)");
eventually('the undo goes on', "SELECT count(company_id) < $left FROM budgeted", qr/t/);
super(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'});
eval { finish($undo) };
eventually('nobody is at work on it any more', q{SELECT count(*) FROM tenantmig.active_migrations}, qr/^0$/);
fails('a run instead of the rest of the undo', 'app_owner', q{SELECT tenantmig.start('budgeted')}, qr/ERROR:  55000: run $run is being undone.*HINT:  CALL tenantmig.undo/s);
slowly(0);
owner("CALL tenantmig.undo($run)");
is(super(qq{SELECT count(company_id), (SELECT state FROM tenantmig.runs WHERE id = $run) FROM budgeted}), '0|rolled_back', 'another call ends it');
is(super("SELECT outcome, reason, row_count FROM tenantmig.undo_counts WHERE run_id = $run"), 'restored||3000', 'and each row is counted once');

# --- in a session, beside others ----------------------------------------------------------------------------------------------------------
owner("SELECT make('session', 2500)");
slowly(0.002);
my $session = begin_session('app_owner', q{CALL tenantmig.run('session')});
writes('session');
fails('start of what runs in a session', 'app_owner', q{SELECT tenantmig.start('session')}, qr/ERROR:  55006: /);
# a batch that cannot be done now is done later, and the run is the only one all the time
my $locker = begin_session('app_owner', 'BEGIN; LOCK TABLE session IN SHARE MODE; SELECT pg_sleep(2.5); COMMIT');
eventually('a batch that met a lock is shown with its error', q{SELECT max(error) FROM tenantmig.batches WHERE migration = 'session'}, qr/canceling statement due to lock timeout/);
is(super(state_of('session')), 'running', 'after it the run is still at work');
fails('and still the only one', 'app_owner', q{SELECT tenantmig.start('session')}, qr/ERROR:  55006: /);
finish($locker);
is(owner(q{SELECT tenantmig.pause('session')}), 'pausing', 'a run in a session can be paused');
finish($session);
like(${ $session->{err} }, qr/NOTICE:  public\.session: [0-9]+ of 2500 rows, [0-9.]+ %, [0-9]+ rows\/s/, 'its progress was told');
like(${ $session->{err} }, qr/NOTICE:  run [0-9]+ is paused; CALL tenantmig\.run\('session'\) goes on/, 'and that it is paused');
slowly(0);
owner(q{SELECT tenantmig.resume('session')});
whole('session', 2500);
is(super(q{SELECT workers FROM tenantmig.runs WHERE migration = 'session'}), 1, 'taken up by one background worker');

# --- workers that are terminated ------------------------------------------------------------------------------------------------------------
owner("SELECT make('terminated', 4000)");
slowly(0.002);
$run = owner(q{SELECT tenantmig.start('terminated')});
eventually('worker 2 writes', "SELECT count(*) > 0 FROM tenantmig.batches WHERE run_id = $run AND worker = 2 AND row_count > 0", qr/t/);
my $victim = super("SELECT pid FROM tenantmig.stat_workers WHERE run_id = $run AND worker = 2");
super("SELECT pg_terminate_backend($victim)");
eventually('a worker that was terminated is replaced', "SELECT pid <> $victim AND state = 'running' FROM tenantmig.stat_workers WHERE run_id = $run AND worker = 2", qr/t/);
like(super("SELECT error FROM tenantmig.stat_workers WHERE run_id = $run AND worker = 2"), qr/terminat/, 'why the worker ended stands in stat_workers');
like(super("SELECT string_agg(error, '') FROM tenantmig.batches WHERE run_id = $run AND worker = 2"), qr/terminat/, 'and in batches');
# the leader
$victim = super("SELECT pid FROM tenantmig.stat_workers WHERE run_id = $run AND worker = 1");
super("SELECT pg_terminate_backend($victim)");
eventually('without its leader a run is interrupted', state_of('terminated'), qr/^interrupted$/);
eventually('and its workers go away', $workers, qr/^0$/);
is(super(q{SELECT state FROM tenantmig.stat_progress WHERE migration = 'terminated'}), 'interrupted', 'stat_progress says so, too');
owner(q{CALL tenantmig.wait('terminated', '5 s')});
fails('pause of what is interrupted', 'app_owner', q{SELECT tenantmig.pause('terminated')}, qr/ERROR:  55000: /);
slowly(0);
is(owner(q{SELECT tenantmig.resume('terminated')}), $run, 'resume takes it up');
whole('terminated', 4000);
# once more, and resumed while a worker of the dead leader is still in its batch: the new leader waits for it
super('UPDATE terminated SET company_id = NULL');
owner(q{SELECT tenantmig.set_pace('terminated', '{"batch_target_ms": 5000}')});
slowly(0.2);
$run = owner(q{SELECT tenantmig.start('terminated')});
eventually('both workers are in a batch', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'tenantmig worker' AND wait_event = 'PgSleep'}, qr/^2$/);
super("SELECT pg_terminate_backend(pid) FROM tenantmig.stat_workers WHERE run_id = $run AND worker = 1");
eventually('one of them has gone', $workers, qr/^1$/);
owner(q{SELECT tenantmig.resume('terminated')});
slowly(0);
whole('terminated', 4000);
is(super("SELECT string_agg(error, ' ') FROM tenantmig.batches WHERE run_id = $run AND error IS NOT NULL"), '', 'and they do not get into each other\'s way');
is(owner("SELECT bool_and(status = 'PASS') FROM tenantmig.verify_changes($run)"), 't', 'and its chains are whole');

# a session that is terminated: the same
owner("SELECT make('session_ends', 2500)");
slowly(0.002);
$session = begin_session('app_owner', q{SET application_name = 'victim'}, q{CALL tenantmig.run('session_ends')});
writes('session_ends');
super(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'});
eval { finish($session) };
eventually('a run whose session was terminated is interrupted', state_of('session_ends'), qr/^interrupted$/);
slowly(0);
owner(q{CALL tenantmig.run('session_ends')});
whole('session_ends', 2500);
# a query that is cancelled: paused
owner("SELECT make('query_ends', 2500)");
slowly(0.002);
$session = begin_session('app_owner', q{SET application_name = 'victim'}, q{CALL tenantmig.run('query_ends')});
writes('query_ends');
super(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'});
finish($session);
like(${ $session->{err} }, qr/ERROR:  canceling statement due to user request/, 'a query that is cancelled says so');
is(super(state_of('query_ends')), 'paused', 'and its run is paused');
slowly(0);
owner(q{CALL tenantmig.run('query_ends')});
whole('query_ends', 2500);

# --- runs that fail -----------------------------------------------------------------------------------------------------------------------
owner("SELECT make('failing', 1000)");
owner('ALTER TABLE failing ADD CONSTRAINT no_threes CHECK (company_id <> 3) NOT VALID');
owner(q{SELECT tenantmig.start('failing')});
fails('wait tells that it failed', 'app_owner', q{CALL tenantmig.wait('failing', '20 s')}, qr/ERROR:  TM007: run [0-9]+ of migration "failing" failed.*DETAIL:.*23514.*no_threes.*HINT:.*resume/s);
like(super(q{SELECT state, error FROM tenantmig.stat_progress WHERE migration = 'failing'}), qr/^failed\|23514: .*no_threes/, 'the error is shown');
owner('ALTER TABLE failing DROP CONSTRAINT no_threes');
owner(q{SELECT tenantmig.resume('failing', plan_hash => tenantmig.plan_hash('failing'))});
whole('failing', 1000);
is(super(q{SELECT error IS NULL FROM tenantmig.runs WHERE migration = 'failing'}), 't', 'a run that completes has no error');

# --- the table is dropped -------------------------------------------------------------------------------------------------------------------
owner("SELECT make('dropped', 2500)");
slowly(0.002);
owner(q{SELECT tenantmig.start('dropped')});
writes('dropped');
owner('DROP TABLE dropped');
slowly(0);
eventually('a run whose table is dropped ends', state_of('dropped'), qr/^(paused|failed)$/);
fails('resume of it', 'app_owner', q{SELECT tenantmig.resume('dropped')}, qr/ERROR:  42P01: /);
is(owner(q{SELECT tenantmig.cancel('dropped')}), 'cancelled', 'cancel of it');
is(super(state_of('dropped')), 'cancelled', 'it is cancelled');

# --- rows that come all the time ----------------------------------------------------------------------------------------------------------
owner(q{SELECT make('stream', 3000); SELECT tenantmig.set_pace('stream', '{"min_batch_rows": null, "max_batch_rows": 500, "first_batch_rows": 100}')});
my $inserts = begin_session('app_owner', q{SET application_name = 'inserts'}, q{DO $$ BEGIN FOR i IN 1..1000000 LOOP INSERT INTO stream SELECT 10000 + 10 * i + n FROM generate_series(1, 5) n;
  INSERT INTO stream_evidence SELECT 10000 + 10 * i + n, 1 FROM generate_series(1, 4) n; COMMIT; PERFORM pg_sleep(0.002); END LOOP; END $$});
sleep 0.3;
slowly(0.0002);
$run = owner(q{SELECT tenantmig.start('stream')});
eventually('a run ends under a steady stream of inserts', state_of('stream'), qr/^completed$/, 40);
super(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'inserts'});
eval { finish($inserts) };
slowly(0);
is(super('SELECT count(*) FROM stream WHERE id <= 3000 AND company_id IS NULL'), 0, 'all that was there has its company');
is(owner(q{SELECT count(*) = count(DISTINCT row_key) AND count(*) > 0 FROM tenantmig.review('stream')}), 't', 'rows without evidence are in review, once');
is(super("SELECT count(*) FROM (SELECT FROM tenantmig.batches WHERE run_id = $run AND phase = 'walk' AND error IS NULL GROUP BY from_block, to_block, pass HAVING count(*) > 1) twice"), 0,
  'no range was walked twice in the same pass');
is(super("SELECT count(*) FROM (SELECT row_key FROM tenantmig.changes WHERE run_id = $run GROUP BY 1 HAVING count(*) > 1) twice"), 0, 'no row was written twice');
owner(q{CALL tenantmig.run('stream')});
is(owner(q{SELECT string_agg(check_name, ' ') FROM tenantmig.verify('stream') WHERE status = 'FAIL'}), '', 'when it is still, another run takes the rest, and verify does not fail');

# --- users --------------------------------------------------------------------------------------------------------------------------------
super(<<'SQL');
CREATE ROLE keeper NOLOGIN;
CREATE SCHEMA kept AUTHORIZATION keeper;
CREATE ROLE anna LOGIN IN ROLE keeper;
CREATE ROLE bert LOGIN;
SELECT tenantmig.grant_access('keeper', 'operator');
SELECT tenantmig.grant_access('bert', 'operator');
GRANT SELECT ON slowness TO keeper;
SQL
as('anna', "SET ROLE keeper; SET search_path = kept, public; CREATE TABLE companies (id integer PRIMARY KEY); INSERT INTO companies SELECT generate_series(1, 5); SELECT make('kept', 500)");
fails('somebody else', 'bert', q{SELECT tenantmig.start('kept')}, qr/ERROR:  42501: must have the privileges of the owner of migration "kept"/);
$run = as('anna', q{SET ROLE keeper; SELECT tenantmig.start('kept')});
like($run, qr/^[0-9]+$/, 'a run of a NOLOGIN owner begins');
as('anna', q{SET ROLE keeper; CALL tenantmig.wait('kept', '20 s')});
is(super("SELECT state, assigned, started_by FROM tenantmig.runs WHERE id = $run"), 'completed|500|anna (as keeper)', 'and ends');
super('UPDATE kept.kept SET company_id = NULL');
fails('a session user that may not log in', 'postgres', q{SET SESSION AUTHORIZATION keeper; SELECT tenantmig.start('kept')}, qr/ERROR:  53400: the worker of the run could not connect.*keeper.*HINT:.*may log in/s);
is(super(q{SELECT count(*) FROM tenantmig.runs WHERE migration = 'kept'}), 1, 'leaves no run behind');
super(q{SET SESSION AUTHORIZATION anna; SET ROLE keeper; SELECT tenantmig.start('kept', 1)});
as('anna', q{SET ROLE keeper; CALL tenantmig.wait('kept', '20 s')});
is(super(state_of('kept')), 'completed', 'SET SESSION AUTHORIZATION: as whom it says');

# Limits of connections, lowered while the session is there: recent minor versions don't apply them to background workers.
super('UPDATE kept.kept SET company_id = NULL');
for my $limit ('ROLE anna', 'DATABASE postgres') {
  $session = begin_session('anna', 'SET ROLE keeper', q{SELECT pg_sleep(0.6)}, q{SELECT tenantmig.start('kept')}, q{CALL tenantmig.wait('kept', '20 s')});
  sleep 0.3;
  super("ALTER $limit CONNECTION LIMIT 0");
  finish($session);
  like(${ $session->{err} }, qr/^$|ERROR:  the worker of the run could not connect.*HINT:.*connection limits/s, "$limit has a limit of connections: a run, or a clear error");
  super("ALTER $limit CONNECTION LIMIT -1");
  is(super(state_of('kept')), 'completed', "$limit: and no half state");
}
# a role that may not log in any more when its leader is at work: the leader goes on alone, and says so
owner("SELECT make('limited', 1500)");
slowly(0.002);
$session = begin_session('app_owner', 'BEGIN', q{SELECT tenantmig.start('limited')}, 'SELECT pg_sleep(0.5)', 'COMMIT');
sleep 0.3;
super('ALTER ROLE app_owner NOLOGIN');
finish($session);
eventually('the leader goes on alone', q{SELECT count(*) > 0 FROM limited WHERE company_id IS NOT NULL}, qr/t/);
eventually('and says so', q{SELECT state, error FROM tenantmig.stat_workers WHERE migration = 'limited' AND worker = 2}, qr/^failed\|.*could not connect/);
super('ALTER ROLE app_owner LOGIN; UPDATE slowness SET seconds = 0');
whole('limited', 1500);

# --- defaults of role and database -----------------------------------------------------------------------------------------------------------
owner("SELECT make('defaults', 500)");
super(q{ALTER ROLE app_owner SET default_transaction_isolation = serializable; ALTER ROLE app_owner SET statement_timeout = '300ms'; ALTER ROLE app_owner SET lock_timeout = '1ms';
  ALTER ROLE app_owner SET search_path = pg_catalog; ALTER ROLE app_owner SET row_security = off; ALTER ROLE app_owner SET synchronous_commit = off});
slowly_as_superuser(0.002);
owner(q{SELECT tenantmig.start('defaults')});
eventually('a run with odd defaults of its role completes', state_of('defaults'), qr/^completed$/);
super('ALTER ROLE app_owner RESET ALL; UPDATE slowness SET seconds = 0');
whole('defaults', 500);
super('UPDATE defaults SET company_id = NULL; ALTER DATABASE postgres SET default_transaction_read_only = on');
for my $call ('SELECT tenantmig.start(%s)', 'CALL tenantmig.run(%s)', 'SELECT tenantmig.resume(%s)', 'SELECT tenantmig.pause(%s)', 'SELECT tenantmig.cancel(%s)') {
  fails("read only by default: $call", 'app_owner', sprintf($call, q{'defaults'}), qr/ERROR:  25006: .*read-only/);
}
owner(q{SET default_transaction_read_only = off; SELECT tenantmig.start('defaults')});
owner(q{CALL tenantmig.wait('defaults', '20 s')});
is(super(q{SELECT count(company_id), } . '(' . state_of('defaults') . ') FROM defaults'), '500|completed', 'SET in the session is enough, for its workers as well');
owner(q{SET default_transaction_read_only = off; ALTER TABLE defaults SET (fillfactor = 90)});
owner(q{SET default_transaction_read_only = off; CALL tenantmig.run('defaults')});
super('SET default_transaction_read_only = off; ALTER DATABASE postgres RESET default_transaction_read_only');

# --- a standby ------------------------------------------------------------------------------------------------------------------------------
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$node = $standby;
for my $call (q{CALL tenantmig.run('two')}, q{SELECT tenantmig.start('two')}, q{SELECT tenantmig.resume('two')}, q{SELECT tenantmig.pause('two')}, q{SELECT tenantmig.cancel('two')},
  q{CALL tenantmig.undo(1)}, q{SELECT tenantmig.set_pace('two', '{"work_share": 0.5}')}) {
  fails("on a standby: $call", 'app_owner', $call, qr/ERROR:  25006: /);
}
is(owner(q{SELECT count(*) > 5 FROM tenantmig.runs}), 't', 'runs can be read there');
is(owner('SELECT count(*) FROM tenantmig.stat_progress'), 0, 'and progress');
$standby->stop('immediate');
$primary->stop('immediate');

# --- few worker slots, and a full disk --------------------------------------------------------------------------------------------------------
$node = new_server('few', conf => "autovacuum = off\nmax_worker_processes = 1\nmax_logical_replication_workers = 0\nallow_in_place_tablespaces = on\n");
super($setup);
owner("SELECT make('one', 1500)");
owner("SELECT make('other', 100)");
slowly(0.002);
owner(q{SELECT tenantmig.start('one', 3)});
writes('one');
is(super(q{SELECT workers FROM tenantmig.stat_progress}), 1, 'with one free slot it goes on with one');
like(super(q{SELECT string_agg(error, '') FROM tenantmig.stat_workers WHERE error IS NOT NULL}),
  qr/2 of 3 workers could not be started: no background worker slot is free \(max_worker_processes = 1\); the run goes on with 1/, 'and says so');
fails('without a free slot', 'app_owner', q{SELECT tenantmig.start('other')}, qr/ERROR:  53400: no background worker slot is free.*DETAIL:  max_worker_processes is 1.*HINT:.*raise max_worker_processes/s);
is(super(q{SELECT count(*) FROM tenantmig.runs WHERE migration = 'other'}), 0, 'there is no run then');
owner(q{CALL tenantmig.run('other')});
slowly(0);
whole('one', 1500);
whole('other', 100);

SKIP: {
  my $disk = folder() . '/disk';
  mkdir $disk;
  my ($uid, $gid) = ($<, $( + 0);
  my @inside = ('unshare', '--user', '--map-root-user', '--mount', 'sh', '-c');
  my $data = $node->data_dir;
  my $start = "mount -t tmpfs -o size=4m tmpfs '$disk' && mkdir '$disk/space' && chmod 700 '$disk/space' && exec unshare --user --map-user=$uid --map-group=$gid pg_ctl -w -D '$data' -l '"
    . $node->logfile . "' -o '--cluster-name=few' start";
  skip 'no user namespaces with mounts here', 4 if system(@inside, "mount -t tmpfs -o size=1m tmpfs '$disk' && unshare --user --map-user=$uid --map-group=$gid true >/dev/null 2>&1") != 0;
  $node->stop;
  system(@inside, "$start >/dev/null 2>&1");
  $node->_update_pid(1);
  super("CREATE TABLESPACE small LOCATION '$disk/space'");
  super('GRANT CREATE ON TABLESPACE small TO app_owner');
  owner("SELECT make('small_disk', 2000, 'TABLESPACE small')");
  super("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; dd if=/dev/zero of=$disk/ballast bs=8192 2>/dev/null || true'");
  owner(q{SELECT tenantmig.start('small_disk')});
  fails('a full disk', 'app_owner', q{CALL tenantmig.wait('small_disk', '30 s')}, qr/ERROR:  TM007: run [0-9]+ of migration "small_disk" failed.*DETAIL:  53100: .*No space left on device/s);
  is(super(state_of('small_disk')), 'failed', 'the run has failed');
  super("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm $disk/ballast'");
  owner(q{SELECT tenantmig.resume('small_disk')});
  whole('small_disk', 2000);
}
$node->stop('immediate');

sub slowly_as_superuser { my ($seconds) = @_; super("UPDATE slowness SET seconds = $seconds"); return; }

done_testing();

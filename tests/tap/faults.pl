# Errors at every named point of a run and of an undo, raised by the module that has fault points: what goes away by itself is tried again, what an
# operator asked for pauses the run, all else fails it; whichever it was, going on leads to the same end. And workers that end amid a batch.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TenantmigTest;

plan skip_all => 'needs the module with fault points: make check SUITES=tap' if !$ENV{TENANTMIG_FAULT_DESTDIR};
local $ENV{TENANTMIG_DESTDIR} = $ENV{TENANTMIG_FAULT_DESTDIR};

my $node = new_server('faults', conf => "autovacuum = off\nmax_worker_processes = 12\n");
my $row_count = 300;

# --- helpers ----------------------------------------------------------------------------------------------------------------------------
sub call {
  my ($sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
  return ($out // '', $err // '');
}

# An error here is a failed test, and the others go on.
sub sql {
  my ($sql) = @_;
  my ($out, $err) = call($sql);
  fail("$sql: $err") if $err =~ /ERROR|FATAL/;
  return $out;
}
sub fails { my ($name, $sql, $error) = @_; return like((call($sql))[1], $error, $name); }

# The points, as lines of tests/faults/tenantmig_fault--1.sql; without one, none.
sub fault { return sql('SELECT fault.set(' . join(', ', map { "'$_'" } @_) . ')'); }

sub eventually {
  my ($name, $query, $wanted) = @_;
  my $deadline = time + 30;
  my $found = sql($query);
  while ($found !~ $wanted && time < $deadline) {
    sleep 0.05;
    $found = sql($query);
  }
  my $good = like($found, $wanted, $name);
  diag(sql('SELECT * FROM tenantmig.stat_progress'), "\n", sql('SELECT * FROM tenantmig.stat_workers ORDER BY run_id DESC LIMIT 4')) if !$good;
  return $good;
}

# A table of its own for each case, with a migration of the same name. One in ten customers is an orphan.
my $made = 0;
sub make {
  my ($rows) = @_;
  my $name = 'case_' . ++$made;
  sql("SELECT make('$name', " . ($rows // $row_count) . ')');
  return $name;
}

sub state_of { my ($name) = @_; return sql("SELECT state FROM tenantmig.runs WHERE migration = '$name' ORDER BY id DESC LIMIT 1"); }
sub run_of { my ($name) = @_; return sql("SELECT max(id) FROM tenantmig.runs WHERE migration = '$name'"); }
sub batch_errors { my ($name) = @_; return sql("SELECT count(*) FROM tenantmig.batches WHERE migration = '$name' AND error IS NOT NULL"); }

# Every row once in the table, in the log, or in review; and the checks that this engine makes itself.
sub whole {
  my ($case, $name, $rows) = @_;
  $rows //= $row_count;
  my $filled = $rows - int($rows / 10);
  my $found = sql("SELECT concat_ws(' ', (SELECT state FROM tenantmig.runs WHERE migration = '$name' ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM $name WHERE company_id = id % 5 + 1),
    (SELECT count(company_id) FROM $name), (SELECT count(*) || '/' || count(DISTINCT row_key::text) FROM tenantmig.changes c JOIN tenantmig.runs r ON r.id = c.run_id WHERE r.migration = '$name'),
    (SELECT count(*) || '/' || count(DISTINCT row_key::text) FROM tenantmig.review('$name')),
    (SELECT string_agg(check_name || ' ' || detail, ', ') FROM tenantmig.verify('$name') WHERE status = 'FAIL'),
    (SELECT string_agg(v::text, ', ') FROM tenantmig.runs r CROSS JOIN LATERAL tenantmig.verify_changes(r.id) v WHERE r.migration = '$name' AND v.status <> 'PASS'))");
  my $orphans = $rows - $filled;
  return is($found, "completed $filled $filled $filled/$filled $orphans/$orphans", "$case: whole");
}

sub undone {
  my ($case, $name) = @_;
  my $filled = $row_count - $row_count / 10;
  return is(sql("SELECT concat_ws(' ', (SELECT state FROM tenantmig.runs WHERE migration = '$name'), (SELECT count(company_id) FROM $name),
    (SELECT count(*) || '/' || count(DISTINCT row_key::text) FROM tenantmig.changes c JOIN tenantmig.runs r ON r.id = c.run_id WHERE r.migration = '$name' AND source = 'rollback'),
    (SELECT string_agg(outcome || ' ' || row_count, ', ' ORDER BY outcome) FROM tenantmig.undo_counts u JOIN tenantmig.runs r ON r.id = u.run_id WHERE r.migration = '$name'),
    (SELECT string_agg(v::text, ', ') FROM tenantmig.runs r CROSS JOIN LATERAL tenantmig.verify_changes(r.id) v WHERE r.migration = '$name' AND v.status <> 'PASS'))"),
    "rolled_back 0 $filled/$filled restored $filled", "$case: undone");
}

sql(<<'SQL');
CREATE EXTENSION tenantmig_fault;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 5);
CREATE FUNCTION make(name text, row_count integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (id integer PRIMARY KEY, company_id integer, filler text DEFAULT repeat(''x'', 300))', name);
  EXECUTE format('CREATE TABLE %I (customer_id integer, company_id integer)', name || '_evidence');
  EXECUTE format('INSERT INTO %I SELECT generate_series(1, %s)', name, row_count);
  EXECUTE format('INSERT INTO %I SELECT n, n %% 5 + 1 FROM generate_series(1, %s) n WHERE n %% 10 > 0', name || '_evidence', row_count);
  PERFORM tenantmig.create_migration(jsonb_build_object('migration', name, 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill',
    jsonb_build_object('table', name, 'column', 'company_id', 'sources', jsonb_build_array(jsonb_build_object('via', name || '_evidence.customer_id', 'tenant', 'company_id')))))));
  PERFORM tenantmig.set_pace(name, '{"min_batch_rows": 1, "max_batch_rows": 20, "first_batch_rows": 20, "max_lock_waiters": "off"}');
END $$;
-- what is written through SQL only
CREATE FUNCTION through_sql(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('CREATE RULE nothing AS ON INSERT TO %I WHERE false DO ALSO NOTHING', name); END $$;
SQL

# --- what goes away by itself -------------------------------------------------------------------------------------------------------------
for my $point ('walk_batch_open', 'walk_batch_written', 'walk_batch_logged') {
  for my $state ($point eq 'walk_batch_open' ? '55P03' : $point eq 'walk_batch_written' ? '40001' : '40P01') {
    my $case = "$state at $point";
    my $name = make();
    fault("$point ereport $state hit=2");
    is((call("CALL tenantmig.run('$name')"))[1], '', "$case: nobody hears of it");
    fault();
    is(sql("SELECT string_agg(concat_ws('|', row_count, worker, phase, from_block IS NOT NULL, error), ' ') FROM tenantmig.batches WHERE migration = '$name' AND error IS NOT NULL"),
      "0|1|walk|t|fault at $point", "$case: it stands with the batch");
    whole($case, $name);
  }
}
for my $point ('sweep_batch_open', 'sweep_batch_written') {
  my $name = make();
  sql("SELECT through_sql('$name')");
  fault("$point ereport 40001 hit=2");
  is((call("CALL tenantmig.run('$name')"))[1], '', "40001 at $point: nobody hears of it");
  fault();
  whole("40001 at $point", $name);
}
# what is no batch: nothing of it stands anywhere
for my $point ('evidence_read') {
  my $name = make();
  fault("$point ereport 40001 hit=1");
  is((call("CALL tenantmig.run('$name')"))[1], '', "40001 at $point: nobody hears of it");
  fault();
  whole("40001 at $point", $name);
}
# again and again: the walk leaves the range to the last sweep; and what even that does not get is left to the operator
{
  my $name = make(20);
  fault('walk_batch_written ereport 55P03');
  sql("CALL tenantmig.run('$name')");
  fault();
  is(batch_errors($name), 5, 'a range that fails five times is left to the last sweep');
  like(sql("SELECT string_agg(DISTINCT phase, ' ' ORDER BY phase) FROM tenantmig.batches WHERE migration = '$name' AND row_count > 0"), qr/^check$/, 'which writes its rows');
  whole('55P03 at every batch of the walk', $name, 20);
  $name = make(20);
  fault('walk_batch_open ereport 55P03', 'sweep_batch_open ereport 55P03');
  fails('rows that stay locked', "CALL tenantmig.run('$name')", qr/ERROR:  TM\d{3}: 18 rows of public\.$name.* stay locked by other sessions.*DETAIL:  One of them has the key.*HINT:.*resume/s);
  fault();
  is(state_of($name), 'paused', 'pause the run');
  sql("CALL tenantmig.run('$name')");
  whole('55P03 at every batch', $name, 20);
}

# --- what an operator asked for, and what nobody expected -----------------------------------------------------------------------------------
for my $point ('run_started', 'evidence_read', 'walk_batch_open', 'walk_batch_written', 'walk_batch_logged', 'walk_batch_committed', 'check_started', 'step_done') {
  for my $fault (['ereport 57014', '57014', 'paused'], ['error TM900', 'TM900', 'failed'], ['ereport 53100', '53100', 'failed']) {
    my ($action, $code, $state) = @$fault;
    my $case = "$action at $point";
    my $name = make();
    fault("$point $action hit=1");
    fails("$case: told", "CALL tenantmig.run('$name')", qr/ERROR:  $code: fault at $point.*DETAIL:  A test asked for it/s);
    fault();
    is(sql("SELECT concat_ws('|', state, error) FROM tenantmig.runs WHERE migration = '$name'"), "$state|$code: fault at $point\nDETAIL: A test asked for it.", "$case: $state, and the error is stored");
    is(sql("SELECT concat_ws('|', state, split_part(error, E'\\n', 1)) FROM tenantmig.stat_workers WHERE migration = '$name'"), ($state eq 'failed' ? 'failed' : 'done') . "|$code: fault at $point",
      "$case: with the worker, too");
    call("CALL tenantmig.run('$name')");
    whole($case, $name);
    is(sql("SELECT concat_ws(' ', count(*), count(error)) FROM tenantmig.runs WHERE migration = '$name'"), '1 0', "$case: it is the same run, without an error");
  }
}
# at the very end nothing can be noted any more: interrupted
{
  my $name = make();
  fault('run_finishing error TM900 hit=1');
  fails('an error as the run ends', "CALL tenantmig.run('$name')", qr/ERROR:  TM900: fault at run_finishing/);
  fault();
  is(state_of($name), 'interrupted', 'is an interruption');
  is(sql("SELECT tenantmig.resume('$name')"), run_of($name), 'and resume takes it up');
  sql("CALL tenantmig.wait('$name', '30 s')");
  whole('TM900 at run_finishing', $name);
}
# rows that are taken back
{
  my $name = make();
  fault('check_started wait', 'check_takeback ereport 53100 hit=1');
  my $holder = $node->background_psql('postgres', on_error_stop => 0);
  $holder->query_safe(q{SELECT fault.hold('check_started')});
  sql("SELECT tenantmig.start('$name', 1)");
  eventually('it stands before the closing check', q{SELECT fault.waiting('check_started')}, qr/^1$/);
  sql("INSERT INTO ${name}_evidence VALUES (1, 5), (2, 5)");
  $holder->query_safe(q{SELECT fault.release('check_started')});
  $holder->quit;
  fails('an error as rows are taken back', "CALL tenantmig.wait('$name', '30 s')", qr/ERROR:  TM007: run \d+ of migration "$name" failed.*DETAIL:  53100: fault at check_takeback.*HINT:.*resume/s);
  fault();
  sql("CALL tenantmig.run('$name')");
  is(sql("SELECT concat_ws(' ', (SELECT state FROM tenantmig.runs WHERE migration = '$name'), (SELECT string_agg(concat_ws('|', row_key ->> 'id', class, state), ' ' ORDER BY row_key ->> 'id')
    FROM tenantmig.review('$name') WHERE class = 'conflict'), (SELECT count(company_id) FROM $name), (SELECT count(*) FROM tenantmig.changes c JOIN tenantmig.runs r ON r.id = c.run_id
    WHERE r.migration = '$name' AND source = 'closing check'), (SELECT string_agg(check_name, ' ') FROM tenantmig.verify('$name') WHERE status = 'FAIL'))"),
    'completed 1|conflict|open 2|conflict|open 268 2', 'they are taken back once');
}

# --- workers ------------------------------------------------------------------------------------------------------------------------------
# amid a batch, whose rows are written
{
  my $name = make(2000);
  my $holder = $node->background_psql('postgres', on_error_stop => 0);
  fault('walk_batch_written wait');
  $holder->query_safe(q{SELECT fault.hold('walk_batch_written')});
  my $run = sql("SELECT tenantmig.start('$name', 2)");
  eventually('two workers stand in a batch', q{SELECT fault.waiting('walk_batch_written')}, qr/^2$/);
  my $victim = sql("SELECT pid FROM tenantmig.stat_workers WHERE run_id = $run AND worker = 2");
  sql("SELECT pg_terminate_backend($victim)");
  eventually('one of them ends', "SELECT count(*) FROM pg_stat_activity WHERE pid = $victim", qr/^0$/);
  fault();
  $holder->query_safe(q{SELECT fault.release('walk_batch_written')});
  $holder->quit;
  sql("CALL tenantmig.wait('$name', '60 s')");
  like(sql("SELECT coalesce(max(error), '') FROM tenantmig.batches WHERE run_id = $run AND worker = 2"), qr/terminat/, 'its error stands with the batch');
  whole('a worker that ended amid a batch', $name, 2000);
}
# as soon as it comes: replaced, then gone without; the leader does the work
for my $fault (['error TM900', 'TM900: fault at worker_started'], ['ereport 53200', '53200: fault at worker_started'], ['exit', '57P01: fault at worker_started: the process ends|the worker ended without a word']) {
  my ($action, $error) = @$fault;
  my $case = "$action of each second worker";
  my $name = make(2000);
  fault("worker_started $action", 'walk_batch_committed sleep 20');
  my $run = sql("SELECT tenantmig.start('$name', 2)");
  sql("CALL tenantmig.wait('$name', '60 s')");
  like(sql("SELECT string_agg(concat_ws('|', worker, error), ' ') FROM tenantmig.batches WHERE run_id = $run AND error IS NOT NULL"), qr/2\|(?:$error)/, "$case: its error stands in batches");
  like(sql("SELECT concat_ws('|', state, error) FROM tenantmig.stat_workers WHERE run_id = $run AND worker = 2"), qr/^failed\|(?:$error)/, "$case: and in stat_workers");
  fault();
  whole($case, $name, 2000);
}
# each process at its second batch: the leader has failed, and whoever it was says why
{
  my $name = make(2000);
  fault('walk_batch_written error TM900 hit=2');
  my $run = sql("SELECT tenantmig.start('$name', 2)");
  fails('errors of leader and worker', "CALL tenantmig.wait('$name', '60 s')", qr/ERROR:  TM007: .*DETAIL:  TM900: fault at walk_batch_written/s);
  fault();
  like(sql("SELECT string_agg(concat_ws('|', worker, state, split_part(error, E'\\n', 1)), ' ' ORDER BY worker) FROM tenantmig.stat_workers WHERE run_id = $run"),
    qr/^1\|failed\|TM900: fault at walk_batch_written/, 'the leader says why it failed');
  sql("SELECT tenantmig.resume('$name')");
  sql("CALL tenantmig.wait('$name', '60 s')");
  whole('errors of leader and worker', $name, 2000);
}
# the leader ends: interrupted, nothing of its batch remains
for my $point ('walk_batch_open', 'walk_batch_logged', 'evidence_read', 'check_started') {
  my $name = make(2000);
  fault("$point exit hit=1");
  my $run = sql("SELECT tenantmig.start('$name', 1)");
  eventually("the leader ends at $point", "SELECT state FROM tenantmig.runs WHERE id = $run", qr/^interrupted$/);
  fault();
  is(sql("SELECT tenantmig.resume('$name')"), $run, 'resume takes it up');
  sql("CALL tenantmig.wait('$name', '60 s')");
  whole("the leader ended at $point", $name, 2000);
}

# --- undo ---------------------------------------------------------------------------------------------------------------------------------
for my $point ('walk_batch_open', 'walk_batch_written', 'walk_batch_logged') {
  for my $fault (['ereport 40001', undef], ['ereport 57014', '57014'], ['error TM900', 'TM900']) {
    my ($action, $code) = @$fault;
    my $case = "undo, $action at $point";
    my $name = make();
    sql("CALL tenantmig.run('$name')");
    my $run = run_of($name);
    fault("$point $action hit=2");
    my (undef, $err) = call("CALL tenantmig.undo($run)");
    like($err, $code ? qr/ERROR:  $code: fault at $point/ : qr/^$/, "$case: " . ($code ? 'told' : 'nobody hears of it'));
    fault();
    if ($code) {
      cmp_ok(sql("SELECT count(company_id) FROM $name"), '>', 0, "$case: it is not done");
      fails("$case: a run cannot begin amid it", "CALL tenantmig.run('$name')", qr/ERROR:  55000: /);
      sql("CALL tenantmig.undo($run)");
    } else {
      is(sql("SELECT max(error) FROM tenantmig.batches WHERE run_id = $run"), "fault at $point", "$case: it stands with the batch");
    }
    undone($case, $name);
  }
}
# by key: those rows that others have changed
for my $point ('undo_batch_open', 'undo_batch_written') {
  for my $action ('ereport 40001 hit=1', 'ereport 53100 hit=1') {
    my $case = "undo by key, $action at $point";
    my $name = make();
    sql("CALL tenantmig.run('$name')");
    my $run = run_of($name);
    sql("UPDATE $name SET company_id = company_id % 5 + 1 WHERE id <= 9");
    fault("$point $action");
    my (undef, $err) = call("CALL tenantmig.undo($run)");
    fault();
    if ($action =~ /53100/) {
      like($err, qr/ERROR:  53100: fault at $point/, "$case: told");
      sql("CALL tenantmig.undo($run)");
    } else {
      is($err, '', "$case: nobody hears of it");
    }
    is(sql("SELECT concat_ws(' ', (SELECT state FROM tenantmig.runs WHERE id = $run), (SELECT count(company_id) FROM $name),
      (SELECT string_agg(concat_ws(' ', outcome, reason, row_count), ', ' ORDER BY outcome) FROM tenantmig.undo_counts WHERE run_id = $run))"),
      'rolled_back 9 restored 261, skipped value changed since 9', "$case: undone");
  }
}

is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'tenantmig worker'}), 0, 'no worker is left');
$node->stop('fast');
done_testing();

# Runs in background workers, as the client shows and steers them: progress, detach, pause, resume, cancel, wait, undo, signals, a
# server that crashes, and the exit status of each. A trigger makes the rows as slow as a case needs them.
use strict;
use warnings FATAL => 'all';
use FindBin;
use IPC::Run;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_server('client', conf => "max_worker_processes = 16\nautovacuum = off\n");
use_server($node);
run_sql($node, <<'SQL');
CREATE TABLE speed (seconds float8, problem text);
INSERT INTO speed VALUES (0.004, NULL);
CREATE TABLE companies (id int PRIMARY KEY);
CREATE TABLE customers (id int PRIMARY KEY, company_id int);
CREATE TABLE appointments (id int PRIMARY KEY, customer_id int REFERENCES customers, company_id int NOT NULL REFERENCES companies);
INSERT INTO companies SELECT generate_series(1, 3);
INSERT INTO customers SELECT generate_series(1, 2000);
INSERT INTO appointments SELECT id, id, id % 3 + 1 FROM customers;
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE pace public.speed;
BEGIN
  SELECT * INTO pace FROM public.speed;
  IF pace.problem IS NOT NULL THEN RAISE EXCEPTION '%', pace.problem USING ERRCODE = '23514', DETAIL = 'Found it.', HINT = 'look at it'; END IF;
  PERFORM pg_catalog.pg_sleep(pace.seconds);
  RETURN NULL;
END $$;
CREATE TRIGGER slowly AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION slowly();
SQL

my $folder = folder();
sub spec { return write_text("$folder/$_[0].yaml", "migration: $_[0]\ntenants: {table: companies}\nsteps:\n  - backfill: {table: customers, column: company_id, sources: [{via: appointments.customer_id}]}\n"); }
my $spec = spec('m');

sub slow { run_sql($node, 'UPDATE speed SET seconds = 0.004'); return; }
sub fast { run_sql($node, 'UPDATE speed SET seconds = 0'); return; }
sub problem { my $text = defined $_[0] ? "'$_[0]'" : 'NULL'; run_sql($node, "UPDATE speed SET problem = $text"); return; }
sub nulls { return run_sql($node, 'SELECT count(*) FROM customers WHERE company_id IS NULL'); }
sub state { return run_sql($node, q(SELECT state FROM tenantmig.runs ORDER BY id DESC LIMIT 1)); }
sub last_run { return run_sql($node, q(SELECT max(id) FROM tenantmig.runs)); }
sub done { return run_sql($node, q(SELECT coalesce(max(rows_done), 0) FROM tenantmig.stat_progress)); }

# Until the condition holds, or the test has waited long enough to say so.
sub wait_for {
  my ($what, $condition) = @_;
  my $end = time + 60;
  while (!$condition->()) {
    return fail("$what: not within a minute") if time > $end;
    usleep(50_000);
  }
  return pass($what);
}

# A client in the background. $call->{wait}->() gives what client() gives.
sub started {
  my @command = @_;
  my $call = { in => '', out => '', err => '' };
  $call->{handle} = IPC::Run::start(['tenantmig', @command], '<', \$call->{in}, '>', \$call->{out}, '2>', \$call->{err});
  $call->{wait} = sub {
    $call->{handle}->finish;
    my $result = $call->{handle}->full_result;
    $call->{status} = $result & 127 ? 'signal ' . ($result & 127) : $result >> 8;
    return $call;
  };
  return $call;
}

sub started_and_writing {
  my $before = done();
  my $call = started(@_);
  wait_for("@_: rows are written", sub { state() eq 'running' && done() > $before + 50 });
  return $call;
}

sub afresh { # the next run finds everything as it was
  slow();
  run_sql($node, 'ALTER TABLE customers DISABLE TRIGGER slowly; UPDATE customers SET company_id = NULL; ALTER TABLE customers ENABLE TRIGGER slowly');
  return;
}

# --- nothing to talk about yet ---------------------------------------------------------------------------------------------------
client_ok('plan creates the migration', ['plan', $spec], 0);
client_ok('pace: small batches', ['pace', 'm', 'first_batch_rows=10', 'min_batch_rows=5', 'max_batch_rows=20'], 0);
for my $command (qw(pause cancel wait)) {
  client_fails("$command without a run", [$command, 'm'], 1, qr/\Aerror: migration "m" has no run yet\nHINT: tenantmig run m\n/);
  client_fails("$command of no migration", [$command, 'nope'], 1, qr/\Aerror: migration "nope" does not exist\n(?:.*\n)*SQLSTATE: 42704\n/);
}
client_ok('status without a run', ['status', 'm'], 0, qr/\Ano run yet\n\n0 reviews open\n\z/);
client_ok('status without a run, JSON', ['status', 'm', '--json'], 0, qr/"workers": \[\]/);
client_fails('resume without a run', ['resume', 'm'], 1, qr/^SQLSTATE: 55000$/m);
client_fails('resume of no migration', ['resume', 'nope'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('undo of no run', ['undo', '999'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('undo of the latest of no run', ['undo', 'latest:m'], 1, qr/^error: migration "m" has no run yet$/m);
client_fails('run of no migration', ['run', 'nope'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('too many workers', ['run', 'm', '--workers', '100000'], 1, qr/^SQLSTATE: 22023$/m);
client_fails('a budget that is none', ['run', 'm', '--budget', 'soon'], 1, qr/^SQLSTATE: 22007$/m);
is(nulls(), 2000, 'nothing was written');

# --- a run from start to end ------------------------------------------------------------------------------------------------------
my $run = client_ok('run', ['run', $spec, '--workers', '2'], 0, qr/\A relation +\| outcome +\| source +\| row_count \| deleted_count\n(?:.*\n)* public\.customers \| assigned \| appointments\.customer_id \| +2000 \|/);
like($run->{err}, qr/^public\.customers  (?:\w+  )?\d+ %  [\d,]+\/2,000  .*rows\/s.*  \d workers?$/m, 'not a terminal: a line with progress');
unlike($run->{err}, qr/[\r\e]/, 'not a terminal: no carriage returns');
cmp_ok(scalar(() = $run->{err} =~ /^public\.customers  /mg), '<', 30, 'at most a line a second');
like($run->{err}, qr/^run \d+ of "m" completed: 2000 of 2000 rows assigned, 0 reviews open\n\z/m, 'the end');
is(nulls(), 0, 'everything is written');
client_ok('wait for a run that has ended', ['wait', 'm'], 0, qr/ assigned /, qr/ completed: /);
client_fails('pause of a run that has ended', ['pause', 'm'], 1, qr/^SQLSTATE: 55000$/m);
client_fails('cancel of a run that has ended', ['cancel', 'm'], 1, qr/^SQLSTATE: 55000$/m);
client_fails('resume of a run that has ended', ['resume', 'm'], 1, qr/^SQLSTATE: 55000$/m);

# --- Ctrl-C pauses, resume goes on --------------------------------------------------------------------------------------------------
afresh();
for my $signal (qw(INT TERM)) {
  my $call = started_and_writing('run', 'm');
  $call->{handle}->signal($signal);
  $call->{wait}->();
  is($call->{status}, 130, "SIG$signal: status 130");
  is($call->{out}, '', "SIG$signal: no result");
  like($call->{err}, qr/^pausing run \d+; Ctrl-C again leaves at once$/m, "SIG$signal: says what it does");
  like($call->{err}, qr/^paused at \d+ %; go on with: tenantmig resume m\n\z/m, "SIG$signal: says how to go on");
  is(state(), 'paused', "SIG$signal: the run is paused");
}
{
  my $call = started_and_writing('run', 'm');
  run_sql($node, 'UPDATE speed SET seconds = 2');
  usleep(500_000);
  $call->{handle}->signal('INT');
  usleep(700_000);
  $call->{handle}->signal('INT');
  $call->{wait}->();
  is($call->{status}, 130, 'Ctrl-C twice: status 130');
  like($call->{err}, qr/^run \d+ of "m" goes on in the background, at \d+ %; it was asked to pause\ntenantmig status m  shows it, .*\n\z/m, 'Ctrl-C twice: says how it stands');
  slow();
  wait_for('Ctrl-C twice: it is paused all the same', sub { state() eq 'paused' });
}
cmp_ok(nulls(), '>', 0, 'something is left to do');
client_ok('wait for a paused run', ['wait', 'm'], 6, qr/\A\z/, qr/^run \d+ of "m" is paused at \d+ %; go on with: tenantmig resume m$/m);
client_fails('start beside a paused run', ['pause', 'm'], 1, qr/^SQLSTATE: 55000$/m);
my $paused = last_run();
fast();
client_ok('resume', ['resume', 'm'], 0, qr/ assigned +\| appointments\.customer_id +\| +2000 \|/, qr/^run $paused of "m" completed: 2000 of 2000/m);
is(nulls(), 0, 'resume: everything is written');

# --- detach, status, pause, run again -------------------------------------------------------------------------------------------------
afresh();
my $detached = client_ok('run --detach', ['run', 'm', '--detach', '--workers', '1'], 0, qr/\A\d+\n\z/, qr/^run \d+ goes on in the background: tenantmig status m  shows it, tenantmig wait m  waits for it\n\z/);
chomp(my $number = $detached->{out});
is($number, last_run(), 'detach: the number of the run');
wait_for('detach: it goes on', sub { done() > 100 });
client_fails('a second run', ['run', 'm'], 1, qr/^SQLSTATE: 55006$/m);
my $overview = client_ok('status', ['status'], 0, qr/^ m +\| +$number \| running +\| +\d+\.\d \|.*\| +0\n\(1 row\)\n\nrun $number of "m", running: public\.customers  (?:\w+  )?\d+ %  .*\n\z/m);
sub widest_table { return (sort { $b <=> $a } map { length } grep { /[|+]/ && !/%/ } split /\n/, $_[0])[0]; } # columns
cmp_ok(widest_table($overview->{out}), '<=', 80, 'status: the table fits into 80 columns');
my $rows = decode_json(client_ok('status --json', ['status', '--json'], 0)->{out});
is_deeply([map { $rows->[0]{$_} } qw(migration run_id state rows_total workers)], ['m', $number, 'running', 2000, 1], 'status: fields');
my $one = client_ok('status of a migration', ['status', 'm'], 0, qr/\A run_id .*\n(?:.*\n)* +$number \| running +\| online \| \d{4}-\d\d-\d\d [\d:]{8} \|(?s:.*)\n\nrun $number, running: public\.customers  (?:\w+  )?\d+ %  .*\n\nworkers of run $number\n worker \|.*\n.*\n +1 \|(?s:.*)\n0 reviews open\n\z/);
cmp_ok(widest_table($one->{out}), '<=', 80, 'status of a migration: its tables fit into 80 columns');
my $all = decode_json(client_ok('status of a migration, JSON', ['status', 'm', '--json'], 0)->{out});
is_deeply([sort keys %$all], [qw(failed_batches progress runs steps workers)], 'status: sections');
is($all->{workers}[0]{worker}, 1, 'status: a worker');
is($all->{progress}[0]{run_id}, $number, 'status: progress');
client_fails('wait with a time-out', ['wait', 'm', '--timeout', '0.5'], 1, qr/\Aerror: run $number of "m" is still running when the time is up\nDETAIL: public\.customers .*\nHINT: tenantmig wait m  waits again\n\z/);
{
  my $call = started('wait', 'm');
  usleep(1_500_000);
  $call->{handle}->signal('INT');
  $call->{wait}->();
  is($call->{status}, 130, 'wait, Ctrl-C: status 130');
  like($call->{err}, qr/^run $number of "m" goes on in the background, at \d+ %\ntenantmig status m  shows it, tenantmig wait m  waits for it, tenantmig pause m  pauses it\n\z/m, 'wait, Ctrl-C: the run goes on');
  is(state(), 'running', 'wait, Ctrl-C: it does');
}
{
  my $call = started('run', 'm', '--detach', '--format', 'json');
  $call->{wait}->();
  is($call->{status}, 1, 'detach beside a run: status 1');
}
client_ok('pause', ['pause', 'm'], 0, qr/\A migration \| run_id \| state  \| percent\n.*\n m +\| +$number \| paused \| +\d+\.\d\n/, qr/^go on with: tenantmig resume m$/m);
is(state(), 'paused', 'pause has waited for it');
client_ok('status of a paused run', ['status', 'm'], 0, qr/^run $number, paused: public\.customers  (?:\w+  )?\d+ %/m);
client_ok('resume --detach', ['resume', 'm', '--detach', '--format', 'json'], 0, qr/\A\[\n  \{"migration": "m", "run_id": $number\}\n\]\n\z/);
wait_for('resume --detach: it goes on', sub { state() eq 'running' });
client_ok('pause --no-wait', ['pause', 'm', '--no-wait', '--format', 'csv'], 0, qr/\Amigration,run_id,state,percent\r\nm,$number,(?:running|paused),[\d.]+\r\n\z/);
wait_for('pause --no-wait: it happens', sub { state() eq 'paused' });
fast();
my $again = client_ok('run takes up a paused run', ['run', 'm'], 0, qr/ 2000 \|/, qr/^run $number of "m" is paused at \d+ %; it goes on$/m);
is(nulls(), 0, 'run again: everything is written');

# --- a run that somebody else pauses or cancels -----------------------------------------------------------------------------------------
afresh();
{
  my $call = started_and_writing('run', 'm');
  run_sql($node, q(SELECT tenantmig.pause('m')));
  $call->{wait}->();
  is($call->{status}, 6, 'paused by somebody: status 6');
  like($call->{err}, qr/^run \d+ of "m" is paused at \d+ %; go on with: tenantmig resume m$/m, 'paused by somebody: says so');
  $call = started_and_writing('resume', 'm');
  my $other = client_ok('cancel', ['cancel', 'm'], 0, qr/ cancelled \|/, qr/^what it wrote stands; tenantmig undo \d+  takes it back\n\z/);
  $call->{wait}->();
  is($call->{status}, 1, 'cancelled by somebody: status 1');
  like($call->{err}, qr/^error: run \d+ of "m" is cancelled\nDETAIL: What it wrote stands\.\nHINT: tenantmig undo \d+  takes it back\n\z/m, 'cancelled by somebody: error');
  is(state(), 'cancelled', 'cancel: state');
  client_fails('cancel again', ['cancel', 'm'], 1, qr/^SQLSTATE: 55000$/m);
}
afresh();
client_ok('budget used up', ['run', 'm', '--budget', '1 s'], 6, qr/\A\z/, qr/^run \d+ of "m" is paused at \d+ %; go on with: tenantmig resume m$/m);
client_ok('cancel of a paused run', ['cancel', 'm', '--format', 'json'], 0, qr/"state": "cancelled"/);

# --- a run that fails ---------------------------------------------------------------------------------------------------------------------
afresh();
problem('no way');
client_fails('failed', ['run', 'm', '--quiet'], 1, qr/\Aerror: run \d+ of "m" failed: no way\nDETAIL: Found it\.\nHINT: look at it\nSQLSTATE: 23514\n\z/);
is(state(), 'failed', 'failed: state');
client_fails('wait for a failed run', ['wait', 'm'], 1, qr/^error: run \d+ of "m" failed: /m);
client_fails('failed in the foreground', ['run', 'm', '--foreground', '--quiet'], 1, qr/\Aerror: no way\nDETAIL: Found it\.\nHINT: look at it\nSQLSTATE: 23514\n\z/);
my $failed = client_ok('status of a failed run', ['status', 'm'], 0, qr/^run \d+, failed: .*\n23514: no way\nDETAIL: Found it\.\nHINT: look at it\n(?s:.*)^worker \d: 23514: no way$/m);
cmp_ok(widest_table($failed->{out}), '<=', 80, 'status of a failed run: its tables fit into 80 columns');
client_ok('status of all, one failed', ['status'], 0, qr/ failed +\|(?s:.*)^run \d+ of "m", failed: .*\n23514: no way$/m);
problem(undef);
fast();
client_ok('a failed run goes on', ['run', 'm'], 0, qr/ 2000 \|/, qr/ is failed at \d+ %; it goes on$/m);

# --- undo -----------------------------------------------------------------------------------------------------------------------------------
slow();
run_sql($node, 'ALTER TABLE customers DISABLE TRIGGER slowly; UPDATE customers SET company_id = company_id % 3 + 1 WHERE id <= 10; ALTER TABLE customers ENABLE TRIGGER slowly');
{
  my $call = started('undo', 'latest:m');
  wait_for('undo: under way', sub { nulls() > 100 });
  $call->{handle}->signal('INT');
  $call->{wait}->();
  is($call->{status}, 130, 'undo, Ctrl-C: status 130');
  like($call->{err}, qr/^paused at \d+ %; go on with: tenantmig undo \d+\n\z/m, 'undo, Ctrl-C: says how to go on');
}
client_ok('undo with a budget', ['undo', 'latest:m', '--budget', '500 ms'], 6, qr/\A\z/, qr/^the undo of run \d+ of "m" is paused at \d+ %; go on with: tenantmig undo \d+$/m);
my $undo = client_ok('undo', ['undo', 'latest:m'], 4, qr/\A relation +\| outcome +\| reason .*\| row_count\n(?:.*\n)* public\.customers \| restored \| +\| +1990\n public\.customers \| skipped +\| .*\| +10\n/, qr/^public\.customers  undo  \d+ %/m);
like($undo->{err}, qr/^run \d+ of "m" is undone\nrows that did not hold what the run wrote were left alone: SELECT \* FROM tenantmig\.undo_skipped WHERE run_id = \d+\n\z/m, 'undo: what was left alone');
is(nulls(), 1990, 'undo: the rows');
client_fails('undo again', ['undo', 'latest:m'], 1, qr/^SQLSTATE: 55000$/m);

# --- the server crashes -------------------------------------------------------------------------------------------------------------------------
afresh();
{
  my $call = started_and_writing('run', 'm');
  $node->stop('immediate');
  $node->start;
  $call->{wait}->();
  is($call->{status}, 1, 'crash: status 1');
  like($call->{err}, qr/^the connection was lost \(.*\); trying again for 60 s\nconnected again\n(?:public\.customers .*\n)*error: run \d+ of "m" was interrupted at \d+ %\nDETAIL: Nobody is at work on it: .*\nHINT: tenantmig resume m  takes it up\n\z/m, 'crash: says so');
  client_ok('status of an interrupted run', ['status', 'm'], 0, qr/ interrupted /);
  client_ok('resume after a crash, in the background', ['resume', 'm', '--detach'], 0);
  $call = started('wait', 'm', '--reconnect', '1');
  wait_for('resume after a crash: it goes on', sub { state() eq 'running' });
  usleep(500_000);
  $node->stop('immediate');
  $call->{wait}->();
  is($call->{status}, 2, 'server gone: status 2');
  like($call->{err}, qr/^error: the connection was lost, and there was none again for 1 s\nDETAIL: .*\n(?:.*\n)?HINT: .*tenantmig resume MIGRATION/m, 'server gone: error');
  $node->start;
  fast();
  client_ok('run after a crash', ['run', 'm'], 0, qr/ 2000 \|/, qr/ is interrupted at \d+ %; it goes on$/m);
  is(nulls(), 0, 'after two crashes: everything is written');
  slow();
  $call = started('undo', 'latest:m');
  wait_for('undo before a crash: under way', sub { nulls() > 100 });
  $node->stop('immediate');
  $call->{wait}->();
  is($call->{status}, 2, 'undo, crash: status 2');
  like($call->{err}, qr/^error: .*\n(?:.*\n)*HINT: tenantmig undo \d+  goes on with what had not committed\n/m, 'undo, crash: says how to go on');
  $node->start;
  fast();
  client_ok('undo after a crash', ['undo', 'latest:m'], 0, qr/ restored \| +\| +2000\n/, qr/ is undone\n\z/);
  is(nulls(), 2000, 'undo after a crash: everything is as it was');
}

# --- in the foreground, and in one transaction -----------------------------------------------------------------------------------------------------
afresh();
{
  my $call = started('run', 'm', '--foreground');
  wait_for('foreground: rows are written', sub { nulls() < 1900 });
  usleep(1_500_000);
  $call->{handle}->signal('INT');
  $call->{wait}->();
  is($call->{status}, 130, 'foreground, Ctrl-C: status 130');
  like($call->{err}, qr/^public\.customers  (?:\w+  )?\d+ %  .* 1 worker$/m, 'foreground: a line with progress');
  like($call->{err}, qr/^paused at \d+ %; go on with: tenantmig run --foreground m\n\z/m, 'foreground, Ctrl-C: says how to go on');
  is(state(), 'paused', 'foreground, Ctrl-C: paused');
}
client_ok('foreground, budget', ['run', 'm', '--foreground', '--budget', '300 ms'], 6, qr/\A\z/, qr/ is paused at /);
fast();
client_ok('foreground', ['run', 'm', '--foreground'], 0, qr/ 2000 \|/, qr/ completed: 2000 of 2000 rows assigned/);
afresh();
fast();
client_ok('in one transaction', ['run', 'm', '--single-transaction'], 0, qr/ 2000 \|/, qr/ completed: 2000 of 2000 rows assigned/);

# --- on a terminal ------------------------------------------------------------------------------------------------------------------------------
SKIP: {
  skip 'no program "script" that gives us a terminal', 8 if !-x '/usr/bin/script';
  local $ENV{COLUMNS} = 100;
  my ($in, $shown) = ('', '');
  my $on_terminal = sub {
    my ($command, $then) = @_;
    ($in, $shown) = ('', '');
    my $handle = IPC::Run::start(['script', '-qec', $command, '/dev/null'], '<', \$in, '>', \$shown, '2>', '/dev/null');
    $then->($handle) if $then;
    $handle->finish;
    return $handle->full_result >> 8;
  };
  afresh();
  is($on_terminal->('tenantmig run m'), 0, 'terminal: status');
  like($shown, qr/\rpublic\.customers  (?:\w+  )?\[#+\.+\]  \d+ %  [\d,]+\/2,000  [^\n]*\e\[K\rpublic/, 'terminal: a bar that is written over');
  my @lines = map { s/\e\[\d*[mK]//gr } grep { /%/ } split /[\r\n]+/, $shown;
  is((grep { length > 99 } @lines), 0, 'terminal: within the columns');
  like($shown, qr/\rpublic\.customers  \[#+\]  100 %  2,000\/2,000  [^\n\r]*\e\[K\r?\n relation /, 'terminal: the last line says that it is done, and the result starts a line of its own');
  local $ENV{COLUMNS} = 40;
  afresh();
  my $status = $on_terminal->('tenantmig run m', sub {
    wait_for('terminal: rows are written', sub { done() > 100 });
    $in .= "\cC";
  });
  is($status, 130, 'terminal, Ctrl-C: status');
  like($shown, qr/\npausing run \d+; .*\n(?s:.*)\npaused at \d+ %; go on with: tenantmig resume m\r?\n/, 'terminal, Ctrl-C: messages on lines of their own');
  is((grep { length > 39 } map { s/\e\[\d*[mK]//gr } grep { /^public.*%/ } split /[\r\n]+/, $shown), 0, 'terminal: within few columns');
}

$node->stop('fast');
done_testing();

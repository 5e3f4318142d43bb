# A directory of migrations when something goes wrong while it is at work: Ctrl-C, kill -9 of the client and of the server, a lost
# connection, two clients at once. Each time: the exit status, what status says, and that the next up ends where an undisturbed one does.
use strict;
use warnings FATAL => 'all';
use FindBin;
use IPC::Run;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_server('client', conf => "restart_after_crash = on\n");
use_server($node);
run_sql($node, 'CREATE TABLE companies (id int PRIMARY KEY); CREATE TABLE speed (seconds float8); INSERT INTO speed VALUES (60)');
my $folder = folder();
chdir $folder or die;
mkdir 'migrations' or die;

sub step { my ($up, $down) = @_; return "  - sql:\n      up: $up\n      down: $down\n"; }
sub migration { my ($number, $name, @steps) = @_; return write_text("migrations/00${number}_$name.yaml", "migration: $name\ntenants: {table: companies, key: id}\nsteps:\n" . join('', @steps)); }
sub table_step { return step("CREATE TABLE $_[0] ()", "DROP TABLE $_[0]"); }
sub slow_step { return step("SELECT pg_sleep(seconds) FROM public.speed; CREATE TABLE $_[0] ()", "DROP TABLE $_[0]"); }
sub slow { run_sql($node, 'UPDATE speed SET seconds = 60'); return; }
sub fast { run_sql($node, 'UPDATE speed SET seconds = 0'); return; }
sub there { return run_sql($node, q(SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT IN ('companies', 'speed'))); }
sub sleeping { return run_sql($node, q(SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE wait_event = 'PgSleep')); }
sub states { return join(' ', map { "$_->{migration}:$_->{state}:$_->{steps_done}/$_->{steps}" =~ tr/ /-/r } @{ decode_json(client('status', '--json')->{out}) }); }

sub wait_for {
  my ($what, $condition) = @_;
  my $end = time + 60;
  while (!$condition->()) {
    return fail("$what: not within a minute") if time > $end;
    usleep(50_000);
  }
  return pass($what);
}

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
sub started_and_slow {
  my $call = started(@_);
  wait_for("@_: at work", sub { sleeping() != 0 });
  return $call;
}
my $all = 'a1 a2 a3 b1';
sub afresh {
  fast();
  client_ok('afresh', ['down', '--all', '--quiet'], 0);
  is(there(), '', 'afresh: nothing is left');
  slow();
  return;
}
sub finish {
  my ($what) = @_;
  fast();
  client_ok("$what: up goes on", ['up', '--no-backup', '--quiet'], 0);
  is(there(), $all, "$what: as an undisturbed up leaves it");
  is(states(), 'a:applied:3/3 b:applied:1/1', "$what: states");
  afresh();
  return;
}

migration(1, 'a', table_step('a1'), slow_step('a2'), table_step('a3'));
migration(2, 'b', table_step('b1'));

# --- signals --------------------------------------------------------------------------------------------------------------------
for my $signal (qw(INT TERM HUP)) {
  my $call = started_and_slow('up', '--no-backup');
  $call->{handle}->signal($signal);
  $call->{wait}->();
  is($call->{status}, 130, "SIG$signal: status 130");
  like($call->{err}, qr/^1\/2  001_a\.yaml  a  interrupted  [\d.]+ s\nerror: interrupted while at work on migration "a"\nDETAIL: .*\nHINT: tenantmig status a  says how it stands; the same command goes on from there\n/m, "SIG$signal: says how it stands") or diag($call->{err});
  is(sleeping(), 0, "SIG$signal: the statement is cancelled on the server");
  is(there(), 'a1', "SIG$signal: what was committed stands");
  my $status = client_ok("SIG$signal: status", ['status'], 4, qr/^ 001_a\.yaml \| a +\| partly applied \| 1\/3 .*tenantmig up, or tenantmig down a$/m, qr/^a: step 2 \(sql\): .*cancel/m);
  if ($signal eq 'INT') { finish("SIG$signal") }
  else {
    client_ok("SIG$signal: down goes back", ['down', 'a', '--quiet'], 0);
    is(there(), '', "SIG$signal: down goes back: nothing is left");
  }
}

# --- kill -9 of the client ------------------------------------------------------------------------------------------------------------
my $killed = started_and_slow('up', '--no-backup');
$killed->{handle}->signal('KILL');
eval { $killed->{wait}->() };
wait_for('kill -9 of the client: the server ends what it did for it', sub { sleeping() == 0 });
wait_for('kill -9 of the client: status', sub { states() eq 'a:partly-applied:1/3 b:pending:0/1' });
finish('kill -9 of the client');

# --- the connection ------------------------------------------------------------------------------------------------------------------
my $lost = started_and_slow('up', '--no-backup');
run_sql($node, 'SELECT pg_terminate_backend(' . sleeping() . ')');
$lost->{wait}->();
is($lost->{status}, 2, 'a lost connection: status 2');
like($lost->{err}, qr/^error: terminating connection due to administrator command\nDETAIL: The connection was lost while at work on migration "a"; .*\nHINT: tenantmig status a  says how it stands; the same command goes on from there\nSQLSTATE: 57P01\n\z/m, 'a lost connection: what to do') or diag($lost->{err});
is(states(), 'a:partly-applied:1/3 b:pending:0/1', 'a lost connection: status');
finish('a lost connection');

# --- the server crashes ----------------------------------------------------------------------------------------------------------------
my $crashed = started_and_slow('up', '--no-backup', '--log', 'crash.log');
kill('KILL', sleeping());
$crashed->{wait}->();
is($crashed->{status}, 2, 'a crash of the server: status 2');
like($crashed->{err}, qr/^error: .*\n(?:.*\n)*HINT: tenantmig status a  says how it stands/m, 'a crash of the server: what to do') or diag($crashed->{err});
like(read_text('crash.log'), qr/Z  HINT: tenantmig status a  says how it stands/, 'a crash of the server: the log has it');
$node->poll_query_until('postgres', 'SELECT true') or die;
is(states(), 'a:partly-applied:1/3 b:pending:0/1', 'a crash of the server: status');
finish('a crash of the server');

# --- two clients at once -------------------------------------------------------------------------------------------------------------
my $first = started_and_slow('up', '--no-backup');
my $busy = qr/^error: another run or decision is active on migration "a"\n(?:.*\n)*SQLSTATE: 55006\n\z/m;
client_ok('a second up', ['up', '--no-backup'], 1, qr/\A\z/, $busy);
client_ok('a down meanwhile', ['down', 'a'], 1, qr/\A\z/, $busy);
client_ok('status meanwhile', ['status'], 4, qr/^ 001_a\.yaml \| a +\| partly applied /m);
migration(1, 'a', table_step('a1'), slow_step('a2'), table_step('a4'));
client_ok('an edited file meanwhile', ['up', '--no-backup'], 1, qr/\A\z/, $busy);
migration(1, 'a', table_step('a1'), slow_step('a2'), table_step('a3'));
run_sql($node, 'SELECT pg_terminate_backend(' . sleeping() . ')'); # it would sleep a minute
$first->{wait}->();
is($first->{status}, 2, 'the first of two is ended');
finish('two clients');

# both in one go over many small ones: whoever is second at one gets an error or passes it over, and nothing is done twice
migration(1, 'a', table_step('a1'), table_step('a2'), table_step('a3'));
migration($_, "m$_", table_step("m${_}")) for 3 .. 9;
fast();
my @clients = map { started('up', '--quiet', '--no-backup') } 1 .. 2;
$_->{wait}->() for @clients;
ok($_->{status} == 0 || ($_->{status} == 1 && $_->{err} =~ /^SQLSTATE: (?:55006|42710)$/m), "two clients over many: status $_->{status}") or diag($_->{err}) for @clients;
client_ok('two clients over many: up goes on', ['up', '--no-backup', '--quiet'], 0);
is(there(), 'a1 a2 a3 b1 m3 m4 m5 m6 m7 m8 m9', 'two clients over many: everything is there');
is(run_sql($node, q(SELECT count(*) FROM (SELECT migration, step FROM tenantmig.execution_log WHERE migration LIKE 'm%' AND action = 'up' AND outcome = 'done' GROUP BY 1, 2 HAVING count(*) > 1) t)), 0, 'two clients over many: no step was done twice');

# one goes up, one goes down: the order holds whatever comes of it
my $down = started('down', '3', '--quiet');
my $up = started('up', '--quiet', '--no-backup');
$_->{wait}->() for $down, $up;
ok($_->{status} == 0 || ($_->{status} == 1 && $_->{err} =~ /^(?:SQLSTATE: 55006|error: migration "m\d" was taken back by somebody else meanwhile)$/m), "up and down at once: status $_->{status}") or diag($_->{err}) for $down, $up;
client_ok('up and down at once: up goes on', ['up', '--no-backup', '--quiet', '--out-of-order'], 0);
is(there(), 'a1 a2 a3 b1 m3 m4 m5 m6 m7 m8 m9', 'up and down at once: everything is there');
done_testing();

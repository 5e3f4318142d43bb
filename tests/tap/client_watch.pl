# watch: events as they come, in each format; commands that are run for them, with payloads of the worst kind; and a connection
# that is lost.
use strict;
use warnings FATAL => 'all';
use FindBin;
use IPC::Run;
use JSON::PP qw(decode_json encode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $scenario = "$FindBin::Bin/../scenarios/customers";
my $node = new_server('client');
use_server($node);
$node->safe_psql('postgres', read_text("$scenario/$_.sql")) for qw(schema data);
my $folder = folder();
my $name = 'customers-company-id';

# A client in the background, listening; {in, out, err} grow as it goes, wait() ends with its status.
sub watching {
  my @arguments = @_;
  my %call = (in => '', out => '', err => '');
  $call{handle} = IPC::Run::start(['tenantmig', 'watch', @arguments], '<', \$call{in}, '>', \$call{out}, '2>', \$call{err}, IPC::Run::timeout(120));
  $call{until} = sub { my $done = shift; $call{handle}->pump until $done->(); };
  $call{wait} = sub { $call{handle}->finish; my $status = $call{handle}->full_result; $call{status} = $status & 127 ? 'signal ' . ($status & 127) : $status >> 8; return $call{status}; };
  $call{until}->(sub { $call{err} =~ /^listening for events.*; Ctrl-C ends it$/m });
  return \%call;
}

sub notify { run_sql($node, 'SELECT pg_notify(\'tenantmig\', $payload$' . $_ . '$payload$)') for @_; return; }
sub event { my ($event, $migration, %fields) = @_; return JSON::PP->new->canonical->encode({ event => $event, migration => $migration, at => '2026-11-21 08:00:00 UTC', %fields }); }

# --- lines ------------------------------------------------------------------------------------------------------------------
{
  my $call = watching('--count', '2');
  notify(event('observation', 'm', health => 'GREEN', nulls => 0), event('alert', 'm', reason => 'two "words"'));
  is($call->{wait}->(), 0, 'two events: status 0');
  is($call->{out}, <<'TEXT', 'two events: a line each');
2026-11-21 08:00:00 UTC  m  observation  health=GREEN nulls=0
2026-11-21 08:00:00 UTC  m  alert  reason="two \"words\""
TEXT
  like($call->{err}, qr/\Alistening for events; Ctrl-C ends it\n\z/, 'two events: nothing else is said');
}
{
  my $call = watching('--json', '--count', '2');
  my $payload = event('run', 'm', state => 'completed', numbers => [1, { a => undef }]);
  notify($payload, qq({"event": "run",\n "migration": "two\\nlines"}));
  is($call->{wait}->(), 0, 'JSON: status 0');
  is($call->{out}, qq($payload\n{"event": "run",  "migration": "two\\nlines"}\n), 'JSON: the payloads, one a line');
}
{
  my $call = watching('--format', 'csv', '--count', '2');
  notify(event('gate', '=cmd|x', open => JSON::PP::true), event('gate', 'm'));
  $call->{wait}->();
  is($call->{out}, "time,migration,event,fields\r\n2026-11-21 08:00:00 UTC,'=cmd|x,gate,open=true\r\n2026-11-21 08:00:00 UTC,m,gate,\"\"\r\n", 'CSV: one header, no formula');
}
{
  my $call = watching('--event', 'alert', '--event', 'run', '--count', '2');
  notify(event('gate', 'm'), event('alert', 'm'), event('drift', 'm'), event('run', 'n'));
  $call->{wait}->();
  is($call->{out} =~ s/^.*UTC  (\w)  (\w+)$/$1 $2/gmr, "m alert\nn run\n", 'only events of these kinds');
}

# --- only of one migration ------------------------------------------------------------------------------------------------------
client_fails('watch of no migration', ['watch', 'nope', '--timeout', '1'], 1, qr/\Aerror: migration "nope" does not exist\n(?:.*\n)*SQLSTATE: 42704\n\z/);
client_ok('create', ['plan', "$scenario/spec.yaml"], 0);
{
  my $call = watching($name, '--count', '1');
  like($call->{err}, qr/^listening for events of "$name"; /m, 'of one migration: says so');
  notify(event('alert', 'other'), event('alert', $name));
  is($call->{wait}->(), 0, 'of one migration: status 0');
  is($call->{out}, "2026-11-21 08:00:00 UTC  $name  alert\n", 'of one migration: only its events');
}

# --- what anybody may send ---------------------------------------------------------------------------------------------------------
{
  my $call = watching('--count', '1', '--exec', "echo ran >> $folder/ignored");
  notify('', 'nonsense', '[1]', '"run"', '{}', '{"event": 7}', '{"event": "a b"}', qq({"event": "run; rm -rf /"}), '{"event": "' . ('x' x 64) . '"}', '[' x 4000, "\e]0;owned\a", event('run', 'm'));
  is($call->{wait}->(), 0, 'no events: status 0');
  is(scalar(() = $call->{out} =~ /\n/g), 1, 'no events: only the one that is');
  is(scalar(() = $call->{err} =~ /^ignored, no event of tenantmig: /mg), 11, 'no events: each is told of');
  unlike($call->{err}, qr/[\e\a]/, 'no events: no control characters');
  is(read_text("$folder/ignored"), "ran\n", 'no events: no command for them');
}
{
  my $call = watching('--count', '1');
  notify(event('run', "m\e[31m\n\x{7}"));
  $call->{wait}->();
  is($call->{out}, "2026-11-21 08:00:00 UTC  m\\x1B[31m\\n\\x07  run\n", 'control characters of a name are shown as such, in one line');
}

# --- commands -----------------------------------------------------------------------------------------------------------------------
# Prints its environment and input as bytes, one line each, so that nothing can hide.
my $probe = write_text("$folder/probe", <<'PERL');
use strict; use warnings; use JSON::PP;
open(my $out, '>>', $ENV{PROBE_OUT}) or die;
my %seen = map { $_ => $ENV{$_} } grep { /^TENANTMIG_(?!DESTDIR|TMP|ROOT|FAULT)/ } keys %ENV;
print {$out} JSON::PP->new->canonical->latin1->encode({ env => \%seen, input => join('', <STDIN>) }), "\n";
PERL
sub probed {
  my ($payload, @more) = @_;
  my $file = "$folder/probed";
  unlink $file;
  local $ENV{PROBE_OUT} = $file;
  my $call = watching('--count', '1', '--exec', "perl $probe", @more);
  notify($payload);
  is($call->{wait}->(), 0, 'probe: status 0') or diag($call->{err});
  return JSON::PP->new->latin1->decode(read_text($file));
}
{
  local $ENV{TENANTMIG_MIGRATION} = 'of somebody else';
  local $ENV{TENANTMIG_OWN} = 'mine';
  my $payload = event('enforce', 'm', state => 'enforced', row_count => 12, ok => JSON::PP::true, none => undef, list => [1, 'a b'], 'Odd-name' => 'x', PATH => '/evil');
  my $seen = probed($payload);
  is_deeply($seen->{env}, { TENANTMIG_EVENT => 'enforce', TENANTMIG_MIGRATION => 'm', TENANTMIG_AT => '2026-11-21 08:00:00 UTC', TENANTMIG_STATE => 'enforced', TENANTMIG_ROW_COUNT => '12',
    TENANTMIG_OK => 'true', TENANTMIG_NONE => 'null', TENANTMIG_LIST => '[1,"a b"]', TENANTMIG_OWN => 'mine' }, 'command: the event in its environment');
  is($seen->{input}, "$payload\n", 'command: the payload on its standard input');
}
for my $hostile ("'; touch $folder/owned; '", "\$(touch $folder/owned)", "`touch $folder/owned`", "a\ntouch $folder/owned\n", "\" && touch $folder/owned #", "() { :;}; touch $folder/owned", '-rf /', '%n%s', "\x01\x7f", 'x' x 3000) {
  my $payload = event($hostile =~ /^x/ ? 'run' : 'alert', $hostile, reason => $hostile);
  my $seen = probed($payload);
  is($seen->{env}{TENANTMIG_MIGRATION}, $hostile, 'hostile migration: as it is');
  is($seen->{env}{TENANTMIG_REASON}, $hostile, 'hostile field: as it is');
  is($seen->{input}, "$payload\n", 'hostile payload: as it is');
}
{
  my $seen = probed(event('alert', "before\x00after", reason => "a\x00b"));
  is($seen->{env}{TENANTMIG_MIGRATION}, undef, 'a NUL fits into no variable: it is not set, and not cut off');
  is(decode_json($seen->{input})->{migration}, "before\x00after", 'a NUL: standard input has it');
  my $quoted = client('watch', '--timeout', '0', '--exec', "'");
  is($quoted->{status}, 0, 'a command that is never run');
}
ok(!-e "$folder/owned", 'no payload ran as a command');
{
  my $call = watching('--count', '1', '--exec', 'echo "$TENANTMIG_MIGRATION"; echo problem >&2', '--json');
  notify(event('run', '$HOME'));
  $call->{wait}->();
  is($call->{out}, event('run', '$HOME') . "\n", 'command: its output is not mixed into results');
  like($call->{err}, qr/^\$HOME\nproblem$/m, 'command: its output goes to standard error, and a value is expanded once');
}
{
  my $call = watching('--count', '3', '--exec', 'case $TENANTMIG_EVENT in gate) kill -9 $$ ;; alert) exit 3 ;; esac');
  notify(event('alert', 'm'), event('gate', 'm'), event('run', 'm'));
  is($call->{wait}->(), 0, 'commands that fail: the watch goes on');
  is(scalar(() = $call->{out} =~ /\n/g), 3, 'commands that fail: all events are shown');
  like($call->{err}, qr/^error: the command for event alert of "m" ended with status 3\nerror: the command for event gate of "m" was ended by signal 9\n\z/m, 'commands that fail are reported');
  my $missing = watching('--count', '1', '--exec', '/nonexistent/program');
  notify(event('run', 'm'));
  is($missing->{wait}->(), 0, 'a command that is not there: status 0');
  like($missing->{err}, qr/not found(?s:.*)^error: the command for event run of "m" ended with status 127$/m, 'a command that is not there');
}
{
  my $call = watching('--count', '3', '--exec', "echo start \$TENANTMIG_N >> $folder/order; sleep 0.3; echo end \$TENANTMIG_N >> $folder/order");
  notify(map { event('run', 'm', n => $_) } 1 .. 3);
  $call->{wait}->();
  is(read_text("$folder/order"), join('', map { "start $_\nend $_\n" } 1 .. 3), 'commands run one after the other, in the order of the events');
}

# --- its end --------------------------------------------------------------------------------------------------------------------------
for my $signal (qw(INT TERM)) {
  my $call = watching();
  $call->{handle}->signal($signal);
  is($call->{wait}->(), 130, "SIG$signal: status 130");
}
{
  my $call = watching('--exec', "echo \$\$ > $folder/pid; exec sleep 100");
  notify(event('run', 'm'));
  $call->{until}->(sub { $call->{handle}->pump_nb; usleep(20_000); -s "$folder/pid" });
  my $begun = time;
  $call->{handle}->signal('INT');
  is($call->{wait}->(), 130, 'SIGINT while a command runs: status 130');
  cmp_ok(time - $begun, '<', 4, 'SIGINT while a command runs: at once');
  chomp(my $pid = read_text("$folder/pid"));
  ok(!kill(0, $pid), 'SIGINT while a command runs: it is ended');
}
{
  my $begun = time;
  client_ok('timeout', ['watch', '--timeout', '0.5'], 0, qr/\A\z/);
  client_fails('timeout before the count', ['watch', '--timeout', '0.5', '--count', '2'], 1, qr/^error: 0 of 2 events came when the time is up\n\z/m);
  cmp_ok(time - $begun, '>=', 1, 'timeout: it waits so long');
  client_ok('quiet', ['watch', '--timeout', '0', '--quiet'], 0, qr/\A\z/, qr/\A\z/);
}
if (-w '/dev/full') {
  my $err = '';
  my $handle = IPC::Run::start(['sh', '-c', 'exec tenantmig watch --count 1 >/dev/full'], '2>', \$err, IPC::Run::timeout(60));
  $handle->pump until $err =~ /listening/;
  notify(event('run', 'm'));
  $handle->finish;
  is($handle->full_result >> 8, 1, 'output that cannot be written: status 1');
  like($err, qr/^error: could not write the output\nDETAIL: No space left on device$/m, 'output that cannot be written: error');
}

# --- the server goes away -----------------------------------------------------------------------------------------------------------------
{
  my $call = watching('--count', '2');
  notify(event('run', 'before'));
  $call->{until}->(sub { $call->{out} =~ /before/ });
  $node->stop('immediate');
  $call->{until}->(sub { $call->{err} =~ /^the connection was lost \(.*\); trying again$/m });
  $node->start;
  $call->{until}->(sub { $call->{err} =~ /^connected again; events of the meantime may have been missed$/m });
  notify(event('run', 'after'));
  is($call->{wait}->(), 0, 'server restarted: status 0');
  like($call->{out}, qr/  before  run\n.*  after  run\n\z/, 'server restarted: it listens again');
}
{
  my $call = watching('--reconnect', '1');
  my $timed = watching('--timeout', '4');
  my $ended = watching();
  $node->stop('fast');
  is($call->{wait}->(), 2, 'server gone: status 2');
  like($call->{err}, qr/^error: the connection was lost, and there was none again for 1 s\nDETAIL: .*\n/m, 'server gone: error');
  $ended->{handle}->signal('TERM');
  is($ended->{wait}->(), 130, 'server gone: a signal ends it');
  is($timed->{wait}->(), 0, 'server gone: the timeout ends it');
  client_fails('no server', ['watch'], 2, qr/^error: connection to server on socket /);
}

done_testing();

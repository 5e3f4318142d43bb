# observe, health, report --daily, metrics: what they print, their exit statuses, colours, and the file for Prometheus.
use strict;
use warnings FATAL => 'all';
use FindBin;
use IPC::Run;
use JSON::PP qw(decode_json);
use POSIX qw(WNOHANG);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;
use Time::HiRes qw(usleep);

my $scenario = "$FindBin::Bin/../scenarios/customers";
my $name = 'customers-company-id';
my $folder = folder();
my $node = new_server('client');
run_sql($node, 'CREATE DATABASE "a ""b\\c"');
my $strange = 'a "b\\c';
use_server($node);
$node->safe_psql('postgres', read_text("$scenario/$_.sql")) for qw(schema data);
run_sql($node, q(CREATE ROLE viewer LOGIN; SELECT tenantmig.grant_access('viewer', 'viewer')));
sub rows { return decode_json($_[0]->{out}); }

# --- nothing to see ---------------------------------------------------------------------------------------------------------
client_ok('health of nothing', ['health'], 0, qr/\(0 rows\)/);
client_ok('observe nothing', ['observe'], 0, qr/\(0 rows\)/);
client_fails('health of no migration', ['health', 'nope'], 1, qr/\Aerror: migration "nope" does not exist\n(?:.*\n)*SQLSTATE: 42704\n\z/);
client_fails('observe no migration', ['observe', 'nope'], 1, qr/\Aerror: migration "nope" does not exist\n(?:.*\n)*SQLSTATE: 42704\n\z/);
client_fails('daily report of no migration', ['report', '--daily', 'nope'], 1, qr/^SQLSTATE: 42704$/m);
client_ok('metrics of nothing', ['metrics'], 0, qr/^tenantmig_guard_refusals_total\{database="postgres"\} 0$/m);

# --- YELLOW, GREEN, RED -------------------------------------------------------------------------------------------------------
my $guarded = write_text("$folder/spec.yaml", read_text("$scenario/spec.yaml") . "  - constraint: {table: customers, column: company_id, not_null: true}\n");
client_ok('run', ['run', $guarded, '--quiet'], 5);
client_ok('health: YELLOW', ['health'], 4, qr/\A migration +\| health \| soak .*\n.*\n $name \| YELLOW \| .*\n\(1 row\)\n\n(?:$name: .*\n)*$name: 4 reviews are open: SELECT /);
my $yellow = rows(client_ok('health: YELLOW, JSON', ['health', $name, '--json'], 4))->[0];
is(ref $yellow->{reasons}, 'ARRAY', 'health, JSON: reasons are a list');
is($yellow->{open_reviews}, 4, 'health, JSON: fields that the table leaves out');
client_ok('observe with warnings', ['observe', $name], 4, qr/\A migration +\| check_name +\| status .*\n(?:.*\n)* $name \| open_reviews +\| WARN /);
for (@{ rows(client('review', 'list', $name, '--json')) }) { client_ok("decision $_->{id}", ['review', 'resolve', $_->{id}, '1', '--quiet'], 0); }
run_sql($node, 'CREATE INDEX ON customers (company_id)');
client_ok('observe --deep', ['observe', '--deep', '--json'], 0, qr/"check_name": "mismatches appointments.customer_id", "status": "PASS"/);
client_ok('health: GREEN', ['health', $name, '--format', 'csv'], 0, qr/\Amigration,health,reasons,soak,.*\r\n$name,GREEN,\[\],/);
my $week = client_ok('health --week', ['health', '--week'], 0, qr/GREEN(?s:.*)\n migration +\| day +\| samples .*\n.*\n(?: $name \| \d{4}-\d\d-\d\d \| .*\n){7}\(7 rows\)\n\z/);
my $both = decode_json(client_ok('health --week, JSON', ['health', '--week', '--json'], 0)->{out});
is(scalar @{ $both->{week} }, 7, 'health --week, JSON: seven days');
is($both->{health}[0]{health}, 'GREEN', 'health --week, JSON: health');
client_ok('health --week, CSV', ['health', '--week', '--format', 'csv'], 0, qr/\Amigration,day,samples,/);
client_ok('health as a viewer', ['health', '-U', 'viewer'], 0, qr/GREEN/);
client_fails('observe as a viewer', ['observe', $name, '-U', 'viewer'], 1, qr/^SQLSTATE: 42501$/m);

run_sql($node, 'UPDATE customers SET company_id = 99 WHERE id = 22');
my $failing = client_ok('observe with failures', ['observe', $name, '--deep', '--json'], 7);
is((grep { $_->{check_name} eq 'unknown_tenants' } @{ rows($failing) })[0]{status}, 'FAIL', 'observe: an unknown tenant');
my $red = client_ok('health: RED', ['health'], 7, qr/ $name \| RED +\| /);
like($red->{out}, qr/^$name: .*not in /m, 'health: RED, and why');
client_ok('daily report', ['report', '--daily', $name], 0, qr/\A# Daily report: $name, \d{4}-\d\d-\d\d\n(?s:.*)\| health +\| RED /);
is(decode_json(client_ok('daily report, JSON', ['report', '--daily', $name, '--json'], 0)->{out})->{health}, 'RED', 'daily report, JSON');
client_ok('daily report of another day', ['report', '--daily', $name, '--day', '2020-02-29'], 0, qr/\A# Daily report: $name, 2020-02-29\n/);
client_fails('daily report of no day', ['report', '--daily', $name, '--day', '2021-02-29'], 1, qr/^SQLSTATE: 22008$/m);

# --- colours --------------------------------------------------------------------------------------------------------------------
SKIP: {
  skip 'no program "script" that gives us a terminal', 6 if !-x '/usr/bin/script';
  my ($in, $shown) = ('', '');
  my $on_terminal = sub {
    IPC::Run::run(['script', '-qec', $_[0], '/dev/null'], '<', \$in, '>', \$shown, '2>', '/dev/null');
    return $? >> 8;
  };
  local $ENV{TERM} = 'xterm';
  is($on_terminal->('tenantmig health'), 7, 'terminal: status');
  like($shown, qr/\| \e\[31mRED   \e\[0m \|/, 'terminal: RED is red, and aligned');
  $on_terminal->("tenantmig observe $name");
  like($shown, qr/\| \e\[31mFAIL  \e\[0m \|(?s:.*)\| \e\[32mPASS  \e\[0m \|/, 'terminal: FAIL and PASS have colours');
  $on_terminal->('NO_COLOR=1 tenantmig health');
  unlike($shown, qr/\e/, 'NO_COLOR');
  $on_terminal->('TERM=dumb tenantmig health');
  unlike($shown, qr/\e/, 'a dumb terminal');
  $on_terminal->('tenantmig health --json');
  unlike($shown, qr/\e/, 'JSON has no colours');
}
unlike(client('health')->{out}, qr/\e/, 'no terminal, no colours');

# --- metrics ---------------------------------------------------------------------------------------------------------------------
my $file = "$folder/tenantmig.prom";
umask 0077;
my $metrics = client_ok('metrics', ['metrics'], 0, qr/^tenantmig_health\{database="postgres",migration="$name"\} 2$/m)->{out};
for my $wanted ('unknown_tenants{database="postgres",migration="' . $name . '"} 1', 'run_rows_done{database="postgres",migration="' . $name . '"} 31', 'run_active{database="postgres",migration="' . $name . '"} 0',
  'enforcement_interrupted{database="postgres",migration="' . $name . '"} 0', 'info{database="postgres",version="0.1.0"} 1', 'open_reviews{database="postgres",migration="' . $name . '"} 0') {
  like($metrics, qr/^tenantmig_\Q$wanted\E$/m, "metrics: $wanted");
}
like($metrics, qr/^tenantmig_last_deep_observation_timestamp_seconds\{[^}]*\} \d{10}(\.\d+)?$/m, 'metrics: seconds since 1970');
my @order = map { /^# TYPE (\S+)/ ? $1 : () } split /\n/, $metrics;
is(scalar(@order), scalar(keys %{ { map { $_ => 1 } @order } }), 'metrics: each family once');
is(scalar(() = $metrics =~ /^# HELP /mg), scalar(@order), 'metrics: a HELP for each TYPE');
client_ok('metrics as a viewer', ['metrics', '-U', 'viewer'], 0, qr/^tenantmig_health\{/m);

client_ok('metrics --output', ['metrics', '--output', $file], 0, qr/\A\z/, qr/\A\z/);
is((stat $file)[2] & 07777, 0644, 'metrics --output: everybody may read it, whatever the umask');
like(read_text($file), qr/^tenantmig_health\{.*\n/m, 'metrics --output: the same text');
is_deeply([sort glob "$folder/*.prom*"], [$file], 'metrics --output: nothing else is left');
my $before = (stat $file)[1];
client_ok('metrics --output again', ['metrics', '-o', $file], 0);
isnt((stat $file)[1], $before, 'metrics --output: another file in its place, not the old one written over');
client_fails('metrics --output where there is no folder', ['metrics', '--output', "$folder/none/x.prom"], 1, qr/\Aerror: could not create ".*none\/x\.prom": No such file or directory\n\z/);
client_fails('metrics --output into a folder', ['metrics', '--output', $folder], 1, qr/\Aerror: could not write "\Q$folder\E": it is not a file\n/);
client_fails('metrics --output into a device', ['metrics', '--output', '/dev/null'], 1, qr/\Aerror: could not write "\/dev\/null": it is not a file\nHINT: /);
ok(-c '/dev/null', 'the device is still there');
{ # a reader never sees a part of it
  my ($looks, $bad) = (0, 0);
  my $writer = fork // die "could not fork: $!";
  exec('sh', '-c', 'for i in 1 2 3 4 5; do tenantmig metrics --output "$0" || exit 1; done', $file) if !$writer;
  while (waitpid($writer, WNOHANG) == 0) {
    $looks++;
    $bad++ if read_text($file) !~ /^tenantmig_guard_refusals_total\{[^}]*\} \d+\n/m;
    usleep(2000);
  }
  is($?, 0, 'metrics --output, again and again');
  is($bad, 0, "metrics --output: at no moment a part of it") or diag("of $looks moments");
}
my $promtool = (grep { -x } map { "$_/promtool" } split(/:/, $ENV{PATH}), '/var/cache/tenantmig-tests')[0];

# names of the worst kind, in a database of the worst name
run_sql($node, 'CREATE EXTENSION tenantmig; CREATE TABLE companies (id int PRIMARY KEY); CREATE TABLE customers (id int PRIMARY KEY, company_id int); CREATE TABLE calls (customer_id int REFERENCES customers, company_id int)', $strange);
my $hostile = qq(a"} 1\ntenantmig_owned{x="\\);
my $json = JSON::PP->new->encode({ migration => $hostile, tenants => { table => 'companies' }, steps => [{ backfill => { table => 'customers', column => 'company_id', sources => [{ via => 'calls.customer_id' }] } }] });
my $created = client('plan', write_text("$folder/hostile.json", $json), '-d', $strange);
SKIP: {
  skip 'such a name is refused', 2 if $created->{status} != 0;
  my $escaped = client_ok('metrics: hostile names', ['metrics', '-d', $strange], 0)->{out};
  like($escaped, qr/^tenantmig_health\{database="a \\"b\\\\c",migration="a\\"\} 1\\ntenantmig_owned\{x=\\"\\\\"\} \d$/m, 'metrics: hostile names are escaped');
  unlike($escaped, qr/^tenantmig_owned/m, 'metrics: no line of theirs');
}
SKIP: {
  skip 'no promtool (tests/run/packages promtool fetches it)', 3 if !$promtool;
  for my $database ('postgres', $strange) {
    my ($out, $text) = ('', client('metrics', '-d', $database)->{out});
    IPC::Run::run([$promtool, 'check', 'metrics'], '<', \$text, '>', \$out, '2>', \$out);
    is($? >> 8 . $out, '0', "promtool has nothing to say ($database)") or diag($out);
  }
  my ($out, $text) = ('', $metrics =~ s/^# HELP.*\n//gmr);
  IPC::Run::run([$promtool, 'check', 'metrics'], '<', \$text, '>', \$out, '2>', \$out);
  isnt($? >> 8, 0, 'promtool would notice');
}

$node->stop('fast');
my $old = read_text($file);
client_fails('metrics, no server', ['metrics', '--output', $file], 2, qr/^error: connection to server on socket /);
is(read_text($file), $old, 'metrics, no server: the old file stays');
client_fails("$_, no server", [$_], 2, qr/^error: connection to server on socket /) for qw(observe health);
done_testing();

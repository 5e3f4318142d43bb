# Arguments, help, version: everything that the client decides before it looks for a server.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

$ENV{PGHOST} = '/nonexistent'; # whoever connects here fails with status 2

client_ok('version', ['--version'], 0, qr/\Atenantmig \d+\.\d+\.\d+\n\z/, qr/\A\z/);
my $help = client_ok('help', ['--help'], 0, qr/^  rollback /m, qr/\A\z/);
like($help->{out}, qr/^Exit status: 0 done.*130 interrupted\.$/ms, 'help lists the exit statuses');
for my $command (qw(validate plan preflight run verify rollback report status resume pause cancel wait undo pace
  gate approve register-backup enforce relax prove proofs observe health watch metrics ddl-watch purge)) {
  client_ok("help of $command", [$command, '--help'], 0, qr/^Usage: tenantmig $command /m, qr/\A\z/);
}
for my $command (qw(attach detach check list)) {
  client_ok("help of guard $command", ['guard', $command, '--help'], 0, qr/^Usage: tenantmig guard $command /m);
}
for my $command (qw(list export import resolve dismiss)) {
  client_ok("help of review $command", ['review', $command, '--help'], 0, qr/^Usage: tenantmig review $command /m);
}

my @usage = (
  ['no command', [], qr/^error: a command is required\n/],
  ['unknown command', ['nope'], qr/^error: "nope" is not a command\n/],
  ['review without a command', ['review'], qr/^error: a command is required\n/],
  ['unknown command of review', ['review', 'nope'], qr/^error: "nope" is not a command\n/],
  ['unknown option', ['plan', 'x', '--nope'], qr/^error: the following argument was not expected: --nope\n/],
  ['too many arguments', ['run', 'x', 'y'], qr/not expected: y/],
  ['too few arguments', ['run'], qr/^error: spec-or-migration is required\n/],
  ['option without its value', ['status', '--dbname'], qr/^error: --dbname/],
  ['unknown format', ['--format', 'xml', 'status'], qr/^error: --format: xml not in \{table,json,csv\}\n/],
  ['unknown report format', ['report', '3', '--report-format', 'html'], qr/^error: --report-format: html not in/],
  ['sample without dry run', ['run', 'x', '--dry-run-rows', '4'], qr/^error: --dry-run-rows requires --dry-run\n/],
  ['full without dry run', ['run', 'x', '--dry-run-full'], qr/^error: --dry-run-full requires --dry-run\n/],
  ['sample and full', ['run', 'x', '--dry-run', '--dry-run-full', '--dry-run-rows', '4'], qr/^error: --dry-run-(rows|full) excludes/],
  ['sample of nothing', ['run', 'x', '--dry-run', '--dry-run-rows', '0'], qr/^error: --dry-run-rows: "0" is not a number of rows, 1 or more\n/],
  ['sample of a part of a row', ['run', 'x', '--dry-run', '--dry-run-rows', '1.5'], qr/"1\.5" is not a number of rows/],
  ['share that is none', ['run', 'x', '--max-count-change', 'abc'], qr/^error: --max-count-change: "abc" is not a share, 0 or more\n/],
  ['negative share', ['run', 'x', '--max-count-change=-1'], qr/"-1" is not a share/],
  ['infinite share', ['run', 'x', '--max-count-change', 'inf'], qr/"inf" is not a share/],
  ['dry run in the background', ['run', 'x', '--dry-run', '--detach'], qr/^error: --(dry-run|detach) excludes --(dry-run|detach)\n/],
  ['one transaction with workers', ['run', 'x', '--single-transaction', '--workers', '2'], qr/^error: --(single-transaction|workers) excludes /],
  ['workers in the foreground', ['run', 'x', '--foreground', '--workers', '2'], qr/^error: --(foreground|workers) excludes /],
  ['a dry run with a budget', ['run', 'x', '--dry-run', '--budget', '1 s'], qr/^error: --(dry-run|budget) excludes /],
  ['no worker', ['run', 'x', '--workers', '0'], qr/^error: --workers: "0" is not a number of workers, 1 or more\n/],
  ['half a worker', ['resume', 'x', '--workers', '1.5'], qr/"1\.5" is not a number of workers/],
  ['time that runs backwards', ['wait', 'x', '--timeout=-1'], qr/^error: --timeout: "-1" is not a number of seconds, 0 or more\n/],
  ['patience that is none', ['wait', 'x', '--reconnect', 'long'], qr/^error: --reconnect: "long" is not a number of seconds\n/],
  ['undo of what is no number', ['undo'], qr/^error: run is required\n/],
  ['pace without a key', ['pace', 'x', '=1'], qr/^error: "=1" is not a setting\n/],
  ['pace without a value', ['pace', 'x', 'work_share'], qr/^error: "work_share" is not a setting\n/],
  ['pace with a key twice', ['pace', 'x', 'work_share=1', 'work_share=0.5'], qr/^error: "work_share" is set twice\n/],
  ['report of nothing', ['report'], qr/^error: run is required\n/],
  ['report of a run and of a day', ['report', '3', '--daily', 'x'], qr/^error: (run|--daily) excludes (--daily|run)\n/],
  ['day without a migration', ['report', '--day', '2026-01-01'], qr/^error: --day requires --daily\n/],
  ['gate of nothing', ['gate'], qr/^error: migration is required\n/],
  ['approval with a note that is taken back', ['approve', 'x', '--revoke', '--note', 'y'], qr/^error: --(note|revoke) excludes --(note|revoke)\n/],
  ['backup without a place', ['register-backup', 'x', '--taken-at', 'now'], qr/^error: --location is required\n/],
  ['backup without a time', ['register-backup', 'x', '--location', '/backup'], qr/^error: --taken-at is required\n/],
  ['guard without a command', ['guard'], qr/^error: a command is required\n/],
  ['guard of nothing', ['guard', 'attach'], qr/^error: a migration, or a table, a column and a kind, are required\n/],
  ['guard of both', ['guard', 'attach', 'x', '--table', 't'], qr/^error: a migration, or a table, a column and a kind, are required\n/],
  ['guard without a kind', ['guard', 'attach', '--table', 't', '--column', 'c'], qr/^error: --kind is required\n/],
  ['guard without a table', ['guard', 'attach', '--kind', 'prefix', '--column', 'c'], qr/^error: --table is required\n/],
  ['guard whose options are a list', ['guard', 'attach', '--table', 't', '--kind', 'prefix', '--options', '[1]'], qr/^error: --options is not a JSON object\nDETAIL: \[1\]\n/],
  ['guard whose options are no JSON', ['guard', 'attach', '--table', 't', '--kind', 'prefix', '--options', '{'], qr/^error: --options is not a JSON object\n/],
  ['guard with an option twice', ['guard', 'attach', '--table', 't', '--kind', 'prefix', '--options', '{"key": "a"}', '--set', 'key=b'], qr/^error: "key" is set twice\n/],
  ['guard with an option without a value', ['guard', 'attach', '--table', 't', '--kind', 'prefix', '--set', 'key'], qr/^error: "key" is not an option of a guard\n/],
  ['step of no migration', ['guard', 'attach', '--step', '2'], qr/^error: a migration, or a table/],
  ['step zero', ['guard', 'attach', 'x', '--step', '0'], qr/^error: --step: "0" is not the number of a step\n/],
  ['guard to detach, none', ['guard', 'detach'], qr/^error: a migration, or a guard, is required\n/],
  ['guard to detach, two', ['guard', 'detach', 'x', '--guard', '3'], qr/^error: a migration, or a guard, is required\n/],
  ['guard that is no number', ['guard', 'check', '--guard', 'x'], qr/^error: --guard: "x" is not the number of a guard\n/],
  ['events of no kind', ['watch', '--event', 'party'], qr/^error: --event: party not in \{progress,run,/],
  ['an empty command', ['watch', '--exec', ' '], qr/^error: --exec: the command is empty\n/],
  ['no events', ['watch', '--count', '0'], qr/^error: --count: "0" is not a number of events, 1 or more\n/],
  ['an unknown mode', ['ddl-watch', 'perhaps'], qr/^error: mode: perhaps not in \{off,warn,on\}\n/],
  ['force without execute', ['purge', '--force'], qr/^error: --force requires --execute\n/],
  ['review id that is no number', ['review', 'resolve', 'x', '1'], qr/^error: "x" is not the id of a review\n/],
  ['review id that is too long', ['review', 'dismiss', '9' x 30], qr/is not the id of a review/],
);
for my $case (@usage) {
  my ($name, $arguments, $error) = @$case;
  my $call = client_fails($name, $arguments, 3, $error);
  like($call->{err}, qr/^HINT: /m, "$name: a hint");
}

client_fails('manifest that is not there', ['register-backup', 'x', '--location', '/b', '--taken-at', 'now', '--manifest', '/nonexistent/m.json'], 3, qr/^error: could not open "\/nonexistent\/m\.json": No such file or directory\n/);

# hostile arguments come back escaped
my $hostile = client_fails('terminal escapes in an argument', ["\e]0;owned\a"], 3, qr/^error: "\\x1B\]0;owned\\x07" is not a command/);
unlike($hostile->{err}, qr/[\e\a]/, 'no raw control character');

client_fails('no server', ['status'], 2, qr/^error: connection to server on socket "\/nonexistent\/.*failed/);
client_fails('no server, host given', ['status', '-h', '/nowhere'], 2, qr/socket "\/nowhere\//);
client_fails('no server, global option first', ['-h', '/nowhere', 'status'], 2, qr/socket "\/nowhere\//);
client_fails('impossible port', ['status', '-p', 'abc'], 2, qr/^error: invalid integer value "abc" for connection option "port"/);
client_fails('unknown keyword in conninfo', ['status', '-d', 'hots=x'], 2, qr/^error: invalid connection option "hots"/);
client_fails('bad URI', ['status', '-d', 'postgresql://[::1/x'], 2, qr/^error: /);
client_fails('unknown service', ['status', '-d', 'service=nope'], 2, qr/^error: definition of service "nope" not found/);

# standard output that takes nothing is a failure, not silence
if (-w '/dev/full') {
  my $spec = write_text(folder() . '/spec.json', '{"migration": "m", "tenants": {"table": "t"}, "steps": [{"backfill": {"table": "c", "column": "t_id", "sources": [{"via": "a.b"}]}}]}');
  my $err = qx(tenantmig validate --offline $spec 2>&1 >/dev/full);
  is($? >> 8, 1, 'disk full: status 1');
  like($err, qr/^error: could not write the output\nDETAIL: No space left on device/, 'disk full: error');
  $err = qx(exec 2>&1 >&-; tenantmig validate --offline $spec);
  is($? >> 8, 1, 'standard output closed: status 1');
}

done_testing();

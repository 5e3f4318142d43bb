# purge and ddl-watch: what they print, and that nothing goes without --execute.
use strict;
use warnings FATAL => 'all';
use FindBin;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

my $scenario = "$FindBin::Bin/../scenarios/customers";
my $name = 'customers-company-id';
my $node = new_server('client');
use_server($node);
$node->safe_psql('postgres', read_text("$scenario/$_.sql")) for qw(schema data);
run_sql($node, q(CREATE ROLE viewer LOGIN; SELECT tenantmig.grant_access('viewer', 'viewer'); CREATE ROLE operator LOGIN; SELECT tenantmig.grant_access('operator', 'operator')));
sub rows { return decode_json($_[0]->{out}); }
sub kinds { my ($call) = @_; return { map { ($_->{kind} => $_->{outcome}) } @{ rows($call) } }; }
my $log = 'SELECT count(*) FROM tenantmig.changes';

client_ok('purge of nothing', ['purge'], 0, qr/\A kind \| migration \| row_count .*\n.*\n\(0 rows\)\n\z/, qr/\Anothing was deleted; --execute does it\n\z/);
client_ok('run', ['run', "$scenario/spec.yaml", '--single-transaction', '--quiet'], 5);
client_ok('purge of what is young', ['purge', '--quiet'], 0, qr/^ change_log +\| $name +\| +27 \| .* kept +\| /m, qr/\A\z/);
client_ok('purge of what an undo needs', ['purge', '--older-than', '0 s', '--execute'], 0, qr/^ change_log .* kept +\| run 1 has 4 open reviews/m, qr/\A\z/);
is(run_sql($node, $log), '27', 'purge: it is kept');
client_ok('rollback', ['rollback', "latest:$name"], 0);
is_deeply(kinds(client_ok('purge, dry', ['purge', '--older-than', '0 s', '--kinds', 'change_log,reviews', '--json'], 0)), { change_log => 'would go', reviews => 'would go' }, 'purge, dry: what would go');
cmp_ok(run_sql($node, $log), '>', 0, 'purge, dry: nothing is deleted');
is_deeply(kinds(client_ok('purge of one kind', ['purge', '--older-than', '0 s', '--kinds', 'change_log', '--kinds', 'observations', '--execute', '--json'], 0)), { change_log => 'deleted' }, 'purge of some kinds: only these');
is(run_sql($node, $log), '0', 'purge: it is gone');
client_ok('purge --force', ['purge', '--older-than', '0 s', '--execute', '--force', '--format', 'csv'], 0, qr/\Akind,migration,row_count,oldest,newest,outcome,reason\r\n/);
client_fails('purge of no kind', ['purge', '--kinds', 'nope'], 1, qr/\Aerror: "nope" is not a kind of what can be purged\nHINT: .*\nSQLSTATE: 22023\n\z/);
client_fails('purge: a kind with a comma in quotes is none', ['purge', '--kinds', '{runs}'], 1, qr/\Aerror: "\{runs\}" is not a kind/);
client_fails('purge: no time', ['purge', '--older-than', 'long'], 1, qr/\Aerror: invalid input syntax for type interval: "long"\nSQLSTATE: 22007\n\z/);
client_fails('purge: a time in the future', ['purge', '--older-than=-1 day'], 1, qr/^SQLSTATE: 22023$/m);
client_fails('purge without the right', ['purge', '-U', 'viewer'], 1, qr/^SQLSTATE: 42501$/m);

client_ok('ddl-watch', ['ddl-watch'], 0, qr/\A ddl_watch\n-+\n warn\n/);
for my $mode (qw(off on warn)) {
  client_ok("ddl-watch $mode", ['ddl-watch', $mode], 0, qr/^ $mode$/m);
  client_ok("ddl-watch $mode: it stays", ['ddl-watch', '--json'], 0, qr/"ddl_watch": "$mode"/);
}
client_fails('ddl-watch without the right', ['ddl-watch', 'off', '-U', 'operator'], 1, qr/^SQLSTATE: 42501$/m);
client_ok('ddl-watch only told', ['ddl-watch', '-U', 'operator'], 0, qr/^ warn$/m);

$node->stop('fast');
client_fails("$_, no server", [$_], 2, qr/^error: connection to server on socket /) for qw(purge ddl-watch);
done_testing();

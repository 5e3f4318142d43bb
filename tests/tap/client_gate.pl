# gate, approve, register-backup, enforce, relax, prove, proofs: what they print in each format, and their exit statuses.
use strict;
use warnings FATAL => 'all';
use FindBin;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

my $scenario = "$FindBin::Bin/../scenarios/customers";
my $name = 'customers-company-id';
my $folder = folder();
my $node = new_server('client');
use_server($node);
$node->safe_psql('postgres', read_text("$scenario/$_.sql")) for qw(schema data);
sub rows { return decode_json($_[0]->{out}); }
sub check_of { my ($call, $check) = @_; return (grep { $_->{check_name} eq $check } @{ rows($call) })[0]; }
my $not_null = q(SELECT attnotnull FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = 'company_id');
my $foreign_keys = q(SELECT count(*) FROM pg_constraint WHERE conrelid = 'customers'::regclass AND contype = 'f' AND confrelid = 'companies'::regclass);

my $constraint = '{table: customers, column: company_id, not_null: true, references: companies.id, on_delete: restrict, gate: {open_reviews: 0, approvals: 2, backup_within: 24 hours}}';
my $spec = write_text("$folder/spec.yaml", read_text("$scenario/spec.yaml") . "  - constraint: $constraint\n");
client_ok('run', ['run', $spec, '--quiet'], 5);
my $plain = write_text("$folder/plain.yaml", read_text("$scenario/spec.yaml") =~ s/migration: .*/migration: plain/r);
client_ok('plan of one without constraints', ['plan', $plain], 0);
my $bare_keys = run_sql($node, $foreign_keys);

# --- gate -------------------------------------------------------------------------------------------------------------------
my $closed = client_ok('gate: closed', ['gate', $name], 5, qr/\A check_name +\| status \| expected +\| actual +\| detail +\| hint\n(?:.*\n)* nulls_living +\| FAIL +\| 0 +\| 4 /, qr/\A\z/);
my $checks = client_ok('gate: closed, JSON', ['gate', $name, '--json'], 5);
is(check_of($checks, $_)->{status}, 'FAIL', "gate: $_ fails") for qw(nulls_living open_reviews approvals backup);
is(check_of($checks, 'orphans')->{status}, 'PASS', 'gate: orphans pass');
client_ok('gate: closed, CSV', ['gate', $name, '--format', 'csv'], 5, qr/^approvals,FAIL,>= 2,0,/m);
client_fails('gate of no migration', ['gate', 'nope'], 1, qr/\Aerror: migration "nope" does not exist\nHINT: .*\nSQLSTATE: 42704\n\z/);
client_fails('gate without a constraint', ['gate', 'plain'], 1, qr/\Aerror: migration "plain" has no constraint step\n(?:.*\n)*SQLSTATE: 55000\n\z/);

# --- approve, register-backup --------------------------------------------------------------------------------------------------------
run_sql($node, q(CREATE ROLE carol LOGIN; SELECT tenantmig.grant_access('carol', 'operator'); CREATE ROLE viewer LOGIN; SELECT tenantmig.grant_access('viewer', 'viewer')));
client_ok('approve', ['approve', $name, '--note', "looked at it; 'fine'"], 0, qr/\A approved_by \| session_role \| approved_at +\| counts \| note .*\n.*\n postgres +\| postgres +\| [\d-]+ [\d:]+\S* +\| t +\| looked at it; 'fine' \| /);
is(check_of(client('gate', $name, '--json'), 'approvals')->{actual}, 1, 'approve: the gate counts it');
client_ok('approve again by the same', ['approve', $name, '--json'], 0);
is(check_of(client('gate', $name, '--json'), 'approvals')->{actual}, 1, 'approve: one person is one');
client_ok('approve by another', ['approve', $name, '-U', 'carol', '--format', 'csv'], 0, qr/^carol,carol,/m);
is(check_of(client('gate', $name, '--json'), 'approvals')->{status}, 'PASS', 'approve: two are two');
client_ok('approve --revoke', ['approve', $name, '-U', 'carol', '--revoke'], 0, qr/^ carol .*\| f +\|.*\| carol$/m);
is(check_of(client('gate', $name, '--json'), 'approvals')->{status}, 'FAIL', 'revoke: the gate no longer counts it');
client_fails('approve --revoke again', ['approve', $name, '-U', 'carol', '--revoke'], 1, qr/\Aerror: there is no approval of "carol" to revoke\n(?:.*\n)*SQLSTATE: 42704\n\z/);
client_ok('approve once more', ['approve', $name, '-U', 'carol'], 0);
client_fails('approve of no migration', ['approve', 'nope'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('approve without the right', ['approve', $name, '-U', 'viewer'], 1, qr/^error: permission denied for function approve\nHINT: .*grant_access.*\nSQLSTATE: 42501$/m);

my $manifest = write_text("$folder/manifest.json", '{"files": 12, "end_lsn": "0/3000028"}');
client_ok('register-backup', ['register-backup', $name, '--location', '/backup/base.1', '--taken-at', '2020-01-01 03:00+00', '--manifest', $manifest], 0, qr/\A backup_id\n-+\n +1\n/);
is(run_sql($node, q(SELECT location || ' ' || (manifest ->> 'files') FROM tenantmig.backups)), '/backup/base.1 12', 'register-backup: as it was given');
is(check_of(client('gate', $name, '--json'), 'backup')->{status}, 'FAIL', 'register-backup: the gate says when one is too old');
client_ok('register-backup, now', ['register-backup', $name, '--location', "-", '--taken-at', 'now', '--json'], 0, qr/"backup_id": 2/);
is(check_of(client('gate', $name, '--json'), 'backup')->{status}, 'PASS', 'register-backup: the gate counts it');
client_fails('register-backup of tomorrow', ['register-backup', $name, '--location', '/b', '--taken-at', 'tomorrow'], 1, qr/^SQLSTATE: 22023$/m);
client_fails('register-backup: no time', ['register-backup', $name, '--location', '/b', '--taken-at', 'whenever'], 1, qr/\Aerror: invalid input syntax for type timestamp with time zone: "whenever"\nSQLSTATE: 22007\n\z/);
client_fails('register-backup: no place', ['register-backup', $name, '--location', '', '--taken-at', 'now'], 1, qr/^SQLSTATE: 22023$/m);
client_fails('register-backup: a manifest that is no JSON', ['register-backup', $name, '--location', '/b', '--taken-at', 'now', '--manifest', write_text("$folder/broken.json", '{"files":')], 3,
  qr/\Aerror: invalid input syntax for type json\n(?:.*\n)*LOCATION: ".*broken\.json"\nSQLSTATE: 22P02\n\z/);
client_fails('register-backup: a manifest that is binary', ['register-backup', $name, '--location', '/b', '--taken-at', 'now', '--manifest', write_text("$folder/binary.json", "{\x00}")], 3, qr/^error: the file is binary, not text$/m);

# --- enforce: closed, open, proofs ---------------------------------------------------------------------------------------------------
client_fails('enforce: the gate is closed', ['enforce', $name], 5, qr/\Aerror: gate of migration "$name" is closed\nDETAIL: nulls_living: expected 0, found 4 .*\nHINT: .*\nSQLSTATE: TM013\n\z/s);
client_fails('enforce of no migration', ['enforce', 'nope'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('enforce without the right', ['enforce', $name, '-U', 'viewer'], 1, qr/^SQLSTATE: 42501$/m);
client_fails('enforce without a constraint', ['enforce', 'plain'], 1, qr/^SQLSTATE: 55000$/m);
client_fails('relax of nothing', ['relax', $name], 1, qr/\Aerror: nothing is enforced for migration "$name"\n(?:.*\n)*SQLSTATE: 55000\n\z/);
client_fails('prove of nothing', ['prove', $name], 1, qr/\Aerror: nothing is enforced for migration "$name"\n(?:.*\n)*SQLSTATE: 55000\n\z/);
client_ok('proofs of nothing', ['proofs', $name], 0, qr/\A\z/, qr/\Anothing was proved of "$name" yet\n\z/);
client_fails('proofs of no migration', ['proofs', 'nope'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('metrics into nowhere', ['metrics', '--output', "$folder/none/x.prom"], 1, qr/\Aerror: could not create ".*none\/x\.prom": No such file or directory\n\z/);
is(run_sql($node, $not_null), 'f', 'the gate was closed: nothing is applied');

client_ok("decision $_", ['review', 'resolve', $_, '1', '--quiet'], 0) for map { $_->{id} } @{ rows(client('review', 'list', $name, '--json')) };
client_ok('gate: open', ['gate', $name], 0, qr/^ nulls_living +\| PASS /m);
my $enforced = client_ok('enforce', ['enforce', $name], 0, qr/\A step \| relation +\| column_name \| kind +\| constraint_name +\| state +\| longest_lock\n.*\n +2 \| public\.customers \| company_id +\| not_null +\|.*\| enforced \|.*\n +2 \| .* \| foreign_key \| customers_company_id_fkey +\| enforced \|.*\n\(2 rows\)\n\n1\.\.9\nok 1 - /);
is(scalar(() = $enforced->{out} =~ /^ok \d+ - /mg), 9, 'enforce: each proof is a numbered test');
is(run_sql($node, $not_null), 't', 'enforce: NOT NULL');
is(run_sql($node, $foreign_keys), $bare_keys + 1, 'enforce: the foreign key');
my $again = decode_json(client_ok('enforce again, JSON', ['enforce', $name, '--json'], 0, undef, qr/^notice: all constraints of migration "$name" are enforced already$/m)->{out});
is_deeply([sort keys %$again], [qw(enforcements proofs)], 'enforce, JSON: its sections');
is_deeply([map { $_->{state} } @{ $again->{enforcements} }], [qw(enforced enforced)], 'enforce, JSON: enforcements');
is((grep { $_->{status} eq 'PASS' } @{ $again->{proofs} }), 9, 'enforce, JSON: proofs');
client_ok('enforce, CSV', ['enforce', $name, '--format', 'csv', '--quiet'], 0, qr/\Astep,relation,column_name,kind,constraint_name,state,since,.*\r\n2,public\.customers,company_id,not_null,,enforced,.*\r\n2,[^\r]*\r\n\z/);
client_ok('prove', ['prove', $name], 0, qr/\A1\.\.9\nok 1 - .*\n(?:ok .*\n){8}\z/);
client_ok('proofs', ['proofs', $name, '--format', 'csv'], 0, qr/\Anumber,status,title,.*\r\n1,PASS,/);

# a proof that fails: somebody has taken NOT NULL away behind our back
run_sql($node, 'ALTER TABLE customers ALTER company_id DROP NOT NULL');
my $failed = client_ok('prove: a proof fails', ['prove', $name], 7, qr/^not ok \d+ - .*insert without company_id\n# expected: refused: 23502\n# found: accepted/m);
client_ok('proofs: a proof failed', ['proofs', $name, '--json'], 7, qr/"status": "FAIL"/);
run_sql($node, 'ALTER TABLE customers ALTER company_id SET NOT NULL');
client_ok('prove: they hold again', ['prove', $name, '--quiet'], 0);

client_ok('relax', ['relax', $name], 0, qr/^ +2 \| public\.customers \| company_id +\| not_null +\|.*\| relaxed \|.*\n +2 \| .* \| foreign_key \| .*\| relaxed \|.*\n\(2 rows\)\n\z/m);
is(run_sql($node, $not_null), 'f', 'relax: NULL is allowed again');
is(run_sql($node, $foreign_keys), $bare_keys, 'relax: no foreign key');
client_ok('enforce --no-proofs', ['enforce', $name, '--no-proofs'], 0, qr/enforced .*\n\(2 rows\)\n\z/);
client_ok('enforce --no-proofs, JSON', ['enforce', $name, '--no-proofs', '--json', '--quiet'], 0, qr/"proofs": \[\]/);
client_ok('relax, JSON', ['relax', $name, '--json'], 0, qr/"state": "relaxed"/);

# rows that somebody writes while the gate is open: a lock that is not to be had
my $other = $node->background_psql('postgres');
$other->query_safe('BEGIN; LOCK TABLE customers IN ROW EXCLUSIVE MODE');
{
  local $ENV{PGOPTIONS} = '-c lock_timeout=100ms';
  my $locked = client('enforce', $name);
  is($locked->{status}, 1, 'enforce: a lock that is not to be had: status 1');
  like($locked->{err}, qr/^SQLSTATE: 55P03$/m, 'enforce: a lock that is not to be had') or diag($locked->{err});
}
$other->query_safe('ROLLBACK');
$other->quit;
is(run_sql($node, $foreign_keys), $bare_keys, 'enforce that failed leaves nothing');

$node->stop('fast');
client_fails('no server', [$_, 'x'], 2, qr/^error: connection to server on socket /) for qw(gate approve enforce relax prove proofs);
done_testing();

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
done_testing();

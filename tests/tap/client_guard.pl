# guard attach, detach, check, list: of a migration and by themselves, and their exit statuses.
use strict;
use warnings FATAL => 'all';
use FindBin;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

my $folder = folder();
my $node = new_server('client');
use_server($node);
run_sql($node, <<'SQL');
CREATE TABLE companies (id int PRIMARY KEY);
CREATE TABLE branches (id int PRIMARY KEY, company_id int REFERENCES companies);
CREATE TABLE customers (id int PRIMARY KEY, company_id int REFERENCES companies, branch_id int REFERENCES branches);
CREATE TABLE "Odd scopes" ("scope.id" text PRIMARY KEY, domain text);
INSERT INTO companies VALUES (1), (2);
INSERT INTO branches VALUES (1, 1), (2, 2);
INSERT INTO customers VALUES (1, 1, 1), (2, NULL, 2);
INSERT INTO "Odd scopes" VALUES ('finance.prod', 'finance');
CREATE ROLE viewer LOGIN; SELECT tenantmig.grant_access('viewer', 'viewer');
CREATE ROLE operator LOGIN; SELECT tenantmig.grant_access('operator', 'operator');
SQL
sub rows { return decode_json($_[0]->{out}); }
my $spec = write_text("$folder/m.yaml", "migration: m\ntenants: {table: companies}\nsteps:\n  - backfill: {table: customers, column: company_id, sources: [{via: branch_id}]}\n"
    . "  - guard: {kind: tenant_key, table: customers, column: company_id, mode: reject}\n  - guard: {kind: immutable, table: branches, column: company_id}\n");
client_ok('plan', ['plan', $spec], 0);

# --- of a migration -----------------------------------------------------------------------------------------------------------
client_ok('list of nothing', ['guard', 'list'], 0, qr/\(0 rows\)/);
client_ok('attach one step', ['guard', 'attach', 'm', '--step', '3'], 0, qr/\A step \| relation +\| column_name \| kind .*\n.*\n +3 \| public\.branches \| company_id +\| immutable \|.*\| attached +\| +1\n/);
my $attached = rows(client_ok('attach all', ['guard', 'attach', 'm', '--json'], 0));
is_deeply({ map { ($_->{step} => $_->{outcome}) } @$attached }, { 2 => 'attached', 3 => 'unchanged' }, 'attach all: outcomes');
client_ok('list', ['guard', 'list', 'm', '--format', 'csv'], 0, qr/\Aid,migration,relation,column_name,kind,mode,always,enabled,.*\r\n1,m,public\.branches,company_id,immutable,reject,f,t,/);
client_fails('attach of no migration', ['guard', 'attach', 'nope'], 1, qr/\Aerror: migration "nope" does not exist\n(?:.*\n)*SQLSTATE: 42704\n\z/);
client_fails('attach of no step', ['guard', 'attach', 'm', '--step', '1'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('attach without the right', ['guard', 'attach', 'm', '-U', 'operator'], 1, qr/^SQLSTATE: 42501$/m);

my $found = client_ok('check: a row that the guard would refuse', ['guard', 'check', 'm', '--json'], 4);
is((grep { $_->{check_name} eq 'guard_rows tenant_key' } @{ rows($found) })[0]{actual}, '1', 'check: how many');
run_sql($node, 'ALTER TABLE customers DISABLE TRIGGER USER; UPDATE customers SET company_id = 2 WHERE id = 2; ALTER TABLE customers ENABLE TRIGGER USER');
client_ok('check: all comply', ['guard', 'check', 'm'], 0, qr/^ guard_rows tenant_key +\| PASS /m);
run_sql($node, 'SET client_min_messages = error; ALTER TABLE branches DISABLE TRIGGER USER');
client_ok('check: a trigger that is disabled', ['guard', 'check', '--guard', '1'], 4, qr/^ guard_trigger immutable +\| (FAIL|WARN) /m);
run_sql($node, 'ALTER TABLE branches ENABLE TRIGGER USER');
client_fails('check of no migration', ['guard', 'check', 'nope'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('check of no guard', ['guard', 'check', '--guard', '999'], 1, qr/^SQLSTATE: 42704$/m);

# --- by itself --------------------------------------------------------------------------------------------------------------------
my $alone = rows(client_ok('attach by itself', ['guard', 'attach', '--table', '"Odd scopes"', '--column', '"scope.id"', '--kind', 'prefix', '--set', 'key=domain', '--set', 'separator=.', '--json'], 0))->[0];
is($alone->{outcome}, 'attached', 'attach by itself: outcome') or diag(explain($alone));
client_ok('attach by itself again, options as JSON', ['guard', 'attach', '--table', '"Odd scopes"', '--column', '"scope.id"', '--kind', 'prefix', '--options', '{"key": "domain", "separator": "."}'], 0, qr/ unchanged /);
client_ok('attach by itself, more options', ['guard', 'attach', '--table', '"Odd scopes"', '--column', '"scope.id"', '--kind', 'prefix', '--options', '{"key": "domain"}', '--set', 'separator=1', '--set', 'always=true'], 0, qr/ replaced /);
is(run_sql($node, q(SELECT always FROM tenantmig.guards WHERE migration IS NULL OR relation LIKE '%Odd%')), 't', 'options: true is a truth value, 1 is text');
$alone = rows(client_ok('attach back', ['guard', 'attach', '--table', '"Odd scopes"', '--column', '"scope.id"', '--kind', 'prefix', '--set', 'key=domain', '--set', 'separator=.', '--json'], 0))->[0]; # another number
my ($status, undef, $refused) = $node->psql('postgres', q(INSERT INTO "Odd scopes" VALUES ('logistics.prod', 'finance')));
like($refused, qr/GOVERNANCE VIOLATION: "?scope\.id"? 'logistics\.prod' does not embed domain prefix 'finance'/, 'it guards');
client_ok('metrics count the refusal', ['metrics'], 0, qr/^tenantmig_guard_refusals_total\{database="postgres"\} 1$/m);
client_ok('check of a guard by itself', ['guard', 'check', '--guard', $alone->{guard}], 0, qr/ PASS /);
client_ok('check of all', ['guard', 'check'], 0, qr/guard_rows prefix/);
for my $case (['an unknown option', ['--set', 'colour=red'], 'TM001|22023'], ['a wrong type', ['--options', '{"key": 7}'], 'TM001|22023']) {
  my ($what, $arguments, $state) = @$case;
  client_fails("attach with $what", ['guard', 'attach', '--table', 'branches', '--column', 'company_id', '--kind', 'prefix', @$arguments], 1, qr/^SQLSTATE: (?:$state)$/m);
}
client_fails('attach of an unknown kind', ['guard', 'attach', '--table', 'branches', '--column', 'company_id', '--kind', 'tender'], 1, qr/^SQLSTATE: (?:TM001|22023)$/m);
client_fails('attach to no table', ['guard', 'attach', '--table', 'nope', '--column', 'a', '--kind', 'immutable'], 1, qr/^SQLSTATE: 42P01$/m);
client_fails('attach to no column', ['guard', 'attach', '--table', 'branches', '--column', 'nope', '--kind', 'immutable'], 1, qr/^SQLSTATE: 42703$/m);
client_fails('attach without the right, by itself', ['guard', 'attach', '--table', 'branches', '--column', 'id', '--kind', 'immutable', '-U', 'operator'], 1, qr/^SQLSTATE: 42501$/m);

# --- off again ------------------------------------------------------------------------------------------------------------------------
client_ok('detach by number', ['guard', 'detach', '--guard', $alone->{guard}], 0, qr/ detached /);
client_fails('detach by number again', ['guard', 'detach', '--guard', $alone->{guard}], 1, qr/^SQLSTATE: 42704$/m);
client_ok('detach a step', ['guard', 'detach', 'm', '--step', '2'], 0, qr/ tenant_key .* detached /);
client_fails('detach without the right', ['guard', 'detach', 'm', '-U', 'viewer'], 1, qr/^SQLSTATE: 42501$/m);
client_ok('detach all', ['guard', 'detach', 'm', '--json'], 0, qr/"outcome": "detached"/);
client_ok('list afterwards', ['guard', 'list', '--json'], 0, qr/\A\[\]\n\z/);

$node->stop('fast');
client_fails('no server', ['guard', @$_], 2, qr/^error: connection to server on socket /) for ['list'], ['check'], ['attach', 'm'], ['detach', 'm'];
done_testing();

# Guards survive pg_dump and a restore where every OID is another one, a renamed table included; the extension can't be dropped from under
# them by mistake; logical replication apply passes them unless they were attached with always. Whoever listens hears of guards that come and go.
use strict;
use warnings FATAL => 'all';
use FindBin;
use JSON::PP qw(decode_json);
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use TenantmigTest;

my $folder = folder();
my $source = new_server('source', init => { allows_streaming => 'logical' });
my $tables = <<'SQL';
CREATE SCHEMA "The shop" AUTHORIZATION app_owner;
SET SESSION AUTHORIZATION app_owner;
SET search_path = "The shop";
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE branches (dropped integer, id integer PRIMARY KEY, company_id integer);
CREATE TABLE customers (dropped integer, id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches);
ALTER TABLE branches DROP dropped;
ALTER TABLE customers DROP dropped;
INSERT INTO companies VALUES (1), (2);
INSERT INTO branches VALUES (10, 1), (20, 2);
SQL
my $spec = q{'{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id", "tenant": "company_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "customers", "column": "company_id", "mode": "fill"}}]}'};
run_sql($source, q{CREATE ROLE app_owner LOGIN; SELECT tenantmig.grant_access('app_owner', 'operator');});
run_sql($source, "$tables; SELECT tenantmig.create_migration($spec); SELECT * FROM tenantmig.attach_guard('m')");
is(run_sql($source, 'INSERT INTO "The shop".customers VALUES (1, NULL, 10), (2, NULL, NULL) RETURNING company_id'), "1\n", 'filled at home');
run_sql($source, 'ALTER TABLE "The shop".customers RENAME TO clients');

# --- dump and restore -----------------------------------------------------------------------------------------------------------------------
command_ok([ 'pg_dump', '-h', $source->host, '-p', $source->port, '-Fc', '-f', "$folder/custom.dump", 'postgres' ], 'pg_dump');
my $target = new_server('target', extension => 0);
run_sql($target, "CREATE ROLE junk_$_; CREATE TABLE junk_$_ (id serial PRIMARY KEY, t text)") for 1 .. 5;
run_sql($target, 'CREATE ROLE app_owner LOGIN');
run_sql($target, 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '-h', $target->host, '-p', $target->port, '-d', 'restored', '--exit-on-error', "$folder/custom.dump" ], 'pg_restore');
is(run_sql($target, q{SELECT migration, relation, column_name, kind, mode, enabled FROM tenantmig.guards}, 'restored'), 'm|"The shop".clients|company_id|tenant_key|fill|t', 'the view shows the guard where it is now');
is(run_sql($target, q{SELECT kind, row_key, relation FROM tenantmig.drift}, 'restored'), 'orphan|{"id": 2}|"The shop".customers', 'drift came along');
is(run_sql($target, q{INSERT INTO "The shop".clients VALUES (3, NULL, 20), (4, 1, 20) RETURNING company_id}, 'restored'), "2\n1", 'the restored guard fills, under the new name of its table');
is(run_sql($target, q{SELECT kind, row_key, found, expected FROM tenantmig.drift ORDER BY id DESC LIMIT 1}, 'restored'), 'mismatch|{"id": 4}|1|2', 'and notes');
is(run_sql($target, q{SELECT relation, outcome FROM tenantmig.detach_guard('m')}, 'restored'), '"The shop".clients|detached', 'it can be detached there');
is(run_sql($target, q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'tenantmig_guard%'}, 'restored'), '0', 'nothing is left of it');

# guards of no migration, and of kinds that keep their columns or look at others, come along too; at the end, with the same answers
my $kinds = <<'SQL';
SET SESSION AUTHORIZATION app_owner;
SET search_path = "The shop";
CREATE TABLE scopes (gone integer, id integer PRIMARY KEY, scope_id text, domain text, parent integer REFERENCES scopes, branch_id integer REFERENCES branches, company_id integer);
ALTER TABLE scopes DROP gone;
INSERT INTO scopes VALUES (1, 'old', 'finance', NULL, NULL, 1);
SQL
my $attach = <<'SQL';
SET SESSION AUTHORIZATION app_owner;
SET search_path = "The shop";
SELECT FROM tenantmig.attach_guard('scopes', 'scope_id', 'prefix', '{"key": "domain", "separator": "."}');
SELECT FROM tenantmig.attach_guard('scopes', 'company_id', 'immutable');
SELECT FROM tenantmig.attach_guard('scopes', 'parent', 'acyclic');
SELECT FROM tenantmig.attach_guard('scopes', 'company_id', 'same_tenant', '{"via": "branch_id", "tenant": "company_id"}');
SQL
# What each guard says; nothing of it stays.
my @attempts = (
	[ q{INSERT INTO "The shop".scopes VALUES (2, 'logistics.x', 'finance')}, qr/23514: GOVERNANCE VIOLATION: scope_id 'logistics.x' does not embed domain prefix 'finance'/ ],
	[ q{UPDATE "The shop".scopes SET company_id = 2}, qr/23514: tenant key "company_id" of "scopes" can't be changed/ ],
	[ q{UPDATE "The shop".scopes SET parent = 1}, qr/23514: reference "parent" of "scopes" closes a cycle/ ],
	[ q{INSERT INTO "The shop".scopes VALUES (3, 'finance.x', 'finance', NULL, 10, 2)}, qr/23514: tenant key "company_id" of "scopes" is not that of its parent/ ],
	[ q{INSERT INTO "The shop".scopes VALUES (3, 'finance.x', 'finance', NULL, 10, 1); UPDATE "The shop".branches SET company_id = 2 WHERE id = 10}, qr/23514: tenant key "company_id" of "branches" is not that of its children/ ]);
sub try_all {
	my ($server, $database, $where) = @_;
	for my $attempt (@attempts) {
		my (undef, undef, $said) = $server->psql($database, "\\set VERBOSITY verbose\nBEGIN; $attempt->[0]; COMMIT;");
		like($said, $attempt->[1], "$where: $attempt->[0]");
	}
	is(run_sql($server, q{SELECT count(*) FROM "The shop".scopes}, $database), '1', "$where: nothing came in");
}
run_sql($source, $kinds);
run_sql($source, $attach);
try_all($source, 'postgres', 'at home');
command_ok([ 'pg_dump', '-h', $source->host, '-p', $source->port, '-Fc', '-f', "$folder/kinds.dump", 'postgres' ], 'pg_dump of all kinds');
run_sql($target, 'CREATE DATABASE kinds');
command_ok([ 'pg_restore', '-h', $target->host, '-p', $target->port, '-d', 'kinds', '--exit-on-error', "$folder/kinds.dump" ], 'pg_restore of all kinds, rows that a guard would refuse included');
try_all($target, 'kinds', 'restored');
my $shown = q{SELECT kind, relation, column_name, enabled, parent FROM tenantmig.guards WHERE migration IS NULL ORDER BY id};
is(run_sql($target, $shown, 'kinds'), run_sql($source, $shown), 'the view shows the same, the trigger on the parent too');
is(run_sql($target, q{SELECT string_agg(check_name || ' ' || status || ' ' || actual, ', ' ORDER BY ordinality) FROM tenantmig.check_guards() WITH ORDINALITY WHERE check_name !~ 'tenant_key'}, 'kinds'),
	'guard_trigger prefix PASS enabled, guard_rows prefix FAIL 1, guard_trigger immutable PASS enabled, guard_rows immutable PASS 0, guard_trigger acyclic PASS enabled, guard_rows acyclic PASS 0, '
	. 'guard_trigger same_tenant PASS enabled, guard_rows same_tenant PASS 0', 'rows are held to them there');
is(run_sql($target, $attach =~ s/SELECT FROM/SELECT outcome FROM/gr, 'kinds'), "replaced\nreplaced\nreplaced\nreplaced", 'attached again in the new place');
try_all($target, 'kinds', 'attached again');
is(run_sql($target, q{SELECT count(*) FROM tenantmig.guards g, LATERAL tenantmig.detach_guard(g.id) d WHERE g.migration IS NULL AND d.outcome = 'detached'}, 'kinds'), '4', 'and can be taken off');
run_sql($source, q{SELECT FROM tenantmig.guards g, LATERAL tenantmig.detach_guard(g.id) WHERE g.migration IS NULL});

# --- events ----------------------------------------------------------------------------------------------------------------------------------
# What a session that listens hears of statements that another one has run, without time and number.
my $listener = $target->background_psql('kinds');
$listener->query_safe('LISTEN tenantmig');
sub heard {
	my @payloads = $listener->query_safe('SELECT 1') =~ /^Asynchronous notification "tenantmig" with payload "(.*)" received/mg;
	return join("\n", map { my $event = decode_json($_); join(' ', map { $event->{$_} // '-' } qw(event migration outcome kind relation column)) } @payloads);
}
run_sql($target, $attach, 'kinds');
is(heard(), <<'TEXT' =~ s/\n\z//r, 'each guard that is attached is announced, without migration');
guard  attached prefix "The shop".scopes scope_id
guard  attached immutable "The shop".scopes company_id
guard  attached acyclic "The shop".scopes parent
guard  attached same_tenant "The shop".scopes company_id
TEXT
run_sql($target, "$attach; $attach", 'kinds');
is(heard(), '', 'one that stands as it was asked for is not');
run_sql($target, "BEGIN; SELECT FROM tenantmig.guards g, LATERAL tenantmig.detach_guard(g.id) WHERE g.migration IS NULL; ROLLBACK", 'kinds');
is(heard(), '', 'nor what was rolled back');
run_sql($target, q{SELECT FROM tenantmig.detach_guard('m')}, 'kinds');
is(heard(), <<'TEXT' =~ s/\n\z//r, 'one of a migration is, with its name');
guard m detached tenant_key "The shop".clients company_id
TEXT
run_sql($target, 'ALTER TABLE "The shop".scopes DISABLE TRIGGER USER', 'kinds');
like(heard(), qr/\A(drift.*\n?)*\z/, 'of triggers that are disabled only the watch speaks');
run_sql($target, $attach, 'kinds');
like(heard(), qr/^guard  replaced prefix "The shop".scopes scope_id$/m, 'a trigger that is made again is announced');
run_sql($target, q{SELECT FROM tenantmig.guards g, LATERAL tenantmig.detach_guard(g.id) ORDER BY g.id}, 'kinds');
is(heard() =~ s/^guard  detached (\S+) .*$/$1/mgr, "prefix\nimmutable\nacyclic\nsame_tenant", 'each guard that is taken off is announced');
$listener->quit;

# a table that somebody else made under the trigger of a restored guard gets nothing
run_sql($target, 'CREATE DATABASE stolen');
command_ok([ 'pg_restore', '-h', $target->host, '-p', $target->port, '-d', 'stolen', '--exit-on-error', "$folder/custom.dump" ], 'pg_restore again');
run_sql($target, q{GRANT USAGE ON SCHEMA tenantmig TO junk_1; GRANT EXECUTE ON FUNCTION tenantmig.guard_tenant_key() TO junk_1; CREATE SCHEMA mine AUTHORIZATION junk_1;
  SET ROLE junk_1; CREATE TABLE mine.clients (id integer, company_id integer, branch_id integer);
  DO $$ BEGIN EXECUTE format('CREATE TRIGGER t BEFORE INSERT ON mine.clients FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key(%L)', '1'); END $$}, 'stolen');
my ($status, $out, $err) = $target->psql('stolen', 'SET ROLE junk_1; INSERT INTO mine.clients VALUES (1, NULL, 10) RETURNING company_id');
is($out, '', 'a stolen guard fills nothing');
like($err, qr/WARNING:  guard 1 of "clients" does nothing.*attached to a table of app_owner/s, 'and says so: refused');

# --- the extension ------------------------------------------------------------------------------------------------------------------------
($status, $out, $err) = $source->psql('postgres', 'DROP EXTENSION tenantmig');
like($err, qr/ERROR:  cannot drop extension tenantmig because other objects depend on it.*trigger tenantmig_guard_1/s, 'DROP EXTENSION is refused while a guard stands');
is(run_sql($source, q{BEGIN; DROP EXTENSION tenantmig CASCADE; INSERT INTO "The shop".clients VALUES (5, NULL, 10) RETURNING company_id; ROLLBACK}), '', 'with CASCADE the tables go on without guards');

# --- logical replication apply ---------------------------------------------------------------------------------------------------------------
my $subscriber = new_server('subscriber', conf => "wal_retrieve_retry_interval = 100ms\n");
run_sql($subscriber, q{CREATE ROLE app_owner LOGIN; SELECT tenantmig.grant_access('app_owner', 'operator')});
run_sql($subscriber, $tables);
run_sql($subscriber, q{SET SESSION AUTHORIZATION app_owner; SET search_path = "The shop"; ALTER TABLE customers RENAME TO clients; } . "SELECT tenantmig.create_migration(" . ($spec =~ s/"customers"/"clients"/gr) . "); SELECT * FROM tenantmig.attach_guard('m')");
run_sql($source, q{ALTER TABLE "The shop".clients DISABLE TRIGGER USER; CREATE PUBLICATION p FOR TABLE "The shop".clients});
run_sql($subscriber, q{CREATE SUBSCRIPTION s CONNECTION '} . $source->connstr . q{ dbname=postgres' PUBLICATION p WITH (copy_data = false)});
run_sql($source, 'INSERT INTO "The shop".clients VALUES (100, NULL, 10)');
$source->wait_for_catchup('s');
is(run_sql($subscriber, 'SELECT company_id FROM "The shop".clients WHERE id = 100'), '', 'apply passes the guard');
run_sql($subscriber, q{SET SESSION AUTHORIZATION app_owner; SET search_path = "The shop"; SELECT tenantmig.drop_migration('m'); SELECT tenantmig.create_migration(}
  . ($spec =~ s/"customers"/"clients"/gr =~ s/"fill"/"fill", "always": true/r) . q{); SELECT * FROM tenantmig.attach_guard('m')});
run_sql($source, 'INSERT INTO "The shop".clients VALUES (101, NULL, 10)');
$source->wait_for_catchup('s');
is(run_sql($subscriber, 'SELECT company_id FROM "The shop".clients WHERE id = 101'), '1', 'with always it fires under apply too');
# all other kinds likewise: silent, unless attached with always. Then apply stops at the row until the guard is attached without.
my $visits = q{SET SESSION AUTHORIZATION app_owner; CREATE TABLE "The shop".visits (id integer PRIMARY KEY, owner_type text, owner_id integer)};
run_sql($_, $visits) for $source, $subscriber;
run_sql($subscriber, $kinds);
run_sql($subscriber, $attach);
run_sql($source, q{ALTER PUBLICATION p ADD TABLE "The shop".scopes, "The shop".visits, "The shop".branches});
run_sql($subscriber, 'ALTER SUBSCRIPTION s REFRESH PUBLICATION WITH (copy_data = false)');
# kind, table, column, options; what comes in; what shows it; what the guard says
my @applied = (
	[ 'prefix', 'scopes', 'scope_id', '"key": "domain", "separator": "."', q{INSERT INTO scopes VALUES (N, 'wrong', 'finance')}, q{count(*) FROM scopes WHERE id = N}, qr/GOVERNANCE VIOLATION: scope_id 'wrong'/ ],
	[ 'immutable', 'scopes', 'company_id', '', q{UPDATE scopes SET company_id = 1000 + N WHERE id = 1}, q{count(*) FROM scopes WHERE company_id = 1000 + N}, qr/tenant key "company_id" of "scopes" can't be changed/ ],
	[ 'acyclic', 'scopes', 'parent', '', q{INSERT INTO scopes VALUES (N, 'finance.x', 'finance', N)}, q{count(*) FROM scopes WHERE id = N}, qr/reference "parent" of "scopes" closes a cycle/ ],
	[ 'same_tenant', 'scopes', 'company_id', '"via": "branch_id", "tenant": "company_id"', q{INSERT INTO scopes VALUES (N, 'finance.x', 'finance', NULL, 10, 2)}, q{count(*) FROM scopes WHERE id = N},
		qr/tenant key "company_id" of "scopes" is not that of its parent/ ],
	[ 'same_tenant', 'scopes', 'company_id', '"via": "branch_id", "tenant": "company_id"', q{UPDATE branches SET company_id = 1000 + N WHERE id = 10}, q{count(*) FROM branches WHERE company_id = 1000 + N},
		qr/tenant key "company_id" of "branches" is not that of its children/ ],
	[ 'reference', 'visits', '', '"via": "owner_id", "type_column": "owner_type", "types": {"Branch": "branches"}', q{INSERT INTO visits VALUES (N, 'Branch', 99)}, q{count(*) FROM visits WHERE id = N}, qr/reference of "visits" to Branch 99 leads to no row/ ]);
my $id = 50;
for my $case (@applied) {
	my ($kind, $table, $column, $options, $change, $shown, $says) = @$case;
	my $attach_as = sub {
		my $always = shift;
		run_sql($subscriber, q{SET SESSION AUTHORIZATION app_owner; SET search_path = "The shop"; SELECT FROM tenantmig.attach_guard('} . "$table', nullif('$column', ''), '$kind', '{" . join(', ', grep { $_ ne '' } $options, qq("always": $always)) . "}')");
	};
	my $write = sub { run_sql($source, q{SET search_path = "The shop"; } . $change =~ s/\bN\b/$id/gr) };
	my $there = sub { run_sql($subscriber, q{SET search_path = "The shop"; SELECT } . $shown =~ s/\bN\b/$id/gr) };
	$attach_as->('false');
	$id++;
	$write->();
	$source->wait_for_catchup('s');
	is($there->(), '1', "$kind: apply passes: $change");
	$attach_as->('true');
	$id++;
	my $before = -s $subscriber->logfile;
	$write->();
	$subscriber->wait_for_log($says, $before);
	is($there->(), '0', "$kind: with always it refuses under apply, which stops there");
	$attach_as->('false');
	$source->wait_for_catchup('s');
	is($there->(), '1', "$kind: without always apply goes on");
}
run_sql($subscriber, q{ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE)});
run_sql($subscriber, 'DROP SUBSCRIPTION s');
done_testing();

# Guards survive pg_dump and a restore where every OID is another one, a renamed table included; the extension can't be dropped from under
# them by mistake; logical replication apply passes them unless they were attached with always.
use strict;
use warnings FATAL => 'all';
use FindBin;
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
my $subscriber = new_server('subscriber');
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
run_sql($subscriber, 'DROP SUBSCRIPTION s');
done_testing();

# The watch on ALTER TABLE never stands in the way: of pg_dump and restore, pg_restore --clean, ALTER EXTENSION UPDATE, DROP EXTENSION, a missing
# library, a broken catalogue of ours; with constraints enforced and guards attached, in mode on.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use Cwd qw(abs_path);
use PostgreSQL::Test::Utils;
use Test::More;
use TenantmigTest;

my $folder = abs_path(folder());
# The installation once more, so that a newer version can be put into it.
my $dest = "$folder/dest";
system('cp', '-a', $ENV{TENANTMIG_DESTDIR}, $dest) == 0 or die 'could not copy the installation';
local $ENV{TENANTMIG_DESTDIR} = $dest;
my $node = new_server('watch', extension => 0);

sub sql { my ($sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql); }
sub fails {
  my ($name, $sql, $error, $database, @more) = @_;
  my ($status, $out, $err) = $node->psql($database // 'postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [@more]);
  return like($err, $error, $name);
}
sub run_tool { my (@command) = @_; my ($out, $err) = ('', ''); my $good = IPC::Run::run([ @command ], '>', \$out, '2>', \$err); return ($good, $err); }

my $schema = <<'SQL';
CREATE EXTENSION tenantmig;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
CREATE TABLE customers (id integer PRIMARY KEY, branch_id integer REFERENCES branches, company_id integer);
INSERT INTO companies SELECT generate_series(1, 3);
INSERT INTO branches SELECT n, n FROM generate_series(1, 3) n;
INSERT INTO customers SELECT n, n % 3 + 1 FROM generate_series(1, 30) n;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "customers", "column": "company_id", "mode": "reject"}},
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id"}}]}');
SELECT count(*) FROM tenantmig.backfill('m');
SELECT count(*) FROM tenantmig.attach_guard('m');
SQL
sql('CREATE ROLE app LOGIN');
sql('CREATE DATABASE app OWNER app');
sql($schema, 'app');
sql("CALL tenantmig.enforce('m')", 'app');
is(sql('SELECT tenantmig.ddl_watch()', 'app'), 'warn', 'after CREATE EXTENSION it warns');
is(sql("SELECT tenantmig.ddl_watch('on')", 'app'), 'on', 'on');

my $key = sql("SELECT conname FROM pg_constraint WHERE conrelid = 'customers'::regclass AND contype = 'f' AND confrelid = 'companies'::regclass", 'app');
my $loosen = qq{ALTER TABLE customers DROP CONSTRAINT "$key"};
my $refused = qr/ERROR:  TM015: constraint "$key" of public\.customers is enforced by migration "m".*CALL tenantmig\.relax\('m'\)/s;
fails('refused', $loosen, $refused, 'app');

# --- pg_dump and restore --------------------------------------------------------------------------------------------------------------------
my $dump = "$folder/app.dump";
ok((run_tool('pg_dump', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-Fc', '-f', $dump, 'app'))[0], 'pg_dump');
my @restore = ('pg_restore', '-h', $node->host, '-p', $node->port);
sql('CREATE DATABASE fresh');
my ($good, $err) = run_tool(@restore, '-U', 'postgres', '-d', 'fresh', '--exit-on-error', $dump);
ok($good, 'restored into a fresh database') or diag($err);
is(sql('SELECT tenantmig.ddl_watch()', 'fresh'), 'on', 'the mode is as it was');
fails('refused there too', $loosen, $refused, 'fresh');
is(sql("SELECT count(*) FROM tenantmig.observe('m') WHERE check_name = 'catalogue' AND status = 'FAIL'", 'fresh'), '0', 'what was enforced is found by name there');

# over what is there, as the superuser: no error, nothing ignored
($good, $err) = run_tool(@restore, '-U', 'postgres', '-d', 'fresh', '--clean', '--if-exists', '--exit-on-error', $dump);
ok($good, 'pg_restore --clean --if-exists') or diag($err);
is(sql('SELECT tenantmig.ddl_watch()', 'fresh'), 'on', 'the mode is as it was');
is(sql('SELECT count(*) FROM customers', 'fresh'), '30', 'the rows are there');
($good, $err) = run_tool(@restore, '-U', 'postgres', '-d', 'fresh', '--clean', '--exit-on-error', $dump);
ok($good, 'pg_restore --clean') or diag($err);
# as a script, which does not say who it is: the event trigger is what it drops first
my $script = "$folder/app.sql";
ok((run_tool('pg_dump', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '--clean', '--if-exists', '-f', $script, 'app'))[0], 'pg_dump --clean as a script');
($good, $err) = run_tool('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-d', 'fresh', '-f', $script);
ok($good, 'psql runs it') or diag($err);
is(sql('SELECT tenantmig.ddl_watch()', 'fresh'), 'on', 'the mode is as it was');

# as who may not make event triggers: the tables alone, over what is there
sql('CREATE DATABASE theirs OWNER app');
my $tables = "$folder/tables.dump";
sql(<<'SQL', 'theirs');
CREATE EXTENSION tenantmig;
GRANT CREATE ON SCHEMA public TO app;
SELECT tenantmig.grant_access('app', 'operator');
SET SESSION AUTHORIZATION app;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
INSERT INTO companies VALUES (1);
INSERT INTO customers VALUES (1, 1);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id"}}]}');
CALL tenantmig.enforce('m');
SQL
is(sql("SELECT tenantmig.ddl_watch('on')", 'theirs'), 'on', 'on');
ok((run_tool('pg_dump', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-Fc', '-t', 'public.c*', '-f', $tables, 'theirs'))[0], 'pg_dump of the tables');
($good, $err) = run_tool(@restore, '-U', 'app', '-d', 'theirs', '--clean', '--if-exists', '--exit-on-error', $tables);
ok($good, 'pg_restore --clean as the owner of the tables, who is no superuser') or diag($err);
is(sql('SELECT count(*) > 0 FROM tenantmig.drift', 'theirs'), 't', 'and it is on record');
sql('CREATE DATABASE empty OWNER app');
sql('CREATE EXTENSION tenantmig', 'empty');
($good, $err) = run_tool(@restore, '-U', 'app', '-d', 'empty', '--exit-on-error', $tables);
ok($good, 'restored into an empty database by who is no superuser') or diag($err);

# --- other statements ---------------------------------------------------------------------------------------------------------------------------
fails('off is for superusers', "SELECT tenantmig.ddl_watch('off')", qr/ERROR:  42501: permission denied to set the watch on ALTER TABLE/, 'theirs', '-U', 'app');
sql("CALL tenantmig.relax('m')", 'fresh');
is(sql("SELECT count(*) FROM pg_constraint WHERE conname = '$key' AND conrelid = 'customers'::regclass", 'fresh'), '0', 'relax passes');
sql("SELECT count(*) FROM tenantmig.detach_guard('m')", 'fresh');
sql('BEGIN; CREATE SCHEMA s; CREATE TABLE s.t (a integer NOT NULL); ALTER TABLE s.t ALTER a DROP NOT NULL; DROP SCHEMA s CASCADE; DROP TABLE customers; DROP OWNED BY app; ROLLBACK', 'app');
pass('DROP TABLE, DROP SCHEMA and DROP OWNED pass');

# a broken catalogue of ours: a warning, and the statement goes on
my (undef, undef, $warned) = $node->psql('app', "BEGIN; UPDATE tenantmig.migration SET spec = '[]'; $loosen; ROLLBACK");
like($warned, qr/WARNING:  tenantmig could not look at this statement\nDETAIL:  .+\nHINT:  It goes on/, 'a broken catalogue is no obstacle');
unlike($warned, qr/ERROR/, 'no error');
# nothing that a session can set lets it pass
fails('no setting pretends to be us', "SET application_name = 'tenantmig'; SET session_replication_role = origin; $loosen", $refused, 'app');

# --- ALTER EXTENSION UPDATE ------------------------------------------------------------------------------------------------------------------------
my ($control) = glob("$dest/usr/share/postgresql/*/extension/tenantmig.control");
my ($share) = $control =~ m{^(.*)/};
my ($version) = read_text($control) =~ /default_version = '([^']+)'/;
write_text("$share/tenantmig--$version--99.0.sql", <<'SQL');
ALTER TABLE tenantmig.drift_log ADD COLUMN of_the_update integer;
ALTER TABLE tenantmig.drift_log DROP COLUMN of_the_update;
ALTER TABLE public.customers ALTER COLUMN company_id DROP NOT NULL;
ALTER TABLE public.customers ALTER COLUMN company_id SET NOT NULL;
CREATE OR REPLACE FUNCTION tenantmig.ddl_refuse() RETURNS event_trigger LANGUAGE C AS '$libdir/tenantmig', 'tenantmig_ddl_refuse';
SQL
is(sql("ALTER EXTENSION tenantmig UPDATE TO '99.0'; SELECT extversion FROM pg_extension WHERE extname = 'tenantmig'", 'app'), '99.0', 'ALTER EXTENSION UPDATE');
fails('refused after it', $loosen, $refused, 'app');

# --- the library is missing ------------------------------------------------------------------------------------------------------------------------
my ($library) = glob("$dest/usr/lib/postgresql/*/lib/tenantmig.so");
rename($library, "$library.away") or die "could not rename $library: $!";
fails('without the library ALTER TABLE fails', 'CREATE TABLE other (a integer); ALTER TABLE other ADD b integer', qr/ERROR:  58P01: could not access file/, 'app');
sql('DROP TABLE IF EXISTS other; CREATE TABLE other (a integer); DROP TABLE other', 'app');
pass('CREATE TABLE and DROP TABLE do not');
sql('ALTER EVENT TRIGGER tenantmig_ddl_on DISABLE; ALTER EVENT TRIGGER tenantmig_ddl_warn DISABLE', 'app');
sql('ALTER TABLE customers ADD note text; ALTER TABLE customers DROP note', 'app');
pass('the way out: ALTER EVENT TRIGGER … DISABLE');
rename("$library.away", $library) or die "could not rename it back: $!";
sql('ALTER EVENT TRIGGER tenantmig_ddl_on ENABLE; ALTER EVENT TRIGGER tenantmig_ddl_warn ENABLE', 'app');
is(sql('SELECT tenantmig.ddl_watch()', 'app'), 'on', 'and back');

# --- DROP EXTENSION -----------------------------------------------------------------------------------------------------------------------------------
# Guards are triggers of the user's tables: they need CASCADE, as any trigger does. The event trigger needs nothing.
fails('guards are named', 'DROP EXTENSION tenantmig', qr/ERROR:  2BP01: .*\nDETAIL:  trigger tenantmig_guard_1 on table customers depends on function/, 'app');
sql('BEGIN; SET client_min_messages = error; DROP EXTENSION tenantmig CASCADE; ROLLBACK', 'app');
sql("SELECT count(*) FROM tenantmig.detach_guard('m')", 'app');
sql('DROP EXTENSION tenantmig', 'app');
is(sql('SELECT count(*) FROM pg_event_trigger', 'app'), '0', 'DROP EXTENSION takes the event triggers along');
is(sql('SELECT count(*) FROM pg_depend d WHERE d.classid = \'pg_event_trigger\'::regclass', 'app'), '0', 'and leaves nothing');
# after a restore, where the dependency is not known yet
sql('DROP EXTENSION tenantmig', 'fresh');
is(sql('SELECT count(*) FROM pg_event_trigger', 'fresh'), '0', 'after a restore too');

done_testing();

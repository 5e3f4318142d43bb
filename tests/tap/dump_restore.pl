# All state survives pg_dump and a restore into a server where every OID is another one: the log verifies, the digest is the same, decisions
# go on, numbers don't collide, and the run can be undone there.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use TenantmigTest;

my $folder = folder();
my $source = new_server('source', extension => 0);

# --- a migration with everything in its tables: assigned, soft-deleted, queued, resolved, dismissed, rolled back, left alone -----------
# The owner's role comes first, so that in the other server its OID is that of somebody else.
$source->safe_psql('postgres', <<'SQL');
CREATE ROLE app_owner LOGIN;
CREATE ROLE app_reviewer LOGIN;
CREATE EXTENSION tenantmig;
SELECT tenantmig.grant_access('app_owner', 'operator');
SELECT tenantmig.grant_access('app_reviewer', 'reviewer');
CREATE SCHEMA "The shop" AUTHORIZATION app_owner;
SET SESSION AUTHORIZATION app_owner;
SET search_path = "The shop";
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (region text, "No" integer, company_id integer REFERENCES companies, deleted_at timestamptz, PRIMARY KEY (region, "No"));
CREATE TABLE "Appointments" (region text, customer integer, company_id integer REFERENCES companies, FOREIGN KEY (region, customer) REFERENCES customers);
GRANT USAGE ON SCHEMA "The shop" TO app_reviewer;
GRANT SELECT, UPDATE (company_id) ON customers TO app_reviewer;
INSERT INTO companies SELECT generate_series(1, 5);
INSERT INTO customers SELECT CASE WHEN n % 2 = 0 THEN 'north' ELSE 'south, "far"' END, n FROM generate_series(1, 3000) n;
INSERT INTO "Appointments" SELECT CASE WHEN n % 2 = 0 THEN 'north' ELSE 'south, "far"' END, n, n % 5 + 1 FROM generate_series(1, 2990) n;
INSERT INTO "Appointments" SELECT 'north', n, n % 5 + 1 FROM generate_series(1001, 1012) n WHERE n % 2 = 0;
INSERT INTO "Appointments" SELECT 'north', n, (n + 1) % 5 + 1 FROM generate_series(1001, 1012) n WHERE n % 2 = 0;
CREATE TABLE before AS SELECT * FROM customers;
SELECT tenantmig.create_migration('{"migration": "of the dump", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "soft_delete": "deleted_at", "on_orphan": "soft_delete", "sources": [{"via": "\"Appointments\".customer"}]}}]}');
SELECT count(*) FROM tenantmig.backfill('of the dump');
UPDATE customers SET company_id = 5 WHERE "No" = 1;
SELECT count(*) FROM tenantmig.rollback(1);
UPDATE customers SET company_id = NULL WHERE "No" = 1;
SELECT count(*) FROM tenantmig.backfill('of the dump');
SQL
$source->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'app_reviewer' ]);
SELECT * FROM tenantmig.resolve((SELECT min(id) FROM tenantmig.review('of the dump')), '3', 'asked them');
SELECT * FROM tenantmig.dismiss((SELECT min(id) FROM tenantmig.review('of the dump')), 'unclear');
SQL

# What must read the same everywhere. Times are shown in UTC.
my %views = (
  changes => q{SELECT * FROM tenantmig.changes ORDER BY run_id, batch, row_key::text COLLATE "C", column_name},
  reviews => q{SELECT * FROM tenantmig.review('of the dump', true)},
  skipped => q{SELECT * FROM tenantmig.undo_skipped},
  runs => q{SELECT id, migration, state, started_at, finished_at, row_total, assigned, conflicts, orphans, started_by, counts FROM tenantmig.runs ORDER BY id},
  batches => q{SELECT * FROM tenantmig.batches ORDER BY run_id, batch},
  digests => q{SELECT tenantmig.digest(id) FROM tenantmig.runs ORDER BY id},
  'verify_changes' => q{SELECT c.* FROM tenantmig.runs r, tenantmig.verify_changes(r.id, tenantmig.digest(r.id)) c ORDER BY r.id},
  verify => q{SELECT * FROM tenantmig.verify('of the dump')},
  'undo_script' => q{SELECT line FROM tenantmig.undo_script(2) line WHERE line !~ '^-- Undoes'},
  report => q{SELECT tenantmig.report(2, 'json')::jsonb},
);

sub as_owner {
  my ($node, $database, $sql) = @_;
  return $node->safe_psql($database, $sql, extra_params => [ '-U', 'app_owner' ]);
}

sub look {
  my ($node, $database) = @_;
  return { map { $_ => as_owner($node, $database, "SET timezone = 'UTC'; $views{$_}") } keys %views };
}

my $here = look($source, 'postgres');
like($here->{changes}, qr/south, \\"far\\"/, 'the log has keys that need quoting');
like($here->{reviews}, qr/resolved.*asked them/, 'a resolved review');
like($here->{reviews}, qr/dismissed.*unclear/, 'a dismissed review');
like($here->{skipped}, qr/value changed since/, 'a row that a rollback left alone');
unlike($here->{verify}, qr/FAIL/, 'verify finds nothing wrong at home');
my $digest = $source->safe_psql('postgres', 'SELECT tenantmig.digest(2)');
my $names = q{SELECT 'role ' || rolname, oid FROM pg_roles WHERE rolname ~ '^app_' UNION ALL SELECT relname::text, oid FROM pg_class WHERE relname IN ('customers', 'companies', 'Appointments', 'change_log') ORDER BY 1};
my %oids = map { split /\|/ } split /\n/, $source->safe_psql('postgres', $names);

command_ok([ 'pg_dumpall', '-h', $source->host, '-p', $source->port, '--globals-only', '--no-role-passwords', '-f', "$folder/roles.sql" ], 'pg_dumpall');
command_ok([ 'pg_dump', '-h', $source->host, '-p', $source->port, '-Fc', '-f', "$folder/custom.dump", 'postgres' ], 'pg_dump, custom format');
command_ok([ 'pg_dump', '-h', $source->host, '-p', $source->port, '-Fp', '-f', "$folder/plain.sql", 'postgres' ], 'pg_dump, plain format');

# --- another server, where every OID is taken by something else -------------------------------------------------------------------------
my $target = new_server('target', extension => 0);
$target->safe_psql('postgres', "CREATE ROLE junk_$_") for 1 .. 4;
$target->safe_psql('postgres', "CREATE TABLE junk_$_ (id serial PRIMARY KEY, t text)") for 1 .. 12;
my ($roles) = grep { !/CREATE ROLE postgres|ALTER ROLE postgres/ } join '', grep { !/ROLE postgres\b/ } split /(?<=\n)/, read_text("$folder/roles.sql");
$target->safe_psql('postgres', $roles);
$target->safe_psql('postgres', 'CREATE DATABASE custom');
$target->safe_psql('postgres', 'CREATE DATABASE plain');
command_ok([ 'pg_restore', '-h', $target->host, '-p', $target->port, '-d', 'custom', '--exit-on-error', "$folder/custom.dump" ], 'pg_restore');
command_ok([ 'psql', '-X', '-q', '-h', $target->host, '-p', $target->port, '-d', 'plain', '-v', 'ON_ERROR_STOP=1', '-f', "$folder/plain.sql" ], 'restore of the plain dump');
# and a second database of the same server: same system, other OIDs
$source->safe_psql('postgres', 'CREATE DATABASE copy');
command_ok([ 'pg_restore', '-h', $source->host, '-p', $source->port, '-d', 'copy', '--exit-on-error', "$folder/custom.dump" ], 'pg_restore into another database');

for my $place ([ $target, 'custom' ], [ $target, 'plain' ], [ $source, 'copy' ]) {
  my ($node, $database) = @$place;
  my $where = $node->name . ' ' . $database;
  my %there = map { split /\|/ } split /\n/, $node->safe_psql($database, $names);
  my @same = grep { $there{$_} eq $oids{$_} && ($_ !~ /^role/ || $node != $source) } keys %oids;
  is("@same", '', "$where: no OID is the same");
  is(look($node, $database)->{$_}, $here->{$_}, "$where: $_") for sort keys %views;
  is($node->safe_psql($database, "SELECT string_agg(status, ' ') FROM tenantmig.verify_changes(2, '$digest')"), 'PASS PASS', "$where: the digest from home fits");
}
is($target->safe_psql('custom', q{SELECT r.rolname ~ '^junk' FROM tenantmig.migration m LEFT JOIN pg_roles r ON r.oid = m.owner_oid}), 't',
  "the owner's stored OID is somebody else's here");

# --- work goes on there ----------------------------------------------------------------------------------------------------------------
for my $database ('custom', 'plain') {
  my $review = $target->safe_psql($database, q{SELECT min(id) FROM tenantmig.review('of the dump')});
  is($target->safe_psql($database, "SELECT state, tenant, decided_by FROM tenantmig.resolve($review, '2')", extra_params => [ '-U', 'app_reviewer' ]),
    'resolved|2|app_reviewer', "$database: a decision by a role with rights on columns");
  is(as_owner($target, $database, "SELECT string_agg(status, ' ') FROM tenantmig.verify_changes(2, '$digest')"), 'PASS PASS', "$database: the chain goes on from the restored head");
  as_owner($target, $database, q{INSERT INTO "The shop".customers VALUES ('new', 1), ('new', 2); INSERT INTO "The shop"."Appointments" VALUES ('new', 1, 4), ('new', 2, 1), ('new', 2, 2)});
  is(as_owner($target, $database, q{SELECT string_agg(outcome || ' ' || row_count, ', ' ORDER BY outcome COLLATE "C", row_count) FROM tenantmig.backfill('of the dump') WHERE source ~ 'customer'}),
    'assigned 1, conflict 5', "$database: another run, of the dismissed row, the open ones and the new one");
  is($target->safe_psql($database, 'SELECT max(id) FROM tenantmig.runs'), '3', "$database: run numbers go on");
  is($target->safe_psql($database, q{SELECT count(*) = count(DISTINCT id), max(id) > } . $review . q{ FROM tenantmig.review('of the dump', true)}), 't|t', "$database: review numbers go on");
  unlike(as_owner($target, $database, q{SELECT * FROM tenantmig.verify('of the dump')}), qr/FAIL/, "$database: verify after that run");

  my ($status, $out, $err) = $target->psql($database, 'SELECT * FROM tenantmig.rollback(2)', extra_params => [ '-U', 'junk_1' ]);
  isnt($status, 0, "$database: the role that has the owner's old OID has no right");
  is(as_owner($target, $database, 'SELECT outcome, row_count FROM tenantmig.rollback(3)'), 'restored|1', "$database: rollback of the run made here");
  is(as_owner($target, $database, 'SELECT outcome, row_count FROM tenantmig.rollback(2)'), 'restored|2996', "$database: rollback of the run made at home, and of its decisions");
  is($target->safe_psql($database, q{SELECT count(*) FROM (TABLE "The shop".before EXCEPT TABLE "The shop".customers) d}), '0', "$database: every row is as it was");
  is($target->safe_psql($database, q{SELECT count(*) FROM "The shop".customers WHERE company_id IS NOT NULL OR deleted_at IS NOT NULL}), '0', "$database: nothing is left over");
  is(as_owner($target, $database, "SELECT string_agg(status, ' ') FROM tenantmig.verify_changes(2, '$digest')"), 'PASS PASS', "$database: the chain after the rollback");
  $target->safe_psql($database, q{UPDATE tenantmig.change_log SET new_values[7] = '1' WHERE run_id = 2 AND entry = 1});
  like(as_owner($target, $database, 'SELECT * FROM tenantmig.verify_changes(2)'), qr/FAIL.*first bad entry: 1/, "$database: tampering is noticed here too");
}

# --- a server without the owner's role: only a superuser is left, and is told so ------------------------------------------------------------
my $bare = new_server('bare', extension => 0);
command_ok([ 'pg_restore', '-h', $bare->host, '-p', $bare->port, '-d', 'postgres', '--no-owner', '--no-privileges', "$folder/custom.dump" ], 'restore without owners');
is($bare->safe_psql('postgres', 'SELECT outcome, row_count FROM tenantmig.rollback(2)'), 'restored|2995', 'bare: a superuser can undo');
$bare->safe_psql('postgres', q{CREATE ROLE somebody LOGIN; SELECT tenantmig.grant_access('somebody', 'operator')});
my ($status, $out, $err) = $bare->psql('postgres', q{SELECT * FROM tenantmig.plan('of the dump')}, extra_params => [ '-U', 'somebody' ]);
like($err, qr/must have the privileges of the owner.*app_owner.*no longer exists.*superuser/s, 'bare: others are told why not');

$_->stop('fast') for $source, $target, $bare;
done_testing();

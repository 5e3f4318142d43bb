# After pg_dump and a restore into another database what is enforced is found by name: relax takes it back exactly, a second enforce has nothing to do, and what
# an interrupted attempt has left is still known, and cleaned up. In a cluster of its own all that a gate and monitoring know is there, too, and goes on.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use TenantmigTest;

my $node = new_server('enforce_restore', conf => "autovacuum = off\nmax_worker_processes = 12\nfsync = off\n");
sub sql { my ($sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql); }

my $shape = q{SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM (
  SELECT format('%s %s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')) AS line
    FROM pg_constraint WHERE conrelid::regclass::text ~ '^(plain|parted)'
  UNION ALL SELECT format('%s.%s %s', attrelid::regclass, attname, attnotnull) FROM pg_attribute WHERE attrelid::regclass::text ~ '^(plain|parted)' AND attnum > 0
  UNION ALL SELECT format('%s %s', indexrelid::regclass, indisvalid) FROM pg_index WHERE indrelid::regclass::text ~ '^(plain|parted)') x};

sql(<<'SQL');
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 5);
CREATE TABLE plain (id integer PRIMARY KEY, company_id integer, branch_id integer CONSTRAINT "Old" REFERENCES companies ON DELETE CASCADE);
COMMENT ON CONSTRAINT "Old" ON plain IS 'as it was';
INSERT INTO plain SELECT n, n % 5 + 1, n % 5 + 1 FROM generate_series(1, 50) n;
CREATE TABLE parted (id integer, company_id integer) PARTITION BY RANGE (id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (0) TO (30);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM (30) TO (1000);
ALTER TABLE parted_b ALTER company_id SET NOT NULL;
ALTER TABLE parted_a ADD CONSTRAINT mine FOREIGN KEY (company_id) REFERENCES companies;
INSERT INTO parted SELECT n, n % 5 + 1 FROM generate_series(1, 50) n;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"constraint": {"table": "plain", "column": "company_id", "not_null": true, "references": "companies.id", "composite": true}},
  {"constraint": {"table": "plain", "column": "branch_id", "on_delete": "restrict"}},
  {"constraint": {"table": "parted", "column": "company_id", "not_null": true, "references": "companies.id", "unique": ["company_id", "id"]}}]}');
SQL
my $before = sql($shape);
sql(q{CALL tenantmig.enforce('m')});
my $enforced = sql($shape);

my $file = folder() . '/dump';
sub restored {
  my ($database) = @_;
  $node->command_ok([ 'pg_dump', '-Fc', '-f', $file, '-d', $node->connstr('postgres') ], "$database: dumped");
  $node->command_ok([ 'createdb', '-T', 'template0', $database ], "$database: made");
  $node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($database), $file ], "$database: restored");
  return;
}

restored('second');
# pg_dump does not keep the names of foreign keys that are part of a partitioned table's
(my $dumped = $enforced) =~ s/^parted_a mine /parted_a parted_company_id_fkey /m;
is(sql($shape, 'second'), join("\n", sort split /\n/, $dumped), 'the constraints are there');
my ($status, $out, $err) = $node->psql('second', q{CALL tenantmig.enforce('m')});
like($err, qr/NOTICE:  all constraints of migration "m" are enforced already/, 'a second enforce has nothing to do');
($status, $out, $err) = $node->psql('second', q{SELECT tenantmig.drop_migration('m')});
like($err, qr/ERROR:  constraints of migration "m" are enforced/, 'drop_migration is refused');
sql(q{CALL tenantmig.relax('m')}, 'second');
is(sql($shape, 'second'), $before, 'relax has everything as it was before enforce');
is(sql($shape), $enforced, 'and the first database as it is');

# an attempt that is interrupted when the dump is made: the rows say so
sql(q{CALL tenantmig.relax('m')});
is(sql($shape), $before, 'the first one, too');
my $reader = $node->background_psql('postgres');
my $engine = $node->background_psql('postgres', on_error_stop => 0);
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM companies');
$engine->query_until(qr/begun/, "\\echo begun\nCALL tenantmig.enforce('m');\n\\echo ended\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'tenantmig index build' AND wait_event_type = 'Lock'}), 'an index is being built');
restored('third');
$reader->query_safe('COMMIT');
$engine->query_until(qr/ended/, '');
$reader->quit;
$engine->quit;
is(sql($shape), $enforced, 'the first one is enforced');
is(sql(q{SELECT bool_and(interrupted) FROM tenantmig.enforcements WHERE state = 'intended'}, 'third'), 't', 'in the copy it is interrupted');
sql(q{CALL tenantmig.relax('m')}, 'third');
is(sql($shape, 'third'), $before, 'and cleaned up by name');

# --- all of it, in another cluster ------------------------------------------------------------------------------------------------------------
sql($_) for 'CREATE ROLE app_owner LOGIN', 'CREATE ROLE app_reviewer LOGIN', 'CREATE DATABASE everything';
sql(<<'SQL', 'everything');
CREATE EXTENSION tenantmig;
SELECT tenantmig.grant_access('app_owner', 'operator');
SELECT tenantmig.grant_access('app_reviewer', 'reviewer');
CREATE SCHEMA shop AUTHORIZATION app_owner;
SET SESSION AUTHORIZATION app_owner;
SET search_path = shop;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE branches (gone integer, id integer PRIMARY KEY, company_id integer REFERENCES companies, UNIQUE (id, company_id));
ALTER TABLE branches DROP gone;
CREATE TABLE staff (gone integer, id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches, code text);
ALTER TABLE staff DROP gone;
INSERT INTO branches VALUES (10, 1), (20, 2);
INSERT INTO staff SELECT n, NULL, (n % 2 + 1) * 10, 'c' || n FROM generate_series(1, 40) n;
SELECT tenantmig.create_migration('{"migration": "all", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "staff", "column": "company_id", "sources": [{"via": "branch_id", "tenant": "company_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "staff", "column": "company_id", "mode": "warn"}},
  {"guard": {"kind": "same_tenant", "table": "staff", "column": "company_id", "via": "branch_id", "tenant": "company_id"}},
  {"constraint": {"table": "staff", "column": "company_id", "not_null": true, "references": "companies.id", "unique": ["company_id", "code"],
     "gate": {"open_reviews": 0, "approvals": 2, "backup_within": "24 hours"}}}]}');
SELECT * FROM tenantmig.attach_guard('all');
SELECT FROM tenantmig.attach_guard('staff', 'company_id', 'immutable', '{"always": true}');
SQL
sql(<<'SQL', 'everything');
SELECT * FROM tenantmig.backfill('all');
SELECT tenantmig.register_backup('all', clock_timestamp() - interval '1 hour', 'vault:/"monday"', '{"files": ["a", "ü"]}');
SELECT tenantmig.approve('all', 'first');
SELECT tenantmig.revoke_approval('all');
SELECT tenantmig.approve('all', 'second');
SET SESSION AUTHORIZATION app_reviewer;
SELECT tenantmig.approve('all');
RESET SESSION AUTHORIZATION;
CALL tenantmig.enforce('all');
SELECT FROM tenantmig.observe('all');
SELECT FROM tenantmig.observe('all', true);
SQL
my %kept = (
  approvals => 'SELECT * FROM tenantmig.approvals ORDER BY id',
  backups => 'SELECT * FROM tenantmig.backups ORDER BY id',
  proofs => 'SELECT * FROM tenantmig.proofs ORDER BY series, number',
  enforcements => 'SELECT * FROM tenantmig.enforcements ORDER BY id',
  observations => 'SELECT * FROM tenantmig.observations ORDER BY id',
  baseline => 'SELECT * FROM tenantmig.baseline',
  guards => 'SELECT * FROM tenantmig.guards ORDER BY id',
  steps => 'SELECT * FROM tenantmig.steps ORDER BY step',
  gate => q{SELECT check_name, status, expected, regexp_replace(actual, '^\d\d:\d\d:\d\d(\.\d+)?$', 'TIME') FROM tenantmig.gate('all')},
  check_guards => 'SELECT * FROM tenantmig.check_guards()');
my $look = sub { my ($server, $database) = @_; return { map { $_ => $server->safe_psql($database, "SET timezone = 'UTC'; $kept{$_}") } keys %kept }; };
my $here = $look->($node, 'everything');
like($here->{$_}, qr/all|PASS/, "$_: there is some") for grep { !/baseline/ } sort keys %kept;
like($here->{approvals}, qr/first.*\n.*second.*\n.*app_reviewer/, 'approvals: one that was revoked, two that count');
unlike($here->{proofs} . $here->{gate} . $here->{check_guards}, qr/FAIL/, 'nothing fails at home');
is(sql('SELECT count(*) FROM tenantmig.baseline', 'everything'), '1', 'there is a baseline');

my $fresh = new_server('fresh', extension => 0);
$fresh->safe_psql('postgres', "CREATE ROLE junk_$_; CREATE TABLE junk_$_ (id serial PRIMARY KEY, t text)") for 1 .. 5;
$fresh->safe_psql('postgres', $_) for 'CREATE ROLE app_reviewer LOGIN', 'CREATE ROLE app_owner LOGIN', 'CREATE DATABASE everything';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, '-d', $node->connstr('everything') ], 'everything: dumped');
$fresh->command_ok([ 'pg_restore', '--exit-on-error', '-d', $fresh->connstr('everything'), $file ], 'everything: restored into another cluster');
my $oids = q{SELECT string_agg(oid::text, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('staff', 'branches', 'companies')};
isnt($fresh->safe_psql('everything', $oids), sql($oids, 'everything'), 'OIDs are others');
my $there = $look->($fresh, 'everything');
is($there->{$_}, $here->{$_}, "$_: the same in the other cluster") for sort keys %kept;
# and it goes on there: numbers do not collide, guards refuse, proofs are made again, relax takes back
my $attempt = sub { my (undef, undef, $said) = $fresh->psql('everything', "\\set VERBOSITY verbose\nSET ROLE app_owner; SET search_path = shop; $_[0]"); return $said; };
like($attempt->('UPDATE staff SET company_id = 3 - company_id'), qr/ERROR:  23514: tenant key "company_id" of "staff" can't be changed/, 'the guard of no migration refuses');
like($attempt->('INSERT INTO staff VALUES (99, 1, 20)'), qr/ERROR:  23514: tenant key "company_id" of "staff" is not that of its parent/, 'the guard of the migration refuses');
like($attempt->('INSERT INTO staff VALUES (99, NULL)'), qr/ERROR:  23502: null value in column "company_id"/, 'the constraint refuses');
$fresh->safe_psql('everything', $_) for "SELECT tenantmig.register_backup('all', clock_timestamp(), 'here')", "SELECT tenantmig.revoke_approval('all')", "SELECT tenantmig.approve('all', 'third')",
  "SELECT FROM tenantmig.observe('all', true)", "CALL tenantmig.relax('all')", "CALL tenantmig.enforce('all')";
is($fresh->safe_psql('everything', q{SELECT (SELECT count(*) FROM tenantmig.approvals WHERE counts), (SELECT count(*) FROM tenantmig.backups), (SELECT count(*) FROM tenantmig.observations), (SELECT count(DISTINCT series) FROM tenantmig.proofs)}),
  '2|2|3|2', 'all goes on with the next numbers');
my $pieces = q{SELECT string_agg(kind || ' ' || constraint_name, ', ' ORDER BY kind) FROM tenantmig.enforcements WHERE state = 'enforced'};
is($fresh->safe_psql('everything', $pieces), sql($pieces, 'everything'), 'the same is enforced anew');
$fresh->stop;

$node->stop;
done_testing();

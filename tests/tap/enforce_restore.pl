# After pg_dump and a restore into another database what is enforced is found by name: relax takes it back exactly, a second enforce has nothing to do, and what
# an interrupted attempt has left is still known, and cleaned up.
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

$node->stop;
done_testing();

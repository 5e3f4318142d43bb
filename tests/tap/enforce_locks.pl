# Enforce among sessions that hold the table: it waits briefly, again and again, names who is in the way, and leaves nothing behind when it gives up, is
# cancelled, or loses the worker that builds an index. Others are never kept waiting for longer than one attempt.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TenantmigTest;

my $node = new_server('enforce_locks', conf => "autovacuum = off\nmax_worker_processes = 12\nfsync = off\n");

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub call {
  my ($sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
  return $err // '';
}

sub eventually {
  my ($name, $query) = @_;
  my $deadline = time + 60;
  my $found = '';
  while (time < $deadline) {
    $found = sql($query);
    last if $found eq 't';
    sleep 0.05;
  }
  return is($found, 't', $name);
}
my $shape = q{SELECT string_agg(line, E'\n' ORDER BY line) FROM (
  SELECT conrelid::regclass || ' ' || conname || pg_get_constraintdef(oid) AS line FROM pg_constraint WHERE conrelid = 'customers'::regclass
  UNION ALL SELECT attname || attnotnull FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attnum > 0
  UNION ALL SELECT indexrelid::regclass || ' ' || indisvalid FROM pg_index WHERE indrelid = 'customers'::regclass) x};

sql(<<'SQL');
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, number integer);
INSERT INTO customers SELECT n, 1, n FROM generate_series(1, 1000) n;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies"}}]}');
SELECT tenantmig.create_migration('{"migration": "u", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "unique": ["company_id", "number"]}}]}');
SQL
my $before = sql($shape);

# --- a long reader ------------------------------------------------------------------------------------------------------------------------
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) /* the long reader */ FROM customers');
my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%the long reader%' AND pid <> pg_backend_pid()});
my $error = call(q{SET tenantmig.lock_attempts = 3; CALL tenantmig.enforce('m')});
like($error, qr/NOTICE:.*waiting for a lock on public\.customers, attempt 1 of 3: pid $pid \(idle in transaction, transaction open for [\d:]+\): ".*the long reader/, 'who is in the way is told');
like($error, qr/ERROR:  55P03: could not lock public\.customers to change its constraints\n.*DETAIL:  3 attempts; it is held by pid $pid \(idle in transaction.*the long reader/s, 'and stands in the error');
is(sql($shape), $before, 'nothing is left');
is(sql(q{SELECT string_agg(DISTINCT state || ' ' || left(error, 5), ',') FROM tenantmig.enforcements}), 'removed 55P03', 'the attempt is recorded');

# --- who gives way after a while; others read on meanwhile --------------------------------------------------------------------------------
my $engine = $node->background_psql('postgres', on_error_stop => 0);
$engine->query_until(qr/begun/, "\\echo begun\nCALL tenantmig.enforce('m');\n\\echo ended\n");
eventually('enforce is at work', q{SELECT count(*) = 1 FROM tenantmig.active_migrations});
like(call(q{CALL tenantmig.enforce('m')}), qr/ERROR:  55006: another run or decision is active on migration "m"/, 'one at a time');
like(call(q{CALL tenantmig.relax('m')}), qr/ERROR:  55006/, 'nor relax');
like(call(q{SELECT tenantmig.drop_migration('m', true)}), qr/ERROR:  55006/, 'nor drop_migration');
is(sql(q{SELECT bool_or(interrupted) FROM tenantmig.enforcements}), 'f', 'it is not shown as interrupted');
my $longest = 0;
for (1 .. 30) {
  my $begun = time;
  sql('SELECT count(*) FROM customers WHERE id = 1');
  my $took = time - $begun;
  $longest = $took if $took > $longest;
  sleep 0.05;
}
cmp_ok($longest, '<', 3, 'nobody waits for longer than an attempt');
$reader->query_safe('COMMIT');
$engine->query_until(qr/ended/, '');
is(sql(q{SELECT string_agg(kind || ' ' || state, ', ' ORDER BY id) FROM tenantmig.enforcements WHERE state <> 'removed'}), 'not_null enforced, foreign_key enforced', 'enforced when the reader has gone');
my $enforced = sql($shape);
$reader->query_safe('BEGIN; SELECT count(*) /* another reader */ FROM customers');
like(call(q{SET tenantmig.lock_attempts = 2; SET lock_timeout = '50ms'; CALL tenantmig.relax('m')}), qr/ERROR:  55P03: could not lock public\.customers .*another reader/s, 'relax waits in the same way');
$reader->query_safe('COMMIT');
is(sql($shape), $enforced, 'what could not be taken back stands');
is(sql(q{SELECT string_agg(kind || ' ' || state || ' ' || left(error, 5), ', ' ORDER BY id) FROM tenantmig.enforcements WHERE state <> 'removed'}), 'not_null enforced 55P03, foreign_key enforced 55P03', 'and is enforced');
unlike(sql(q{SELECT string_agg(error, ' ') FROM tenantmig.enforcements}), qr/reader/, 'queries of others are not kept');
sql(q{CALL tenantmig.relax('m')});
is(sql($shape), $before, 'and taken back');

# --- a writer that has not committed when the gate counts ---------------------------------------------------------------------------------
$reader->query_safe('BEGIN; INSERT INTO customers VALUES (5000, NULL, 5000)');
$engine->query_until(qr/again/, "\\echo again\nCALL tenantmig.enforce('m');\n\\echo ended\n");
eventually('the gate was open', q{SELECT count(*) = 2 FROM tenantmig.enforcements WHERE state = 'intended'});
$reader->query_safe('COMMIT');
$engine->query_until(qr/ended/, '');
like($engine->{stderr}, qr/constraints of public\.customers\.company_id are violated\nDETAIL:  1 row without a value: key "5000"/, 'what was not committed when the gate counted is found');
is(sql($shape), $before, 'nothing is left');
sql('DELETE FROM customers WHERE id = 5000');

# --- an index that waits for an old transaction -------------------------------------------------------------------------------------------
sub start_index {
  $engine->{stderr} = '';
  $reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM companies');
  $engine->query_until(qr/index/, "\\echo index\nCALL tenantmig.enforce('u');\n\\echo ended\n");
  return eventually('the worker waits for the old transaction',
    q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'tenantmig index build' AND wait_event_type = 'Lock'});
}
start_index();
ok(sql(q{SELECT count(*) > 0 FROM pg_index WHERE indrelid = 'customers'::regclass AND NOT indisvalid}) eq 't', 'an invalid index stands there');
is(sql(q{SELECT jsonb_array_length(helpers) FROM tenantmig.enforcements WHERE migration = 'u' AND state = 'intended'}), '1', 'and is recorded');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'tenantmig index build'});
$engine->query_until(qr/ended/, '');
like($engine->{stderr}, qr/ERROR:  the index on public\.customers was not built|terminating/, 'without its worker it fails');
is(sql($shape), $before, 'the invalid index is gone');
$reader->query_safe('COMMIT');

start_index();
sql(q{SELECT pg_cancel_backend(pid) FROM tenantmig.active_migrations});
$engine->query_until(qr/ended/, '');
like($engine->{stderr}, qr/ERROR:  canceling statement due to user request/, 'cancelled');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'tenantmig index build'}), '0', 'its worker has ended');
is(sql($shape), $before, 'the invalid index is gone');
$reader->query_safe('COMMIT');

start_index();
$reader->query_safe('COMMIT');
$engine->query_until(qr/ended/, '');
is(sql(q{SELECT string_agg(state, ', ') FROM tenantmig.enforcements WHERE migration = 'u' AND state <> 'removed'}), 'enforced', 'built when the old transaction has ended');

# --- no worker to be had ------------------------------------------------------------------------------------------------------------------
sql(q{CALL tenantmig.relax('u')});
$reader->quit;
$engine->quit;
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
like(call(q{CALL tenantmig.enforce('u')}), qr/ERROR:  53400: no background worker slot is free\n.*max_worker_processes is 0/s, 'no worker slot');
is(sql($shape), $before, 'nothing is left');
$node->stop;
done_testing();

# The step isolate: kill -9 at each point of up and of down, lost connections and cancels at the same points; the next up or down goes on to the end
# state of an undisturbed one. At no instant is row-level security enabled without our policies, or forced before all tables have theirs. Then: a reader
# that does not go away, partitions that come in meanwhile, dump and restore.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TenantmigTest;

plan skip_all => 'needs the module with fault points: make check SUITES=tap' if !$ENV{TENANTMIG_FAULT_DESTDIR};
local $ENV{TENANTMIG_DESTDIR} = $ENV{TENANTMIG_FAULT_DESTDIR};

my $node = new_server('isolate', conf => "autovacuum = off\nmax_worker_processes = 12\nfsync = off\nrestart_after_crash = on\n");

sub call {
  my ($sql, $db) = @_;
  my ($status, $out, $err) = $node->psql($db // 'postgres', "\\set VERBOSITY verbose\n$sql");
  return ($out // '', $err // '');
}
sub sql {
  my ($sql, $db) = @_;
  my ($out, $err) = call($sql, $db);
  fail("$sql: $err") if $err =~ /ERROR|FATAL/;
  return $out;
}
sub fault { return sql('SELECT fault.set(' . join(', ', map { "'$_'" } @_) . ')'); }
sub wait_for {
  my ($what, $sql) = @_;
  my $deadline = time + 60;
  while (sql($sql) ne 't') {
    if (time > $deadline) { fail("waiting for $what"); return; }
    sleep 0.05;
  }
  return;
}
sub starts { return scalar(() = slurp_file($node->logfile) =~ /database system is ready to accept connections/g); }
# Whether the call was killed: a point is passed only so and so often.
sub killed {
  my ($sql) = @_;
  my $started = starts();
  my ($out, $err) = call($sql);
  if ($err !~ /server closed the connection|terminating connection|connection to server was lost/) {
    fault();
    return;
  }
  my $deadline = time + 60;
  while (starts() == $started) {
    BAIL_OUT('the server does not come back') if time > $deadline;
    sleep 0.05;
  }
  fault();
  return 1;
}

sql(<<'SQL');
CREATE EXTENSION tenantmig_fault;
CREATE ROLE app; CREATE ROLE admin; CREATE ROLE other;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 5);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies, name text);
INSERT INTO customers SELECT n, n % 5 + 1, 'c' || n FROM generate_series(1, 1000) n;
CREATE TABLE visits (id integer PRIMARY KEY, company_id integer NOT NULL, customer_id integer REFERENCES customers ON DELETE CASCADE);
INSERT INTO visits SELECT id, company_id, id FROM customers;
CREATE TABLE orders (id integer, placed date, company_id integer NOT NULL) PARTITION BY RANGE (placed);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
CREATE TABLE orders_rest PARTITION OF orders_2 DEFAULT;
INSERT INTO orders SELECT n, date '2026-01-01' + n, n % 5 + 1 FROM generate_series(1, 50) n;
CREATE TABLE notes (id integer PRIMARY KEY, company_id integer NOT NULL);
CREATE TABLE old_notes () INHERITS (notes);
INSERT INTO old_notes SELECT n, n % 5 + 1 FROM generate_series(1, 50) n;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON notes TO other USING (true);
ALTER TABLE orders_1 FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"isolate": {"tables": ["companies", "customers", "visits"], "role": "app", "super_role": "admin", "composite_references": true}},
  {"isolate": {"tables": ["orders", "notes"], "role": "app"}}]}');
SQL

# Everything of ours, by name, and all rows.
sub shape {
  my ($db) = @_;
  return sql(q{SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('%s %s %s', oid::regclass, relrowsecurity, relforcerowsecurity) AS line FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    UNION ALL SELECT format('%s %s %s %s %s', polrelid::regclass, polname, polcmd, ARRAY(SELECT rolname FROM pg_roles WHERE oid = ANY (polroles) ORDER BY 1), pg_get_expr(polqual, polrelid) || pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
    UNION ALL SELECT format('%s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s', indexrelid::regclass, pg_get_indexdef(indexrelid), indisvalid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'rows ' || md5(string_agg(to_jsonb(c)::text, ',' ORDER BY id)) FROM customers c UNION ALL SELECT 'rows ' || md5(string_agg(to_jsonb(v)::text, ',' ORDER BY id)) FROM visits v
    UNION ALL SELECT 'rows ' || md5(string_agg(to_jsonb(o)::text, ',' ORDER BY id)) FROM orders o UNION ALL SELECT 'rows ' || md5(string_agg(to_jsonb(n)::text, ',' ORDER BY id)) FROM notes n) x}, $db);
}
sub error_of { my ($err) = @_; return $err =~ /((?:ERROR|FATAL).*)/ ? $1 : ''; }

my $before = shape();
is(error_of((call("CALL tenantmig.up('m')"))[1]), '', 'up');
my $after = shape();
isnt($after, $before, 'up has done something');
is(sql("SELECT progress FROM tenantmig.migrations"), 'applied', 'applied');
is(sql("SELECT count(*) FROM tenantmig.verify('m') WHERE status = 'FAIL'"), '0', 'verified');
# the oracle: what the owner counts against what the application sees
is(sql("SELECT count(*) FROM customers WHERE company_id = 2") . ' ' . sql("SELECT count(*) FROM orders WHERE company_id = 2"),
  sql("SET ROLE app; SET tenantmig.tenant = '2'; SELECT count(*) FROM customers") . ' ' . sql("SET ROLE app; SET tenantmig.tenant = '2'; SELECT count(*) FROM orders"), 'a tenant sees its rows');
is(sql("SELECT max((detail ->> 'longest_lock_us')::bigint) < 1000000 FROM tenantmig.execution_log"), 't', 'strong locks are short');
note('longest strong lock: ' . sql("SELECT max((detail ->> 'longest_lock_us')::bigint) FROM tenantmig.execution_log") . ' us');
is(error_of((call("CALL tenantmig.down('m')"))[1]), '', 'down');
is(shape(), $before, 'as before');

# At any instant.
sub check_between {
  my ($case, $direction) = @_;
  is(sql(q{SELECT string_agg(c.relname, ', ') FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relrowsecurity AND c.relname <> 'notes'
    AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenantmig_tenant')}), '', "$case: nothing is enabled without a policy");
  is(sql(q{SELECT count(*) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE p.polname ~ '^tenantmig' AND NOT c.relrowsecurity}), '0', "$case: no policy without row-level security");
  is(sql(q{SELECT bool_or(c.relforcerowsecurity) AND NOT bool_and(EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenantmig_tenant'))
    FROM pg_class c WHERE c.relname IN ('companies', 'customers', 'visits')}), 'f', "$case: nothing is forced before all have policies") if $direction eq 'up';
  is(sql("SELECT count(*) FROM tenantmig.steps WHERE NOT applied AND (next_command IS NULL OR state IN ('applying', 'reverting') AND error IS NULL)"), '0', "$case: the views explain it");
  return;
}
sub goes_on {
  my ($case, $direction) = @_;
  my ($out, $err) = call("CALL tenantmig.$direction('m')");
  is(error_of($err), '', "$case: $direction goes on");
  is(shape(), $direction eq 'up' ? $after : $before, "$case: $direction ends as an undisturbed one");
  is(sql('SELECT bool_and(applied) FROM tenantmig.steps'), $direction eq 'up' ? 't' : 'f', "$case: and says so");
  is(sql('SELECT count(*) FROM tenantmig.isolation'), $direction eq 'up' ? '9' : '0', "$case: the catalogue, too");
  return;
}

my @points = (
  [ isolate_begun => 1, 2 ], [ isolate_keys_done => 1, 2 ], [ isolate_index_recorded => 1, 2 ], [ index_building => 1, 3 ], [ index_built => 1 ], [ index_frame => 1, 2 ], [ index_part => 1, 3 ],
  [ index_attached => 1, 2 ], [ isolate_secured => 1, 2 ], [ isolate_table => 1, 2, 3, 5, 9 ], [ isolate_forced => 1, 3, 4, 9 ],
  [ isolate_table_released => 1, 2, 4, 7, 9 ], [ isolate_released => 1, 2 ], [ isolate_keys_gone => 1, 2 ], [ isolate_index_dropping => 1, 2 ], [ index_tree_dropped => 1 ], [ isolate_forgotten => 1, 4, 9 ]);
my ($count, $kills) = (0, 0);
for my $direction ('up', 'down') {
  for my $entry (@points) {
    my ($point, @hits) = @$entry;
    for my $hit (@hits) {
      my $then = $count++ % 2 ? 'up' : 'down';
      my $case = "$direction, killed at $point, $hit, then $then";
      call("CALL tenantmig.down('m')") if $direction eq 'up' && shape() ne $before;
      call("CALL tenantmig.up('m')") if $direction eq 'down' && shape() ne $after;
      fault("$point crash hit=$hit");
      next if !killed("CALL tenantmig.$direction('m')");
      $kills++;
      check_between($case, $direction);
      goes_on($case, $then);
    }
  }
}
cmp_ok($kills, '>=', 25, "$kills kills");

for my $action ('exit', 'ereport 57014') {
  for my $entry (@points) {
    my ($point, $hit) = @$entry;
    my $case = "$action at $point";
    call("CALL tenantmig.down('m')") if shape() ne $before;
    fault("$point $action hit=$hit");
    my ($out, $err) = call("CALL tenantmig.up('m')");
    fault();
    next if $err !~ /ERROR|FATAL/;
    check_between($case, 'up');
    goes_on($case, $count++ % 2 ? 'up' : 'down');
  }
}
call("CALL tenantmig.down('m')") if shape() ne $before;

# A reader that does not go away: asked for briefly, again and again; others get past in between, and nobody waits for longer than an attempt.
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query_until(qr/held/, "BEGIN;\nSELECT count(*) FROM customers;\n\\echo held\n");
my $up = $node->background_psql('postgres', on_error_stop => 0);
$up->query_until(qr/begun/, "\\set VERBOSITY verbose\nSET tenantmig.lock_attempts = 4;\n\\echo begun\nCALL tenantmig.up('m', to_step => 1);\n");
my $longest = 0;
my $deadline = time + 60;
while (sql("SELECT count(*) FROM tenantmig.active_migrations") ne '0' || $longest == 0) {
  my $begin = time;
  my ($out, $err) = call("SET ROLE app; SET tenantmig.tenant = '2'; SELECT count(*) FROM customers");
  fail("a reader beside: $err") if $err =~ /ERROR/;
  $longest = time - $begin if time - $begin > $longest;
  last if time > $deadline;
}
cmp_ok($longest, '<', 3, sprintf('a reader beside waited for %.2f s at most', $longest));
$up->quit;
is(sql("SELECT error ~ '^55P03: could not lock public.customers' FROM tenantmig.steps WHERE step = 1"), 't', 'given up, with the session that is in the way');
check_between('a reader that stays', 'up');
$holder->query_until(qr/gone/, "ROLLBACK;\n\\echo gone\n");
$holder->quit;
goes_on('after a reader', 'up');
goes_on('after that', 'down');

# A partition that comes in just before FORCE gets its policies in the same up; one that comes in later with the next.
fault('isolate_secured wait hit=2');
my $gate = $node->background_psql('postgres', on_error_stop => 0);
$gate->query_until(qr/locked/, "SELECT pg_advisory_lock(7361, hashtext('isolate_secured'));\n\\echo locked\n");
$up = $node->background_psql('postgres', on_error_stop => 0);
$up->query_until(qr/begun/, "\\echo begun\nCALL tenantmig.up('m');\n");
wait_for('the point', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'advisory' AND query ~ 'tenantmig.up'");
sql("CREATE TABLE orders_3 PARTITION OF orders FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')");
$gate->query_until(qr/open/, "SELECT pg_advisory_unlock_all();\n\\echo open\n");
$up->quit;
$gate->quit;
fault();
is(sql("SELECT count(*) FROM tenantmig.verify('m') WHERE status = 'FAIL' AND check_name = 'isolated public.orders_3'"), '1', 'a partition that came at the very last is named');
is(error_of((call("CALL tenantmig.up('m')"))[1]), '', 'and the next up');
is(sql("SELECT row_security AND force_row_security FROM tenantmig.isolated_tables WHERE relation = 'public.orders_3'"), 't', 'takes it in');
sql("CALL tenantmig.down('m'); DROP TABLE orders_3");
is(shape(), $before, 'as before, again');

# Dump and restore: numbers mean nothing any more, names do.
sql("CALL tenantmig.up('m')");
sql('CREATE DATABASE copy');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->command_ok([ 'psql', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'restore');
is(shape('copy'), $after, 'the copy is the same');
is(sql("SELECT count(*) || ' ' || bool_and(row_security AND force_row_security AND cardinality(policies) > 0 AND relid IS NOT NULL) FROM tenantmig.isolated_tables", 'copy'), '9 true', 'the view knows the tables by name');
is(sql("SELECT count(*) FROM tenantmig.verify('m') WHERE status = 'FAIL'", 'copy'), '0', 'and verify, the policies');
is((call("CALL tenantmig.up('m')", 'copy'))[1] =~ /nothing to do/ ? 1 : 0, 1, 'up: nothing to do');
sql("CALL tenantmig.down('m')", 'copy');
is(shape('copy'), $before, 'down in the copy');
is(shape(), $after, 'which leaves the original alone');

$node->stop;
done_testing();

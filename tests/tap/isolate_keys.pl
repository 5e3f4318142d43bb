# kill -9 at each point of composite_keys and composite_references, on the way up and on the way down, on plain, partitioned and self-referring tables. After each
# kill a foreign key that is valid stands for each one that there was; then up or down goes on from there, and ends in the catalogue of an undisturbed run. The
# oracle is the catalogue itself, by name. Errors at the same points, too; and both ways in turn without an end.
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

my $node = new_server('isolate_keys', conf => "autovacuum = off\nmax_worker_processes = 12\nfsync = off\nrestart_after_crash = on\n");

sub call {
  my ($sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
  return ($out // '', $err // '');
}
sub sql {
  my ($sql) = @_;
  my ($out, $err) = call($sql);
  fail("$sql: $err") if $err =~ /ERROR|FATAL|WARNING/;
  return $out;
}
sub fault { return sql('SELECT fault.set(' . join(', ', map { "'$_'" } @_) . ')'); }

sub starts { return scalar(() = slurp_file($node->logfile) =~ /database system is ready to accept connections/g); }
# False: the point was not reached.
sub killed {
  my ($case, $sql) = @_;
  my $started = starts();
  my ($out, $err) = call($sql);
  if (!like($err, qr/server closed the connection|terminating connection|connection to server was lost/, "$case: killed")) {
    fault();
    return 0;
  }
  my $deadline = time + 60;
  while (starts() == $started) {
    BAIL_OUT('the server does not come back') if time > $deadline;
    sleep 0.05;
  }
  fault();
  return 1;
}

# By name. What PostgreSQL makes for the partitions of a table that is referred to is left with the flag that it was added with.
sub shape {
  return sql(q{SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('%s %s %s %s %s %s', conrelid::regclass, conname, replace(pg_get_constraintdef(k.oid), ' NOT VALID', ''),
        convalidated OR EXISTS (SELECT FROM pg_constraint p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid), conparentid <> 0, obj_description(k.oid, 'pg_constraint')) AS line
      FROM pg_constraint k WHERE connamespace = 'shop'::regnamespace
    UNION ALL SELECT format('%s %s', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'shop'::regnamespace
    UNION ALL SELECT format('%s %s %s', oid::regclass, relrowsecurity, relforcerowsecurity) FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind IN ('r', 'p')
    UNION ALL SELECT format('%s %s', polrelid::regclass, polname) FROM pg_policy) x});
}

sql(<<'SQL');
CREATE EXTENSION tenantmig_fault;
CREATE ROLE app;
CREATE SCHEMA shop;
ALTER DATABASE postgres SET search_path = shop, public;
SQL
sql(<<'SQL');
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(0, 2);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
CREATE TABLE orders (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies, customer_id integer, parent integer);
ALTER TABLE orders ADD CONSTRAINT "Old" FOREIGN KEY (customer_id) REFERENCES customers ON DELETE SET NULL;
COMMENT ON CONSTRAINT "Old" ON orders IS 'as it was';
ALTER TABLE orders ADD CONSTRAINT parents FOREIGN KEY (parent) REFERENCES orders NOT VALID;
CREATE TABLE events (id integer, at integer, company_id integer NOT NULL, order_id integer, note_id integer, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_a PARTITION OF events FOR VALUES FROM (0) TO (100);
CREATE TABLE events_b PARTITION OF events FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
CREATE TABLE events_b1 PARTITION OF events_b FOR VALUES FROM (0) TO (1000);
CREATE TABLE notes (id integer PRIMARY KEY, company_id integer NOT NULL, event_id integer, event_at integer, FOREIGN KEY (event_id, event_at) REFERENCES events);
ALTER TABLE events ADD CONSTRAINT ord FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE;
ALTER TABLE events_a RENAME CONSTRAINT ord TO odd;
INSERT INTO customers SELECT n, n % 3 FROM generate_series(1, 200) n;
INSERT INTO orders SELECT n, n % 3, n, CASE WHEN n > 3 THEN n - 3 END FROM generate_series(1, 200) n;
INSERT INTO events SELECT n, n % 200, n % 3, n FROM generate_series(1, 200) n;
INSERT INTO notes SELECT n, n % 3, n, n % 200 FROM generate_series(1, 200) n;
SELECT tenantmig.create_migration('{"migration": "shop", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers", "orders",
  {"table": "events", "column": "company_id"}, {"table": "notes", "column": "company_id"}], "role": "app", "composite_keys": true, "composite_references": true}}]}');
SQL

# For each reference that there was: a foreign key over that column, validated (the one that never was: any). On partitioned tables: on each partition.
sub check_covered {
  my ($case) = @_;
  my $open = sql(q{SELECT string_agg(format('%s.%s', t, c), ', ') FROM (VALUES ('orders', 'customer_id', 'customers', true), ('orders', 'parent', 'orders', false), ('events_a', 'order_id', 'orders', true),
      ('events_b1', 'order_id', 'orders', true), ('notes', 'event_id', 'events', true)) v(t, c, r, valid)
    WHERE NOT EXISTS (SELECT FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) WHERE k.contype = 'f' AND k.conrelid = t::regclass AND a.attname = c
      AND k.confrelid = r::regclass AND (k.convalidated OR NOT valid))});
  is($open, '', "$case: a foreign key stands for each");
  return;
}

my $before = shape();
check_covered('before');
is((call(q{CALL tenantmig.up('shop')}))[1] =~ /ERROR/ ? (call(q{CALL tenantmig.up('shop')}))[1] : '', '', 'up');
my $made = shape();
isnt($made, $before, 'the catalogue has changed');
unlike($made, qr/FOREIGN KEY \((customer_id|parent|order_id|event_id)/, 'no foreign key without the tenant key is left');
sql(q{CALL tenantmig.down('shop')});
is(shape(), $before, 'down: as before');

sub finish {
  my ($case, $way) = @_;
  my ($out, $err) = call("CALL tenantmig.$way('shop')");
  unlike($err, qr/ERROR/, "$case: $way goes on") or diag($err);
  is(shape(), $way eq 'up' ? $made : $before, "$case: $way ends as if nothing had happened");
  return if $way eq 'down';
  is(sql(q{SELECT count(*) FROM tenantmig.verify('shop') WHERE status = 'FAIL'}), '0', "$case: verified");
  sql(q{CALL tenantmig.down('shop')});
  is(shape(), $before, "$case: and back");
  return;
}

my @up = ([ 'isolate_keys_recorded' ], [ 'index_building' ], [ 'isolate_key_built', 1, 3 ], [ 'isolate_key_constrained', 1, 4 ], [ 'isolate_key_attaching' ], [ 'isolate_key_attached' ],
  [ 'isolate_reference_adding', 1, 3 ], [ 'isolate_reference_added', 1, 2, 3, 4 ], [ 'isolate_reference_validated', 1, 2, 4, 5 ], [ 'isolate_reference_replacing', 1, 2, 3, 4 ],
  [ 'isolate_reference_replaced', 1, 4 ]);
my @down = ([ 'isolate_reference_adding', 1, 4 ], [ 'isolate_reference_added', 1, 2, 3, 4, 5 ], [ 'isolate_reference_validated', 1, 3, 4 ], [ 'isolate_reference_replacing', 1, 2, 3, 4 ],
  [ 'isolate_reference_replaced', 1, 2, 4 ], [ 'isolate_key_dropped', 1, 2, 5 ], [ 'isolate_keys_forgotten' ]);
my $count = 0;
for my $entry (@up) {
  my ($point, @hits) = @$entry;
  for my $hit (@hits ? @hits : 1) {
    my $way = ('up', 'down')[ $count++ % 2 ];
    my $case = "up killed at $point, $hit, then $way";
    fault("$point crash hit=$hit");
    killed($case, q{CALL tenantmig.up('shop')});
    check_covered($case);
    finish($case, $way);
  }
}
for my $entry (@down) {
  my ($point, @hits) = @$entry;
  for my $hit (@hits ? @hits : 1) {
    my $way = ('down', 'up')[ $count++ % 2 ];
    my $case = "down killed at $point, $hit, then $way";
    fault();
    sql(q{CALL tenantmig.up('shop')});
    fault("$point crash hit=$hit");
    killed($case, q{CALL tenantmig.down('shop')});
    check_covered($case);
    finish($case, $way);
  }
}

# An error leaves what was done; and killed again while the next one goes the other way.
for my $point (qw(isolate_key_constrained isolate_reference_added isolate_reference_replacing)) {
  fault("$point error TM900 hit=2");
  like((call(q{CALL tenantmig.up('shop')}))[1], qr/ERROR:  TM900: fault at $point/, "an error at $point: is told");
  check_covered("an error at $point");
  fault();
  finish("an error at $point", 'up');
}
my $case = 'killed on the way up, on the way down, and on the way up';
fault('isolate_reference_validated crash hit=3');
killed($case, q{CALL tenantmig.up('shop')});
fault('isolate_reference_replacing crash hit=2'); # what was added before is on disk by then
killed($case, q{CALL tenantmig.down('shop')});
check_covered($case);
fault('isolate_reference_removed crash');
killed($case, q{CALL tenantmig.up('shop')});
check_covered($case);
finish($case, 'up');

# A partition that comes while the keys are made gets them, too: nothing is built, and no row is read, under the strong lock.
fault('isolate_reference_validated wait hit=3');
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query_safe(q{SELECT pg_advisory_lock(7361, hashtext('isolate_reference_validated'))});
my $worker = $node->background_psql('postgres', on_error_stop => 0);
$worker->query_until(qr/begun/, "\\echo begun\nCALL tenantmig.up('shop');\n\\echo ended\n");
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)}) or diag('nobody waits');
sql('CREATE TABLE events_late PARTITION OF events FOR VALUES FROM (200) TO (300)');
$holder->query_safe('SELECT pg_advisory_unlock_all()');
$worker->query_until(qr/ended/, '');
$holder->quit;
$worker->quit;
fault();
is(sql(q{SELECT count(*) FROM pg_constraint WHERE conrelid = 'events_late'::regclass AND contype IN ('f', 'u') AND conparentid <> 0 AND cardinality(conkey) > 1}), '2',
  'a partition that comes meanwhile: has a unique key and a foreign key of the tables');
is(sql(q{SELECT count(*) FROM tenantmig.verify('shop') WHERE status = 'FAIL'}), '0', 'a partition that comes meanwhile: verified');
sql(q{CALL tenantmig.down('shop')});
sql('ALTER TABLE events DETACH PARTITION events_late; DROP TABLE events_late');
is(shape(), $before, 'a partition that comes meanwhile: as before');

$node->stop;
done_testing();

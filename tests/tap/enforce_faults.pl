# kill -9 at each point of enforce and of relax, for NOT NULL, foreign keys (new, and one that gives way), live, format, unique and composite, on plain
# and on partitioned tables. Afterwards the catalogue is as before or what it has more is recorded; the interruption is visible; the next enforce, relax or
# resume cleans up. The oracle is the catalogue itself, by name. Errors at the same points remove everything at once.
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

my $node = new_server('enforce_faults', conf => "autovacuum = off\nmax_worker_processes = 12\nfsync = off\nrestart_after_crash = on\n");

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
sub fails { my ($name, $sql, $error) = @_; return like((call($sql))[1], $error, $name); }
sub fault { return sql('SELECT fault.set(' . join(', ', map { "'$_'" } @_) . ')'); }

# After a kill of one of its processes the server restarts all of them; its log tells when it is ready again.
sub starts { return scalar(() = slurp_file($node->logfile) =~ /database system is ready to accept connections/g); }
sub killed {
  my ($case, $sql) = @_;
  my $started = starts();
  my ($out, $err) = call($sql);
  like($err, qr/server closed the connection|terminating connection|connection to server was lost/, "$case: killed");
  my $deadline = time + 60;
  while (starts() == $started) {
    BAIL_OUT('the server does not come back') if time > $deadline;
    sleep 0.05;
  }
  fault();
  return;
}

# The catalogue of the tables, by name.
sub shape {
  return sql(q{SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('%s %s %s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, conparentid <> 0, obj_description(oid, 'pg_constraint')) AS line
      FROM pg_constraint WHERE conrelid::regclass::text ~ '^(plain|parted)'
    UNION ALL SELECT format('%s.%s %s', attrelid::regclass, attname, attnotnull) FROM pg_attribute WHERE attrelid::regclass::text ~ '^(plain|parted)' AND attnum > 0
    UNION ALL SELECT format('%s %s %s', indexrelid::regclass, pg_get_indexdef(indexrelid), indisvalid) FROM pg_index WHERE indrelid::regclass::text ~ '^(plain|parted)') x});
}

sql(<<'SQL');
CREATE EXTENSION tenantmig_fault;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 5);
CREATE TABLE plain (id integer PRIMARY KEY, company_id integer, code text, branch_id integer, deleted_at timestamptz);
ALTER TABLE plain ADD CONSTRAINT "Old" FOREIGN KEY (branch_id) REFERENCES companies ON DELETE CASCADE;
COMMENT ON CONSTRAINT "Old" ON plain IS 'as it was';
INSERT INTO plain SELECT n, n % 5 + 1, 'c' || n, n % 5 + 1 FROM generate_series(1, 200) n;
CREATE TABLE parted (id integer, company_id integer, code text, branch_id integer, deleted_at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id);
CREATE TABLE parted_b1 PARTITION OF parted_b FOR VALUES FROM (100) TO (150);
CREATE TABLE parted_b2 PARTITION OF parted_b FOR VALUES FROM (150) TO (1000);
ALTER TABLE parted_b1 ALTER company_id SET NOT NULL;
ALTER TABLE parted_a ADD CONSTRAINT mine FOREIGN KEY (company_id) REFERENCES companies ON DELETE RESTRICT;
ALTER TABLE parted ADD CONSTRAINT "Old" FOREIGN KEY (branch_id) REFERENCES companies ON DELETE CASCADE;
ALTER TABLE parted_b1 RENAME CONSTRAINT "Old" TO odd;
INSERT INTO parted SELECT n, n % 5 + 1, 'c' || n, n % 5 + 1 FROM generate_series(1, 200) n;
SELECT tenantmig.create_migration(format('{"migration": "%1$s", "tenants": {"table": "companies"}, "steps": [
  {"constraint": {"table": "%1$s", "column": "company_id", "not_null": true, "references": "companies.id", "on_delete": "restrict", "unique": ["company_id", "code", "id"]}},
  {"constraint": {"table": "%1$s", "column": "branch_id", "not_null": "live", "soft_delete": "deleted_at", "on_delete": "restrict"}},
  {"constraint": {"table": "%1$s", "column": "code", "format": "^c"}}]}', t)::jsonb) FROM unnest(ARRAY['plain', 'parted']) t;
SQL

my $before = shape();
# Without a disturbance: what enforce makes, and that relax takes it back.
my %enforced;
for my $table ('plain', 'parted') {
  is((call("CALL tenantmig.enforce('$table')"))[1], '', "$table: enforced");
  $enforced{$table} = shape();
  isnt($enforced{$table}, $before, "$table: the catalogue has changed");
  is(sql("SELECT count(*) FROM tenantmig.enforcements WHERE migration = '$table' AND state = 'enforced'"), '6', "$table: six pieces");
  is((call("CALL tenantmig.relax('$table')"))[1], '', "$table: relaxed");
  is(shape(), $before, "$table: as before");
}

# What stands more than before is recorded: a helper, or the name of a piece. Either the catalogue is as before, or rows say that something is unfinished.
sub check_interrupted {
  my ($case, $table) = @_;
  my $open = sql("SELECT count(*) FROM tenantmig.enforcements WHERE migration = '$table' AND state IN ('intended', 'relaxing')");
  my $standing = sql("SELECT count(*) FROM tenantmig.enforcements WHERE migration = '$table' AND state = 'enforced'");
  my $changed = shape() ne $before;
  ok(!$changed || $open > 0 || $standing == 6, "$case: a changed catalogue is recorded") or diag(shape());
  is(sql("SELECT count(*) FROM tenantmig.enforcements WHERE migration = '$table' AND interrupted"), $open, "$case: unfinished pieces are shown as interrupted");
  is(sql("SELECT health FROM tenantmig.health WHERE migration = '$table'"), 'RED', "$case: health is RED") if $open;
  return $open;
}

my @enforce_points = qw(enforce_locked enforce_gate_open enforce_intended enforce_adding enforce_added enforce_index_recorded enforce_index_building enforce_index_waiting
  enforce_index_built enforce_partition enforce_prepared enforce_counted enforce_validated enforce_publishing enforce_published enforce_done);
my %hits = (enforce_adding => [ 1, 3 ], enforce_added => [ 1, 3 ], enforce_validated => [ 1, 3 ], enforce_publishing => [ 1, 2, 4, 6 ], enforce_published => [ 1, 3, 5 ], enforce_partition => [ 1, 2 ]);
my $count = 0;

sub clean_by {
  my ($case, $table, $how, $open) = @_;
  if ($how eq 'enforce') {
    my ($out, $err) = call("CALL tenantmig.enforce('$table')");
    unlike($err, qr/ERROR/, "$case: enforce goes on") or diag($err);
    is(shape(), $enforced{$table}, "$case: enforced as if nothing had happened");
    sql("CALL tenantmig.relax('$table')");
  }
  elsif ($how eq 'relax') {
    my ($out, $err) = call("CALL tenantmig.relax('$table')");
    unlike($err, qr/ERROR(?!:  55000)/, "$case: relax cleans up") or diag($err);
  }
  else {
    if ($open) { is(sql("SELECT tenantmig.resume('$table')"), '0', "$case: resume cleans up"); }
    else { fails("$case: nothing to resume", "SELECT tenantmig.resume('$table')", qr/ERROR:  55000: migration "$table" has no run to resume/); }
    is(sql("SELECT count(*) FROM tenantmig.enforcements WHERE migration = '$table' AND interrupted"), '0', "$case: nothing is interrupted");
    call("CALL tenantmig.relax('$table')");
  }
  is(shape(), $before, "$case: as before") or diag(shape());
  return;
}

for my $table ('plain', 'parted') {
  for my $point (@enforce_points) {
    next if $point eq 'enforce_partition' && $table eq 'plain';
    for my $hit (@{ $hits{$point} // [1] }) {
      my $how = ('enforce', 'relax', 'resume')[ $count++ % 3 ];
      my $case = "$table, killed at $point, $hit, then $how";
      fault("$point crash hit=$hit");
      killed($case, "CALL tenantmig.enforce('$table')");
      clean_by($case, $table, $how, check_interrupted($case, $table));
    }
  }
}

my @relax_points = qw(relax_locked relax_intended relax_prepared enforce_adding relax_validated relax_withdrawing relax_withdrawn relax_done);
my %relax_hits = (relax_withdrawing => [ 1, 3, 6 ], relax_withdrawn => [ 1, 4 ]);
for my $table ('plain', 'parted') {
  for my $point (@relax_points) {
    for my $hit (@{ $relax_hits{$point} // [1] }) {
      my $how = ('relax', 'enforce', 'resume')[ $count++ % 3 ];
      my $case = "$table, relax killed at $point, $hit, then $how";
      fault();
      sql("CALL tenantmig.enforce('$table', proofs => false)");
      fault("$point crash hit=$hit");
      killed($case, "CALL tenantmig.relax('$table')");
      my $open = check_interrupted($case, $table);
      clean_by($case, $table, $how, $open);
    }
  }
}

# An error at any point takes back everything of the attempt at once.
for my $table ('plain', 'parted') {
  for my $point (qw(enforce_intended enforce_adding enforce_added enforce_index_recorded enforce_index_building enforce_index_built enforce_partition enforce_prepared enforce_counted
    enforce_validated enforce_publishing enforce_published)) {
    next if $point eq 'enforce_partition' && $table eq 'plain';
    my $hit = $hits{$point} ? $hits{$point}[-1] : 1;
    my $case = "$table, an error at $point";
    fault($point =~ /index_building/ ? "$point error TM900" : "$point error TM900 hit=$hit");
    fails("$case: is told", "CALL tenantmig.enforce('$table')", qr/ERROR:  TM900: fault at $point/);
    fault();
    is(shape(), $before, "$case: as before") or diag(shape());
    is(sql("SELECT string_agg(DISTINCT state, ',') FROM tenantmig.enforcements WHERE migration = '$table' AND id > (SELECT max(id) - 6 FROM tenantmig.enforcements)"), 'removed',
      "$case: recorded");
  }
  for my $point (qw(relax_prepared relax_validated relax_withdrawing)) {
    my $case = "$table, an error of relax at $point";
    sql("CALL tenantmig.enforce('$table', proofs => false)");
    fault("$point error TM900");
    fails("$case: is told", "CALL tenantmig.relax('$table')", qr/ERROR:  TM900: fault at $point/);
    fault();
    is(sql("SELECT count(*) FROM tenantmig.enforcements WHERE migration = '$table' AND state IN ('intended', 'relaxing')"), '0', "$case: nothing is left unfinished");
    sql("CALL tenantmig.relax('$table')");
    is(shape(), $before, "$case: as before, after all");
  }
}

# Killed while it takes back what an error has spoilt; and killed again while the next one cleans up.
for my $table ('plain', 'parted') {
  for my $how ('enforce', 'relax', 'resume') {
    for my $pair ([ 'enforce_counted error TM900', 'enforce_removing crash hit=2' ], [ 'enforce_published error TM900 hit=3', 'relax_withdrawing crash hit=2' ], [ 'enforce_published error TM900 hit=3', 'relax_intended crash' ]) {
      my $case = "$table, @$pair, then $how";
      fault(@$pair);
      killed($case, "CALL tenantmig.enforce('$table')");
      my $open = check_interrupted($case, $table);
      ok($open > 0, "$case: unfinished");
      clean_by($case, $table, $how, $open);
    }
    my $case = "$table, killed twice, then $how";
    fault('enforce_prepared crash');
    killed($case, "CALL tenantmig.enforce('$table')");
    fault('enforce_removing crash hit=2');
    killed("$case: again", $how eq 'resume' ? "SELECT tenantmig.resume('$table')" : "CALL tenantmig.$how('$table')");
    clean_by($case, $table, $how, check_interrupted($case, $table));
  }
}

# Ended in order (pg_terminate_backend): the worker that builds an index ends with its session, and what there is of the index is recorded.
fault('enforce_index_waiting exit');
fails('terminated while an index is built', q{CALL tenantmig.enforce('plain')}, qr/57P01|terminating|closed the connection/);
fault();
check_interrupted('terminated', 'plain');
clean_by('terminated', 'plain', 'enforce', 1);

$node->stop;
done_testing();

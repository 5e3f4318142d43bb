# kill -9 at each point of up and of down, in each kind of step; lost connections, cancels and errors at the same points; two clients at once; pause.
# Afterwards the views say where it stands, and the next up or down goes on to the end state of an undisturbed one. The oracle is plain SQL over the
# catalogue by name and over all rows.
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

my $node = new_server('step_faults', conf => "autovacuum = off\nmax_worker_processes = 12\nfsync = off\nrestart_after_crash = on\n");

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
sub wait_for {
  my ($what, $sql) = @_;
  my $deadline = time + 60;
  while (sql($sql) ne 't') {
    if (time > $deadline) { fail("waiting for $what"); return; }
    sleep 0.05;
  }
  return;
}

# After a kill of one of its processes the server restarts all of them; its log tells when it is ready again.
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
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 5);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
INSERT INTO branches SELECT n, n % 5 + 1 FROM generate_series(1, 20) n;
CREATE TABLE customers (id integer PRIMARY KEY, branch_id integer REFERENCES branches, code text, phone text NOT NULL DEFAULT '-' CHECK (phone <> ''));
CREATE INDEX customers_phone ON customers (phone);
INSERT INTO customers SELECT n, n % 20 + 1, 'c' || n, 'p' || n FROM generate_series(1, 2000) n;
CREATE TABLE log (i integer);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"sql": {"up": "ALTER TABLE customers ADD company_id integer; CREATE TABLE notes (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer); INSERT INTO notes SELECT id, id FROM customers",
           "down": "DROP TABLE notes; ALTER TABLE customers DROP company_id", "verify": "SELECT count(*) = 2000 FROM notes"}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}},
  {"backfill": {"table": "notes", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"guard": {"kind": "immutable", "table": "customers", "column": "company_id"}},
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id"}},
  {"sql": {"up": "CREATE INDEX CONCURRENTLY IF NOT EXISTS notes_company ON notes (company_id); COMMENT ON TABLE notes IS ''done''; ALTER TABLE notes ADD COLUMN IF NOT EXISTS extra text",
           "down": "DROP INDEX CONCURRENTLY IF EXISTS notes_company; COMMENT ON TABLE notes IS NULL; ALTER TABLE notes DROP COLUMN IF EXISTS extra", "transactional": false}},
  {"index": {"table": "customers", "columns": ["company_id", "code"]}},
  {"add_column": {"table": "branches", "column": "note", "type": "text", "default": "none", "comment": "new"}},
  {"drop_column": {"table": "customers", "column": "phone"}},
  {"sql": {"up": "INSERT INTO log VALUES (1)", "down": "DELETE FROM log"}}]}');
SQL

# Everything of ours, by name.
sub shape {
  my $rows = sql(q{SELECT CASE WHEN to_regclass('notes') IS NULL THEN 'no notes' ELSE (xpath('string(.)', query_to_xml('SELECT md5(string_agg(to_jsonb(n)::text, '','' ORDER BY id)) FROM notes n', true, true, '')))[1]::text END});
  return $rows . sql(q{SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('%s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated) AS line FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s.%s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT format('%s %s %s', indexrelid::regclass, pg_get_indexdef(indexrelid), indisvalid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', tgrelid::regclass, tgfoid::regproc) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'comment ' || description FROM pg_description WHERE objoid = to_regclass('notes') AND objsubid = 0
    UNION ALL SELECT format('log %s', count(*)) FROM log
    UNION ALL SELECT 'customers ' || md5(string_agg(to_jsonb(c)::text, ',' ORDER BY id)) FROM customers c) x});
}

# Without a disturbance.
my $before = shape();
is((call("CALL tenantmig.up('m')"))[1] =~ /(ERROR.*)/ ? $1 : '', '', 'up');
my $after = shape();
isnt($after, $before, 'up has done something');
is(sql("SELECT progress FROM tenantmig.migrations"), 'applied', 'applied');
like((call("CALL tenantmig.up('m')"))[1], qr/NOTICE:  00000: migration "m": nothing to do, all steps are applied/, 'up again: nothing to do');
is((call("CALL tenantmig.down('m')"))[1] =~ /(ERROR.*)/ ? $1 : '', '', 'down');
is(shape(), $before, 'as before');
like((call("CALL tenantmig.down('m')"))[1], qr/NOTICE:  00000: migration "m": nothing to do, no step is applied/, 'down again: nothing to do');

# What the views say in between: each step that is neither applied nor untouched has an error, and all that are not applied a next command.
sub check_views {
  my ($case, $interrupted) = @_;
  is(sql("SELECT count(*) FROM tenantmig.steps WHERE NOT applied AND (next_command IS NULL OR state IN ('applying', 'reverting', 'running', 'intended', 'relaxing') AND error IS NULL)"), '0', "$case: the views explain it")
    or diag(sql("SELECT string_agg(s::text, E'\\n') FROM tenantmig.steps s"));
  is(sql("SELECT count(*) FROM tenantmig.execution_log WHERE outcome = 'running'"), '0', "$case: nothing looks alive");
  return;
}

sub goes_on {
  my ($case, $direction) = @_;
  my ($out, $err) = call("CALL tenantmig.$direction('m')");
  if ($err =~ /ERROR:  55000: .*index notes_company is there, but invalid/) { # said, and to be dropped by hand
    sql('DROP INDEX CONCURRENTLY notes_company');
    ($out, $err) = call("CALL tenantmig.$direction('m')");
  }
  if ($err =~ /ERROR:  TM019: step \d+ \(drop_column\) is on its way back/) { # values are being written back: that has to end first
    call(sql("SELECT next_command FROM tenantmig.steps WHERE state = 'reverting'"));
    ($out, $err) = call("CALL tenantmig.$direction('m')");
  }
  unlike($err, qr/ERROR|FATAL/, "$case: $direction goes on") or diag($err);
  is(shape(), $direction eq 'up' ? $after : $before, "$case: $direction ends as an undisturbed one");
  is(sql('SELECT bool_and(applied) = bool_or(applied) AND bool_and(applied) FROM tenantmig.steps'), $direction eq 'up' ? 't' : 'f', "$case: and says so");
  return;
}

my @points = (
  [ step_locked => 1 ], [ step_checked => 1 ], [ step_begun => 1 .. 9 ], [ step_ready => 1, 3, 6, 8 ], [ step_taken => 1 .. 9 ], [ step_noted => 1, 3, 5, 7, 9 ],
  [ step_sql_statement => 1 .. 3 ], [ step_sql_committing => 1, 2 ], [ step_sql_committed => 1, 2 ], [ step_sql_next => 1, 3 ], [ step_sql_counted => 1, 3 ],
  [ run_started => 1 ], [ step_done => 1, 2 ], [ run_finishing => 1 ], [ enforce_intended => 1 ], [ enforce_counted => 1 ], [ enforce_done => 1 ],
  [ enforce_index_building => 1 ], [ relax_intended => 1 ], [ relax_done => 1 ]);
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
      next if !killed("CALL tenantmig.$direction('m')"); # down does not come by there, or not so often
      $kills++;
      check_views($case);
      goes_on($case, $then);
    }
  }
}
cmp_ok($kills, '>=', 60, "$kills kills");

# The connection is lost, the call is cancelled, a statement of the step fails: at each point, too. None of these restarts the server.
sql("CALL tenantmig.down('m')") if shape() ne $before;
for my $action ('exit', 'ereport 57014', 'error 55000') {
  for my $entry (@points) {
    my ($point, $hit) = @$entry;
    my $case = "$action at $point";
    call("CALL tenantmig.down('m')") if shape() ne $before;
    fault("$point $action hit=$hit");
    my ($out, $err) = call("CALL tenantmig.up('m')");
    fault();
    next if $err !~ /ERROR|FATAL/;
    check_views($case);
    goes_on($case, $count++ % 2 ? 'up' : 'down');
  }
}
call("CALL tenantmig.down('m')") if shape() ne $before;
is(sql("SELECT count(*) > 0 FROM tenantmig.execution_log WHERE outcome = 'failed' AND error ~ '^57014'"), 't', 'the log tells of cancels');
is(sql("SELECT count(*) > 0 FROM tenantmig.execution_log WHERE outcome = 'interrupted'"), 't', 'and of interruptions');

# Two clients at once: the second one is told who is at work, and nothing is done twice.
fault('step_begun sleep 3000 hit=1');
my $other = $node->background_psql('postgres', on_error_stop => 0);
$other->query_until(qr/begun/, "\\echo begun\nCALL tenantmig.up('m');\n");
wait_for('the first client', "SELECT count(*) = 1 FROM tenantmig.active_migrations");
fails('a second up is refused, and says who is at work', "CALL tenantmig.up('m')", qr/ERROR:  55006: another run or decision is active on migration "m"\nDETAIL:  It is pid \d+ \(postgres\): "CALL tenantmig.up\('m'\);"\nHINT:  Wait until it has ended: CALL tenantmig.wait\('m'\)/);
fails('so is down', "CALL tenantmig.down('m')", qr/ERROR:  55006: another run or decision is active/);
fails('and run', "CALL tenantmig.run('m')", qr/ERROR:  (55006|TM019)/);
is(sql("SELECT next_command FROM tenantmig.steps WHERE step = 1"), "CALL tenantmig.wait('m');", 'the view says that somebody is at work');
wait_for('its end', "SELECT count(*) = 0 FROM tenantmig.active_migrations");
$other->quit;
fault();
is(shape(), $after, 'the first one was not disturbed');
sql("CALL tenantmig.down('m')");

# Paused in a backfill: up stops there, says so, and goes on.
sql("CALL tenantmig.up('m', to_step => 1)");
fault('run_started sleep 3000');
my $pausing = $node->background_psql('postgres', on_error_stop => 0);
$pausing->query_until(qr/begun/, "\\echo begun\nCALL tenantmig.up('m');\n");
wait_for('the run', "SELECT count(*) = 1 FROM tenantmig.runs WHERE state = 'running'");
is(sql("SELECT tenantmig.pause('m')"), 'pausing', 'pause is heard while up is in a backfill');
wait_for('its end', "SELECT count(*) = 0 FROM tenantmig.active_migrations");
$pausing->quit;
fault();
is(sql("SELECT string_agg(format('%s %s %s', step, state, applied), ', ' ORDER BY step) FROM tenantmig.steps WHERE step < 5"), '1 applied t, 2 paused f, 3 paused f, 4 planned f', 'up has stopped in the backfill');
is(sql("SELECT string_agg(outcome, ',') FROM (SELECT outcome FROM tenantmig.execution_log ORDER BY id DESC LIMIT 2) x"), 'paused,paused', 'the log says so');
goes_on('paused', 'up');
goes_on('after that', 'down');

# A lock that somebody holds: asked for briefly, again and again, and given up with a clear error.
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query_until(qr/held/, "BEGIN;\nLOCK TABLE customers IN ACCESS SHARE MODE;\n\\echo held\n");
fails('a lock that is not to be had', "SET tenantmig.lock_attempts = 2;\nCALL tenantmig.up('m')", qr/NOTICE:  00000: step 1 \(sql\): waiting for a lock, attempt 1 of 2: step 1 \(sql\), statement 1: canceling statement due to lock timeout.*ERROR:  55P03: step 1 \(sql\), statement 1: canceling statement due to lock timeout/s);
is(sql("SELECT state || ' ' || error FROM tenantmig.steps WHERE step = 1"), 'planned 55P03: step 1 (sql), statement 1: canceling statement due to lock timeout', 'and the view says so');
$holder->query_until(qr/gone/, "ROLLBACK;\n\\echo gone\n");
$holder->quit;
goes_on('after a lock', 'up');

$node->stop;
done_testing();

# The steps add_column, drop_column and index, killed (kill -9) at each point on the way there and back, with writes in between; and writes beside the
# copying, at an exact place. The oracle: the catalogue by name, and a plain copy of the rows that every write goes to as well.
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

my $node = new_server('step_columns', conf => "autovacuum = off\nmax_worker_processes = 12\nfsync = off\nrestart_after_crash = on\n");

sub call {
  my ($sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
  return ($out // '', $err // '');
}
sub sql {
  my ($sql) = @_;
  my ($out, $err) = call($sql);
  fail("$sql: $err") if $err =~ /ERROR|FATAL/;
  return $out;
}
sub fault { return sql('SELECT fault.set(' . join(', ', map { "'$_'" } @_) . ')'); }
sub starts { return scalar(() = slurp_file($node->logfile) =~ /database system is ready to accept connections/g); }
sub killed {
  my ($case, $sql) = @_;
  my $started = starts();
  my ($out, $err) = call($sql);
  like($err, qr/server closed the connection|terminating connection|connection to server was lost/, "$case: killed") or return 0;
  my $deadline = time + 60;
  while (starts() == $started) {
    BAIL_OUT('the server does not come back') if time > $deadline;
    sleep 0.05;
  }
  fault();
  return 1;
}

sub shape {
  return sql(q{SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM (
    SELECT format('%s.%s %s %s %s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attacl, pg_get_expr(d.adbin, d.adrelid),
      col_description(attrelid, attnum), attstattarget) AS line FROM pg_attribute LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
      WHERE attrelid IN ('items'::regclass, 'parts'::regclass) AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT format('%s %s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'))
      FROM pg_constraint WHERE conrelid IN ('items'::regclass, 'parts'::regclass)
    UNION ALL SELECT format('%s %s', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index WHERE indrelid IN ('items'::regclass, 'parts'::regclass)
    UNION ALL SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE tgrelid IN ('items'::regclass, 'parts'::regclass) AND NOT tgisinternal
    UNION ALL SELECT format('table %s', relname) FROM pg_class WHERE relname ~ '^tenantmig_' AND relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')) x});
}
sub wrong { return sql('SELECT count(*) FROM items i FULL JOIN shadow s USING (id) WHERE i.id IS NULL OR s.id IS NULL OR i.code IS DISTINCT FROM s.code'); }

sql(<<'SQL');
CREATE EXTENSION tenantmig_fault;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 5);
CREATE TABLE items (id integer PRIMARY KEY, company_id integer REFERENCES companies, code text NOT NULL CHECK (code <> ''), filler text);
CREATE UNIQUE INDEX items_code ON items (code, id);
ALTER TABLE items ADD CONSTRAINT code_key UNIQUE (id, code);
COMMENT ON CONSTRAINT code_key ON items IS 'kept';
CREATE INDEX items_lower ON items (lower(code)) WHERE company_id > 1;
CREATE TABLE parts (id integer PRIMARY KEY, item integer, code text, FOREIGN KEY (item, code) REFERENCES items (id, code) ON UPDATE CASCADE);
GRANT SELECT (code) ON items TO pg_monitor;
COMMENT ON COLUMN items.code IS 'the code';
CREATE TABLE shadow (id integer PRIMARY KEY, code text);
SELECT tenantmig.create_migration('{"migration": "drop", "tenants": {"table": "companies"}, "steps": [{"drop_column": {"table": "items", "column": "code"}}]}');
SELECT tenantmig.create_migration('{"migration": "add", "tenants": {"table": "companies"}, "steps": [{"add_column": {"table": "items", "column": "added", "type": "integer", "default": 1}}]}');
SELECT tenantmig.create_migration('{"migration": "index", "tenants": {"table": "companies"}, "steps": [{"index": {"table": "items", "columns": ["filler", "company_id"], "name": "items_filler"}}]}');
SQL
sub fill {
  return sql(q{TRUNCATE items, parts, shadow; INSERT INTO items (id, company_id, code, filler) SELECT n, n % 5 + 1, 'c' || n, repeat('x', 700) FROM generate_series(1, 3000) n;
    INSERT INTO parts (id, item, code) SELECT n, n, 'c' || n FROM generate_series(1, 50) n; INSERT INTO shadow SELECT id, code FROM items});
}
# What others write while the column is there.
my $turn = 0;
sub write_there {
  $turn++;
  my $n = 10000 * $turn;
  return sql(qq{BEGIN; INSERT INTO items (id, company_id, code) SELECT $n + n, 1, 'new' || n FROM generate_series(1, 5) n; INSERT INTO shadow SELECT $n + n, 'new' || n FROM generate_series(1, 5) n;
    UPDATE items SET code = 'changed$turn' WHERE id IN (60, 2900); UPDATE shadow SET code = 'changed$turn' WHERE id IN (60, 2900);
    UPDATE items SET filler = repeat('y', 900) WHERE id BETWEEN 200 AND 230;
    DELETE FROM items WHERE id = 2000 + $turn OR id = 100 + $turn; DELETE FROM shadow WHERE id = 2000 + $turn OR id = 100 + $turn;
    UPDATE items SET id = 500000 + $turn WHERE id = 1500 + $turn; UPDATE shadow SET id = 500000 + $turn WHERE id = 1500 + $turn; COMMIT});
}
fill();
my $before = shape();

# ---- drop_column, undisturbed, then killed on the way there
sql("CALL tenantmig.up('drop')");
isnt(shape(), $before, 'dropped');
sql("CALL tenantmig.down('drop')");
is(shape(), $before, 'as before');
is(wrong(), '0', 'the values are back');

for my $point (qw(step_begun column_preparing column_prepared column_filling column_filled column_dropping column_dropped column_kept step_taken)) {
  fill();
  fault("$point crash");
  killed("up at $point", "CALL tenantmig.up('drop')") or next;
  my $there = sql(q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'code'}) eq '1';
  write_there() if $there;
  if ($turn % 3 == 0 && $there) {
    sql("CALL tenantmig.down('drop')");
    is(shape(), $before, "up at $point, then down: as before");
    is(wrong(), '0', "up at $point, then down: nothing lost");
    next;
  }
  sql("CALL tenantmig.up('drop')");
  is(sql(q{SELECT state FROM tenantmig.steps WHERE migration = 'drop'}), 'applied', "up at $point: up goes on");
  is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname ~ 'tenantmig_keep'}), '0', "up at $point: no trigger left");
  sql("CALL tenantmig.down('drop')");
  is(shape(), $before, "up at $point: as before after down");
  is(wrong(), '0', "up at $point: every value is back");
}

# ---- and on the way back
for my $case ([ 'column_adding', 1 ], [ 'column_added', 1 ], [ 'column_restoring', 1 ], [ 'column_restored', 1 ], [ 'column_not_null', 1 ], [ 'column_not_valid', 1 ],
  [ 'column_piece', 1 ], [ 'column_piece', 2 ], [ 'column_piece', 4 ], [ 'column_piece', 6 ], [ 'index_building', 2 ], [ 'index_built', 1 ], [ 'enforce_index_building', 1 ]) {
  my ($point, $hit) = @$case;
  fill();
  sql("CALL tenantmig.up('drop')");
  fault("$point crash hit=$hit");
  killed("down at $point, $hit", "CALL tenantmig.down('drop')") or next;
  # the crash may have taken the last transaction with it, which did not wait for the disk: then the column is still gone, and kept
  my $there = sql(q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'code'}) eq '1';
  like((call("CALL tenantmig.up('drop')"))[1], $there ? qr/ERROR:  TM019: step 1 \(drop_column\) is on its way back/ : qr/in force already/,
    "down at $point, $hit: up waits for down");
  call("CALL tenantmig.down('drop')") if !$there;
  sql("CALL tenantmig.down('drop')");
  is(shape(), $before, "down at $point, $hit: as before");
  is(wrong(), '0', "down at $point, $hit: every value is back");
}

# ---- writes beside the copying, at an exact place; also in another isolation level, and TRUNCATE
for my $isolation ('read committed', 'repeatable read') {
  fill();
  my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \my $in, '>', \my $out, '2>', \my $err);
  $in = "SELECT fault.stop('column_filling');\n";
  $holder->pump until $out =~ /stops at/;
  my $step = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "CALL tenantmig.up('drop')" ], '<', \undef, '>', \my $step_out, '2>', \my $step_err);
  sql("SELECT fault.until(\$\$SELECT fault.waiting('column_filling') > 0\$\$)");
  $node->safe_psql('postgres', "ALTER DATABASE postgres SET default_transaction_isolation = '$isolation'");
  write_there();
  $node->safe_psql('postgres', 'ALTER DATABASE postgres RESET default_transaction_isolation');
  if ($isolation eq 'repeatable read') {
    sql(q{TRUNCATE items, parts; TRUNCATE shadow; INSERT INTO items (id, company_id, code) SELECT n, 1, 'after' || n FROM generate_series(1, 40) n; INSERT INTO shadow SELECT id, code FROM items});
  }
  $in = "SELECT fault.set(); SELECT pg_advisory_unlock_all();\n\\q\n";
  $holder->finish;
  $step->finish;
  unlike($step_err, qr/ERROR/, "$isolation: the step has ended well");
  sql("CALL tenantmig.down('drop')");
  is(wrong(), '0', "$isolation: what was written beside it is kept");
  is(shape(), $before, "$isolation: as before");
}

# ---- what the copying relies on is gone: rows are in other blocks, the triggers were off, values were rewritten. It begins anew
for my $case (
  [ 'VACUUM FULL' => q{DELETE FROM items WHERE id BETWEEN 51 AND 1500; DELETE FROM shadow WHERE id BETWEEN 51 AND 1500}, 'VACUUM FULL items' ],
  [ 'DISABLE TRIGGER' => q{ALTER TABLE items DISABLE TRIGGER USER; UPDATE items SET code = code || '!' WHERE id > 100; UPDATE shadow SET code = code || '!' WHERE id > 100; ALTER TABLE items ENABLE TRIGGER USER} ],
  [ 'ALTER TYPE' => q{TRUNCATE parts; ALTER TABLE items ALTER code TYPE text USING code || '?'; UPDATE shadow SET code = code || '?'} ]
  ) {
  my ($name, @statements) = @$case;
  fill();
  my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \my $in, '>', \my $out, '2>', \my $err);
  $in = "SELECT fault.stop('column_filling');\n";
  $holder->pump until $out =~ /stops at/;
  my $step = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "CALL tenantmig.up('drop')" ], '<', \undef, '>', \my $step_out, '2>', \my $step_err);
  sql("SELECT fault.until(\$\$SELECT fault.waiting('column_filling') > 0\$\$)");
  sql($_) for @statements;
  $in = "SELECT fault.set(); SELECT pg_advisory_unlock_all();\n\\q\n";
  $holder->finish;
  $step->finish;
  unlike($step_err, qr/ERROR/, "$name beside the copying: the step has ended well");
  like($step_err, qr/the copying begins anew/, "$name beside the copying: it begins anew");
  sql("CALL tenantmig.down('drop')");
  is(wrong(), '0', "$name beside the copying: no value is lost");
  is(shape(), $before, "$name beside the copying: as before");
}

# ---- add_column: there and back, with values that somebody wrote
for my $point (qw(add_column_adding add_column_added)) {
  fault("$point crash");
  killed("add: up at $point", "CALL tenantmig.up('add')") or next;
  sql("CALL tenantmig.up('add')");
  is(sql('SELECT count(*) FROM items WHERE added IS DISTINCT FROM 1'), '0', "add: up at $point goes on");
  sql("CALL tenantmig.down('add')");
  is(shape(), $before, "add: up at $point: as before");
}
for my $point (qw(column_preparing column_prepared column_filling column_dropping column_dropped column_kept add_column_gone)) {
  fill();
  sql("CALL tenantmig.up('add')");
  sql('UPDATE items SET added = id WHERE id <= 10');
  fault("$point crash");
  killed("add: down at $point", "CALL tenantmig.down('add')") or next;
  sql("CALL tenantmig.down('add')");
  # the first row holds the default, which is nothing that somebody has written
  is(sql("SELECT row_count FROM tenantmig.kept_columns WHERE migration = 'add'"), '9', "add: down at $point: what was written is kept");
  fault('column_restoring crash');
  killed("add: up again at column_restoring", "CALL tenantmig.up('add')");
  sql("CALL tenantmig.up('add')");
  is(sql('SELECT count(*), sum(added) FROM items WHERE added <> 1 OR id = 1'), '10|55', "add: down at $point: up brings it back");
  sql('UPDATE items SET added = 1');
  sql("CALL tenantmig.down('add')");
  is(shape(), $before, "add: down at $point: as before");
}

# ---- index
for my $point (qw(index_recorded index_building enforce_index_building index_built index_done)) {
  fault("$point crash");
  killed("index: up at $point", "CALL tenantmig.up('index')") or next;
  sql("CALL tenantmig.up('index')");
  is(sql(q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'items_filler'::regclass}), 't', "index: up at $point: valid after up");
  fault('index_dropping crash');
  killed("index: down", "CALL tenantmig.down('index')");
  sql("CALL tenantmig.down('index')");
  is(shape(), $before, "index: up at $point: as before");
}

is(sql(q{SELECT count(*) FROM tenantmig.kept_column}), '0', 'nothing is kept at the end');
$node->stop;
done_testing();

# Rows written below SQL, seen from other sessions and other servers: subscribers and decoders get the same as from an UPDATE, transactions that saw the rows
# before fail to serialize, rows that others hold are left to the last sweep, old snapshots turn page passes off and nothing else.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TenantmigTest;

my $node = new_server('direct', init => { allows_streaming => 'logical' }, conf => "autovacuum = off\nmax_prepared_transactions = 2\n");

# A table of 5,000 rows and its migration: `below` is written by run, its twin `through` by backfill.
sub twins {
  my ($name, $columns, $with) = @_;
  my $sql = '';
  for my $side (qw(below through)) {
    $sql .= <<"SQL";
CREATE SCHEMA IF NOT EXISTS $side;
CREATE TABLE $side.$name (id integer PRIMARY KEY, company_id integer, note text $columns) $with;
INSERT INTO $side.$name (id, note) SELECT n, repeat('note ', n % 9) FROM generate_series(1, 5000) n;
SELECT tenantmig.create_migration('{"migration": "$side $name", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "$side.$name", "column": "company_id", "sources": [{"via": "evidence.id"}]}}]}');
SQL
  }
  $node->safe_psql('postgres', $sql);
  return;
}
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 8);
CREATE TABLE evidence (id integer, company_id integer);
INSERT INTO evidence SELECT n, n % 8 + 1 FROM generate_series(1, 4900) n;
INSERT INTO evidence SELECT n, (n + 1) % 8 + 1 FROM generate_series(1, 50) n;
SQL
sub run_both {
  my ($name) = @_;
  $node->safe_psql('postgres', qq{CALL tenantmig.run('below $name')});
  $node->safe_psql('postgres', qq{SELECT count(*) FROM tenantmig.backfill('through $name')});
  is($node->safe_psql('postgres', qq{SELECT path FROM tenantmig.stat_workers WHERE relation = 'below.$name'}), 'direct', "$name: written below SQL");
  is($node->safe_psql('postgres', qq{SELECT count(*) FROM below.$name b FULL JOIN through.$name t USING (id) WHERE b.company_id IS DISTINCT FROM t.company_id}), '0', "$name: the same rows");
  is($node->safe_psql('postgres', qq{SELECT count(company_id) FROM below.$name}), '4850', "$name: all of them");
  return;
}
sub session { return $node->background_psql('postgres', on_error_stop => 0); }
# Says something in a session, waits for its end, and returns what it printed; errors are for what is said next.
sub say_there { my ($session, $sql) = @_; my $out = $session->query($sql); $session->{stderr} = ''; return $out; }

# --- page passes, on a server where nobody disturbs them
twins('plain', '', '');
run_both('plain');
my $share = $node->safe_psql('postgres', q{SELECT round(100.0 * hot_rows / rows_written) FROM tenantmig.stat_workers WHERE relation = 'below.plain'});
cmp_ok($share, '>', 50, "most rows need no new index entry ($share %)");
cmp_ok($node->safe_psql('postgres', q{SELECT pg_relation_size('below.plain') * 10 / pg_relation_size('through.plain')}), '<', 8, 'the table hardly grows');
cmp_ok($node->safe_psql('postgres', q{SELECT pg_relation_size('below.plain_pkey') * 10 / pg_relation_size('through.plain_pkey')}), '<=', 10, 'nor does its key');

# --- an old snapshot elsewhere: no page passes, the same rows
twins('held', '', '');
my $old = session();
say_there($old, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM below.held;');
run_both('held');
is($node->safe_psql('postgres', q{SELECT hot_rows FROM tenantmig.stat_workers WHERE relation = 'below.held'}), '0', 'no row was updated in place while an old snapshot sees it');

# --- transactions that saw the rows before
for my $level ('REPEATABLE READ', 'SERIALIZABLE') {
  my $name = lc($level =~ s/ /_/r);
  twins($name, '', '');
  my %sessions;
  for my $side (qw(below through)) {
    $sessions{$side} = session();
    say_there($sessions{$side}, "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM $side.$name WHERE company_id IS NULL;");
  }
  run_both($name);
  for my $side (qw(below through)) {
    like(say_there($sessions{$side}, "SELECT 'still ' || count(*) FROM $side.$name WHERE company_id IS NULL;"), qr/still 5000/, "$level, $side: sees what it saw");
    say_there($sessions{$side}, "\\set VERBOSITY verbose\nUPDATE $side.$name SET note = 'mine' WHERE id = 100;");
    like(say_there($sessions{$side}, '\echo :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE'), qr/40001 could not serialize access due to concurrent update/, "$level, $side: its UPDATE is refused");
    $sessions{$side}->quit;
  }
}
$old->quit;

# --- rows that somebody holds: nobody waits for them, with and without a trigger; the last sweep writes them
for my $case ('locked', 'locked_trigger') {
  twins($case, '', '');
  if ($case eq 'locked_trigger') {
    $node->safe_psql('postgres', "CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER pass BEFORE UPDATE ON below.$case FOR EACH ROW EXECUTE FUNCTION pass()");
  }
  my $holder = session();
  say_there($holder, "BEGIN; SELECT id FROM below.$case WHERE id IN (60, 700, 4000) FOR UPDATE;");
  my $sharer = session();
  say_there($sharer, "BEGIN; SELECT id FROM below.$case WHERE id IN (61, 701, 4001) FOR KEY SHARE;");
  $node->safe_psql('postgres', "SELECT tenantmig.start('below $case', workers => 1)");
  ok($node->poll_query_until('postgres', "SELECT count(*) = 3 FROM below.$case WHERE company_id IS NULL AND id BETWEEN 51 AND 4900"), "$case: all rows but those that are held");
  say_there($holder, 'UPDATE below.' . $case . ' SET company_id = 8 WHERE id = 700; COMMIT;');
  $node->safe_psql('postgres', "CALL tenantmig.wait('below $case')");
  is($node->safe_psql('postgres', "SELECT string_agg(company_id::text, ' ' ORDER BY id) FROM below.$case WHERE id IN (60, 61, 700, 701, 4000, 4001)"), '5 6 8 6 1 2', "$case: then they too, and nobody's value is written over");
  is($node->safe_psql('postgres', "SELECT count(*) FROM tenantmig.changes WHERE relation = 'below.$case'"), '4849', "$case: the log has what was written");
  $_->quit for $holder, $sharer;
}

# --- logical decoding
for my $identity ('DEFAULT', 'FULL', 'USING INDEX %s_id_note_idx') {
  my $name = 'decoded_' . lc(substr($identity, 0, 4));
  twins($name, "NOT NULL, far text DEFAULT repeat(md5('x'), 300)", '');
  my $clause = $identity =~ s/%s/$name/r;
  $node->safe_psql('postgres', "CREATE UNIQUE INDEX ON $_.$name (id, note); ALTER TABLE $_.$name ALTER far SET STORAGE EXTERNAL, REPLICA IDENTITY $clause; UPDATE $_.$name SET far = far || id WHERE id % 100 = 0") for qw(below through);
  $node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('$name', 'test_decoding')");
  run_both($name);
  my %seen;
  my $all = $node->safe_psql('postgres', "SELECT data FROM pg_logical_slot_get_changes('$name', NULL, NULL)");
  for my $side (qw(below through)) {
    $seen{$side} = join "\n", sort map { s/^table \Q$side\E\.//r } grep { /^table \Q$side\E\./ } split /\n/, $all;
  }
  is(scalar(() = $seen{below} =~ /^$name: UPDATE/mg), 4850, "$identity: each row is decoded once");
  ok($seen{below} eq $seen{through}, "$identity: the same as from an UPDATE");
  $node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$name')");
}

# --- a subscriber
twins('published', 'NOT NULL', '');
$node->safe_psql('postgres', 'CREATE PUBLICATION pub FOR TABLE below.published, through.published');
my $subscriber = new_server('subscriber', extension => 0);
$subscriber->safe_psql('postgres', "CREATE SCHEMA $_; CREATE TABLE $_.published (id integer PRIMARY KEY, company_id integer, note text NOT NULL)") for qw(below through);
my $connection = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
$subscriber->wait_for_subscription_sync;
run_both('published');
$node->wait_for_catchup('sub');
my $rows = 'SELECT md5(string_agg(t::text, chr(10) ORDER BY id)) FROM %s.published t';
is($subscriber->safe_psql('postgres', sprintf $rows, 'below'), $node->safe_psql('postgres', sprintf $rows, 'below'), 'the subscriber has the rows');
is($subscriber->safe_psql('postgres', sprintf $rows, 'through'), $node->safe_psql('postgres', sprintf $rows, 'through'), 'as it has those written through SQL');
$node->safe_psql('postgres', q{ALTER TABLE below.published REPLICA IDENTITY NOTHING; ALTER PUBLICATION pub SET (publish = 'insert'); UPDATE below.published SET company_id = NULL WHERE id = 99;
  ALTER PUBLICATION pub SET (publish = 'update')});
my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nCALL tenantmig.run('below published')");
like($err, qr/55000: cannot update table "published" because it does not have a replica identity and publishes updates/, 'without a replica identity: refused');
$subscriber->stop;

# --- whole tables
$node->safe_psql('postgres', 'CREATE EXTENSION amcheck; CREATE EXTENSION pg_visibility; VACUUM');
is($node->safe_psql('postgres', q{SELECT c.oid::regclass, h.msg FROM pg_class c, LATERAL verify_heapam(c.oid) h WHERE c.relnamespace = 'below'::regnamespace AND c.relkind = 'r'}), '', 'no page is damaged');
is($node->safe_psql('postgres', q{SELECT c.oid::regclass, bt_index_check(c.oid, true) FROM pg_class c WHERE c.relnamespace = 'below'::regnamespace AND c.relkind = 'i'}) =~ s/\|\n?|below\.\w+//gr, '', 'no index differs from its table');
is($node->safe_psql('postgres', q{SELECT c.oid::regclass, v FROM pg_class c, LATERAL (SELECT pg_check_visible(c.oid) UNION ALL SELECT pg_check_frozen(c.oid)) v WHERE c.relnamespace = 'below'::regnamespace AND c.relkind = 'r'}), '', 'no map of visible rows is wrong');
$node->stop;
done_testing();

# Monitoring over days, with the module that lets a test move the clock; that the product's module does not; what those who listen hear; and
# observations made by pg_cron, without a client.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TenantmigTest;

plan skip_all => 'needs the module with fault points: make check SUITES=tap' if !$ENV{TENANTMIG_FAULT_DESTDIR};

my $day = 86400;
my $node;

# --- helpers ----------------------------------------------------------------------------------------------------------------------------
sub sql {
  my ($sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1);
  fail("$sql: $err") if $status != 0;
  return $out // '';
}

sub set_clock {
  my ($seconds) = @_;
  append_to_file($node->data_dir . '/tenantmig_clock.new', "$seconds\n");
  rename $node->data_dir . '/tenantmig_clock.new', $node->data_dir . '/tenantmig_clock' or die "rename: $!";
  return;
}

# All notifications of a session that listens while a command runs in another one.
sub heard {
  my ($command) = @_;
  my $session = $node->background_psql('postgres');
  $session->query_safe('LISTEN tenantmig');
  sql($command);
  my $out = $session->query_safe('SELECT 1');
  $session->quit;
  return map { decode_json($_) } $out =~ /with payload "(\{.*?\})" received/g;
}

my $setup = <<'SQL';
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches);
INSERT INTO companies VALUES (1), (2);
INSERT INTO branches VALUES (1, 1), (2, 2);
INSERT INTO customers SELECT n, NULL, n % 2 + 1 FROM generate_series(1, 200) n;
CREATE INDEX ON customers (company_id);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}},
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "gate": {"soak": "7 days"}}}]}');
SQL
sub soak { return sql(q{SELECT good, floor(extract(epoch FROM length) / 3600) FROM tenantmig.soak}); }
sub gate { return sql(q{SELECT status FROM tenantmig.gate('m') WHERE check_name = 'soak'}); }
sub look { return sql(q{SELECT health FROM tenantmig.observations ORDER BY id DESC LIMIT 1}) if sql(q{SELECT count(*) FROM tenantmig.observe('m', true)}); }

# --- a week ---------------------------------------------------------------------------------------------------------------------------------
{
  local $ENV{TENANTMIG_DESTDIR} = $ENV{TENANTMIG_FAULT_DESTDIR};
  $node = new_server('clock', conf => "autovacuum = off\n");
}
sql($setup);
set_clock(0);
my @told = heard(q{SELECT * FROM tenantmig.backfill('m')});
is_deeply([ map { "$_->{event} $_->{migration} $_->{state} $_->{run} $_->{queued}" } grep { $_->{event} eq 'run' } @told ], ['run m completed 1 0'], 'a run in a transaction says that it is completed');
ok(!(grep { !defined $_->{at} } @told), 'every message has its time');
is(sql('SELECT health FROM tenantmig.health'), 'YELLOW', 'nobody has looked yet');
is(gate(), 'FAIL', 'the gate is closed');
for my $n (0 .. 6) {
  set_clock($n * $day);
  is(look(), 'GREEN', "day $n is good");
}
is(soak(), 't|144', 'six days');
is(gate(), 'FAIL', 'that is not enough for the gate');
set_clock(6 * $day + 25 * 3600);
is(soak(), 't|169', 'the last look was 25 hours ago: it goes on');
is(look(), 'GREEN', 'day 7 is good');
is(gate(), 'PASS', 'seven days pass the gate');
is(sql('SELECT sum(samples), sum(bad), count(*) FROM tenantmig.week'), '7|0|7', 'the week has them all but the first');
set_clock(6 * $day + 25 * 3600 + 26 * 3600 + 60);
is(soak(), 'f|0', 'more than 26 hours without a look end it');
is(gate(), 'FAIL', 'and close the gate');
like(sql('SELECT health, reasons[1] FROM tenantmig.health'), qr/^YELLOW\|last observed at /, 'health says so');
is(look(), 'GREEN', 'a look after the hole is good');
is(soak(), 't|0', 'it begins anew');
my $base = 9 * $day;
set_clock($base);
look();
set_clock($base + $day);
like(soak(), qr/^t\|/, 'it goes on');

# --- a bad one, what is heard of it, and the way back -------------------------------------------------------------------------------------------
sql('UPDATE customers SET company_id = 3 - company_id WHERE id = 7');
@told = heard(q{SELECT * FROM tenantmig.observe('m', true)});
is_deeply([ map { $_->{event} . ' ' . ($_->{health} // '') } @told ], [ 'observation RED', 'alert RED' ], 'an observation, and an alert');
is($told[1]{previous}, 'GREEN', 'the alert says what it was before');
like($told[1]{reasons}[0], qr/^1 row of public\.customers\.company_id contradicts branch_id: SELECT \* FROM tenantmig\.rollback\(1\) undoes the run$/, 'and why');
unlike(encode_json(\@told), qr/"7"|row 7|\b7\b[^-:]/, 'no key of a row is in it') or diag(encode_json(\@told));
is(soak(), 'f|0', 'a bad one ends the soak');
@told = heard(q{SELECT * FROM tenantmig.observe('m', true)});
is_deeply([ map { $_->{event} } @told ], ['observation'], 'it is told once');
sql('UPDATE customers SET company_id = 3 - company_id WHERE id = 7');
is(look(), 'GREEN', 'the row is right again');
is(soak(), 't|0', 'and the soak begins anew');
is(sql(q{SELECT bad, alerts FROM tenantmig.week ORDER BY day DESC LIMIT 1}), '2|1', 'the day has two bad ones and one alert');

# --- a later run, and its undo, begin it anew ---------------------------------------------------------------------------------------------------
set_clock($base + 2 * $day);
look();
like(soak(), qr/^t\|2[34]$/, 'a day');
sql('INSERT INTO customers VALUES (301, NULL, 1)');
is(look(), 'RED', 'a new row without a key');
@told = heard(q{CALL tenantmig.run('m')});
is_deeply([ map { "$_->{run} $_->{state}" } grep { $_->{event} eq 'run' } @told ], [ '2 planned', '2 running', '2 completed' ], 'a run by batches tells its states');
is(soak(), 'f|0', 'a run ends the soak');
is(look(), 'GREEN', 'it has filled the key');
is(soak(), 't|0', 'the first look after it counts');
@told = heard(q{SELECT * FROM tenantmig.rollback(2)});
is_deeply([ map { "$_->{run} $_->{state}" } grep { $_->{event} eq 'run' } @told ], ['2 rolled_back'], 'so does a rollback');
like(sql('SELECT good, detail FROM tenantmig.soak'), qr/^f\|no good deep observation since run 2 was undone/, 'an undo ends it, too');
$node->stop;

# --- the product knows no such file -----------------------------------------------------------------------------------------------------------
$node = new_server('product', conf => "autovacuum = off\n");
sql($setup);
sql(q{SELECT * FROM tenantmig.backfill('m')});
look();
set_clock(8 * $day);
is(sql('SELECT tenantmig.clock() BETWEEN clock_timestamp() - interval \'1 minute\' AND clock_timestamp()'), 't', 'the product does not read the clock of tests');
is(soak(), 't|0', 'and a soak can\'t be had that way');
my ($status, $out, $err) = $node->psql('postgres', q{SELECT tenantmig.observe('nobody')});
like($err, qr/migration "nobody" does not exist/, 'a migration that is none');
($status, $out, $err) = $node->psql('postgres', q{SELECT tenantmig.daily_report('m', 'tomorrow'::date + 1)});
like($err, qr/has not come yet/, 'a day that has not come');
$node->stop;

# --- pg_cron: observations without a client ----------------------------------------------------------------------------------------------------
SKIP: {
  chomp(my $share = qx(@{[ $ENV{PG_CONFIG} // 'pg_config' ]} --sharedir));
  skip 'pg_cron is not installed', 4 if !-e "$share/extension/pg_cron.control";
  $node = new_server('cron', conf => "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'postgres'\ncron.use_background_workers = on\n");
  sql('CREATE EXTENSION pg_cron');
  sql($setup);
  sql(q{SELECT * FROM tenantmig.backfill('m')});
  sql(q{CREATE ROLE monitor LOGIN; SELECT tenantmig.grant_access('monitor', 'viewer')});
  sql(q{SELECT cron.schedule('tenantmig', '* * * * *', 'SELECT count(*) FROM tenantmig.observe(deep => true)')});
  my $deadline = time + 90;
  sleep 0.5 while sql('SELECT count(*) FROM tenantmig.observations') eq '0' && time < $deadline;
  is(sql('SELECT deep, good, health FROM tenantmig.observations LIMIT 1'), 't|t|GREEN', 'pg_cron has observed');
  is(sql(q{SELECT status FROM cron.job_run_details ORDER BY runid LIMIT 1}), 'succeeded', 'its job says so');
  is(sql('SELECT health FROM tenantmig.health'), 'GREEN', 'and health knows');
  ok($node->psql('postgres', q{SELECT tenantmig.observe('m')}, extra_params => [ '-U', 'monitor' ]) != 0, 'a role without the owner\'s privileges can\'t');
  $node->stop;
}
done_testing();

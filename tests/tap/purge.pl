# Retention over time: the clock of the module with fault points is moved, so that days, a month and a year pass.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use TenantmigTest;

plan skip_all => 'needs the module with fault points: make check SUITES=tap' if !$ENV{TENANTMIG_FAULT_DESTDIR};
local $ENV{TENANTMIG_DESTDIR} = $ENV{TENANTMIG_FAULT_DESTDIR};
my $node = new_server('purge');

sub sql { my ($sql, @more) = @_; return $node->safe_psql('postgres', $sql, @more); }
sub fails { my ($name, $sql, $error) = @_; my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql"); return like($err, $error, $name); }
sub after_days { my ($days) = @_; write_text($node->data_dir . '/tenantmig_clock', $days * 86400); return; }
sub shown { my ($arguments) = @_; return sql("SELECT kind, outcome, row_count FROM tenantmig.purge($arguments) WHERE kind IN ('change_log', 'runs', 'observations', 'drift') ORDER BY kind, outcome, newest"); }

sql(<<'SQL');
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
CREATE TABLE customers (id integer PRIMARY KEY, branch_id integer REFERENCES branches, company_id integer);
INSERT INTO companies SELECT generate_series(1, 3);
INSERT INTO branches SELECT n, n FROM generate_series(1, 3) n;
INSERT INTO customers SELECT n, n % 3 + 1 FROM generate_series(1, 300) n;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}}]}');
SELECT count(*) FROM tenantmig.backfill('m');
SELECT count(*) FROM tenantmig.observe('m');
INSERT INTO tenantmig.drift_log (migration, relation, column_name, kind, role, happened_at) VALUES ('m', 'public.customers', 'company_id', 'orphan', 'somebody', tenantmig.clock());
SQL
my $digest = sql('SELECT tenantmig.digest(1)');

after_days(30);
is(sql("SELECT tenantmig.clock() > now() + interval '29 days 23 hours'"), 't', '30 days pass');
sql("SELECT count(*) FROM tenantmig.observe('m')");
is(shown(''), "change_log|kept|300\ndrift|kept|1\nobservations|kept|2\nruns|kept|1", 'after 30 days all is kept');
like(sql("SELECT reason FROM tenantmig.purge('{change_log}', older_than => '29 days')"), qr/^run 1 can be undone with it for 1 year after its last change; force => true gives that up$/, 'undo still needs the log');
is(shown("older_than => '29 days', execute => true"), "change_log|kept|300\ndrift|deleted|1\nobservations|deleted|1\nobservations|kept|1\nruns|kept|1", 'what is not needed goes after 30 days if told so');
is(sql('SELECT row_count FROM tenantmig.rollback(1)'), '300', 'and the run can be undone');
is(sql('SELECT tenantmig.digest(1)') eq $digest, '', 'its log has grown');
sql("SELECT count(*) FROM tenantmig.backfill('m')");
$digest = sql('SELECT tenantmig.digest(2)');
is(shown("'{change_log,runs}', older_than => '29 days'"), "change_log|kept|300\nchange_log|would go|600\nruns|kept|1\nruns|would go|1", 'a run that was rolled back is needed by nobody');

after_days(364);
is(shown("'{change_log}'"), "change_log|kept|600\nchange_log|kept|300", 'a day before the year is over the logs are there');
after_days(367);
is(shown("'{change_log}'"), "change_log|would go|600\nchange_log|would go|300", 'after it they would go');
is(sql('SELECT count(DISTINCT run_id) FROM tenantmig.change_log'), '2', 'and nothing has gone');

# Errors and crashes on the way leave all or nothing.
sql('CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION \'not now\'; END$$; CREATE TRIGGER no BEFORE DELETE ON tenantmig.run_log EXECUTE FUNCTION no()');
fails('an error in the middle', 'SELECT * FROM tenantmig.purge(execute => true)', qr/ERROR:  P0001: not now/);
is(sql('SELECT (SELECT count(DISTINCT run_id) FROM tenantmig.change_log), (SELECT count(*) FROM tenantmig.report_archive)'), '2|0', 'undoes all of it');
sql('DROP TRIGGER no ON tenantmig.run_log');
is(shown("execute => true"), "change_log|deleted|600\nchange_log|deleted|300\nobservations|kept|1\nruns|deleted|1\nruns|kept|1", 'deleted');
is(sql('SELECT (SELECT count(*) FROM tenantmig.change_log), (SELECT string_agg(id::text, \',\') FROM tenantmig.runs)'), '0|2', 'gone');
like(sql('SELECT tenantmig.report(1)'), qr/rolled_back/, 'the report of the first run, which has gone');
like(sql('SELECT tenantmig.report(2)'), qr/\Q$digest\E/, 'the report of the second one, with its digest');
is(sql('SELECT tenantmig.digest(2)'), $digest, 'the digest is what it was');
fails('it can not be undone any more', 'SELECT * FROM tenantmig.rollback(2)', qr/ERROR:  55000: the change log of run 2 was purged/);
fails('nor the first one', 'SELECT * FROM tenantmig.rollback(1)', qr/ERROR:  42704: run 1 does not exist/);
unlike(sql("SELECT check_name, status FROM tenantmig.verify('m')"), qr/FAIL/, 'verify finds nothing wrong');

# A run that is at work, and one that is not finished, keep what is theirs, forced or not.
after_days(0);
sql('INSERT INTO customers SELECT n, n % 3 + 1 FROM generate_series(301, 400) n');
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query_safe("BEGIN; SELECT count(*) FROM tenantmig.backfill('m');");
after_days(800);
like(sql("SELECT string_agg(DISTINCT reason, ';') FROM tenantmig.purge(older_than => '0', execute => true, force => true)"), qr/a run or a decision is at work/, 'not while a run is at work');
$holder->query_safe('ROLLBACK;');
$holder->quit;

done_testing();

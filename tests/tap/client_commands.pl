# Each command on the scenario "customers": what it prints in each format, and its exit statuses.
use strict;
use warnings FATAL => 'all';
use FindBin;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

my $scenario = "$FindBin::Bin/../scenarios/customers";
my $spec = "$scenario/spec.yaml";
my $name = 'customers-company-id';
my $folder = folder();
my $node = new_server('client');
use_server($node);
$node->safe_psql('postgres', read_text("$scenario/$_.sql")) for qw(schema data);
my $nulls = 'SELECT count(*) FROM customers WHERE company_id IS NULL';

sub rows { return decode_json($_[0]->{out}); }

# --- validate -------------------------------------------------------------------------------------------------------------------
my $valid = client_ok('validate', ['validate', $spec], 0, qr/^ step \| kind     \| relation +\| column_name \| source +\| tenant_column +\| note/m, qr/^".*spec\.yaml" is valid$/m);
like($valid->{out}, qr/^    1 \| backfill \| \S*customers +\| company_id +\| appointments\.customer_id +\| public\.appointments\.company_id +\|/m, 'validate: the step as resolved');
is(run_sql($node, 'SELECT count(*) FROM tenantmig.migrations'), '0', 'validate stores nothing');
my $text = read_text($spec);
sub spec_file { my ($file, $content) = @_; return write_text("$folder/$file", $content); }
my $lost = spec_file('lost.yaml', $text =~ s/phone_numbers/fone_numbers/r);
client_fails('validate: a name that does not resolve', ['validate', $lost], 3, qr/^error: spec: steps\[0\]\.backfill\.sources\[1\]\.via: .*\n(.*\n)*LOCATION: ".*lost\.yaml", line 12\nSQLSTATE: 42P01$/m);
client_fails('run: a name that does not resolve', ['run', $lost], 3, qr/^LOCATION: ".*lost\.yaml", line 12$/m);

# --- plan -----------------------------------------------------------------------------------------------------------------------
client_fails('plan: no such migration', ['plan', 'nope'], 1, qr/^error: migration "nope" does not exist\n(?:.*\n)*SQLSTATE: 42704$/m);
client_fails('plan: --name takes it for a name', ['plan', '--name', 'nope.yaml'], 1, qr/^error: migration "nope\.yaml" does not exist$/m);
client_ok('plan of a file', ['plan', $spec], 0, qr/^ step \| kind     \| relation .*\n(.*\n)*.* assigned +\| appointments\.customer_id +\| +25 \|/m);
is(run_sql($node, 'SELECT migration FROM tenantmig.migrations'), $name, 'plan of a file creates the migration');
client_ok('plan of the same file again', ['plan', $spec], 0);
my $plan = client_ok('plan of a name, JSON', ['plan', $name, '--format', 'json'], 0);
my %counts = map { ("$_->{outcome} " . ($_->{source} // '') => $_->{row_count}) } grep { defined $_->{outcome} } @{ rows($plan) };
is($counts{'assigned appointments.customer_id'}, 25, 'JSON: a number');
like($plan->{out}, qr/"row_count": 25\b/, 'JSON: a number without quotes');
like($plan->{out}, qr/"source": null/, 'JSON: null');
my $csv = client_ok('plan, CSV', ['plan', $name, '--format', 'csv'], 0, qr/\Astep,kind,relation,outcome,source,row_count,.*\r\n/);
is(scalar(() = $csv->{out} =~ /\r\n/g), 1 + @{ rows($plan) }, 'CSV: a line for each row');
my $hash = client_ok('plan --hash', ['plan', $name, '--hash'], 0, qr/\A[0-9a-f]{64}:\S+\n\z/)->{out};
chomp $hash;
client_fails('the same name for another spec', ['plan', spec_file('other.yaml', $text =~ s/every customer/each customer/r)], 1, qr/SQLSTATE: 42710/);

# --- preflight ----------------------------------------------------------------------------------------------------------------------
client_ok('preflight', ['preflight', $name], 0, qr/^ check_name +\| status \| expected/m);
my $strict = spec_file('strict.json', '{"migration": "strict", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",'
    . ' "sources": [{"via": "appointments.customer_id"}], "preflight": {"expected_nulls": 30}}}]}');
my $findings = client_ok('preflight with a finding', ['preflight', $strict, '--format', 'json'], 4);
ok((grep { $_->{status} eq 'FAIL' && $_->{expected} =~ /30/ && $_->{actual} =~ /31/ } @{ rows($findings) }), 'preflight: the finding');

# --- pace -----------------------------------------------------------------------------------------------------------------------
client_ok('pace', ['pace', $name], 0, qr/\A setting +\| value\n(?:.*\n)* batch_target_ms +\| 100\n/);
client_ok('pace: settings', ['pace', $name, 'batch_target_ms=50', 'work_share=0.5', 'max_replica_lag_s=off', '--format', 'csv'], 0, qr/^batch_target_ms,50\r\n(?:.*\r\n)*max_replica_lag_s,off\r\n(?:.*\r\n)*work_share,0\.5\r$/m);
client_ok('pace: back to the default', ['pace', $name, 'batch_target_ms=null'], 0, qr/^ batch_target_ms +\| 100\n(?:.*\n)* work_share +\| 0\.5$/m);
client_fails('pace: an unknown setting', ['pace', $name, 'nope=1'], 1, qr/^SQLSTATE: 22023$/m);
client_fails('pace of no migration', ['pace', 'nope'], 1, qr/^error: migration "nope" does not exist\n(?:.*\n)*SQLSTATE: 42704$/m);

# --- run ----------------------------------------------------------------------------------------------------------------------------
client_fails('report without a run', ['report', "latest:$name"], 1, qr/^error: migration "\Q$name\E" has no run yet\nHINT: tenantmig run /);
client_fails('verify without a run', ['verify', $name], 1, qr/^SQLSTATE: 55000$/m);
client_ok('dry run', ['run', $name, '--dry-run'], 0, qr/assigned/, qr/^notice: dry run: 27 of 27 rows to write were written and undone; nothing was changed$/m);
client_ok('dry run of a sample', ['run', $name, '--dry-run', '--dry-run-rows', '3'], 0, qr/assigned/);
client_ok('dry run of everything', ['run', $name, '--dry-run', '--dry-run-full', '--quiet'], 0, qr/assigned/, qr/\A\z/);
is(run_sql($node, $nulls), '31', 'a dry run changes nothing');
client_fails('run with another plan', ['run', $name, '--plan-hash', '0' x 64], 1, qr/^SQLSTATE: TM004$/m);
client_ok('status before a run', ['status'], 0, qr/^ customers-company-id \|/m);
my $run = client_ok('run', ['run', $spec, '--plan-hash', $hash, '--max-count-change', '0'], 5, qr/^ relation +\| outcome +\| source +\| row_count \| deleted_count$/m,
  qr/^run \d+ of "\Q$name\E" completed: 27 of 31 rows assigned, 4 reviews open$/m);
like($run->{out}, qr/ assigned +\| phone_numbers\.customer_id +\| +2 \|/, 'run: counts by source');
is(run_sql($node, $nulls), '4', 'run: rows were written');
my $again = client_ok('run again', ['run', $name, '--quiet'], 5, undef, qr/\A\z/);

# --- status, report, verify ---------------------------------------------------------------------------------------------------------
my $status = rows(client_ok('status', ['status', $name, '--format', 'json'], 5));
is($status->{runs}[0]{state}, 'completed', 'status: state');
is($status->{runs}[0]{open_reviews}, 4, 'status: open reviews');
my $first_run = $status->{runs}[0]{run_id};
my $latest = rows(client_ok('status of all', ['status', '--json'], 5))->[0];
is_deeply([map { $latest->{$_} } qw(migration state rows_total open_reviews)], [$name, 'completed', 4, 4], 'status of all: the latest run');
client_fails('status of nothing', ['status', 'nope'], 1, qr/^error: migration "nope" does not exist\n(?:.*\n)*SQLSTATE: 42704$/m);
client_ok('report', ['report', $first_run], 0, qr/^# /m);
client_ok('report of the latest run', ['report', "latest:$name"], 0, qr/^# /m);
is(ref decode_json(client_ok('report as JSON', ['report', $first_run, '--report-format', 'json'], 0)->{out}), 'HASH', 'report: JSON');
is(ref decode_json(client_ok('report as JSON by the global option', ['--format', 'json', 'report', $first_run], 0)->{out}), 'HASH', 'report: JSON');
client_fails('report of no run', ['report', '999999'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('report of latest of nothing', ['report', 'latest:nope'], 1, qr/^error: migration "nope" does not exist$/m);
client_fails('report of what is no run', ['report', 'last'], 3, qr/^error: "last" is not a run\nHINT: give a run's number, or latest:MIGRATION/);
client_ok('verify', ['verify', $name], 0, qr/ PASS /);

# --- rollback ---------------------------------------------------------------------------------------------------------------------------
client_ok('rollback --script', ['rollback', $first_run, '--script'], 0, qr/^BEGIN TRANSACTION .*\n(.*\n)*UPDATE (?:ONLY )?"public"."customers" /m);
my $somebody = '(SELECT min(id) FROM customers WHERE id IN (SELECT customer_id FROM appointments WHERE company_id = 1) AND updated_at > created_at + interval \'1 second\' AND id IN (34, 28))';
run_sql($node, "UPDATE customers SET company_id = 2 WHERE id = $somebody");
client_ok('verify with a mismatch', ['verify', $name, '--format', 'csv'], 7, qr/,FAIL,/);
client_ok('rollback with a row that somebody wrote later', ['rollback', $first_run], 4, qr/ skipped +\|/, qr/SELECT \* FROM tenantmig\.undo_skipped WHERE run_id = $first_run$/m);
client_fails('rollback again', ['rollback', $first_run], 1, qr/^SQLSTATE: 55000$/m);
is(run_sql($node, $nulls), '30', 'rollback: all rows but the one');
run_sql($node, "UPDATE customers SET company_id = NULL WHERE id = $somebody");
client_ok('run after rollback', ['run', $name, '--single-transaction'], 5, qr/^ relation +\| outcome/m, qr/ completed: 27 of /);
client_ok('rollback', ['rollback', "latest:$name", '--format', 'json'], 0, qr/"outcome": "restored"/);
is(run_sql($node, $nulls), '31', 'rollback: everything');
client_ok('status after rollback: no reviews open', ['status', $name], 0, qr/ rolled_back /);

# --- errors of the server ------------------------------------------------------------------------------------------------------------------
my $fails = spec_file('fails.yaml', "migration: fails\ntenants: {table: companies}\nsteps:\n  - backfill: {table: customers, column: company_id, on_conflict: fail, sources: [{via: appointments.customer_id}, {via: phone_numbers.customer_id}]}\n");
client_fails('on_conflict: fail', ['run', $fails, '--single-transaction'], 1, qr/\Aerror: .+\n(DETAIL: .+\n)(HINT: .+\n)?SQLSTATE: TM002\n\z/);
client_fails('on_conflict: fail, in the background', ['run', $fails], 1, qr/^error: run \d+ of "fails" failed: .+\n(?s:.*)^HINT: /m);
client_ok('cancel of it', ['cancel', 'fails'], 0, qr/ cancelled \|/);

# a finished migration: nothing is open
my $settled = spec_file('settled.yaml', "migration: settled\ntenants: {table: companies}\nsteps:\n  - backfill: {table: customers, column: company_id, on_orphan: {assign: 1}, on_conflict: majority, sources: [{via: phone_numbers.customer_id}]}\n");
client_ok('run that leaves nothing open', ['run', $settled], 0, qr/assign/, qr/ 0 reviews open$/m);

$node->stop('fast');
done_testing();

# lint and bench: formats, exit statuses, files, hostile names, and the pages that name every check.
use strict;
use warnings FATAL => 'all';
use FindBin;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

my $folder = folder();
my $node = new_server('client');
use_server($node);
run_sql($node, q(CREATE TABLE companies (id int PRIMARY KEY);
  CREATE TABLE branches (id int PRIMARY KEY, company_id int NOT NULL REFERENCES companies ON DELETE CASCADE, UNIQUE (company_id, id))));
my $root = 'companies';

# --- nothing to find ---------------------------------------------------------------------------------------------------------
client_ok('lint: clean', ['lint', $root], 0, qr/\A severity \| object \| check_name \| detail\n-.*\n\(0 rows\)\n\z/, qr/^0 errors, 0 warnings, 0 for information, 0 exempt$/m);
client_ok('lint: clean, SARIF', ['lint', $root, '--format', 'sarif'], 0, qr/"results": \[\]/);
client_ok('lint: clean, JUnit', ['lint', $root, '--format', 'junit'], 0, qr/tests="1" failures="0".*no finding/s);

# --- warnings, errors, exemptions --------------------------------------------------------------------------------------------
run_sql($node, q(CREATE TABLE visits (id int PRIMARY KEY, company_id int NOT NULL REFERENCES companies ON DELETE CASCADE, seen timestamp)));
run_sql($node, q(CREATE INDEX ON visits (company_id)));
client_ok('lint: warnings are no failure', ['lint', $root], 0, qr/^ warning +\| public\.visits\.seen \| timestamp_without_zone \| /m);
client_ok('lint: unless asked for', ['lint', $root, '--fail-on', 'warning'], 4);
client_ok('lint: quiet', ['lint', $root, '--fail-on', 'warning', '--quiet'], 4, qr/timestamp/, qr/\A\z/);
run_sql($node, q(SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "visits", "column": "company_id", "not_null": true}}],
  "exempt": [{"finding": "timestamp_without_zone:public.visits.seen", "reason": "local <time> & \"more\""}]}')));
client_ok('lint: exempt', ['lint', $root, '--fail-on', 'warning'], 0, qr/^ exempt +\| public\.visits\.seen .*local <time> & "more"/m, qr/1 exempt/);
client_ok('lint: exempt, SARIF', ['lint', $root, '--format', 'sarif'], 0, qr/"suppressions": \[\s*\{\s*"kind": "external",\s*"status": "accepted",\s*"justification": "local <time> & \\"more\\""/);
client_ok('lint: exempt, JUnit', ['lint', $root, '--format', 'junit'], 0, qr{<skipped message="local &lt;time&gt; &amp; &quot;more&quot;"/>});
run_sql($node, q(ALTER TABLE visits ALTER seen TYPE timestamptz));
client_ok('lint: an exemption that is no longer needed', ['lint', $root, '--fail-on', 'warning'], 4, qr/exemption_unneeded/);
run_sql($node, q(SELECT tenantmig.drop_migration('m')));

my $hostile = qq("x""<a href='&'>]]>\e[31m\nDROP TABLE companies; --");
run_sql($node, qq(CREATE TABLE $hostile (id int PRIMARY KEY, company_id int NOT NULL REFERENCES companies ON DELETE CASCADE, code text UNIQUE)));
my $table = client_ok('lint: errors', ['lint', $root], 4, qr/^ error +\| .*unique_without_tenant/m);
unlike($table->{out}, qr/\e/, 'lint: no control character reaches a terminal');
is(scalar(() = $table->{out} =~ /^ (?:error|warning|info) /mg), scalar(() = $table->{out} =~ /^ \S/mg) - 1, 'lint: one line a finding');
my $sarif = decode_json(client_ok('lint: hostile names, SARIF', ['lint', $root, '--format', 'sarif'], 4)->{out});
my $run = $sarif->{runs}[0];
is($sarif->{version}, '2.1.0', 'SARIF: version');
is($run->{tool}{driver}{name}, 'tenantmig', 'SARIF: driver');
ok(!(grep { !$_->{message}{text} || $_->{level} !~ /^(error|warning|note)$/ || $run->{tool}{driver}{rules}[$_->{ruleIndex}]{id} ne $_->{ruleId} } @{ $run->{results} }), 'SARIF: message, level and rule of every result');
like($run->{results}[0]{locations}[0]{logicalLocations}[0]{fullyQualifiedName}, qr/\Apublic\."x""<a href='&'>\]\]>\e\[31m\nDROP TABLE/, 'SARIF: the name as it is');
my $junit = client_ok('lint: hostile names, JUnit', ['lint', $root, '--format', 'junit'], 4)->{out};
is(run_sql($node, q{SELECT xmlparse(DOCUMENT $x$} . $junit . q{$x$) IS DOCUMENT}), 't', 'JUnit: well-formed');
unlike($junit, qr/[\x00-\x09\x0B-\x1F]/, 'JUnit: no control character');
my $json = decode_json(client_ok('lint: JSON', ['lint', $root, '--json'], 4)->{out});
is($json->{counts}{error}, scalar(grep { $_->{severity} eq 'error' } @{ $json->{findings} }), 'JSON: counts');
client_ok('lint: CSV', ['lint', $root, '--format', 'csv'], 4, qr/\Aseverity,check_name,object,detail,remedy,key,exempt\r\n/);
client_ok('lint: into a file', ['lint', $root, '--format', 'junit', '--output', "$folder/lint.xml"], 4, qr/\A\z/);
is(read_text("$folder/lint.xml"), $junit, 'lint: the same in the file');
client_ok('lint: the schema alone', ['lint', $root, '--no-data', '--schema', 'public', '--tenant-key', 'id'], 4);
client_fails('lint: no such folder', ['lint', $root, '--output', "$folder/none/lint.xml"], 1, qr/\Aerror: /);
client_fails('lint: no such table', ['lint', 'nothing'], 1, qr/\Aerror: table "nothing" does not exist\n(?:.*\n)*SQLSTATE: 42P01\n\z/);
client_fails('lint: no such schema', ['lint', $root, '--schema', 'nothing'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('lint: no such migration', ['lint', $root, '--migration', 'nothing'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('lint: no such format', ['lint', $root, '--format', 'html'], 3, qr/\Aerror: --format: /);
client_fails('lint: no such severity', ['lint', $root, '--fail-on', 'info'], 3, qr/\Aerror: --fail-on: /);
client_fails('lint: of what', ['lint'], 3, qr/\Aerror: root is required/);

# --- bench -------------------------------------------------------------------------------------------------------------------
my $good = write_text("$folder/good.yaml", "queries:\n  - {name: one, sql: SELECT 1, runs: 2, target_ms: 10000}\n");
client_ok('bench', ['bench', $good], 0, qr/^ one  \| PASS   \|    2 \| /m, qr/^0 of 1 failed, 0 with a warning; times in milliseconds$/m);
my $bench = decode_json(client_ok('bench: JSON', ['bench', $good, '--json'], 0)->{out});
is($bench->[0]{plan}[0]{Plan}{'Node Type'}, 'Result', 'bench: the plan');
client_ok('bench: a target missed', ['bench', write_text("$folder/slow.yaml", "queries: [{sql: SELECT pg_sleep(0.01), runs: 1, target_ms: 1}]\n")], 4, qr/FAIL .*p95 is \d/);
client_ok('bench: a query that fails', ['bench', write_text("$folder/error.json", '{"queries": [{"sql": "SELECT * FROM nothing"}, {"sql": "SELECT 1"}]}'), '--format', 'csv'], 4, qr/FAIL,"?42P01: relation.*\n(?:.*\n)*query 2,20/);
client_fails('bench: no queries', ['bench', write_text("$folder/none.yaml", "query: []\n")], 3, qr/\Aerror: .*unknown field "query"/);
client_fails('bench: an empty list', ['bench', write_text("$folder/empty.yaml", "queries: []\n")], 3, qr/^SQLSTATE: 22023$/m);
client_fails('bench: the line of what is wrong', ['bench', write_text("$folder/bad.yaml", "queries:\n  - sql: SELECT 1\n  - sql: SELECT 2\n    runs: 0\n")], 3, qr/queries\[1\]\.runs(?:.*\n)*.*bad\.yaml"?, line 4/);
client_fails('bench: no such file', ['bench', "$folder/nothing.yaml"], 3, qr/\Aerror: /);

# --- every check is on its page, and is failed by a fixture -------------------------------------------------------------------
my $source = join '', map { read_text($_) } glob "$FindBin::Bin/../../extension/src/steps/lint*.cpp";
my %checks = map { $_ => 1 } $source =~ /Severity::\w+,\s*"([a-z_]+)"/g, $source =~ /\? "([a-z_]+)" : "[a-z_]+",\s*object/g, $source =~ /\? "[a-z_]+" : "([a-z_]+)",\s*object/g;
cmp_ok(scalar(keys %checks), '>', 70, 'checks: found in the source');
my $page = read_text("$FindBin::Bin/../../docs/lint.md");
my $fixtures = read_text("$FindBin::Bin/../../expected/lint_findings.out") . read_text("$FindBin::Bin/../../expected/lint.out") . read_text("$FindBin::Bin/../../expected/lint_isolation.out") . read_text("$FindBin::Bin/../../expected/lint_isolation_more.out") . read_text("$FindBin::Bin/../../expected/lint_rekey.out");
is(join(' ', grep { $page !~ /^\| `$_` \|/m } sort keys %checks), '', 'checks: each is on the page');
is(join(' ', grep { $fixtures !~ /^(?:error|warning|info)\|$_\|/m } sort keys %checks), '', 'checks: each has a fixture that fails it');

done_testing();

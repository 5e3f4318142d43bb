# isolate and probe: what they print, in which form, and the status they end with.
use strict;
use warnings FATAL => 'all';
use FindBin;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

my $node = new_server('client');
use_server($node);
my $hostile = qq("a,b\\""c{}\n' \e[31m");
run_sql($node, qq(CREATE ROLE app LOGIN; CREATE ROLE app_reader LOGIN; CREATE ROLE boss LOGIN; CREATE ROLE nobody LOGIN;
  CREATE TABLE companies (id int PRIMARY KEY, name text);
  INSERT INTO companies SELECT n, 'company ' || n FROM generate_series(1, 3) n;
  CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id int REFERENCES companies, name text);
  CREATE TABLE $hostile (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id int NOT NULL REFERENCES companies, name text);
  INSERT INTO customers (company_id, name) SELECT 1 + n % 3, 'customer ' || n FROM generate_series(1, 30) n;
  INSERT INTO $hostile (company_id, name) SELECT 1 + n % 3, 'row ' || n FROM generate_series(1, 30) n;
  GRANT SELECT, DELETE, INSERT (company_id, name), UPDATE (company_id, name) ON customers, $hostile TO app;
  GRANT SELECT ON customers, $hostile TO app_reader, boss;));
my @root = ('--tenant-root', 'companies');
my @isolate = ('isolate', 'customers', $hostile, '--role', 'app', '--role', 'app_reader', '--super-role', 'boss', @root);

# --- isolate: usage ----------------------------------------------------------------------------------------------------------
client_fails('isolate: of what', ['isolate'], 3, qr/\Aerror: tables are required\nHINT: tenantmig isolate customers/);
client_fails('isolate: from whom', ['isolate', 'customers'], 3, qr/\Aerror: --role is required\n/);
client_fails('isolate: criteria of a migration alone', ['isolate', 'customers', '--criteria'], 3, qr/\Aerror: --criteria stands alone/);
client_fails('isolate: what to do with NULL', [@isolate, '--null-keys', 'guess'], 3, qr/\Aerror: --null-keys: /);
client_fails('isolate: no such role', ['isolate', 'customers', '--role', 'nothing', @root], 1, qr/^SQLSTATE: 42704$/m);
client_fails('isolate: no such table', ['isolate', 'nothing', '--role', 'app', @root], 1, qr/^SQLSTATE: 42P01$/m);
client_fails('isolate: no such migration', ['isolate', '--criteria', '--name', 'nothing'], 1, qr/^SQLSTATE: 42704$/m);
is(run_sql($node, 'SELECT count(*) FROM pg_policy'), '0', 'isolate: nothing was done');

# --- isolate: an open criterion ----------------------------------------------------------------------------------------------
run_sql($node, q(INSERT INTO customers (name) VALUES ('of nobody')));
my $open = client_ok('isolate: a row without a tenant', \@isolate, 4, qr/^ null_keys public\.customers +\| FAIL +\| 0 +\| 1 /m,
  qr/^error: step 1 \(isolate\): 1 of \d+ criteria does not hold\nDETAIL: .*null_keys.*\nHINT: .*\nSQLSTATE: TM018$/m);
unlike($open->{out}, qr/\| PASS/, 'isolate: only what is open');
is(run_sql($node, 'SELECT count(*) FROM pg_policy'), '0', 'isolate: no policy before all criteria hold');
client_ok('isolate: all criteria', ['isolate', '--criteria'], 4, qr/\| PASS .*\| FAIL /s, qr/\A\z/);
client_ok('isolate: as CSV', [@isolate, '--format', 'csv'], 4, qr/\Acheck_name,status,expected,actual,detail,hint\r\n"?null_keys/);
client_fails('isolate: the same name for something else', [@isolate, '--null-keys', 'hide'], 1, qr/^SQLSTATE: 42710$/m);
run_sql($node, q(SELECT tenantmig.drop_migration('isolation')));

# --- isolate: done -----------------------------------------------------------------------------------------------------------
my $done = client_ok('isolate', [@isolate, '--null-keys', 'hide'], 0,
  qr/\A relation +\| column_name \| roles +\| super_role \|.*\n-.*\n.* \| company_id +\| \{app,app_reader\} \| boss +\|.*\n.*\n\(2 rows\)\n\z/,
  qr/step +1 +isolate .*\n(?:.*\n)*1\/1  isolation  isolated  \d+\.\d\d s\nprove it: tenantmig probe isolation\n\z/);
unlike($done->{out} . $done->{err}, qr/\e/, 'isolate: no control character reaches a terminal');
is(run_sql($node, 'SELECT count(*) FROM pg_class WHERE relrowsecurity AND relforcerowsecurity'), '2', 'isolate: in force');
client_ok('isolate: once more', [@isolate, '--null-keys', 'hide', '--quiet'], 0, qr/\(2 rows\)/, qr/\A\z/);
client_ok('isolate: criteria hold', ['isolate', '--criteria'], 0);
my $tables = decode_json(client_ok('isolate: JSON', [@isolate, '--null-keys', 'hide', '--json'], 0)->{out});
is(scalar(@$tables), 2, 'isolate: JSON has the tables');
is($tables->[0]{migration}, 'isolation', 'isolate: JSON has all columns');

# --- up: a file that is applied ------------------------------------------------------------------------------------------------
chdir folder() or die;
write_text('isolation.json', run_sql($node, q(SELECT spec FROM tenantmig.migrations WHERE migration = 'isolation')));
my @file = ('up', 'isolation.json', '--no-backup');
client_ok('up: applied, and in force', \@file, 0, qr/\A\z/, qr/\Anothing to do: "isolation" is applied\n\z/);
run_sql($node, 'ALTER TABLE customers DISABLE ROW LEVEL SECURITY');
client_ok('up: applied, and not in force any more', \@file, 7, qr/\A\z/,
  qr/\Anothing to do: "isolation" is applied\nwarning: "isolation": row-level security of public\.customers is not in force: CALL tenantmig\.up\('isolation'\)\n\z/);
client_ok('up: by its name it is put back', ['up', 'isolation', '--no-backup'], 0);
client_ok('up: in force again', \@file, 0, qr/\A\z/, qr/\Anothing to do: "isolation" is applied\n\z/);

# --- probe: usage ------------------------------------------------------------------------------------------------------------
my $summary = qr/^\d+ probes, 0 failed, \d+ skipped, 0 exempt$/m;
client_fails('probe: what', ['probe'], 3, qr/\Aerror: a migration is required, or --role and --tenant-root\n/);
client_fails('probe: a role alone', ['probe', '--role', 'app'], 3, qr/\Aerror: a migration is required/);
client_fails('probe: no pairs', ['probe', 'isolation', '--pairs', '0'], 3, qr/\Aerror: --pairs: /);
client_fails('probe: all, and not all', ['probe', 'isolation', '--all', '--failed-only'], 3, qr/\Aerror: --all and --failed-only exclude each other\nHINT: with neither, .*\n\z/);
client_fails('probe: times of what', ['probe', 'isolation', '--measure'], 3, qr/\Aerror: --measure goes with --speed\n/);
client_fails('probe: two tables in one CSV', ['probe', 'isolation', '--speed', '--format', 'csv'], 3, qr/\Aerror: --speed and --format csv exclude each other\n/);
client_fails('probe: no such migration', ['probe', 'nothing'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('probe: no such role', ['probe', 'isolation', '--role', 'nothing'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('probe: no such table', ['probe', 'isolation', '--table', 'nothing'], 1, qr/^SQLSTATE: 42P01$/m);
client_fails('probe: a setting that is none', ['probe', '--role', 'app', @root, '--setting', 'work_mem; --'], 1, qr/^SQLSTATE: (22023|42602)$/m);
run_sql($node, q(SELECT tenantmig.grant_access('nobody', 'operator')));
client_fails('probe: without the privileges of owner and role', ['probe', 'isolation', '-U', 'nobody'], 1, qr/^SQLSTATE: 42501$/m);

# --- probe: clean ------------------------------------------------------------------------------------------------------------
my $before = run_sql($node, "SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM customers c");
my $short = client_ok('probe: clean', ['probe', 'isolation'], 0, qr/^ status \| acted_as +\| relation +\| attack +\| tenant \| victim \| expected +\| seen\n-/, $summary);
unlike($short->{out}, qr/^ (?:PASS|FAIL)/m, 'probe: what passed is not shown');
my $clean = client_ok('probe: clean, all', ['probe', 'isolation', '--all'], 0, qr/^ status \| acted_as +\| relation +\| attack +\| tenant \| victim \| expected +\| seen\n-/, $summary);
my @lines = grep { /^ (?:PASS|SKIP|FAIL)/ } split /\n/, $clean->{out};
cmp_ok(scalar(@lines), '>', 100, 'probe: one line a probe');
my %columns = map { join(',', map { pos_of($_) } $_) => 1 } @lines;
sub pos_of { my @at; while ($_[0] =~ / \| /g) { push @at, pos $_[0]; last if @at == 2 } return @at; }
is(scalar(keys %columns), 1, 'probe: the columns line up');
unlike($clean->{out}, qr/\e/, 'probe: no control character reaches a terminal');
cmp_ok((sort { $b <=> $a } map { length } @lines)[0], '<', 500, 'probe: no endless line');
is(run_sql($node, "SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM customers c"), $before, 'probe: nothing is left of it');
client_ok('probe: only what failed', ['probe', 'isolation', '--failed-only'], 0, qr/^\(0 rows\)\n\z/m, $summary);
client_ok('probe: quiet', ['probe', 'isolation', '--failed-only', '--quiet'], 0, qr/\(0 rows\)/, qr/\A\z/);
my $all = decode_json(client_ok('probe: JSON', ['probe', 'isolation', '--json'], 0)->{out});
is(join(' ', sort keys %{ $all->[0] }), 'acted_as attack exempt expected key relation remedy seen status tenant victim', 'probe: JSON has all columns');
is(scalar(@$all), scalar(@lines), 'probe: as many as in the table');
is(join(' ', sort keys %{ { map { $_->{acted_as} => 1 } @$all } }), 'app app_reader', 'probe: every role attacks');
client_ok('probe: CSV', ['probe', 'isolation', '--format', 'csv'], 0, qr/\Arelation,attack,tenant,victim,expected,seen,status,remedy,key,exempt,acted_as\r\n/, $summary);
my $reads = decode_json(client_ok('probe: no writes', ['probe', 'isolation', '--no-writes', '--json'], 0)->{out});
cmp_ok(scalar(@$reads), '<', scalar(@$all), 'probe: fewer without those that write');
is(scalar(grep { $_->{attack} =~ /insert|delete|merge/ } @$reads), 0, 'probe: none of them writes');
my $some = decode_json(client_ok('probe: some', ['probe', 'isolation', '--role', 'app', '--table', $hostile, '--tenant', '1', '--tenants', '2', '--pairs', '1', '--max-tenants', '2', '--json'], 0)->{out});
is(join(' ', sort keys %{ { map { $_->{acted_as} => 1 } @$some } }), 'app', 'probe: the role alone');
is(scalar(grep { ($_->{tenant} // '1') !~ /^[12]$/ || ($_->{victim} // '1') !~ /^[12]$/ } @$some), 0, 'probe: these tenants alone');
is(scalar(grep { $_->{relation} eq 'public.customers' } @$some), 0, 'probe: this table alone, whatever it is called');
client_ok('probe: by hand', ['probe', '--role', 'app', @root, '--setting', 'tenantmig.tenant', '--table', 'customers', '--failed-only'], 0, undef, $summary);

# --- every attack is on its page, by its name or as one of a group ("read_…") ---------------------------------------------------
my $page = read_text("$FindBin::Bin/../../docs/isolation.md");
my ($table) = $page =~ /^(\| attacks \|.*?)\n\n/ms;
my @named = $table =~ /`([a-z_]+(?:…)?)`/g;
my $group = sub { my ($attack) = @_; return scalar grep { my $name = $_; $name =~ s/…\z// ? index($attack, $name) == 0 : $attack eq $name } @named };
is(join(' ', grep { !$group->($_) } sort keys %{ { map { $_->{attack} => 1 } @$all } }), '', 'attacks: each is on the page');

# --- probe with --speed ------------------------------------------------------------------------------------------------------
client_ok('probe: speed', ['probe', 'isolation', '--speed'], 0, qr/^\(\d+ rows\)\n\n status +\|.* check_name .*\n-/m, qr/^\d+ checks? of speed, 0 failed, \d+ warnings?, \d+ skipped$/m);
my $both = decode_json(client_ok('probe: speed, JSON', ['probe', 'isolation', '--speed', '--measure', '--json'], 0)->{out});
is(join(' ', sort keys %$both), 'probes speed', 'probe: JSON has both');
ok((grep { $_->{check_name} eq 'plan_cost' || $_->{check_name} eq 'policy' } @{ $both->{speed} }), 'probe: checks of speed');

# --- probe: a hole -----------------------------------------------------------------------------------------------------------
run_sql($node, q(CREATE POLICY hole ON customers FOR SELECT TO app USING (name LIKE '%1')));
my $found = client_ok('probe: a hole', ['probe', 'isolation'], 4,
  qr/^ FAIL +\| app +\| public\.customers +\| foreign_rows +\|.*\n(?:.*\n)*\(\d+ rows\)\n\n(?:.*\n)*?probe\.\w+:public\.customers:app(?: and \d+ more)?\n    \S.*\n/m, qr/^\d+ probes, [1-9]\d* failed, /m);
unlike($found->{out}, qr/^ PASS/m, 'probe: a hole, and not what passed');
my $failed = client_ok('probe: the hole alone', ['probe', 'isolation', '--failed-only'], 4, qr/^ FAIL/m);
unlike($failed->{out}, qr/^ (?:PASS|SKIP)/m, 'probe: nothing that passed');
is(scalar(grep { $_->{status} ne 'FAIL' } @{ decode_json(client_ok('probe: the hole alone, JSON', ['probe', 'isolation', '--failed-only', '--json'], 4)->{out}) }), 0, 'probe: JSON likewise');
like(client_ok('probe: the hole among all', ['probe', 'isolation', '--all'], 4)->{out}, qr/^ PASS.*^ FAIL.*\n\(\d+ rows\)\n\n/ms, 'probe: all has both');
my %fails = map { $_->{key} => 1 } grep { $_->{status} eq 'FAIL' } @{ decode_json(client('probe', 'isolation', '--json')->{out}) };
my ($remedies) = $failed->{out} =~ /\(\d+ rows\)\n\n(.*)\z/s;
cmp_ok(scalar(() = $remedies =~ /^    /mg), '<', scalar(keys %fails), 'probe: a remedy is told once, however many it heals');

# --- probe: exempt -----------------------------------------------------------------------------------------------------------
run_sql($node, q(CALL tenantmig.down('isolation')));
run_sql($node, q(SELECT tenantmig.drop_migration('isolation')));
run_sql($node, q(DROP POLICY hole ON customers));
run_sql($node, q(GRANT INSERT ON customers TO app));
my $spec = q({"migration": "exempt", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers"], "role": "app", "null_keys": "hide"}}]%s});
run_sql($node, 'SELECT tenantmig.create_migration($s$' . sprintf($spec, '') . '$s$)');
run_sql($node, q(CALL tenantmig.up('exempt')));
client_ok('probe: an id that may be chosen', ['probe', 'exempt', '--failed-only'], 4, qr/^ FAIL +\| public\.customers +\| unique .*\n(?:.*\n)*probe\.unique:public\.customers\.customers_pkey:app\n/m);
run_sql($node, q(CALL tenantmig.down('exempt')));
run_sql($node, q(SELECT tenantmig.drop_migration('exempt')));
my $reason = q(, "exempt": [{"finding": "probe.unique:public.customers.customers_pkey:app", "reason": "ids are <no> \\"secret\\""}]);
run_sql($node, 'SELECT tenantmig.create_migration($s$' . sprintf($spec, $reason) . '$s$)');
run_sql($node, q(CALL tenantmig.up('exempt')));
client_ok('probe: exempt', ['probe', 'exempt'], 0, qr/^ exempt +\| public\.customers +\| unique .*\(ids are <no> "secret"\)$/m, qr/^\d+ probes, 0 failed, \d+ skipped, [1-9]\d* exempt$/m);
client_ok('probe: exempt, all', ['probe', 'exempt', '--all'], 0, qr/^ exempt +\| public\.customers +\| unique /m);
client_ok('probe: exempt, only what failed', ['probe', 'exempt', '--failed-only'], 0, qr/\(0 rows\)/);

# --- what a probe may say that no database of ours says ------------------------------------------------------------------------
sub says {
  my ($rows) = @_;
  my ($signature) = run_sql($node, q(SELECT pg_get_function_arguments('tenantmig.probe_isolation'::regproc))) =~ /\A(.*)\z/s;
  run_sql($node, "CREATE OR REPLACE FUNCTION tenantmig.probe_isolation($signature) RETURNS SETOF record LANGUAGE plpgsql AS \$f\$ BEGIN
    RAISE NOTICE '3 of 10 tables, 20 probes, 1 FAIL'; RETURN QUERY $rows; END \$f\$");
  return;
}
my $row = q(SELECT 'public.t'::text, 'attack'::text, NULL::text, NULL::text, 'nothing'::text, %s::text, '%s'::text, '%s'::text, 'probe.attack:public.t:app'::text, NULL::text, 'app'::text);
says(sprintf("$row LIMIT 0", 'NULL', 'PASS', ''));
client_ok('probe: nothing to probe is no proof', ['probe', 'm'], 4, qr/\(0 rows\)/, qr/^0 probes, .*\nnothing was proved: no attack was made\n\z/m);
says(sprintf($row, q('not asked'), 'SKIP', ''));
client_ok('probe: neither is what was not asked', ['probe', 'm'], 4, qr/^ SKIP/m, qr/^1 probe, 0 failed, 1 skipped, 0 exempt\nnothing was proved/m);
says(sprintf($row, q(E'\x1b[31mred\n' || repeat('ü', 300)), 'PASS', ''));
my $long = client_ok('probe: long, and for terminals', ['probe', 'm', '--all'], 0, qr/^ PASS +\| public\.t +\| attack .*\\x1B\[31mred\\n\S*…$/m, qr/^3 of 10 tables, 20 probes, 1 FAIL\n1 probe, /m);
client_ok('probe: all of it in JSON', ['probe', 'm', '--json', '--quiet'], 0, qr/(?:ü|\\u00fc){300}/, qr/\A\z/);

# --- of many alike the first two, and how many more ----------------------------------------------------------------------------
my $many = q(SELECT 'public.t'::text, 'attack'::text, n::text, NULL::text, 'nothing'::text, 'seen ' || n, CASE WHEN n <= 60 THEN 'SKIP' WHEN n <= 65 THEN 'FAIL' ELSE 'PASS' END,
  CASE WHEN n BETWEEN 61 AND 65 THEN 'DO THIS;' END, CASE WHEN n <= 68 THEN E'probe.attack:public.t\x1b[31m:app' ELSE 'probe.other:public.t:app' END, NULL::text, 'app'::text FROM generate_series(1, 70) n);
says($many);
my $few = client_ok('probe: alike', ['probe', 'm'], 4,
  qr/\A.*\n-.*\n SKIP .* seen 1\n SKIP .* seen 2\n FAIL .* seen 61\n FAIL .* seen 62\n\(4 rows\)\n… and 58 more SKIP of (\S+)\n… and 3 more FAIL of \1\n\n\1\n    DO THIS;\n\z/, qr/^70 probes, 5 failed, 60 skipped, 0 exempt$/m);
unlike($few->{out}, qr/\e/, 'probe: no control character reaches a terminal, from a key neither');
unlike(client_ok('probe: alike, all', ['probe', 'm', '--all'], 4, qr/^\(70 rows\)\n\n\S+\n    DO THIS;\n\z/m)->{out}, qr/more/, 'probe: nothing is left out of all');
client_ok('probe: alike, only what failed', ['probe', 'm', '--failed-only'], 4, qr/\A.*\n-.*\n(?: FAIL .* seen 6[1-5]\n){5}\(5 rows\)\n\n/);
is(scalar(@{ decode_json(client_ok('probe: alike, JSON', ['probe', 'm', '--json'], 4)->{out}) }), 70, 'probe: JSON has all of them');
is(scalar(() = client_ok('probe: alike, CSV', ['probe', 'm', '--format', 'csv'], 4)->{out} =~ /\r\n/g), 71, 'probe: CSV has all of them');
says("$many LIMIT 2 OFFSET 68");
client_ok('probe: all passed', ['probe', 'm'], 0, qr/\n\(0 rows\)\n\z/, qr/^2 probes, 0 failed, 0 skipped, 0 exempt$/m);
says(q(SELECT 'public.t'::text, 'a'::text, NULL::text, NULL::text, 'nothing'::text, 'x'::text, 'SKIP'::text, NULL::text, NULL::text, NULL::text, 'app'::text FROM generate_series(1, 4)));
client_ok('probe: without a key nothing is alike', ['probe', 'm'], 4, qr/\n\(4 rows\)\n\z/);
says(q(SELECT 'public.t'::text, 'a'::text, NULL::text, NULL::text, 'nothing'::text, repeat('s', 300), 'FAIL'::text, NULL::text, 'probe.a:public.t:app'::text, repeat('r', 300), 'app'::text));
client_ok('probe: a long reason is cut, too', ['probe', 'm'], 0, qr/^ exempt .* \| s{100}… \(r{100}…\)\n/m);

done_testing();

# Rehearsals: what passes, what fails and how it is said, and that neither the source is changed nor a copy left.
use strict;
use warnings FATAL => 'all';
use FindBin;
use IPC::Run;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;
use Time::HiRes qw(sleep);

my $scenarios = "$FindBin::Bin/../scenarios";
my $folder = folder();
my $node = new_server('rehearse', conf => "max_worker_processes = 16\nfsync = off\n");
use_server($node);
$ENV{TMPDIR} = "$folder/tmp";
mkdir $ENV{TMPDIR} or die;
$node->safe_psql('postgres', read_text("$scenarios/customers/$_.sql")) for qw(schema data);
$node->safe_psql('postgres', "CREATE DATABASE six");
$node->safe_psql('six', 'CREATE EXTENSION tenantmig');
$node->safe_psql('six', read_text("$scenarios/six-tables/$_.sql")) for qw(schema data);

sub whole { my ($database) = @_; return run_sql($node, 'SELECT md5(string_agg(part || object || hash, chr(10) ORDER BY part, object)) FROM tenantmig.fingerprint()', $database); }
sub databases { return run_sql($node, 'SELECT string_agg(datname, $$,$$ ORDER BY datname) FROM pg_database'); }
sub left { opendir(my $handle, $ENV{TMPDIR}) or die; my @names = grep { !/^\.\.?$/ } readdir($handle); return join ',', @names; }
my %source = map { $_ => whole($_) } qw(postgres six);
my $databases = databases();
my $stored = 'SELECT count(*) FROM tenantmig.migrations';

# The source is what it was, and nothing else is there.
sub untouched {
  my ($name, $database) = @_;
  is(whole($database), $source{$database}, "$name: the source is what it was");
  is(run_sql($node, $stored, $database), '0', "$name: no migration in the source");
  is(databases(), $databases, "$name: no database is left");
  is(left(), '', "$name: no file is left");
  return;
}

sub statuses { my ($call) = @_; return { map { $_->{scenario} => $_->{status} } @{ decode_json($call->{out}) } }; }
sub spec { my ($name, $text) = @_; return write_text("$folder/$name.yaml", "migration: $name\ntenants: {table: companies, key: id}\nsteps:\n$text"); }

# --- six tables, in a throw-away cluster ------------------------------------------------------------------------------
my $six = client_ok('six tables', ['-d', 'six', '--json', '-q', 'rehearse', "$scenarios/six-tables/migrations", '--report', "$folder/six.md"], 0, undef, qr/\A\z/);
my $verdicts = statuses($six);
is(scalar(keys %$verdicts), 16, 'six tables: 16 scenarios');
is($verdicts->{$_}, 'PASS', "six tables: $_") for sort keys %$verdicts;
my ($deleting) = grep { $_->{scenario} =~ /deleting a tenant/ } @{ decode_json($six->{out}) };
like($deleting->{detail}, qr/^tenant \d+ and its rows in 11 tables$/, 'six tables: a tenant with rows in all tables was deleted');
my ($killed) = grep { $_->{scenario} =~ /killed/ } @{ decode_json($six->{out}) };
like($killed->{detail}, qr/by signal 9; up again came to the same end$|^every attempt came too late/, 'six tables: killed by signal 9');
my $report = read_text("$folder/six.md");
like($report, qr/^\*\*PASS\*\*: 15 of 15 scenarios passed\.$/m, 'report: the verdict');
like($report, qr/^\| callback-escalations \| 4 \| \d+\.\d\d \| \d+\.\d\d \|$/m, 'report: times of a migration');
untouched('six tables', 'six');

# --- customers, beside the source, with a gate ------------------------------------------------------------------------
my $steps = <<'YAML';
  - backfill:
      table: customers
      column: company_id
      sources: [{via: appointments.customer_id}, {via: phone_numbers.customer_id}]
  - guard: {kind: tenant_key, table: customers, column: company_id, mode: reject}
  - constraint: {table: customers, column: company_id, not_null: true, references: companies.id, on_delete: restrict,
                 gate: {soak: 7 days, open_reviews: 0, approvals: 2, backup_within: 24 hours}}
YAML
my $full = spec('customers-full', $steps);
my $beside = client_ok('customers beside the source', ['rehearse', $full, '--same-server'], 0, qr/^ up +\| PASS   \| +[\d.]+ \| 1 migration, 3 steps/m);
unlike($beside->{out}, qr/FAIL|SKIP/, 'customers: all pass');
like($beside->{err}, qr/^migration "customers-full", step 3: the gate was not asked for soak \(7 days\)$/m, 'customers: soak is left out, and said');
like($beside->{err}, qr/^migration "customers-full", step 3: the gate was not asked for approvals \(2\)$/m, 'customers: approvals likewise');
like($beside->{err}, qr/^migration "customers-full": 4 reviews were decided in the copy/m, 'customers: reviews are decided in the copy');
like($beside->{err}, qr/^public\.customers\.updated_at is not compared where it is the only difference/m, 'customers: what the trigger touches is named');
like($beside->{out}, qr/a process is killed .*(terminated|too late)/, 'customers: no signal 9 on the server of the source');
untouched('customers', 'postgres');
is(run_sql($node, "SELECT count(*) FROM customers WHERE company_id IS NULL"), '31', 'customers: 31 without a company, as before');

# --- constraints alone: there is no run that could be verified -----------------------------------------------------------
$node->safe_psql('postgres', 'CREATE DATABASE tightening');
$node->safe_psql('tightening', 'CREATE EXTENSION tenantmig');
$node->safe_psql('tightening', read_text("$scenarios/tightening/$_.sql")) for qw(schema data);
my $alone = client_ok('constraints alone', ['-d', 'tightening', '-q', 'rehearse', "$scenarios/tightening/migrations", '--same-server'], 0, qr/^ verify +\| PASS   \| +[\d.]+ \| 0 checks$/m);
unlike($alone->{out}, qr/FAIL|SKIP/, 'constraints alone: all pass');
$node->safe_psql('postgres', 'DROP DATABASE tightening');

# --- names that need quotes: rows are made for them all the same ---------------------------------------------------------
$node->safe_psql('postgres', 'CREATE DATABASE quoted');
$node->safe_psql('quoted', <<'SQL');
CREATE EXTENSION tenantmig;
CREATE TABLE "Shops" ("Id" uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE "Ti.lls" ("No" integer PRIMARY KEY, "shopId" uuid);
INSERT INTO "Shops" SELECT md5(n::text)::uuid, 'shop ' || n FROM generate_series(1, 3) n;
INSERT INTO "Ti.lls" SELECT n, md5((1 + n % 3)::text)::uuid FROM generate_series(1, 30) n;
SQL
my $quoted = client_ok('quoted names', ['-d', 'quoted', '-q', 'rehearse', write_text("$folder/quoted.yaml", <<'YAML'), '--same-server'], 0, qr/^ rows can be inserted +\| PASS/m);
migration: quoted
tenants: {table: '"Shops"', key: '"Id"'}
steps:
  - constraint: {table: '"Ti.lls"', column: '"shopId"', not_null: true, references: '"Shops"."Id"'}
YAML
unlike($quoted->{out}, qr/FAIL|SKIP/, 'quoted names: all pass');
$node->safe_psql('postgres', 'DROP DATABASE quoted');

# --- without rows -----------------------------------------------------------------------------------------------------
my $generated = client_ok('generated rows', ['-d', 'six', '--json', 'rehearse', "$scenarios/six-tables/migrations", '--same-server', '--schema-only', '--rows', '40'], 0, undef, qr/^the rows were generated: /m);
is(join(',', grep { $_ ne 'PASS' } values %{ statuses($generated) }), '', 'generated rows: all pass');
$generated = client_ok('generated rows of customers', ['rehearse', $full, '--same-server', '--schema-only', '--rows', '60'], 0, undef, qr/decided in the copy|generated/);
untouched('generated rows', 'six');

# --- elsewhere --------------------------------------------------------------------------------------------------------
my $host = $node->host . ' port=' . $node->port;
client_fails('the source itself', ['rehearse', $full, '--rehearsal-dsn', "host=$host dbname=postgres", '--filled'], 1, qr/^error: the rehearsal database is the source itself\nDETAIL: Both are database "postgres" of the same server\.\nHINT: /m);
client_fails('not empty', ['rehearse', $full, '--rehearsal-dsn', "host=$host dbname=six"], 1, qr/^error: the rehearsal database is not empty\nDETAIL: It has public\.appointments, for example\.\nHINT: .*--filled/m);
client_fails('unreachable', ['rehearse', $full, '--rehearsal-dsn', 'host=/nonexistent dbname=x'], 2, qr/^error: connection to server on socket "\/nonexistent/m);
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
client_ok('elsewhere', ['-q', 'rehearse', $full, '--rehearsal-dsn', "host=$host dbname=elsewhere"], 0, qr/and applied again, step by step +\| PASS/);
is(run_sql($node, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'", 'elsewhere'), '0', 'elsewhere: empty again');
$node->safe_psql('postgres', 'DROP DATABASE elsewhere');
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere TEMPLATE six');
client_ok('a copy that is there', ['-d', 'six', '-q', 'rehearse', "$scenarios/six-tables/migrations", '--rehearsal-dsn', "host=$host dbname=elsewhere", '--filled'], 0, qr/down, to leave the copy as it was +\| PASS/);
is(whole('elsewhere'), $source{six}, 'a copy that is there: as it was');
is(run_sql($node, $stored, 'elsewhere'), '0', 'a copy that is there: no migration is left');
$node->safe_psql('postgres', 'DROP DATABASE elsewhere');

# --- what has to be found ---------------------------------------------------------------------------------------------
my $bad = spec('bad-down', "  - sql: {up: 'CREATE TABLE notes (id int PRIMARY KEY, company_id bigint REFERENCES companies); CREATE INDEX late ON customers (name)', down: 'DROP TABLE notes'}\n");
my $found = client_ok('a down that forgets an index', ['rehearse', $bad, '--same-server'], 7, qr/^ schema and rows are as at the start +\| FAIL +\| .*index public\.late is new/m);
like($found->{out}, qr/^ no constraint, index, trigger or type is left +\| FAIL +\| .*index public\.late/m, 'a down that forgets an index: left over');
like($found->{out}, qr/^ up again, one step at a time +\| FAIL +\|.*relation "late" already exists/m, 'a down that forgets an index: up again fails');
untouched('a down that forgets an index', 'postgres');
my $values = spec('bad-values', "  - sql: {up: 'UPDATE customers SET name = upper(name)', down: 'UPDATE customers SET name = lower(name)'}\n");
client_ok('a down that restores other values', ['rehearse', $values, '--same-server'], 7, qr/^ schema and rows are as at the start +\| FAIL +\| .*public\.customers: other values in name/m);
my $loose = spec('loose', "  - sql: {up: 'CREATE TABLE notes (id int PRIMARY KEY, company_id bigint REFERENCES companies ON DELETE SET NULL, body text NOT NULL CHECK (length(body) > 400))', down: 'DROP TABLE notes'}\n");
client_ok('a table that takes no generated row', ['rehearse', $loose, '--same-server'], 4, qr/^ rows can be inserted +\| FAIL +\| .*notes: no row could be made/m);
my $no_way_back = spec('no-way-back', "  - sql: {up: 'CREATE TABLE notes (id int PRIMARY KEY)'}\n");
client_ok('no way back', ['rehearse', $no_way_back, '--same-server'], 4, qr/^ down, all of it +\| FAIL .*(?:.*\n)*.*SQLSTATE: TM020/m);
my $breaks = spec('breaks', "  - sql: {up: 'CREATE TABLE notes (id int PRIMARY KEY)', down: 'DROP TABLE notes'}\n  - sql: {up: 'SELECT 1 / 0', down: 'SELECT 1'}\n");
my $broken = client_ok('a step that fails', ['--json', 'rehearse', $breaks, '--same-server'], 4);
is(statuses($broken)->{'what a failed up leaves can be taken back'}, 'PASS', 'a step that fails: taken back');
is(statuses($broken)->{'up again changes nothing'}, 'SKIP', 'a step that fails: the rest is not run');
untouched('what has to be found', 'postgres');

# --- what is refused --------------------------------------------------------------------------------------------------
client_fails('keep without a place', ['rehearse', $full, '--keep'], 3, qr/^error: --keep needs --same-server or --rehearsal-dsn\n/);
client_fails('two places', ['rehearse', $full, '--same-server', '--rehearsal-dsn', 'x'], 3, qr/^error: --(same-server|rehearsal-dsn) excludes /);
client_fails('rows without schema-only', ['rehearse', $full, '--rows', '5'], 3, qr/^error: --rows requires --schema-only/);
client_fails('no rows', ['rehearse', $full, '--schema-only', '--rows', '0'], 3, qr/"0" is not a number of rows, 1 or more/);
client_fails('filled without a place', ['rehearse', $full, '--filled'], 3, qr/^error: --filled requires --rehearsal-dsn/);
client_fails('a spec that is wrong', ['rehearse', write_text("$folder/wrong.yaml", "migration: x\nsteps: []\n")], 3, qr/^error: spec: /);
client_fails('a directory without migrations', ['rehearse', $ENV{TMPDIR}], 3, qr/^error: /);
client_fails('no such file', ['rehearse', "$folder/nowhere"], 3, qr/^error: /);
client_fails('no server', ['-h', '/nonexistent', 'rehearse', $full], 2, qr/^error: connection to server/);
client_fails('no programs', ['rehearse', $full, '--pg-bindir', $ENV{TMPDIR}], 1, qr/^error: /m);
$node->safe_psql('postgres', "CREATE ROLE weak LOGIN; SELECT tenantmig.grant_access('weak', 'operator')");
client_fails('no right to read', ['-U', 'weak', 'rehearse', $full], 1, qr/permission denied/);
client_fails('no right to make a database', ['-U', 'weak', 'rehearse', $full, '--same-server'], 1, qr/^error: permission denied to create database\nHINT: CREATEDB is needed/m);
$node->safe_psql('postgres', 'DROP OWNED BY weak; DROP ROLE weak');
{
  local $ENV{TMPDIR} = '/nonexistent';
  client_fails('no room for the dump', ['rehearse', $full, '--same-server'], 1, qr/^error: could not make the folder "\/nonexistent\//m);
}
untouched('refusals', 'postgres');

# --- a signal ---------------------------------------------------------------------------------------------------------
{
  my ($in, $out, $err) = ('', '', '');
  my $run = IPC::Run::start(['tenantmig', 'rehearse', $full, '--same-server'], '<', \$in, '>', \$out, '2>', \$err);
  for (1 .. 600) { last if databases() ne $databases; sleep 0.05; }
  isnt(databases(), $databases, 'signal: the copy is there');
  $run->signal('INT');
  $run->finish;
  is($run->full_result >> 8, 130, 'signal: status 130') or diag($err);
}
untouched('signal', 'postgres');

# --- kept, and applied ------------------------------------------------------------------------------------------------
my $kept = client_ok('kept', ['rehearse', $full, '--same-server', '--keep'], 0, undef, qr/^the copy is kept: database "(tenantmig_rehearsal_[0-9a-f]{8})" on the same server; DROP DATABASE "\1";$/m);
my ($name) = $kept->{err} =~ /(tenantmig_rehearsal_[0-9a-f]{8})/;
is(run_sql($node, 'SELECT count(*) FROM customers WHERE company_id IS NULL', $name), '0', 'kept: the copy is migrated');
$node->safe_psql('postgres', "DROP DATABASE $name");
untouched('kept', 'postgres');
client_ok('applied', ['-d', 'six', '-q', 'up', '--dir', "$scenarios/six-tables/migrations", '--no-backup'], 0);
client_ok('nothing to rehearse', ['-d', 'six', 'rehearse', "$scenarios/six-tables/migrations"], 0, qr/\A\z/, qr/^nothing to rehearse: all 6 are applied$/m);

# --- fingerprints survive a dump and restore --------------------------------------------------------------------------
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok(['bash', '-c', 'set -o pipefail; pg_dump -d six | psql -Xq -v ON_ERROR_STOP=1 -d restored -o /dev/null'], 'dump and restore');
is(whole('restored'), whole('six'), 'fingerprint: the same after a dump and restore, six tables and their guards included');

done_testing();

# A directory of migrations: up, down, status, new, validate, --log, SQL files, and the exit status of each. The steps are of
# kind sql, so that what they do is seen with plain SQL.
use strict;
use warnings FATAL => 'all';
use FindBin;
use JSON::PP qw(decode_json encode_json);
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

my $node = new_server('client');
use_server($node);
run_sql($node, 'CREATE TABLE companies (id int PRIMARY KEY); CREATE TABLE customers (id int PRIMARY KEY, company_id int)');
my $folder = folder();
chdir $folder or die;
delete $ENV{COLUMNS};

sub rows { return decode_json($_[0]->{out}); }
sub sql_step { my ($up, $down) = @_; return "  - sql:\n      up: $up\n" . (defined $down ? "      down: $down\n" : ''); }
sub spec { my ($name, @steps) = @_; return "migration: $name\ntenants: {table: companies, key: id}\nsteps:\n" . join('', @steps); }
sub table_step { return sql_step("CREATE TABLE $_[0] (id int PRIMARY KEY)", "DROP TABLE $_[0]"); }
sub migration { my ($file, $name, @steps) = @_; return write_text("migrations/$file", spec($name, @steps)); }
sub there { return run_sql($node, q(SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT IN ('companies', 'customers'))); }
sub states { return join(' ', map { "$_->{migration}:$_->{state}" =~ tr/ /-/r } @{ rows(client('status', '--json')) }); }
sub stored { return run_sql($node, "SELECT spec -> 'steps' -> 0 -> 'sql' ->> 'up' FROM tenantmig.migrations WHERE migration = '$_[0]'"); }

# --- no directory, an empty one ---------------------------------------------------------------------------------------------------
client_fails("$_->[0]: no directory", [@$_, '--dir', 'nowhere'], 3, qr/\Aerror: could not read the directory "nowhere": No such file or directory\nHINT: --dir names .*\n\z/) for ['up', '--no-backup'], ['down'], ['status'];
mkdir 'migrations' or die;
write_text('migrations/README.md', 'not a migration');
write_text('migrations/.hidden.yaml', 'not one either');
mkdir 'migrations/folder.yaml' or die;
client_fails("$_->[0]: nothing in it", $_, 3, qr/\Aerror: there is no migration in "migrations"\nDETAIL: It holds no file \*\.yaml.*\nHINT: .*tenantmig new NAME .*\n\z/) for ['up', '--no-backup'], ['down'], ['status'], ['validate', 'migrations'];

# --- new ------------------------------------------------------------------------------------------------------------------------------
my $made = client_ok('new', ['new', 'add tables'], 0, qr/\Amigrations\/0001_add-tables\.yaml\n\z/, qr/\Afill it in, then: tenantmig validate migrations\n\z/);
my $template = read_text('migrations/0001_add-tables.yaml');
client_ok('new: what it writes is a spec', ['validate', '--offline', 'migrations/0001_add-tables.yaml'], 0);
client_ok('new: and the server agrees', ['validate', 'migrations/0001_add-tables.yaml'], 0);
{
  # the comments are right as well: each of them taken alone, and all together
  my $all = join("\n", map { s/^# (?=- |  )/  /r } split /\n/, $template);
  client_ok('new: with all comments taken away it is a spec', ['validate', '--offline', write_text('all.yaml', $all)], 0);
  like($all, qr/^  - $_:/m, "new: the template has $_") for qw(sql add_column backfill guard index constraint isolate rekey drop_column);
}
client_fails('new: the same name again', ['new', 'add tables'], 3, qr/\Aerror: migration "add tables" exists already\nDETAIL: It stands in "migrations\/0001_add-tables\.yaml"\.\nHINT: .*\n\z/);
client_ok('new: the next number', ['new', 'second', '--json'], 0, qr/"file": "migrations\/0002_second\.yaml"/);
client_fails('new: a name that cannot be one', ['new', "a\nb"], 3, qr/\Aerror: spec: migration: the name contains a control character\n/);
client_ok('new: a directory that is not there yet', ['new', 'Über "x" / ..', '--dir', 'other'], 0, qr/\Aother\/0001_ber-x\.yaml\n\z/);
client_ok('new: its name is as given', ['validate', '--offline', 'other'], 0, qr/^ 0001_ber-x\.yaml \| Über "x" \/ \.\. +\| +1 \| PASS/m);
client_fails('new: a directory whose parent is missing', ['new', 'x', '--dir', 'none/deeper'], 1, qr/\Aerror: could not write "none\/deeper": No such file or directory\n\z/);
write_text('other/0009_x.yaml', spec('x', table_step('x')));
client_ok('new: after the highest number', ['new', 'y', '--dir', 'other'], 0, qr/\Aother\/0010_y\.yaml\n\z/);
unlink glob('migrations/*.yaml'), 'all.yaml';

# --- fresh directory ---------------------------------------------------------------------------------------------------------------
migration('001_a.yaml', 'a', table_step('a1'), table_step('a2'));
migration('002_b.yml', 'b', table_step('b1'));
write_text('migrations/003_c.json', encode_json({ migration => 'c', tenants => { table => 'companies' }, steps => [{ sql => { up => 'CREATE TABLE c1 ()', down => 'DROP TABLE c1' } }] }));
client_ok('status: all pending', ['status'], 0, qr/\A file +\| migration \| state +\| steps \| applied_at \| by \| next_command\n.*\n 001_a\.yaml \| a +\| pending \| 0\/2 +\| +\| +\| tenantmig up\n 002_b\.yml +\| b .*\n 003_c\.json .*\n\(3 rows\)\n\z/);
client_ok('validate', ['validate', 'migrations'], 0, qr/^ 001_a\.yaml \| a +\| +2 \| PASS +\| checked against the database\n/m, qr/\A\z/);
client_ok('validate --offline', ['validate', 'migrations', '--offline', '-h', '/nowhere'], 0, qr/^ 003_c\.json +\| c +\| +1 \| PASS +\| the document\n/m);
is(run_sql($node, 'SELECT count(*) FROM tenantmig.migrations'), 0, 'status and validate store nothing');
client_ok('up --dry-run', ['up', '--no-backup', '--dry-run'], 0, qr/^ a +\| +1 \| sql /m);
is(run_sql($node, 'SELECT count(*) FROM tenantmig.migrations') . there(), '0', 'up --dry-run changes nothing');
my $up = client_ok('up --to', ['up', '--no-backup', '--to', 'b'], 0, qr/\| done +\|/, qr/^  step  1  sql +applied\n  step  2  sql +applied\n1\/2  001_a\.yaml  a  applied  [\d.]+ s\n  step  1  sql +applied\n2\/2  002_b\.yml   b  applied  [\d.]+ s\n\z/m);
is(there(), 'a1 a2 b1', 'up --to: what it did');
is(states(), 'a:applied b:applied c:pending', 'up --to: states');
client_ok('up: the rest', ['up', '--no-backup', '--json'], 0, qr/"migration": "c"/);
is(there(), 'a1 a2 b1 c1', 'up: what it did');
client_ok('up again: nothing to do', ['up', '--no-backup'], 0, qr/\A\z/, qr/\Anothing to do: all migrations are applied\n\z/);
client_ok('up --to again: nothing to do', ['up', '--no-backup', '--to', '002_b'], 0, qr/\A\z/, qr/\Anothing to do: all migrations up to "002_b" are applied\n\z/);
client_fails('up --to an unknown one', ['up', '--no-backup', '--to', 'z'], 3, qr/\Aerror: there is no migration "z" in "migrations"\nHINT: /);
my $status = client_ok('status: all applied', ['status', '--json'], 0);
is($_->{applied_by}, 'postgres', "status: $_->{migration}: by whom") for @{ rows($status) };
like($_->{applied_at}, qr/^\d{4}-\d\d-\d\d \d\d:/, "status: $_->{migration}: when") for @{ rows($status) };
is($_->{steps_done}, $_->{steps}, "status: $_->{migration}: steps") for @{ rows($status) };
client_ok('status of one: its steps', ['status', 'a'], 0, qr/^ +1 \| sql +\|.*\| applied/m);
client_fails('status of none', ['status', 'z'], 1, qr/^SQLSTATE: 42704$/m);
client_ok('validate: applied', ['validate', 'migrations'], 0, qr/^ 001_a\.yaml \| a +\| +2 \| PASS +\| applied\n/m);

# --- down --------------------------------------------------------------------------------------------------------------------------------
client_ok('down --dry-run', ['down', '2', '--dry-run'], 0, qr/ c +\| +1 \| sql .*\n b +\| +1 \| sql .*\n\(2 rows\)/);
is(there(), 'a1 a2 b1 c1', 'down --dry-run changes nothing');
client_ok('down: the last one', ['down'], 0, undef, qr/^1\/1  003_c\.json  c  taken back  [\d.]+ s\n\z/m);
is(there(), 'a1 a2 b1', 'down: what it did');
client_ok('down --to', ['down', '--to', 'a'], 0, undef, qr/^1\/1  002_b\.yml  b  taken back/m);
is(there(), 'a1 a2', 'down --to: what it did');
client_ok('down --to again', ['down', '--to', 'a'], 0, qr/\A\z/, qr/\Anothing to take back: nothing was applied after "a"\n\z/);
client_fails('down --to one that is not applied', ['down', '--to', 'c'], 3, qr/\Aerror: migration "c" is not applied\nDETAIL: /);
client_ok('up again', ['up', '--no-backup', '--quiet'], 0, undef, qr/\A\z/);
client_ok('down: more than there are', ['down', '9'], 0, undef, qr/\Aonly 3 are applied\n(?:.*\n)*3\/3  001_a\.yaml  a  taken back/);
is(there(), '', 'down: all of them');
client_ok('down: nothing left', ['down', '--all'], 0, qr/\A\z/, qr/\Anothing to take back: no migration is applied\n\z/);
client_fails('down 0', ['down', '0'], 3, qr/\Aerror: "0" is not a number of migrations\nHINT: /);
client_fails('down by number and --all', ['down', '1', '--all'], 3, qr/\Aerror: .*excludes/);
is(states(), 'a:pending b:pending c:pending', 'down: states');

# --- one migration in the database ---------------------------------------------------------------------------------------------------
client_ok('up NAME --steps', ['up', '--no-backup', 'a', '--steps', '1'], 0, undef, qr/^1\/1  a  applied/m);
is(there(), 'a1', 'up NAME --steps: what it did');
is(states(), 'a:partly-applied b:pending c:pending', 'up NAME --steps: state');
my $partly = client_ok('status: partly applied', ['status'], 4, qr/^ 001_a\.yaml \| a +\| partly applied \| 1\/2 /m);
client_ok('up NAME', ['up', '--no-backup', 'a'], 0);
client_ok('up NAME again', ['up', '--no-backup', 'a'], 0, qr/\A\z/, qr/^notice: migration "a": nothing to do, all steps are applied$/m);
client_ok('down NAME --to-step', ['down', 'a', '--to-step', '1'], 0);
is(there(), 'a1', 'down NAME --to-step: what it did');
client_ok('down NAME --dry-run', ['down', 'a', '--dry-run'], 0, qr/^ a +\| +1 \| sql /m);
client_ok('down NAME', ['down', 'a'], 0);
is(there(), '', 'down NAME: what it did');
client_fails("$_ of no migration", [$_, 'nope'], 1, qr/\Aerror: migration "nope" does not exist\nHINT: .*\nSQLSTATE: 42704\n\z/) for qw(up down);
client_fails('up --to-step that is none', ['up', '--no-backup', 'a', '--to-step', '9'], 1, qr/^error: there is no step 9\n(?:.*\n)*SQLSTATE: 22023\n\z/m);
client_fails('up --steps without a migration', ['up', '--no-backup', '--steps', '1'], 3, qr/\Aerror: /);
client_ok('up FILE', ['up', '--no-backup', 'migrations/002_b.yml'], 0);
is(there(), 'b1', 'up FILE: what it did');
client_ok('down NAME of a file', ['down', 'b'], 0);

# --- edited files ---------------------------------------------------------------------------------------------------------------------
client_ok('up', ['up', '--no-backup'], 0);
migration('002_b.yml', 'b', table_step('b2'));
my $edited = client_fails('up: a file was edited', ['up', '--no-backup'], 4,
  qr/\A"002_b\.yml" differs from what was applied:\n  steps\[0\]\.sql\.down  stored: "DROP TABLE b1"\n +given: "DROP TABLE b2"\n  steps\[0\]\.sql\.up +stored: "CREATE TABLE b1 .*\n +given: "CREATE TABLE b2 .*\nerror: migration "b" was changed after it was applied\nDETAIL: steps\[0\]\.sql\.down: .*; and 1 more\.\nHINT: .*tenantmig down b .*\nLOCATION: "migrations\/002_b\.yml", line \d+\nSQLSTATE: TM017\n\z/);
client_fails('up --dry-run: a file was edited', ['up', '--no-backup', '--dry-run'], 4, qr/^SQLSTATE: TM017$/m);
client_ok('status: a file was edited', ['status'], 4, qr/^ 002_b\.yml +\| b +\| changed since applied \| 1\/1 /m);
client_ok('validate: a file was edited', ['validate', 'migrations'], 4, qr/^ 002_b\.yml +\| b +\| +1 \| FAIL +\| changed since it was applied: steps\[0\]\.sql\.down\n/m);
is(there(), 'a1 a2 b1 c1', 'up: a file was edited: nothing was done');
client_ok('down: what was applied is taken back', ['down', '2'], 0, undef, qr/^"002_b\.yml" was changed since; what was applied is taken back\n/m);
is(there(), 'a1 a2', 'down: what was applied is taken back, not what the file says now');
client_ok('up: an edited file of nothing applied', ['up', '--no-backup'], 0);
is(there() . ' ' . stored('b'), 'a1 a2 b2 c1 CREATE TABLE b2 (id int PRIMARY KEY)', 'up: an edited file of nothing applied takes the place of the stored one');
write_text('migrations/002_b.yml', "# a comment\n\n" . spec('b', "  - sql: {down: DROP TABLE b2, up: 'CREATE TABLE b2 (id int PRIMARY KEY)'}\n"));
client_ok('up: another notation is no change', ['up', '--no-backup'], 0, undef, qr/^nothing to do/m);

# What is only said about a migration is no reason to take it back: exemptions, for instance.
my $same = spec('b', "  - sql: {down: DROP TABLE b2, up: 'CREATE TABLE b2 (id int PRIMARY KEY)'}\n");
my $exempt = "exempt: [{finding: 'fk_index:public.b2', reason: of no use}]\ndescription: b, the second\n";
write_text('migrations/002_b.yml', $same . $exempt);
client_ok('status: a new exemption', ['status'], 4, qr/^ 002_b\.yml +\| b +\| changed since applied \|.*\| tenantmig up takes it over$/m);
client_ok('up --dry-run: a new exemption', ['up', '--no-backup', '--dry-run'], 0, undef, qr/^"002_b\.yml": description, exempt would be taken over; its steps stay as they were applied$/m);
is(run_sql($node, q(SELECT spec -> 'exempt' FROM tenantmig.migrations WHERE migration = 'b')), '', 'up --dry-run: a new exemption is not stored');
client_ok('up: a new exemption', ['up', '--no-backup'], 0, undef, qr/\A"002_b\.yml": description, exempt are taken over; its steps stay as they were applied\nnothing to do/);
is(run_sql($node, q(SELECT spec -> 'exempt' -> 0 ->> 'reason' FROM tenantmig.migrations WHERE migration = 'b')), 'of no use', 'up: a new exemption is stored');
is(there(), 'a1 a2 b2 c1', 'up: a new exemption: nothing else was done');
client_ok('up: the exemption is taken back', do { write_text('migrations/002_b.yml', $same); ['up', '--no-backup'] }, 0, undef, qr/^"002_b\.yml": description, exempt are taken over/m);
write_text('migrations/002_b.yml', spec('b', table_step('b3')) . $exempt);
client_fails('up: an exemption and another step', ['up', '--no-backup'], 4, qr/^HINT: .*or, where the steps may be taken back, tenantmig down b /m);
is(run_sql($node, q(SELECT spec -> 'exempt' FROM tenantmig.migrations WHERE migration = 'b')), '', 'up: an exemption and another step: nothing is stored');
write_text('migrations/002_b.yml', $same);

# --- removed, late, broken, double files ------------------------------------------------------------------------------------------------
rename 'migrations/002_b.yml', 'b.yml' or die;
client_ok('status: a file is missing', ['status'], 4, qr/^ +\| b +\| applied, file missing \| 1\/1 /m);
client_ok('status --ignore-missing', ['status', '--ignore-missing'], 0, qr/\(2 rows\)/);
client_ok('up: a file is missing', ['up', '--no-backup'], 0, undef, qr/\Awarning: migration "b" is applied, and no file names it\nnothing to do/);
client_ok('down: the last has a file', ['down'], 0);
client_fails('down: it would be one without a file', ['down'], 4, qr/\Aerror: migration "b" is applied, and no file names it\nDETAIL: .*\nHINT: tenantmig down b .*--ignore-missing/);
rename 'b.yml', 'migrations/002_b.yml' or die;
migration('001b_late.yaml', 'late', table_step('late'));
client_fails('up: out of order', ['up', '--no-backup'], 4, qr/\A(?:warning: .*\n)*error: the migrations are out of order\nDETAIL: "001b_late\.yaml" is pending, and "002_b\.yml", which comes after it, is applied\.\nHINT: .*--out-of-order/);
client_ok('status: out of order', ['status'], 4, qr/^ 001b_late\.yaml \| late +\| pending +\| 0\/1 .*--out-of-order/m);
client_ok('validate: out of order', ['validate', 'migrations'], 4, qr/^ 001b_late\.yaml \| late .* FAIL +\| not applied, and a later one is\n/m);
is(there(), 'a1 a2 b2', 'up: out of order: nothing was done');
client_ok('up --out-of-order', ['up', '--no-backup', '--out-of-order'], 0, undef, qr/^warning: "001b_late\.yaml" is pending, and "002_b\.yml", which comes after it, is applied\n/m);
is(there(), 'a1 a2 b2 c1 late', 'up --out-of-order: what it did');
client_ok('down takes them in the reverse of the order in which they were applied', ['down', '2'], 0, undef, qr/^1\/2  003_c\.json +c +taken back.*\n(?:.*\n)*2\/2  001b_late\.yaml  late  taken back/m);
unlink 'migrations/001b_late.yaml' or die;
write_text('migrations/004_broken.yaml', "migration: broken\nsteps: [\n");
client_fails('up: broken YAML', ['up', '--no-backup'], 3, qr/\Aerror: the spec is not YAML\nDETAIL: .*\nLOCATION: "migrations\/004_broken\.yaml", line \d+\n\z/);
client_fails('down: broken YAML', ['down'], 3, qr/^LOCATION: "migrations\/004_broken\.yaml"/m);
client_ok('status: broken YAML', ['status'], 3, qr/^ 004_broken\.yaml \| +\| unusable +\| +\| +\| +\| tenantmig validate migrations\/004_broken\.yaml\n/m, qr/^error: the spec is not YAML$/m);
client_ok('validate: broken YAML, and the others', ['validate', 'migrations'], 3, qr/ 001_a\.yaml .* PASS .*\n(?:.*\n)* 004_broken\.yaml \| +\| +0 \| FAIL +\| the spec is not YAML\n/);
client_ok('down NAME needs no directory', ['down', 'b'], 0);
migration('004_broken.yaml', 'a', table_step('other'));
client_fails('up: a name that stands twice', ['up', '--no-backup'], 3, qr/\Aerror: migration "a" stands in two files\nDETAIL: They are "001_a\.yaml" and "004_broken\.yaml"\.\n/);
unlink 'migrations/004_broken.yaml' or die;
migration('10_ten.yaml', 'ten', table_step('ten'));
migration('9_nine.yaml', 'nine', table_step('nine'));
client_ok('validate: numbers that do not go with the order', ['validate', 'migrations'], 0, undef, qr/^warning: "10_ten\.yaml" comes before "9_nine\.yaml": files are taken in the order of their names/m);
unlink 'migrations/10_ten.yaml', 'migrations/9_nine.yaml';

# --- names that an earlier migration makes --------------------------------------------------------------------------------------------------
client_ok('down', ['down', '--all'], 0);
migration('002_b.yml', 'b', "  - guard: {kind: immutable, table: a1, column: id}\n", table_step('b1'));
client_ok('validate: names that come later', ['validate', 'migrations'], 0, qr/^ 002_b\.yml +\| b +\| +2 \| PASS +\| the document; the rest is checked when earlier ones are applied: spec: steps\[0\]\.guard\.table: relation "a1" does not exist\n/m);
client_ok('up --dry-run: names that come later', ['up', '--no-backup', '--dry-run'], 0, qr/^ a +\|/m, qr/^"002_b\.yml" can be planned when what comes before it is applied: spec: steps\[0\]/m);
client_ok('up: names that come later', ['up', '--no-backup'], 0, undef, qr/^  step  1  guard +a1\.id +applied\n/m);
is(states(), 'a:applied b:applied c:applied', 'up: names that come later');
client_ok('down', ['down', '--all'], 0);
migration('001_a.yaml', 'a', "  - guard: {kind: immutable, table: nowhere, column: id}\n");
client_fails('up: a name that does not resolve', ['up', '--no-backup'], 3, qr/\Aerror: spec: steps\[0\]\.guard\.table: relation "nowhere" does not exist\n(?:.*\n)*LOCATION: "migrations\/001_a\.yaml", line 4\nSQLSTATE: 42P01\n\z/);
client_ok('validate: a name that does not resolve', ['validate', 'migrations'], 3, qr/^ 001_a\.yaml .* FAIL +\| spec: steps\[0\]\.guard\.table: relation "nowhere" does not exist\n/m, qr/^SQLSTATE: 42P01$/m);
is(there(), '', 'a name that does not resolve: nothing was done');

# --- SQL files -----------------------------------------------------------------------------------------------------------------------
sub file_step { return sql_step("{file: $_[0]}", 'DROP TABLE f1'); }
unlink glob('migrations/*.y*ml'), 'migrations/003_c.json';
mkdir 'migrations/sql' or die;
write_text('migrations/sql/f.sql', "\xEF\xBB\xBFCREATE TABLE f1 (\r\n  id int\r\n);\r\n");
migration('001_f.yaml', 'f', file_step('sql/f.sql'));
client_ok('a SQL file', ['up', '--no-backup'], 0);
is(there(), 'f1', 'a SQL file: what it did');
is(stored('f'), "CREATE TABLE f1 (\n  id int\n);\n", 'a SQL file: its text is what is stored, with line feeds');
write_text('migrations/sql/f.sql', "CREATE TABLE f1 (\n  id int\n);\n");
client_ok('a SQL file: other line ends are no change', ['up', '--no-backup'], 0, undef, qr/^nothing to do/m);
write_text('migrations/sql/f.sql', "CREATE TABLE f1 (\n  id bigint\n);\n");
client_fails('a SQL file: edited', ['up', '--no-backup'], 4, qr/^  steps\[0\]\.sql\.up  stored: ".*id int.*\n +given: ".*id bigint.*\n(?:.*\n)*SQLSTATE: TM017\n\z/m);
unlink 'migrations/sql/f.sql';
client_fails('a SQL file: missing', ['up', '--no-backup'], 3, qr/\Aerror: spec: steps\[0\]\.sql\.up: could not open "migrations\/sql\/f\.sql": No such file or directory\nLOCATION: "migrations\/001_f\.yaml", line 5\n\z/);
my $outside = write_text("$folder/outside.sql", 'SELECT 1');
for my $name ('../outside.sql', $outside, 'link.sql') {
  symlink $outside, 'migrations/link.sql';
  migration('001_f.yaml', 'f', file_step($name));
  client_fails("a SQL file: $name is outside", ['validate', '--offline', 'migrations/001_f.yaml'], 3, qr/\Aerror: spec: steps\[0\]\.sql\.up: ".*(?:outside|link)\.sql" lies outside of the spec's folder\nHINT: .*--sql-files-anywhere\nLOCATION: /);
  client_ok("a SQL file: $name, allowed", ['validate', '--offline', 'migrations/001_f.yaml', '--sql-files-anywhere'], 0);
}
for (['a NUL byte', "SELECT\0", qr/the file is binary, not text\nDETAIL: It contains a NUL byte\.\nLOCATION: "migrations\/sql\/f\.sql", line 1, which is named in "migrations\/001_f\.yaml", line 5/],
  ['no UTF-8', "SELECT '\xE4'", qr/the file is not UTF-8 text\nHINT: save it as UTF-8\nLOCATION: "migrations\/sql\/f\.sql", line 1/],
  ['UTF-16', "\xFF\xFES\0", qr/the file is UTF-16, not UTF-8/], ['nothing in it', '', qr/".*f\.sql" is empty/], ['only blanks', "\n", qr/the text is empty/]) {
  my ($what, $text, $error) = @$_;
  write_text('migrations/sql/f.sql', $text);
  migration('001_f.yaml', 'f', file_step('sql/f.sql'));
  client_fails("a SQL file: $what", ['up', '--no-backup'], 3, qr/\Aerror: spec: steps\[0\]\.sql\.up: $error/);
}
migration('001_f.yaml', 'f', file_step('sql'));
client_fails('a SQL file: a folder', ['up', '--no-backup'], 3, qr/it is a directory\n/);
migration('001_f.yaml', 'f', file_step('7'));
client_fails('a SQL file: no name', ['up', '--no-backup'], 3, qr/\Aerror: spec: steps\[0\]\.sql\.up: a file is read by the client\n(?:.*\n)*SQLSTATE: TM001\n\z/);
client_ok('down', ['down', 'f'], 0);
write_text('migrations/001_f.yaml', spec('f', "  - sql:\n      up: |\n        CREATE TABLE f1 (id int);\n        COMMENT ON TABLE f1 IS 'a: b # c';\n      down: >-\n        DROP\n        TABLE f1\n"));
client_ok('YAML text of several lines', ['up', '--no-backup'], 0);
is(run_sql($node, q(SELECT obj_description('f1'::regclass))), 'a: b # c', 'YAML text of several lines: what it did');
client_ok('down of it', ['down'], 0);

# --- a step that fails half-way ---------------------------------------------------------------------------------------------------------
migration('001_f.yaml', 'f', table_step('f1'), sql_step('CREATE TABLE f2 (id nonsense)', 'DROP TABLE f2'), table_step('f3'));
my $failed = client_ok('up: a step fails', ['up', '--no-backup'], 1, qr/\| done .*\n.*\| failed /, qr/^  step  1  sql +applied\n1\/1  001_f\.yaml  f  failed  [\d.]+ s\nerror: .*type "nonsense" does not exist\n(?:.*\n)*SQLSTATE: 42704\n\z/m);
is(there(), 'f1', 'up: a step fails: the one before it stands');
client_ok('status: a step fails', ['status'], 4, qr/^ 001_f\.yaml \| f +\| partly applied \| 1\/3 .*tenantmig up, or tenantmig down f$/m, qr/^f: step 2 \(sql\): .*nonsense/m);
client_ok('up: the same again', ['up', '--no-backup', '--quiet'], 1, undef, qr/^SQLSTATE: 42704$/m);
migration('001_f.yaml', 'f', table_step('f9'), sql_step('CREATE TABLE f2 (id int)', 'DROP TABLE f2'), table_step('f3'));
client_fails('up: a step that is applied was edited', ['up', '--no-backup'], 4, qr/^"001_f\.yaml" differs from what is stored:\n(?:.*\n)*error: migration "f" was changed after it was applied\nDETAIL: Steps? 1.*begun\. .*f1.*f9.*\n(?:.*\n)*SQLSTATE: TM017\n\z/m);
migration('001_f.yaml', 'f', table_step('f1'), sql_step('CREATE TABLE f2 (id int)', 'DROP TABLE f2'), table_step('f4'));
client_ok('up: the steps that are not applied were mended', ['up', '--no-backup'], 0, undef, qr/^  step  2  sql +applied\n  step  3  sql +applied\n1\/1  001_f\.yaml  f  applied/m);
is(there(), 'f1 f2 f4', 'up: the steps that are not applied were mended: what it did');
client_ok('down of all', ['down'], 0);
is(there(), '', 'down of all');
migration('001_f.yaml', 'f', table_step('f1'), sql_step('CREATE TABLE f2 ()'));
client_ok('up: a step without a way back', ['up', '--no-backup'], 0);
client_ok('down: no way back', ['down'], 1, undef, qr/^SQLSTATE: TM020$/m);
is(there(), 'f1 f2', 'down: no way back: nothing was done');

# --- the log ----------------------------------------------------------------------------------------------------------------------------
my $stamp = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;
migration('002_g.yaml', 'g', sql_step("DO \$\$ BEGIN RAISE NOTICE 'seen it'; END \$\$", 'SELECT 1'));
client_ok('up --log', ['up', '--no-backup', '--log', 'up.log', '--quiet'], 0, qr/ g +\|/);
my $log = read_text('up.log');
like($log, qr/\A(?:$stamp(?:  .*)?\n)+\z/, 'the log: a time stamp in front of every line');
like($log, qr/^$stamp  $_/m, "the log: $_") for 'notice: seen it', '  step  1  sql +applied', '1/1  002_g\.yaml  g  applied', ' g +\|';
client_ok('up --log: appended', ['--log', 'up.log', 'up'], 0);
like(read_text('up.log'), qr/\A\Q$log\E$stamp  nothing to do: all migrations are applied\n\z/, 'the log: appended');
client_ok('down --log, an error', ['down', '2', '--log', 'up.log'], 1);
like(read_text('up.log'), qr/^$stamp  SQLSTATE: TM020$/m, 'the log: errors too');
is((stat 'up.log')[2] & 0777, 0600, 'the log is for its owner');
migration('003_h.yaml', 'h', table_step('h1'));
for (['none/up.log', 'No such file or directory'], ['.', 'Is a directory'], ['', 'the name is empty']) {
  client_fails("--log \"$_->[0]\"", ['up', '--no-backup', '--log', $_->[0]], 3, qr/\Aerror: could not open the log "\Q$_->[0]\E": $_->[1]\nHINT: .*nothing was done\n\z/);
}
is(run_sql($node, q(SELECT count(*) FROM tenantmig.migrations WHERE migration = 'h')), 0, '--log that cannot be written: nothing was done');
my $full = client('up', '--log', '/dev/full');
is($full->{status}, 1, '--log on a full disk: status 1');
like($full->{err}, qr/^error: could not write the log "\/dev\/full": No space left on device$/m, '--log on a full disk: says so') or diag($full->{err});
is(run_sql($node, q(SELECT count(*) FROM pg_class WHERE relname = 'h1')), 1, '--log on a full disk: the migration is applied all the same');

# --- rights, no server ---------------------------------------------------------------------------------------------------------------------
run_sql($node, q(CREATE ROLE viewer LOGIN; SELECT tenantmig.grant_access('viewer', 'viewer')));
client_ok('status as a viewer', ['status', '-U', 'viewer'], 0);
migration('004_i.yaml', 'i', table_step('i1'));
client_fails('up as a viewer', ['up', '--no-backup', '-U', 'viewer'], 1, qr/^error: permission denied for function create_migration\n(?:.*\n)*SQLSTATE: 42501\n\z/m);
client_fails('up of somebody else', ['up', '--no-backup', 'f', '-U', 'viewer'], 1, qr/^SQLSTATE: 42501\n\z/m);
$node->stop('fast');
client_fails("$_->[0]: no server", $_, 2, qr/^error: connection to server on socket /) for ['up', '--no-backup'], ['down'], ['status'], ['up', '--no-backup', 'f'], ['down', 'f'], ['validate', 'migrations'];
client_ok('validate --offline: no server', ['validate', 'migrations', '--offline'], 0);
done_testing();

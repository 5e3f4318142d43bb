# backup: what a dump, its manifest and its registration say, that they agree while others write, and that nothing is left of one that fails.
use strict;
use warnings FATAL => 'all';
use FindBin;
use IPC::Run;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils qw(slurp_dir);
use TenantmigTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_server('client', conf => "log_statement = all\n");
use_server($node);
run_sql($node, <<'SQL');
CREATE TABLE companies (id bigint PRIMARY KEY);
CREATE TABLE customers (id bigint PRIMARY KEY, company_id bigint REFERENCES companies, note text);
CREATE TABLE "Odd ""Name" (id bigint, customer_id bigint REFERENCES customers, company_id bigint) PARTITION BY RANGE (id);
ALTER TABLE "Odd ""Name" ADD PRIMARY KEY (id);
CREATE TABLE "odd;1" PARTITION OF "Odd ""Name" FOR VALUES FROM (0) TO (1000000);
CREATE TABLE appointments (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers, company_id bigint REFERENCES companies);
CREATE ROLE mover; CREATE TYPE mood AS ENUM ('good'); CREATE TABLE other (m mood); ALTER TABLE other OWNER TO mover; INSERT INTO other VALUES ('good');
INSERT INTO companies SELECT generate_series(1, 10);
INSERT INTO customers SELECT g, CASE WHEN g % 4 = 0 THEN 1 END, repeat(md5(g::text), 3) FROM generate_series(1, 2000) g;
INSERT INTO appointments SELECT g, g, 1 + g % 10 FROM generate_series(1, 1000) g;
INSERT INTO "Odd ""Name" SELECT g, g, NULL FROM generate_series(1, 300) g;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}},
  {"backfill": {"table": "\"Odd \"\"Name\"", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "gate": {"backup_within": "1 hour"}}}]}');
SQL
my $tmp = $ENV{TMPDIR} = folder(); # short enough for a socket, or /tmp is taken
my $to = folder() . '/new/backups';
my $registered = 'SELECT count(*) FROM tenantmig.backups';
sub manifest { return decode_json(read_text("$_[0]/manifest.json")); }
sub taken { return decode_json($_[0]->{out})->[0]; }
sub entries { return -d $to ? [sort grep { !/^\.\.?$/ } slurp_dir($to)] : []; }
sub programs { # a folder of stand-ins
  my (%scripts) = @_;
  my $place = folder();
  for my $name (keys %scripts) { chmod 0755, write_text("$place/$name", "#!/bin/sh\n$scripts{$name}") }
  return $place;
}
my $real = qx(pg_config --bindir); chomp $real;
sub nothing_left {
  my ($name, $before, $count) = @_;
  is_deeply(entries(), $before, "$name: nothing is left");
  is(run_sql($node, $registered), $count, "$name: nothing is registered");
  return;
}

# the database
my $first = taken(client_ok('backup', ['backup', 'm', '--to', $to, '--json'], 0));
is($first->{registered_for}, 'm', 'registered for the migration');
is_deeply(entries(), [$first->{location} =~ m{([^/]+)$}], 'a folder of its own, and nothing else');
my $manifest = manifest($first->{location});
my %tables = map { ("$_->{schema}.$_->{table}" => $_) } @{ $manifest->{tables} };
is($tables{'public.customers'}{rows}, 2000, 'manifest: rows');
is($tables{'public.customers'}{nulls}{company_id}, 1500, 'manifest: NULLs of the tenant key');
is($tables{'public.odd;1'}{nulls}{company_id}, 300, 'manifest: of a partition');
ok(!exists $tables{'public.Odd "Name'}, 'manifest: a partitioned table has no rows of its own');
my ($file) = @{ $manifest->{files} };
is($file->{bytes}, -s "$first->{location}/dump", 'manifest: size');
is($file->{sha256}, (split ' ', qx(sha256sum '$first->{location}/dump'))[0], 'manifest: SHA-256');
is($manifest->{server}{system_identifier}, run_sql($node, 'SELECT system_identifier FROM pg_control_system()'), 'manifest: system');
is(run_sql($node, q(SELECT status FROM tenantmig.gate('m') WHERE check_name ~ 'backup')), 'PASS', 'the gate counts it');
is(run_sql($node, "SELECT manifest ->> 'database' FROM tenantmig.backups WHERE location = '$first->{location}'"), 'postgres', 'the manifest is registered with it');

# the commands of the manifest restore it
my @commands = @{ $manifest->{restore} };
s/NEW_DATABASE/restored/ for @commands;
is(system("$_ 2>&1") >> 8, 0, "to restore: $_") for @commands;
is($node->safe_psql('restored', 'SELECT count(*), count(company_id) FROM customers'), '2000|500', 'restored');

# while others write, count and dump are of one moment; parallel; tested
my $writer = IPC::Run::start(['psql', '-qX', '-c', 'SET synchronous_commit = off', '-c', q(DO $$ BEGIN FOR i IN 1..100000 LOOP INSERT INTO customers VALUES (i + 10000, 1, 'x'); UPDATE customers SET company_id = NULL WHERE id = i + 9000; COMMIT; END LOOP; END $$)]);
my $tested = taken(client_ok('backup while others write', ['backup', '--to', $to, '--jobs', '3', '--compress', '1', '--restore-test', '--json'], 0));
run_sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'IN 1..100000' AND pid <> pg_backend_pid()));
$writer->finish;
is(run_sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE query ~ 'IN 1..100000' AND pid <> pg_backend_pid())), '0', 'nobody writes any more');
is($tested->{restored}, JSON::PP::true, 'restored in a throw-away cluster');
ok(-f "$tested->{location}/dump/toc.dat", 'parallel: directory format');
@commands = @{ manifest($tested->{location})->{restore} };
s/NEW_DATABASE/parallel/ for @commands;
is(system("$_ 2>&1") >> 8, 0, "to restore: $_") for @commands;
is($tested->{registered_for}, 'm', 'without a name: registered for every migration');
run_sql($node, 'DELETE FROM customers WHERE id > 2000');
is_deeply([glob("$tmp/tenantmig-*")], [], 'the throw-away cluster has gone');

# the migration's tables
my $some = taken(client_ok('backup of tables', ['backup', 'm', '--to', $to, '--tables-only', '--restore-test', '--json'], 0));
is_deeply([map { $_->{table} } @{ manifest($some->{location})->{tables} }], ['customers', 'odd;1'], 'these tables, partitions too');
@commands = @{ manifest($some->{location})->{restore} };
s/NEW_DATABASE/some/ for @commands;
is(system("$_ 2>&1") >> 8, 0, "to restore: $_") for @commands;
is($node->safe_psql('some', 'SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM appointments)'), '2000|0', 'restored: only these');

# --verify
client_ok('verify', ['backup', '--verify', $tested->{location}], 0, qr/^ dump\/toc\.dat +\| PASS /m);
my $before = entries();
system("printf x | dd of='$first->{location}/dump' bs=1 seek=100 conv=notrunc 2>/dev/null");
client_ok('verify: one byte', ['backup', '--verify', $first->{location}], 7, qr/^ dump +\| FAIL /m);
my $spare = folder() . '/copy';
system("cp -r '$tested->{location}' $spare; rm $spare/dump/toc.dat; touch $spare/dump/more");
client_ok('verify: a file is missing, one is too many', ['backup', '--verify', $spare], 7, qr/toc\.dat +\| FAIL +\| \d+ bytes.*\| missing.*more +\| FAIL +\| not in the manifest/s);
client_fails('verify: no backup', ['backup', '--verify', folder()], 1, qr/\Aerror: ".*" is not a backup\nDETAIL: There is no manifest\.json in it\.\nHINT: /);
write_text("$spare/manifest.json", '{"format": "tenantmig backup 1", "taken_at": "x", "database": "x", "server": {"system_identifier": "1"}, "files": [{"path": "../../etc/passwd", "bytes": 1, "sha256": ""}]}');
client_fails('verify: a manifest that leads out of the folder', ['backup', '--verify', $spare], 1, qr/^DETAIL: Its manifest\.json names a file outside of the folder\.$/m);
write_text("$spare/manifest.json", '{');
client_fails('verify: no JSON', ['backup', '--verify', $spare], 1, qr/^DETAIL: Its manifest\.json can't be read\.$/m);

# arguments
client_fails('no folder', ['backup', 'm'], 3, qr/\Aerror: --to is required\n/);
client_fails('tables of which migration', ['backup', '--to', $to, '--tables-only'], 3, qr/\Aerror: --tables-only needs a migration\n/);
client_fails('no such migration', ['backup', 'nope', '--to', $to], 1, qr/\Aerror: migration "nope" does not exist\n/);
client_fails('jobs', ['backup', '--to', $to, '--jobs', '0'], 3, qr/not a number of jobs/);
client_fails('to and verify', ['backup', '--to', $to, '--verify', $to], 3, qr/excludes/);
client_fails('a folder that can not be made', ['backup', '--to', "$first->{location}/dump/x"], 1, qr/\Aerror: could not make the folder ".*"\nDETAIL: Not a directory\.\n/);

# pg_dump: none, too old, failing in every way
my $count = run_sql($node, $registered);
client_fails('no pg_dump', ['backup', '--to', $to, '--pg-bindir', folder()], 1, qr/\Aerror: could not find pg_dump\nDETAIL: Looked in .*\nHINT: install .* or name their folder: --pg-bindir DIR\n\z/);
client_fails('an old pg_dump', ['backup', '--to', $to, '--pg-bindir', programs(pg_dump => 'echo "pg_dump (PostgreSQL) 9.6.24"')], 1, qr/\Aerror: pg_dump is older than the server\nDETAIL: The server is \d+\.\d+; found was 9\.6\.24 in .*\n/);
my $version = "[ \"\$1\" = --version ] && exec $real/pg_dump --version\n";
client_fails('pg_dump can not write', ['backup', '--to', $to, '--pg-bindir', programs(pg_dump => "$version echo 'pg_dump: error: could not write to file: No space left on device' >&2; exit 1")],
  1, qr/\Aerror: pg_dump failed: the disk is full\nDETAIL: pg_dump: error: .*\n+HINT: make room/);
client_fails('pg_dump is killed', ['backup', '--to', $to, '--pg-bindir', programs(pg_dump => "$version kill -9 \$\$")], 1, qr/\Aerror: pg_dump was ended by signal 9\n/);
client_fails('pg_dump does nothing', ['backup', '--to', $to, '--pg-bindir', programs(pg_dump => "$version exit 0", pg_restore => "exec $real/pg_restore \"\$\@\"")], 1, qr/\Aerror: pg_restore can't read the dump\n/);
nothing_left('after these', $before, $count);
IPC::Run::run(['bash', '-c', 'ulimit -f 20; exec tenantmig backup --to "$0" --compress 0', $to], '>', \my $out, '2>', \my $err);
is($? >> 8, 1, 'a limit on file sizes: status 1');
like($err, qr/\Aerror: pg_dump failed: a file grew over the limit on file sizes\n/, 'a limit on file sizes: error');
nothing_left('a limit on file sizes', $before, $count);

# a restore that loses a row
my $loses = <<"SH";
case "\$*" in *--list*) exec $real/pg_restore "\$@" ;; esac
for a; do case \$a in --host=*|--port=*|--username=*|--dbname=*) to="\$to \$a" ;; esac; done
$real/pg_restore "\$@" && case "\$*" in *restored*) exec $real/psql -qX \$to -c 'DELETE FROM public.appointments WHERE id = 1' ;; esac
SH
my $bad = programs((map { ($_ => "exec $real/$_ \"\$\@\"") } qw(pg_dump initdb postgres)), pg_restore => $loses);
client_fails('a row is lost', ['backup', '--quiet', '--to', $to, '--restore-test', '--pg-bindir', $bad], 7, qr/\Aerror: 1 table was not restored as it was counted\nDETAIL: "public"\."appointments": 1000 rows, 999 restored\.\n/);
nothing_left('a row is lost', $before, $count);

# rights and policies
run_sql($node, q(CREATE ROLE poor LOGIN; CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader; SELECT tenantmig.grant_access(r, 'operator') FROM unnest('{poor,reader}'::text[]) r));
client_fails('no rights', ['backup', '--to', $to, '-U', 'poor'], 1, qr/permission denied for .*HINT: connect as the owner/s);
run_sql($node, 'ALTER TABLE customers ENABLE ROW LEVEL SECURITY');
client_fails('policies', ['backup', '--to', $to, '-U', 'reader'], 1, qr/row-level security.*HINT: connect as the tables' owner/s);
run_sql($node, 'ALTER TABLE customers DISABLE ROW LEVEL SECURITY');
nothing_left('no rights', $before, $count);
client_ok('as a reader', ['backup', '--to', $to, '-U', 'reader', '--quiet'], 0);

# a table whose definition is being changed
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE customers');
my $begun = time;
client_fails('a locked table', ['backup', '--to', $to, '--lock-wait', '1'], 1, qr/a table stayed locked|lock timeout/);
cmp_ok(time - $begun, '<', 20, 'a locked table: not for ever');
$holder->quit;

# signals: the first one ends it in order, kill -9 leaves what the next backup removes
$before = entries();
$count = run_sql($node, $registered);
my $pid_file = folder() . '/pid';
my $slow = programs(pg_dump => "$version echo \$\$ > $pid_file.new; mv $pid_file.new $pid_file; exec sleep 77", pg_restore => "exec $real/pg_restore \"\$\@\"");
for my $signal (qw(INT KILL)) {
  unlink $pid_file;
  my $run = IPC::Run::start(['tenantmig', 'backup', '--to', $to, '--pg-bindir', $slow], '<', \undef, '>', \my $text, '2>', \my $said);
  for (1 .. 200) { last if -e $pid_file; sleep 0.1 }
  is(scalar(grep { /^\.partial-/ } @{ entries() }), 1, "$signal: under another name meanwhile");
  $run->signal($signal);
  $run->finish;
  is($run->full_result & 127 ? 'signal' : $run->full_result >> 8, $signal eq 'INT' ? 130 : 'signal', "$signal: status");
  my $pid = 0 + read_text($pid_file);
  for (1 .. 100) { last if !kill(0, $pid); sleep 0.1 }
  ok(!kill(0, $pid), "$signal: pg_dump has ended with it");
  is_deeply(entries(), $before, "$signal: nothing is left") if $signal eq 'INT';
  is(scalar(grep { !/^\.partial-/ } @{ entries() }), scalar @$before, "$signal: nothing that looks complete is left");
  is(run_sql($node, $registered), $count, "$signal: nothing is registered");
}
client_ok('the next one', ['backup', '--to', $to, '--quiet'], 0);
is(scalar(grep { /^\.partial-/ } @{ entries() }), 0, 'the next one removes what was left');

# no password anywhere
{
  local $ENV{PGPASSWORD} = 'open sesame';
  my $secret = taken(client_ok('with a password', ['backup', 'm', '--to', $to, '--json'], 0));
  unlike(read_text("$secret->{location}/manifest.json"), qr/sesame/, 'no password in the manifest');
}

# maintenance
client_ok('maintenance on', ['maintenance', 'm', 'on', '--time-limit', '5 min'], 0, qr/public\.customers +\| fenced +\| \d{4}-/);
is(run_sql($node, 'SELECT count(*) FROM tenantmig.maintenance_fences WHERE state = \'fenced\''), '3', 'fenced');
client_ok('maintenance off', ['maintenance', 'm', 'off', '--json'], 0, qr/"state": "open"/);
client_fails('maintenance: too long', ['maintenance', 'm', 'on', '--time-limit', '2 days'], 1, qr/is not a time limit for maintenance\n.*\n.*\nSQLSTATE: 22023/);
client_fails('maintenance of nothing', ['maintenance', 'nope', 'on'], 1, qr/^SQLSTATE: 42704$/m);
client_fails('maintenance: how', ['maintenance', 'm', 'maybe'], 3, qr/maybe/);

# up takes one first, and says so; without it nothing is changed
my $dir = folder();
write_text("$dir/001_first.yaml", "migration: first\ntenants: {table: companies}\nsteps:\n  - sql: {up: CREATE TABLE first (), down: DROP TABLE first}\n");
client_fails('up without pg_dump', ['up', '--dir', $dir, '--pg-bindir', folder()], 1, qr/could not find pg_dump\n.*HINT: .*up --no-backup goes without one\. Nothing was changed\n/s);
is(run_sql($node, q(SELECT to_regclass('first') IS NULL)), 't', 'up without pg_dump: nothing is changed');
client_ok('up', ['up', '--dir', $dir, '--backup-dir', "$dir/backups"], 0, undef, qr/^backup: .*\/backups\/postgres-/m);
is(run_sql($node, q(SELECT count(*) FROM tenantmig.backups WHERE migration = 'first')), '1', 'up: the backup is registered for what it applied');
client_ok('up again', ['up', '--dir', $dir, '--backup-dir', "$dir/backups"], 0);
is(scalar(grep { !/^\./ } slurp_dir("$dir/backups")), 1, 'up with nothing to do: no backup');
client_fails('up: with and without', ['up', '--dir', $dir, '--backup-dir', $dir, '--no-backup'], 3, qr/excludes/);

# purge: only old ones, whose files are what the manifest says, and never the newest
my @purge = ('purge', '--kinds', 'backups', '--backup-dir', $to, '--json');
my %outcome = map { ($_->{kind} => ($_->{outcome})) } @{ decode_json(client_ok('purge, young', \@purge, 0)->{out}) };
is_deeply(\%outcome, { backups => 'kept', backup_files => 'kept' }, 'purge: what is young stays');
my @dry = @{ decode_json(client_ok('purge, dry', [@purge, '--older-than', '0 s'], 0)->{out}) };
is(scalar(grep { $_->{outcome} ne 'kept' } @dry), 0, 'purge: the gate accepts them, they stay');
like($_->{reason}, qr/: (registered for m, which keeps it|the newest one here)$/, "purge: $_->{reason}") for grep { $_->{kind} eq 'backup_files' } @dry;
my $all = scalar @{ entries() };
is($all, scalar @{ entries() }, 'purge, dry: nothing goes');
write_text("$some->{location}/mine.txt", 'not of the backup');
my @rows = @{ decode_json(client_ok('purge', [@purge, '--older-than', '0 s', '--execute', '--force'], 0)->{out}) };
my ($kept) = grep { $_->{kind} eq 'backup_files' && $_->{outcome} eq 'kept' && $_->{reason} =~ /^\Q$first->{location}\E:/ } @rows;
like($kept->{reason}, qr/its files are not those of its manifest/, 'purge: not a backup that was tampered with');
ok(-f "$some->{location}/mine.txt", 'purge: nothing but the files of backups');
ok(!-e $tested->{location}, 'purge: the folder, too');
is(scalar(grep { $_->{reason} =~ /the newest one here/ } @rows), 1, 'purge: the newest stays');
is(run_sql($node, $registered . q( WHERE migration = 'm')), 1, 'purge: its registration, too');
client_fails('purge: a folder that is not there', ['purge', '--backup-dir', "$to/nope"], 1, qr/\Aerror: could not read the folder/);
client_fails('purge: other kinds', ['purge', '--kinds', 'runs', '--backup-dir', $to], 3, qr/\Aerror: --backup-dir goes with the kind backups\n/);

unlike($node->log_content, qr/sesame/, 'no password in the log') if $node->can('log_content');
$node->stop('fast');
client_fails('no server', ['backup', '--to', $to], 2, qr/^error: connection to server on socket /);
done_testing();

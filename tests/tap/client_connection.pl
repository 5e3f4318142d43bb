# How the client finds its server, what it checks there, and how it ends when the connection or the user does.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::UNIX;
use IPC::Run;
use POSIX ();
use TenantmigTest;
use Test::More;
use Time::HiRes qw(usleep);

my $scenario = "$FindBin::Bin/../scenarios/customers";
my $node = new_server('client', extension => 0, conf => "log_statement = all\nlog_line_prefix = 'app=%a '\n");
run_sql($node, "CREATE DATABASE $_") for qw(work bare other);
$node->psql('work', $_, on_error_die => 1)
  for 'CREATE EXTENSION tenantmig', read_text("$scenario/schema.sql"), read_text("$scenario/data.sql"),
  "CREATE ROLE carol LOGIN PASSWORD 'sesame'; CREATE ROLE \"o'hara\" LOGIN; CREATE ROLE viewer LOGIN; SELECT tenantmig.grant_access('viewer', 'viewer'); SELECT tenantmig.grant_access('carol', 'viewer')";
write_text($node->data_dir . '/pg_hba.conf', "local all carol scram-sha-256\nlocal all all trust\n");
$node->reload;
use_server($node, 'work');
my ($host, $port) = ($node->host, $node->port);
my $home = folder();
$ENV{HOME} = $home;

# --- where to connect -------------------------------------------------------------------------------------------------------
{
  local %ENV = %ENV;
  delete @ENV{grep { /^PG/ } keys %ENV};
  my @as = ('-U', 'postgres');
  client_ok('options', ['status', '-h', $host, '-p', $port, '-d', 'work', @as], 0, qr/\(0 rows\)/);
  client_ok('options before the command', ['-h', $host, '-p', $port, '-d', 'work', @as, 'status'], 0);
  client_ok('long options', ['status', "--host=$host", "--port=$port", '--dbname=work', '--username=postgres'], 0);
  my $escaped = $host =~ s/([^A-Za-z0-9._-])/sprintf('%%%02X', ord $1)/ger;
  client_ok('URI', ['status', '-d', "postgresql://postgres\@$escaped:$port/work"], 0);
  client_ok('conninfo', ['status', '-d', "host=$host port=$port user=postgres dbname=work"], 0);
  client_ok('conninfo wins over options, as in psql', ['status', '-h', '/nowhere', '-d', "host=$host port=$port user=postgres dbname=work"], 0);
  local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)} = ($host, $port, 'postgres', 'work');
  client_ok('variables', ['status'], 0);
  client_fails('option over variable', ['status', '-d', 'nope'], 2, qr/^error: .*database "nope" does not exist/);
  delete @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)};
  write_text("$home/.pg_service.conf", "[work]\nhost=$host\nport=$port\nuser=postgres\ndbname=work\n");
  client_ok('service in a conninfo', ['status', '-d', 'service=work'], 0);
  local $ENV{PGSERVICE} = 'work';
  client_ok('service by variable', ['status'], 0);
}
client_fails('password needed, none there', ['status', '-U', 'carol', '-w'], 2, qr/^error: .*no password supplied/);
{
  local $ENV{PGPASSWORD} = 'wrong';
  client_fails('wrong password', ['status', '-U', 'carol'], 2, qr/^error: .*password authentication failed for user "carol"/);
}
SKIP: {
  skip 'no program "script" that gives us a terminal', 3 if !-x '/usr/bin/script';
  my ($in, $shown) = ('', '');
  my $terminal = IPC::Run::start(['script', '-qec', 'tenantmig status -U carol', '/dev/null'], '<', \$in, '>', \$shown, '2>', '/dev/null', IPC::Run::timeout(60));
  $terminal->pump until $shown =~ /Password for user carol: /;
  $in .= "sesame\n";
  $terminal->finish;
  is($terminal->full_result >> 8, 0, 'password asked for on the terminal');
  like($shown, qr/\(0 rows\)/, 'password accepted');
  unlike($shown, qr/sesame/, 'password not shown');
}
write_text("$home/.pgpass", "*:*:*:carol:sesame\n");
chmod 0600, "$home/.pgpass";
client_ok('password file', ['status', '-U', 'carol'], 0, qr/\(0 rows\)/);

like(read_text($node->logfile), qr/^app=tenantmig /m, 'application_name is tenantmig');
{
  local $ENV{PGAPPNAME} = 'nightly';
  client('status');
  like(read_text($node->logfile), qr/^app=nightly .*tenantmig\.migrations/m, 'PGAPPNAME wins');
}

# --- what must be there ---------------------------------------------------------------------------------------------------------
client_fails('no extension', ['status', '-d', 'bare'], 1, qr/\Aerror: extension "tenantmig" is not installed in database "bare"\nHINT: CREATE EXTENSION tenantmig;/);
client_fails('role without rights', ['status', '-U', "o'hara"], 1,
  qr/\Aerror: role "o'hara" may not use tenantmig\nDETAIL: It has no USAGE on schema tenantmig\.\nHINT: SELECT tenantmig\.grant_access\('o''hara', 'operator'\);.*\nSQLSTATE: 42501\n\z/);
client_ok('a viewer may look', ['status', '-U', 'viewer'], 0);
client_fails('a viewer may not run', ['run', 'x', '-U', 'viewer'], 1, qr/\Aerror: permission denied for function start\nHINT: .*grant_access.*\nSQLSTATE: 42501\n/);

chomp(my $version = client('--version')->{out} =~ s/^tenantmig //r);
run_sql($node, 'CREATE EXTENSION tenantmig', 'other');
client_ok('same versions', ['status', '-d', 'other'], 0);
run_sql($node, "UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'tenantmig'", 'other');
client_fails('extension of another version', ['status', '-d', 'other'], 1,
  qr/\Aerror: the versions of client, library and extension differ\nDETAIL: client \Q$version\E, library on the server \Q$version\E, extension in database "other" 0\.0\.9\nHINT: ALTER EXTENSION tenantmig UPDATE;/);
run_sql($node, "CREATE OR REPLACE FUNCTION tenantmig.version() RETURNS text LANGUAGE sql AS 'SELECT ''0.0.9'''", 'other');
client_fails('older server', ['status', '-d', 'other'], 1,
  qr/\nDETAIL: client \Q$version\E, library on the server 0\.0\.9, extension in database "other" 0\.0\.9\nHINT: use the client of the server's version\n/);
run_sql($node, "UPDATE pg_extension SET extversion = '$version' WHERE extname = 'tenantmig'", 'other');
client_fails('library of another version', ['status', '-d', 'other'], 1, qr/\nDETAIL: client \Q$version\E, library on the server 0\.0\.9, extension in database "other" \Q$version\E\n/);
run_sql($node, 'ALTER EXTENSION tenantmig DROP FUNCTION tenantmig.version(); DROP FUNCTION tenantmig.version()', 'other');
client_fails('library that does not know its version', ['status', '-d', 'other'], 1, qr/library on the server unknown/);

# PostgreSQL 14, played by a process that gets as far as the end of the handshake
{
  my $socket_folder = folder();
  my $listener = IO::Socket::UNIX->new(Local => "$socket_folder/.s.PGSQL.5432", Listen => 1) or die "no socket: $!";
  my $child = fork() // die "no process: $!";
  if ($child == 0) {
    my $message = sub { return $_[0] . pack('N', 4 + length $_[1]) . $_[1] };
    my $peer = $listener->accept;
    $peer->sysread(my $startup, 10_000);
    $peer->syswrite($message->('R', pack('N', 0)) . $message->('S', "server_version\0" . "14.19\0") . $message->('S', "client_encoding\0UTF8\0")
        . $message->('K', pack('NN', 1, 1)) . $message->('Z', 'I'));
    $peer->sysread(my $rest, 10_000);
    POSIX::_exit(0);
  }
  client_fails('PostgreSQL 14', ['status', '-h', $socket_folder, '-p', '5432'], 1, qr/\Aerror: the server is PostgreSQL 14\.19, tenantmig needs 15 or later\n/);
  waitpid($child, 0);
}

# --- interrupted, cancelled, thrown out ---------------------------------------------------------------------------------------------
sub blocked_run {
  my ($end) = @_;
  my ($in, $out, $err, $blocker_in, $blocker_out) = ('', '', '', "BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n", '');
  my $blocker = IPC::Run::start(['psql', '-XAtq', '-d', 'work'], '<', \$blocker_in, '>', \$blocker_out);
  $blocker->pump until $blocker_out =~ /locked/;
  my $client = IPC::Run::start(['tenantmig', 'run', '--single-transaction', "$scenario/spec.yaml"], '<', \$in, '>', \$out, '2>', \$err);
  my $waits = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tenantmig' AND wait_event_type = 'Lock'";
  my $pid = '';
  for (1 .. 200) {
    $pid = run_sql($node, $waits, 'work');
    last if $pid ne '';
    usleep(50_000);
  }
  isnt($pid, '', 'the run waits for the lock');
  $end->($client, $pid);
  $client->finish;
  my $status = $client->full_result & 127 ? 'signal ' . ($client->full_result & 127) : $client->full_result >> 8;
  is(run_sql($node, $waits, 'work'), '', 'nothing of it is left on the server');
  $blocker->signal('TERM');
  $blocker->finish;
  return { status => $status, out => $out, err => $err };
}
for my $signal (qw(INT TERM HUP)) {
  my $call = blocked_run(sub { $_[0]->signal($signal) });
  is($call->{status}, 130, "SIG$signal: status 130");
  is($call->{out}, '', "SIG$signal: no output");
  like($call->{err}, qr/^error: interrupted\nDETAIL: The statement was cancelled on the server and rolled back; it left nothing\.$/m, "SIG$signal: message");
}
my $cancelled = blocked_run(sub { run_sql($node, "SELECT pg_cancel_backend($_[1])", 'work') });
is($cancelled->{status}, 1, 'cancelled by somebody else: status 1');
like($cancelled->{err}, qr/^error: canceling statement due to user request\n(?:.*\n)*SQLSTATE: 57014$/m, 'cancelled by somebody else: error');
my $terminated = blocked_run(sub { run_sql($node, "SELECT pg_terminate_backend($_[1])", 'work') });
is($terminated->{status}, 2, 'connection ended by the server: status 2');
like($terminated->{err}, qr/^error: terminating connection due to administrator command$/m, 'connection ended by the server: error');
is(run_sql($node, 'SELECT count(*) FROM customers WHERE company_id IS NULL', 'work'), '31', 'nothing was written');

$node->stop('fast');
client_fails('server stopped', ['status'], 2, qr/^error: connection to server on socket .* failed/);

done_testing();

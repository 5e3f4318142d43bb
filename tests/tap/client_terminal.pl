# What a user sees on a terminal while a run is at work, and what a log file gets instead. The server's part is played by a
# function that reports progress as the engine does for large tables.
use strict;
use warnings FATAL => 'all';
use FindBin;
use IPC::Run;
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

my $node = new_server('client');
use_server($node);
run_sql($node, <<'SQL');
ALTER EXTENSION tenantmig DROP FUNCTION tenantmig.backfill(text, boolean, text, numeric, bigint, boolean);
DROP FUNCTION tenantmig.backfill(text, boolean, text, numeric, bigint, boolean);
CREATE FUNCTION tenantmig.backfill(migration text, dry_run boolean, OUT relation text, OUT row_count bigint, OUT comment text) RETURNS SETOF record
LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'public.customers: 400000 of 1000000 rows, 40 %%, 210000 rows/s, 3 s left';
  RAISE NOTICE 'public.customers: 800000 of 1000000 rows, 80 %%, 210000 rows/s, 1 s left';
  RAISE WARNING 'trigger % changes the key', E'\x1B[2J"x"' USING DETAIL = E'Found \x07.', HINT = 'look at it';
  RAISE NOTICE 'public.customers: 900000 of 1000000 rows, 90 %%, 210000 rows/s, 1 s left';
  IF migration = 'fails' THEN RAISE EXCEPTION E'no \x1B[31mway' USING ERRCODE = 'TM010', DETAIL = E'first\nsecond', HINT = 'none'; END IF;
  RETURN QUERY VALUES ('public.customers', 900000::bigint, E'\x1B]0;owned\x07');
END $$;
SQL

my $call = client('run', 'm', '--single-transaction');
is($call->{status}, 0, 'run');
is($call->{err}, <<'TEXT', 'not a terminal: a line for each report');
public.customers: 400000 of 1000000 rows, 40 %, 210000 rows/s, 3 s left
public.customers: 800000 of 1000000 rows, 80 %, 210000 rows/s, 1 s left
warning: trigger \x1B[2J"x" changes the key
DETAIL: Found \x07.
HINT: look at it
public.customers: 900000 of 1000000 rows, 90 %, 210000 rows/s, 1 s left
TEXT
is(client('run', 'm', '--single-transaction', '--quiet')->{err}, '', 'quiet: neither progress nor warnings');
client_fails('error', ['run', 'fails', '--single-transaction', '--quiet'], 1, qr/\Aerror: no \\x1B\[31mway\nDETAIL: first\nsecond\nHINT: none\nSQLSTATE: TM010\n\z/);

SKIP: {
  skip 'no program "script" that gives us a terminal', 8 if !-x '/usr/bin/script';
  my ($in, $shown) = ('', '');
  my $on_terminal = sub {
    IPC::Run::run(['script', '-qec', $_[0], '/dev/null'], '<', \$in, '>', \$shown, '2>', '/dev/null');
    return $? >> 8;
  };
  is($on_terminal->('tenantmig run --single-transaction m'), 0, 'terminal: status');
  like($shown, qr/\A\rpublic\.customers: 400000 [^\n]*\e\[K\rpublic\.customers: 800000 [^\n]*\e\[K\r?\nwarning: trigger/, 'terminal: one line that is written over');
  like($shown, qr/1 s left\e\[K\r?\n relation /, 'terminal: the result starts a line of its own');
  unlike($shown =~ s/\r[^\r\n]*\e\[K//gr, qr/[\e\a]/, 'terminal: no control characters of the data');
  is($on_terminal->('tenantmig run --single-transaction fails'), 1, 'terminal, error: status');
  like($shown, qr/1 s left\e\[K\r?\nerror: no \\x1B/, 'terminal, error: it starts a line of its own');
  $on_terminal->('tenantmig run --single-transaction m --quiet --format csv');
  unlike($shown, qr/[\e\a]/, 'terminal, CSV: no control characters of the data');
  $on_terminal->('tenantmig run --single-transaction m --quiet --format json');
  unlike($shown, qr/[\e\a]/, 'terminal, JSON: no control characters of the data');
}
like(client('run', 'm', '--single-transaction', '--quiet', '--format', 'csv')->{out}, qr/,"\e\]0;owned\a"\r\n\z/, 'CSV in a file: the data as they are');

$node->stop('fast');
done_testing();

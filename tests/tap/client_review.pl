# Reviews: the queue on the terminal, decisions one by one, and the round trip through a spreadsheet.
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

# Four customers that need a decision (two conflicts, an orphan, a customer with a hostile company), and keys that try things.
run_sql($node, <<'SQL');
CREATE TABLE companies (id text PRIMARY KEY);
INSERT INTO companies VALUES ('a'), ('b'), ('=HYPERLINK("http://evil.example")'), ('-1'), ('Bäckerei 🥐; Söhne');
CREATE TABLE customers (id text PRIMARY KEY, company_id text);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id text REFERENCES customers, company_id text REFERENCES companies);
INSERT INTO customers (id) VALUES ('settled'), ('both'), ('nobody'), (E'=1+1\x1B]0;owned\x07\n\u202Edne'), ('東京'), ('minus'), ('six');
INSERT INTO orders (customer_id, company_id) VALUES ('settled', 'a'), ('both', 'a'), ('both', 'a'), ('both', 'b'),
  (E'=1+1\x1B]0;owned\x07\n\u202Edne', '=HYPERLINK("http://evil.example")'), (E'=1+1\x1B]0;owned\x07\n\u202Edne', 'b'),
  ('東京', 'Bäckerei 🥐; Söhne'), ('東京', 'a'), ('minus', '-1'), ('minus', 'a'), ('six', 'a'), ('six', 'b');
SQL
my $spec = write_text("$folder/spec.yaml", <<'YAML');
migration: reviews
tenants: {table: companies}
steps:
  - backfill: {table: customers, column: company_id, sources: [{via: orders.customer_id}]}
YAML
client_ok('run', ['run', $spec], 5, undef, qr/1 of 7 rows assigned, 6 reviews open$/m);

sub reviews { return decode_json(client('review', 'list', 'reviews', '--format', 'json', @_)->{out}); }
my %id = map { ($_->{row_key}{id} => $_->{id}) } @{ reviews() };
my ($hostile) = grep { /owned/ } keys %id;
is($hostile, "=1+1\e]0;owned\a\n\x{202E}dne", 'JSON holds the key as it is');

# --- on the terminal ----------------------------------------------------------------------------------------------------------------
my $list = client_ok('review list', ['review', 'list', 'reviews'], 0, qr/^ +id \| run_id \| relation +\| row_key +\| class +\| candidates/m);
unlike($list->{out}, qr/[\x00-\x09\x0b-\x1f\x7f]/, 'table: no control characters');
unlike($list->{out}, qr/\xE2\x80\xAE/, 'table: no bidirectional override');
like($list->{out}, qr/ conflict +\| a: orders\.customer_id \xC3\x972; b: orders\.customer_id \xC3\x971 +\|/, 'table: candidates in words');
utf8::decode(my $shown = $list->{out});
my @lines = grep { / \| / } split /\n/, $shown;
is(scalar(@lines), 7, 'table: a line for each review');
# columns are aligned by what a terminal shows, where 東京 and the croissant take two columns a character
my @widths = map { my $line = s/ \| (?:open|state) .*//r; length($line) + (() = $line =~ /\p{East_Asian_Width=W}/g) } @lines;
is_deeply(\@widths, [($widths[0]) x 7], 'table: aligned');
for my $format (qw(json csv)) {
  unlike(client('review', 'list', 'reviews', '--format', $format)->{out}, $format eq 'json' ? qr/[\x00-\x09\x0b-\x1f\x7f]|\xE2\x80\xAE/ : qr/\x00/, "$format: no raw control characters");
}
client_fails('review list of nothing', ['review', 'list', 'nope'], 1, qr/^error: migration "nope" does not exist$/m);

# --- one by one ------------------------------------------------------------------------------------------------------------------------
client_fails('resolve: unknown tenant', ['review', 'resolve', $id{six}, 'zzz'], 1, qr/^SQLSTATE: 23503$/m);
client_fails('resolve: no such review', ['review', 'resolve', '99999', 'a'], 1, qr/^SQLSTATE: 42704$/m);
client_ok('resolve', ['review', 'resolve', $id{six}, 'b', '--note', 'asked them'], 0, qr/ resolved +\| b /);
is(run_sql($node, "SELECT company_id FROM customers WHERE id = 'six'"), 'b', 'resolve writes');
client_fails('resolve again', ['review', 'resolve', $id{six}, 'a'], 1, qr/^SQLSTATE: 55000$/m);
client_ok('resolve: a tenant that looks like an option', ['review', 'resolve', $id{minus}, '--', '-1'], 0, qr/ resolved /);
client_ok('dismiss', ['review', 'dismiss', $id{nobody}, '--note', 'gone'], 0, qr/ dismissed /);
is(scalar @{ reviews() }, 3, 'three are left open');
my ($closed) = grep { $_->{id} == $id{six} } @{ reviews('--all') };
is($closed->{state}, 'resolved', 'review list --all');
is($closed->{note}, 'asked them', 'review list --all: note');

# --- out -----------------------------------------------------------------------------------------------------------------------------------
my $sheet = "$folder/sheet.csv";
client_ok('review export', ['review', 'export', 'reviews', '--output', $sheet], 0, qr/\A\z/, qr/^3 open reviews written to ".*sheet\.csv"$/m);
client_fails('export does not write over a sheet', ['review', 'export', 'reviews', '--output', $sheet], 1, qr/^error: could not create ".*": File exists\nHINT: .*--force/);
client_ok('export --force', ['review', 'export', 'reviews', '-o', $sheet, '--force', '--bom'], 0);
is(substr(read_text($sheet), 0, 3), "\xEF\xBB\xBF", 'export --bom');
client_fails('export to where nothing can be', ['review', 'export', 'reviews', '--output', "$folder/no/such/folder"], 1, qr/^error: could not create ".*": No such file or directory/);
my $exported = client_ok('export to standard output', ['review', 'export', 'reviews'], 0)->{out};

# What a spreadsheet reads: RFC 4180.
sub records {
  my ($csv) = @_;
  my @records = ([]);
  while ($csv =~ /\G(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|\z)/g) {
    my ($quoted, $plain, $end) = ($1, $2, $3);
    push @{ $records[-1] }, defined $quoted ? $quoted =~ s/""/"/gr : $plain;
    last if pos($csv) >= length $csv;
    push @records, [] if $end ne ',';
  }
  return @records;
}
sub save { # as spreadsheets write: everything in quotes that needs it
  my ($separator, @records) = @_;
  return join '', map { join($separator, map { /["\r\n,;\t]/ ? '"' . s/"/""/gr . '"' : $_ } @$_) . "\r\n" } @records;
}
my @records = records($exported);
is_deeply($records[0], [qw(id relation row_key class candidates evidence_rows decision tenant note)], 'export: header');
is(scalar @records, 4, 'export: a record for each open review');
my %row = map { ($_->[0] => $_) } @records[1 .. $#records];
is($row{ $id{both} }[4], "a: orders.customer_id \xC3\x972; b: orders.customer_id \xC3\x971", 'export: candidates in words');
is($row{ $id{both} }[5], 3, 'export: number of evidence rows');
is(join('', @{ $row{ $id{both} } }[6 .. 8]), '', 'export: empty columns to fill in');
like($row{ $id{$hostile} }[4], qr/\A'=HYPERLINK/, 'export: no formula');
unlike($exported, qr/(^|,)"?[=+\@\t-]/m, 'export: no cell that starts a formula');

# --- in again ----------------------------------------------------------------------------------------------------------------------------------
sub import_file {
  my ($content) = @_;
  return write_text("$folder/import.csv", $content);
}
sub import_fails {
  my ($name, $content, $status, $error) = @_;
  my $before = run_sql($node, 'SELECT count(*) FROM customers WHERE company_id IS NULL') . scalar(@{ reviews() });
  my $call = client_fails($name, ['review', 'import', 'reviews', import_file($content)], $status, $error);
  is(run_sql($node, 'SELECT count(*) FROM customers WHERE company_id IS NULL') . scalar(@{ reviews() }), $before, "$name: nothing of it was applied");
  return $call;
}
my ($one, $two, $three) = ($id{both}, $id{$hostile}, $id{"\x{6771}\x{4EAC}"});
my $header = "id,decision,tenant,note\n";

import_fails('bad second line', "${header}$one,resolve,a,\n$two,resolve,zzz,\n", 1, qr/\Aerror: line 3: .*\n(.*\n)*LOCATION: ".*import\.csv"\nSQLSTATE: 23503\n/);
import_fails('a review of nobody', "${header}$one,resolve,a,\n99999,dismiss,,\n", 1, qr/\Aerror: line 3: .*\n(.*\n)*SQLSTATE: 42704\n/);
import_fails('closed already', "${header}$one,resolve,a,\n$id{six},resolve,a,\n", 1, qr/\Aerror: line 3: .*\n(.*\n)*SQLSTATE: 55000\n/);
import_fails('no such decision', "${header}$one,resolve,a,\n$two,maybe,,\n", 3, qr/\Aerror: line 3: "maybe" is not a decision\nDETAIL: Nothing of the file was applied\.\nHINT: .*\nLOCATION: ".*", line 3\n/);
import_fails('tenant without decision', "${header}$one,,a,\n", 3, qr/\Aerror: line 2: a tenant is given, but no decision/);
import_fails('resolve without tenant', "${header}$one,resolve,,\n", 3, qr/\Aerror: line 2: resolve needs a tenant/);
import_fails('dismiss with tenant', "${header}$one,dismiss,a,\n", 3, qr/\Aerror: line 2: dismiss takes no tenant/);
import_fails('the same review twice', "${header}$one,resolve,a,\n\n$one,dismiss,,\n", 3, qr/\Aerror: line 4: review $one stands in line 2 already/);
import_fails('id that is no number', "${header}1e3,dismiss,,\n", 3, qr/\Aerror: line 2: "1e3" is not the id of a review/);
import_fails('id that is too long', $header . '9' x 40 . ",dismiss,,\n", 3, qr/is not the id of a review/);
import_fails('no id', "${header},dismiss,,\n", 3, qr/\Aerror: line 2: "" is not the id of a review/);
import_fails('too many cells', "${header}$one,resolve,a,note, and more\n", 3, qr/\Aerror: line 2: 5 cells under 4 columns/);
import_fails('no decision column', "id,tenant\n$one,a\n", 3, qr/\Aerror: the column "decision" is missing/);
import_fails('a column twice', "id,decision,tenant,Decision\n$one,resolve,a,\n", 3, qr/\Aerror: the column "decision" stands twice/);
import_fails('a quote that is never closed', "${header}$one,resolve,a,\"x\n", 3, qr/\Aerror: a quoted cell is never closed\n(.*\n)*LOCATION: ".*", line 2\n/);
import_fails('a quote in a bare cell', "${header}$one,resolve,a,5\" pipe\n", 3, qr/\Aerror: a quote stands inside a cell that is not quoted\n(.*\n)*LOCATION: ".*", line 2\n/);
import_fails('text after a quoted cell', "${header}$one,resolve,a,\"x\"y\n", 3, qr/\Aerror: text stands after a quoted cell\n/);
import_fails('a note that is not UTF-8', "${header}$one,resolve,a,M\xFCller\n", 3, qr/\Aerror: line 2: the cell "note" is not UTF-8\n(.*\n)*HINT: save the file as "CSV UTF-8"\n/);
import_fails('UTF-16', "\xFF\xFEi\x00d\x00", 3, qr/\Aerror: the file is UTF-16, not UTF-8/);
import_fails('binary', "PK\x03\x04\x00\x00", 3, qr/\Aerror: the file is binary, not text/);
import_fails('empty', '', 3, qr/\Aerror: ".*" is empty/);
import_fails('only line ends', "\r\n\r\n", 3, qr/\Aerror: the file has no lines/);
import_fails('hostile text', "${header}$one,\e]0;owned\a,,\n", 3, qr/\Aerror: line 2: "\\u001B\]0;owned\\u0007" is not a decision/);
client_fails('a directory', ['review', 'import', 'reviews', $folder], 3, qr/^error: could not read ".*": it is a directory/);
client_fails('no such file', ['review', 'import', 'reviews', "$folder/none.csv"], 3, qr/^error: could not open ".*": No such file or directory/);
client_fails('another migration', ['review', 'import', 'nope', import_file("${header}$one,dismiss,,\n")], 1, qr/^SQLSTATE: 42704$/m);
SKIP: {
  skip 'no /dev/zero', 2 if !-r '/dev/zero';
  client_fails('endless', ['review', 'import', 'reviews', '/dev/zero'], 3, qr/^error: ".*" is larger than 64 MiB/);
}

# nothing decided: fine, and nothing happens
client_ok('untouched sheet', ['review', 'import', 'reviews', $sheet], 0, qr/ left open +\| +3$/m);

# As a European spreadsheet saves it: BOM, semicolons, CRLF, an own column, the last cells left out, empty lines at the end.
sub fill {
  my ($id, @cells) = @_;
  my @filled = @{ $row{$id} };
  @filled[6 .. 8] = @cells;
  return \@filled;
}
my $european = "\xEF\xBB\xBF" . save(';', [@{ $records[0] }, 'Farbe'], [@{ fill($one, 'Resolve', 'a', '"quoted"; and a line' . "\n" . 'break') }, 'rot'], $row{$two}, $row{$three}) . ";;;;;;;;;\r\n\r\n";
client_ok('sheet of a European spreadsheet', ['review', 'import', 'reviews', import_file($european)], 0, qr/ resolved +\| +1$/m);
is(run_sql($node, "SELECT company_id FROM customers WHERE id = 'both'"), 'a', 'import writes');
my ($noted) = grep { $_->{id} == $one } @{ reviews('--all') };
is($noted->{note}, "\"quoted\"; and a line\nbreak", 'import: the note as it was written');

# The formula's apostrophe goes again; Windows-1252 in a column that nobody reads does no harm; sep= is understood.
my $excel = "sep=;\r\n" . save(';', $records[0], [map { s/\xC3\x97/\xD7/gr } @{ fill($two, 'resolve', "'=HYPERLINK(\"http://evil.example\")", '') }]);
client_ok('sheet of Excel', ['review', 'import', 'reviews', import_file($excel)], 0, qr/ resolved +\| +1$/m);
is(run_sql($node, "SELECT count(*) FROM customers WHERE company_id LIKE '=HYPER%'"), '1', 'import: the tenant without the apostrophe');
my $tab = join("\r", "NOTE\tTenant\tDECISION\tID", "ok\tB\xC3\xA4ckerei \xF0\x9F\xA5\x90; S\xC3\xB6hne\tresolve\t$three") . "\r";
is(client('review', 'import', 'reviews', '-', { stdin => $tab })->{status}, 0, 'tabs, carriage returns, another order, capitals, standard input');
is(run_sql($node, "SELECT count(*) FROM customers WHERE company_id LIKE 'B\xC3\xA4ckerei%'"), '1', 'import: text beyond ASCII');
is(run_sql($node, 'SELECT count(*) FROM customers WHERE company_id IS NULL'), '1', 'import: all but the dismissed one are settled');
is(scalar @{ reviews() }, 0, 'no review is open');
client_ok('status', ['status'], 0);
client_ok('run', ['run', 'reviews'], 0);

$node->stop('fast');
done_testing();

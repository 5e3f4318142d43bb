# Spec files: what YAML and JSON become, and every way in which a file can be wrong. No server is needed.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::Bin/lib";
use TenantmigTest;
use Test::More;

$ENV{PGHOST} = '/nonexistent';
my $folder = folder();
my $number = 0;

my $start = "migration: m\ntenants: {table: companies, key: id}\nsteps:\n";
my $step = "  - backfill:\n      table: customers\n      column: company_id\n";
my $source = "      sources:\n        - {via: appointments.customer_id}\n";

sub validate {
  my ($content, $suffix) = @_;
  my $path = write_text("$folder/spec" . ++$number . ($suffix // '.yaml'), $content);
  return client('validate', '--offline', '--format', 'json', $path);
}

sub accepted {
  my ($name, $content, $suffix) = @_;
  my $call = validate($content, $suffix);
  is($call->{status}, 0, "$name: accepted") or diag($call->{err});
  return $call;
}

sub refused {
  my ($name, $content, $error, $line, $suffix) = @_;
  my $call = validate($content, $suffix);
  is($call->{status}, 3, "$name: status 3");
  is($call->{out}, '', "$name: nothing on standard output");
  like($call->{err}, qr/\Aerror: $error/, "$name: error");
  like($call->{err}, qr/^LOCATION: "[^"]+", line $line$/m, "$name: line $line") if $line;
  unlike($call->{err}, qr/[\x00-\x08\x0b-\x1f]/, "$name: no control characters");
  return;
}

# --- what is fine -------------------------------------------------------------------------------------------------------
accepted('YAML', "$start$step$source");
accepted('YAML with byte order mark', "\xEF\xBB\xBF$start$step$source");
accepted('YAML with CRLF', "$start$step$source" =~ s/\n/\r\n/gr);
accepted('YAML with explicit document marks', "---\n$start$step$source...\n");
accepted('YAML in flow style', '{migration: m, tenants: {table: companies}, steps: [{backfill: {table: c, column: d, sources: [{via: a.b}]}}]}');
my $json = '{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "c", "column": "d", "sources": [{"via": "a.b"}]}}]}';
accepted('JSON', $json, '.json');
accepted('JSON in a file of another name', $json, '.txt');
accepted('JSON with escapes that YAML does not know', $json =~ s/"companies"/"companies\\ud83d\\ude00"/r, '.spec');
my $stdin = client('validate', '--offline', '-', { stdin => "$start$step$source" });
is($stdin->{status}, 0, 'standard input');
like($stdin->{err}, qr/^standard input is valid as far as the document alone tells$/m, 'standard input: remark');
my $quiet = client('--quiet', 'validate', '--offline', '-', { stdin => "$start$step$source" });
is($quiet->{err}, '', 'quiet: no remark');

# types by the core schema of YAML 1.2: the checks of the spec say what arrived
for my $good ("version: 8", "version: +8", "version: 0x10", "version: 0o17", "version: 9223372036854775807", "description: '8'", 'description: "null"', "description: 7 days",
  "description: yes", "description: !!str 8", "description: 1.2.3", "description: 1e", "description: .", "description: +", "description: 0x", "description: 0o8", "description: -0x1",
  "description: 08:15", "description: 2026-01-01", "description: +-1", "description: .Inf.", "description: \"\\u00e9\\x41\"") {
  accepted($good, "$good\n$start$step$source");
}
for my $bad (['description: 8', 'description'], ['description: 8.5', 'description'], ['description: true', 'description'], ['description: 0x1F', 'description'], ['description: -.5', 'description'], ['description: 5.', 'description'], ['description: 1E+3', 'description'], ['description: +1.5e-3', 'description'],
  ['description: [a]', 'description'], ["description: {a: b}", 'description'], ["version: '8'", 'version'], ['version: 7 days', 'version'], ['version: 1.5', 'version'],
  ['version: yes', 'version'], ['version: 1_000', 'version']) {
  refused("$bad->[0]", "# comment\n$bad->[0]\n$start$step$source", qr/spec: \Q$bad->[1]\E: /, 2);
}

# --- errors of the spec have the line of their path -----------------------------------------------------------------------
refused('unknown field', "${start}${step}      colour: red\n", qr/spec: steps\[0\]\.backfill\.colour: /, 7);
refused('wrong type deep inside', "${start}${step}      sources:\n        - {via: a.b}\n        - {via: 7}\n", qr/spec: steps\[0\]\.backfill\.sources\[1\]\.via: /, 9);
refused('missing field', "${start}  - backfill:\n      table: customers\n", qr/spec: steps\[0\]\.backfill/, 4);
refused('a list', "- a\n- b\n", qr/the spec is not a mapping/, 1);
refused('plain text', "hello world\n", qr/the spec is not a mapping/, 1);
refused('a number', "42\n", qr/the spec is not a mapping/, 1);
refused('JSON list', '[1, 2]', qr/the spec is not a mapping/, 1, '.json');

# --- files that cannot be read ---------------------------------------------------------------------------------------------
client_fails('no such file', ['validate', '--offline', "$folder/none.yaml"], 3, qr/^error: could not open ".*none\.yaml": No such file or directory$/m);
client_fails('a directory', ['plan', $folder], 3, qr/^error: could not read ".*": it is a directory$/m);
mkdir "$folder/empty";
client_fails('a directory of migrations that is empty', ['validate', '--offline', "$folder/empty"], 3, qr/^error: there is no migration in ".*empty"$/m);
SKIP: {
  skip 'root may read everything', 3 if $> == 0;
  my $secret = write_text("$folder/secret.yaml", 'x');
  chmod 0, $secret;
  client_fails('no permission', ['validate', '--offline', $secret], 3, qr/^error: could not open ".*": Permission denied$/m);
}
refused('empty file', '', qr/".*" is empty/);
refused('only white space', " \n\n", qr/the spec is empty/);
refused('only a comment', "# nothing\n", qr/the spec is empty/);
refused('only a document mark', "---\n", qr/the spec is empty/);
refused('only null', "~\n", qr/the spec is empty/);
refused('JSON null', 'null', qr/the spec is empty/, undef, '.json');
refused('17 MiB', 'a: ' . 'x' x (17 * 1024 * 1024), qr/".*" is larger than 16 MiB/);
if (-r '/dev/zero') {
  my $endless = qx(tenantmig validate --offline - 2>&1 </dev/zero);
  is($? >> 8, 3, 'endless input: status 3');
  like($endless, qr/^error: standard input is larger than 16 MiB$/m, 'endless input: error');
}
refused('binary', "\x7fELF\x02\x01\x00\x00", qr/the file is binary, not text/, 1);
refused('control characters', "migration: m\ndescription: \"a\e[31mb\"\n", qr/the spec contains a control character/, 2);
refused('UTF-16', "\xFF\xFEm\x00i\x00", qr/the file is UTF-16, not UTF-8/);
refused('Latin-1', "migration: m\ndescription: M\xFCller\n", qr/the spec is not UTF-8 text/, 2);
refused('overlong UTF-8', "migration: \xC0\xAFm\n", qr/the spec is not UTF-8 text/, 1);

# --- not YAML, or YAML that a spec must not use -------------------------------------------------------------------------------
refused('not YAML: unclosed list', "migration: m\nsteps: [\n", qr/the spec is not YAML/, 3);
refused('not YAML: a tab as indentation', "migration: m\nsteps:\n\t- a\n", qr/the spec is not YAML/, 3);
refused('not YAML: indentation', "migration: m\n  steps: x\n", qr/the spec is not YAML/, 2);
refused('not YAML: unclosed quote', "migration: \"m\n", qr/the spec is not YAML\nDETAIL: A quoted text is never closed\./, 1);
refused('not YAML: unclosed single quote', "migration: m\ndescription: 'm\n", qr/the spec is not YAML\nDETAIL: A quoted text is never closed\./, 2);
refused('several documents', "$start$step$source---\nmigration: n\n", qr/the file holds several documents/);
refused('anchor', "migration: &a m\n", qr/anchors and aliases are not allowed in a spec/, 1);
refused('alias', "migration: m\ndescription: *a\n", qr/(anchors and aliases are not allowed|the spec is not YAML)/, 2);
refused('a bomb', "a: &a [x,x,x,x,x,x,x,x,x]\n" . join('', map { my $b = chr(ord('b') + $_); my $p = chr(ord('a') + $_); "$b: &$b [*$p,*$p,*$p,*$p,*$p,*$p,*$p,*$p,*$p]\n" } 0 .. 8),
  qr/anchors and aliases are not allowed in a spec/, 1);
refused('deep nesting, below YAML\'s own limit', 'a: ' . '[' x 200 . ']' x 200, qr/the document is nested deeper than 100 levels/, 1);
refused('very deep nesting', '[' x 100000, qr/(the document is nested|a key is not text|the spec is not YAML)/, 1);
refused('too many values', 'a: [' . 'x,' x 200000 . ']', qr/the document holds more than 100000 values/, 1);
refused('duplicate key', "migration: m\ndescription: a\ndescription: b\n", qr/the key "description" stands twice in the same mapping\nDETAIL: It first stands in line 2\./, 3);
refused('duplicate key deep inside', "${start}${step}      column: other\n", qr/the key "column" stands twice/, 7);
refused('merge key', "migration: m\n<<: {description: x}\n", qr/spec: /, 2);
refused('tag', "migration: !ruby/object m\n", qr/the tag "!ruby\/object" is not allowed in a spec/, 1);
refused('binary tag', "migration: !!binary aGVsbG8=\n", qr/the tag ".*binary" is not allowed/, 1);
refused('a list as key', "migration: m\n? [a, b]\n: c\n", qr/a key is not text/, 2);
refused('an empty key', "migration: m\n~: c\n", qr/a key is empty/, 2);
refused('NUL in a string', "migration: \"a\\0b\"\n", qr/a string contains a NUL character/, 1);
refused('65 bits', "version: 9223372036854775808\n", qr/an integer does not fit into 64 bits/, 1);
refused('65 bits, hexadecimal', "version: 0x8000000000000000\n", qr/an integer does not fit into 64 bits/, 1);
refused('65 bits, negative', "version: -9223372036854775809\n", qr/an integer does not fit into 64 bits/, 1);
refused('an endless number', 'version: ' . '9' x 1000, qr/a number is too long/, 1);
refused('infinity', "version: .inf\n", qr/\.inf is not a number that a spec can hold/, 1);
refused('not a number', "version: .NaN\n", qr/\.NaN is not a number that a spec can hold/, 1);
refused('beyond double precision', "version: 1e999\n", qr/the number 1e999 is out of range/, 1);

# --- not JSON, or JSON that a spec must not use ---------------------------------------------------------------------------------
refused('not JSON', "{\"migration\": \"m\",\n \"steps\": }", qr/the spec is not JSON\nDETAIL: syntax error/, 2, '.json');
refused('JSON cut off', "{\"migration\": \"m\"\n", qr/the spec is not JSON/, undef, '.json');
refused('more after the JSON', "$json {}", qr/the spec is not JSON/, 1, '.json');
refused('YAML in a JSON file', "migration: m\n", qr/the spec is not JSON/, 1, '.json');
refused('JSON: duplicate key', '{"migration": "m", "migration": "n"}', qr/the key "migration" stands twice in the same object/, undef, '.json');
refused('JSON: 65 bits', '{"version": 9223372036854775808}', qr/at or in "version": an integer does not fit into 64 bits/, undef, '.json');
refused('JSON: 200 bits', '{"version": 123456789012345678901234567890123456789012345678901234567890}', qr/at or in "version": an integer does not fit into 64 bits/, undef, '.json');
refused('JSON: NUL in a string', '{"migration": "a\u0000b"}', qr/at or in "migration": a string contains a NUL character/, undef, '.json');
refused('JSON: nested deeply', '{"a": ' . '[' x 200 . ']' x 200 . '}', qr/(at or in "a": )?the document is nested deeper than 100 levels/, undef, '.json');
refused('JSON: nested without end', '[' x 1000000, qr/the document is nested deeper than 100 levels/, undef, '.json');

done_testing();

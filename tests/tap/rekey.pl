# rekey step by step: a stop after each of its actions (error, and kill -9 now and then), forward and back, then on or back. Whatever stood there
# before, catalogue by name and rows, is there again after down; after up it is what an undisturbed one has made. No table is rewritten.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TenantmigTest;

plan skip_all => 'needs the module with fault points: make check SUITES=tap' if !$ENV{TENANTMIG_FAULT_DESTDIR};
local $ENV{TENANTMIG_DESTDIR} = $ENV{TENANTMIG_FAULT_DESTDIR};

my $node = new_server('rekey', conf => "autovacuum = off\nmax_worker_processes = 12\nfsync = off\nrestart_after_crash = on\n");

sub call {
  my ($sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
  return ($out // '', $err // '');
}
sub sql {
  my ($sql) = @_;
  my ($out, $err) = call($sql);
  fail("$sql: $err") if $err =~ /ERROR|FATAL|WARNING/;
  return $out;
}
sub fault { return sql('SELECT fault.set(' . join(', ', map { "'$_'" } @_) . ')'); }
sub starts { return scalar(() = slurp_file($node->logfile) =~ /database system is ready to accept connections/g); }
sub killed {
  my ($case, $sql) = @_;
  my $started = starts();
  my ($out, $err) = call($sql);
  like($err, qr/server closed the connection|terminating connection|connection to server was lost/, "$case: killed");
  my $deadline = time + 60;
  while (starts() == $started) {
    BAIL_OUT('the server does not come back') if time > $deadline;
    sleep 0.05;
  }
  fault();
  return;
}

# The catalogue of the schema by name, and the rows.
sub shape {
  return sql(q{SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('%s %s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')) AS line
      FROM pg_constraint WHERE connamespace = 'mandate'::regnamespace
    UNION ALL SELECT format('%s.%s %s %s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attacl, pg_get_expr(adbin, adrelid),
      col_description(attrelid, attnum)) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum JOIN pg_class c ON c.oid = attrelid
      WHERE c.relnamespace = 'mandate'::regnamespace AND c.relkind = 'r' AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT format('%s %s %s', pg_get_indexdef(indexrelid), indisvalid, indisclustered) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
      WHERE c.relnamespace = 'mandate'::regnamespace
    UNION ALL SELECT format('%s %s %s', tgrelid::regclass, pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal) x});
}
my @tables = ('domains', 'scopes', 'policy_snapshots', 'decision_events', 'verdict_events');
sub rows { return join "\n", map { sql("SELECT '$_', count(*), md5(string_agg(to_jsonb(t)::text, '|' ORDER BY to_jsonb(t)::text)) FROM mandate.$_ t") } @tables; }
sub files { return sql("SELECT string_agg(relname || relfilenode, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'mandate'::regnamespace AND relkind = 'r' AND relname NOT LIKE '%_map'"); }

sql(<<'SQL');
CREATE EXTENSION tenantmig_fault;
CREATE ROLE reader;
CREATE SCHEMA mandate;
CREATE TABLE mandate.domains (domain_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL, name varchar(100) NOT NULL);
COMMENT ON CONSTRAINT domains_pkey ON mandate.domains IS 'one row a domain';
CREATE TABLE mandate.scopes (scope_id varchar(200) DEFAULT 'none', domain_id uuid NOT NULL REFERENCES mandate.domains, description text, PRIMARY KEY (scope_id));
COMMENT ON COLUMN mandate.scopes.scope_id IS 'what is governed';
GRANT SELECT (scope_id, domain_id) ON mandate.scopes TO reader;
CREATE INDEX idx_scopes_domain_id ON mandate.scopes (domain_id);
ALTER TABLE mandate.scopes CLUSTER ON scopes_pkey;
ALTER TABLE mandate.scopes ADD UNIQUE (domain_id, description);
CREATE INDEX scopes_both ON mandate.scopes (scope_id DESC, description);
COMMENT ON INDEX mandate.scopes_both IS 'for the list';
CREATE TABLE mandate.policy_snapshots (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scope_id varchar(200) NOT NULL, domain_id uuid NOT NULL REFERENCES mandate.domains
  ON DELETE RESTRICT, CONSTRAINT snapshot_of FOREIGN KEY (scope_id) REFERENCES mandate.scopes ON DELETE CASCADE, CONSTRAINT once UNIQUE (scope_id, id));
COMMENT ON CONSTRAINT snapshot_of ON mandate.policy_snapshots IS 'snapshots go with their scope';
CREATE TABLE mandate.decision_events (id bigint PRIMARY KEY, domain_id uuid NOT NULL, scope_id varchar(200));
CREATE TABLE mandate.verdict_events (domain_id uuid NOT NULL REFERENCES mandate.domains, at integer NOT NULL, PRIMARY KEY (domain_id, at));
INSERT INTO mandate.domains SELECT md5('d' || g)::uuid, md5('o' || g % 3)::uuid, 'domain-' || g FROM generate_series(1, 20) g;
INSERT INTO mandate.scopes SELECT CASE WHEN g % 4 = 0 THEN 'domain-' || 1 + g % 20 || '.' ELSE '' END || 'agent' || g, md5('d' || 1 + g % 20)::uuid, 'scope ' || g FROM generate_series(1, 500) g;
INSERT INTO mandate.policy_snapshots (scope_id, domain_id) SELECT scope_id, domain_id FROM mandate.scopes ORDER BY description;
INSERT INTO mandate.decision_events SELECT row_number() OVER (), domain_id, CASE WHEN description LIKE '%7' THEN NULL ELSE scope_id END FROM mandate.scopes;
ALTER TABLE mandate.decision_events ADD FOREIGN KEY (scope_id) REFERENCES mandate.scopes NOT VALID;
INSERT INTO mandate.verdict_events SELECT md5('d' || 1 + g % 20)::uuid, g FROM generate_series(1, 500) g;
SELECT tenantmig.create_migration('{"migration": "di", "tenants": {"table": "mandate.domains", "key": "domain_id"}, "steps": [{"rekey": {
  "from": {"table": "mandate.domains", "id": "domain_id", "key": "name"}, "column": "domain", "format": "^[a-z0-9_-]+$",
  "tables": ["mandate.scopes", "mandate.policy_snapshots", "mandate.decision_events", "mandate.verdict_events"],
  "embed": [{"table": "mandate.scopes", "column": "scope_id", "separator": "."}]}}]}');
SQL

my ($up, $down) = ("CALL tenantmig.up('di')", "CALL tenantmig.down('di')");
my ($before, $rows, $files) = (shape(), rows(), files());

sub wanted { my ($case) = @_; is(shape(), $before, "$case: the catalogue is as before"); is(rows(), $rows, "$case: the rows, too"); return; }

# Without a disturbance. The oracle of the rows is plain SQL.
my ($out, $err) = call($up);
unlike($err, qr/ERROR|WARNING/, 'up');
my $after = shape();
my $after_rows = rows();
isnt($after, $before, 'the catalogue has changed');
is(files(), $files, 'no table was rewritten');
is(sql(q{SELECT count(*) FROM mandate.scopes s JOIN mandate.domains d USING (domain_id) WHERE s.domain IS DISTINCT FROM d.name OR d.domain IS DISTINCT FROM d.name
  OR s.scope_id IS DISTINCT FROM CASE WHEN starts_with(s.scope_id_old, d.name || '.') THEN s.scope_id_old ELSE d.name || '.' || s.scope_id_old END}), '0', 'scopes: keys and ids');
is(sql(q{SELECT count(*) FROM mandate.policy_snapshots p JOIN mandate.scopes s ON s.scope_id = p.scope_id WHERE s.scope_id_old = p.scope_id_old AND p.domain = s.domain}), '500', 'references follow');
is(sql(q{SELECT count(*) FROM mandate.decision_events e JOIN mandate.scopes s ON s.scope_id = e.scope_id WHERE s.scope_id_old = e.scope_id_old}), '450', 'with NULL as well');
is(sql(q{SELECT count(*) FROM mandate.scopes_scope_id_map}), '375', 'the map has the ids that have changed');
is(sql("SELECT count(*) FROM pg_constraint WHERE connamespace = 'mandate'::regnamespace AND conname = 'scopes_pkey' AND pg_get_constraintdef(oid) = 'PRIMARY KEY (scope_id)'"), '1', 'primary key');
is(sql("SELECT array_to_string(array_agg(format_type(atttypid, -1) ORDER BY attname), ',') FROM pg_attribute WHERE attrelid = 'mandate.scopes'::regclass AND attname IN ('domain', 'scope_id')"), 'text,text', 'types');
cmp_ok(sql("SELECT max((detail->>'longest_lock_ms')::numeric) FROM tenantmig.step_log WHERE action = 'up'"), '<', 200, 'locks are short');
like((call("INSERT INTO mandate.scopes (scope_id, domain_id, domain) VALUES ('domain-1.x', md5('d2')::uuid, 'domain-1')"))[1],
  qr/ERROR:  23514: "domain_id" and "domain" of "scopes" contradict each other/, 'both, and not the same row');
like((call("UPDATE mandate.domains SET name = 'other' WHERE name = 'domain-1'"))[1], qr/ERROR:  23514: "name" of "domains" can't be changed now/, 'the key stays');
like((call("INSERT INTO mandate.verdict_events (domain, at) VALUES ('nobody', 1)"))[1], qr/ERROR:  23502: null value in column "domain_id"/, 'a key of nobody');
sql("INSERT INTO mandate.scopes (scope_id, domain) VALUES ('domain-1.new', 'domain-1'); INSERT INTO mandate.policy_snapshots (scope_id, domain) VALUES ('domain-1.new', 'domain-1')");
is(sql("SELECT scope_id_old, domain_id = md5('d1')::uuid FROM mandate.scopes WHERE scope_id = 'domain-1.new'"), 'new|t', 'a new row has its old side');
unlike((call($down))[1], qr/ERROR|WARNING/, 'down');
is(sql("SELECT count(*) FROM mandate.policy_snapshots p JOIN mandate.scopes s USING (scope_id, domain_id) WHERE s.scope_id = 'new'"), '1', 'rows that came since are there, with old ids');
sql("DELETE FROM mandate.scopes WHERE scope_id = 'new'");
wanted('down');
is(files(), $files, 'no table was rewritten on the way back');

# A stop after each action.
my $actions = 0;
for (my $hit = 1; $hit < 300; $hit++) {
  my $kill = $hit % 9 == 4;
  fault($kill ? "rekey_action crash hit=$hit" : "rekey_action error hit=$hit");
  if ($kill) { my $probe = sql('SELECT 1'); }
  my ($failed, $error);
  if ($kill) {
    my $started = starts();
    (undef, $error) = call($up);
    if ($error =~ /server closed|terminating connection|lost/) {
      my $deadline = time + 60;
      while (starts() == $started) { BAIL_OUT('the server does not come back') if time > $deadline; sleep 0.05; }
    }
  } else {
    (undef, $error) = call($up);
  }
  fault();
  last if $error !~ /TM900|server closed|terminating connection|lost/;
  $actions++;
  if ($hit % 2) { # on
    unlike((call($up))[1], qr/ERROR|WARNING/, "$hit: up goes on");
    is(shape(), $after, "$hit: as without a stop");
    is(rows(), $after_rows, "$hit: rows as without a stop");
  }
  # back, broken off once as well, at a place that changes with each turn
  fault('rekey_action_back error hit=' . (1 + $hit * 7 % 60));
  (undef, $error) = call($down);
  fault();
  if ($error =~ /TM900/ && $hit % 3 == 0) { # forward again from there
    unlike((call($up))[1], qr/ERROR|WARNING/, "$hit: up after a down that was broken off");
    is(shape(), $after, "$hit: as without all that");
    is(rows(), $after_rows, "$hit: rows likewise");
  }
  unlike((call($down))[1], qr/ERROR|WARNING/, "$hit: down");
  wanted($hit);
}
fault();
cmp_ok($actions, '>', 40, "stopped after each of $actions actions");

# Errors inside of a change of the catalogue, and while pieces are written.
unlike((call($down))[1], qr/ERROR/, 'down once more');
for my $point ('rekey_changing', 'rekey_piece', 'rekey_index_built', 'index_building') {
  fault("$point error hit=2");
  like((call($up))[1], qr/ERROR:  TM900/, "$point: error");
  fault();
  is(sql("SELECT error IS NOT NULL FROM tenantmig.step_state"), 't', "$point: it is told");
  unlike((call($down))[1], qr/ERROR|WARNING/, "$point: down");
  wanted($point);
}

$node->stop;
done_testing();

-- What probe_isolation, lint and isolation_speed say of this database, but for what they say of the clean application (the file
-- clean.csv, which the caller loads and takes away). pairs: of tenants that attack each other. found: one row a finding;
-- found_lines: for people.
SET client_min_messages = warning;
CREATE TEMP TABLE clean (tool text, level text, key text);
CREATE TEMP TABLE found (tool text, level text, key text, detail text, remedy text);
INSERT INTO found SELECT 'probe', status, key, pg_catalog.format('%s %s as %s, tenant %s, victim %s: expected %s; seen %s', attack, relation, acted_as, tenant, victim, expected, seen), remedy
  FROM tenantmig.probe_isolation('shop', pairs => :pairs) WHERE status <> 'PASS' AND exempt IS NULL;
INSERT INTO found SELECT 'lint', severity, key, detail, remedy FROM tenantmig.lint('companies') WHERE exempt IS NULL;
INSERT INTO found SELECT 'speed', status, pg_catalog.format('speed.%s:%s:%s', check_name, relation, object), pg_catalog.format('expected %s, actual %s; %s', expected, actual, detail), remedy
  FROM tenantmig.isolation_speed('shop') WHERE status <> 'PASS';
-- one line for all objects of which the same is said; attacks by what they begin with (read_join, read_row: read)
CREATE TEMP VIEW found_lines AS
  SELECT pg_catalog.concat_ws(' ', tool, level, string_agg(object, ', ' ORDER BY object) || ':', checks) AS line
    FROM (SELECT tool, level, pg_catalog.rtrim(pg_catalog.regexp_replace(key, '^[^:]*:', ''), ':') AS object,
            string_agg(DISTINCT pg_catalog.regexp_replace(pg_catalog.split_part(key, ':', 1), '^probe[.]([a-z]+).*|^speed[.]', '\1'), ' ') AS checks
          FROM found GROUP BY 1, 2, 3) AS one
    GROUP BY tool, level, checks;

#include "generate_rows.hpp"
#include "core/identifier.hpp"
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <set>

namespace tenantmig::client {

namespace {

// Everything runs in the temporary schema, with the search_path pinned; rows are written as the owner of their table.
constexpr const char *functions[] = {
    // SQL expressions over g (a number from 1) that give values of a type, the most likely to please first.
    R"(CREATE FUNCTION pg_temp.rehearsal_templates(column_name name, type oid, typmod integer, literals text[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  base oid := type; category "char"; kind "char"; words text[]; room integer; label text;
BEGIN
  LOOP
    SELECT t.typtype, t.typcategory INTO kind, category FROM pg_type t WHERE t.oid = base;
    EXIT WHEN kind <> 'd';
    SELECT t.typbasetype, CASE WHEN typmod < 0 THEN t.typtypmod ELSE typmod END INTO base, typmod FROM pg_type t WHERE t.oid = base;
  END LOOP;
  IF kind = 'e' THEN
    RETURN ARRAY(SELECT format('(ARRAY[%s])[1 + (g + %s) %% %s]', string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder),
      length(column_name), count(*)) FROM pg_enum e WHERE e.enumtypid = base);
  END IF;
  words := CASE WHEN array_length(literals, 1) > 0 THEN
    ARRAY[(SELECT format('(ARRAY[%s])[1 + g %% %s]', string_agg(quote_literal(l), ', '), count(*)) FROM unnest(literals) l)] ELSE '{}' END;
  CASE
  WHEN base IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'name'::regtype) THEN
    room := CASE WHEN typmod > 4 THEN typmod - 4 WHEN base = 'name'::regtype THEN 63 ELSE 1000 END;
    label := left(regexp_replace(lower(column_name), '[^a-z]', '', 'g'), 20);
    RETURN words || ARRAY(SELECT CASE WHEN room < 40 THEN format('right(%s, %s)', x, room) ELSE x END FROM unnest(ARRAY[
      format('%L || '' '' || g', label), format('%L || ''_'' || translate(g::text, ''0123456789'', ''abcdefghij'')', label),
      format('%L || g || ''@example.org''', label), 'translate(g::text, ''0123456789'', ''abcdefghij'')', 'upper(translate(g::text, ''0123456789'', ''abcdefghij''))',
      'g::text', 'lpad(g::text, 8, ''0'')', '''+49'' || lpad(g::text, 9, ''0'')', '''https://example.org/'' || g', 'md5(g::text)', 'md5(g::text)::uuid::text',
      '''#'' || left(md5(g::text), 6)', format('%L || ''-'' || g', label), '''2026-01-01''', '''{}''', '''''']) x);
  WHEN base IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype, 'real'::regtype, 'double precision'::regtype, 'oid'::regtype) THEN
    RETURN words || ARRAY['g', '1 + g % 100', '1 + g % 5', 'g % 2', '1', '0', '-g', '1000 + g', '1900 + g % 200'];
  WHEN base = 'boolean'::regtype THEN RETURN words || ARRAY['g % 2 = 0', 'true', 'false'];
  WHEN base = 'date'::regtype THEN RETURN words || ARRAY['current_date - (g % 1000)::integer', 'current_date + (g % 1000)::integer', 'date_trunc(''month'', current_date)::date'];
  WHEN base IN ('timestamp'::regtype, 'timestamptz'::regtype) THEN
    RETURN words || ARRAY['now() - g * interval ''1 minute''', 'now() + g * interval ''1 minute'''];
  WHEN base IN ('time'::regtype, 'timetz'::regtype) THEN RETURN words || ARRAY['''08:00''::time + (g % 600) * interval ''1 minute'''];
  WHEN base = 'interval'::regtype THEN RETURN words || ARRAY['g * interval ''1 minute''', 'interval ''1 day'''];
  WHEN base = 'uuid'::regtype THEN RETURN ARRAY[format('md5(%L || g)::uuid', column_name)];
  WHEN base = 'jsonb'::regtype OR base = 'json'::regtype THEN RETURN words || ARRAY['''{}''', '''[]''', '''{"n": 1}''', '''"text"''', '''1'''];
  WHEN base = 'bytea'::regtype THEN RETURN ARRAY['decode(md5(g::text), ''hex'')'];
  WHEN base IN ('inet'::regtype, 'cidr'::regtype) THEN RETURN ARRAY['(''10.'' || g / 65536 % 256 || ''.'' || g / 256 % 256 || ''.'' || g % 256)::inet'];
  WHEN category = 'A' THEN RETURN ARRAY['''{}'''];
  WHEN category = 'R' THEN RETURN ARRAY['''empty'''];
  ELSE RETURN words || ARRAY['g::text', '''{}''', ''''''];
  END CASE;
END $f$)",

    // The column of a table that names its tenant; NULL if it has none.
    R"(CREATE FUNCTION pg_temp.rehearsal_key(target oid, root oid, keys text[]) RETURNS name
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $f$
  SELECT a.attname FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND target <> root
    AND (a.attname = ANY (keys) OR EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = target AND c.contype = 'f' AND c.confrelid = root
      AND cardinality(c.conkey) = 1 AND c.conkey[1] = a.attnum))
  ORDER BY a.attname = ANY (keys) DESC, a.attnum LIMIT 1 $f$)",

    // A temporary table of a parent's keys by tenant, numbered: tenant, n, total, k1, k2, … A row without a tenant gets
    // one by
    // its number, so that all its children agree.
    R"(CREATE FUNCTION pg_temp.rehearsal_parents(parent oid, key_columns smallint[], root oid, keys text[], tenants text[]) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  own name := 'rehearsal_parents_' || parent || '_' || array_to_string(key_columns, '_'); own_tenant name := pg_temp.rehearsal_key(parent, root, keys);
  list text; condition text; found bigint;
BEGIN
  IF parent = root THEN
    SELECT a.attname INTO own_tenant FROM pg_attribute a WHERE a.attrelid = parent AND a.attnum = key_columns[1];
  END IF;
  SELECT string_agg(format('p.%I AS k%s', a.attname, u.n), ', ' ORDER BY u.n) INTO list
    FROM unnest(key_columns) WITH ORDINALITY u (number, n) JOIN pg_attribute a ON a.attrelid = parent AND a.attnum = u.number;
  EXECUTE format('DROP TABLE IF EXISTS pg_temp.%I', own);
  FOR attempt IN 1..2 LOOP
    condition := CASE WHEN attempt = 2 OR own_tenant IS NULL THEN '' ELSE format('WHERE p.%I::text = ANY ($1)', own_tenant) END;
    EXECUTE format('CREATE TEMP TABLE %I AS SELECT w.*, row_number() OVER (PARTITION BY w.tenant ORDER BY w.r) AS n FROM (SELECT v.*, coalesce(v.of_tenant, %s, '''') AS tenant '
      'FROM (SELECT u.*, row_number() OVER () AS r FROM (SELECT %s, %s AS of_tenant FROM %s p %s LIMIT 20000) u) v) w', own,
      CASE WHEN own_tenant IS NULL THEN '''''' ELSE '($1)[1 + (v.r % greatest(cardinality($1), 1))::integer]' END, list,
      CASE WHEN own_tenant IS NULL THEN 'NULL::text' ELSE format('p.%I::text', own_tenant) END, parent::regclass, condition) USING tenants;
    EXECUTE format('SELECT count(*) FROM pg_temp.%I', own) INTO found;
    EXIT WHEN found > 0 OR attempt = 2;
    EXECUTE format('DROP TABLE pg_temp.%I', own);
  END LOOP;
  EXECUTE format('CREATE INDEX ON pg_temp.%I (tenant, n)', own);
  EXECUTE format('GRANT SELECT ON pg_temp.%I TO PUBLIC', own);
  RETURN own;
END $f$)",

    // Up to `wanted` rows for one table.
    R"(CREATE FUNCTION pg_temp.rehearsal_rows(target oid, wanted bigint, root oid, keys text[], tenants text[], pairs jsonb, OUT made bigint, OUT problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  tenant name := pg_temp.rehearsal_key(target, root, keys); done_columns name[] := '{}'; columns text[] := '{}'; expressions text[] := '{}'; short text[] := '{}';
  item record; pick record; pair jsonb; type_name text; own text; best text; score bigint; best_score bigint; checks text; template text; list text; statement text; easy text;
  owner name; part bigint; start bigint; literals text[]; parent oid; branch text; seed bigint; chosen text; others text;
BEGIN
  made := 0;
  SELECT pg_get_userbyid(c.relowner) INTO owner FROM pg_class c WHERE c.oid = target;
  EXECUTE format('SELECT count(*) FROM %s', target::regclass) INTO seed;
  -- tenant
  IF cardinality(tenants) > 0 THEN
    chosen := format('(%L::text[])[1 + (g %% %s)::integer]', tenants, cardinality(tenants));
  ELSE
    chosen := 'NULL::text';
  END IF;
  IF tenant IS NOT NULL AND cardinality(tenants) > 0 THEN
    SELECT a.attnotnull, format_type(a.atttypid, a.atttypmod) AS type INTO item FROM pg_attribute a WHERE a.attrelid = target AND a.attname = tenant;
    columns := columns || quote_ident(tenant);
    expressions := expressions || CASE WHEN item.attnotnull THEN format('b.tenant::%s', item.type) ELSE format('CASE WHEN b.g %% 2 = 0 THEN b.tenant END::%s', item.type) END;
    short := short || format('b.tenant::%s', item.type);
    done_columns := done_columns || tenant;
  END IF;
  -- polymorphic pairs
  FOR pair IN SELECT p FROM jsonb_array_elements(pairs) p WHERE (p ->> 'table')::oid = target LOOP
    branch := '';
    FOR type_name, template IN SELECT t.key, t.value FROM jsonb_each_text(pair -> 'types') t LOOP
      parent := template::oid;
      CONTINUE WHEN parent = target;
      SELECT i.indkey[0] INTO item FROM pg_index i WHERE i.indrelid = parent AND i.indisprimary;
      CONTINUE WHEN NOT FOUND;
      own := pg_temp.rehearsal_parents(parent, ARRAY[item.indkey]::smallint[], root, keys, tenants);
      EXECUTE format('SELECT count(*) FROM pg_temp.%I', own) INTO score;
      CONTINUE WHEN score = 0;
      branch := branch || format('%s SELECT %L::text AS t, k1::text AS i, tenant, n FROM pg_temp.%I', CASE WHEN branch = '' THEN '' ELSE ' UNION ALL' END, type_name, own);
    END LOOP;
    CONTINUE WHEN branch = '';
    own := format('(SELECT %%s FROM (SELECT x.*, count(*) OVER () AS total, row_number() OVER (ORDER BY x.n, x.t) AS r FROM (%s) x WHERE x.tenant IN (b.tenant, '''')) y WHERE y.r = 1 + b.g %%%% y.total)', branch);
    FOR item IN SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type, CASE WHEN a.attname = pair ->> 'type_column' THEN 'y.t' ELSE 'y.i' END AS part FROM pg_attribute a
      WHERE a.attrelid = target AND a.attname IN (pair ->> 'type_column', pair ->> 'id_column') AND NOT a.attname = ANY (done_columns) LOOP
      columns := columns || quote_ident(item.attname);
      expressions := expressions || format('%s::%s', format(own, item.part), item.type);
      short := short || format('%s::%s', format(own, item.part), item.type);
      done_columns := done_columns || item.attname;
    END LOOP;
  END LOOP;
  -- foreign keys; what leads to the table itself stays NULL if it may
  FOR item IN SELECT c.conkey, c.confrelid, c.confkey, (SELECT bool_and(a.attnotnull) FROM pg_attribute a WHERE a.attrelid = target AND a.attnum = ANY (c.conkey)) AS needed
    FROM pg_constraint c WHERE c.conrelid = target AND c.contype = 'f' ORDER BY cardinality(c.conkey) DESC, c.oid LOOP
    CONTINUE WHEN (SELECT bool_and(a.attname = ANY (done_columns)) FROM pg_attribute a WHERE a.attrelid = target AND a.attnum = ANY (item.conkey));
    own := pg_temp.rehearsal_parents(item.confrelid, item.confkey, root, keys, tenants);
    FOR pick IN SELECT a.attname, a.attnotnull, u.n, format_type(a.atttypid, a.atttypmod) AS type FROM unnest(item.conkey) WITH ORDINALITY u (number, n)
      JOIN pg_attribute a ON a.attrelid = target AND a.attnum = u.number WHERE NOT a.attname = ANY (done_columns) LOOP
      columns := columns || quote_ident(pick.attname);
      template := format('(SELECT p.k%s FROM (SELECT max(m.n) AS total FROM pg_temp.%I m WHERE m.tenant = coalesce(b.tenant, '''')) z, pg_temp.%I p WHERE p.tenant = coalesce(b.tenant, '''') '
        'AND p.n = 1 + (b.g * 7) %% z.total)', pick.n, own, own);
      IF pg_temp.rehearsal_key(item.confrelid, root, keys) IS NULL AND item.confrelid <> root THEN
        template := format('(SELECT p.k%s FROM pg_temp.%I p WHERE p.r = 1 + (b.g * 7) %% (SELECT count(*) FROM pg_temp.%I))', pick.n, own, own);
      END IF;
      expressions := expressions || CASE WHEN item.confrelid = target AND NOT pick.attnotnull THEN format('NULL::%s', pick.type) WHEN pick.attnotnull THEN template ELSE format('CASE WHEN b.g %% 4 > 0 THEN %s END', template) END;
      short := short || CASE WHEN pick.attnotnull THEN template ELSE format('NULL::%s', pick.type) END;
      done_columns := done_columns || pick.attname;
    END LOOP;
  END LOOP;
  -- all others: the first kind of value that its own CHECKs like
  FOR item IN SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, format_type(a.atttypid, a.atttypmod) AS type,
      EXISTS (SELECT FROM pg_index i WHERE i.indrelid = target AND i.indisunique AND a.attnum = ANY (i.indkey)) AS in_unique
    FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = '' AND NOT a.atthasdef
      AND NOT a.attname = ANY (done_columns) ORDER BY a.attnum LOOP
    SELECT string_agg(format('(%s) IS NOT FALSE', pg_get_expr(c.conbin, c.conrelid)), ' AND '),
      array_agg(DISTINCT l.found) FILTER (WHERE l.found IS NOT NULL)
      INTO checks, literals FROM pg_constraint c LEFT JOIN LATERAL (SELECT replace(m[1], '''''', '''') AS found
        FROM regexp_matches(pg_get_expr(c.conbin, c.conrelid), '''((?:[^'']|'''')*)''(?=::)', 'g') m) l ON true
      WHERE c.conrelid = target AND c.contype = 'c' AND item.attnum = ANY (c.conkey);
    SELECT coalesce(string_agg(format(', (%s)::%s AS %I', coalesce(pg_get_expr(d.adbin, d.adrelid), 'NULL'), format_type(a.atttypid, a.atttypmod), a.attname), ''), '') INTO others
      FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = '' WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attnum <> item.attnum;
    best := NULL;
    best_score := 0;
    FOREACH template IN ARRAY pg_temp.rehearsal_templates(item.attname, item.atttypid, item.atttypmod, literals) LOOP
      BEGIN
        EXECUTE format('SELECT count(*) FROM (SELECT (%s)::%s AS %I%s FROM generate_series(1::bigint, 20) g) t WHERE %s', template, item.type, item.attname, others, coalesce(checks, 'true')) INTO score;
      EXCEPTION WHEN OTHERS THEN
        score := 0;
      END;
      IF score > best_score THEN
        best := template;
        best_score := score;
      END IF;
      EXIT WHEN best_score = 20;
    END LOOP;
    IF best IS NULL THEN
      IF item.attnotnull THEN
        problem := format('no value is known for column %I (%s)', item.attname, item.type);
        RETURN;
      END IF;
      CONTINUE;
    END IF;
    template := format('(SELECT %s FROM (SELECT b.g AS g) one)::%s', best, item.type);
    columns := columns || quote_ident(item.attname);
    expressions := expressions || CASE WHEN item.attnotnull OR item.in_unique THEN template ELSE format('CASE WHEN (b.g + %s) %% 3 > 0 THEN %s END', item.attnum, template) END;
    short := short || CASE WHEN item.attnotnull OR item.in_unique THEN template ELSE format('NULL::%s', item.type) END;
  END LOOP;
  list := array_to_string(columns, ', ');
  -- rows that a CHECK over several columns dislikes are left out before they are written
  SELECT coalesce(string_agg(format('(%s) IS NOT FALSE', pg_get_expr(c.conbin, c.conrelid)), ' AND '), 'true') INTO checks FROM pg_constraint c
    WHERE c.conrelid = target AND c.contype = 'c' AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = target AND a.attnum = ANY (c.conkey) AND NOT quote_ident(a.attname) = ANY (columns));
  FOR attempt IN 1..8 LOOP
    EXIT WHEN made >= wanted;
    start := seed + 1 + (attempt - 1) * wanted * 2;
    SELECT format('INSERT INTO %s (%s) SELECT %s FROM (SELECT %s FROM (SELECT g, %s AS tenant FROM generate_series($1::bigint, $2) g) b) t WHERE %s LIMIT $3 ON CONFLICT DO NOTHING', target::regclass, list, list,
      string_agg(format('%s AS %s', CASE WHEN attempt % 2 = 1 THEN expressions[u.n] ELSE short[u.n] END, u.name), ', ' ORDER BY u.n), chosen, checks) INTO statement
      FROM unnest(columns) WITH ORDINALITY u (name, n);
    IF statement IS NULL OR cardinality(columns) = 0 THEN
      statement := format('INSERT INTO %s SELECT FROM generate_series($1::bigint, $2) g WHERE $3 > 0', target::regclass);
      IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped) THEN
        statement := format('INSERT INTO %s DEFAULT VALUES', target::regclass);
      END IF;
    END IF;
    EXECUTE format('SET LOCAL ROLE %I', owner);
    BEGIN
      EXECUTE statement USING start, start + (wanted - made) * 2 - 1, wanted - made;
      GET DIAGNOSTICS part = ROW_COUNT;
      made := made + part;
    EXCEPTION WHEN OTHERS THEN
      problem := SQLERRM;
      -- some rows are refused: one at a time
      FOR g IN start .. start + least((wanted - made) * 2, 2000) - 1 LOOP
        EXIT WHEN made >= wanted;
        BEGIN
          EXECUTE statement USING g, g, 1;
          GET DIAGNOSTICS part = ROW_COUNT;
          made := made + part;
        EXCEPTION WHEN OTHERS THEN
          problem := SQLERRM;
        END;
      END LOOP;
    END;
    RESET ROLE;
  END LOOP;
  IF made >= wanted THEN
    problem := NULL;
  ELSIF problem IS NULL THEN
    problem := 'no more rows that its constraints allow were found';
  END IF;
END $f$)",

    // Tables in an order in which parents come first, as far as foreign keys need them.
    R"(CREATE FUNCTION pg_temp.rehearsal_order(only_tables oid[], pairs jsonb, OUT target oid) RETURNS SETOF oid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  rest oid[]; next oid[];
BEGIN
  SELECT array_agg(c.oid ORDER BY n.nspname, c.relname) INTO rest FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tenantmig')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
      AND (only_tables IS NULL OR c.oid = ANY (only_tables));
  WHILE cardinality(rest) > 0 LOOP
    SELECT array_agg(t.oid ORDER BY t.n) INTO next FROM unnest(rest) WITH ORDINALITY t (oid, n)
      WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = t.oid AND c.confrelid <> t.oid AND c.confrelid = ANY (rest))
        AND NOT EXISTS (SELECT FROM jsonb_array_elements(pairs) p, jsonb_each_text(p -> 'types') y WHERE (p ->> 'table')::oid = t.oid
          AND y.value::oid <> t.oid AND y.value::oid = ANY (rest));
    IF next IS NULL THEN -- a cycle: those whose NOT NULL columns don't need it
      SELECT array_agg(t.oid ORDER BY t.n) INTO next FROM unnest(rest) WITH ORDINALITY t (oid, n)
        WHERE NOT EXISTS (SELECT FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
          WHERE a.attnotnull AND c.contype = 'f' AND c.conrelid = t.oid AND c.confrelid <> t.oid AND c.confrelid = ANY (rest));
    END IF;
    next := coalesce(next, rest[1:1]);
    FOREACH target IN ARRAY next LOOP
      RETURN NEXT;
    END LOOP;
    rest := ARRAY(SELECT r FROM unnest(rest) r WHERE r <> ALL (next));
  END LOOP;
END $f$)",

    // Tenants that are there, at most a thousand.
    R"(CREATE FUNCTION pg_temp.rehearsal_tenants(root oid, key text) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  found text[]; column_name name;
BEGIN
  SELECT a.attname INTO column_name FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
    WHERE a.attrelid = root AND (a.attname = key OR key = '' AND a.attnum = i.indkey[0]) LIMIT 1;
  IF column_name IS NULL THEN
    RETURN '{}';
  END IF;
  EXECUTE format('SELECT array_agg(x.k::text ORDER BY x.k) FROM (SELECT t.%I AS k FROM %s t WHERE t.%I IS NOT NULL ORDER BY 1 LIMIT 1000) x', column_name, root::regclass, column_name) INTO found;
  RETURN coalesce(found, '{}');
END $f$)"};

void add_name(std::vector<std::string> &names, const std::string &name) {
    if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

std::string text_at(const nlohmann::json &object, const char *field) {
    const auto found = object.find(field);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The column's name as the catalogue has it: specs hold names as SQL writes them.
std::string column_at(const nlohmann::json &object, const char *field) {
    const std::string written = text_at(object, field);
    if (written.empty()) return written;
    const std::vector<core::Identifier> parts = core::split_identifier(written);
    return parts.size() == 1 ? parts.front().text : written;
}

std::string text_array(const std::vector<std::string> &names) {
    std::string text = "{";
    for (const std::string &name : names) {
        text += text.size() > 1 ? ",\"" : "\"";
        for (const char c : name)
            text += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
        text += '"';
    }
    return text + "}";
}

void read_step(const nlohmann::json &body, const std::string &kind, RowPlan &plan) {
    add_name(plan.tables, text_at(body, "table"));
    if (kind == "backfill" || kind == "constraint" ||
        (kind == "guard" && text_at(body, "kind") != "acyclic" && text_at(body, "kind") != "prefix"))
        add_name(plan.keys, column_at(body, "column"));
    const auto add_pair = [&plan](const std::string &table, const std::string &type_column,
                                  const std::string &id_column, const nlohmann::json &types) {
        if (!table.empty() && !type_column.empty() && !id_column.empty() && types.is_object())
            plan.pairs.push_back(
                {{"table", table}, {"type_column", type_column}, {"id_column", id_column}, {"types", types}});
    };
    if (body.contains("types"))
        add_pair(text_at(body, "table"), column_at(body, "type_column"), column_at(body, "via"), body["types"]);
    for (const auto &source : body.value("sources", nlohmann::json::array())) {
        if (!source.is_object()) continue;
        const std::string via = text_at(source, "via");
        if (source.contains("types"))
            add_pair(text_at(body, "table"), column_at(source, "type_column"), column_at(source, "via"),
                     source["types"]);
        else if (const std::size_t dot = core::last_separator(via); dot != std::string::npos)
            add_name(plan.tables, via.substr(0, dot)); // children
    }
}

} // namespace

RowPlan row_plan(const std::vector<nlohmann::json> &specs) {
    RowPlan plan;
    for (const nlohmann::json &spec : specs) {
        const nlohmann::json tenants = spec.value("tenants", nlohmann::json::object());
        if (plan.root.empty()) {
            plan.root = text_at(tenants, "table");
            plan.root_key = column_at(tenants, "key");
            add_name(plan.tables, plan.root);
        }
        for (const auto &step : spec.value("steps", nlohmann::json::array()))
            if (step.is_object())
                for (const auto &[kind, body] : step.items())
                    if (body.is_object()) read_step(body, kind, plan);
    }
    return plan;
}

void prepare_generator(Connection &connection) {
    for (const char *function : functions) {
        std::string text = function;
        text.replace(0, std::string("CREATE FUNCTION").size(), "CREATE OR REPLACE FUNCTION");
        connection.query(text);
    }
}

nlohmann::json resolved_pairs(Connection &connection, const RowPlan &plan) {
    const auto number_of = [&connection](const std::string &table) {
        return connection.query("SELECT pg_catalog.to_regclass($1)::pg_catalog.oid", {table}).rows.at(0)[0];
    };
    nlohmann::json pairs = nlohmann::json::array();
    for (nlohmann::json pair : plan.pairs) {
        const Cell table = number_of(text_at(pair, "table"));
        nlohmann::json types = nlohmann::json::object();
        for (const auto &[value, target] : pair["types"].items())
            if (const Cell number = target.is_string() ? number_of(target.get<std::string>()) : Cell(); number)
                types[value] = *number;
        if (!table || types.empty()) continue;
        pair["table"] = *table;
        pair["types"] = types;
        pairs.push_back(pair);
    }
    return pairs;
}

std::vector<GeneratedTable> generate_rows(Connection &connection, const RowPlan &plan, long wanted) {
    prepare_generator(connection);
    const std::string pairs = resolved_pairs(connection, plan).dump();
    std::vector<GeneratedTable> made;
    const Result tables = connection.query("SELECT o.target::pg_catalog.regclass::pg_catalog.text, o.target, "
                                           "o.target OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1) "
                                           "FROM pg_temp.rehearsal_order(NULL, $2::pg_catalog.jsonb) o",
                                           {plan.root, pairs});
    for (const auto &table : tables.rows) {
        const Result rows = connection.query(
            "SELECT r.made, r.problem FROM pg_temp.rehearsal_rows($1::pg_catalog.oid, CASE WHEN $7::pg_catalog.bool "
            "THEN "
            "LEAST($2::pg_catalog.int8, 20) ELSE $2::pg_catalog.int8 END, pg_catalog.to_regclass($3), "
            "$4::pg_catalog.text[], pg_temp.rehearsal_tenants(pg_catalog.to_regclass($3), $5), $6::pg_catalog.jsonb) r",
            {table[1], std::to_string(wanted), plan.root, text_array(plan.keys), plan.root_key, pairs,
             table[2].value_or("f")});
        made.push_back({table[0].value_or(""), rows.rows.at(0)[1].value_or(""),
                        std::strtol(rows.rows.at(0)[0].value_or("0").c_str(), nullptr, 10)});
    }
    return made;
}

} // namespace tenantmig::client

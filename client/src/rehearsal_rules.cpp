#include "rehearsal_rules.hpp"
#include "client_error.hpp"
#include "generate_rows.hpp"
#include <cstdlib>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

constexpr int rows_of_a_table = 5;

constexpr const char *functions[] = {
    R"(CREATE OR REPLACE FUNCTION pg_temp.rehearsal_refusals(target oid, root oid, keys text[], OUT tried bigint, OUT problems text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  item record; owner name; names text; list text; condition text; key record; unknown text; still bigint; root_column name;
BEGIN
  tried := 0;
  problems := '{}';
  SELECT pg_get_userbyid(c.relowner) INTO owner FROM pg_class c WHERE c.oid = target;
  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO names FROM pg_attribute a
    WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
  FOR item IN SELECT i.indexrelid::regclass AS index, i.indkey::smallint[] AS columns, pg_get_expr(i.indpred, i.indrelid) AS predicate FROM pg_index i
    WHERE i.indrelid = target AND i.indisunique AND i.indisvalid AND i.indexprs IS NULL ORDER BY i.indexrelid LOOP
    -- the same values in the index's columns, and another primary key
    SELECT string_agg(CASE WHEN p.indrelid IS NULL OR a.attnum = ANY (item.columns) THEN quote_ident(a.attname)
        WHEN a.atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype) THEN format('(SELECT max(m.%I) + 1 FROM %s m)', a.attname, target::regclass)
        WHEN a.atttypid = 'uuid'::regtype THEN 'gen_random_uuid()'
        WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype) THEN format('left(%I || md5(random()::text), greatest(%s - 4, 1))', a.attname, CASE WHEN a.atttypmod < 0 THEN 1000 ELSE a.atttypmod END)
        ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum) INTO list
      FROM pg_attribute a LEFT JOIN pg_index p ON p.indrelid = target AND p.indisprimary AND a.attnum = ANY (p.indkey)
      WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    SELECT string_agg(format('t.%I IS NOT NULL', a.attname), ' AND ') INTO condition FROM pg_attribute a WHERE a.attrelid = target AND a.attnum = ANY (item.columns);
    BEGIN
      EXECUTE format('SET LOCAL ROLE %I', owner);
      EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s t WHERE %s AND %s ORDER BY t.ctid DESC LIMIT 1', target::regclass, names, list, target::regclass,
        condition, coalesce('(' || item.predicate || ')', 'true'));
      GET DIAGNOSTICS still = ROW_COUNT;
      RAISE EXCEPTION SQLSTATE 'XY000';
    EXCEPTION
      WHEN unique_violation THEN tried := tried + 1;
      WHEN SQLSTATE 'XY000' THEN
        IF still > 0 THEN
          problems := problems || format('%s: a second row with the same values got past unique index %s', target::regclass, item.index);
        END IF;
      WHEN OTHERS THEN NULL; -- something else stands before it
    END;
  END LOOP;
  SELECT a.attname, a.attnum, a.attnotnull, a.atttypid, format_type(a.atttypid, a.atttypmod) AS type INTO key FROM pg_attribute a
    WHERE a.attrelid = target AND a.attname = pg_temp.rehearsal_key(target, root, keys);
  IF key.attname IS NULL THEN
    RETURN;
  END IF;
  IF key.attnotnull THEN
    BEGIN
      EXECUTE format('SET LOCAL ROLE %I', owner);
      EXECUTE format('UPDATE %s SET %I = NULL WHERE ctid = (SELECT max(m.ctid) FROM %s m)', target::regclass, key.attname, target::regclass);
      EXECUTE format('SELECT count(*) FROM %s t WHERE t.%I IS NULL', target::regclass, key.attname) INTO still;
      RAISE EXCEPTION SQLSTATE 'XY000';
    EXCEPTION
      WHEN SQLSTATE 'XY000' THEN
        IF still > 0 THEN
          problems := problems || format('%s: %I could be made NULL', target::regclass, key.attname);
        END IF;
      WHEN OTHERS THEN tried := tried + 1;
    END;
  END IF;
  SELECT r.attname INTO root_column FROM pg_constraint c JOIN pg_attribute r ON r.attrelid = root AND r.attnum = c.confkey[1]
    WHERE c.conrelid = target AND c.contype = 'f' AND c.confrelid = root AND c.conkey = ARRAY[key.attnum] LIMIT 1;
  IF root_column IS NOT NULL THEN
    IF key.atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype) THEN
      EXECUTE format('SELECT (max(r.%I) + 1)::text FROM %s r', root_column, root::regclass) INTO unknown;
    ELSE
      unknown := CASE WHEN key.atttypid = 'uuid'::regtype THEN gen_random_uuid()::text ELSE 'no such tenant' END;
    END IF;
    BEGIN
      EXECUTE format('SET LOCAL ROLE %I', owner);
      EXECUTE format('UPDATE %s SET %I = $1::%s WHERE ctid = (SELECT max(m.ctid) FROM %s m)', target::regclass, key.attname, key.type, target::regclass) USING unknown;
      GET DIAGNOSTICS still = ROW_COUNT;
      RAISE EXCEPTION SQLSTATE 'XY000';
    EXCEPTION
      WHEN SQLSTATE 'XY000' THEN
        IF still > 0 THEN
          problems := problems || format('%s: a row could get the unknown tenant %s', target::regclass, unknown);
        END IF;
      WHEN OTHERS THEN tried := tried + 1;
    END;
  END IF;
END $f$)",

    // Rows whose polymorphic reference, or foreign key, leads nowhere.
    R"(CREATE OR REPLACE FUNCTION pg_temp.rehearsal_orphans(tables oid[], pairs jsonb) RETURNS TABLE (what text, orphans bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  item record; pair jsonb; type_value text; parent oid; key name;
BEGIN
  FOR item IN SELECT c.conrelid::regclass AS child, c.confrelid::regclass AS parent, c.conname, string_agg(format('p.%I = t.%I', f.attname, a.attname), ' AND ') AS same,
      string_agg(format('t.%I IS NOT NULL', a.attname), ' AND ') AS filled
    FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey, c.confkey) u (own, other) JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.own
      JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = u.other
    WHERE c.contype = 'f' AND c.conrelid = ANY (tables) GROUP BY c.oid, c.conrelid, c.confrelid, c.conname LOOP
    EXECUTE format('SELECT count(*) FROM %s t WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)', item.child, item.filled, item.parent, item.same) INTO orphans;
    what := format('%s: rows whose %I leads nowhere', item.child, item.conname);
    RETURN NEXT;
  END LOOP;
  FOR pair IN SELECT p FROM jsonb_array_elements(pairs) p LOOP
    FOR type_value, parent IN SELECT t.key, t.value::oid FROM jsonb_each_text(pair -> 'types') t LOOP
      SELECT a.attname INTO key FROM pg_index i JOIN pg_attribute a ON a.attrelid = parent AND a.attnum = i.indkey[0] WHERE i.indrelid = parent AND i.indisprimary;
      CONTINUE WHEN key IS NULL;
      EXECUTE format('SELECT count(*) FROM %s t WHERE t.%I::text = $1 AND t.%I IS NOT NULL AND NOT EXISTS (SELECT FROM %s p WHERE p.%I::text = t.%I::text)',
        (pair ->> 'table')::oid::regclass, pair ->> 'type_column', pair ->> 'id_column', parent::regclass, key, pair ->> 'id_column') INTO orphans USING type_value;
      what := format('%s: rows whose %s %s leads nowhere', (pair ->> 'table')::oid::regclass, pair ->> 'id_column', type_value);
      RETURN NEXT;
    END LOOP;
  END LOOP;
END $f$)",

    R"(CREATE OR REPLACE FUNCTION pg_temp.rehearsal_cascade(root oid, root_column name, tenant text, tables oid[], keys text[], pairs jsonb, OUT outcome text, OUT problems text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  target oid; key name; found bigint; before jsonb; constraint_name text; child text;
BEGIN
  problems := '{}';
  SELECT coalesce(jsonb_object_agg(o.what, o.orphans), '{}') INTO before FROM pg_temp.rehearsal_orphans(tables, pairs) o;
  BEGIN
    EXECUTE format('SET LOCAL ROLE %I', (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = root));
    EXECUTE format('DELETE FROM %s r WHERE r.%I::text = $1', root::regclass, root_column) USING tenant;
    RESET ROLE;
  EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
    GET STACKED DIAGNOSTICS constraint_name = CONSTRAINT_NAME, child = TABLE_NAME;
    outcome := format('refused: constraint %s of %s keeps a tenant that has rows', constraint_name, child);
    RETURN;
  END;
  FOREACH target IN ARRAY tables LOOP
    key := pg_temp.rehearsal_key(target, root, keys);
    CONTINUE WHEN key IS NULL;
    EXECUTE format('SELECT count(*) FROM %s t WHERE t.%I::text = $1', target::regclass, key) INTO found USING tenant;
    IF found > 0 THEN
      problems := problems || format('%s: %s rows still name the tenant that was deleted', target::regclass, found);
    END IF;
  END LOOP;
  SELECT problems || coalesce(array_agg(format('%s: %s', o.what, o.orphans)), '{}') INTO problems FROM pg_temp.rehearsal_orphans(tables, pairs) o
    WHERE o.orphans > coalesce((before ->> o.what)::bigint, 0);
  outcome := format('tenant %s and its rows in %s tables', tenant, cardinality(tables));
END $f$)"};

struct Prepared {
    RowPlan plan;
    std::string pairs, keys, tenants, root_column, tables; // text of arrays
    std::vector<std::string> oids;
    std::vector<GeneratedTable> made;
};

std::string array_of(const std::vector<std::string> &items) {
    std::string text = "{";
    for (const std::string &item : items) {
        text += text.size() > 1 ? ",\"" : "\"";
        for (const char c : item)
            text += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
        text += '"';
    }
    return text + "}";
}

// Taken back at its end, whatever happens.
class Attempt {
public:
    explicit Attempt(Connection &connection) : connection_(connection) {
        connection_.query("BEGIN");
        connection_.query("SET CONSTRAINTS ALL IMMEDIATE");
    }
    ~Attempt() {
        try {
            connection_.query("ROLLBACK");
        } catch (const std::exception &) { // the connection is lost, and the transaction with it
        }
    }
    Attempt(const Attempt &) = delete;
    Attempt &operator=(const Attempt &) = delete;

private:
    Connection &connection_;
};

GeneratedTable make_rows(Connection &connection, const Prepared &prepared, const std::string &table, int wanted) {
    const Result rows = connection.query(
        "SELECT $1::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text, r.made, r.problem FROM "
        "pg_temp.rehearsal_rows($1::pg_catalog.oid, $2::pg_catalog.int8, pg_catalog.to_regclass($3), "
        "$4::pg_catalog.text[], $5::pg_catalog.text[], $6::pg_catalog.jsonb) r",
        {table, std::to_string(wanted), prepared.plan.root, prepared.keys, prepared.tenants, prepared.pairs});
    const auto &row = rows.rows.at(0);
    return {row[0].value_or(""), row[2].value_or(""), std::strtol(row[1].value_or("0").c_str(), nullptr, 10)};
}

Prepared prepare(Connection &connection, const std::vector<RehearsedMigration> &migrations,
                 const std::vector<std::string> &new_tables) {
    std::vector<nlohmann::json> specs;
    for (const RehearsedMigration &migration : migrations)
        specs.push_back(migration.spec);
    Prepared prepared;
    prepared.plan = row_plan(specs);
    prepare_generator(connection);
    for (const char *function : functions)
        connection.query(function);
    prepared.pairs = resolved_pairs(connection, prepared.plan).dump();
    prepared.keys = array_of(prepared.plan.keys);
    prepared.tenants = "{}";

    std::vector<std::string> named = prepared.plan.tables;
    named.insert(named.end(), new_tables.begin(), new_tables.end());
    const Result order = connection.query(
        "WITH RECURSIVE t AS (SELECT DISTINCT pg_catalog.to_regclass(u.n)::pg_catalog.oid AS o FROM "
        "pg_catalog.unnest($1::pg_catalog.text[]) u (n) UNION SELECT c.confrelid FROM t JOIN pg_catalog.pg_constraint "
        "c ON "
        "c.conrelid OPERATOR(pg_catalog.=) t.o AND c.contype OPERATOR(pg_catalog.=) 'f') "
        "SELECT o.target, o.target OPERATOR(pg_catalog.=) pg_catalog.to_regclass($2) FROM "
        "pg_temp.rehearsal_order(ARRAY(SELECT t.o FROM t WHERE t.o IS NOT NULL), $3::pg_catalog.jsonb) o",
        {array_of(named), prepared.plan.root, prepared.pairs});
    const Result column = connection.query(
        "SELECT a.attname, pg_catalog.format('%s', a.attrelid::pg_catalog.regclass), pg_catalog.quote_ident(a.attname) "
        "FROM "
        "pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_index i ON i.indrelid OPERATOR(pg_catalog.=) a.attrelid AND "
        "i.indisprimary WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1) AND (a.attname "
        "OPERATOR(pg_catalog.=) $2 OR $2 OPERATOR(pg_catalog.=) '' AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]) "
        "LIMIT 1",
        {prepared.plan.root, prepared.plan.root_key});
    if (column.rows.empty())
        throw ClientError(ExitStatus::failure,
                          fmt::format("the tenant root {} has no key that could be read", prepared.plan.root));
    prepared.root_column = column.rows[0][0].value_or("");
    const std::string root = column.rows[0][1].value_or(""), key = column.rows[0][2].value_or("");

    // New tenants: deleting one of those costs what its few rows cost.
    connection.query(
        fmt::format("CREATE TEMP TABLE rehearsal_known ON COMMIT DROP AS SELECT r.{} AS k FROM {} r", key, root));
    for (const auto &row : order.rows)
        if (row[1] == "t") prepared.made.push_back(make_rows(connection, prepared, row[0].value_or(""), 2));
    const Result tenants = connection.query(fmt::format(
        "SELECT coalesce(pg_catalog.array_agg(r.{0}::pg_catalog.text), '{{}}') FROM {1} r WHERE r.{0} NOT IN "
        "(SELECT w.k FROM pg_temp.rehearsal_known w)",
        key, root));
    prepared.tenants = tenants.rows.at(0)[0].value_or("{}");
    if (prepared.tenants == "{}")
        prepared.tenants = connection
                               .query("SELECT pg_temp.rehearsal_tenants(pg_catalog.to_regclass($1), $2)",
                                      {prepared.plan.root, prepared.plan.root_key})
                               .rows.at(0)[0]
                               .value_or("{}");
    for (const auto &row : order.rows) {
        prepared.oids.push_back(row[0].value_or(""));
        if (row[1] != "t")
            prepared.made.push_back(make_rows(connection, prepared, row[0].value_or(""), rows_of_a_table));
    }
    prepared.tables = array_of(prepared.oids);
    return prepared;
}

std::vector<std::string> elements(Connection &connection, const Cell &array) {
    std::vector<std::string> found;
    const Result rows = connection.query("SELECT u.x FROM pg_catalog.unnest($1::pg_catalog.text[]) u (x)", {array});
    for (const auto &row : rows.rows)
        found.push_back(row[0].value_or(""));
    return found;
}

} // namespace

RuleOutcome check_inserts(Connection &connection, const std::vector<RehearsedMigration> &migrations,
                          const std::vector<std::string> &new_tables) {
    const Attempt attempt(connection);
    const Prepared prepared = prepare(connection, migrations, new_tables);
    RuleOutcome outcome;
    long rows = 0;
    for (const GeneratedTable &table : prepared.made) {
        rows += table.made;
        if (table.made == 0)
            outcome.found.push_back(fmt::format("{}: no row could be made: {}", table.table, table.problem));
    }
    outcome.tried = fmt::format("{} rows in {} tables", rows, prepared.made.size());
    return outcome;
}

RuleOutcome check_refusals(Connection &connection, const std::vector<RehearsedMigration> &migrations,
                           const std::vector<std::string> &new_tables) {
    const Attempt attempt(connection);
    const Prepared prepared = prepare(connection, migrations, new_tables);
    RuleOutcome outcome;
    long tried = 0;
    for (const std::string &table : prepared.oids) {
        const Result rows =
            connection.query("SELECT r.tried, r.problems FROM pg_temp.rehearsal_refusals($1::pg_catalog.oid, "
                             "pg_catalog.to_regclass($2), "
                             "$3::pg_catalog.text[]) r",
                             {table, prepared.plan.root, prepared.keys});
        tried += std::strtol(rows.rows.at(0)[0].value_or("0").c_str(), nullptr, 10);
        for (std::string &problem : elements(connection, rows.rows.at(0)[1]))
            outcome.found.push_back(std::move(problem));
    }
    outcome.tried = fmt::format("{} refusals: second rows, NULL keys, unknown tenants", tried);
    return outcome;
}

RuleOutcome check_cascade(Connection &connection, const std::vector<RehearsedMigration> &migrations,
                          const std::vector<std::string> &new_tables) {
    const Attempt attempt(connection);
    const Prepared prepared = prepare(connection, migrations, new_tables);
    RuleOutcome outcome;
    const std::vector<std::string> tenants = elements(connection, prepared.tenants);
    if (tenants.empty()) {
        outcome.tried = "there is no tenant";
        return outcome;
    }
    const Result rows = connection.query(
        "SELECT r.outcome, r.problems FROM pg_temp.rehearsal_cascade(pg_catalog.to_regclass($1), $2, $3, "
        "ARRAY(SELECT u.x FROM pg_catalog.unnest($4::pg_catalog.oid[]) u (x) WHERE u.x OPERATOR(pg_catalog.<>) "
        "pg_catalog.to_regclass($1)), $5::pg_catalog.text[], $6::pg_catalog.jsonb) r",
        {prepared.plan.root, prepared.root_column, tenants.front(), prepared.tables, prepared.keys, prepared.pairs});
    outcome.tried = rows.rows.at(0)[0].value_or("");
    outcome.found = elements(connection, rows.rows.at(0)[1]);
    return outcome;
}

} // namespace tenantmig::client

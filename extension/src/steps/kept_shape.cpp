#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "catalog/own_tables.hpp"
#include "steps/kept_shape.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;

// $1: the table, $2: the number of the column. One row: the shape as JSON, with the names that the C++ side reads. The
// option pg_attver is a stamp of the server's own (15.20), not a setting.
constexpr char shape_sql[] = R"(
WITH col AS (SELECT a.*, t.typstorage, t.typcollation FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = $1 AND a.attnum = $2),
depend AS (SELECT DISTINCT d.classid, d.objid FROM pg_depend d
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = $2),
con AS (SELECT k.*, c.relname, n.nspname, c.relkind FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND
    ((k.conrelid = $1 AND $2 = ANY (k.conkey)) OR (k.contype = 'f' AND k.confrelid = $1 AND $2 = ANY (k.confkey)) OR
     k.oid IN (SELECT objid FROM depend WHERE classid = 'pg_constraint'::regclass))),
ind AS (SELECT i.indexrelid, jsonb_build_object('name', c.relname, 'definition', pg_get_indexdef(i.indexrelid),
    'tablespace', coalesce(s.spcname, ''), 'comment', coalesce(obj_description(c.oid, 'pg_class'), ''),
    'replica_identity', i.indisreplident, 'clustered', i.indisclustered, 'statistics',
    (SELECT coalesce(jsonb_agg(jsonb_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum), '[]') FROM
      pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0)) AS document
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
  WHERE i.indrelid = $1),
seq AS (SELECT c.oid, c.relname, n.nspname, c.relacl, s.*, d.deptype FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND
    c.relkind = 'S' JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND
    d.refobjsubid = $2 AND d.deptype IN ('a', 'i') LIMIT 1)
SELECT jsonb_build_object(
  'type', format_type(col.atttypid, col.atttypmod),
  'collation', coalesce((SELECT format('%I.%I', n.nspname, c.collname) FROM pg_collation c JOIN pg_namespace n ON
    n.oid = c.collnamespace WHERE c.oid = col.attcollation AND col.attcollation <> col.typcollation), ''),
  'not_null', col.attnotnull,
  'storage', CASE WHEN col.attstorage = col.typstorage THEN '' ELSE CASE col.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e'
    THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END END,
  'compression', CASE col.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' ELSE '' END,
  'statistics', coalesce(col.attstattarget, -1),
  'options', (SELECT coalesce(jsonb_agg(o), '[]') FROM unnest(col.attoptions) o WHERE split_part(o, '=', 1) <> 'pg_attver'),
  'default', coalesce((SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = $1 AND d.adnum = $2 AND
    col.attgenerated = ''), ''),
  'generated', coalesce((SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = $1 AND d.adnum = $2 AND
    col.attgenerated <> ''), ''),
  'identity', col.attidentity::text,
  'comment', coalesce(col_description($1, $2), ''),
  'grants', (SELECT coalesce(jsonb_agg(jsonb_build_object('grantor', pg_get_userbyid(g.grantor), 'grantee', CASE WHEN
    g.grantee = 0 THEN '' ELSE pg_get_userbyid(g.grantee) END, 'privilege', g.privilege_type, 'grantable', g.is_grantable)
    ORDER BY g.place), '[]') FROM aclexplode(col.attacl) WITH ORDINALITY AS g (grantor, grantee, privilege_type,
    is_grantable, place)),
  'sequence', (SELECT jsonb_build_object('schema', seq.nspname, 'name', seq.relname, 'type', format_type(seq.seqtypid,
    NULL), 'start', seq.seqstart::text, 'increment', seq.seqincrement::text, 'minimum', seq.seqmin::text, 'maximum',
    seq.seqmax::text, 'cache', seq.seqcache::text, 'cycle', seq.seqcycle, 'last', pg_sequence_last_value(seq.oid)::text,
    'comment', coalesce(obj_description(seq.oid, 'pg_class'), ''), 'grants', (SELECT coalesce(jsonb_agg(jsonb_build_object(
    'grantor', pg_get_userbyid(g.grantor), 'grantee', CASE WHEN g.grantee = 0 THEN '' ELSE pg_get_userbyid(g.grantee) END,
    'privilege', g.privilege_type, 'grantable', g.is_grantable) ORDER BY g.place), '[]') FROM aclexplode(seq.relacl) WITH
    ORDINALITY AS g (grantor, grantee, privilege_type, is_grantable, place) WHERE g.grantee <> (SELECT relowner FROM
    pg_class WHERE oid = $1))) FROM seq),
  'constraints', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', con.nspname, 'table', con.relname, 'name',
    con.conname, 'type', con.contype, 'definition', pg_get_constraintdef(con.oid), 'comment', coalesce(
    obj_description(con.oid, 'pg_constraint'), ''), 'foreign', con.conrelid <> $1, 'deferrable', con.condeferrable,
    'deferred', con.condeferred, 'validated', con.convalidated, 'partitioned', con.relkind = 'p', 'index', CASE WHEN
    con.contype IN ('p', 'u', 'x') THEN (SELECT document FROM ind WHERE ind.indexrelid = con.conindid) END) ORDER BY
    con.conrelid <> $1, CASE con.contype WHEN 'p' THEN 0 WHEN 'u' THEN 1 ELSE 2 END, con.conname), '[]') FROM con),
  'indexes', (SELECT coalesce(jsonb_agg(ind.document ORDER BY ind.document ->> 'name'), '[]') FROM ind JOIN pg_index i ON
    i.indexrelid = ind.indexrelid WHERE i.indisvalid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND
    k.contype IN ('p', 'u', 'x')) AND ($2 = ANY (i.indkey::int2[]) OR i.indexrelid IN (SELECT objid FROM depend WHERE
    classid = 'pg_class'::regclass))),
  'statistics_objects', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', n.nspname, 'name', s.stxname,
    'definition', pg_get_statisticsobjdef(s.oid), 'comment', coalesce(obj_description(s.oid, 'pg_statistic_ext'), ''),
    'target', coalesce(s.stxstattarget, -1)) ORDER BY s.stxname), '[]') FROM pg_statistic_ext s JOIN pg_namespace n ON
    n.oid = s.stxnamespace WHERE s.stxrelid = $1 AND ($2 = ANY (s.stxkeys::int2[]) OR s.oid IN (SELECT objid FROM depend
    WHERE classid = 'pg_statistic_ext'::regclass))),
  'triggers', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', t.tgname, 'definition', pg_get_triggerdef(t.oid),
    'enabled', t.tgenabled) ORDER BY t.tgname), '[]') FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE
    t.tgrelid = $1 AND NOT t.tgisinternal AND p.pronamespace = 'tenantmig'::regnamespace AND p.proname = 'rekey_sync' AND
    convert_to(col.attname, getdatabaseencoding()) = ANY (SELECT decode(x, 'hex') FROM
    regexp_split_to_table(encode(t.tgargs, 'hex'), '(?<=^(?:..)*)00') x)))
FROM col)";

constexpr char dependents_sql[] = R"(
WITH handled AS (SELECT k.oid, k.conindid FROM pg_constraint k WHERE (k.conrelid = $1 AND $2 = ANY (k.conkey)) OR
  (k.confrelid = $1 AND $2 = ANY (k.confkey)))
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = $2 AND NOT (
  (d.classid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_constraint k WHERE k.oid = d.objid AND k.contype IN
    ('c', 'f', 'p', 'u', 'x'))) OR
  (d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND (c.relkind IN ('i', 'I')
    OR (c.relkind = 'S' AND d.deptype IN ('a', 'i'))))) OR
  (d.classid = 'pg_attrdef'::regclass AND EXISTS (SELECT FROM pg_attrdef x WHERE x.oid = d.objid AND x.adrelid = $1 AND
    x.adnum = $2)) OR
  d.classid = 'pg_statistic_ext'::regclass)
UNION
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d WHERE d.refclassid = 'pg_constraint'::regclass
  AND d.refobjid IN (SELECT oid FROM handled) AND d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass)
UNION
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d JOIN pg_depend s ON s.objid = d.refobjid AND
  s.classid = 'pg_class'::regclass WHERE s.refclassid = 'pg_class'::regclass AND s.refobjid = $1 AND s.refobjsubid = $2 AND
  s.deptype = 'i' AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_attrdef'::regclass
UNION
SELECT format('security label of provider %I', l.provider) FROM pg_seclabel l WHERE l.classoid = 'pg_class'::regclass AND
  l.objoid = $1 AND l.objsubid = $2
UNION
SELECT format('statistics object %I of another owner', s.stxname) FROM pg_statistic_ext s JOIN pg_class c ON c.oid =
  s.stxrelid WHERE s.stxrelid = $1 AND $2 = ANY (s.stxkeys::int2[]) AND s.stxowner <> c.relowner
UNION
SELECT format('guard %s (%s) on %I.%I', g.id, g.kind, g.schema_name, g.table_name) FROM tenantmig.guard g, (SELECT
  jsonb_build_object('t', $1::bigint, 'n', $2::integer) AS v) x WHERE g.database_oid = $4 AND (
  jsonb_path_exists(g.definition, '$.** ? (@.table.oid == $t).key[*] ? (@.number == $n)', x.v) OR
  jsonb_path_exists(g.definition, '$.** ? (@.table.oid == $t).value[*] ? (@.number == $n)', x.v) OR
  jsonb_path_exists(g.definition, '$.** ? (@.table.oid == $t).where[*].column ? (@.number == $n)', x.v) OR
  jsonb_path_exists(g.definition, '$ ? (@.table.oid == $t).column ? (@.number == $n)', x.v) OR
  jsonb_path_exists(g.definition, '$ ? (@.table.oid == $t).sources[*].probe[*] ? (@.number == $n)', x.v) OR
  jsonb_path_exists(g.definition, '$ ? (@.table.oid == $t).sources[*].type_column ? (@.number == $n)', x.v) OR
  jsonb_path_exists(g.definition, '$ ? (@.root.oid == $t).root_key ? (@.number == $n)', x.v))
UNION
SELECT format('constraint step %s of migration "%s", which is enforced', e.step, m.name) FROM tenantmig.enforcement e JOIN
  tenantmig.migration m ON m.id = e.migration_id JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = $2 WHERE
  e.database_oid = $4 AND e.relation_oid = $1 AND e.column_name = a.attname AND e.state IN ('intended', 'enforced',
  'relaxing') AND NOT coalesce((e.before ->> 'kept')::boolean, false)
UNION
SELECT format('migration "%s", which names it', m.name) FROM tenantmig.migration m WHERE m.id <> $3 AND
  jsonb_path_exists(m.identity, '$.** ? (@.database == $d)', jsonb_build_object('d', $4::bigint)) AND
  jsonb_path_exists(m.identity, '$.** ? (@.oid == $t).columns[*] ? (@.number == $n)', jsonb_build_object('t', $1::bigint,
  'n', $2::integer)) AND ($5 OR EXISTS (SELECT FROM tenantmig.step_state t WHERE t.migration_id = m.id AND t.state <> '')
  OR EXISTS (SELECT FROM tenantmig.run_log r WHERE r.migration_id = m.id AND r.state <> 'rolled_back'))
ORDER BY 1)";

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}
Value number_value(AttrNumber number) {
    return {INT2OID, Int16GetDatum(number), false};
}

std::vector<std::string> texts(const Rows &rows) {
    std::vector<std::string> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back(rows.text_or(i, 1));
    return result;
}

std::string text_of(const Json &object, const char *key) {
    return object.at(key).get<std::string>();
}
char char_of(const Json &object, const char *key) {
    const std::string text = text_of(object, key);
    return text.empty() ? '\0' : text.front();
}

std::vector<KeptGrant> grants_of(const Json &list) {
    std::vector<KeptGrant> grants;
    for (const Json &item : list)
        grants.push_back({text_of(item, "grantor"), text_of(item, "grantee"), text_of(item, "privilege"),
                          item.at("grantable").get<bool>()});
    return grants;
}

KeptIndex index_of(const Json &item) {
    KeptIndex index = {text_of(item, "name"),
                       text_of(item, "definition"),
                       text_of(item, "tablespace"),
                       text_of(item, "comment"),
                       item.at("replica_identity").get<bool>(),
                       item.at("clustered").get<bool>(),
                       {}};
    for (const Json &pair : item.at("statistics"))
        index.statistics.emplace_back(pair.at(0).get<int>(), pair.at(1).get<int>());
    return index;
}

KeptConstraint constraint_of(const Json &item) {
    KeptConstraint constraint;
    constraint.schema = text_of(item, "schema");
    constraint.table = text_of(item, "table");
    constraint.name = text_of(item, "name");
    constraint.type = char_of(item, "type");
    constraint.definition = text_of(item, "definition");
    constraint.comment = text_of(item, "comment");
    constraint.foreign = item.at("foreign").get<bool>();
    constraint.deferrable = item.at("deferrable").get<bool>();
    constraint.deferred = item.at("deferred").get<bool>();
    constraint.validated = item.at("validated").get<bool>();
    constraint.partitioned = item.at("partitioned").get<bool>();
    if (item.at("index").is_object()) constraint.index = index_of(item.at("index"));
    return constraint;
}

KeptSequence sequence_of(const Json &item) {
    KeptSequence sequence;
    sequence.schema = text_of(item, "schema");
    sequence.name = text_of(item, "name");
    sequence.type = text_of(item, "type");
    sequence.comment = text_of(item, "comment");
    sequence.start = text_of(item, "start");
    sequence.increment = text_of(item, "increment");
    sequence.minimum = text_of(item, "minimum");
    sequence.maximum = text_of(item, "maximum");
    sequence.cache = text_of(item, "cache");
    sequence.cycle = item.at("cycle").get<bool>();
    if (item.at("last").is_string()) sequence.last = text_of(item, "last");
    sequence.grants = grants_of(item.at("grants"));
    return sequence;
}
} // namespace

std::string read_shape(const Table &table, const Column &column) {
    Rows rows = own_query(shape_sql, {oid_value(table.oid), number_value(column.number)});
    if (rows.empty())
        throw Error(sqlstate::undefined_column,
                    fmt::format("column {}.{} does not exist", table.label(), tenantmig::quoted(column.name)));
    return rows.text_or(0, 1);
}

ColumnShape parse_shape(const std::string &json) {
    const Json document = Json::parse(json);
    ColumnShape shape;
    shape.type = text_of(document, "type");
    shape.collation = text_of(document, "collation");
    shape.not_null = document.at("not_null").get<bool>();
    shape.storage = text_of(document, "storage");
    shape.compression = text_of(document, "compression");
    shape.statistics = document.at("statistics").get<int>();
    shape.options = document.at("options").get<std::vector<std::string>>();
    shape.default_value = text_of(document, "default");
    shape.generated = text_of(document, "generated");
    shape.identity = char_of(document, "identity");
    shape.comment = text_of(document, "comment");
    shape.grants = grants_of(document.at("grants"));
    if (document.at("sequence").is_object()) shape.sequence = sequence_of(document.at("sequence"));
    for (const Json &item : document.at("constraints"))
        shape.constraints.push_back(constraint_of(item));
    for (const Json &item : document.at("indexes"))
        shape.indexes.push_back(index_of(item));
    for (const Json &item : document.at("statistics_objects"))
        shape.statistics_objects.push_back({text_of(item, "schema"), text_of(item, "name"), text_of(item, "definition"),
                                            text_of(item, "comment"), item.at("target").get<int>()});
    for (const Json &item : document.at("triggers"))
        shape.triggers.push_back({text_of(item, "name"), text_of(item, "definition"), char_of(item, "enabled")});
    return shape;
}

std::vector<std::string> column_dependents(const Table &table, const Column &column, std::int64_t migration,
                                           StoredOnly stored_only) {
    return texts(own_query(dependents_sql, {oid_value(table.oid), number_value(column.number), bigint_value(migration),
                                            oid_value(MyDatabaseId),
                                            Value{BOOLOID, BoolGetDatum(stored_only == StoredOnly::counts), false}}));
}

std::vector<std::string> suspicious_functions(const Table &table, const Column &column) {
    return texts(own_query(
        "SELECT DISTINCT format('%s of trigger %I', p.oid::regprocedure, t.tgname) FROM pg_trigger t JOIN pg_proc p ON "
        "p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND "
        "l.lanname NOT IN ('c', 'internal') AND p.prosrc ~* ('\\m' || regexp_replace($2, '([^[:alnum:]_])', '\\\\\\1', "
        "'g') || '\\M') ORDER BY 1",
        {oid_value(table.oid), text_value(column.name)}));
}

std::string index_statement(const KeptIndex &index, bool concurrently) {
    if (!concurrently) return index.definition;
    const std::string word = "INDEX ";
    const std::size_t at = index.definition.find(word) + word.size();
    return index.definition.substr(0, at) + "CONCURRENTLY " + index.definition.substr(at);
}

std::string constraint_statement(const KeptConstraint &constraint, bool fast) {
    std::string text = "ADD CONSTRAINT " + tenantmig::quoted(constraint.name) + " ";
    if (constraint.type == 'p' || constraint.type == 'u') {
        text += fmt::format("{} USING INDEX {}", constraint.type == 'p' ? "PRIMARY KEY" : "UNIQUE",
                            tenantmig::quoted(constraint.name));
        if (constraint.deferrable) text += constraint.deferred ? " DEFERRABLE INITIALLY DEFERRED" : " DEFERRABLE";
        return text;
    }
    text += constraint.definition;
    if (fast && constraint.type != 'x' && !constraint.partitioned && !text.ends_with(" NOT VALID"))
        text += " NOT VALID";
    return text;
}

} // namespace tenantmig

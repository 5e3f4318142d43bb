// The fingerprint of the catalogue: one query per kind of object, each gives the object's name and what can be said of
// it without OIDs and column numbers. PostgreSQL's own functions print definitions, under a search_path of pg_catalog
// alone, so that every name in them is qualified. The column option pg_attver is a stamp of the server's own (15.20):
// it tells when a column was made, and is not dumped.
#include "core/row_hash.hpp"

#include "steps/fingerprint.hpp"

namespace tenantmig {

namespace {
// $1 schemas, $2 tables. n: the schemas looked at; e: what belongs to extensions, which stand for it; r: the relations.
constexpr char scope_sql[] = R"(
WITH n AS MATERIALIZED (
  SELECT oid, nspname FROM pg_namespace
  WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'tenantmig') AND ($1 IS NULL OR nspname = ANY ($1))),
e AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
r AS MATERIALIZED (
  SELECT c.*, n.nspname FROM pg_class c JOIN n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c') AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
    AND ($2 IS NULL OR c.oid = ANY ($2) OR EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S'
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($2) AND d.deptype IN ('a', 'i'))))
)";

struct Kind {
    bool of_tables;         // looked at when only some tables are
    bool of_whole_database; // left out when only some schemas are
    const char *sql;        // object, definition
};

constexpr Kind kinds[] = {
    {false, false, R"(
SELECT format('schema %I', s.nspname), jsonb_build_object('owner', pg_get_userbyid(s.nspowner),
  'grants', (SELECT jsonb_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(coalesce(s.nspacl, acldefault('n', s.nspowner))) a),
  'comment', obj_description(s.oid, 'pg_namespace'))
FROM pg_namespace s JOIN n USING (oid)
WHERE NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = s.oid))"},

    {true, false, R"(
SELECT format('%s %I.%I', CASE r.relkind WHEN 'f' THEN 'foreign table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
    WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'row type' ELSE 'table' END, r.nspname, r.relname),
  jsonb_build_object('owner', pg_get_userbyid(r.relowner),
  'grants', CASE WHEN r.relkind <> 'c' THEN (SELECT jsonb_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(coalesce(r.relacl,
    acldefault(CASE WHEN r.relkind = 'S' THEN 's'::"char" ELSE 'r'::"char" END, r.relowner))) a) END,
  'comment', obj_description(r.oid, 'pg_class'), 'kind', r.relkind::text, 'persistence', r.relpersistence::text,
  'row_security', nullif(r.relrowsecurity, false), 'row_security_forced', nullif(r.relforcerowsecurity, false),
  'replica_identity', nullif(r.relreplident::text, CASE WHEN r.relkind IN ('r', 'm', 'p') THEN 'd' ELSE 'n' END),
  'options', (SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(r.reloptions) o),
  'toast_options', (SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM pg_class t, unnest(t.reloptions) o WHERE t.oid = r.reltoastrelid),
  'access_method', (SELECT a.amname FROM pg_am a WHERE a.oid = r.relam AND a.amname <> 'heap'),
  'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = r.reltablespace),
  'partitioned_by', CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
  'partition', pg_get_expr(r.relpartbound, r.oid),
  'parents', (SELECT jsonb_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = r.oid),
  'of_type', CASE WHEN r.reloftype <> 0 THEN r.reloftype::regtype::text END,
  'query', CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END,
  'empty', CASE WHEN r.relkind = 'm' THEN nullif(NOT r.relispopulated, false) END,
  'server', (SELECT s.srvname FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = r.oid),
  'server_options', (SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM pg_foreign_table f, unnest(f.ftoptions) o WHERE f.ftrelid = r.oid),
  'numbers', (SELECT concat_ws(' ', s.seqtypid::regtype, 'start', s.seqstart, 'by', s.seqincrement, 'from', s.seqmin, 'to', s.seqmax,
     'cache', s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END) FROM pg_sequence s WHERE s.seqrelid = r.oid),
  'owned_by', (SELECT format('%s.%I', d.refobjid::regclass, a.attname) FROM pg_depend d
     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE r.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
       AND d.deptype IN ('a', 'i') LIMIT 1))
FROM r)"},

    {true, false, R"(
SELECT format('column %I.%I.%I', r.nspname, r.relname, a.attname), jsonb_build_object('type', format_type(a.atttypid, a.atttypmod),
  'not_null', nullif(a.attnotnull, false), 'default', pg_get_expr(d.adbin, d.adrelid),
  'generated', nullif(a.attgenerated::text, ''), 'identity', nullif(a.attidentity::text, ''),
  'collation', CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0 THEN a.attcollation::regcollation::text END,
  'storage', CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END, 'compression', nullif(a.attcompression::text, ''),
  'statistics', nullif(a.attstattarget, -1), 'options', (SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(a.attoptions) o WHERE split_part(o, '=', 1) <> 'pg_attver'),
  'server_options', (SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(a.attfdwoptions) o),
  'grants', (SELECT jsonb_agg(g::text ORDER BY g::text COLLATE "C") FROM unnest(a.attacl) g),
  'comment', col_description(a.attrelid, a.attnum), 'inherited', nullif(a.attinhcount, 0), 'local', nullif(a.attislocal, true))
FROM r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind <> 'S')"},

    {true, false, R"(
SELECT format('constraint %I.%I.%I', r.nspname, r.relname, k.conname), jsonb_build_object('definition', pg_get_constraintdef(k.oid),
  'not_validated', nullif(NOT k.convalidated, false), 'comment', obj_description(k.oid, 'pg_constraint'),
  'inherited', nullif(k.coninhcount, 0), 'local', nullif(k.conislocal, true))
FROM r JOIN pg_constraint k ON k.conrelid = r.oid)"},

    {true, false, R"(
SELECT format('index %I.%I', r.nspname, c.relname), jsonb_build_object('definition', pg_get_indexdef(i.indexrelid),
  'invalid', nullif(NOT (i.indisvalid AND i.indisready AND i.indislive), false), 'clustered', nullif(i.indisclustered, false),
  'replica_identity', nullif(i.indisreplident, false), 'comment', obj_description(c.oid, 'pg_class'),
  'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace),
  'parent', (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = c.oid),
  'statistics', (SELECT jsonb_agg(a.attstattarget ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0))
FROM r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid)"},

    {true, false, R"(
SELECT format('trigger %I.%I.%I', r.nspname, r.relname, t.tgname), jsonb_build_object('definition', pg_get_triggerdef(t.oid),
  'enabled', nullif(t.tgenabled::text, 'O'), 'comment', obj_description(t.oid, 'pg_trigger'))
FROM r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
UNION ALL
SELECT format('triggers of constraint %I.%I.%I', r.nspname, r.relname, coalesce(k.conname, t.tgname)),
  jsonb_build_object('enabled', jsonb_agg(concat_ws(' ', t.tgfoid::regproc, t.tgenabled) ORDER BY t.tgfoid::regproc::text COLLATE "C"))
FROM r JOIN pg_trigger t ON t.tgrelid = r.oid LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
WHERE t.tgisinternal AND t.tgenabled <> 'O' GROUP BY r.nspname, r.relname, coalesce(k.conname, t.tgname))"},

    {true, false, R"(
SELECT format('policy %I.%I.%I', r.nspname, r.relname, p.polname), jsonb_build_object('command', p.polcmd::text,
  'restrictive', nullif(NOT p.polpermissive, false),
  'roles', (SELECT jsonb_agg(x.who ORDER BY x.who COLLATE "C") FROM (
     SELECT CASE WHEN o = 0 THEN 'public' ELSE pg_get_userbyid(o)::text END AS who FROM unnest(p.polroles) o) x),
  'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid), 'comment', obj_description(p.oid, 'pg_policy'))
FROM r JOIN pg_policy p ON p.polrelid = r.oid)"},

    {true, false, R"(
SELECT format('rule %I.%I.%I', r.nspname, r.relname, w.rulename), jsonb_build_object('definition', pg_get_ruledef(w.oid),
  'enabled', nullif(w.ev_enabled::text, 'O'), 'comment', obj_description(w.oid, 'pg_rewrite'))
FROM r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN')"},

    {true, false, R"(
SELECT format('statistics %I.%I', s.nspname, x.stxname), jsonb_build_object('definition', pg_get_statisticsobjdef(x.oid),
  'owner', pg_get_userbyid(x.stxowner), 'target', nullif(x.stxstattarget, -1), 'comment', obj_description(x.oid, 'pg_statistic_ext'))
FROM r JOIN pg_statistic_ext x ON x.stxrelid = r.oid JOIN pg_namespace s ON s.oid = x.stxnamespace)"},

    {false, false, R"(
SELECT format('type %I.%I', n.nspname, t.typname), jsonb_build_object('kind', t.typtype::text, 'owner', pg_get_userbyid(t.typowner),
  'grants', (SELECT jsonb_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(coalesce(t.typacl, acldefault('T', t.typowner))) a),
  'comment', obj_description(t.oid, 'pg_type'),
  'labels', (SELECT jsonb_agg(l.enumlabel ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid),
  'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, 'not_null', nullif(t.typnotnull, false),
  'default', t.typdefault, 'collation', CASE WHEN t.typtype = 'd' AND t.typcollation <> 0 THEN t.typcollation::regcollation::text END,
  'range', (SELECT concat_ws(' ', format_type(g.rngsubtype, NULL), g.rngcanonical::regproc, g.rngsubdiff::regproc) FROM pg_range g WHERE g.rngtypid = t.oid),
  'functions', CASE WHEN t.typtype = 'b' THEN concat_ws(' ', t.typinput::regproc, t.typoutput::regproc, t.typlen, t.typalign, t.typstorage) END,
  'constraints', (SELECT jsonb_object_agg(k.conname, concat_ws(' ', pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint')))
     FROM pg_constraint k WHERE k.contypid = t.oid))
FROM pg_type t JOIN n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE coalesce(c.relkind, 'c') = 'c' AND t.typtype <> 'm' AND t.typtype <> 'p'
  AND NOT EXISTS (SELECT FROM pg_type m WHERE m.typarray = t.oid)
  AND NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid))"},

    {false, false, R"(
SELECT format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, n.nspname, p.proname,
  pg_get_function_identity_arguments(p.oid)),
  jsonb_build_object('owner', pg_get_userbyid(p.proowner),
  'grants', (SELECT jsonb_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a),
  'comment', obj_description(p.oid, 'pg_proc'), 'result', pg_get_function_result(p.oid),
  'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
  'aggregate', (SELECT concat_ws(' ', g.aggtransfn::regproc, g.aggfinalfn::regproc, g.aggcombinefn::regproc, g.aggmtransfn::regproc,
     g.aggminvtransfn::regproc, format_type(g.aggtranstype, NULL), quote_nullable(g.agginitval), g.aggkind, p.proparallel)
     FROM pg_aggregate g WHERE g.aggfnoid = p.oid))
FROM pg_proc p JOIN n ON n.oid = p.pronamespace
WHERE NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid))"},

    {false, false, R"(
SELECT format('operator %s', o.oid::regoperator), jsonb_build_object('owner', pg_get_userbyid(o.oprowner), 'function', o.oprcode::regprocedure::text,
  'commutator', nullif(o.oprcom, 0)::regoperator::text, 'negator', nullif(o.oprnegate, 0)::regoperator::text,
  'merges', nullif(o.oprcanmerge, false), 'hashes', nullif(o.oprcanhash, false), 'comment', obj_description(o.oid, 'pg_operator'))
FROM pg_operator o JOIN n ON n.oid = o.oprnamespace
WHERE NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_operator'::regclass AND e.objid = o.oid)
UNION ALL
SELECT format('collation %I.%I', n.nspname, c.collname), jsonb_build_object('owner', pg_get_userbyid(c.collowner), 'provider', c.collprovider::text,
  'deterministic', c.collisdeterministic, 'comment', obj_description(c.oid, 'pg_collation'),
  'locale', to_jsonb(c) - 'oid' - 'collname' - 'collnamespace' - 'collowner' - 'collversion')
FROM pg_collation c JOIN n ON n.oid = c.collnamespace
WHERE NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_collation'::regclass AND e.objid = c.oid)
UNION ALL
SELECT format('default privileges of %I%s for %s', pg_get_userbyid(d.defaclrole), CASE WHEN d.defaclnamespace <> 0 THEN format(' in schema %I',
  (SELECT s.nspname FROM pg_namespace s WHERE s.oid = d.defaclnamespace)) END, d.defaclobjtype),
  jsonb_build_object('grants', (SELECT jsonb_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(d.defaclacl) a))
FROM pg_default_acl d WHERE d.defaclnamespace = 0 AND $1 IS NULL OR d.defaclnamespace IN (SELECT oid FROM n))"},

    {false, true, R"(
SELECT format('extension %I', x.extname), jsonb_build_object('version', x.extversion, 'schema', (SELECT s.nspname FROM pg_namespace s WHERE s.oid = x.extnamespace))
FROM pg_extension x WHERE x.extname <> 'tenantmig'
UNION ALL
SELECT format('cast from %s to %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
  jsonb_build_object('function', nullif(c.castfunc, 0)::regprocedure::text, 'context', c.castcontext::text, 'method', c.castmethod::text)
FROM pg_cast c WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_cast'::regclass AND e.objid = c.oid)
UNION ALL
SELECT format('event trigger %I', t.evtname), jsonb_build_object('owner', pg_get_userbyid(t.evtowner), 'event', t.evtevent, 'enabled', t.evtenabled::text,
  'function', t.evtfoid::regprocedure::text, 'tags', (SELECT jsonb_agg(g ORDER BY g COLLATE "C") FROM unnest(t.evttags) g),
  'comment', obj_description(t.oid, 'pg_event_trigger'))
FROM pg_event_trigger t WHERE NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_event_trigger'::regclass AND e.objid = t.oid)
UNION ALL
SELECT format('publication %I', p.pubname), jsonb_build_object('owner', pg_get_userbyid(p.pubowner), 'comment', obj_description(p.oid, 'pg_publication'),
  'what', to_jsonb(p) - 'oid' - 'pubname' - 'pubowner',
  'tables', (SELECT jsonb_agg(to_jsonb(t) - 'pubname' ORDER BY t.schemaname COLLATE "C", t.tablename COLLATE "C") FROM pg_publication_tables t WHERE t.pubname = p.pubname))
FROM pg_publication p
UNION ALL
SELECT format('settings of the database%s', CASE WHEN s.setrole <> 0 THEN format(' for %I', pg_get_userbyid(s.setrole)) END),
  jsonb_build_object('settings', (SELECT jsonb_agg(c ORDER BY c COLLATE "C") FROM unnest(s.setconfig) c))
FROM pg_db_role_setting s WHERE s.setdatabase = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
UNION ALL
SELECT format('security label %s of %s', l.provider, pg_describe_object(l.classoid, l.objoid, l.objsubid)), jsonb_build_object('label', l.label)
FROM pg_seclabel l
UNION ALL
SELECT format('%s %s', i.type, i.identity), jsonb_build_object('owner', pg_get_userbyid(o.owner), 'comment', (SELECT d.description FROM pg_description d
  WHERE d.classoid = o.class AND d.objoid = o.oid AND d.objsubid = 0), 'options', o.options)
FROM (SELECT 'pg_opclass'::regclass AS class, oid, opcowner AS owner, NULL::jsonb AS options FROM pg_opclass
  UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner, NULL FROM pg_opfamily
  UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner, NULL FROM pg_ts_config
  UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner, to_jsonb(dictinitoption) FROM pg_ts_dict
  UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner, NULL FROM pg_conversion
  UNION ALL SELECT 'pg_language'::regclass, oid, lanowner, NULL FROM pg_language
  UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, fdwowner, NULL FROM pg_foreign_data_wrapper
  UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvowner, NULL FROM pg_foreign_server) o
CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i
WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM e WHERE e.classid = o.class AND e.objid = o.oid))"},
};

Value text_list(const std::optional<std::vector<std::string>> &names) {
    return names ? text_array_value(std::span<const std::string>(*names)) : null_value(TEXTARRAYOID);
}

Value table_list(const std::optional<std::vector<Oid>> &tables) {
    if (!tables) return null_value(OIDARRAYOID);
    const Oid *first = tables->data();
    const int count = static_cast<int>(tables->size());
    return {OIDARRAYOID, pg_call([first, count] {
                auto *elements = static_cast<Datum *>(palloc(sizeof(Datum) * static_cast<std::size_t>(count + 1)));
                for (int i = 0; i < count; i++)
                    elements[i] = ObjectIdGetDatum(first[i]);
                return PointerGetDatum(construct_array(elements, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
            }),
            false};
}
} // namespace

std::vector<FingerprintRow> fingerprint_schema(const FingerprintScope &scope) {
    std::vector<FingerprintRow> result;
    for (const Kind &kind : kinds) {
        if (scope.tables && !kind.of_tables) continue;
        if (scope.schemas && kind.of_whole_database) continue;
        Rows rows = own_query(fmt::format("{} SELECT x.object, jsonb_strip_nulls(x.definition)::text FROM ({}) x "
                                          "(object, definition)",
                                          scope_sql, kind.sql),
                              {text_list(scope.schemas), table_list(scope.tables)});
        for (std::size_t i = 0; i < rows.size(); i++) {
            FingerprintRow row;
            row.object = rows.text_or(i, 1);
            row.definition = rows.text_or(i, 2);
            const std::string hashed = row.object + '\0' + *row.definition;
            row.hash = core::hash_bytes(hashed.data(), hashed.size(), {});
            result.push_back(std::move(row));
        }
    }
    std::sort(result.begin(), result.end(), [](const FingerprintRow &a, const FingerprintRow &b) {
        return std::tie(a.object, *a.definition) < std::tie(b.object, *b.definition);
    });
    return result;
}

std::vector<Oid> fingerprint_tables(const FingerprintScope &scope) {
    // of a partitioned table that is named: its partitions
    Rows rows = own_query(
        fmt::format("{} SELECT c.oid FROM pg_class c JOIN n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') "
                    "AND c.relpersistence <> 't' AND ($2 IS NULL OR c.oid = ANY ($2) OR EXISTS (SELECT FROM "
                    "pg_partition_ancestors(c.oid) a WHERE c.relispartition AND a.relid = ANY ($2))) "
                    "AND NOT EXISTS (SELECT FROM e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid) "
                    "ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"",
                    scope_sql),
        {text_list(scope.schemas), table_list(scope.tables)});
    std::vector<Oid> tables;
    for (std::size_t i = 0; i < rows.size(); i++) {
        bool null = false;
        tables.push_back(DatumGetObjectId(rows.datum(i, 1, &null)));
    }
    return tables;
}

std::vector<FingerprintRow> fingerprint(const FingerprintScope &scope, bool with_data) {
    std::vector<FingerprintRow> rows = fingerprint_schema(scope);
    if (!with_data) return rows;
    for (Oid table : fingerprint_tables(scope)) {
        FingerprintRow row = fingerprint_rows(table);
        if (!row.object.empty()) rows.push_back(std::move(row));
    }
    return rows;
}

} // namespace tenantmig

#include "core/undo_text.hpp"

#include "steps/rekey_catalogue.hpp"

namespace tenantmig {

namespace {
Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

std::vector<AttrNumber> numbers(const std::string &list) {
    std::vector<AttrNumber> result;
    for (std::size_t at = 0; at < list.size();) {
        std::size_t end = std::min(list.find(' ', at), list.size());
        result.push_back(static_cast<AttrNumber>(std::stoi(list.substr(at, end - at))));
        at = end + 1;
    }
    return result;
}
} // namespace

std::vector<RekeyIndex> indexes_of(const Table &table, const RekeyNames &columns) {
    std::string list, pattern;
    for (const auto &[number, name] : columns) {
        list += (list.empty() ? "" : ",") + std::to_string(number);
        pattern += (pattern.empty() ? "" : "|") + std::to_string(number);
    }
    Rows rows = own_query(
        fmt::format("SELECT i.indexrelid::bigint, c.relname, k.contype::text, i.indisunique, i.indisclustered, CASE "
                    "WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END || CASE WHEN k.condeferred THEN ' INITIALLY "
                    "DEFERRED' ELSE '' END, coalesce(obj_description(k.oid, 'pg_constraint'), "
                    "obj_description(i.indexrelid, 'pg_class')), array_to_string(i.indkey::int2[], ' '), "
                    "i.indnkeyatts::int, i.indexprs::text !~ ':varattno ({0}) ' IS NOT FALSE AND i.indpred::text !~ "
                    "':varattno ({0}) ' IS NOT FALSE FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN "
                    "pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', "
                    "'u', 'x') WHERE i.indrelid = $1 AND i.indisvalid AND i.indkey::int2[] && '{{{1}}}'::int2[] AND "
                    "k.contype IS DISTINCT FROM 'x' ORDER BY k.contype, c.relname",
                    pattern, list),
        {oid_value(table.oid)});
    std::vector<RekeyIndex> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        RekeyIndex index;
        index.oid = static_cast<Oid>(rows.bigint(i, 1));
        index.name = rows.text_or(i, 2);
        index.constraint = rows.text_or(i, 3).empty() ? '\0' : rows.text_or(i, 3).front();
        index.unique = rows.boolean(i, 4);
        index.clustered = rows.boolean(i, 5);
        index.timing = rows.text_or(i, 6);
        index.comment = rows.text_or(i, 7);
        index.columns = numbers(rows.text_or(i, 8));
        index.keys = static_cast<std::size_t>(rows.bigint(i, 9));
        index.plain = rows.boolean(i, 10);
        result.push_back(std::move(index));
    }
    return result;
}

std::string index_over(const Table &table, const RekeyIndex &index, const std::string &name, const RekeyNames &names,
                       bool same_type) {
    Rows parts = own_query(
        "SELECT n.number::int, CASE WHEN n.number = 0 THEN pg_get_indexdef(i.indexrelid, n.place::int, false) END, "
        "(SELECT quote_ident(s.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l JOIN pg_namespace s ON "
        "s.oid = l.collnamespace WHERE l.oid = i.indcollation[n.place - 1] AND l.oid IS DISTINCT FROM "
        "a.attcollation), (SELECT quote_ident(s.nspname) || '.' || quote_ident(o.opcname) FROM pg_opclass o JOIN "
        "pg_namespace s ON s.oid = o.opcnamespace WHERE o.oid = i.indclass[n.place - 1] AND NOT o.opcdefault), "
        "i.indoption[n.place - 1]::int FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY n(number, "
        "place) LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = n.number WHERE i.indexrelid = $1 "
        "ORDER BY n.place",
        {oid_value(index.oid)});
    Rows rest = own_query(
        "SELECT m.amname, array_to_string(c.reloptions, ', '), (SELECT spcname FROM pg_tablespace WHERE oid = "
        "c.reltablespace), pg_get_expr(i.indpred, i.indrelid), to_jsonb(i)->>'indnullsnotdistinct' = 'true', "
        "m.amname = 'btree' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam "
        "WHERE i.indexrelid = $1",
        {oid_value(index.oid)});
    std::string keys, included;
    for (std::size_t i = 0; i < parts.size(); i++) {
        const auto number = static_cast<AttrNumber>(parts.bigint(i, 1));
        const auto replaced = names.find(number);
        std::string text = number == 0               ? parts.text_or(i, 2)
                           : replaced != names.end() ? quoted(replaced->second)
                                                     : quoted(table.at(number).name);
        if (i >= index.keys) {
            included += (included.empty() ? "" : ", ") + text;
            continue;
        }
        const bool keep = same_type || replaced == names.end();
        if (auto collation = parts.text(i, 3); collation && keep) text += " COLLATE " + *collation;
        if (auto operators = parts.text(i, 4); operators && keep) text += " " + *operators;
        if (rest.boolean(0, 6)) {
            if (parts.bigint(i, 5) & INDOPTION_DESC) text += " DESC";
            text += (parts.bigint(i, 5) & INDOPTION_NULLS_FIRST) ? " NULLS FIRST" : " NULLS LAST";
        }
        keys += (keys.empty() ? "" : ", ") + text;
    }
    std::string sql = fmt::format("CREATE {}INDEX CONCURRENTLY {} ON {} USING {} ({})", index.unique ? "UNIQUE " : "",
                                  quoted(name), table.sql(), quoted(rest.text_or(0, 1)), keys);
    if (!included.empty()) sql += " INCLUDE (" + included + ")";
    if (!rest.is_null(0, 5) && rest.boolean(0, 5)) sql += " NULLS NOT DISTINCT";
    if (auto options = rest.text(0, 2); options && !options->empty()) sql += " WITH (" + *options + ")";
    if (auto space = rest.text(0, 3)) sql += " TABLESPACE " + quoted(*space);
    if (auto condition = rest.text(0, 4)) sql += " WHERE " + *condition;
    return sql;
}

std::vector<RekeyForeignKey> keys_to(const Table &table) {
    Rows rows = own_query(
        "SELECT k.conname, k.conrelid::bigint, k.confrelid::bigint, k.conindid::bigint, array_to_string(k.conkey, ' "
        "'), array_to_string(k.confkey, ' '), k.convalidated, obj_description(k.oid, 'pg_constraint'), CASE "
        "k.confmatchtype WHEN 'f' THEN ' MATCH FULL' ELSE '' END || CASE k.confupdtype WHEN 'r' THEN ' ON UPDATE "
        "RESTRICT' WHEN 'c' THEN ' ON UPDATE CASCADE' WHEN 'n' THEN ' ON UPDATE SET NULL' WHEN 'd' THEN ' ON UPDATE "
        "SET DEFAULT' ELSE '' END || CASE k.confdeltype WHEN 'r' THEN ' ON DELETE RESTRICT' WHEN 'c' THEN ' ON DELETE "
        "CASCADE' WHEN 'n' THEN ' ON DELETE SET NULL' WHEN 'd' THEN ' ON DELETE SET DEFAULT' ELSE '' END || CASE WHEN "
        "k.condeferrable THEN ' DEFERRABLE' ELSE '' END || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' "
        "END FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = $1 AND k.conparentid = 0 ORDER BY "
        "k.conrelid::regclass::text, k.conname",
        {oid_value(table.oid)});
    std::vector<RekeyForeignKey> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        RekeyForeignKey key;
        key.name = rows.text_or(i, 1);
        key.from = static_cast<Oid>(rows.bigint(i, 2));
        key.to = static_cast<Oid>(rows.bigint(i, 3));
        key.index = static_cast<Oid>(rows.bigint(i, 4));
        key.from_columns = numbers(rows.text_or(i, 5));
        key.to_columns = numbers(rows.text_or(i, 6));
        key.validated = rows.boolean(i, 7);
        key.comment = rows.text_or(i, 8);
        key.options = rows.text_or(i, 9);
        result.push_back(std::move(key));
    }
    return result;
}

std::vector<std::string> grants_of(const Table &table, const Column &column, const std::string &name) {
    Rows rows = own_query("SELECT x.privilege_type, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE "
                          "quote_ident(pg_get_userbyid(x.grantee)) END, x.is_grantable FROM pg_attribute a CROSS JOIN "
                          "aclexplode(a.attacl) x WHERE a.attrelid = $1 AND a.attnum = $2 ORDER BY 2, 1",
                          {oid_value(table.oid), int_value(column.number)});
    std::vector<std::string> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back(fmt::format("GRANT {} ({}) ON {} TO {}{}", rows.text_or(i, 1), quoted(name), table.sql(),
                                     rows.text_or(i, 2), rows.boolean(i, 3) ? " WITH GRANT OPTION" : ""));
    return result;
}

std::string comment_of(const Table &table, const Column &column) {
    return own_query("SELECT col_description($1, $2)", {oid_value(table.oid), int_value(column.number)}).text_or(0, 1);
}

std::string default_of(const Table &table, const Column &column) {
    Rows rows = own_query("SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = $1 AND adnum = $2",
                          {oid_value(table.oid), int_value(column.number)});
    return rows.empty() ? std::string() : rows.text_or(0, 1);
}

} // namespace tenantmig

#include "steps/unique_key.hpp"
#include "catalog/own_tables.hpp"

namespace tenantmig {

std::optional<UniqueKey> find_unique_key(const Table &table, const std::vector<std::string> &columns) {
    Rows rows = own_query(
        "SELECT coalesce(k.conname, c.relname), k.oid IS NOT NULL, c.relispartition, replace(pg_get_indexdef(c.oid), ' "
        "INDEX ' || quote_ident(c.relname) || ' ON ', ' INDEX ON ') FROM pg_index i JOIN pg_class c ON "
        "c.oid = i.indexrelid LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u') AND "
        "k.conrelid = i.indrelid WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid AND "
        "i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM "
        "unnest(i.indkey::int2[]) WITH ORDINALITY n(number, place) JOIN pg_attribute a ON a.attrelid = i.indrelid AND "
        "a.attnum = n.number WHERE n.place <= i.indnkeyatts) = (SELECT array_agg(x ORDER BY x) FROM unnest($2) x) "
        "ORDER "
        "BY k.oid IS NULL, c.relname LIMIT 1",
        {Value{OIDOID, ObjectIdGetDatum(table.oid), false}, text_array_value(columns)});
    if (rows.empty()) return std::nullopt;
    return UniqueKey{rows.text_or(0, 1), rows.boolean(0, 2), rows.boolean(0, 3), rows.text_or(0, 4)};
}

std::string quoted_list(const std::vector<std::string> &columns) {
    std::string text;
    for (const std::string &column : columns)
        text += (text.empty() ? "" : ", ") + quoted(column);
    return text;
}

std::string joined_list(const std::vector<std::string> &columns) {
    std::string joined;
    for (const std::string &column : columns)
        joined += (joined.empty() ? "" : "_") + column;
    return joined;
}

void constrain_over_index(const Table &table, const std::string &constraint, const std::string &index) {
    change_as_owner(table, fmt::format("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE USING INDEX {}", table.sql(),
                                       quoted(constraint), quoted(index)));
}

void constrain_over_partitions(const Table &table, const std::string &constraint,
                               const std::vector<std::string> &columns) {
    change_as_owner(table, fmt::format("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE ({})", table.sql(), quoted(constraint),
                                       quoted_list(columns)));
}

} // namespace tenantmig

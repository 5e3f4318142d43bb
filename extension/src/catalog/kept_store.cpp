#include "catalog/kept_store.hpp"

namespace tenantmig {

namespace {
constexpr char columns[] = "SELECT migration_id, step, kind, state, schema_name, table_name, relation_oid::bigint, "
                           "database_oid::bigint, column_name, column_number::integer, keep_schema, keep_table, "
                           "journal_table, key_columns, shape::text, position, bound, row_count, restored FROM "
                           "tenantmig.kept_column ";

std::vector<KeptColumn> read(const Rows &rows) {
    std::vector<KeptColumn> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        KeptColumn kept;
        kept.migration_id = rows.bigint(i, 1);
        kept.step = static_cast<std::int32_t>(rows.bigint(i, 2));
        kept.kind = rows.text_or(i, 3);
        kept.state = rows.text_or(i, 4);
        kept.site = {static_cast<Oid>(rows.bigint(i, 7)), rows.text_or(i, 5), rows.text_or(i, 6)};
        kept.database = static_cast<Oid>(rows.bigint(i, 8));
        kept.column = rows.text_or(i, 9);
        kept.number = static_cast<AttrNumber>(rows.bigint(i, 10));
        kept.keep_schema = rows.text_or(i, 11);
        kept.keep_table = rows.text_or(i, 12);
        kept.journal = rows.text_or(i, 13);
        kept.key = rows.text_array(i, 14);
        kept.shape = rows.text_or(i, 15);
        kept.position = rows.bigint(i, 16);
        kept.bound = rows.bigint(i, 17);
        kept.rows = rows.bigint(i, 18);
        kept.restored = rows.bigint(i, 19);
        result.push_back(std::move(kept));
    }
    return result;
}

Value text_or_null(const std::string &text) {
    return text.empty() ? null_value(TEXTOID) : text_value(text);
}
Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}
} // namespace

std::string KeptColumn::label() const {
    return qualified(site.schema, site.name) + "." + quoted(column);
}

std::string KeptColumn::trigger_name(const char *what) const {
    return fmt::format(" tenantmig_keep_{}_{}_{}", migration_id, step, what);
}

std::optional<KeptColumn> find_kept(std::int64_t migration, std::int32_t step) {
    auto found = read(own_query(std::string(columns) + "WHERE migration_id = $1 AND step = $2",
                                {bigint_value(migration), int_value(step)}));
    if (found.empty()) return std::nullopt;
    return std::move(found.front());
}

std::vector<KeptColumn> kept_of(std::int64_t migration) {
    return read(own_query(std::string(columns) + "WHERE migration_id = $1 ORDER BY step", {bigint_value(migration)}));
}

std::vector<KeptColumn> kept_older_than(TimestampTz time) {
    return read(own_query(std::string(columns) + "WHERE kept_at < $1 AND state IN ('dropped', 'kept') AND keep_table "
                                                 "IS NOT NULL ORDER BY kept_at, migration_id, step",
                          {timestamp_value(time)}));
}

void insert_kept(const KeptColumn &kept) {
    own_query("INSERT INTO tenantmig.kept_column (migration_id, step, kind, state, schema_name, table_name, "
              "relation_oid, database_oid, column_name, column_number, keep_schema, keep_table, journal_table, "
              "key_columns, shape) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb)",
              {bigint_value(kept.migration_id), int_value(kept.step), text_value(kept.kind), text_value(kept.state),
               text_value(kept.site.schema), text_value(kept.site.name), oid_value(kept.site.oid),
               oid_value(kept.database), text_value(kept.column), int_value(kept.number),
               text_or_null(kept.keep_schema), text_or_null(kept.keep_table), text_or_null(kept.journal),
               text_array_value(kept.key), text_value(kept.shape)});
}

void save_kept(const KeptColumn &kept) {
    own_query("UPDATE tenantmig.kept_column SET state = $3, keep_table = $4, journal_table = $5, shape = $6::jsonb, "
              "position = $7, bound = $8, row_count = $9, restored = $10, kept_at = CASE WHEN $3 = 'dropped' AND state "
              "<> 'dropped' THEN clock_timestamp() ELSE kept_at END WHERE migration_id = $1 AND step = $2",
              {bigint_value(kept.migration_id), int_value(kept.step), text_value(kept.state),
               text_or_null(kept.keep_table), text_or_null(kept.journal), text_value(kept.shape),
               bigint_value(kept.position), bigint_value(kept.bound), bigint_value(kept.rows),
               bigint_value(kept.restored)});
}

void delete_kept(const KeptColumn &kept) {
    own_query("DELETE FROM tenantmig.kept_column WHERE migration_id = $1 AND step = $2",
              {bigint_value(kept.migration_id), int_value(kept.step)});
}

} // namespace tenantmig

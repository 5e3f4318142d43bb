// Columns whose values are kept: typed access to tenantmig.kept_column.
#pragma once
#include "catalog/enforcement_store.hpp"

namespace tenantmig {

struct KeptColumn {
    std::int64_t migration_id = 0;
    std::int32_t step = 0;
    std::string kind;  // drop_column, add_column
    std::string state; // preparing, filling, dropped, kept, restoring, purged
    Site site;         // the table
    Oid database = InvalidOid;
    std::string column;
    AttrNumber number = 0;
    std::string keep_schema, keep_table, journal; // empty: nothing is kept, the column is generated
    std::vector<std::string> key;
    std::string shape = "{}"; // JSON text, see steps/kept_shape.hpp
    std::int64_t position = 0, bound = 0, rows = 0, restored = 0;

    bool has_values() const { return !keep_table.empty(); }
    std::string keep_sql() const { return qualified(keep_schema, keep_table); }
    std::string journal_sql() const { return qualified(keep_schema, journal); }
    std::string label() const; // schema.table.column
    // Of the trigger while values are copied. It fires before all triggers of users, in the order of names: what those
    // write themselves is noted later, and counts.
    std::string trigger_name(const char *what) const;
};

std::optional<KeptColumn> find_kept(std::int64_t migration, std::int32_t step);
std::vector<KeptColumn> kept_of(std::int64_t migration);
// Dropped before that time, and not purged yet; by age.
std::vector<KeptColumn> kept_older_than(TimestampTz time);
void insert_kept(const KeptColumn &kept);
void save_kept(const KeptColumn &kept); // all but site, column and key; kept_at when the state becomes dropped
void delete_kept(const KeptColumn &kept);

} // namespace tenantmig

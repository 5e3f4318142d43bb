// What the copying of a column's values walks over, and relies on; see kept_column.hpp.
#include "bridge/results.hpp"
#include "steps/kept_column.hpp"

namespace tenantmig {

namespace {
constexpr std::int64_t first_blocks = 64, most_blocks = 4096;

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}
} // namespace

std::string block_condition(const char *alias, std::int64_t from, std::int64_t to) {
    return fmt::format("{0}.ctid OPERATOR(pg_catalog.>=) '({1},0)'::pg_catalog.tid AND {0}.ctid "
                       "OPERATOR(pg_catalog.<) '({2},0)'::pg_catalog.tid",
                       alias, from, to);
}

std::int64_t block_count(Oid table) {
    return own_query("SELECT pg_relation_size($1, 'main') / current_setting('block_size')::bigint",
                     {Value{REGCLASSOID, ObjectIdGetDatum(table), false}})
        .bigint(0, 1);
}

void walk_blocks(std::int64_t position, std::int64_t bound, std::int64_t target,
                 const std::function<void(std::int64_t, std::int64_t)> &batch) {
    for (std::int64_t size = first_blocks; position < bound;) {
        const std::int64_t to = std::min(position + size, bound);
        const TimestampTz start = GetCurrentTimestamp();
        batch(position, to);
        const std::int64_t took = GetCurrentTimestamp() - start;
        if (took < target / 2)
            size = std::min(size * 2, most_blocks);
        else if (took > target * 2)
            size = std::max<std::int64_t>(size / 2, 1);
        position = to;
    }
}

std::string copying_state(const KeptColumn &kept, const Table &table, const Column &column) {
    std::vector<std::string> columns = kept.key;
    columns.push_back(column.name);
    const std::vector<std::string> triggers = {kept.trigger_name("rows"), kept.trigger_name("all")};
    const std::vector<std::string> tables = {kept.keep_table, kept.journal};
    return own_query(
               "SELECT jsonb_build_object('copying', concat_ws(' ', (SELECT concat_ws(',', c.relfilenode, c.relowner) "
               "FROM pg_class c WHERE c.oid = $1), (SELECT string_agg(concat_ws(',', a.attnum, a.atttypid, "
               "a.atttypmod), "
               "';' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = ANY ($2::text[])), "
               "(SELECT string_agg(concat_ws(',', t.oid, t.xmin, t.tgenabled), ';' ORDER BY t.oid) FROM pg_trigger t "
               "WHERE t.tgrelid = $1 AND t.tgname = ANY ($3::text[])), (SELECT string_agg(concat_ws(',', c.oid, "
               "c.relowner), ';' ORDER BY c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
               "n.nspname = $4 AND c.relname = ANY ($5::text[]))))::text",
               {oid_value(table.oid), text_array_value(columns), text_array_value(triggers),
                text_value(kept.keep_schema), text_array_value(tables)})
        .text_or(0, 1);
}

} // namespace tenantmig

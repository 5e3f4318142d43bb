#include "steps/probe_rows.hpp"

#include "catalog/own_tables.hpp"

#include <charconv>

namespace tenantmig {

namespace {
std::string parameter(std::size_t number, const Column &column) {
    return fmt::format("${}::{}", number, column.type_name);
}

bool is_text(Oid type) {
    return pg_call([type] {
        char category;
        bool preferred;
        get_type_category_preferred(type, &category, &preferred);
        return category == TYPCATEGORY_STRING && type != CHAROID;
    });
}

std::string random_hex(std::size_t bytes) {
    std::array<std::uint8_t, 16> data{};
    std::string text;
    (void)pg_strong_random(data.data(), data.size());
    for (std::size_t i = 0; i < bytes; i++)
        text += fmt::format("{:02x}", data[i]);
    return text;
}

// The next letter or digit of the same kind: what a format allows here, it allows there.
char next_of_kind(char c) {
    if (c >= '0' && c <= '9') return static_cast<char>('0' + (c - '0' + 1) % 10);
    if (c >= 'a' && c <= 'z') return static_cast<char>('a' + (c - 'a' + 1) % 26);
    if (c >= 'A' && c <= 'Z') return static_cast<char>('A' + (c - 'A' + 1) % 26);
    return '\0';
}

std::vector<std::string> similar_texts(const std::string &like, std::int32_t typmod) {
    const std::size_t room = typmod > VARHDRSZ ? static_cast<std::size_t>(typmod - VARHDRSZ) : 1000;
    std::vector<std::string> result;
    if (like.size() + 4 <= room) result.push_back(like + random_hex(2));
    std::string changed = like;
    for (std::size_t place = like.size(); place-- > 0 && result.size() < 10;)
        if (const char next = next_of_kind(like[place])) {
            changed[place] = next;
            result.push_back(changed); // one more position from the end is different
        }
    result.push_back(random_hex(16).substr(0, std::min<std::size_t>(room, 32)));
    return result;
}

std::int64_t largest(Oid type) {
    if (type == INT2OID) return PG_INT16_MAX;
    return type == INT4OID ? PG_INT32_MAX : PG_INT64_MAX;
}

std::vector<std::string> beyond_numbers(const Probe &probe, const Table &table, const Column &column, Oid limit_of) {
    const auto found =
        probe.as_owner(table, fmt::format("SELECT pg_catalog.max(t.{0}), pg_catalog.min(t.{0}) FROM {1} AS t",
                                          quoted(column.name), table.target()));
    if (!found || found->empty() || !found->front()[0]) return {};
    std::vector<std::string> result;
    const std::int64_t limit = std::min(largest(column.type), largest(limit_of));
    std::int64_t high = 0, low = 0;
    const std::string &top = *found->front()[0], &bottom = *found->front()[1];
    std::from_chars(top.data(), top.data() + top.size(), high);
    std::from_chars(bottom.data(), bottom.data() + bottom.size(), low);
    if (high < limit) result.push_back(std::to_string(high + 1));
    if (low > -limit) result.push_back(std::to_string(low - 1));
    return result;
}
} // namespace

std::map<Oid, AttackTable> attack_tables(const Probe &probe, const std::set<Oid> &tables) {
    std::map<Oid, AttackTable> result;
    std::vector<std::string> oids;
    for (Oid oid : tables) {
        AttackTable one;
        for (const ProbeTable &table : probe.tables())
            if (table.table.oid == oid) one.probed = &table;
        if (one.probed)
            one.table = one.probed->table;
        else if (auto table = describe_table(oid))
            one.table = std::move(*table);
        else
            continue;
        one.identity = row_identity(oid, nullptr);
        oids.push_back(std::to_string(oid));
        result.emplace(oid, std::move(one));
    }
    const std::array<Value, 2> values{text_array_value(std::span<const std::string>(oids)),
                                      bigint_value(static_cast<std::int64_t>(probe.role()))};
    Rows rows = own_query(
        "SELECT a.attrelid::bigint, a.attnum::integer, has_column_privilege($2::oid, a.attrelid, a.attnum, 'SELECT'), "
        "has_column_privilege($2::oid, a.attrelid, a.attnum, 'INSERT') AND a.attgenerated = '', "
        "has_column_privilege($2::oid, a.attrelid, a.attnum, 'UPDATE') AND a.attgenerated = '' AND a.attidentity <> "
        "'a', "
        "a.atthasdef OR a.attidentity <> '', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND "
        "(i.indisunique OR i.indisexclusion) AND (a.attnum = ANY (i.indkey) OR EXISTS (SELECT FROM pg_depend d WHERE "
        "d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass AND "
        "d.refobjid = a.attrelid AND d.refobjsubid = a.attnum))) FROM pg_attribute a JOIN pg_class c ON "
        "c.oid = a.attrelid WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND "
        "has_schema_privilege($2::oid, c.relnamespace, 'USAGE')",
        std::span<const Value>(values));
    for (std::size_t i = 0; i < rows.size(); i++) {
        AttackTable &table = result.at(static_cast<Oid>(rows.bigint(i, 1)));
        const auto number = static_cast<AttrNumber>(rows.bigint(i, 2));
        table.rights[number] = {rows.boolean(i, 3), rows.boolean(i, 4), rows.boolean(i, 5), rows.boolean(i, 6)};
        if (rows.boolean(i, 7)) table.unique_columns.insert(number);
    }
    return result;
}

std::string equals(const std::string &alias, const Column &column, int number) {
    return fmt::format("{}{} {} {}", alias, quoted(column.name), equality_operator(column.type),
                       parameter(static_cast<std::size_t>(number), column));
}

std::optional<std::vector<SampleRow>> sample_rows(const Probe &probe, const Table &table, const std::string &condition,
                                                  std::span<const Value> values, const std::string &distinct,
                                                  int limit) {
    std::string list = "t.ctid";
    for (const Column &column : table.columns)
        list += ", t." + quoted(column.name);
    const auto found = probe.as_owner(table,
                                      fmt::format("SELECT {}{} FROM {} AS t WHERE {} LIMIT {}",
                                                  distinct.empty() ? "" : fmt::format("DISTINCT ON ({}) ", distinct),
                                                  list, table.target(), condition.empty() ? "true" : condition, limit),
                                      values, limit);
    if (!found) return std::nullopt;
    std::vector<SampleRow> result;
    for (const auto &row : *found) {
        SampleRow sample;
        sample.place = row[0].value_or("");
        for (std::size_t i = 0; i < table.columns.size(); i++)
            sample.values[table.columns[i].number] = row[i + 1];
        result.push_back(std::move(sample));
    }
    return result;
}

std::optional<AttackStatement> update_of(const AttackTable &table, const SampleRow &row, const RowValues &changed) {
    AttackStatement statement;
    std::string list, condition;
    for (const auto &[number, value] : changed) {
        if (!table.may(&ColumnRights::update, number)) return std::nullopt;
        const Column &column = table.table.at(number);
        statement.places[number] = statement.values.size();
        statement.values.push_back(optional_text(value));
        list += fmt::format("{}{} = {}", list.empty() ? "" : ", ", quoted(column.name),
                            parameter(statement.values.size(), column));
    }
    if (changed.empty()) return std::nullopt;
    for (AttrNumber number : table.identity) {
        if (!table.may(&ColumnRights::select, number)) return std::nullopt;
        statement.values.push_back(optional_text(row.values.at(number)));
        condition += fmt::format("{}{}", condition.empty() ? "" : " AND ",
                                 equals("t.", table.table.at(number), static_cast<int>(statement.values.size())));
    }
    if (condition.empty()) {
        if (table.table.kind != RELKIND_RELATION) return std::nullopt; // the same place in several partitions
        statement.values.push_back(text_value(row.place));
        condition = fmt::format("t.ctid OPERATOR(pg_catalog.=) ${}::pg_catalog.tid", statement.values.size());
    }
    statement.sql = fmt::format("UPDATE {} AS t SET {} WHERE {}", table.table.target(), list, condition);
    return statement;
}

std::optional<AttackStatement> insert_of(const Probe &probe, const AttackTable &table, const SampleRow &row,
                                         const RowValues &changed) {
    AttackStatement statement;
    std::string columns, list;
    for (const Column &column : table.table.columns) {
        const bool wanted = changed.contains(column.number);
        if (!table.may(&ColumnRights::insert, column.number)) {
            if (wanted) return std::nullopt;
            continue;
        }
        std::optional<std::string> value = wanted ? changed.at(column.number) : row.values.at(column.number);
        const bool tenant_key = table.probed && table.probed->key.number == column.number;
        if (!wanted && !tenant_key && value) {
            if (column.identity_always) continue;
            if (table.unique_columns.contains(column.number)) {
                if (table.rights.at(column.number).has_default) continue;
                const auto absent = column.not_null ? absent_values(probe, table.table, column, column, *value)
                                                    : std::vector<std::string>{};
                if (column.not_null && absent.empty()) return std::nullopt;
                value = column.not_null ? std::optional(absent.front()) : std::nullopt;
            }
        }
        statement.places[column.number] = statement.values.size();
        statement.values.push_back(optional_text(value));
        columns += fmt::format("{}{}", columns.empty() ? "" : ", ", quoted(column.name));
        list += fmt::format("{}{}", list.empty() ? "" : ", ", parameter(statement.values.size(), column));
    }
    if (columns.empty()) return std::nullopt;
    statement.sql =
        fmt::format("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})", table.table.sql(), columns, list);
    return statement;
}

std::vector<std::string> absent_values(const Probe &probe, const Table &table, const Column &column,
                                       const Column &limit_of, const std::string &like) {
    switch (column.type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
        return beyond_numbers(probe, table, column, limit_of.type);
    case UUIDOID: {
        const std::string hex = random_hex(16);
        return {fmt::format("{}-{}-4{}-8{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(13, 3),
                            hex.substr(17, 3), hex.substr(20, 12))};
    }
    case NUMERICOID:
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID: {
        const auto found = probe.as_owner(
            table,
            fmt::format("SELECT pg_catalog.max(t.{}) OPERATOR(pg_catalog.+) {} FROM {} AS t", quoted(column.name),
                        column.type == NUMERICOID || column.type == DATEOID ? "1" : "'1 day'::interval",
                        table.target()));
        if (!found || found->empty() || !found->front()[0]) return {};
        return {*found->front()[0]};
    }
    default:
        break;
    }
    if (!is_text(column.type)) return {};
    std::vector<std::string> result;
    const std::string sql =
        fmt::format("SELECT 1 FROM {} AS t WHERE {} LIMIT 1", table.target(), equals("t.", column, 1));
    for (const std::string &text : similar_texts(like, std::max(column.typmod, limit_of.typmod))) {
        if (result.size() == 4) break;
        const std::array<Value, 1> value{text_value(text)};
        const auto found = probe.as_owner(table, sql, value, 1);
        if (found && found->empty()) result.push_back(text);
    }
    return result;
}

std::string short_form(const Attempt &attempt) {
    if (!attempt.refused()) return attempt.rows > 0 ? "accepted" : "no row";
    return attempt.constraint.empty() ? attempt.shown() : fmt::format("{} {}", attempt.sqlstate, attempt.constraint);
}

} // namespace tenantmig

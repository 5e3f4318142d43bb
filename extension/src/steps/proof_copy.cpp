#include "core/spec.hpp"

#include "catalog/own_tables.hpp"
#include "steps/proof_copy.hpp"

namespace tenantmig {

namespace {
bool contains(const std::vector<AttrNumber> &list, AttrNumber number) {
    return std::find(list.begin(), list.end(), number) != list.end();
}

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}
bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
}
bool is_time(Oid type) {
    return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

Value tid_value(const ItemPointerData &tid) {
    return {TIDOID, pg_call([&tid] {
                auto *copy = static_cast<ItemPointer>(palloc(sizeof(ItemPointerData)));
                ItemPointerCopy(&tid, copy);
                return PointerGetDatum(copy);
            }),
            false};
}

// Whoever defers a constraint of the table's is asked at once, as the owner.
void check_deferred() {
    pg_call([] { SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0); });
}

// tableoid, ctid, column
std::optional<RowCopier::Place> place_of(const Rows &rows) {
    if (rows.empty()) return std::nullopt;
    RowCopier::Place place;
    bool null = false;
    place.relation = DatumGetObjectId(rows.datum(0, 1, &null));
    place.tid = *reinterpret_cast<ItemPointer>(DatumGetPointer(rows.datum(0, 2, &null)));
    place.value = rows.text(0, 3);
    return place;
}

constexpr char at_place[] = "t.ctid OPERATOR(pg_catalog.=) $1 AND t.tableoid OPERATOR(pg_catalog.=) $2";
} // namespace

RowCopier::RowCopier(const Table &table, std::vector<AttrNumber> spare) : table_(table), spare_(std::move(spare)) {
    for (const ForeignKey &key : foreign_keys_from(table_.oid))
        referencing_.insert(referencing_.end(), key.from_columns.begin(), key.from_columns.end());
    Rows rows = own_query("SELECT a.attname FROM pg_partition_tree($1) t JOIN pg_partitioned_table p ON p.partrelid = "
                          "t.relid CROSS JOIN LATERAL unnest(p.partattrs::int2[]) k(number) JOIN pg_attribute a ON "
                          "a.attrelid = p.partrelid AND a.attnum = k.number AND k.number <> 0",
                          {{REGCLASSOID, ObjectIdGetDatum(table_.oid), false}});
    for (std::size_t i = 0; i < rows.size(); i++)
        if (const Column *column = table_.find(rows.text_or(i, 1))) partition_key_.push_back(column->number);
    identity_ = row_identity(table_.oid, nullptr);
}

// Those of a partition may be more than those of its table; columns are told by name.
void RowCopier::read_indexes(Oid relation) {
    Rows rows = own_query(
        "SELECT c.relname, i.indnullsnotdistinct, ARRAY(SELECT a.attname::text FROM (SELECT k FROM "
        "unnest(i.indkey::int2[]) WITH ORDINALITY u(k, n) WHERE n <= i.indnkeyatts AND k > 0 UNION SELECT "
        "d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND "
        "d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0 AND i.indexprs IS NOT "
        "NULL) x(number) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = x.number ORDER BY a.attnum) "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND i.indisunique AND "
        "i.indislive ORDER BY i.indexrelid",
        {oid_value(relation)});
    for (std::size_t i = 0; i < rows.size(); i++) {
        UniqueIndex index{rows.text_or(i, 1), {}, rows.boolean(i, 2)};
        for (const std::string &name : rows.text_array(i, 3))
            if (const Column *column = table_.find(name)) index.columns.push_back(column->number);
        indexes_.push_back(std::move(index));
    }
}

bool RowCopier::take(const std::string &condition, std::span<const Value> values) {
    std::string columns, order;
    std::vector<AttrNumber> numbers;
    for (const Column &column : table_.columns) {
        if (column.generated) continue;
        columns += ", t." + quoted(column.name);
        numbers.push_back(column.number);
    }
    for (AttrNumber number : identity_)
        order += (order.empty() ? " ORDER BY t." : ", t.") + quoted(table_.at(number).name);
    Oid relation = InvalidOid;
    {
        RunAs owner(table_.owner, Purpose::read);
        Rows rows = run_query(fmt::format("SELECT t.tableoid{} FROM {} AS t WHERE {}{} LIMIT 1", columns,
                                          table_.target(), condition, order),
                              values);
        if (rows.empty()) return false;
        bool null = false;
        relation = DatumGetObjectId(rows.datum(0, 1, &null));
        row_.clear();
        for (std::size_t i = 0; i < numbers.size(); i++) {
            null = false;
            const Datum datum = rows.datum(0, static_cast<int>(i) + 2, &null);
            row_[numbers[i]] = {table_.at(numbers[i]).type, datum, null};
        }
    }
    indexes_.clear();
    read_indexes(table_.oid);
    if (relation != table_.oid) read_indexes(relation);
    return true;
}

const Value &RowCopier::taken(AttrNumber column) const {
    const auto cell = row_.find(column);
    if (cell == row_.end()) throw CannotCopy{fmt::format("{} has no row to copy", table_.label())};
    return cell->second;
}

int RowCopier::reluctance(AttrNumber number) const {
    const Column &column = table_.at(number);
    if (column.generated || contains(referencing_, number)) return -1;
    const int kind = column.type == UUIDOID      ? 0
                     : is_integer(column.type)   ? 1
                     : is_text(column.type)      ? 2
                     : column.type == NUMERICOID ? 3
                     : is_time(column.type)      ? 4
                                                 : -1;
    if (kind < 0) return -1;
    return kind + (contains(partition_key_, number) ? 10 : 0) + (contains(spare_, number) ? 20 : 0);
}

RowCopier::Row RowCopier::vary(const std::vector<AttrNumber> &hold) {
    Row row = row_;
    std::vector<AttrNumber> varied;
    for (const UniqueIndex &index : indexes_) {
        bool apart = false;
        for (AttrNumber number : index.columns) {
            const auto cell = row_.find(number);
            apart |= contains(varied, number) || (!index.nulls_collide && cell != row_.end() && cell->second.null);
        }
        if (apart) continue;
        AttrNumber best = 0;
        for (AttrNumber number : index.columns) {
            const int bad = contains(hold, number) ? -1 : reluctance(number);
            if (bad >= 0 && (best == 0 || bad < reluctance(best))) best = number;
        }
        const bool held = std::all_of(index.columns.begin(), index.columns.end(),
                                      [&](AttrNumber number) { return contains(hold, number); });
        if (held && !index.columns.empty()) continue; // meant to collide
        if (best == 0)
            throw CannotCopy{
                fmt::format("unique index {} has no column that could be given an unused value", quoted(index.name))};
        row[best] = unused(best);
        varied.push_back(best);
    }
    return row;
}

Value RowCopier::unused(AttrNumber number) {
    const Column &column = table_.at(number);
    const std::int64_t nth = ++used_[number];
    const std::string name = "t." + quoted(column.name);
    auto none = [&](const char *why) {
        return CannotCopy{fmt::format("no unused value of {} is known: {}", quoted(column.name), why)};
    };
    RunAs owner(table_.owner, Purpose::read);
    auto one = [&](const std::string &sql, std::initializer_list<Value> values) {
        Rows rows = run_query(sql, values);
        bool null = false;
        const Datum datum = rows.datum(0, 1, &null);
        return Value{column.type, datum, null};
    };
    if (column.type == UUIDOID) return one("SELECT pg_catalog.gen_random_uuid()", {});
    if (is_integer(column.type)) {
        Rows rows = run_query(fmt::format("SELECT pg_catalog.max({0})::bigint, pg_catalog.min({0})::bigint FROM {1} AS "
                                          "t",
                                          name, table_.target()));
        const std::int64_t highest = rows.bigint(0, 1), lowest = rows.bigint(0, 2);
        const std::int64_t limit = column.type == INT2OID ? INT16_MAX : column.type == INT4OID ? INT32_MAX : INT64_MAX;
        std::int64_t value = 0;
        constexpr std::int64_t apart = 1000000; // a sequence of the table's own gives out the next ones meanwhile
        if (highest <= limit - apart - nth)
            value = highest + apart + nth;
        else if (highest <= limit - nth)
            value = highest + nth;
        else if (lowest >= nth - limit)
            value = lowest - nth;
        else
            throw none("the type is full");
        return one(fmt::format("SELECT $1::{}", type_label(column.type)), {bigint_value(value)});
    }
    if (is_text(column.type)) {
        // varchar(n): typmod is n + 4. The value stays like those that there are, and ends in random digits.
        constexpr int digits = 12;
        const int room = column.typmod >= 4 ? column.typmod - 4 : INT32_MAX;
        if (room < 6) throw none("it is too short");
        const int tail = std::min(digits, room);
        const auto cell = row_.find(number);
        const Value current =
            cell == row_.end() || cell->second.null ? text_value("") : Value{column.type, cell->second.datum, false};
        return one(fmt::format("SELECT (pg_catalog.left($1::text, $2) || pg_catalog.left(pg_catalog.replace("
                               "pg_catalog.gen_random_uuid()::text, '-', ''), $3))::{}",
                               type_label(column.type) == "character" ? "bpchar" : type_label(column.type)),
                   {current, int_value(std::min(room - tail, 200)), int_value(tail)});
    }
    if (column.type == NUMERICOID || is_time(column.type)) {
        const char *step = column.type == NUMERICOID ? "$1::numeric"
                           : column.type == DATEOID  ? "$1::integer"
                                                     : "$1 * interval '1 second'";
        return one(fmt::format("SELECT pg_catalog.max({}) + {} FROM {} AS t", name, step, table_.target()),
                   {int_value(static_cast<std::int32_t>(nth))});
    }
    throw none(("its type is " + type_label(column.type)).c_str());
}

std::optional<RowCopier::Place> RowCopier::insert(const Row &row, AttrNumber asked) const {
    std::string columns, places;
    std::vector<Value> values;
    for (const auto &[number, value] : row) {
        values.push_back(value);
        columns += (columns.empty() ? "" : ", ") + quoted(table_.at(number).name);
        places += fmt::format("{}${}", places.empty() ? "" : ", ", values.size());
    }
    RunAs owner(table_.owner, Purpose::write);
    Rows rows = run_query(fmt::format("INSERT INTO {} AS t ({}) OVERRIDING SYSTEM VALUE VALUES ({}) RETURNING "
                                      "t.tableoid, t.ctid, t.{}",
                                      table_.sql(), columns, places, quoted(table_.at(asked).name)),
                          values);
    auto place = place_of(rows);
    check_deferred();
    return place;
}

std::optional<RowCopier::Place> RowCopier::update(const Place &place, AttrNumber column, const Value &value) const {
    const std::string name = quoted(table_.at(column).name);
    RunAs owner(table_.owner, Purpose::write);
    Rows rows = run_query(fmt::format("UPDATE {} AS t SET {} = $3 WHERE {} RETURNING t.tableoid, t.ctid, t.{}",
                                      table_.target(), name, at_place, name),
                          {tid_value(place.tid), oid_value(place.relation), value});
    auto result = place_of(rows);
    check_deferred();
    return result;
}

bool RowCopier::remove(const Place &place) const {
    RunAs owner(table_.owner, Purpose::write);
    const bool found = !run_query(fmt::format("DELETE FROM {} AS t WHERE {} RETURNING 1", table_.target(), at_place),
                                  {tid_value(place.tid), oid_value(place.relation)})
                            .empty();
    check_deferred();
    return found;
}

std::optional<RowCopier::Place> RowCopier::find(const Row &row, AttrNumber asked) const {
    if (identity_.empty()) throw CannotCopy{fmt::format("{} has no key that a row is found by", table_.label())};
    std::string condition;
    std::vector<Value> values;
    for (AttrNumber number : identity_) {
        values.push_back(row.at(number));
        condition += fmt::format("{}t.{} {} ${}", condition.empty() ? "" : " AND ", quoted(table_.at(number).name),
                                 equality_operator(table_.at(number).type), values.size());
    }
    RunAs owner(table_.owner, Purpose::read);
    return place_of(run_query(fmt::format("SELECT t.tableoid, t.ctid, t.{} FROM {} AS t WHERE {}",
                                          quoted(table_.at(asked).name), table_.target(), condition),
                              values));
}

} // namespace tenantmig

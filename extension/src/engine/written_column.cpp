#include "core/excerpt.hpp"

#include "engine/written_column.hpp"

namespace tenantmig {

const Column &written_column(const StepTarget &target, const std::string &column, const std::string &source) {
    if (target.column.name == column) return target.column;
    if (target.soft_delete && (target.soft_delete->name == column || source == "soft_delete"))
        return *target.soft_delete;
    return target.column;
}

std::vector<AttrNumber> written_key(const StepTarget &target, const KeyShape &shape) {
    std::vector<AttrNumber> key;
    std::string missing;
    for (const std::string &name : shape.columns) {
        if (const Column *column = target.table.find(name))
            key.push_back(column->number);
        else if (missing.empty())
            missing = name;
    }
    if (missing.empty() && !key.empty()) return key;
    bool same_shape = target.key.size() == shape.columns.size() && shape.types.size() == shape.columns.size();
    for (std::size_t i = 0; same_shape && i < target.key.size(); i++) {
        const Column &column = target.table.at(target.key[i]);
        same_shape = column.type_name == shape.types[i] || type_label(column.type) == shape.types[i];
    }
    if (same_shape && !shape.columns.empty()) return target.key;
    throw Error(sqlstate::undefined_column,
                fmt::format("column {} of {} does not exist any more", core::excerpt(missing), target.table.label()),
                "It is part of the key under which the row was recorded.",
                "Bring the column back under that name, then call this again.");
}

namespace {
std::vector<Oid> types_of(const Table &table, const std::vector<AttrNumber> &key) {
    std::vector<Oid> types;
    for (AttrNumber number : key)
        types.push_back(table.at(number).type);
    return types;
}

std::string reading_sql(const Table &table, const Column &column, const std::vector<AttrNumber> &key) {
    std::string condition;
    for (std::size_t i = 0; i < key.size(); i++) {
        const Column &part = table.at(key[i]);
        condition +=
            fmt::format("{}t.{} {} ${}", i ? " AND " : "", quoted(part.name), equality_operator(part.type), i + 1);
    }
    return fmt::format("SELECT t.{} FROM {} AS t WHERE {}", quoted(column.name), table.target(), condition);
}
} // namespace

RowReader::RowReader(const Table &table, const Column &column, const std::vector<AttrNumber> &key)
    : types_(types_of(table, key)), column_type_(column.type), statement_(reading_sql(table, column, key), types_) {}

RowReader::Found RowReader::read(std::span<const Datum> key) {
    std::vector<Value> values;
    for (std::size_t i = 0; i < key.size(); i++)
        values.push_back({types_[i], key[i], false});
    Found found;
    TextOutput output(column_type_);
    statement_.execute(values, [&](TupleTableSlot *slot) {
        bool null = false;
        Datum value = pg_call([slot, &null] { return slot_getattr(slot, 1, &null); });
        found.exists = true;
        if (!null) found.value = output(value);
        return false;
    });
    return found;
}

} // namespace tenantmig

#include "catalog/own_tables.hpp"

namespace tenantmig {

Rows own_query(const std::string &sql, std::span<const Value> values) {
    RunAs self(extension_owner(), Purpose::read);
    return run_query(sql, values);
}

Rows own_query(const std::string &sql, std::initializer_list<Value> values) {
    return own_query(sql, std::span<const Value>(values.begin(), values.size()));
}

} // namespace tenantmig

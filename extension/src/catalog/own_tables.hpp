// tenantmig's own tables are read and written here and nowhere else: as the owner of the extension, with the
// search_path pinned.
#pragma once
#include "bridge/identity.hpp"
#include "bridge/sql.hpp"

namespace tenantmig {

// One statement on tenantmig's own tables. Needs an SPI connection.
Rows own_query(const std::string &sql, std::initializer_list<Value> values = {});
Rows own_query(const std::string &sql, std::span<const Value> values);

} // namespace tenantmig

// Rows that respect what can be read from the catalogue: types, keys, foreign keys, enums, CHECKs, unique constraints,
// NOT NULL, and polymorphic pairs. For a copy without rows, and for what has to be tried after a migration.
#pragma once
#include "connection.hpp"
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tenantmig::client {

// What specs say of tables: the tenant root, the columns that are tenant keys, and polymorphic pairs.
struct RowPlan {
    std::string root, root_key;                     // as written; key empty: the primary key
    std::vector<std::string> keys;                  // names of columns that are tenant keys
    nlohmann::json pairs = nlohmann::json::array(); // [{table, type_column, id_column, types: {value: table}}]
    std::vector<std::string> tables;                // that the specs name
};

// Of the specs together; the tenant root is that of the first.
RowPlan row_plan(const std::vector<nlohmann::json> &specs);

// The pairs with the numbers of their tables in place of names; without those that are not there.
nlohmann::json resolved_pairs(Connection &connection, const RowPlan &plan);

// Creates what generates, in the temporary schema of this session.
void prepare_generator(Connection &connection);

struct GeneratedTable {
    std::string table, problem; // problem: why there are fewer than wanted; empty: there are not
    long made = 0;
};

// Fills every table of the database that has no rows, parents first.
std::vector<GeneratedTable> generate_rows(Connection &connection, const RowPlan &plan, long wanted);

} // namespace tenantmig::client

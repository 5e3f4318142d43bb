// What stands in a database at one moment, as tenantmig.fingerprint() tells it, and how two moments differ.
#pragma once
#include "connection.hpp"
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tenantmig::client {

struct StateEntry {
    std::string hash;
    std::string rows; // of data
    nlohmann::json definition;
};

struct DatabaseState {
    std::map<std::string, StateEntry> schema, data; // by name
    std::int64_t rows = 0;                          // of all tables
};

DatabaseState read_state(Connection &connection);

// What may differ without being a difference, because it tells when, and not what, something was written.
enum class Tolerance {
    nothing,
    touched, // date and time columns of tables whose own triggers write while rows are updated
    repeated // date and time columns, and UUIDs: a second run has another now(), and other random values
};

struct StateDifference {
    std::vector<std::string> lines;     // what differs: one object a line
    std::vector<std::string> tolerated; // columns that the tolerance covers
    [[nodiscard]] bool none() const { return lines.empty(); }
};

StateDifference compare_states(const DatabaseState &before, const DatabaseState &after, Tolerance tolerance);

// Constraints, indexes, triggers and types that are in `after` and not in `before`.
std::vector<std::string> left_over(const DatabaseState &before, const DatabaseState &after);

} // namespace tenantmig::client

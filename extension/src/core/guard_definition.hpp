// What a guard of kind tenant_key has to know, as it is kept in the catalogue: identity and names of everything that it
// reads. Written when it is attached, read by the trigger, which works from names where the identity is another
// server's (after a restore).
#pragma once
#include "core/spec.hpp"
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenantmig::core {

struct GuardColumn {
    int number = 0;
    std::string name;
};

struct GuardTable {
    std::uint32_t oid = 0;
    std::string schema, name;
};

struct GuardCondition {
    GuardColumn column;
    std::vector<std::string> values;
    bool or_null = false;
};

struct GuardHop {
    GuardTable table;
    std::vector<GuardColumn> key, value;
    std::vector<GuardCondition> where;
};

struct GuardSource {
    std::string label;
    std::vector<GuardColumn> probe; // columns of the guarded table that lead to the first hop
    std::vector<GuardHop> hops;     // empty for a polymorphic source
    std::optional<GuardColumn> type_column;
    std::vector<std::pair<std::string, GuardHop>> types;
};

struct GuardDefinition {
    std::string migration;
    GuardMode mode = GuardMode::fill;
    Evidence evidence = Evidence::unanimous;
    std::string system;         // where the numbers are valid
    std::uint32_t database = 0; // likewise
    std::string owner;          // of the guarded table
    GuardTable table, root;
    GuardColumn column, root_key;
    std::vector<GuardSource> sources;
    std::vector<GuardCondition> where; // rows that the guard is about
};

std::string guard_json(const GuardDefinition &definition);
GuardDefinition parse_guard_json(std::string_view text); // nlohmann::json::exception if it is none

} // namespace tenantmig::core

// The guard step of a spec. Used by parse_spec and by those who take a guard's kind and mode as arguments.
#pragma once
#include "core/spec.hpp"
#include "core/spec_reader.hpp"

namespace tenantmig::core {

struct ParsedGuard {
    GuardStep step;
    // What makes a guard another one: kind, parts of the table's name, the column, and via, as the database has them.
    std::vector<std::string> target;
};

// Errors: TM001.
ParsedGuard parse_guard(const Json &value, std::string path, int number);

} // namespace tenantmig::core

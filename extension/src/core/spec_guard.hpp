// The guard step of a spec. Used by parse_spec and by those who take a guard's kind and mode as arguments.
#pragma once
#include "core/spec.hpp"
#include "core/spec_reader.hpp"

namespace tenantmig::core {

struct ParsedGuard {
    GuardStep step;
    std::vector<std::string> target; // kind, parts of the table's name and the column, as the database has them
};

// Kinds of the design that this version does not have yet are 0A000, all other errors TM001.
ParsedGuard parse_guard(const Json &value, std::string path, int number);

} // namespace tenantmig::core

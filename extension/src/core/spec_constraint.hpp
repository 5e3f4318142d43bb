// The constraint step of a spec. Used by parse_spec only.
#pragma once
#include "core/spec.hpp"
#include "core/spec_reader.hpp"

namespace tenantmig::core {

struct ParsedConstraint {
    ConstraintStep step;
    std::vector<std::string> target; // parts of the table's name and the column, as the database has them
};
ParsedConstraint parse_constraint(const Json &value, std::string path, int number);

// Seconds of a length of time: "7 days", "24 hours", "90 min", "1 week", also of several parts; a plain number is not
// accepted. TM001.
std::int64_t read_duration(const Json &value, const std::string &path, std::string_view example);

} // namespace tenantmig::core

// The isolate step of a spec. Used by parse_spec only.
#pragma once
#include "core/spec.hpp"
#include "core/spec_reader.hpp"

namespace tenantmig::core {

struct ParsedIsolate {
    IsolateStep step;
    std::vector<std::vector<std::string>> targets; // of each table: the parts of its name, as the database has them
};
ParsedIsolate parse_isolate(const Json &value, std::string path, int number);

// Why a text can't be the name of a setting of one's own ("app.tenant"): a reason, or empty.
std::string_view setting_defect(std::string_view name);

} // namespace tenantmig::core

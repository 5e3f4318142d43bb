// The steps of a spec that change the schema. Used by parse_spec only; TM001.
#pragma once
#include "core/spec.hpp"
#include "core/spec_reader.hpp"

namespace tenantmig::core {

SqlStep parse_sql(const Json &value, std::string path, int number);
AddColumnStep parse_add_column(const Json &value, std::string path, int number);
DropColumnStep parse_drop_column(const Json &value, std::string path, int number);
IndexStep parse_index(const Json &value, std::string path, int number);
RekeyStep parse_rekey(const Json &value, std::string path, int number);

} // namespace tenantmig::core

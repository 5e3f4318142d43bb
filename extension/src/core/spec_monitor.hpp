// The fields `monitor` and `exempt` of a spec. Used by parse_spec only.
#pragma once
#include "core/spec.hpp"
#include "core/spec_reader.hpp"

namespace tenantmig::core {

MonitorSettings parse_monitor(const Json &value, const std::string &path);
std::vector<Exemption> parse_exemptions(const Json &value, const std::string &path);

} // namespace tenantmig::core

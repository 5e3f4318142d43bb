// The attacks of probe_keys, by kind.
#pragma once
#include "steps/probe_rows.hpp"

namespace tenantmig {

// Foreign keys that lead to isolated tables: whether they tell that a row of another tenant exists, and whether what
// they do when a row is deleted reaches other tenants' rows.
void probe_references(Probe &probe);
// Unique indexes and exclusion constraints without the tenant key: whether they tell what another tenant has.
void probe_unique(Probe &probe);

// One row of the result that says why something was not tried.
void skip(Probe &probe, const ProbeTable &table, const char *attack, const std::string &object,
          const std::string &expected, const std::string &reason);

} // namespace tenantmig

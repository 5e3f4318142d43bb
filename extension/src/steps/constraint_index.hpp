// Indexes built concurrently, by a background worker at top level: a procedure may not do that.
#pragma once
#include "steps/constraint_change.hpp"

namespace tenantmig {

// Builds the index as the table's owner and returns when it is valid; meanwhile no transaction of ours is open. Several
// attempts if others hold the table; TM014 if rows are not unique, 55P03, 53400 (no background worker is free). What a
// failed attempt leaves behind is an invalid index, which is the caller's to remove.
void build_index(const Table &table, const std::string &name, const std::vector<std::string> &columns,
                 ConstraintChanger &changer);

} // namespace tenantmig

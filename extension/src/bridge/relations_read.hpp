// Which tables a statement reads and writes, views unfolded, and which policies PostgreSQL puts in its way there: its
// own answer, from analysis and rewriting. Nothing is executed.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

struct RelationUse {
    Oid relation = InvalidOid;
    char kind = 0;         // relkind
    bool written = false;  // it is what INSERT, UPDATE or DELETE writes to
    bool filtered = false; // a condition of a policy that is not simply true decides which rows are found
    bool denied = false;   // ... and it is false: no row is found
    bool checked = false;  // written: a condition of a policy decides which new rows may stand
    bool barrier = false;  // a view above it is a security barrier
    std::string condition; // the tree of it, the same wherever in a statement the table stands
};

// For the current user, its row_security, and its search_path. Errors: those of the analysis (42P01, 42703, …), 42501
// when row_security is off and policies would apply.
std::vector<RelationUse> relations_used(const std::string &sql);

} // namespace tenantmig

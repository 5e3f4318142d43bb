// The right to use one of our trigger functions, for the moment in which a trigger is made.
#pragma once
#include "catalog/own_tables.hpp"

namespace tenantmig {

// A table's owner needs EXECUTE on the trigger function when the trigger is made, and never again. Nothing of it is
// left, and nobody else sees it. One at a time: lock_guards().
class LentRight {
public:
    LentRight(Oid role, const std::string &function);
    void take_back();

private:
    void lend(const std::string &right);
    std::string role_;
    std::vector<std::string> lent_;
};

} // namespace tenantmig

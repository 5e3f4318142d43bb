// Ways to fail, by name.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig::test {

// Counts its living instances: back at 0 after an error means that every destructor ran. Holds memory, so that a
// destructor that did not run shows up as growth as well.
class Live {
public:
    Live() : memory_(1000, 'x') { count++; }
    ~Live() { count--; }
    Live(const Live &) = delete;
    Live &operator=(const Live &) = delete;
    static int count;

private:
    std::string memory_;
};

void fail(const std::string &kind);

std::string state_text(int code); // an encoded SQLSTATE as five characters

} // namespace tenantmig::test

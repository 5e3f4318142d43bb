// A call to the server whose arguments that were not given have their defaults there.
#pragma once
#include "result.hpp"
#include <fmt/format.h>
#include <string>
#include <vector>

namespace tenantmig::client {

struct Call {
    std::string sql; // up to the last argument; the closing bracket is the caller's
    std::vector<Cell> parameters;

    // argument => value, as that type of pg_catalog; nothing without a value.
    void add(const char *argument, const char *type, const Cell &value) {
        if (!value) return;
        parameters.push_back(value);
        sql += fmt::format("{}{} => ${}::pg_catalog.{}", sql.ends_with('(') ? "" : ", ", argument, parameters.size(),
                           type);
    }
    void add_flag(const char *argument, bool set) {
        if (set) add(argument, "bool", "true");
    }
};

} // namespace tenantmig::client

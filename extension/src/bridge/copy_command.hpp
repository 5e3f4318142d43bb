// COPY inside of a statement: what goes to the client is counted and thrown away, what comes is a text of ours. The
// client's connection is never touched.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

struct CopyOut {
    std::uint64_t rows = 0;
    bool more = false; // stopped at the limit
};
// COPY … TO STDOUT, as the current user and under the active snapshot, up to so many rows. Errors are those of COPY.
CopyOut copy_out(const std::string &sql, std::uint64_t limit);

// Whether COPY … FROM is refused by PostgreSQL, because row-level security is on for the current user.
bool copy_in_refused(Oid table);
// COPY table (columns) FROM one row in text format. Privileges are for the caller to check, and copy_in_refused().
std::uint64_t copy_in(Oid table, std::span<const std::string> columns, const std::string &line);
// A row as COPY reads it, with its end of line.
std::string copy_line(std::span<const std::optional<std::string>> cells);

} // namespace tenantmig

// COPY FROM as an attack: PostgreSQL refuses it where row-level security is on; where it is not, the row of another
// tenant goes in.
#include "bridge/copy_command.hpp"
#include "steps/probe_writes.hpp"

namespace tenantmig {

// As the application, within an attempt.
Attempt ProbeWriter::copy_row(const ProbeSample &row) const {
    Attempt attempt;
    if (!access_.usage || !access_.inserts.contains(table_.key.number)) {
        attempt.sqlstate = sqlstate::insufficient_privilege;
        attempt.message = "permission denied for table " + table_.table.name;
        return attempt;
    }
    if (copy_in_refused(
            table_.table.oid)) { // what DoCopy says; to find out by COPY itself would read the client's line
        attempt.sqlstate = sqlstate::feature_not_supported;
        attempt.message = "COPY FROM not supported with row-level security";
        return attempt;
    }
    std::vector<std::string> names;
    std::vector<std::optional<std::string>> cells;
    for (const AttrNumber number : insertable_) {
        names.push_back(table_.table.at(number).name);
        cells.push_back(row.cells.at(number));
    }
    attempt.rows = static_cast<std::int64_t>(copy_in(table_.table.oid, names, copy_line(cells)));
    return attempt;
}

} // namespace tenantmig

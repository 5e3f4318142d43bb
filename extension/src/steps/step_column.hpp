// What the steps add_column, drop_column and index share: which table is meant, and types as PostgreSQL reads them.
#pragma once
#include "catalog/enforcement_store.hpp"
#include "steps/step.hpp"

namespace tenantmig {

// What a step that has begun remembers of its table; nullopt: it has not begun, or the table is gone.
std::optional<Table> remembered_table(const StepState &state);
// That, else what its name means to the migration's step of this number.
Table step_table(const MigrationRecord &migration, const StepState &state, int step, const std::string &written,
                 const std::string &path);
// Of a step add_column: what a row holds that nobody has written, as SQL; empty: NULL.
std::string unwritten_value(const StepState &state);
// JSON text with the table in it, and whatever else `detail` has.
std::string remember_table(const std::string &detail, const Table &table);

// The search_path of the migration, in the transaction that is open, while it lives.
class MigrationPath {
public:
    explicit MigrationPath(const MigrationRecord &migration);
    ~MigrationPath();
    MigrationPath(const MigrationPath &) = delete;
    MigrationPath &operator=(const MigrationPath &) = delete;

private:
    int level_;
};

struct ParsedType {
    Oid oid = InvalidOid;
    std::int32_t typmod = -1;
    std::string sql; // qualified, with its modifier
};
// By PostgreSQL's own parser for names of types, under the search_path in force. 42601 (not the name of a type), 42704,
// 42809 (a pseudo-type).
ParsedType parse_type(const std::string &written, const std::string &path);

} // namespace tenantmig

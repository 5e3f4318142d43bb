// Where an entry of the change log or a review points today: column and key, found again after renames.
#pragma once
#include "catalog/change_log.hpp"
#include "engine/row_writer.hpp"
#include "engine/target.hpp"

namespace tenantmig {

// The column of the target that is recorded under `column` (source: of the entry, or empty).
const Column &written_column(const StepTarget &target, const std::string &column, const std::string &source);

// The recorded key's columns: by name, else, if they were renamed, those that identify rows today. 42703 if neither
// fits.
std::vector<AttrNumber> written_key(const StepTarget &target, const KeyShape &shape);

// Reads rows by key, as the current user.
class RowReader {
public:
    RowReader(const Table &table, const Column &column, const std::vector<AttrNumber> &key);
    struct Found {
        bool exists = false;
        std::optional<std::string> value; // text form under the settings in force
    };
    Found read(std::span<const Datum> key);

private:
    std::vector<Oid> types_;
    Oid column_type_;
    Statement statement_;
};

} // namespace tenantmig

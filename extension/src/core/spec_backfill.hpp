// The backfill step of a spec. Used by parse_spec only.
#pragma once
#include "core/spec.hpp"
#include "core/spec_reader.hpp"

namespace tenantmig::core {

struct ParsedBackfill {
    BackfillStep step;
    std::vector<std::string> target; // parts of the table's name and the column, as the database has them
};

// `where: {status: [a, b], deleted_at: null}`. `said`: what makes it different from another one, if asked for.
std::vector<Condition> parse_where(const Json *where, const std::string &path,
                                   std::vector<std::string> *said = nullptr);
ParsedBackfill parse_backfill(const Json &value, std::string path, int number);

} // namespace tenantmig::core

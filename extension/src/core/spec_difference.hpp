// What two specs, or any two JSON documents, differ in: for the refusal of a migration whose file was edited.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tenantmig::core {

// One place. Without `stored` it was added, without `given` removed, with both changed.
struct SpecDifference {
    std::string path;                  // steps[1].backfill.sources[0].via; empty: the whole document. Numbers are those
                                       // of the given document, of what was removed those of the stored one
    std::optional<std::string> stored; // JSON, on one line, long values cut
    std::optional<std::string> given;
};

// Lists are compared element by element after aligning what they have in common, so that one step more is one
// difference. Numbers are compared as numbers: 1 and 1.0 are the same. Of two long texts the part is shown where they
// begin to differ. Documents that nest deeper than 200 levels are TM001.
std::vector<SpecDifference> spec_difference(const nlohmann::json &stored, const nlohmann::json &given);

} // namespace tenantmig::core

// The spec: the document that describes a migration (design.md §3). Parsed strictly; every error names the path in the
// document.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenantmig::core {

// One condition on a column: = value, IN (values), IS NULL, or IN (values) OR IS NULL.
struct Condition {
    std::string path;                // in the document, e.g. steps[0].backfill.where.status
    std::string column;              // as written
    std::vector<std::string> values; // text form; any of them matches
    bool or_null = false;            // NULL matches too
};

enum class SourceKind { children, parent, path, polymorphic };

struct TypeTarget {
    std::string type_value; // the value of the type column
    std::string table;      // as written
};

struct Source {
    std::string path; // in the document, e.g. steps[0].backfill.sources[1]
    SourceKind kind = SourceKind::children;
    std::string label;  // `via` as written, or the hops joined with '/': names the source in counts, log and reviews
    std::string table;  // children: the table part of via, as written (may be schema-qualified, quoted)
    std::string column; // children: the column of that table; parent and polymorphic: the column of the target
    std::vector<std::string> hops;     // path: columns, the first of the target, each next of the table reached
    std::string type_column;           // polymorphic
    std::vector<TypeTarget> types;     // polymorphic, in document order of keys (sorted by JSON)
    std::optional<std::string> tenant; // the tenant key of the source's end, if named
    std::vector<Condition> where;
};

enum class Evidence { unanimous, first };
enum class OnConflict { review, majority, fail };
enum class OnOrphan { review, soft_delete, fail, assign };

struct PreflightLimits {
    std::optional<double> min_coverage;         // share 0..1; FAIL below
    std::optional<std::int64_t> max_conflicts;  // FAIL at this number or more
    std::optional<std::int64_t> expected_nulls; // FAIL at another number
};

struct BackfillStep {
    std::string path; // steps[0].backfill
    int number = 0;   // position in the spec, from 1
    std::string table, column;
    std::optional<std::string> soft_delete;
    std::vector<Source> sources;
    Evidence evidence = Evidence::unanimous;
    OnConflict on_conflict = OnConflict::review;
    OnOrphan on_orphan = OnOrphan::review;
    std::string assign; // the tenant of on_orphan: {assign: TENANT}, text form
    std::vector<Condition> where;
    PreflightLimits preflight;
};

enum class GuardKind { tenant_key };
enum class GuardMode { fill, reject, warn };

// A row trigger that keeps the tenant key of new rows right (design.md §6).
struct GuardStep {
    std::string path; // steps[1].guard
    int number = 0;   // position in the spec, from 1
    GuardKind kind = GuardKind::tenant_key;
    GuardMode mode = GuardMode::fill;
    std::string table, column;
    bool always = false; // under logical replication apply too
};

// fill, reject or warn.
std::string_view mode_name(GuardMode mode);

struct Spec {
    std::string migration;
    std::string description;
    std::optional<std::int64_t> version;
    std::string tenants_table, tenants_key; // key may be empty: the table's primary key
    std::vector<BackfillStep> steps;        // in document order
    std::vector<GuardStep> guards;          // likewise; their numbers and those of `steps` count the same list
};

// Parses and checks a spec as far as the document alone allows: unknown or missing fields, wrong types, wrong values,
// over-long names, the same target column twice. A step kind of the design that this version does not have yet is
// 0A000. All other errors: TM001, message `spec: PATH: what is wrong`, DETAIL what was found, HINT what was expected.
Spec parse_spec(const nlohmann::json &document);

// Checks text that must be JSON first (TM001 with line and column of the error).
Spec parse_spec_text(std::string_view json);

// Orders steps so that each comes after those that it depends on: depends_on[i] lists indexes into the same range.
// Stable: ties keep document order. A cycle is TM001 and its DETAIL prints it as `a -> b -> a` using `names`.
std::vector<std::size_t> order_steps(const std::vector<std::vector<std::size_t>> &depends_on,
                                     const std::vector<std::string> &names);

} // namespace tenantmig::core

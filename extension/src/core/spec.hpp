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
    std::string references_table, references_column; // parent: what it leads to, as written, where no foreign key says
                                                     // so; empty: the foreign key says it; column empty: primary key
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
    std::string tenants_table, tenants_key; // never in a document: of a step that tenantmig itself makes (rekey);
                                            // empty: those of the spec
    std::optional<std::string> soft_delete;
    std::vector<Source> sources;
    Evidence evidence = Evidence::unanimous;
    OnConflict on_conflict = OnConflict::review;
    OnOrphan on_orphan = OnOrphan::review;
    std::string assign; // the tenant of on_orphan: {assign: TENANT}, text form
    std::vector<Condition> where;
    PreflightLimits preflight;
};

enum class GuardKind { prefix, tenant_key, same_tenant, reference, acyclic, immutable };
enum class GuardMode { fill, reject, warn };

// A row trigger that keeps new rows right (design.md §6).
struct GuardStep {
    std::string path; // steps[1].guard
    int number = 0;   // position in the spec, from 1
    GuardKind kind = GuardKind::tenant_key;
    GuardMode mode = GuardMode::fill; // tenant_key; the other kinds refuse: reject
    std::string table;
    std::string column;    // the tenant key; prefix: the text id; acyclic: the self reference; reference: may be empty
    std::string key;       // prefix: the tenant key, as written
    std::string separator; // prefix
    std::vector<std::string> via;  // same_tenant, reference: columns of the reference, as written
    std::string tenant;            // same_tenant: the parent's tenant key, as written; empty: found
    std::string type_column;       // reference
    std::vector<TypeTarget> types; // reference
    bool always = false;           // under logical replication apply too
};

// fill, reject or warn.
std::string_view mode_name(GuardMode mode);
// prefix, tenant_key, ...
std::string_view kind_name(GuardKind kind);

// Criteria of the gate that a spec sets; those that always hold are not listed. Not set: not asked for.
struct GateCriteria {
    std::optional<std::int64_t> soak_seconds;   // without a bad observation
    std::optional<std::int64_t> open_reviews;   // at most
    std::optional<std::int64_t> approvals;      // of different users, at least
    std::optional<std::int64_t> backup_seconds; // a registered backup not older than
    std::optional<double> min_coverage;         // share 0..1 of rows that were without a key and have one now
};

enum class NotNull { leave, all, live }; // live: key IS NOT NULL OR the row is soft-deleted
enum class OnDelete { unspecified, no_action, restricted, cascade, set_null };

// Constraints on one column, applied only through the gate.
struct ConstraintStep {
    std::string path; // steps[2].constraint
    int number = 0;   // position in the spec, from 1
    std::string table, column;
    NotNull not_null = NotNull::leave;
    std::string soft_delete; // live: the column that is not NULL in a soft-deleted row, as written; empty: that of the
                             // backfill step of the same column
    std::string references_table, references_column; // as written; empty: no foreign key; column empty: the primary key
    OnDelete on_delete = OnDelete::unspecified;
    std::vector<std::string> unique; // columns; empty: none
    bool composite = false;          // unique over (tenant key, primary key), for composite foreign keys
    std::string format;              // a regular expression that the column must match; empty: none
    GateCriteria gate;
};

// no action, restrict, cascade, set null; empty for unspecified.
std::string_view on_delete_name(OnDelete action);

// Statements of the user, run as the migration's owner.
struct SqlStep {
    std::string path; // steps[0].sql
    int number = 0;
    std::string up, down;      // text of one or more statements; down empty: the step can't be taken back
    std::string verify;        // one query; empty: none. Every row of its single boolean column must be true
    bool transactional = true; // false: each statement on its own, at top level
};

struct AddColumnStep {
    std::string path; // steps[0].add_column
    int number = 0;
    std::string table, column, type, comment; // as written
    std::optional<std::string> default_value; // text form of a literal
    std::string default_function;             // now, …: a function without arguments instead of a literal
};

struct DropColumnStep {
    std::string path; // steps[0].drop_column
    int number = 0;
    std::string table, column;
    std::string type; // if given, it must be that
};

struct IndexColumn {
    std::string column; // as written
    bool descending = false;
    std::optional<bool> nulls_first;
};

struct IndexStep {
    std::string path; // steps[0].index
    int number = 0;
    std::string table, name, method; // name empty: PostgreSQL's; method empty: btree
    std::vector<IndexColumn> columns;
    std::vector<std::string> include;
    std::vector<Condition> where;
    bool unique = false;
};

struct RekeyTable {
    std::string path, table;
    std::string via; // the column that holds the surrogate key; empty: named like that of the tenant root
};

struct RekeyEmbed {
    std::string path, table, column, separator; // the id column that becomes text and begins with the tenant key
};

// Replaces the surrogate key `id` of the tenant root by its natural key.
struct RekeyStep {
    std::string path; // steps[0].rekey
    int number = 0;
    std::string root, id, key; // from: table, its surrogate key, the column that holds the natural key
    std::string column;        // the new tenant key, on the tenant root as well (may be `key` itself there)
    std::string format;        // a regular expression that every key must match; empty: none
    std::vector<RekeyTable> tables;
    std::vector<std::string> within; // columns that a key is unique in; empty: unique over the whole system
    std::vector<RekeyEmbed> embed;
};

struct IsolateTable {
    std::string path, table;
    std::string column; // its tenant key; empty: the one that the other steps name, or that leads to the tenant root
};

// Row-level security: an application role sees and writes the rows of one tenant, which a setting names.
struct IsolateStep {
    std::string path; // steps[0].isolate
    int number = 0;
    std::vector<IsolateTable> tables;
    std::vector<std::string> roles;           // of the application, as written; at least one
    std::string setting = "tenantmig.tenant"; // the tenant's key in text form; unset or empty: no tenant
    std::string super_role;                   // sees all rows, as written; empty: there is none
    bool force = true;                        // the owner of the tables is held to the policies, too
    bool index = true;                        // builds an index that leads with the tenant key where there is none
    bool hide_nulls = false;     // null_keys: hide. Rows without a tenant key may stand, nobody but super_role and
                                 // the operator sees them; otherwise they are a reason to refuse
    bool composite_keys = false; // unique (tenant key, primary key) on each table
    bool composite_references = false; // foreign keys between the tables compare the tenant key, too
};

// Thresholds of monitoring.
struct MonitorSettings {
    double max_rollback_increase = 0.20;    // share of transactions rolled back, above the baseline's (0.20: 20 % more)
    double max_deadlocks_per_hour = 1;      // above the baseline's
    double max_refusals_per_hour = 10;      // writes refused by guards
    double max_latency = 2;                 // of the tenant query, as a multiple of the baseline
    std::int64_t stale_seconds = 26 * 3600; // without an observation
};

// A table that has no tenant key on purpose, or a finding of lint() that is no defect.
struct Exemption {
    std::string path, table, reason;
    std::string finding; // its stable key; empty: the table as a whole
};

enum class StepKind { sql, add_column, drop_column, index, rekey, backfill, guard, constraint, isolate };
std::string_view step_name(StepKind kind); // sql, add_column, …
// Whether the step changes which objects there are: names in later steps mean what stands there when it is done.
bool is_structural(StepKind kind);
// Whether how far the step is stands in step_state: all but backfill, guard and constraint, which have tables of their
// own.
bool keeps_state(StepKind kind);

// One step of the document: its kind, and its place in the list of that kind.
struct StepRef {
    StepKind kind = StepKind::sql;
    int number = 0; // from 1
    std::size_t index = 0;
};

struct Spec {
    std::string migration;
    std::string description;
    std::optional<std::int64_t> version;
    std::string tenants_table, tenants_key;  // key may be empty: the table's primary key
    std::vector<BackfillStep> steps;         // in document order
    std::vector<GuardStep> guards;           // likewise; their numbers and those of `steps` count the same list
    std::vector<ConstraintStep> constraints; // likewise
    std::vector<SqlStep> sqls;
    std::vector<AddColumnStep> added_columns;
    std::vector<DropColumnStep> dropped_columns;
    std::vector<IndexStep> indexes;
    std::vector<RekeyStep> rekeys;
    std::vector<IsolateStep> isolations;
    std::vector<StepRef> order; // all steps as the document has them
    MonitorSettings monitor;
    std::vector<Exemption> exempt;
};

// Parses and checks a spec as far as the document alone allows: unknown or missing fields, wrong types, wrong values,
// over-long names, the same target column twice. Errors: TM001, message `spec: PATH: what is wrong`, DETAIL what was
// found, HINT what was expected.
Spec parse_spec(const nlohmann::json &document);

// Only the steps with these numbers; `order` too.
Spec select_steps(Spec spec, const std::vector<int> &numbers);

// Checks text that must be JSON first (TM001 with line and column of the error).
Spec parse_spec_text(std::string_view json);

// Orders steps so that each comes after those that it depends on: depends_on[i] lists indexes into the same range.
// Stable: ties keep document order. A cycle is TM001 and its DETAIL prints it as `a -> b -> a` using `names`.
std::vector<std::size_t> order_steps(const std::vector<std::vector<std::size_t>> &depends_on,
                                     const std::vector<std::string> &names);

} // namespace tenantmig::core

// The checks of lint, by group, and what they share: the model, the collection of findings, and reading of rows.
#pragma once
#include "core/findings_format.hpp"

#include "steps/lint_model.hpp"

namespace tenantmig {

enum class Severity { info, warning, error };

class Lint {
public:
    Lint(const LintModel &of, bool read_data) : model(of), with_data(read_data) {}

    const LintModel &model;
    const bool with_data;
    std::vector<core::Finding> findings;
    std::set<Oid> unread; // tables whose rows could not be counted

    void add(Severity severity, const char *check, const std::string &object, std::string detail,
             std::string remedy = {});

    using Matrix = std::vector<std::vector<std::optional<std::string>>>;
    // The rows of a query, as text, read as the owner of one of the tables; nothing if nobody's rights suffice, which
    // becomes a finding: never a zero by hidden rows. Nothing as well if rows are not asked for.
    std::optional<Matrix> read(const std::vector<const LintTable *> &of, const std::string &sql, int columns);
    std::optional<std::int64_t> count(const std::vector<const LintTable *> &of, const std::string &sql);
    // Different values of a column, at most `limit`, in the order of the column's type; NULL is none. At most
    // `sample` rows are looked at (0: all).
    std::optional<std::vector<std::string>> values(const LintTable &table, const LintColumn &column, int limit,
                                                   int sample);

    // The column that says which tenant a row is of; 0: none. That of the tenant root is its key.
    AttrNumber tenant_of(const LintTable &table) const;
    // The name that a tenant key has here, or should have.
    std::string key_name() const;
};

std::string object_name(const LintTable &table, const std::string &part); // schema.table.part, quoted as needed

// The column that says that a row is soft-deleted; nullptr: none.
const LintColumn *soft_delete_of(const LintTable &table);
// Whether the index leaves the soft-deleted rows out.
bool only_living(const LintIndex &index, const LintColumn &soft_delete);

// CREATE INDEX statement for columns.
std::string create_index(const LintTable &table, const std::vector<AttrNumber> &columns, const char *what = "INDEX",
                         const std::string &tail = {});
// The call that attaches a guard of no migration; `options`: a JSON object, or empty.
std::string attach_guard_call(const LintTable &table, const std::string &column, const char *kind,
                              const std::string &options = {});
// Makes the foreign key anew with another action (or definition).
std::string replace_foreign_key(const LintModel &model, const LintTable &table, const LintForeignKey &key,
                                const std::string &action);
// The join of a foreign key: c, the referencing row; p, the referenced one.
std::string join_condition(const LintModel &model, const LintTable &table, const LintForeignKey &key);
// Whether two columns hold the same, as an SQL expression.
std::string same_value(const std::string &a, const LintColumn &of_a, const std::string &b, const LintColumn &of_b);

// type and id columns that belong together.
struct PolymorphicPair {
    const LintColumn *type = nullptr, *id = nullptr;
};
std::vector<PolymorphicPair> polymorphic_pairs(const LintTable &table);

void lint_tables(Lint &lint);
void lint_tenant_keys(Lint &lint);
void lint_foreign_keys(Lint &lint);
void lint_references(Lint &lint);
void lint_indexes(Lint &lint);
void lint_unique(Lint &lint);
void lint_enums(Lint &lint);
void lint_json(Lint &lint);
void lint_columns(Lint &lint);
void lint_polymorphic(Lint &lint);
void lint_soft_delete(Lint &lint);
void lint_isolation(Lint &lint);

} // namespace tenantmig

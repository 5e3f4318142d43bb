// What lint looks at: the schema as the catalogue has it, read once, so that every check sees the same one. Names only
// are shown; OIDs connect.
#pragma once
#include "core/spec.hpp"

#include "bridge/relation.hpp"
#include "catalog/guard_store.hpp"

namespace tenantmig {

struct LintColumn {
    AttrNumber number = 0;
    std::string name, type_name; // as format_type gives it
    Oid type = InvalidOid;       // a domain's base type
    std::string base_name;       // likewise, without length: "character varying"
    Oid collation = InvalidOid;
    char category = 0; // pg_type.typcategory of the base type: S text, D time, N number, E enum, U user, B boolean
    bool domain = false, not_null = false, generated = false, identity = false, has_default = false;
    bool constant_default = false; // a literal
    std::string default_text;

    bool is_text() const { return category == 'S' && type != CHAROID && type != NAMEOID; }
    bool is_enum() const { return category == 'E'; }
};

struct LintIndex {
    Oid oid = InvalidOid;
    std::string name, method, predicate, definition, constraint, options; // options: classes, collations, order
    std::vector<AttrNumber> columns;                                      // key columns; 0: an expression
    std::vector<AttrNumber> included;
    bool unique = false, primary = false, valid = true, ready = true, expressions = false;
    bool nulls_equal = false; // NULLS NOT DISTINCT
    std::int64_t scans = 0;

    bool usable() const { return valid && ready; }
    // Finds rows by these columns alone: all of them lead, in whatever order; no predicate leaves rows out.
    bool serves(const std::vector<AttrNumber> &wanted) const;
    bool contains(AttrNumber column) const {
        return std::find(columns.begin(), columns.end(), column) != columns.end();
    }
};

struct LintForeignKey {
    Oid oid = InvalidOid, to = InvalidOid;
    std::string name;
    std::vector<AttrNumber> from_columns, to_columns, set_columns; // set_columns: of SET NULL (column, …)
    std::vector<std::string> operators;                            // referenced = referencing, qualified
    char on_delete = 'a', match = 's';
    bool validated = true, disabled = false; // disabled: triggers of it are switched off
    bool deferrable = false;
};

struct LintCheck {
    std::string name, expression;
    std::vector<AttrNumber> columns;
    bool validated = true;
    bool is_about(AttrNumber column) const {
        return std::find(columns.begin(), columns.end(), column) != columns.end();
    }
};

struct LintTrigger {
    std::string name, function; // schema.name
    std::vector<std::string> arguments;
    char enabled = 'O';
    bool on_delete = false;
};

struct LintSequence {
    AttrNumber column = 0;
    std::string name;
    double used = 0; // share of what it, or the column's type, can hold
};

struct LintTable {
    Oid oid = InvalidOid, owner = InvalidOid;
    std::string schema, name;
    char kind = 'r', identity = 'd'; // pg_class.relkind, relreplident
    bool unlogged = false, row_security = false, force_row_security = false, published = false;
    bool by_step = false; // made beside the tables of the user: kept values of a column, old and new ids of a rekey
    std::int64_t bytes = 0, reads = 0;
    std::vector<LintColumn> columns;
    std::vector<LintIndex> indexes;
    std::vector<LintForeignKey> foreign_keys;
    std::vector<LintCheck> checks;
    std::vector<LintTrigger> triggers;
    std::vector<LintSequence> sequences;
    // Found by find_tenant_keys():
    AttrNumber tenant_key = 0;
    bool in_scope = false, reaches_root = false;
    std::vector<AttrNumber> other_keys; // more columns that lead to the tenant root

    std::string label() const { return qualified(schema, name); }
    std::string target() const { return (kind == RELKIND_RELATION ? "ONLY " : "") + label(); }
    const LintColumn *find(std::string_view column) const;
    const LintColumn &at(AttrNumber column) const;
    const LintIndex *primary_key() const;
    std::vector<std::string> names(const std::vector<AttrNumber> &numbers) const; // quoted
    std::string list(const std::vector<AttrNumber> &numbers) const;               // quoted, separated by commas
    // A column that a rekey has replaced, and keeps in step until it is dropped; one that it fills that way.
    bool is_replaced(std::string_view column) const { return kept_in_step(column, 1); }
    bool is_replacement(std::string_view column) const { return kept_in_step(column, 2); }

private:
    bool kept_in_step(std::string_view column, std::size_t argument) const;
};

struct LintModel {
    std::map<Oid, LintTable> tables; // all of the users', whether in scope or not
    Oid root = InvalidOid;
    AttrNumber root_key = 0;
    std::string key_name;                           // what the tenant key is called most
    std::map<Oid, std::vector<std::string>> labels; // of enum types
    std::vector<GuardRecord> guards;

    const LintTable &root_table() const { return tables.at(root); }
    const LintTable *find(Oid oid) const;
    std::vector<const LintTable *> scope() const; // by name
    // A guard of this kind that is in force on the table's column, attached or made by hand.
    bool guarded(const LintTable &table, core::GuardKind kind, const std::string &column) const;
};

// Reads the catalogue; only objects that are no extension's.
LintModel read_lint_model();
// Finds the tenant root, the tenant key of each table, and which tables are looked at. `key`: of the root; empty: its
// primary key. `names`: of tenant keys, as migrations have them. Errors: 42P01, 42703, 55000 (no key to be found).
void find_tenant_keys(LintModel &model, Oid root, const std::string &key, const std::set<std::string> &names,
                      const std::vector<std::string> &schemas);

// invoices for Invoice, App\Models\Branch, invoice: the tables that a value of a type column, or the first part of a
// column's name, may mean, in the order of likeliness.
std::vector<std::string> table_names_of(std::string_view word);

} // namespace tenantmig

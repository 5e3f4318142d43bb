// Rows for the attacks of probe_keys: copies of real rows, with some values changed. One row a statement, and every
// statement only ever inside of an attempt.
#pragma once
#include "steps/probe.hpp"

namespace tenantmig {

struct ColumnRights { // of the application role
    bool select = false, insert = false, update = false;
    bool has_default = false; // or is an identity
};

// A table that rows are written to.
struct AttackTable {
    const ProbeTable *probed = nullptr; // nullptr: it is not isolated
    Table table;
    std::vector<AttrNumber> identity; // empty: there is none
    std::map<AttrNumber, ColumnRights> rights;
    std::set<AttrNumber> unique_columns; // of any unique index or exclusion constraint

    bool may(bool ColumnRights::*right, AttrNumber column) const {
        auto found = rights.find(column);
        return found != rights.end() && found->second.*right;
    }
};

using RowValues = std::map<AttrNumber, std::optional<std::string>>; // text forms

struct SampleRow {
    RowValues values;
    std::string place; // ctid
};

struct AttackStatement {
    std::string sql;
    std::vector<Value> values;
    std::map<AttrNumber, std::size_t> places; // of a column's new value among them
};

// Rights and defaults of the columns of these tables, and which of them are unique; read at once.
std::map<Oid, AttackTable> attack_tables(const Probe &probe, const std::set<Oid> &tables);

// One or more rows of a table as its owner sees them; `condition` is SQL about the alias t. nullopt: the caller has not
// the owner's rights.
std::optional<std::vector<SampleRow>> sample_rows(const Probe &probe, const Table &table, const std::string &condition,
                                                  std::span<const Value> values, const std::string &distinct = {},
                                                  int limit = 1);
// "t.company_id = $1", qualified to the last operator; `alias` with its dot.
std::string equals(const std::string &alias, const Column &column, int parameter);

// UPDATE of that row; nothing if it can't be told from others, or if the role may not write one of the columns.
std::optional<AttackStatement> update_of(const AttackTable &table, const SampleRow &row, const RowValues &changed);
// INSERT of a copy of that row; other columns that must be unique get their default, NULL or a new value. Columns that
// the role may not write are left out; nothing if one of `changed` is among them.
std::optional<AttackStatement> insert_of(const Probe &probe, const AttackTable &table, const SampleRow &row,
                                         const RowValues &changed);

// Values that a column of the table holds nowhere, the likeliest to be let through first; none if the type tells
// nothing. `limit_of`: the column that they are to be written to; `like`: a value that is there.
std::vector<std::string> absent_values(const Probe &probe, const Table &table, const Column &column,
                                       const Column &limit_of, const std::string &like);

// "23503 orders_customer_id_fkey", "accepted", "no row".
std::string short_form(const Attempt &attempt);

} // namespace tenantmig

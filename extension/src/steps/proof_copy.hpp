// Copies of an existing row that collide with nothing: what proofs are tried on. No default is evaluated, so that no
// sequence is touched: every column gets its value, those of unique indexes an unused one.
#pragma once
#include "engine/constraint_target.hpp"

namespace tenantmig {

// Why no copy can be made, for people.
struct CannotCopy {
    std::string reason;
};

class RowCopier {
public:
    // `spare`: columns that are varied only where nothing else is left (the constrained one). Reads what the catalogue
    // says of the table.
    RowCopier(const Table &table, std::vector<AttrNumber> spare);

    // Takes an existing row: the first by its key for which `condition` holds (SQL on alias t, `values` its
    // parameters). False if there is none. Reads as the owner.
    bool take(const std::string &condition, std::span<const Value> values = {});

    // A row to insert, by column number.
    using Row = std::map<AttrNumber, Value>;
    // The row that was taken with unused values in the columns of its unique indexes; columns of `hold` stay as they
    // are. Other values on each call. Throws CannotCopy.
    Row vary(const std::vector<AttrNumber> &hold = {});
    // A value of the column that no row has. Throws CannotCopy.
    Value unused(AttrNumber column);
    const Value &taken(AttrNumber column) const; // throws CannotCopy if there is no row

    struct Place {
        Oid relation = InvalidOid;
        ItemPointerData tid = {};
        std::optional<std::string> value; // text of the column that was asked for, as the table has it now
    };
    // As the owner, with row security, triggers and all; deferred constraints are checked at once. Errors are
    // PostgreSQL's. nullopt: a trigger held the row back.
    std::optional<Place> insert(const Row &row, AttrNumber asked) const;
    // Sets a column of an inserted row / deletes it; nullopt/false: it is no longer where it was.
    std::optional<Place> update(const Place &place, AttrNumber column, const Value &value) const;
    bool remove(const Place &place) const;
    // An inserted row, by its key, as it is now; nullopt: it is gone.
    std::optional<Place> find(const Row &row, AttrNumber asked) const;

    const Table &table() const { return table_; }

private:
    struct UniqueIndex {
        std::string name;
        std::vector<AttrNumber> columns;
        bool nulls_collide = false;
    };
    void read_indexes(Oid relation);
    int reluctance(AttrNumber column) const; // how bad a choice it is; -1: none at all

    Table table_;
    std::vector<AttrNumber> spare_, referencing_, partition_key_, identity_;
    std::vector<UniqueIndex> indexes_;
    Row row_;
    std::map<AttrNumber, std::int64_t> used_; // how many unused values were handed out
};

} // namespace tenantmig

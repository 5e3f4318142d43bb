// Indexes, foreign keys and rights of columns that a rekey step replaces, as SQL that makes them again on others.
#pragma once
#include "steps/rekey.hpp"

namespace tenantmig {

using RekeyNames = std::map<AttrNumber, std::string>; // column -> what is to stand in its place

struct RekeyIndex {
    Oid oid = InvalidOid;
    std::string name;    // of its constraint, too, if it has one
    char constraint = 0; // p, u, or none
    bool unique = false, clustered = false;
    std::string timing;              // of the constraint: " DEFERRABLE INITIALLY DEFERRED"
    std::string comment;             // of the constraint, else of the index
    std::vector<AttrNumber> columns; // keys, then included ones
    std::size_t keys = 0;
    bool plain = true; // neither an expression nor a condition looks at the columns asked for
};

// Valid indexes of the table that hold one of the columns, primary key first.
std::vector<RekeyIndex> indexes_of(const Table &table, const RekeyNames &columns);
// CREATE INDEX CONCURRENTLY of the same over other columns. `same_type`: they are of the old ones' types.
std::string index_over(const Table &table, const RekeyIndex &index, const std::string &name, const RekeyNames &names,
                       bool same_type);

struct RekeyForeignKey {
    std::string name, options, comment; // options: all that follows the columns referred to, but NOT VALID
    Oid from = InvalidOid, to = InvalidOid, index = InvalidOid;
    std::vector<AttrNumber> from_columns, to_columns;
    bool validated = true;
};
// Of tables to this one / of this table, as declared.
std::vector<RekeyForeignKey> keys_to(const Table &table);

// GRANT statements that give a new column the rights that the old one has by itself.
std::vector<std::string> grants_of(const Table &table, const Column &column, const std::string &name);
std::string comment_of(const Table &table, const Column &column);
std::string default_of(const Table &table, const Column &column); // as SQL; empty: none

} // namespace tenantmig

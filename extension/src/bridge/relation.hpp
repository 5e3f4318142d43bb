// What the catalogue says of a user's table: columns, keys, owner. Read through the relation cache, under ACCESS SHARE.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

struct Column {
    AttrNumber number = 0;
    std::string name;
    Oid type = InvalidOid; // a domain's base type
    std::int32_t typmod = -1;
    Oid collation = InvalidOid;
    bool not_null = false, generated = false, identity_always = false;
    std::string type_name; // as format_type gives it, qualified where needed
};

struct Table {
    Oid oid = InvalidOid;
    std::string schema, name;
    Oid owner = InvalidOid;
    char kind = 0; // relkind
    bool temporary = false, is_partition = false, row_security = false, has_rules = false;
    double row_estimate = 0;
    std::vector<Column> columns;

    std::string label() const;  // schema.name, quoted as SQL needs it: for messages and results
    std::string sql() const;    // the same, for SQL text
    std::string target() const; // ONLY schema.name for a plain table (inheritance children are tables of their own),
                                // schema.name otherwise
    const Column *find(std::string_view column) const; // by exact name; nullptr if there is none
    const Column *find(AttrNumber number) const;
    const Column &at(AttrNumber number) const;
};

struct ForeignKey {
    Oid oid = InvalidOid;
    Oid from = InvalidOid, to = InvalidOid;
    std::vector<AttrNumber> from_columns, to_columns; // in the key's order
};

// Describes the table with this OID; nullopt when there is none any more.
std::optional<Table> describe_table(Oid oid);

// The OID that a (possibly qualified) name has under the search_path in force; InvalidOid if none. USAGE on the schema
// is required (42501).
Oid lookup_table(const std::vector<std::string> &names);

// The columns that identify a row: the primary key, else the unique index over NOT NULL columns with the fewest columns
// (then the lowest OID). Valid, immediate, not partial, without expressions. Empty if there is none.
std::vector<AttrNumber> row_identity(Oid table, bool *is_primary);

// Foreign keys of a table / that point at it (as declared: on partitioned tables those of the parent, not its
// partitions' copies).
std::vector<ForeignKey> foreign_keys_from(Oid table);
std::vector<ForeignKey> foreign_keys_to(Oid table);

// "OPERATOR(schema.=)" of the default btree equality of a type, for SQL text that does not depend on search_path. 0A000
// without one.
std::string equality_operator(Oid type);
// Whether equal values of the type's columns always have the same bytes: false for nondeterministic collations.
bool deterministic_collation(Oid collation);
std::string type_label(Oid type); // format_type

} // namespace tenantmig

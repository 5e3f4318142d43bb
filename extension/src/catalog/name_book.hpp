// Which object a name in a spec means. Names are resolved once, when the migration is created, and remembered as
// identity (system, database, relation OID, attribute number) plus names: a renamed table is still the same one. In
// another system or database (after a restore), or when the object has gone, they are resolved again by the remembered
// schema and name.
//
// A migration with structural steps has several books, one per segment: the same name may mean another column after a
// rekey (catalog/migration_names.hpp). The identity holds them side by side, each relation with the number of the
// structural step before its segment, none for the first.
#pragma once
#include "bridge/relation.hpp"

namespace tenantmig {

class NameBook {
public:
    NameBook();                                     // resolves new names by the search_path in force
    explicit NameBook(const std::string &identity); // remembers
    // Of a later segment: what it does not remember is looked for in these schemas.
    NameBook(const std::string &identity, int segment, std::vector<Oid> schemas);
    NameBook(NameBook &&) noexcept;
    ~NameBook();

    // The table that `written` means; `path` is its place in the document. Errors: 42602, 42622, 42P01, 42809 (not a
    // table), 0A000 (temporary).
    Table table(const std::string &written, const std::string &path);
    // The column that `written` means: by exact name, else folded to lower case. Errors: 42703.
    Column column(const Table &table, const std::string &written, const std::string &path);

    // Whether anything had to be resolved by name: the remembered identity is out of date.
    bool by_name() const;
    // by_name(), and not because of a restore: another table stands under the name of one that has gone.
    bool replaced() const;
    std::string json() const;      // the identity of a migration of one segment
    std::string relations() const; // of this segment: a JSON array

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

// The identity of a migration from the relations of its segments.
std::string identity_of(const std::vector<std::string> &relations);

// Refuses what cannot be a table of a migration (42809, 0A000); used for tables reached by foreign key too.
void require_plain_table(const Table &table, const std::string &path);

} // namespace tenantmig

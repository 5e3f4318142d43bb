// Which object a name in a spec means. Names are resolved once, when the migration is created, and remembered as
// identity (system, database, relation OID, attribute number) plus names: a renamed table is still the same one. In
// another system or database (after a restore), or when the object has gone, they are resolved again by the remembered
// schema and name.
#pragma once
#include "bridge/relation.hpp"

namespace tenantmig {

class NameBook {
public:
    NameBook();                                     // resolves new names by the search_path in force
    explicit NameBook(const std::string &identity); // remembers
    NameBook(NameBook &&) noexcept;
    ~NameBook();

    // The table that `written` means; `path` is its place in the document. Errors: 42602, 42622, 42P01, 42809 (not a
    // table), 0A000 (temporary).
    Table table(const std::string &written, const std::string &path);
    // The column that `written` means: by exact name, else folded to lower case. Errors: 42703.
    Column column(const Table &table, const std::string &written, const std::string &path);

    bool by_name() const; // whether anything had to be resolved by name again: the remembered identity is out of date
    bool replaced()
        const; // by_name(), and not because of a restore: another table stands under the name of one that has gone
    std::string json() const;

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

// Refuses what cannot be a table of a migration (42809, 0A000); used for tables reached by foreign key too.
void require_plain_table(const Table &table, const std::string &path);

} // namespace tenantmig

// The names of a migration, segment by segment. A segment is what stands between two structural steps: there a name
// means one thing. After a step that changes which objects there are, it may mean another.
#pragma once
#include "catalog/migration_store.hpp"
#include "catalog/name_book.hpp"

namespace tenantmig {

class MigrationNames {
public:
    // Of a spec that is being checked: names of the first segment mean what they mean by the search_path in force.
    // `spec`: all its steps.
    explicit MigrationNames(const core::Spec &spec);
    // Remembers; names of later segments that are new mean what they mean by the search_path of the migration.
    explicit MigrationNames(const MigrationRecord &migration);

    NameBook &of(int step); // number of a step of the document, or of a backfill of a rekey
    // The number of the last structural step before it, 0: of the first segment. A rekey's backfills are of its own.
    int segment_of(int step) const;

    bool by_name() const; // the identity that is stored is out of date
    // Whether an object may be another than the migration's creator had in his hands: see NameBook, and all names of
    // later segments.
    bool replaced() const;
    bool replaced(int step) const; // in the segment of this step
    std::string json() const;
    // What the segments after a structural step remember: it is done, or undone, and names mean something else now.
    void forget_after(int step);

private:
    std::vector<int> structural_; // numbers, in order
    std::string identity_;        // empty: of a spec that is being checked
    std::vector<Oid> schemas_;
    std::map<int, NameBook> books_; // by segment
    bool forgot_ = false;
};

// Puts what `names` has learned into the catalogue and into `migration`, if there is anything.
void store_names(MigrationRecord &migration, const MigrationNames &names);

// For up and down, just after a structural step was applied or taken back, in the same transaction: names of later
// steps are resolved anew when they are reached. Changes `migration` too.
void forget_names_after(MigrationRecord &migration, int structural_step);

} // namespace tenantmig

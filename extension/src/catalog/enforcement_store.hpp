// What enforce has applied and is about to apply: tenantmig.enforcement, one row a piece of a constraint step.
#pragma once
#include "bridge/relation.hpp"
#include "catalog/migration_store.hpp"

namespace tenantmig {

// A table as it is remembered: by number in the database it was remembered in, by name everywhere.
struct Site {
    Oid oid = InvalidOid;
    std::string schema, name;
};
Site site_of(const Table &table);

// A foreign key as it stood, on `site`.
struct FormerKey {
    Site site;
    std::string name;
    std::string options; // all that follows REFERENCES table (column), but NOT VALID
    bool validated = true;
    std::string comment;
};

// What stood there before. Nothing else is needed to have it again.
struct Before {
    bool kept = false; // it held already, by something that isn't ours: relax leaves it alone
    int column_number = 0;
    std::vector<Site> sites;                            // where a constraint was added: the table, or its partitions
    std::vector<Site> not_null;                         // partitions that were NOT NULL by themselves
    std::vector<FormerKey> replaced;                    // foreign key that gave way (at most one)
    std::vector<std::pair<Site, std::string>> children; // its name in each partition
    std::vector<FormerKey> adopted; // foreign keys of partitions that became part of the partitioned table's
};

// Something that an attempt may leave behind. A constraint, and a partition's NOT NULL, is put down in the transaction
// that makes it; an index, which is built by another process, before.
struct Helper {
    std::string kind; // constraint, index, not_null
    Site site;
    std::string name; // not_null: the column
    bool operator==(const Helper &other) const {
        return kind == other.kind && site.schema == other.site.schema && site.name == other.site.name &&
               name == other.name;
    }
};

struct EnforcementRecord {
    std::int64_t id = 0, migration_id = 0;
    std::int32_t step = 0;
    std::string kind, state;
    Site site;
    std::string column, constraint_name, definition; // constraint_name: empty for NOT NULL
    Oid database = InvalidOid;
    Before before;
    std::vector<Helper> helpers;
    std::int64_t longest_hold = 0; // of a strong lock, microseconds
};

// In the order in which they were recorded; constraint_name: as it is today. `states`: of tenantmig.enforcement.state.
std::vector<EnforcementRecord> enforcements(std::int64_t migration, const std::vector<std::string> &states);
bool has_enforcements(std::int64_t migration, const std::vector<std::string> &states);
void insert_enforcement(EnforcementRecord &row); // sets its id
// Name, definition, helpers, hold; and the state, with time and actor. `error`: empty for none.
void save_enforcement(const EnforcementRecord &row, const std::string &error = {});
void set_enforcement_state(EnforcementRecord &row, const char *state, const std::string &error = {});
void save_identity(const EnforcementRecord &row); // the constraint of that name, so that it is found when it is renamed
void save_hold(const EnforcementRecord &row);
void delete_enforcements(std::int64_t migration);

// The table that is meant, as it is today; nullopt if it is gone.
std::optional<Table> find_site(const Site &site, Oid database);

} // namespace tenantmig

// All that hangs on a column and goes with it: what is kept in tenantmig.kept_column.shape, and the statements that
// bring it back. Everything by name: it survives a dump and a restore.
#pragma once
#include "bridge/relation.hpp"

namespace tenantmig {

struct KeptGrant {
    std::string grantor, grantee, privilege; // grantee empty: PUBLIC
    bool grantable = false;
};

struct KeptIndex {
    std::string name, definition, tablespace, comment; // definition: pg_get_indexdef
    bool replica_identity = false, clustered = false;
    std::vector<std::pair<int, int>> statistics; // column of the index -> target
};

struct KeptConstraint {
    std::string schema, table, name; // the table that has it: another one's foreign key that points here
    char type = 0;                   // c f p u x
    std::string definition, comment;
    bool foreign = false; // of another table
    bool deferrable = false, deferred = false, validated = true, partitioned = false;
    std::optional<KeptIndex> index; // p u x
};

// Of an identity column: goes with it. Owned by the column otherwise (serial): stays, without an owner meanwhile.
struct KeptSequence {
    std::string schema, name, type, comment;
    std::string start, increment, minimum, maximum, cache; // as text
    bool cycle = false;
    std::optional<std::string> last; // not set: never called
    std::vector<KeptGrant> grants;
};

struct KeptStatistics {
    std::string schema, name, definition, comment;
    int target = -1;
};

struct KeptTrigger { // of a rekey: it keeps this column and another one in step
    std::string name, definition;
    char enabled = 'O';
};

struct ColumnShape {
    std::string type, collation; // as SQL; collation empty: that of the type
    bool not_null = false;
    std::string storage, compression; // MAIN, pglz, …; empty: as the type has them
    int statistics = -1;
    std::vector<std::string> options; // n_distinct=5
    std::string default_value, generated, comment;
    char identity = 0; // a d
    std::optional<KeptSequence> sequence;
    std::vector<KeptGrant> grants;
    std::vector<KeptConstraint> constraints; // those of the table first
    std::vector<KeptIndex> indexes;          // without a constraint
    std::vector<KeptStatistics> statistics_objects;
    std::vector<KeptTrigger> triggers;
};

// As JSON text, as the catalogue has it now.
std::string read_shape(const Table &table, const Column &column);
ColumnShape parse_shape(const std::string &json);

// What depends on the column and can't be kept, as people say it: views, policies, triggers, publications, other
// columns' expressions; guards, enforced constraints and other migrations that name it. Empty: nothing. A migration of
// which nothing is in force (it waits, or was taken back) counts only if asked for: on the way down it has nothing to
// lose, and is resolved by name when its turn comes again.
enum class StoredOnly { counts, is_passed_over };
std::vector<std::string> column_dependents(const Table &table, const Column &column, std::int64_t migration,
                                           StoredOnly stored_only = StoredOnly::counts);
// Functions of the table's triggers whose text has the column's name in it: nobody can tell whether they still work
// without it.
std::vector<std::string> suspicious_functions(const Table &table, const Column &column);

// CREATE …, without the name of its tablespace, CONCURRENTLY or not.
std::string index_statement(const KeptIndex &index, bool concurrently);
// ADD CONSTRAINT …: with `fast`, not validated, or over the index that stands there already.
std::string constraint_statement(const KeptConstraint &constraint, bool fast);

} // namespace tenantmig

// What an ALTER TABLE is about to take away from what was enforced or attached: for the event trigger, which asks
// before the statement does anything.
#pragma once
#include "steps/ddl_watch.hpp"

namespace tenantmig {

enum class AlterKind {
    drop_not_null,
    drop_constraint,
    alter_constraint,
    drop_column,
    disable_trigger, // name; all; user: without those of foreign keys
    disable_all,
    disable_user,
    replica_only, // ENABLE REPLICA TRIGGER
    drop_trigger,
};

struct AlterAction {
    AlterKind kind;
    std::string name; // as parsed: no quotes
    bool cascade = false;
};

struct Loosening {
    MigrationRecord migration;
    CatalogueDrift drift; // as catalogue_drift() would find it afterwards
    std::string action;   // DROP NOT NULL …
    std::string name;     // of the column, constraint or trigger as it is called now
};

// Of all migrations. Reads the catalogue only.
std::vector<Loosening> find_loosenings(Oid relation, const std::vector<AlterAction> &actions);
void record_loosening(const Loosening &loosening);

} // namespace tenantmig

#include "core/spec.hpp"

#include "catalog/migration_names.hpp"
#include "engine/target.hpp"

namespace tenantmig {

namespace {
const core::BackfillStep &find_step(const core::Spec &spec, std::int32_t number) {
    for (const auto &step : spec.steps)
        if (step.number == number) return step;
    throw Error(sqlstate::undefined_object,
                fmt::format("step {} of migration \"{}\" does not exist", number, spec.migration), {},
                "The migration was replaced since; restore its spec.");
}
} // namespace

void require_one_owner(const Table &table, const std::string &path) {
    if (table.kind != RELKIND_PARTITIONED_TABLE) return;
    Oid foreign = pg_call([oid = table.oid, owner = table.owner] {
        Oid found = InvalidOid;
        List *members = find_all_inheritors(oid, AccessShareLock, nullptr);
        for (int i = 0; i < list_length(members) && !OidIsValid(found); i++) {
            HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(list_nth_oid(members, i)));
            if (!HeapTupleIsValid(tuple)) continue;
            if (!has_privs_of_role(reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner, owner))
                found = list_nth_oid(members, i);
            ReleaseSysCache(tuple);
        }
        list_free(members);
        return found;
    });
    if (!OidIsValid(foreign)) return;
    std::optional<Table> partition = describe_table(foreign);
    std::string name = partition ? partition->label() : table.label();
    std::string owner = role_name(table.owner);
    throw Error(sqlstate::insufficient_privilege,
                fmt::format("spec: {}: partition {} belongs to another role than its table", path, name),
                fmt::format("Its triggers would run as {}, whose privileges {} does not have.", owner,
                            partition ? role_name(partition->owner) : "its owner"),
                fmt::format("ALTER TABLE {} OWNER TO {};", name, quoted(owner)));
}

StepTarget resolve_target(const core::Spec &spec, const core::BackfillStep &step, NameBook &names) {
    StepTarget target;
    target.step = step.number;
    target.table = names.table(step.table, step.path + ".table");
    require_one_owner(target.table, step.path + ".table");
    target.column = names.column(target.table, step.column, step.path + ".column");
    if (step.soft_delete)
        target.soft_delete = names.column(target.table, *step.soft_delete, step.path + ".soft_delete");
    target.key = row_identity(target.table.oid, nullptr);
    if (target.key.empty())
        throw Error(sqlstate::prerequisite_state,
                    fmt::format("spec: {}.table: {} has no primary key and no unique index over NOT NULL columns",
                                step.path, target.table.label()),
                    "Rows cannot be identified, so a change could not be undone exactly.",
                    fmt::format("Create one: CREATE UNIQUE INDEX CONCURRENTLY ON {} (…) over NOT NULL columns.",
                                target.table.label()));
    for (AttrNumber number : target.key)
        if (number == target.column.number)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}.column: \"{}\" is part of the key that identifies rows", step.path,
                                    target.column.name),
                        {}, "Give the table a primary key without the tenant key first.");
    if (!step.tenants_table.empty()) {
        // Of a step of our own. Whether its key is unique matters to nobody here: the sources lead to the root by what
        // identifies its rows, and a value is known if any row has it.
        target.root = names.table(step.tenants_table, step.path);
        target.root_key = names.column(target.root, step.tenants_key, step.path);
        return target;
    }
    target.root = names.table(spec.tenants_table, "tenants.table");
    if (!spec.tenants_key.empty()) {
        target.root_key = names.column(target.root, spec.tenants_key, "tenants.key");
    } else {
        auto key = row_identity(target.root.oid, nullptr);
        if (key.size() != 1)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: tenants: {} has no primary key of one column", target.root.label()), {},
                        "Name its unique column as tenants.key.");
        target.root_key = target.root.at(key[0]);
    }
    return target;
}

void require_rights_of_creator(const MigrationRecord &migration, const Table &table) {
    if (!OidIsValid(migration.owner_oid) ||
        pg_call([creator = migration.owner_oid, owner = table.owner] { return has_privs_of_role(creator, owner); }))
        return;
    throw Error(sqlstate::insufficient_privilege,
                fmt::format("migration \"{}\" does not extend to table {}", migration.name, table.label()),
                fmt::format("The table it was created for is gone, or was not there yet. This one belongs to {}, whose "
                            "privileges {}, the owner "
                            "of the migration, does not have.",
                            role_name(table.owner), migration.owner),
                "Drop the migration and create it again, as somebody with rights on the table.");
}

StepTarget locate_target(const MigrationRecord &migration, std::int32_t number) {
    MigrationRecord one = migration; // a rekey's backfills are found by their number only
    one.scope = {number};
    core::Spec spec = migration_spec(one);
    MigrationNames names(migration);
    StepTarget target = resolve_target(spec, find_step(spec, number), names.of(number));
    if (names.replaced())
        for (const Table *table : {&target.table, &target.root})
            require_rights_of_creator(migration, *table);
    return target;
}

} // namespace tenantmig

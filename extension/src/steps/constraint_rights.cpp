#include "steps/constraint_rights.hpp"

namespace tenantmig {

std::vector<MissingRight> missing_rights(const ConstraintTarget &target) {
    std::vector<MissingRight> missing;
    auto need_schema = [&](const std::string &schema, Oid owner, AclMode mode, const char *right) {
        const char *name = schema.c_str();
        const bool has = pg_call([name, owner, mode] {
            return pg_namespace_aclcheck(get_namespace_oid(name, false), owner, mode) == ACLCHECK_OK;
        });
        if (has) return;
        missing.push_back(
            {fmt::format("{} has no {} on schema {}", role_name(owner), right, quoted(schema)),
             fmt::format("GRANT {} ON SCHEMA {} TO {};", right, quoted(schema), quoted(role_name(owner)))});
    };
    std::vector<const Table *> tables = {&target.table};
    for (const ConstraintPartition &partition : target.partitions)
        tables.push_back(&partition.table);
    for (const Table *table : tables) {
        const Oid owner = table->owner;
        need_schema(table->schema, owner, ACL_USAGE, "USAGE");
        if (!target.unique.empty() || !target.composite.empty())
            need_schema(table->schema, owner, ACL_CREATE, "CREATE");
        if (!target.referenced) continue;
        const Table &referenced = *target.referenced;
        need_schema(referenced.schema, owner, ACL_USAGE, "USAGE");
        const bool may = pg_call([oid = referenced.oid, number = target.referenced_column.number, owner] {
            return pg_class_aclcheck(oid, owner, ACL_REFERENCES) == ACLCHECK_OK ||
                   pg_attribute_aclcheck(oid, number, owner, ACL_REFERENCES) == ACLCHECK_OK;
        });
        if (may) continue;
        missing.push_back(
            {fmt::format("{}, who owns {}, may not reference {}", role_name(owner), table->label(), referenced.label()),
             fmt::format("GRANT REFERENCES ({}) ON {} TO {};", quoted(target.referenced_column.name),
                         referenced.label(), quoted(role_name(owner)))});
    }
    return missing;
}

} // namespace tenantmig

#include "bridge/identity.hpp"

namespace tenantmig {

namespace {
void set_local(const char *name, const char *value) {
    // PGC_S_SESSION with GUC_ACTION_SAVE: undone by AtEOXact_GUC at our nest level, as for a function's SET clause
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}
} // namespace

RunAs::RunAs(Oid role, Purpose purpose) : saved_user_(InvalidOid), saved_context_(0), guc_level_(0) {
    GetUserIdAndSecContext(&saved_user_, &saved_context_);
    guc_level_ = NewGUCNestLevel();
    try {
        pg_call([purpose] {
            if (purpose == Purpose::write) return;
            set_local("search_path", "pg_catalog, pg_temp");
            set_local("datestyle", "ISO, YMD");
            set_local("intervalstyle", "postgres");
            set_local("timezone", "UTC");
            set_local("extra_float_digits", "1");
            set_local("bytea_output", "hex");
            set_local("synchronize_seqscans", "off");
            set_local("row_security", "off");
        });
    } catch (...) {
        AtEOXact_GUC(false, guc_level_);
        throw;
    }
    SetUserIdAndSecContext(role, saved_context_ | SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE |
                                     SECURITY_NOFORCE_RLS);
}

RunAs::~RunAs() {
    SetUserIdAndSecContext(saved_user_, saved_context_);
    AtEOXact_GUC(false, guc_level_);
}

LockTimeout::LockTimeout() : guc_level_(NewGUCNestLevel()) {
    try {
        pg_call([] {
            if (::LockTimeout == 0) set_local("lock_timeout", "10s");
        });
    } catch (...) {
        AtEOXact_GUC(false, guc_level_);
        throw;
    }
}

LockTimeout::~LockTimeout() {
    AtEOXact_GUC(false, guc_level_);
}

Oid extension_owner() {
    return pg_call([] {
        Relation rel = table_open(ExtensionRelationId, AccessShareLock);
        ScanKeyData key;
        ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("tenantmig"));
        SysScanDesc scan = systable_beginscan(rel, ExtensionNameIndexId, true, nullptr, 1, &key);
        HeapTuple tuple = systable_getnext(scan);
        Oid owner =
            HeapTupleIsValid(tuple) ? reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extowner : InvalidOid;
        systable_endscan(scan);
        table_close(rel, AccessShareLock);
        if (!OidIsValid(owner))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("extension \"tenantmig\" does not exist"),
                            errhint("Run CREATE EXTENSION tenantmig.")));
        return owner;
    });
}

void fire_deferred_as_caller() {
    pg_call([] {
        int result = SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
        if (result != SPI_OK_UTILITY)
            ereport(ERROR, (errcode(MAKE_SQLSTATE('T', 'M', '9', '9', '9')),
                            errmsg("SET CONSTRAINTS failed with %d", result)));
    });
}

std::string role_name(Oid role) {
    const char *name = pg_call([role] { return static_cast<const char *>(GetUserNameFromId(role, true)); });
    return name ? name : "(role that no longer exists)";
}

std::string current_user_name() {
    return role_name(GetUserId());
}

bool has_privileges_of(Oid role) {
    return pg_call([role] { return superuser() || (has_privs_of_role(GetUserId(), role) && !superuser_arg(role)); });
}

} // namespace tenantmig

#include "steps/probe_session.hpp"
#include "catalog/own_tables.hpp"

namespace tenantmig {

namespace {
void set_here(const char *name, const char *value, GucContext context = PGC_USERSET) {
    // GUC_ACTION_LOCAL: undone with the subtransaction
    (void)set_config_option(name, value, context, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}
} // namespace

std::string application_search_path(Oid role) {
    Rows rows = own_query("SELECT substr(c.entry, 13) FROM pg_db_role_setting s, unnest(s.setconfig) AS c (entry) "
                          "WHERE s.setrole IN ($1, 0) AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE "
                          "d.datname = current_database())) AND c.entry LIKE 'search\\_path=%' ORDER BY s.setrole = 0, "
                          "s.setdatabase = 0 LIMIT 1",
                          {{OIDOID, ObjectIdGetDatum(role), false}});
    return rows.empty() ? "\"$user\", public" : rows.text_or(0, 1);
}

void set_in_attempt(const char *name, const char *value) {
    pg_call([name, value] { set_here(name, value); });
}

void triggers_off_in_attempt() {
    pg_call([] { set_here("session_replication_role", "replica", PGC_SUSET); });
}

ApplicationSession::ApplicationSession(const ProbeSession &session, const std::string &search_path,
                                       const char *lock_timeout) {
    if (!session.tenant) absent_.emplace(session.setting);
    const char *setting = session.setting.c_str();
    const char *tenant = session.tenant ? session.tenant->c_str() : nullptr;
    const char *path = search_path.c_str();
    const Oid role = session.role;
    pg_call([=] {
        if (superuser_arg(role)) // user code would run with all rights there are
            ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("nothing is attempted as a superuser")));
        set_here("search_path", path);
        set_here("datestyle", "ISO, YMD");
        set_here("intervalstyle", "postgres");
        set_here("timezone", "UTC");
        set_here("extra_float_digits", "1");
        set_here("bytea_output", "hex");
        set_here("row_security", "on");
        set_here("lock_timeout", lock_timeout);
        set_here("client_min_messages", "error"); // what the tables' triggers say is not for the caller
        set_here("lc_messages", "C", PGC_SUSET);  // no_right() reads them
        set_here("exit_on_error", "off");
        set_here("jit", "off");
        set_here("max_parallel_workers_per_gather", "0"); // see AbsentSetting
        set_here("session_replication_role", "origin", PGC_SUSET);
        if (tenant) set_here(setting, tenant);
        Oid user;
        int context;
        GetUserIdAndSecContext(&user, &context);
        SetUserIdAndSecContext(role, (context & ~SECURITY_NOFORCE_RLS) | SECURITY_RESTRICTED_OPERATION |
                                         SECURITY_LOCAL_USERID_CHANGE);
    });
}

} // namespace tenantmig

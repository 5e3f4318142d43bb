#include "core/excerpt.hpp"

#include "bridge/identity.hpp"
#include "bridge/sql.hpp"
#include "engine/access.hpp"

namespace tenantmig {

namespace {
enum Level : int { viewer = 1, reviewer, full };

struct Right {
    const char *function; // every overload of the name
    Level level;          // the lowest that may call it
};
// grant_access is for nobody: it is the extension's owner who gives access.
constexpr Right rights[] = {
    {"version", viewer},
    {"clock", viewer},
    {"health_rows", viewer},
    {"ddl_watch", viewer},
    {"check_migration", viewer},
    {"spec_checksum", viewer},
    {"spec_difference", viewer},
    {"plan", viewer},
    {"plan_hash", viewer},
    {"preflight", viewer},
    {"verify", viewer},
    {"fingerprint", viewer},
    {"check_guards", viewer},
    {"gate", viewer},
    {"review", viewer},
    {"digest", viewer},
    {"verify_changes", viewer},
    {"report", viewer},
    {"observe", viewer},
    {"lint", viewer},
    {"lint_report", viewer},
    {"benchmark", viewer},
    {"isolation_speed", viewer},
    {"daily_report", viewer},
    {"undo_script", viewer},
    {"unpack", viewer},
    {"row_key", viewer},
    {"resolve", reviewer},
    {"dismiss", reviewer},
    {"import_reviews", reviewer},
    {"approve", reviewer},
    {"revoke_approval", reviewer},
    {"create_migration", full},
    {"drop_migration", full},
    {"replace_migration", full},
    {"up", full},
    {"down", full},
    {"step_rows", viewer},
    {"migration_report", viewer},
    {"backfill", full},
    {"rollback", full},
    {"set_pace", full},
    {"run", full},
    {"start", full},
    {"resume", full},
    {"pause", full},
    {"cancel", full},
    {"wait", full},
    {"undo", full},
    {"register_backup", full},
    {"prove", full},
    {"enforce", full},
    {"relax", full},
    {"attach_guard", full},
    {"detach_guard", full},
    {"purge", full},
    {"accept_tables", full},
    {"maintenance", full},
    {"probe_isolation", full}, // it acts as the application, locks rows and fires triggers, if only to undo it
    {"written_tables", viewer},
    {"isolate", full},
    {"isolation_criteria", viewer},
};

int level_number(const std::string &level) {
    if (level == "viewer") return viewer;
    if (level == "reviewer") return reviewer;
    if (level == "operator") return full;
    throw Error(
        sqlstate::invalid_parameter_value, fmt::format("{} is not a level of access", core::excerpt(level)), {},
        "Levels are viewer (reads), reviewer (also decides reviews) and operator (everything but grant_access).");
}

// The signatures of a function's overloads, as GRANT wants them.
std::vector<std::string> signatures(const char *function) {
    Rows rows = run_query("SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
                          "WHERE n.nspname = 'tenantmig' AND p.proname = $1 ORDER BY p.oid",
                          {text_value(function)});
    std::vector<std::string> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back(rows.text_or(i, 1));
    if (result.empty())
        throw Error(sqlstate::undefined_object, fmt::format("function tenantmig.{} does not exist", function), {},
                    "The library is newer than the extension: ALTER EXTENSION tenantmig UPDATE.");
    return result;
}

std::vector<std::string> views() {
    Rows rows = run_query("SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                          "WHERE n.nspname = 'tenantmig' AND c.relkind = 'v' ORDER BY c.relname");
    std::vector<std::string> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back(rows.text_or(i, 1));
    return result;
}
} // namespace

void grant_access_level(const std::string &role, const std::string &level) {
    Oid owner = extension_owner();
    bool may = pg_call([owner] { return superuser() || has_privs_of_role(GetUserId(), owner); });
    if (!may)
        throw Error(sqlstate::insufficient_privilege, "permission denied to give access to tenantmig",
                    fmt::format("The extension belongs to {}; the current user is {}.", core::excerpt(role_name(owner)),
                                core::excerpt(current_user_name())),
                    "Ask a superuser or a member of the role that owns the extension.");
    int wanted = level_number(level);
    if (role == "public")
        throw Error(sqlstate::invalid_parameter_value, "access is not given to everybody",
                    "public is not a role but every role there is.",
                    "Name the roles that work with tenantmig, one call each.");
    const char *name = role.c_str();
    if (!OidIsValid(pg_call([name] { return get_role_oid(name, true); })))
        throw Error(sqlstate::undefined_object, fmt::format("role {} does not exist", core::excerpt(role)), {},
                    "CREATE ROLE it first, or check the name: it is taken as written.");

    RunAs self(owner, Purpose::read);
    std::string grantee = quoted(role);
    run_query(fmt::format("GRANT USAGE ON SCHEMA tenantmig TO {}", grantee));
    for (const std::string &view : views())
        run_query(fmt::format("GRANT SELECT ON {} TO {}", view, grantee));
    for (const Right &right : rights)
        for (const std::string &signature : signatures(right.function))
            run_query(right.level <= wanted ? fmt::format("GRANT EXECUTE ON ROUTINE {} TO {}", signature, grantee)
                                            : fmt::format("REVOKE EXECUTE ON ROUTINE {} FROM {}", signature, grantee));
}

} // namespace tenantmig

// Rights and roles that policies do not reach: TRUNCATE, owners, BYPASSRLS, sequences, what will be granted by default,
// and settings that are there before anybody set them.
#include "core/undo_text.hpp"

#include "catalog/own_tables.hpp"
#include "steps/lint_isolation.hpp"

#include <cctype>

namespace tenantmig {

namespace {
const std::set<std::string> past_policies = {"TRUNCATE", "REFERENCES", "TRIGGER"};

std::string joined(const std::set<std::string> &words) {
    return fmt::format("{}", fmt::join(words, ", "));
}

void check_grants(Lint &lint, const IsolationModel &model, const SecuredTable &table) {
    if (!table.row_security && !table.child) return; // table_not_isolated: there is nothing to pass
    if (table.child && !table.row_security && !model.find(table.table->oid)->row_security) return;
    for (const auto &[grantee, privileges] : model.granted(model.rights(table.oid), past_policies)) {
        std::vector<std::string> why;
        if (privileges.contains("TRUNCATE")) why.emplace_back("TRUNCATE empties it for all tenants");
        if (privileges.contains("REFERENCES")) why.emplace_back("a foreign key of one's own tells which keys exist");
        if (privileges.contains("TRIGGER")) why.emplace_back("a trigger of one's own gets the rows that others write");
        lint.add(Severity::error, "grants_bypass", table.label() + "." + model.role(grantee),
                 fmt::format("{} has {} on it, which policies do not restrict: {}.", model.role(grantee),
                             joined(privileges), fmt::join(why, "; ")),
                 fmt::format("REVOKE {} ON {} FROM {};", joined(privileges), table.label(), model.role(grantee)));
    }
}

void check_owner(Lint &lint, const IsolationModel &model, const SecuredTable &table) {
    if (!table.row_security || !model.application.contains(table.owner)) return;
    lint.add(Severity::error, "application_role_owns", table.label(),
             fmt::format("{} is a role of the application and owns it: {} switch row-level security off.",
                         model.role(table.owner),
                         table.forced ? "it is held to the policies, and may" : "it passes the policies, and may"),
             fmt::format("ALTER TABLE {} OWNER TO …; -- a role that the application is not", table.label()));
}

bool bypassing(const LintRole &role) {
    return role.superuser || role.bypasses;
}

// Roles of the application, and those that log in and have its rights.
void check_roles(Lint &lint, const IsolationModel &model) {
    // roles of PostgreSQL that lead past policies, or to the rights of a superuser
    static constexpr std::pair<std::string_view, const char *> ladders[] = {
        {"pg_execute_server_program", "and so runs programs on the server"},
        {"pg_read_server_files", "and so reaches the server's files"},
        {"pg_write_server_files", "and so reaches the server's files"},
        {"pg_read_all_data", "and so reads statistics, materialised views and all that is under no policy"},
        {"pg_write_all_data", "and so changes all that is under no policy"}};
    for (Oid role : model.application) {
        const LintRole &self = model.roles.at(role);
        const std::string name = model.role(role);
        if (bypassing(self)) {
            lint.add(Severity::error, "role_bypasses_row_security", name,
                     fmt::format("{} is a role of the application and {}: no policy holds for it.", name,
                                 self.superuser ? "a superuser" : "has BYPASSRLS"),
                     fmt::format("ALTER ROLE {} {};", name, self.superuser ? "NOSUPERUSER" : "NOBYPASSRLS"));
            continue;
        }
        std::vector<std::string> ways, remedies;
        std::map<Oid, int> owned;
        for (const SecuredTable &table : model.tables)
            if (table.row_security) owned[table.owner]++;
        for (const auto &[oid, other] : model.roles) {
            if (oid == role || !model.can_become(role, oid)) continue;
            const auto *ladder = std::find_if(std::begin(ladders), std::end(ladders),
                                              [&](const auto &one) { return one.first == other.name; });
            const int tables = owned.contains(oid) ? owned.at(oid) : 0;
            if (!bypassing(other) && !model.super_roles.contains(oid) && ladder == std::end(ladders) && !tables)
                continue;
            ways.push_back(fmt::format("it is a member of {}, {}", model.role(oid),
                                       other.superuser               ? "a superuser"
                                       : other.bypasses              ? "which has BYPASSRLS"
                                       : ladder != std::end(ladders) ? ladder->second
                                       : tables ? fmt::format("which owns {} of the tables", tables)
                                                : "which sees all tenants"));
            if (const std::string leave = model.leave(role, oid);
                std::find(remedies.begin(), remedies.end(), leave) == remedies.end())
                remedies.push_back(leave);
        }
        if (self.replicates) {
            ways.emplace_back("it has REPLICATION, and may copy the whole server");
            remedies.push_back(fmt::format("ALTER ROLE {} NOREPLICATION;", name));
        }
        if (self.creates_roles && pg_call([] { return GetConfigOptionByName("server_version_num", nullptr, false); }) <
                                      std::string_view("160000")) {
            ways.emplace_back("it has CREATEROLE, and makes itself a member of any role");
            remedies.push_back(fmt::format("ALTER ROLE {} NOCREATEROLE;", name));
        }
        if (!ways.empty())
            lint.add(Severity::error, "role_can_bypass", name,
                     fmt::format("{} can pass all policies: {}.", name, fmt::join(ways, "; ")),
                     fmt::format("{}", fmt::join(remedies, " ")));
    }
    for (const auto &[oid, role] : model.roles) {
        if (!role.login || !bypassing(role) || oid == BOOTSTRAP_SUPERUSERID || model.application.contains(oid) ||
            model.super_roles.contains(oid))
            continue;
        std::set<std::string> reached;
        for (const SecuredTable &table : model.tables) {
            if (!table.row_security || table.owner == oid) continue;
            for (const auto &[grantee, privileges] : model.rights(table.oid))
                if (grantee == oid || model.can_become(oid, grantee)) reached.insert(table.label());
        }
        if (reached.empty()) continue;
        lint.add(Severity::warning, "role_bypasses_row_security", model.role(oid),
                 fmt::format("{} logs in, {}, and has been granted rights on {}: it sees all tenants there.",
                             model.role(oid), role.superuser ? "is a superuser" : "has BYPASSRLS",
                             reached.size() == 1 ? *reached.begin() : fmt::format("{} tables", reached.size())),
                 fmt::format("ALTER ROLE {} {}; -- unless it is meant to", model.role(oid),
                             role.superuser ? "NOSUPERUSER" : "NOBYPASSRLS"));
    }
}

// Sequences that fill columns of the tables: owned by a column (serial, identity), or in its default.
void check_sequences(Lint &lint, const IsolationModel &model) {
    Rows rows = own_query(
        "SELECT DISTINCT t.oid::bigint, s.oid::bigint, format('%I.%I', n.nspname, s.relname) FROM pg_class t JOIN "
        "(SELECT d.refobjid AS t, d.objid AS s FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND "
        "d.refclassid "
        "= 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 UNION SELECT f.adrelid, d.refobjid "
        "FROM pg_attrdef f JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid "
        "= 'pg_class'::regclass) x ON x.t = t.oid JOIN pg_class s ON s.oid = x.s AND s.relkind = 'S' JOIN pg_namespace "
        "n ON n.oid = s.relnamespace ORDER BY 3, 1");
    for (std::size_t i = 0; i < rows.size(); i++) {
        const SecuredTable *table = model.find(static_cast<Oid>(rows.bigint(i, 1)));
        if (!table || !table->row_security || table->keys.empty()) continue;
        const std::string sequence = rows.text_or(i, 3);
        for (const auto &[grantee, privileges] :
             model.granted(model.rights(static_cast<Oid>(rows.bigint(i, 2))), {"SELECT", "UPDATE"})) {
            std::vector<std::string> why;
            if (privileges.contains("SELECT")) why.emplace_back("SELECT tells how many rows all tenants have made");
            if (privileges.contains("UPDATE")) why.emplace_back("UPDATE sets it, and inserts of all tenants fail");
            lint.add(Severity::warning, "sequence_rights", fmt::format("{}.{}", sequence, model.role(grantee)),
                     fmt::format("{} has {} on the sequence of {}: {}. USAGE is enough for inserts.",
                                 model.role(grantee), joined(privileges), table->label(), fmt::join(why, "; ")),
                     fmt::format("REVOKE {0} ON SEQUENCE {1} FROM {2}; GRANT USAGE ON SEQUENCE {1} TO {2};",
                                 joined(privileges), sequence, model.role(grantee)));
        }
    }
}

void check_default_privileges(Lint &lint, const IsolationModel &model) {
    std::set<std::string> schemas;
    for (const SecuredTable &table : model.tables)
        if (table.row_security) schemas.insert(table.schema);
    Rows rows = own_query(
        "SELECT d.defaclrole::bigint, n.nspname, a.grantee::bigint, array_agg(DISTINCT a.privilege_type::text), "
        "d.defaclobjtype FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace CROSS JOIN "
        "LATERAL "
        "aclexplode(d.defaclacl) a WHERE d.defaclobjtype IN ('r', 'S') AND a.grantee <> d.defaclrole GROUP BY "
        "d.defaclrole, n.nspname, a.grantee, d.defaclobjtype ORDER BY d.defaclobjtype DESC, 2, 1, 3");
    for (std::size_t i = 0; i < rows.size(); i++) {
        const bool everywhere = rows.is_null(i, 2), tables = rows.text_or(i, 5) == "r";
        const std::string schema = rows.text_or(i, 2);
        if (!everywhere && !schemas.contains(schema)) continue;
        const Oid creator = static_cast<Oid>(rows.bigint(i, 1)), grantee = static_cast<Oid>(rows.bigint(i, 3));
        IsolationModel::Rights rights;
        for (const std::string &privilege : rows.text_array(i, 4))
            rights[grantee].insert(privilege);
        const auto bad = model.granted(rights, tables ? past_policies : std::set<std::string>{"SELECT", "UPDATE"});
        if (bad.empty()) continue;
        const std::string privileges = joined(bad.begin()->second), kind = tables ? "TABLES" : "SEQUENCES";
        lint.add(Severity::warning, "default_privileges",
                 fmt::format("{}.{}.{}.{}", everywhere ? "*" : quoted(schema), model.role(creator), model.role(grantee),
                             tables ? "tables" : "sequences"),
                 fmt::format("Whatever {} {} {}creates from now on comes with {} for {}.",
                             tables ? "table" : "sequence", model.role(creator),
                             everywhere ? "" : fmt::format("(in schema {}) ", quoted(schema)), privileges,
                             model.role(grantee)),
                 fmt::format("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} REVOKE {} ON {} FROM {};", model.role(creator),
                             everywhere ? "" : fmt::format(" IN SCHEMA {}", quoted(schema)), privileges, kind,
                             model.role(grantee)));
    }
}

// Where values of all tenants' rows stand beside the tables: the change log and the queue of reviews, and statistics.
void check_copies(Lint &lint, const IsolationModel &model) {
    Rows rows =
        own_query("SELECT n.nspname = 'tenantmig', format('%I.%I', n.nspname, c.relname), a.grantee::bigint FROM "
                  "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL "
                  "aclexplode(c.relacl) a WHERE c.oid IN ('tenantmig.changes'::regclass, "
                  "'pg_statistic'::regclass, 'pg_statistic_ext_data'::regclass) AND a.privilege_type = 'SELECT' "
                  "AND a.grantee <> c.relowner ORDER BY 1, 2, 3");
    for (std::size_t i = 0; i < rows.size(); i++) {
        const bool ours = rows.boolean(i, 1);
        const std::string relation = rows.text_or(i, 2);
        IsolationModel::Rights rights;
        rights[static_cast<Oid>(rows.bigint(i, 3))].insert("SELECT");
        for (const auto &[grantee, privileges] : model.granted(rights, {"SELECT"})) {
            const std::string object = fmt::format("{}.{}", relation, model.role(grantee));
            lint.add(
                Severity::error, ours ? "change_log_readable" : "statistics_readable", object,
                ours ? fmt::format("{} has access to tenantmig: its change log and its reviews hold keys and values "
                                   "of all tenants.",
                                   model.role(grantee))
                     : fmt::format("{} may read {}: it holds the most common values of every column, of all "
                                   "tenants.",
                                   model.role(grantee), relation),
                ours ? fmt::format("REVOKE ALL ON ALL TABLES IN SCHEMA tenantmig FROM {0}; REVOKE ALL ON ALL "
                                   "ROUTINES IN SCHEMA tenantmig FROM {0}; REVOKE ALL ON SCHEMA tenantmig FROM {0};",
                                   model.role(grantee))
                     : fmt::format("REVOKE SELECT ON {} FROM {};", relation, model.role(grantee)));
        }
    }
}

// Values of dropped columns and ids of a rekey: tables of their own beside the others, with no policy on them.
void check_kept(Lint &lint, const IsolationModel &model) {
    std::set<std::string> schemas;
    for (const SecuredTable &table : model.tables)
        schemas.insert(table.schema);
    for (const auto &[oid, table] : lint.model.tables) {
        if (!table.by_step || !schemas.contains(table.schema)) continue;
        const auto readers = model.granted(model.rights(oid), {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"});
        if (!readers.empty())
            lint.add(Severity::error, "kept_table_readable", table.label(),
                     fmt::format("A step of a migration has made it, with values of all tenants and no policy, and {} "
                                 "has rights on it.",
                                 model.names(readers)),
                     fmt::format("REVOKE ALL ON {} FROM {};", table.label(), model.names(readers)));
    }
}

// A session has a tenant before it said which.
void check_presets(Lint &lint, const IsolationModel &model) {
    std::vector<std::string> settings; // their names are of any case; PostgreSQL's own are preset for other reasons
    for (std::string name : model.settings) {
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (name.find('.') != std::string::npos) settings.push_back(std::move(name));
    }
    if (settings.empty()) return;
    Rows rows = own_query(
        "SELECT d.datname, r.rolname, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1) FROM pg_db_role_setting s "
        "LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole CROSS JOIN LATERAL "
        "unnest(s.setconfig) c WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND lower(split_part(c, "
        "'=', 1)) = "
        "ANY ($1) AND substr(c, strpos(c, '=') + 1) <> '' ORDER BY 3, 1, 2",
        {text_array_value(settings)});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const bool of_role = !rows.is_null(i, 2), of_database = !rows.is_null(i, 1);
        const std::string setting = rows.text_or(i, 3);
        const std::string role = quoted(rows.text_or(i, 2)), database = quoted(rows.text_or(i, 1));
        std::string where = of_role ? "role " + role : of_database ? "database " + database : "all roles";
        if (of_role && of_database) where += fmt::format(" in database {}", database);
        const std::string command =
            of_role       ? fmt::format("ALTER ROLE {}{} RESET {};", role,
                                  of_database ? fmt::format(" IN DATABASE {}", database) : "", setting)
            : of_database ? fmt::format("ALTER DATABASE {} RESET {};", database, setting)
                          : fmt::format("ALTER ROLE ALL RESET {};", setting);
        bool others = of_role; // a role that logs in for one tenant only may be meant so
        for (Oid oid : model.application)
            others = others && model.roles.at(oid).name != rows.text_or(i, 2);
        lint.add(others ? Severity::warning : Severity::error, "tenant_setting_preset",
                 fmt::format("{}.{}.{}", of_database ? database : "*", of_role ? role : "*", setting),
                 fmt::format("{} is preset to {} for {}: a session that forgot to say which tenant it is of sees that "
                             "one's rows.",
                             setting, core::sql_literal(rows.text_or(i, 4)), where),
                 command);
    }
    Rows server = own_query("SELECT name, source FROM pg_settings WHERE lower(name) = ANY ($1) AND reset_val <> '' AND "
                            "source IN ('configuration "
                            "file', 'command line', 'environment variable', 'global') ORDER BY 1",
                            {text_array_value(settings)});
    for (std::size_t i = 0; i < server.size(); i++)
        lint.add(Severity::error, "tenant_setting_preset", fmt::format("*.*.{}", server.text_or(i, 1)),
                 fmt::format("{} is preset for the whole server ({}): a session that forgot to say which tenant it is "
                             "of sees that one's rows.",
                             server.text_or(i, 1), server.text_or(i, 2)),
                 fmt::format("-- take {} out of the server's configuration", server.text_or(i, 1)));
}
} // namespace

void lint_rights(Lint &lint, const IsolationModel &model) {
    for (const SecuredTable &table : model.tables) {
        check_grants(lint, model, table);
        check_owner(lint, model, table);
    }
    check_roles(lint, model);
    check_sequences(lint, model);
    check_default_privileges(lint, model);
    check_copies(lint, model);
    check_kept(lint, model);
    check_presets(lint, model);
}

} // namespace tenantmig

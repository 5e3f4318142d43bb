// What a call of probe_isolation() is about: resolved from its arguments, the catalogue and the migration's spec.
#pragma once
#include "steps/probe.hpp"

namespace tenantmig {

struct ProbeScope {
    struct Role {
        Oid oid = InvalidOid;
        std::string name; // not quoted
    };
    std::vector<Role> roles;        // one after the other
    std::vector<ProbeTable> tables; // by schema and name
    struct Missing {                // isolated, as the catalogue of the extension says, and not to be found
        std::string relation;
        bool dropped = false; // else it may have another name in this copy of the database
        std::vector<std::string> roles;
    };
    std::vector<Missing> missing;
    std::map<Oid, std::vector<std::string>> roles_of;         // of a table: those that its policies are for; empty: all
    std::map<std::string, std::string, std::less<>> exempted; // keys of findings, and the reasons
};

// Errors: 42704 (migration, role), 42P01, 42703 (no tenant key), 42809 (not a table), 42501 (the caller has not the
// privileges of a role or of an owner), 22023, 55000 (nothing is isolated), 42602, 42622.
ProbeScope resolve_probe(const ProbeOptions &options);

} // namespace tenantmig

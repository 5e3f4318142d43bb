// What the catalogue says of the application role: which roles it can be, which rights get around policies, which
// functions run above them. Nothing of that is executed.
#pragma once
#include "steps/probe_reach.hpp"

namespace tenantmig {

// A role that the application role is, or can become.
struct ReachedRole {
    Oid oid = InvalidOid;
    std::string name, how; // how: "" itself, "member of x", "SET ROLE x", "ADMIN OPTION on x"
    bool itself = false, super = false, bypass = false, create_role = false, replication = false;
};
std::vector<ReachedRole> reached_roles(const Probe &probe);

// Whether policies hold for a role on a table.
enum class Standing { under, other, above, unknown }; // other: not the application's policies; unknown: not to be told

class RoleStandings {
public:
    explicit RoleStandings(const Probe &probe);
    Standing of(Oid role, const ProbeTable &table);

private:
    struct Flags {
        bool super = false;          // or BYPASSRLS
        std::set<Oid> owns;          // tables whose policies are not forced on it
        std::set<Oid> super_role_of; // tables that it sees all rows of
    };
    const Probe &probe_;
    std::map<Oid, Flags> flags_;
    std::map<std::pair<Oid, Oid>, Standing> known_;
    const Flags &flags(Oid role);
};

void probe_roles(Probe &probe, const std::vector<ReachedRole> &roles);
void probe_functions(Probe &probe, const ProbeFamily &family);

} // namespace tenantmig

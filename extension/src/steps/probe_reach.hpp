// What belongs to the probed tables: partitions, inheritance children, tables above, views; and what of it the
// policies reach when the application role asks.
#pragma once
#include "bridge/relations_read.hpp"
#include "steps/probe.hpp"

namespace tenantmig {

struct FamilyMember {
    Oid oid = InvalidOid;
    std::string schema, name;
    char kind = 'r';
    bool partition = false;         // of a partitioned table
    bool above = false;             // a table that a probed one is a partition or a child of
    const ProbeTable *of = nullptr; // the probed table that it belongs to; itself, if it is probed
    bool may_read = false, may_insert = false, may_update = false, may_delete = false; // the application role

    std::string label() const { return qualified(schema, name); }
    std::string target() const { return (kind == RELKIND_RELATION ? "ONLY " : "") + label(); }
};

// All tables that hold rows of the probed ones, or through which such rows are read; by OID.
using ProbeFamily = std::map<Oid, FamilyMember>;
ProbeFamily read_family(const Probe &probe);

struct Uses {
    std::string problem; // why PostgreSQL does not say; empty: it does
    std::vector<RelationUse> all;
};

// relations_used() as the application role.
Uses uses_of(const Probe &probe, const ProbeTable &table, const std::string &sql);
// ... as another role, whose privileges the caller must have.
Uses uses_as(const Probe &probe, const ProbeTable &table, Oid role, const std::string &sql);

// Which policies hold when the role reads these tables directly; remembered.
class DirectConditions {
public:
    explicit DirectConditions(const Probe &probe) : probe_(probe) {}
    const std::string &of(const FamilyMember &member);

private:
    const Probe &probe_;
    std::map<Oid, std::string> known_;
};

// What a write that the role may do goes past: one of INSERT, UPDATE, DELETE on a table or view.
struct WriteVerdict {
    const char *status = "PASS"; // or FAIL, SKIP
    std::string seen;
    Oid relation = InvalidOid; // the table of the family that would be written
};
std::string write_attack(const char *attack, std::string_view command); // view_insert
// `columns`: those that may be updated.
WriteVerdict judge_write(const Probe &probe, const ProbeTable &table, const ProbeFamily &family, const char *command,
                         const std::string &label, const std::vector<std::string> &columns);

std::vector<std::string> oid_texts(const ProbeFamily &family);

// SQL to paste. What takes these privileges from the role: a REVOKE from itself or PUBLIC, else of the membership that
// gives them. `what`: "SEQUENCE public.ids", or a table's label.
std::string take_back(const Probe &probe, Oid relation, const std::string &what,
                      const std::vector<std::string> &privileges);
// ... what makes policies hold for a table of the family; `command`: r, a, w, d.
std::string member_remedy(const Probe &probe, const FamilyMember &member, char command);

void probe_views(Probe &probe, const ProbeFamily &family);
void probe_family(Probe &probe, const ProbeFamily &family); // partitions, children, tables above
void probe_sequences(Probe &probe);
void probe_statistics(Probe &probe, const ProbeFamily &family);

} // namespace tenantmig

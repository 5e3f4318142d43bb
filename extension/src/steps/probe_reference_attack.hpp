// Attacks through one foreign key: what the two kinds of them share.
#pragma once
#include "steps/probe_keys.hpp"

namespace tenantmig {

struct Reference {
    Oid from = InvalidOid, to = InvalidOid;
    std::string name;
    std::vector<AttrNumber> from_columns, to_columns;
    char on_delete = 'a', on_update = 'a';
    bool child_row_security = false;
    bool deferrable = false;
    std::set<std::string> names; // that an error may name: partitions have their own
};

class ReferenceAttack {
public:
    ReferenceAttack(Probe &probe, const AttackTable &from, const AttackTable &to, const Reference &reference,
                    const std::vector<Reference> &all);

protected:
    Probe &probe_;
    const AttackTable &from_, &to_;
    const ProbeTable &to_of_;
    const Reference &reference_;
    std::vector<std::pair<AttrNumber, AttrNumber>> columns_; // without the tenant key that leads to the tenant key
    bool composite_ = false;
    const Reference *sibling_ = nullptr; // the same columns once more, with the tenant key here or there

    // The tenant's own row is no secret of others: a key of the tenant root, or of a table with a row a tenant.
    bool harmless() const { return columns_.empty() || to_.identity == std::vector{to_of_.key.number}; }
    // The table that refers is under policies, and nobody said which column its tenant key is.
    bool unknown_child() const { return !from_.probed && reference_.child_row_security; }
    bool may_write() const; // the referring columns, in one way or another

    void add(const char *attack, const ProbePair *pair, const std::string &expected, const std::string &seen,
             const char *status) const;
    void skip(const char *attack, const std::string &expected, const std::string &reason) const {
        add(attack, nullptr, expected, "not tried: " + reason, "SKIP");
    }
    ProbeSession session(const std::string &tenant) const {
        return probe_.session(from_.probed ? *from_.probed : to_of_, tenant);
    }
    // A row of the table that refers, of this tenant if it has one there; else of anybody, for a copy.
    std::optional<SampleRow> template_row(const std::string &tenant, bool *own) const;
    // What the referring columns would hold if they led to a row of that tenant. With a composite key: none that a row
    // of the attacker has as well.
    std::optional<RowValues> reference_to(const std::string &tenant, const std::string &other) const;
    std::optional<AttackStatement> statement(bool update, const SampleRow &row, const RowValues &reference,
                                             const std::string &tenant) const;

private:
    std::string remedy() const;
};

// Locked, too slow; or the attempt failed for want of some right that has nothing to do with the foreign key.
inline bool undecided(const Attempt &attempt) {
    return attempt.undecided() || attempt.no_right();
}

// Rows of other tenants that refer to one's own: they keep it from going, or go with it.
void probe_deletions(Probe &probe, const AttackTable &from, const AttackTable &to, const Reference &reference,
                     const std::vector<Reference> &all);

} // namespace tenantmig

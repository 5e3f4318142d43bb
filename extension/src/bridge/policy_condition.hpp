// What the condition of a policy lets through: read from its node tree, never from its text. How expensive it is stands
// in policy_facts.hpp.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

struct PolicyCondition {
    bool always = false;    // TRUE, as it stands
    bool names_key = false; // the tenant key occurs, in a subquery too
    // Every row that it lets through has been compared with something by its tenant key: each arm of an OR holds an
    // equality of the key, or the key goes into a subquery or a function of the user's, which are taken at their word.
    bool confined = false;
    std::string open_part; // the first arm of an OR that is not confined, beside others that are
    // It holds for every row that has a tenant, or for every one that has none, while settings are unset / empty.
    bool open_unset = false, open_empty = false;
    bool fails_unset = false, fails_empty = false; // it is an error then
    bool key_wrapped = false;          // compares an expression over the key: an index over the key is of no use
    bool leaky = false;                // an operator that compares the key is not leakproof
    std::vector<std::string> settings; // whose names stand in it as constants
    std::vector<Oid> functions;        // of users, called anywhere in it
};

// `tree`: pg_policy.polqual or polwithcheck; `keys`: columns of the relation that name the tenant.
PolicyCondition policy_condition(Oid relation, const std::string &tree, const std::vector<AttrNumber> &keys);

// Whether two trees are the same expression, wherever it was written.
bool same_condition(const std::string &a, const std::string &b);

// Whether a row filter of a publication (or another condition over one relation) is confined likewise.
bool tree_confined(Oid relation, const std::string &tree, const std::vector<AttrNumber> &keys);

} // namespace tenantmig

// Unique keys: what there is, and how one is made over an index that was built concurrently. For constraint steps
// (unique, composite) and isolate steps (composite_keys).
#pragma once
#include "steps/constraint_change.hpp"

namespace tenantmig {

struct UniqueKey {
    std::string name; // of its constraint, else its own
    bool constrained = false, part_of_another = false;
    std::string definition; // without its name, as the watch on the catalogue compares it
};

// What keeps exactly these columns unique, in any order; one with a constraint rather than one without. Only what a
// foreign key could refer to: valid, immediate, without condition or expression.
std::optional<UniqueKey> find_unique_key(const Table &table, const std::vector<std::string> &columns);

std::string quoted_list(const std::vector<std::string> &columns);
std::string joined_list(const std::vector<std::string> &columns); // a_b, for names

// Within a transaction that holds ACCESS EXCLUSIVE on the table, and on its partitions.
void constrain_over_index(const Table &table, const std::string &constraint, const std::string &index);
// The partitions' constraints are attached: nothing is built if all of them have one.
void constrain_over_partitions(const Table &table, const std::string &constraint,
                               const std::vector<std::string> &columns);

} // namespace tenantmig

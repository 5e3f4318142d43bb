// An index of a partitioned table without a long lock: a frame of it on each partitioned table, one index per partition
// built concurrently, and the frames attach them. What stands half built after a kill is gone on with. Shared by the
// steps index and isolate.
#pragma once
#include "steps/constraint_index.hpp"

namespace tenantmig {

struct TreeIndexWork {
    // CREATE INDEX of this name; on the table alone (ON ONLY, a frame) or concurrently.
    std::function<std::string(const Table &table, const std::string &name, bool frame)> statement;
    // The name of the index of one partition. Has to be remembered, durably, before it is told.
    std::function<std::string(const Table &part)> part_name;
};

// All partitions are looked at again until the index of the whole is valid. False: it was already. 42P07 (a name is
// taken), TM009 (partitions come in again and again), and what ensure_index() reports.
bool build_tree_index(const Table &table, const std::string &name, const TreeIndexWork &work,
                      ConstraintChanger &changer);

// PostgreSQL has no concurrent way for these: one short lock over all partitions. Parts that were not attached yet go
// one by one; `part_name`: as remembered, empty: none was. False: nothing stood there.
bool drop_tree_index(const Table &table, const std::string &name,
                     const std::function<std::string(const Table &part)> &part_name, ConstraintChanger &changer);

} // namespace tenantmig

// One row by its key, as foreign keys look: with the newest snapshot, own changes of the transaction included, whatever
// its isolation level, and all of the rows whatever row security says. Through a btree index, with no plan and no SPI
// connection, where only built-in operators on built-in types are needed, so that it doesn't matter who the user is;
// otherwise by a kept plan as the table's owner.
//
// What a statement has found is remembered as long as it can't be another: a row that is locked until the transaction
// has ended or changed it itself; one that isn't, until any transaction ends (xactCompletionCount). Neither if this
// transaction writes to the table (it would hold ROW EXCLUSIVE), nor across commands.
#pragma once
#include "guards/guard_statement.hpp"

namespace tenantmig {

struct FoundRow {
    bool own = false; // may have been written by this transaction
};

// Looks for the row whose keys are `parameters` (of the types lookup->parameters); results and nulls are in the current
// memory context. With `locked` the row is locked as lookup->lock says, in its newest version: 40001 in an isolation
// level with one snapshot if another transaction has changed it meanwhile. Needs lookup->problem to be NULL.
bool look_up(GuardStatement *statement, GuardLookup *lookup, Datum *parameters, Datum *results, bool *nulls,
             bool locked, FoundRow *found = nullptr);

// Runs the plan of a lookup, if it has one, with the newest snapshot; `null_flags` as SPI has them.
bool look_up_plan(const GuardLookup *lookup, Datum *parameters, const char *null_flags, Datum *results, bool *nulls);

// Takes the lock of a key that has no row (yet), so that whoever adds the row and whoever points at it see each other.
// It is an object lock of ours, kept until the transaction ends.
void lock_missing_key(Oid table, const Oid *types, const Datum *keys, int count, bool adds_row);

} // namespace tenantmig

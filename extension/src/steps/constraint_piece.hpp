// One piece of a constraint step: NOT NULL, a foreign key, … How it is prepared without stopping anybody, put into
// force by a change of the catalogue, and taken back.
//
//   examine    what stands there, what it will be called            (reads only)
//   prepare    added NOT VALID, or the index built: no new bad row from here on
//   validate   VALIDATE CONSTRAINT, under SHARE UPDATE EXCLUSIVE
//   publish    one short transaction; from here on it is enforced, and so is its row
//
// Until it is published all that exists of it stands in the row's helpers, and clean_up() has it gone. What is
// published is taken back by prepare_withdrawal() and withdraw(), which is one short transaction, too.
#pragma once
#include "catalog/enforcement_store.hpp"
#include "engine/constraint_target.hpp"
#include "steps/constraint_change.hpp"

namespace tenantmig {

struct ConstraintPiece {
    const ConstraintTarget *target = nullptr;
    EnforcementRecord row;
};

// The pieces that the step asks for: kind and place filled in.
std::vector<ConstraintPiece> pieces_of(const ConstraintTarget &target, std::int64_t migration);
// Sets before, name and definition. `taken`: names that other pieces are going to have. 0A000.
void examine_piece(ConstraintPiece &piece, std::set<std::string> &taken);
void prepare_piece(ConstraintPiece &piece, ConstraintChanger &changer);
void validate_piece(ConstraintPiece &piece, ConstraintChanger &changer);
void publish_piece(ConstraintPiece &piece, ConstraintChanger &changer);

// Whether what the row says is in force really stands in the catalogue.
bool stands(const EnforcementRecord &row);

// Of a published piece. `final_state`: relaxed or removed.
void prepare_withdrawal(EnforcementRecord &row, ConstraintChanger &changer);
void withdraw(EnforcementRecord &row, ConstraintChanger &changer, const char *final_state, const std::string &error);
// Removes the helpers, and sets the state.
void clean_up(EnforcementRecord &row, ConstraintChanger &changer, const char *final_state, const std::string &error);

} // namespace tenantmig

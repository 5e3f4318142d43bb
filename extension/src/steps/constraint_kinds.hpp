// The kinds of pieces; see constraint_piece.hpp. For the files constraint_*.cpp.
#pragma once
#include "steps/constraint_piece.hpp"

namespace tenantmig {

// The tables that hold rows: the table, or its lowest partitions.
std::vector<Table> leaves(const ConstraintTarget &target);
// Table and all partitions, as they are now. Takes ACCESS SHARE.
std::vector<Table> tree_of(const Table &table);
// A name that no constraint on these tables has, nor any relation of their schemas; it is put into `taken`.
std::string choose_name(const std::vector<Table> &tables, const std::string &columns, const std::string &label,
                        std::set<std::string> *taken);
// A statement as the table's owner, within a transaction of ConstraintChanger.
void add_helper(EnforcementRecord &row, const Helper &helper);
void drop_helper(EnforcementRecord &row, const Helper &helper);
bool has_constraint(Oid table, const std::string &name);
std::string constraint_definition(Oid table, const std::string &name);
bool is_not_null(Oid table, const std::string &column);
// The table of an enforcement, by number or name; 42P01 if it is gone.
Table table_of(const EnforcementRecord &row);
// Its column as it is named today.
std::string column_of(const EnforcementRecord &row, const Table &table);
// TM009 unless the partitions are those that were prepared. Under a lock that keeps others from being attached.
void require_same_partitions(const ConstraintPiece &piece);
void published(ConstraintPiece &piece); // the row says so, within the transaction
void drop_constraint(const Table &table, const std::string &name);

namespace not_null_piece {
void examine(ConstraintPiece &piece);
void prepare(ConstraintPiece &piece, ConstraintChanger &changer);
void validate(ConstraintPiece &piece, ConstraintChanger &changer);
void publish(ConstraintPiece &piece, ConstraintChanger &changer);
void prepare_withdrawal(EnforcementRecord &row, ConstraintChanger &changer);
std::int64_t withdraw(EnforcementRecord &row, ConstraintChanger &changer, const std::function<void()> &note);
} // namespace not_null_piece

namespace check_piece {
void examine(ConstraintPiece &piece, std::set<std::string> &taken);
void prepare(ConstraintPiece &piece, ConstraintChanger &changer);
void publish(ConstraintPiece &piece, ConstraintChanger &changer);
std::int64_t withdraw(EnforcementRecord &row, ConstraintChanger &changer, const std::function<void()> &note);
} // namespace check_piece

namespace foreign_key_piece {
void examine(ConstraintPiece &piece, std::set<std::string> &taken);
void prepare(ConstraintPiece &piece, ConstraintChanger &changer);
void publish(ConstraintPiece &piece, ConstraintChanger &changer);
void prepare_withdrawal(EnforcementRecord &row, ConstraintChanger &changer);
std::int64_t withdraw(EnforcementRecord &row, ConstraintChanger &changer, const std::function<void()> &note);
} // namespace foreign_key_piece

namespace unique_piece {
void examine(ConstraintPiece &piece, std::set<std::string> &taken);
void prepare(ConstraintPiece &piece, ConstraintChanger &changer);
void publish(ConstraintPiece &piece, ConstraintChanger &changer);
std::int64_t withdraw(EnforcementRecord &row, ConstraintChanger &changer, const std::function<void()> &note);
} // namespace unique_piece

// VALIDATE CONSTRAINT for each constraint among the helpers.
void validate_helpers(EnforcementRecord &row, ConstraintChanger &changer);

} // namespace tenantmig

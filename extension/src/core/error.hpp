// Errors of tenantmig's own C++ code: an SQLSTATE, a primary message, DETAIL and HINT. The bridge turns them into
// ereport().
#pragma once
#include <exception>
#include <string>
#include <utility>

namespace tenantmig::core {

// SQLSTATEs. Class TM is ours; the others are PostgreSQL's, spelt out because core/ knows no PostgreSQL header.
namespace sqlstate {
inline constexpr char spec_invalid[] = "TM001";   // the document: unknown field, wrong type, name that does not resolve
inline constexpr char conflict_found[] = "TM002"; // on_conflict: fail
inline constexpr char orphan_found[] = "TM003";   // on_orphan: fail
inline constexpr char plan_changed[] = "TM004";   // the plan is no longer the one that was approved
inline constexpr char counts_changed[] = "TM005"; // the counts are no longer those that were approved
inline constexpr char log_tampered[] = "TM006";   // the change log's chain is broken
inline constexpr char run_failed[] = "TM007";     // the run that was waited for has failed
inline constexpr char rows_locked[] = "TM008";    // rows stay locked by other sessions
inline constexpr char table_changed[] = "TM009";  // a table was changed in a way that the run cannot go on with
inline constexpr char value_overridden[] = "TM010";    // a trigger of the user changed a value that we wrote
inline constexpr char no_source[] = "TM011";           // no evidence can be found for the table
inline constexpr char decision_invalid[] = "TM012";    // a line of imported decisions
inline constexpr char gate_closed[] = "TM013";         // a criterion of the gate does not hold
inline constexpr char constraint_violated[] = "TM014"; // rows that a constraint would refuse came in after the gate
inline constexpr char constraint_guarded[] = "TM015";  // the watch on ALTER TABLE, mode on
inline constexpr char maintenance[] = "TM016";         // writes are fenced for the time of a migration
inline constexpr char migration_edited[] = "TM017";    // the spec was changed after it was applied
inline constexpr char precheck_failed[] = "TM018";     // rows stand in a step's way; DETAIL lists them
inline constexpr char step_unfinished[] = "TM019";     // a step is half-way: up or down has to go on with it first
inline constexpr char no_way_back[] = "TM020";         // a step without down, or whose kept values are gone
inline constexpr char internal[] = "TM999";            // a defect of tenantmig
inline constexpr char out_of_memory[] = "53200";
inline constexpr char feature_not_supported[] = "0A000";
inline constexpr char null_value_not_allowed[] = "22004";
inline constexpr char invalid_parameter_value[] = "22023";
inline constexpr char invalid_text_representation[] = "22P02";
inline constexpr char invalid_regular_expression[] = "2201B";
inline constexpr char foreign_key_violation[] = "23503";
inline constexpr char check_violation[] = "23514"; // reported by guards, which stay in PostgreSQL's regime
inline constexpr char insufficient_privilege[] = "42501";
inline constexpr char invalid_name[] = "42602";
inline constexpr char name_too_long[] = "42622";
inline constexpr char undefined_column[] = "42703";
inline constexpr char undefined_object[] = "42704";
inline constexpr char duplicate_object[] = "42710";
inline constexpr char datatype_mismatch[] = "42804";
inline constexpr char wrong_object_type[] = "42809";
inline constexpr char invalid_foreign_key[] = "42830";
inline constexpr char undefined_table[] = "42P01";
inline constexpr char generated_always[] = "428C9";
inline constexpr char syntax_error[] = "42601";
inline constexpr char duplicate_column[] = "42701";
inline constexpr char duplicate_table[] = "42P07"; // an index, too
inline constexpr char dependent_objects[] = "2BP01";
inline constexpr char prerequisite_state[] = "55000";
inline constexpr char object_in_use[] = "55006";
inline constexpr char active_transaction[] = "25001";
inline constexpr char read_only_transaction[] = "25006";
inline constexpr char limit_exceeded[] = "53400";
inline constexpr char lock_not_available[] = "55P03";
inline constexpr char query_canceled[] = "57014";
} // namespace sqlstate

// An error with everything that its reader needs. `message`: lower case, no full stop; `detail`: what was found;
// `hint`: the next command.
class Error : public std::exception {
public:
    Error(const char *state, std::string message, std::string detail = {}, std::string hint = {})
        : state_(state), message_(std::move(message)), detail_(std::move(detail)), hint_(std::move(hint)) {}
    const char *what() const noexcept override { return message_.c_str(); }
    const char *state() const noexcept { return state_; }
    const std::string &message() const noexcept { return message_; }
    const std::string &detail() const noexcept { return detail_; }
    const std::string &hint() const noexcept { return hint_; }

private:
    const char *state_;
    std::string message_, detail_, hint_;
};

} // namespace tenantmig::core

// gate, approve, revoke_approval, register_backup, prove
#include "core/excerpt.hpp"
#include "core/spec.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "bridge/results.hpp"
#include "bridge/transaction.hpp"
#include "catalog/approval_store.hpp"
#include "catalog/events.hpp"
#include "steps/gate.hpp"
#include "steps/proofs.hpp"

using namespace tenantmig;

namespace {
std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

// Who has logged in is who approves. Code that runs with other rights than that person's (a SECURITY DEFINER function,
// a trigger that runs as the owner of its table) would approve in the name of whoever happens to call it.
void require_person() {
    if (!InLocalUserIdChange() && !InSecurityRestrictedOperation()) return;
    throw Error(sqlstate::insufficient_privilege, "approvals are given and taken back by people themselves",
                fmt::format("This comes from code that runs as {} in a session of {}.",
                            core::excerpt(role_name(GetUserId())), core::excerpt(role_name(GetSessionUserId()))),
                "Call it directly, outside of triggers and SECURITY DEFINER functions.");
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_gate) {
    std::string name = Arguments(fcinfo).text(0, "name");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    for (const CheckRow &check : gate_checks(get_migration(name)))
        rows.add(
            {check.check_name, check.status, check.expected, check.actual, filled(check.detail), filled(check.hint)});
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_approve) {
    Arguments arguments(fcinfo);
    require_writable();
    require_person();
    const std::string name = arguments.text(0, "name");
    const auto note = arguments.optional_text(1);
    SpiSession spi;
    const MigrationRecord migration = get_migration(name);
    const std::int64_t people = insert_approval(migration, note);
    announce("approval", name, {{"by", role_name(GetSessionUserId())}, {"approvals", people}, {"revoked", false}});
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_revoke_approval) {
    Arguments arguments(fcinfo);
    require_writable();
    require_person();
    const std::string name = arguments.text(0, "name");
    SpiSession spi;
    const MigrationRecord migration = get_migration(name);
    const std::string who = role_name(GetSessionUserId());
    if (revoke_approvals(migration) == 0)
        throw Error(sqlstate::undefined_object, fmt::format("there is no approval of {} to revoke", core::excerpt(who)),
                    fmt::format("Migration {} has none, or all of them are revoked.", core::excerpt(name)),
                    "SELECT * FROM tenantmig.approvals lists them; everybody takes back their own.");
    announce("approval", name, {{"by", who}, {"approvals", count_approvals(migration.id).people}, {"revoked", true}});
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_register_backup) {
    Arguments arguments(fcinfo);
    require_writable();
    const std::string name = arguments.text(0, "name");
    if (arguments.is_null(1))
        throw Error(sqlstate::null_value_not_allowed, "argument \"taken_at\" must not be null", {},
                    "Give the time at which the backup was taken.");
    const TimestampTz taken_at = DatumGetTimestampTz(fcinfo->args[1].value);
    const std::string location = arguments.text(2, "location");
    const auto manifest = arguments.optional_json(3);
    const auto shown = [](TimestampTz time) { return pg_call([time] { return timestamptz_to_str(time); }); };
    if (TIMESTAMP_NOT_FINITE(taken_at) || taken_at > our_time())
        throw Error(sqlstate::invalid_parameter_value, "taken_at does not lie in the past",
                    TIMESTAMP_NOT_FINITE(taken_at) ? "It is infinite." : fmt::format("It is {}.", shown(taken_at)),
                    "Give the time at which the backup was taken.");
    if (manifest && nlohmann::json::parse(*manifest, nullptr, false).type() != nlohmann::json::value_t::object)
        throw Error(sqlstate::invalid_parameter_value, "manifest is no object",
                    fmt::format("Found {}.", core::excerpt(*manifest)),
                    "Give a JSON object, for example '{\"files\": 3}', or leave it out.");
    if (location.find_first_not_of(" \t\r\n") == std::string::npos)
        throw Error(sqlstate::invalid_parameter_value, "location is empty",
                    "Nobody would find the backup when it is needed.",
                    "Say where it is: a path, an address, the name of a backup set.");
    SpiSession spi;
    const MigrationRecord migration = get_migration(name);
    const std::int64_t id = insert_backup(migration, taken_at, location, manifest);
    announce("backup", name, {{"backup", id}, {"taken_at", shown(taken_at)}});
    return Int64GetDatum(id);
}

TENANTMIG_FUNCTION(tenantmig_prove) {
    Arguments arguments(fcinfo);
    require_writable();
    const std::string name = arguments.text(0, "name");
    const std::unique_ptr<Transactions> transactions = session_transactions(fcinfo, "prove");
    ProofCount count;
    constexpr int lock_timeout_ms = 2000; // an attempt that would wait for longer is not worth it: SKIP says so
    transactions->run(
        true,
        [&] {
            const MigrationRecord migration = get_migration(name);
            require_owner(migration);
            count = prove(migration);
            if (count.series == 0)
                throw Error(sqlstate::prerequisite_state, fmt::format("nothing is enforced for migration \"{}\"", name),
                            "Proofs are made of constraints that stand.",
                            fmt::format("CALL tenantmig.enforce({}) applies them.", core::sql_literal(name)));
        },
        lock_timeout_ms);
    notice(fmt::format("proofs: {} passed, {} failed, {} skipped; SELECT * FROM tenantmig.proofs WHERE series = {}",
                       count.passed, count.failed, count.skipped, count.series));
    return static_cast<Datum>(0);
}

// gate, approve, register-backup, enforce, relax, proofs: constraints, and what has to hold before they are applied.
#include "call.hpp"
#include "client_error.hpp"
#include "commands.hpp"
#include "input_file.hpp"
#include "messages.hpp"
#include "text.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

constexpr const char *gate_is_closed = "TM013";

// How each piece stands: what the last enforce or relax has made of it.
Result enforcements(Connection &connection, const std::string &migration) {
    return connection.query(
        "SELECT l.step, l.relation, l.column_name, l.kind, l.constraint_name, l.state, pg_catalog.date_trunc('second', "
        "l.since) AS since, pg_catalog.round((1000 * pg_catalog.date_part('epoch', "
        "l.longest_lock))::pg_catalog.numeric, 1) AS longest_lock_ms, l.definition, l.enforced_by, l.relaxed_by, "
        "l.kept, l.interrupted, l.error "
        "FROM (SELECT DISTINCT ON (e.step, e.relation, e.column_name, e.kind) e.* FROM tenantmig.enforcements e "
        "WHERE e.migration OPERATOR(pg_catalog.=) $1 ORDER BY e.step, e.relation, e.column_name, e.kind, e.id DESC) l "
        "ORDER BY l.step, l.id",
        {migration});
}

void print_enforcements(const Result &pieces, Format format) {
    if (format != Format::table) {
        print_result(pieces, format);
        return;
    }
    Result shown =
        some(pieces, {"step", "relation", "column_name", "kind", "constraint_name", "state", "longest_lock_ms"});
    const std::size_t lock = shown.column("longest_lock_ms");
    shown.columns[lock] = {"longest_lock"};
    for (auto &row : shown.rows)
        if (row[lock]) row[lock] = *row[lock] + " ms";
    print_table(shown);
}

// Those of the last enforce.
Result latest_proofs(Connection &connection, const std::string &migration) {
    return connection.query(
        "SELECT p.number, p.status, p.title, p.relation, p.step, p.expected, p.actual, p.proved_at FROM "
        "tenantmig.proofs p WHERE p.migration OPERATOR(pg_catalog.=) $1 AND p.series OPERATOR(pg_catalog.=) (SELECT "
        "pg_catalog.max(l.series) FROM tenantmig.proofs l WHERE l.migration OPERATOR(pg_catalog.=) $1) "
        "ORDER BY p.number",
        {migration});
}

// As TAP has it: 1..3, then ok 1 - …, not ok 2 - …, ok 3 - … # SKIP why.
std::string as_numbered_tests(const Result &proofs) {
    if (proofs.rows.empty()) return {};
    std::string out = fmt::format("1..{}\n", proofs.rows.size());
    for (const auto &row : proofs.rows) {
        const auto cell = [&](const char *column) { return printable(row.at(proofs.column(column)).value_or("")); };
        const std::string status = cell("status");
        out += fmt::format("{} {} - {}", status == "FAIL" ? "not ok" : "ok", cell("number"), cell("title"));
        if (status == "SKIP") out += " # SKIP " + cell("actual");
        out += '\n';
        if (status == "FAIL") out += fmt::format("# expected: {}\n# found: {}\n", cell("expected"), cell("actual"));
    }
    return out;
}

void print_proofs(const Result &proofs, Format format) {
    if (format == Format::table)
        print_text(as_numbered_tests(proofs));
    else
        print_result(proofs, format);
}

// Procedures commit as they go: one that was interrupted, or whose connection was lost, may have left something begun.
void call_procedure(Connection &connection, const Call &call, const std::string &migration, const char *again) {
    try {
        connection.query(call.sql + ")", call.parameters);
    } catch (const ClientError &error) {
        ErrorText text = error.text();
        ExitStatus status = error.status();
        if (text.state == gate_is_closed) status = ExitStatus::gate_closed;
        if (status == ExitStatus::interrupted || status == ExitStatus::connection) {
            text.detail = "What it had begun is recorded.";
            text.hint = fmt::format("tenantmig health {0}  says how it stands; tenantmig {1} {0}  cleans up first",
                                    shell_word(migration), again);
        }
        throw ClientError(status, text);
    }
}

} // namespace

ExitStatus gate(const GlobalOptions &global, const std::string &migration) {
    Connection connection = connect_checked(global);
    const Result checks = connection.query("SELECT * FROM tenantmig.gate($1)", {migration});
    print_result(checks, global.format);
    flush_output();
    return checks.any("status", "FAIL") ? ExitStatus::gate_closed : ExitStatus::done;
}

ExitStatus approve(const GlobalOptions &global, const ApproveOptions &options) {
    Connection connection = connect_checked(global);
    if (options.revoke)
        connection.query("SELECT tenantmig.revoke_approval($1)", {options.migration});
    else
        connection.query("SELECT tenantmig.approve($1, $2)", {options.migration, options.note});
    print_result(
        connection.query("SELECT a.approved_by, a.session_role, pg_catalog.date_trunc('second', a.approved_at) AS "
                         "approved_at, a.counts, a.note, pg_catalog.date_trunc('second', a.revoked_at) AS revoked_at, "
                         "a.revoked_by FROM tenantmig.approvals a WHERE a.migration OPERATOR(pg_catalog.=) $1 "
                         "ORDER BY a.id",
                         {options.migration}),
        global.format);
    flush_output(options.revoke ? "the approval is revoked" : "the approval is recorded");
    return ExitStatus::done;
}

ExitStatus register_backup(const GlobalOptions &global, const BackupOptions &options) {
    constexpr std::size_t manifest_limit = 16 * mebibyte;
    Cell manifest;
    if (!options.manifest.empty()) {
        manifest = read_input(options.manifest, manifest_limit);
        require_text(*manifest, input_name(options.manifest));
    }
    Connection connection = connect_checked(global);
    try {
        const Result registered = connection.query(
            "SELECT tenantmig.register_backup($1, $2::pg_catalog.timestamptz, $3, $4::pg_catalog.jsonb) AS backup_id",
            {options.migration, options.taken_at, options.location, manifest});
        print_result(registered, global.format);
    } catch (const ClientError &error) {
        ErrorText text = error.text();
        if (text.state != "22P02" || !manifest) throw; // invalid_text_representation: only the manifest is read so
        text.location = input_name(options.manifest);
        throw ClientError(ExitStatus::usage, text);
    }
    flush_output("the backup is registered");
    return ExitStatus::done;
}

ExitStatus enforce(const GlobalOptions &global, const std::string &migration, bool no_proofs) {
    Connection connection = connect_checked(global);
    Call call{"CALL tenantmig.enforce($1", {migration}};
    call.add("proofs", "bool", no_proofs ? "false" : "true");
    call_procedure(connection, call, migration, "enforce");
    const Result applied = enforcements(connection, migration);
    Result proofs;
    if (!no_proofs) proofs = latest_proofs(connection, migration);
    if (global.format == Format::json) {
        print_text(as_json({{"enforcements", &applied}, {"proofs", &proofs}}));
    } else {
        print_enforcements(applied, global.format);
        if (global.format == Format::table && !no_proofs) print_text("\n" + as_numbered_tests(proofs));
    }
    flush_output("the constraints are applied and committed");
    return proofs.any("status", "FAIL") ? ExitStatus::mismatch : ExitStatus::done;
}

ExitStatus relax(const GlobalOptions &global, const std::string &migration) {
    Connection connection = connect_checked(global);
    call_procedure(connection, {"CALL tenantmig.relax($1", {migration}}, migration, "relax");
    print_enforcements(enforcements(connection, migration), global.format);
    flush_output("the constraints are relaxed and committed");
    return ExitStatus::done;
}

ExitStatus prove(const GlobalOptions &global, const std::string &migration) {
    Connection connection = connect_checked(global);
    call_procedure(connection, {"CALL tenantmig.prove($1", {migration}}, migration, "prove");
    const Result found = latest_proofs(connection, migration);
    print_proofs(found, global.format);
    flush_output("the proofs are recorded; what they tried is undone");
    return found.any("status", "FAIL") ? ExitStatus::mismatch : ExitStatus::done;
}

ExitStatus proofs(const GlobalOptions &global, const std::string &migration) {
    Connection connection = connect_checked(global);
    const Result found = latest_proofs(connection, migration);
    if (found.rows.empty() &&
        connection
            .query("SELECT 1 FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1", {migration})
            .rows.empty())
        no_such_migration(migration);
    print_proofs(found, global.format);
    flush_output();
    if (found.rows.empty()) messages::show_remark(fmt::format("nothing was proved of \"{}\" yet", migration));
    return found.any("status", "FAIL") ? ExitStatus::mismatch : ExitStatus::done;
}

} // namespace tenantmig::client

#include "commands_isolation.hpp"
#include "call.hpp"
#include "client_error.hpp"
#include "core/error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "migration_call.hpp"
#include "progress.hpp"
#include "text.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <map>

namespace tenantmig::client {

namespace {

// An array as text: every element in quotes.
std::string array_text(const std::vector<std::string> &elements) {
    std::string text = "{";
    for (const std::string &element : elements) {
        text += text.size() > 1 ? ",\"" : "\"";
        for (const char c : element) {
            if (c == '"' || c == '\\') text += '\\';
            text += c;
        }
        text += '"';
    }
    return text + '}';
}

void add_list(Call &call, const char *argument, const std::vector<std::string> &elements) {
    if (!elements.empty()) call.add(argument, "_text", array_text(elements));
}

// --- probe
// ---------------------------------------------------------------------------------------------------------------

std::string cell_of(const Result &result, const std::vector<Cell> &row, const char *name) {
    const std::size_t at = result.column(name);
    return at == row.size() ? "" : row[at].value_or("");
}

bool is_exempt(const Result &result, const std::vector<Cell> &row) {
    const std::size_t at = result.column("exempt");
    return at < row.size() && row[at].has_value();
}

bool counts(const Result &result, const std::vector<Cell> &row) {
    return cell_of(result, row, "status") == "FAIL" && !is_exempt(result, row);
}

Result what_counts(Result result) {
    std::erase_if(result.rows, [&result](const auto &row) { return !counts(result, row); });
    return result;
}

bool differs(const Result &result, const char *name) {
    const std::size_t at = result.column(name);
    if (at == result.columns.size()) return false;
    return std::any_of(result.rows.begin(), result.rows.end(),
                       [&](const auto &row) { return row[at] != result.rows.front()[at]; });
}

// Some hundred probes pass on a handful of tables, and a hole shows in many attacks of one kind. People see what did
// not pass, and of one kind the first few; --all and the formats for programs have every row.
constexpr std::size_t shown_of_a_kind = 2;

struct Excerpt {
    Result rows;
    std::string left_out; // one line for each kind of which there are more
};

// What is alike: the key, and how it ended, so that no FAIL is hidden behind the SKIPs of its key. None without a key.
std::string kind_of(const Result &result, const std::vector<Cell> &row) {
    const std::string key = cell_of(result, row, "key");
    if (key.empty()) return key;
    return fmt::format("{} of {}", is_exempt(result, row) ? "exempt" : cell_of(result, row, "status"), key);
}

Excerpt excerpt(const Result &all) {
    Excerpt found{all, ""};
    std::vector<std::string> kinds; // in the order of their first rows
    std::map<std::string, std::size_t> seen;
    std::erase_if(found.rows.rows, [&](const auto &row) {
        if (cell_of(all, row, "status") == "PASS") return true;
        const std::string kind = kind_of(all, row);
        if (kind.empty()) return false;
        const std::size_t number = ++seen[kind];
        if (number == 1) kinds.push_back(kind);
        return number > shown_of_a_kind;
    });
    for (const std::string &kind : kinds)
        if (seen[kind] > shown_of_a_kind)
            found.left_out += fmt::format("… and {} more {}\n", seen[kind] - shown_of_a_kind, printable(kind));
    return found;
}

constexpr std::size_t widest = 100; // columns; error messages repeat what was sent, and that may be long

std::string shortened(const std::string &text) {
    const std::string cut = fitting(text, widest);
    return cut.size() < text.size() ? cut + "…" : text;
}

void shorten(Result &shown) {
    for (auto &row : shown.rows)
        for (Cell &cell : row)
            if (cell) cell = shortened(*cell);
}

// Without what is for pasting. The role where there are several; of what is exempt, the reason.
Result probes_for_people(const Result &all, bool with_role) {
    Result shown = with_role
                       ? some(all, {"status", "acted_as", "relation", "attack", "tenant", "victim", "expected", "seen"})
                       : some(all, {"status", "relation", "attack", "tenant", "victim", "expected", "seen"});
    shorten(shown);
    for (std::size_t row = 0; row < all.rows.size(); ++row)
        if (is_exempt(all, all.rows[row])) {
            shown.rows[row].front() = "exempt";
            shown.rows[row].back() = fmt::format("{} ({})", shown.rows[row].back().value_or(""),
                                                 shortened(cell_of(all, all.rows[row], "exempt")));
        }
    return shown;
}

// What to do, once, however many findings it is for; and the key of the first, for a spec's list of exemptions.
void print_remedies(const Result &all, const char *key) {
    std::vector<std::string> remedies;
    std::map<std::string, std::vector<std::string>> keys; // by remedy
    for (const auto &row : all.rows) {
        const std::string remedy = cell_of(all, row, "remedy"), name = cell_of(all, row, key);
        if ((!counts(all, row) && cell_of(all, row, "status") != "WARN") || remedy.empty()) continue;
        std::vector<std::string> &of = keys[remedy];
        if (of.empty()) remedies.push_back(remedy);
        if (std::find(of.begin(), of.end(), name) == of.end()) of.push_back(name);
    }
    std::string text;
    for (const std::string &remedy : remedies) {
        const std::vector<std::string> &of = keys[remedy];
        text += printable(of.front());
        if (of.size() > 1) text += fmt::format(" and {} more", of.size() - 1);
        text += fmt::format("\n    {}\n", printable(remedy));
    }
    if (!text.empty()) print_text("\n" + text);
}

struct Tally {
    std::size_t all = 0, failed = 0, warned = 0, skipped = 0, exempt = 0;
};

Tally tally(const Result &result) {
    Tally count;
    for (const auto &row : result.rows) {
        ++count.all;
        const std::string status = cell_of(result, row, "status");
        if (counts(result, row))
            ++count.failed;
        else if (is_exempt(result, row))
            ++count.exempt;
        else if (status == "SKIP")
            ++count.skipped;
        else if (status == "WARN")
            ++count.warned;
    }
    return count;
}

std::string plural(std::size_t number, const char *what) {
    return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

void print_probes(const Result &all, const ProbeOptions &options) {
    const bool with_role = differs(all, "acted_as");
    if (options.all || options.failed_only)
        print_table(probes_for_people(all, with_role));
    else {
        const Excerpt part = excerpt(all);
        print_table(probes_for_people(part.rows, with_role));
        if (!part.left_out.empty()) print_text(part.left_out);
    }
    print_remedies(all, "key");
}

Call probe_call(const ProbeOptions &options) {
    Call call{"SELECT * FROM tenantmig.probe_isolation(", {}};
    call.add("migration", "text", options.migration);
    call.add("role", "text", options.role);
    add_list(call, "tables", options.tables);
    add_list(call, "tenants", options.tenants);
    call.add("pairs", "int4", options.pairs);
    if (options.no_writes) call.add("writes", "bool", "false");
    call.add("tenant_root", "text", options.tenant_root);
    call.add("setting", "text", options.setting);
    call.add("max_tenants", "int4", options.max_tenants);
    return call;
}

Call speed_call(const ProbeOptions &options) {
    Call call{"SELECT * FROM tenantmig.isolation_speed(", {}};
    call.add("migration", "text", options.migration);
    call.add("role", "text", options.role);
    add_list(call, "tables", options.tables);
    call.add("tenant_root", "text", options.tenant_root);
    call.add("setting", "text", options.setting);
    call.add_flag("measure", options.measure);
    return call;
}

Result called(Connection &connection, const Call &call) {
    return connection.query(call.sql + ")", call.parameters);
}

Result speed_for_people(const Result &all) {
    return differs(all, "acted_as")
               ? some(all, {"status", "acted_as", "relation", "check_name", "object", "expected", "actual", "detail"})
               : some(all, {"status", "relation", "check_name", "object", "expected", "actual", "detail"});
}

// --- isolate
// -------------------------------------------------------------------------------------------------------------

Result criteria_of(Connection &connection, const std::string &name) {
    return connection.query("SELECT * FROM tenantmig.isolation_criteria($1)", {name});
}

Result isolated(Connection &connection, const std::string &name) {
    return connection.query("SELECT * FROM tenantmig.isolated_tables i WHERE i.migration OPERATOR(pg_catalog.=) $1 "
                            "ORDER BY i.step, i.relation",
                            {name});
}

Result isolated_for_people(const Result &all) {
    return some(all, {"relation", "column_name", "roles", "super_role", "setting", "row_security", "force_row_security",
                      "policies"});
}

// What has to hold and does not; the call itself has only named the first ones.
void print_open_criteria(const GlobalOptions &global, Connection &connection, const std::string &name) {
    Result open = criteria_of(connection, name);
    std::erase_if(open.rows, [&open](const auto &row) { return cell_of(open, row, "status") == "PASS"; });
    print_result(open, global.format);
    flush_output();
}

Call isolate_call(const IsolateOptions &options) {
    std::string roles;
    for (const std::string &role : options.roles)
        roles += (roles.empty() ? "" : ", ") + role;
    Call call{"CALL tenantmig.isolate(", {}};
    add_list(call, "tables", options.tables);
    call.add("role", "text", roles);
    call.add("tenants", "text", options.tenant_root);
    call.add("setting", "text", options.setting);
    call.add("super_role", "text", options.super_role);
    if (options.no_force) call.add("force", "bool", "false");
    call.add("null_keys", "text", options.null_keys);
    call.add("name", "text", options.name);
    return call;
}

} // namespace

ExitStatus probe(const GlobalOptions &global, const ProbeOptions &options) {
    if (!options.migration && (!options.role || !options.tenant_root))
        throw ClientError(ExitStatus::usage, "a migration is required, or --role and --tenant-root", "",
                          "tenantmig probe MIGRATION  takes tables, roles and setting from its isolate steps");
    if (options.all && options.failed_only)
        throw ClientError(ExitStatus::usage, "--all and --failed-only exclude each other", "",
                          "with neither, a table has the probes that did not pass");
    if (options.measure && !options.speed) throw ClientError(ExitStatus::usage, "--measure goes with --speed");
    if (options.speed && global.format == Format::csv)
        throw ClientError(ExitStatus::usage, "--speed and --format csv exclude each other",
                          "Probes and plans have different columns.", "--format json has both");
    Connection connection = connect_checked(global);
    const Result all = called(connection, probe_call(options));
    const Result shown = options.failed_only ? what_counts(all) : all;
    const Tally probes = tally(all);
    Result speed;
    if (options.speed) speed = called(connection, speed_call(options));
    const Result slow = options.failed_only ? what_counts(speed) : speed;
    if (global.format == Format::json && options.speed)
        print_text(as_json({{"probes", &shown}, {"speed", &slow}}));
    else if (global.format != Format::table)
        print_result(shown, global.format);
    else {
        print_probes(shown, options);
        if (options.speed) {
            print_text("\n");
            print_table(speed_for_people(slow));
            print_remedies(slow, "object");
        }
    }
    flush_output();
    messages::show_remark(fmt::format("{}, {} failed, {} skipped, {} exempt", plural(probes.all, "probe"),
                                      probes.failed, probes.skipped, probes.exempt));
    const Tally plans = tally(speed);
    if (options.speed)
        messages::show_remark(fmt::format("{} of speed, {} failed, {}, {} skipped", plural(plans.all, "check"),
                                          plans.failed, plural(plans.warned, "warning"), plans.skipped));
    const bool nothing_proved = probes.skipped == probes.all;
    if (nothing_proved) messages::show_remark("nothing was proved: no attack was made");
    return probes.failed + plans.failed > 0 || nothing_proved ? ExitStatus::findings : ExitStatus::done;
}

ExitStatus isolate(const GlobalOptions &global, const IsolateOptions &options) {
    if (options.criteria && (!options.tables.empty() || !options.roles.empty() || options.tenant_root ||
                             options.setting || options.super_role || options.null_keys || options.no_force))
        throw ClientError(ExitStatus::usage, "--criteria stands alone, or with --name", "",
                          "the migration that is stored says which tables and roles it is about");
    if (!options.criteria && (options.tables.empty() || options.roles.empty()))
        throw ClientError(ExitStatus::usage, options.tables.empty() ? "tables are required" : "--role is required", "",
                          "tenantmig isolate customers orders --role app");
    Connection connection = connect_checked(global);
    if (options.criteria) {
        const Result criteria = criteria_of(connection, options.name);
        print_result(criteria, global.format);
        flush_output();
        return criteria.any("status", "FAIL") ? ExitStatus::findings : ExitStatus::done;
    }
    const interrupt::Deferred deferred;
    watch_for_death(connection);
    const CallLabel label{1, 1, "", options.name, 0, options.name.size(), nullptr};
    try {
        call_with_label(connection, isolate_call(options), label, "isolated");
    } catch (const ClientError &error) {
        if (error.text().state != core::sqlstate::precheck_failed) throw;
        print_open_criteria(global, connection, options.name);
        throw ClientError(ExitStatus::findings, error.text());
    }
    const Result tables = isolated(connection, options.name);
    print_result(global.format == Format::table ? isolated_for_people(tables) : tables, global.format);
    flush_output("the tables are isolated; see tenantmig.isolated_tables");
    messages::show_remark(fmt::format("prove it: tenantmig probe {}", shell_word(options.name)));
    return ExitStatus::done;
}

} // namespace tenantmig::client

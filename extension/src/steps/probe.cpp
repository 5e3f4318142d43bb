// The frame of probe_isolation(). An attempt is a subtransaction that is undone whatever comes of it: identity,
// settings, rows, locks and the state of deferred constraints go with it. All of a call lies in one more subtransaction
// that is undone, so that the caller's transaction is afterwards as it was.
#include "core/excerpt.hpp"

#include "bridge/identity.hpp"
#include "bridge/memory.hpp"
#include "bridge/query_timeout.hpp"
#include "bridge/results.hpp"
#include "steps/probe_facts.hpp"
#include "steps/probe_scope.hpp"
#include "steps/probe_session.hpp"

#include <chrono>

namespace tenantmig {

namespace {
using Clock = std::chrono::steady_clock;
constexpr int attempt_limit_ms = 60'000;
constexpr long row_limit = 10'000; // of a result that nobody keeps
constexpr std::size_t shown_bytes = 140;

// Other people's text in a cell: one line, cut at a whole character.
std::string one_line(std::string_view text, std::size_t limit = shown_bytes) {
    std::string result(text.substr(0, limit));
    if (text.size() > limit) {
        while (!result.empty() && (static_cast<unsigned char>(text[result.size()]) & 0xC0) == 0x80)
            result.pop_back();
        result += "…";
    }
    for (char &c : result)
        if (static_cast<unsigned char>(c) < ' ') c = ' ';
    return result;
}

} // namespace

std::string Attempt::shown() const {
    if (refused()) return one_line(sqlstate + ": " + message);
    return rows == 1 ? "1 row" : fmt::format("{} rows", rows);
}

bool Attempt::undecided() const {
    if (!refused()) return false;
    const std::string_view group = std::string_view(sqlstate).substr(0, 2);
    return sqlstate == sqlstate::lock_not_available || sqlstate == sqlstate::query_canceled ||
           sqlstate == sqlstate::read_only_transaction || group == "40" || group == "53" || group == "54" ||
           group == "58" || group == "XX";
}

bool Attempt::no_right() const {
    return sqlstate == sqlstate::insufficient_privilege && message.find("row-level security") == std::string::npos &&
           message.find("row security") == std::string::npos;
}

struct Probe::State {
    const ProbeOptions &options;
    const ProbeScope &scope;
    ProbeFacts &facts;
    Oid role = InvalidOid;
    std::string role_name, search_path;
    bool superuser = false;
    std::vector<ProbeTable> tables;
    std::map<Oid, std::size_t> place; // of a table in `tables`
    std::vector<ProbeRow> rows;
    // Progress
    std::size_t number = 0;
    int group_number = 0, group_count = 0;
    std::size_t current = 0;
    std::optional<std::size_t> locked; // the table that an attempt has waited for in vain: the next don't wait as long
    std::int64_t attempts = 0;

    State(const ProbeOptions &of, const ProbeScope &in, ProbeFacts &known) : options(of), scope(in), facts(known) {}

    TableFacts &of(const ProbeTable &table) {
        auto found = facts.tables.find(table.table.oid);
        if (found == facts.tables.end())
            found = facts.tables.emplace(table.table.oid, count_as_owner(table, options)).first;
        return found->second;
    }
    void tell_progress();
};

namespace {
// Of one call; a backend runs one at a time, and calls do not nest.
struct Progress {
    Clock::time_point started, told;
} progress;
} // namespace

void Probe::State::tell_progress() {
    if (group_count == 0) return; // somebody else's use of the frame
    const auto now = Clock::now();
    if (now - progress.told < std::chrono::seconds(2) || tables.empty()) return;
    progress.told = now - std::chrono::seconds(1); // then once a second
    const double seconds = std::chrono::duration<double>(now - progress.started).count();
    const double groups = static_cast<double>(number) * group_count + group_number;
    const double share = (groups + static_cast<double>(current) / static_cast<double>(tables.size())) /
                         (static_cast<double>(scope.roles.size()) * group_count);
    std::int64_t failed = 0;
    for (const ProbeRow &row : rows)
        failed += row.status == "FAIL";
    const auto count = static_cast<double>(tables.size());
    notice(fmt::format("{:.0f} of {} tables, {} attempts as {} ({:.0f}/s), {} FAIL, {:.0f} s{}",
                       std::floor(share * count), tables.size(), attempts, one_line(quoted(role_name)),
                       static_cast<double>(attempts) / seconds, failed, seconds,
                       share > 0 ? fmt::format(", about {:.0f} s to go", seconds / share - seconds) : ""));
}

Probe::Probe(const ProbeOptions &options, const ProbeScope &scope, std::size_t number, ProbeFacts &facts)
    : state_(std::make_unique<State>(options, scope, facts)) {
    const ProbeScope::Role &role = scope.roles.at(number);
    state_->number = number;
    state_->role = role.oid;
    state_->role_name = role.name;
    const Oid oid = role.oid;
    state_->superuser = pg_call([oid] { return superuser_arg(oid); });
    state_->search_path = application_search_path(role.oid);
    for (const ProbeTable &table : scope.tables) {
        const auto meant = scope.roles_of.find(table.table.oid);
        if (meant != scope.roles_of.end() &&
            std::find(meant->second.begin(), meant->second.end(), role.name) == meant->second.end())
            continue;
        state_->place.emplace(table.table.oid, state_->tables.size());
        state_->tables.push_back(table);
    }
}

Probe::~Probe() = default;

const ProbeOptions &Probe::options() const {
    return state_->options;
}
const std::vector<ProbeTable> &Probe::tables() const {
    return state_->tables;
}
Oid Probe::role() const {
    return state_->role;
}
const std::string &Probe::role_name() const {
    return state_->role_name;
}
std::string Probe::role_label() const {
    return quoted(state_->role_name);
}
const std::vector<ProbeRow> &Probe::rows() const {
    return state_->rows;
}
const std::map<std::string, std::int64_t> &Probe::owned(const ProbeTable &table) const {
    return state_->of(table).owned;
}
bool Probe::all_owned(const ProbeTable &table) const {
    return state_->of(table).complete;
}
std::int64_t Probe::null_rows(const ProbeTable &table) const {
    return state_->of(table).null_rows;
}
std::int64_t Probe::tenant_count(const ProbeTable &table) const {
    return state_->of(table).tenants;
}
std::int64_t Probe::total_rows(const ProbeTable &table) const {
    return state_->of(table).rows;
}
const std::string &Probe::unread(const ProbeTable &table) const {
    return state_->of(table).problem;
}

void Probe::begin_group(int number, int count) {
    state_->group_number = number;
    state_->group_count = count;
    state_->current = 0;
}

std::vector<ProbePair> Probe::pairs(const ProbeTable &table) const {
    std::vector<std::string> tenants;
    for (const std::string &tenant : state_->of(table).by_size)
        if (!tenant.empty()) tenants.push_back(tenant); // '' is no tenant: the setting cannot say it
    std::vector<ProbePair> result;
    const auto wanted = static_cast<std::size_t>(state_->options.pairs);
    for (std::size_t later = 1; later < tenants.size() && result.size() < wanted; later++)
        for (std::size_t i = 0; i < later && result.size() < wanted; i++) {
            result.push_back({tenants[i], tenants[later]});
            if (result.size() < wanted) result.push_back({tenants[later], tenants[i]});
        }
    return result;
}

Value Probe::key_value(const ProbeTable &table, const std::string &tenant) {
    RunAs owner(table.table.owner, Purpose::read); // a domain's CHECK may call user code
    return {table.key.type, datum_from_text(table.key.type, table.key.typmod, tenant), false};
}

ProbeSession Probe::session(const ProbeTable &table, std::optional<std::string> tenant) const {
    if (const auto found = state_->place.find(table.table.oid); found != state_->place.end())
        state_->current = found->second;
    return {state_->role, table.setting, std::move(tenant)};
}

namespace {
// The cells of the statement that has just been run.
ProbeMatrix cells_of(const Rows &rows, std::size_t count) {
    ProbeMatrix matrix;
    const int columns = SPI_tuptable ? SPI_tuptable->tupdesc->natts : 0;
    for (std::size_t i = 0; columns > 0 && i < std::min(rows.size(), count); i++) {
        matrix.emplace_back();
        for (int column = 1; column <= columns; column++)
            matrix.back().push_back(rows.text(i, column));
    }
    return matrix;
}

Attempt run_statement(const std::string &sql, std::span<const Value> values, int keep, bool read_only) {
    Attempt result;
    Rows rows = run_query(sql, values, read_only, keep > 0 ? keep : row_limit);
    result.rows = static_cast<std::int64_t>(rows.size());
    if (keep > 0) result.values = cells_of(rows, static_cast<std::size_t>(keep));
    return result;
}
} // namespace

Attempt Probe::attempt_work(const ProbeSession &session, const std::function<Attempt()> &work) const {
    if (pg_call([role = session.role] { return superuser_arg(role); })) {
        Attempt none;
        none.sqlstate = sqlstate::insufficient_privilege;
        none.message = "nothing is attempted as a superuser";
        return none;
    }
    state_->attempts++;
    state_->tell_progress();
    Attempt result;
    bool entered = false;
    MemoryScope memory;
    try {
        ApplicationSession undone(session, state_->search_path, state_->locked == state_->current ? "100ms" : "1s");
        entered = true;
        QueryTimeout limit(attempt_limit_ms);
        try {
            result = work();
        } catch (...) {
            limit.finish();
            throw;
        }
        limit.finish();
        undone.undo();
    } catch (const PgError &error) {
        const ErrorData *data = error.data();
        if (!entered || data->sqlerrcode == ERRCODE_OUT_OF_MEMORY) throw;
        if (ERRCODE_TO_CATEGORY(data->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION &&
            !(data->sqlerrcode == ERRCODE_QUERY_CANCELED && QueryTimeout::expired()))
            throw;
        if (data->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE) state_->locked = state_->current;
        result = {};
        result.sqlstate = unpack_sql_state(data->sqlerrcode);
        result.message = data->message ? data->message : "";
        result.constraint = data->constraint_name ? data->constraint_name : "";
        result.table = data->table_name ? data->table_name : "";
    }
    return result;
}

Attempt Probe::attempt(const ProbeSession &session, const std::string &sql, std::span<const Value> values,
                       int keep) const {
    return attempt_work(session, [&] { return run_statement(sql, values, keep, false); });
}

Attempt Probe::read(const ProbeSession &session, const std::string &sql, std::span<const Value> values,
                    int keep) const {
    return attempt_work(session, [&] { return run_statement(sql, values, keep, true); });
}

std::optional<ProbeMatrix> Probe::as_owner(const Table &table, const std::string &sql, std::span<const Value> values,
                                           int limit) const {
    if (!has_privileges_of(table.owner)) return std::nullopt;
    MemoryScope memory;
    try {
        Subtransaction attempt;
        ProbeMatrix matrix;
        {
            RunAs owner(table.owner, Purpose::read);
            Rows rows = run_query(sql, values, true, limit);
            matrix = cells_of(rows, rows.size());
        }
        attempt.commit();
        return matrix;
    } catch (const PgError &error) {
        const int state = error.data()->sqlerrcode;
        if (ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION || state == ERRCODE_OUT_OF_MEMORY) throw;
    }
    return std::nullopt;
}

void Probe::add(const ProbeTable *table, const std::string &relation, const char *attack, const std::string &object,
                const ProbePair *pair, const std::string &expected, const std::string &seen, const char *status,
                const std::string &remedy) {
    ProbeRow row;
    row.relation = table && relation.empty() ? table->table.label() : relation;
    row.attack = attack;
    if (pair && !pair->tenant.empty()) row.tenant = pair->tenant;
    if (pair && !pair->victim.empty()) row.victim = pair->victim;
    row.expected = one_line(expected);
    row.seen = one_line(seen, 2 * shown_bytes);
    row.status = status;
    row.remedy = remedy;
    row.acted_as = role_label();
    row.key = fmt::format("probe.{}:{}{}{}:{}", attack, row.relation, object.empty() ? "" : ".", object, row.acted_as);
    if (const auto found = state_->scope.exempted.find(row.key); found != state_->scope.exempted.end())
        row.exempt = found->second;
    state_->rows.push_back(std::move(row));
}

namespace {
std::vector<ProbeRow> probe_role(const ProbeOptions &options, const ProbeScope &scope, std::size_t number,
                                 ProbeFacts &facts) {
    struct Group {
        void (*run)(Probe &);
        bool attacks; // false: judges from the catalogue, also a superuser
    };
    const Group groups[] = {
        {probe_rights, false}, {probe_settings, true}, {probe_counts, true},  {probe_reads, true},
        {probe_writes, true},  {probe_keys, true},     {probe_objects, true},
    };
    Probe probe(options, scope, number, facts);
    const bool super = pg_call([role = probe.role()] { return superuser_arg(role); });
    for (const ProbeScope::Missing &missing : scope.missing)
        if (std::find(missing.roles.begin(), missing.roles.end(), probe.role_name()) != missing.roles.end())
            probe.add(
                nullptr, missing.relation, "table", {}, nullptr, "the table that was isolated, and its tenant key",
                missing.dropped ? "dropped since" : "not found: dropped, or renamed since this database was copied",
                missing.dropped ? "SKIP" : "FAIL",
                fmt::format("Rename it back, or isolate it again as what it is called now: nothing is known of "
                            "the rows of {}.",
                            missing.relation));
    int done = 0;
    for (const Group &group : groups) {
        if ((!super || !group.attacks)) {
            probe.begin_group(done, static_cast<int>(std::size(groups)));
            group.run(probe);
        }
        done++;
    }
    if (super)
        for (const ProbeTable &table : probe.tables())
            probe.add(&table, {}, "superuser", {}, nullptr, "a role that policies hold for",
                      "a superuser: no policy holds, nothing was attempted", "FAIL",
                      fmt::format("ALTER ROLE {} NOSUPERUSER;", probe.role_label()));
    std::map<std::string, std::size_t> place; // by table; what is about none comes last
    for (const ProbeTable &table : probe.tables())
        place.emplace(table.table.label(), place.size());
    std::vector<ProbeRow> rows = probe.rows();
    const auto at = [&](const ProbeRow &row) {
        const auto found = place.find(row.relation);
        return found == place.end() ? place.size() : found->second;
    };
    std::stable_sort(rows.begin(), rows.end(), [&](const ProbeRow &a, const ProbeRow &b) { return at(a) < at(b); });
    return rows;
}
} // namespace

std::vector<ProbeRow> probe_isolation(const ProbeOptions &options) {
    progress = {Clock::now(), Clock::now()};
    std::vector<ProbeRow> result;
    Subtransaction everything;
    // What is deferred answers within the attempt; and what the caller has deferred so far must not fire in one, under
    // a foreign name.
    fire_deferred_as_caller();
    const ProbeScope scope = resolve_probe(options);
    ProbeFacts facts;
    for (std::size_t i = 0; i < scope.roles.size(); i++)
        for (ProbeRow &row : probe_role(options, scope, i, facts))
            result.push_back(std::move(row));
    everything.undo();
    return result;
}

} // namespace tenantmig

// The migrations of a rehearsal, on their way up and down.
#include "client_error.hpp"
#include "rehearsal_run.hpp"
#include <algorithm>
#include <chrono>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

constexpr const char *gate_is_closed = "TM013";

class Timed {
public:
    explicit Timed(double &seconds) : seconds_(seconds), start_(std::chrono::steady_clock::now()) {}
    ~Timed() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
    Timed(const Timed &) = delete;
    Timed &operator=(const Timed &) = delete;

private:
    double &seconds_;
    std::chrono::steady_clock::time_point start_;
};

bool asks_for_backup(const nlohmann::json &spec) {
    for (const auto &step : spec.value("steps", nlohmann::json::array()))
        if (step.is_object() && step.contains("constraint") && step["constraint"].is_object() &&
            step["constraint"].value("gate", nlohmann::json::object()).contains("backup_within"))
            return true;
    return false;
}

} // namespace

void Rehearsal::create(RehearsedMigration &migration) {
    const Result there = connection_->query(
        "SELECT 1 FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1", {migration.name});
    if (!there.rows.empty()) return;
    connection_->query("SELECT tenantmig.create_migration($1::pg_catalog.jsonb)", {migration.spec.dump()});
    if (asks_for_backup(migration.spec)) {
        connection_->query("SELECT tenantmig.register_backup($1, pg_catalog.clock_timestamp(), 'the copy that a "
                           "rehearsal works on')",
                           {migration.name});
        remarks_.push_back(fmt::format("migration \"{}\": backup_within is met by a backup that was registered in the "
                                       "copy only",
                                       migration.name));
    }
}

void Rehearsal::up(RehearsedMigration &migration, std::optional<int> steps) {
    create(migration);
    std::string sql = "CALL tenantmig.up($1";
    std::vector<Cell> parameters{migration.name};
    if (steps) {
        parameters.push_back(std::to_string(*steps));
        sql += fmt::format(", steps => ${}::pg_catalog.int4", parameters.size());
    }
    if (options_.workers) {
        parameters.push_back(*options_.workers);
        sql += fmt::format(", workers => ${}::pg_catalog.int4", parameters.size());
    }
    sql += ")";
    try {
        connection_->query(sql, parameters);
    } catch (const ClientError &error) {
        if (error.text().state != gate_is_closed) throw;
        // People decide reviews before the constraint comes; here the first candidate does.
        const int decided = decide_reviews(migration.name);
        if (decided == 0)
            throw ClientError(error.status(), ErrorText{error.text().message, closed_gate(migration.name),
                                                        error.text().hint, error.text().state, ""});
        connection_->query(sql, parameters);
    }
}

void Rehearsal::down(RehearsedMigration &migration, std::optional<int> steps) {
    // what the source has applied stays
    std::string sql = "CALL tenantmig.down($1";
    std::vector<Cell> parameters{migration.name};
    const std::size_t kept = migration.applied.find('0');
    if (steps) {
        parameters.push_back(std::to_string(*steps));
        sql += ", steps => $2::pg_catalog.int4";
    } else if (kept != std::string::npos && kept > 0) {
        parameters.push_back(std::to_string(kept));
        sql += ", to_step => $2::pg_catalog.int4";
    }
    connection_->query(sql + ")", parameters);
}

void Rehearsal::up_all() {
    for (RehearsedMigration &migration : migrations_) {
        double seconds = 0;
        {
            const Timed timed(seconds);
            up(migration);
        }
        if (migration.up == 0) migration.up = seconds; // the first time is that of the real thing
    }
}

void Rehearsal::down_all() {
    for (std::size_t at = migrations_.size(); at-- > 0;) {
        RehearsedMigration &migration = migrations_[at];
        const Result there = connection_->query(
            "SELECT 1 FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1", {migration.name});
        if (there.rows.empty()) continue; // up has not come so far
        double seconds = 0;
        {
            const Timed timed(seconds);
            down(migration);
        }
        if (migration.down == 0) migration.down = seconds;
    }
}

std::string Rehearsal::applied(const RehearsedMigration &migration) {
    create(const_cast<RehearsedMigration &>(migration));
    const Result rows = connection_->query("SELECT s.applied FROM tenantmig.steps s WHERE s.migration "
                                           "OPERATOR(pg_catalog.=) $1 ORDER BY s.step",
                                           {migration.name});
    std::string text;
    for (const auto &row : rows.rows)
        text += row[0] == "t" ? '1' : '0';
    return text;
}

std::string Rehearsal::applied_all() {
    std::string text;
    for (const RehearsedMigration &migration : migrations_) {
        const Result rows = connection_->query("SELECT s.applied FROM tenantmig.steps s WHERE s.migration "
                                               "OPERATOR(pg_catalog.=) $1 ORDER BY s.step",
                                               {migration.name});
        for (const auto &row : rows.rows)
            text += row[0] == "t" ? '1' : '0';
        if (rows.rows.empty()) text += std::string(static_cast<std::size_t>(migration.steps), '0');
        text += '/';
    }
    return text;
}

int Rehearsal::decide_reviews(const std::string &migration) {
    const Result reviews = connection_->query(
        "SELECT r.id, (SELECT c.value OPERATOR(pg_catalog.->>) 'tenant' FROM pg_catalog.jsonb_array_elements(CASE WHEN "
        "pg_catalog.jsonb_typeof(r.candidates) OPERATOR(pg_catalog.=) 'array' THEN r.candidates ELSE '[]' END) "
        "WITH ORDINALITY c ORDER BY c.ordinality LIMIT 1) FROM tenantmig.review($1) r ORDER BY r.id",
        {migration});
    if (reviews.rows.empty()) return 0;
    std::string any;
    for (const RehearsedMigration &one : migrations_)
        if (one.name == migration) {
            const nlohmann::json tenants = one.spec.value("tenants", nlohmann::json::object());
            const std::string table = tenants.value("table", "");
            const Result keys = connection_->query(
                "SELECT a.attname, c.relname, n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON "
                "n.oid OPERATOR(pg_catalog.=) c.relnamespace LEFT JOIN pg_catalog.pg_index i ON i.indrelid "
                "OPERATOR(pg_catalog.=) c.oid AND i.indisprimary LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid "
                "OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0] "
                "WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)",
                {table});
            if (!keys.rows.empty()) {
                const auto &row = keys.rows.front();
                const std::string key = tenants.value("key", row[0].value_or("id"));
                const Result first =
                    connection_->query(fmt::format("SELECT pg_catalog.min(t.\"{}\"::pg_catalog.text) FROM "
                                                   "\"{}\".\"{}\" t",
                                                   key, row[2].value_or(""), row[1].value_or("")));
                any = first.rows.at(0)[0].value_or("");
            }
        }
    int decided = 0;
    for (const auto &row : reviews.rows) {
        const std::string tenant = row[1] ? *row[1] : any;
        if (tenant.empty()) continue;
        connection_->query("SELECT tenantmig.resolve($1::pg_catalog.int8, $2, 'decided by a rehearsal')",
                           {row[0], tenant});
        decided++;
    }
    const std::string remark =
        fmt::format("migration \"{}\": {} reviews were decided in the copy so that its gate could open, each with its "
                    "first candidate, or with tenant {} if it had none",
                    migration, decided, any);
    decided_ = decided_ || decided > 0;
    if (decided > 0 && std::find(remarks_.begin(), remarks_.end(), remark) == remarks_.end())
        remarks_.push_back(remark);
    return decided;
}

std::string Rehearsal::closed_gate(const std::string &migration) {
    std::string text;
    const Result rows = connection_->query(
        "SELECT g.check_name, g.expected, g.actual FROM tenantmig.gate($1) g WHERE g.status OPERATOR(pg_catalog.=) "
        "'FAIL'",
        {migration});
    for (const auto &row : rows.rows)
        text += fmt::format("{}{}: expected {}, found {}", text.empty() ? "" : "; ", row[0].value_or(""),
                            row[1].value_or(""), row[2].value_or(""));
    return text;
}

std::string Rehearsal::step_label(std::size_t migration, const std::string &before, const std::string &after) {
    std::size_t step = 0;
    while (step < before.size() && before[step] == after[step])
        step++;
    return fmt::format("taking back step {} of {}", step + 1, migrations_[migration].name);
}

} // namespace tenantmig::client

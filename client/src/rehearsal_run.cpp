#include "rehearsal_run.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "rehearsal_rules.hpp"
#include <algorithm>
#include <chrono>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<std::string> lines_of(const ErrorText &error) {
    std::vector<std::string> lines;
    if (!error.detail.empty()) lines.push_back(error.detail);
    if (!error.hint.empty()) lines.push_back("HINT: " + error.hint);
    if (!error.state.empty()) lines.push_back("SQLSTATE: " + error.state);
    return lines;
}

bool has_backfill(const nlohmann::json &spec) {
    for (const auto &step : spec.value("steps", nlohmann::json::array()))
        if (step.is_object() && step.contains("backfill")) return true;
    return false;
}

std::string counted(std::size_t count, const char *one, const char *many) {
    return fmt::format("{} {}", count, count == 1 ? one : many);
}

} // namespace

Rehearsal::Rehearsal(const RehearsalCopy &copy, const RehearseOptions &options,
                     std::vector<RehearsedMigration> migrations)
    : copy_(copy), options_(options), migrations_(std::move(migrations)) {}

void Rehearsal::scenario(const std::string &name, bool comparison, const std::function<std::string()> &work) {
    Scenario result;
    result.name = name;
    result.comparison = comparison;
    if (!unusable_.empty()) {
        result.detail = unusable_;
        scenarios_.push_back(std::move(result));
        return;
    }
    messages::show_progress(fmt::format("rehearsal: {}", name));
    const auto start = std::chrono::steady_clock::now();
    try {
        result.detail = work();
        result.verdict = Verdict::pass;
    } catch (const Difference &difference) {
        result.verdict = Verdict::fail;
        result.found = difference.lines;
        result.detail = result.found.empty() ? "" : result.found.front();
        if (result.found.size() > 1) result.detail += fmt::format(" (and {} more)", result.found.size() - 1);
    } catch (const ClientError &error) {
        if (error.status() == ExitStatus::interrupted) throw;
        result.verdict = Verdict::fail;
        result.comparison = false;
        result.detail = error.text().message;
        result.found = lines_of(error.text());
        unusable_ = fmt::format("not run: \"{}\" failed", name);
        if (error.status() == ExitStatus::connection) { // the server of the copy may come back
            connection_.reset();
        }
    }
    result.seconds = seconds_since(start);
    scenarios_.push_back(std::move(result));
    if (interrupt::requested()) throw ClientError(ExitStatus::interrupted, "the rehearsal was interrupted");
}

void Rehearsal::require_equal(const DatabaseState &expected, Tolerance tolerance) {
    const StateDifference difference = compare_states(expected, read_state(*connection_), tolerance);
    for (const std::string &column : difference.tolerated) {
        const std::string remark = fmt::format("{} is not compared where it is the only difference: it says when a row "
                                               "was written",
                                               column);
        if (std::find(remarks_.begin(), remarks_.end(), remark) == remarks_.end()) remarks_.push_back(remark);
    }
    if (!difference.none()) throw Difference(difference.lines);
}

void Rehearsal::run(bool leave_as_found) {
    connection_.emplace(copy_.connect());
    start_ = read_state(*connection_);
    std::size_t steps = 0;
    for (const RehearsedMigration &migration : migrations_)
        steps += static_cast<std::size_t>(migration.steps);

    scenario("up", false, [&] {
        up_all();
        end_ = read_state(*connection_);
        return fmt::format("{}, {}", counted(migrations_.size(), "migration", "migrations"),
                           counted(steps, "step", "steps"));
    });
    if (!unusable_.empty()) { // half-way: what stands is taken back, which has to work as well
        const std::string why = std::exchange(unusable_, "");
        scenario("what a failed up leaves can be taken back", true, [&] {
            if (!connection_) connection_.emplace(copy_.connect());
            down_all();
            require_equal(start_, Tolerance::touched);
            return std::string("as at the start");
        });
        unusable_ = why;
    }
    scenario("verify", false, [&] { return verify_all(); });
    scenario("up again changes nothing", true, [&] {
        up_all();
        require_equal(end_, Tolerance::nothing);
        return std::string();
    });
    std::vector<std::string> new_tables;
    for (const auto &[table, entry] : end_.data)
        if (!start_.data.contains(table)) new_tables.push_back(table);
    const auto rules = [&](auto check) {
        RuleOutcome outcome;
        try {
            outcome = check(*connection_, migrations_, new_tables);
        } catch (const ClientError &error) { // was taken back: what follows can be tried all the same
            if (error.text().state.empty() || error.status() != ExitStatus::failure) throw;
            outcome.found = lines_of(error.text());
            outcome.found.insert(outcome.found.begin(), error.text().message);
        }
        if (!outcome.found.empty()) throw Difference(outcome.found);
        return outcome.tried;
    };
    scenario("rows can be inserted", false, [&] { return rules(check_inserts); });
    scenario("what must be refused is refused", false, [&] { return rules(check_refusals); });
    scenario("deleting a tenant leaves no orphan", false, [&] { return rules(check_cascade); });
    std::vector<std::string> rest;
    scenario("down, all of it", false, [&] {
        down_all();
        rest = left_over(start_, read_state(*connection_));
        return std::string();
    });
    scenario("schema and rows are as at the start", true, [&] {
        require_equal(start_, Tolerance::touched);
        return fmt::format("{} objects, {} rows", start_.schema.size(), start_.rows);
    });
    scenario("no constraint, index, trigger or type is left", true, [&] {
        if (!rest.empty()) throw Difference(rest);
        return std::string();
    });
    scenario("down again changes nothing", true, [&] {
        down_all();
        require_equal(start_, Tolerance::touched);
        return std::string();
    });
    scenario("up again, one step at a time", true, [&] { return record_way_up(); });
    scenario("down, one step at a time", true, [&] { return compare_way_down(); });
    scenario("a process is killed on the way up", true, [&] { return kill_and_go_on(); });
    scenario("a part is taken back", true, [&] { return part_down(); });
    scenario("and applied again, step by step", true, [&] { return redo(); });
    if (leave_as_found)
        scenario("down, to leave the copy as it was", true, [&] {
            down_all();
            require_equal(start_, Tolerance::touched);
            for (const RehearsedMigration &migration : migrations_)
                if (!migration.stored)
                    connection_->query("SELECT tenantmig.drop_migration($1, true)", {migration.name});
            return std::string();
        });
    messages::end_progress();
}

std::string Rehearsal::verify_all() {
    std::vector<std::string> failed;
    std::size_t checks = 0;
    for (const RehearsedMigration &migration : migrations_) {
        Result rows;
        try {
            rows = connection_->query(
                "SELECT v.check_name, v.status, v.expected, v.actual, v.detail FROM tenantmig.verify($1) v",
                {migration.name});
        } catch (const ClientError &error) {
            if (error.text().state.empty() || error.status() != ExitStatus::failure) throw;
            constexpr const char *nothing_to_verify = "55000"; // no step of it is a backfill
            if (error.text().state != nothing_to_verify || has_backfill(migration.spec))
                failed.push_back(fmt::format("{}: {}", migration.name, error.text().message));
            continue;
        }
        checks += rows.rows.size();
        for (const auto &row : rows.rows)
            if (row[1] == "FAIL")
                failed.push_back(fmt::format("{}: {}: expected {}, found {}{}", migration.name, row[0].value_or(""),
                                             row[2].value_or(""), row[3].value_or(""),
                                             row[4] ? ". " + *row[4] : std::string()));
    }
    if (!failed.empty()) throw Difference(failed);
    return counted(checks, "check", "checks");
}

std::string Rehearsal::record_way_up() {
    on_the_way_.clear();
    on_the_way_[applied_all()] = start_;
    std::size_t taken = 0;
    for (RehearsedMigration &migration : migrations_)
        for (std::string before = applied(migration); before.find('0') != std::string::npos;) {
            up(migration, 1);
            const std::string now = applied(migration);
            if (now == before)
                throw ClientError(ExitStatus::failure,
                                  fmt::format("migration \"{}\": up with steps => 1 has done nothing", migration.name));
            before = now;
            if (decided_) decide_reviews(migration.name); // as the first time, which the end is compared with
            on_the_way_[applied_all()] = read_state(*connection_);
            taken++;
        }
    require_equal(end_, Tolerance::repeated);
    return fmt::format("{}; the end is that of the first time", counted(taken, "step", "steps"));
}

std::string Rehearsal::compare_way_down() {
    std::vector<std::string> differences;
    std::size_t taken = 0, compared = 0;
    for (std::size_t at = migrations_.size(); at-- > 0;) {
        RehearsedMigration &migration = migrations_[at];
        for (std::string before = applied(migration); before != migration.applied;) {
            down(migration, 1);
            const std::string now = applied(migration);
            if (now == before)
                throw ClientError(
                    ExitStatus::failure,
                    fmt::format("migration \"{}\": down with steps => 1 has done nothing", migration.name));
            taken++;
            const auto then = on_the_way_.find(applied_all());
            if (then != on_the_way_.end()) {
                compared++;
                for (const std::string &line :
                     compare_states(then->second, read_state(*connection_), Tolerance::touched).lines)
                    differences.push_back(fmt::format("after {}: {}", step_label(at, before, now), line));
            }
            before = now;
        }
    }
    if (!differences.empty()) throw Difference(differences);
    return fmt::format("{}, {} compared with the way up", counted(taken, "step", "steps"), compared);
}

std::string Rehearsal::part_down() {
    // the second half of the migrations; of one alone, of its steps
    std::string kept;
    if (migrations_.size() > 1) {
        const std::size_t half = migrations_.size() / 2;
        for (std::size_t at = migrations_.size(); at-- > half;)
            down(migrations_[at]);
        kept = fmt::format("{} of {} migrations stay", half, migrations_.size());
    } else {
        const int half = std::max(1, migrations_.front().steps / 2);
        down(migrations_.front(), half);
        kept = fmt::format("the last {} of {} steps", half, migrations_.front().steps);
    }
    const auto then = on_the_way_.find(applied_all());
    if (then == on_the_way_.end()) return kept + "; not a state of the way up, so not compared";
    require_equal(then->second, Tolerance::repeated);
    return kept + ", as on the way up";
}

std::string Rehearsal::redo() {
    std::size_t taken = 0;
    std::vector<std::string> differences;
    for (RehearsedMigration &migration : migrations_)
        for (std::string before = applied(migration); before.find('0') != std::string::npos;) {
            up(migration, 1);
            const std::string now = applied(migration);
            if (now == before) break;
            if (decided_) decide_reviews(migration.name);
            before = now;
            taken++;
        }
    require_equal(end_, Tolerance::repeated);
    return fmt::format("{}; the end is that of the first time", counted(taken, "step", "steps"));
}

} // namespace tenantmig::client

// The scenarios of a rehearsal, on its copy: up, down and what is between, each compared with what stood there before.
#pragma once
#include "rehearsal_copy.hpp"
#include "rehearsal_state.hpp"
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tenantmig::client {

struct RehearsedMigration {
    std::string name, file;
    nlohmann::json spec;     // as the copy gets it: criteria of gates that can't hold there are left out
    int steps = 0;           // of the document
    std::string applied;     // how far the source is: one character a step, 1 in force, 0 not
    bool stored = false;     // the source knows it, partly applied: taken as it is stored there
    double up = 0, down = 0; // seconds, of all its steps
};

enum class Verdict { pass, fail, skip };

struct Scenario {
    std::string name;
    Verdict verdict = Verdict::skip;
    double seconds = 0;
    std::string detail;             // one line
    std::vector<std::string> found; // what differs, or is wrong: one thing a line
    bool comparison = false;        // that states are compared is what it is about: status 7 if it fails
};

class Rehearsal {
public:
    Rehearsal(const RehearsalCopy &copy, const RehearseOptions &options, std::vector<RehearsedMigration> migrations);

    // All of them, in order. Errors of the migrations are verdicts; thrown is what ends everything: a signal, or a copy
    // that can't be reached any more.
    void run(bool leave_as_found);

    [[nodiscard]] const std::vector<Scenario> &scenarios() const { return scenarios_; }
    [[nodiscard]] const std::vector<RehearsedMigration> &migrations() const { return migrations_; }
    [[nodiscard]] const std::vector<std::string> &remarks() const { return remarks_; }
    [[nodiscard]] const DatabaseState &start() const { return start_; }

private:
    struct Difference : std::exception {
        explicit Difference(std::vector<std::string> found) : lines(std::move(found)) {}
        [[nodiscard]] const char *what() const noexcept override { return "difference"; }
        std::vector<std::string> lines;
    };

    // One scenario: what `work` throws is its verdict; what it returns, its detail. Skipped if something before it has
    // left the copy in a state that nothing can be built on.
    void scenario(const std::string &name, bool comparison, const std::function<std::string()> &work);
    void require_equal(const DatabaseState &expected, Tolerance tolerance);

    // rehearsal_steps.cpp
    void create(RehearsedMigration &migration);
    void up(RehearsedMigration &migration, std::optional<int> steps = {});
    void down(RehearsedMigration &migration, std::optional<int> steps = {});
    void up_all();
    void down_all();
    std::string applied(const RehearsedMigration &migration); // 1101
    std::string applied_all();                                // of all, 1101/0000
    int decide_reviews(const std::string &migration);
    std::string closed_gate(const std::string &migration);
    std::string step_label(std::size_t migration, const std::string &before, const std::string &after);

    std::string verify_all();
    std::string record_way_up();
    std::string compare_way_down();
    std::string part_down();
    std::string redo();
    std::string kill_and_go_on(); // rehearsal_kill.cpp

    const RehearsalCopy &copy_;
    const RehearseOptions &options_;
    std::vector<RehearsedMigration> migrations_;
    std::optional<Connection> connection_;
    DatabaseState start_, end_;
    std::map<std::string, DatabaseState> on_the_way_; // by applied_all()
    std::vector<Scenario> scenarios_;
    std::vector<std::string> remarks_;
    bool decided_ = false; // reviews, for a gate
    std::string unusable_; // why what follows can't be run; empty: it can
};

} // namespace tenantmig::client

// How far a run has come, as tenantmig.runs and tenantmig.stat_progress tell, and the line that shows it.
#pragma once
#include "connection.hpp"
#include <optional>
#include <string>

namespace tenantmig::client {

struct Progress {
    std::string run, migration, state, error;
    std::string phase, relation, path, throttle; // empty where there is nothing to say
    double done = 0, total = 0, percent = 0;     // rows
    std::optional<double> rate, eta;             // rows/s; seconds
    std::optional<double> batch, hot;            // rows of a batch; share of HOT updates, 0 to 1
    unsigned workers = 0;

    // An undo leaves the state of the run as it was until it is done.
    [[nodiscard]] bool is_undo() const { return phase == "undo" && state != "rolled_back"; }
    [[nodiscard]] bool is_active() const {
        return state == "running" || state == "planned" || (is_undo() && workers > 0);
    }
};

// One statement, so that nothing holds a snapshot afterwards. Status 1 if there is no such run.
Progress read_progress(Connection &connection, const std::string &run);

// customers  [####....]  57 %  412,000/950,000  301,000 rows/s  ETA 2 s  batch 9,800  direct  HOT 76 %  2 workers
// With a bar: in at most so many columns, for which the least important parts are left out. Without: everything.
// `reserve`: columns that something else will take at its end.
std::string progress_bar(const Progress &progress, std::size_t width, std::size_t reserve);
std::string progress_text(const Progress &progress);

// As much of a text as fits into so many columns.
std::string fitting(const std::string &text, std::size_t width);

// 57 %, rounded down: 100 % is said of nothing that isn't done.
std::string percent_text(const Progress &progress);

// 2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h
std::string duration_text(double seconds);

} // namespace tenantmig::client

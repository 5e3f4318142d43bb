// What goes to standard error: errors, notices of the server, progress.
#pragma once
#include "client_error.hpp"
#include <string_view>

namespace tenantmig::client::messages {

// No progress, notices and remarks on the terminal from now on (a log has them all the same); errors are always shown.
void set_quiet(bool quiet);

// error: MESSAGE, then DETAIL, HINT, LOCATION and SQLSTATE as far as there are any.
void show_error(const ErrorText &text);

// A line about what was done, or what to do next.
void show_remark(std::string_view text);

// How far something has come: a line that overwrites its predecessor on a terminal, and else a line of its own. `alert`
// stands at its end, in colour on a terminal that has some.
void show_progress(std::string_view line, std::string_view alert = {});

// A line of its own in the place of an unfinished progress line, if there is one.
void finish_progress(std::string_view line);

// From now on progress comes from show_progress() alone; the server's own reports of it would stand in between.
void ignore_progress_notices(bool ignore);

// From now on notices of up and down about their steps are lines of columns.
void align_step_notices(bool align);

// A progress line stands there unfinished.
bool in_progress();

// Whether that descriptor is a terminal with colours, and nobody said NO_COLOR.
bool has_colours(int descriptor);

// Whether progress is shown on a terminal, and how many columns that has: COLUMNS, else what the terminal says,
// else 80.
bool progress_on_terminal();
std::size_t terminal_width();

// A notice of the server. Progress ("N of M rows, …") overwrites its predecessor on a terminal.
void show_notice(std::string_view severity, const ErrorText &text);

// Ends a progress line, so that what comes next starts a line of its own.
void end_progress();

} // namespace tenantmig::client::messages

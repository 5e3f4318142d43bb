// What goes to standard error: errors, notices of the server, progress.
#pragma once
#include "client_error.hpp"
#include <string_view>

namespace tenantmig::client::messages {

// No progress, notices and remarks from now on; errors are always shown.
void set_quiet(bool quiet);

// error: MESSAGE, then DETAIL, HINT, LOCATION and SQLSTATE as far as there are any.
void show_error(const ErrorText &text);

// A line about what was done, or what to do next.
void show_remark(std::string_view text);

// A notice of the server. Progress ("N of M rows, …") overwrites its predecessor on a terminal.
void show_notice(std::string_view severity, const ErrorText &text);

// Ends a progress line, so that what comes next starts a line of its own.
void end_progress();

} // namespace tenantmig::client::messages

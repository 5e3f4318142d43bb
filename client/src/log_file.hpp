// --log FILE: everything that goes to the terminal, and all notices, a time stamp in front of each line.
#pragma once
#include <string>
#include <string_view>

namespace tenantmig::client::log_file {

// Appends from now on; status 3 if the file cannot be opened for that.
void open(const std::string &path);

bool is_open();

// Text as it is printed; a line is written when it is complete. Does nothing without a log. A write that fails is said
// once on standard error, and nothing is written any more.
void write(std::string_view text);

// The same for a line that overwrites its predecessor on a terminal: at most one a second.
void write_progress(std::string_view line);

// Whether something could not be written.
bool failed();

} // namespace tenantmig::client::log_file

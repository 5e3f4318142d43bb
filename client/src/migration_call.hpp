// CALL tenantmig.up and down from the client: progress while they are at work, and errors that say how to go on.
#pragma once
#include "call.hpp"
#include "connection.hpp"
#include "output.hpp"
#include "spec_file.hpp"
#include <string>

namespace tenantmig::client {

// One migration of several, as progress shows it; the columns of all of them line up.
struct CallLabel {
    std::size_t number = 1, count = 1;
    std::string file, migration;                // file empty: there is none
    std::size_t file_width = 0, name_width = 0; // display columns
    const SpecFile *spec = nullptr;             // for the place of an error
};

// Runs the call to its end and prints a line for it, which begins with the label and ends with what `outcome` says of
// it and the time. Errors: status 5 where the gate is closed, 130 and 2 with what to do next.
void call_with_label(Connection &connection, const Call &call, const CallLabel &label, const char *outcome);

// The server notices within seconds that a client has died, and ends what it did for it.
void watch_for_death(Connection &connection);

// The attempts at steps of these migrations since then.
Result execution_log(Connection &connection, const std::vector<std::string> &migrations, std::int64_t after);

// The number of the last attempt, for execution_log().
std::int64_t last_attempt(Connection &connection);

// Prints the log on standard output; as a table only if it has rows, and without what is for machines.
void print_execution_log(const Result &log, Format format);

} // namespace tenantmig::client

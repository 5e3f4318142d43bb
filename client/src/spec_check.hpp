// Specs on their way to the server, and where in their file an error belongs to.
#pragma once
#include "commands.hpp"
#include "core/spec.hpp"
#include "spec_file.hpp"
#include <string>

namespace tenantmig::client {

// What the document alone tells, checked without a server. An error gets the line that its path stands in.
core::Spec checked(const SpecFile &file);

// Sends a document to a function of the server; what the server finds wrong with it is an error about the document too.
Result send_spec(Connection &connection, const std::string &sql, const SpecFile &file);

// The path in the document that an error's message begins with: spec: steps[0].backfill.table: …; empty: none.
std::string path_in(const std::string &message);

// Whether the argument SPEC|NAME is a file.
bool is_file(const Target &target);

} // namespace tenantmig::client

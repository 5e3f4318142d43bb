// {file: x.sql} in the place of a text of a sql step: read by the client, which sends the text.
#pragma once
#include "spec_file.hpp"
#include <string>

namespace tenantmig::client {

enum class SqlFiles {
    within_folder, // of the spec; links that lead out of it are followed nowhere
    anywhere       // absolute paths, and ..
};

// Puts the files' text into the document. Names are relative to `folder`. CRLF becomes LF, as in YAML, so that a spec
// is the same on every machine. Status 3, with the path and the place in the spec: a file that is not there, or outside
// of the folder, empty, over 16 MiB, not UTF-8, or with a NUL byte. What is no such object is left to the parser.
void read_sql_files(SpecFile &spec, const std::string &folder, SqlFiles where);

} // namespace tenantmig::client

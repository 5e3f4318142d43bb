// tenantmig rehearse: a migration is taken up and down in a copy of the database before it meets production.
#pragma once
#include "commands.hpp"
#include <optional>
#include <string>

namespace tenantmig::client {

struct RehearseOptions {
    std::string file;                         // a spec, or a directory of them
    std::optional<std::string> rehearsal_dsn; // a database that is filled, or used as it is (filled)
    bool filled = false;                      // --rehearsal-dsn leads to a copy that is there already
    bool same_server = false;                 // in a new database beside the source
    bool schema_only = false;                 // no row of the source is read
    std::optional<std::string> rows;          // generated, per table; with schema_only
    std::optional<std::string> workers;
    bool keep = false;    // leave the copy
    std::string report;   // file of the report; empty: none
    std::string programs; // folder of pg_dump, pg_restore, initdb; empty: looked for
};

// commands_rehearse.cpp
ExitStatus rehearse(const GlobalOptions &global, const RehearseOptions &options);

} // namespace tenantmig::client

// A script of SQL statements, taken apart by PostgreSQL's own parser.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// While it lives, SQL text means what it meant when it was checked; what a statement SETs ends with it, too.
class ScriptSettings {
public:
    ScriptSettings();
    ~ScriptSettings();
    ScriptSettings(const ScriptSettings &) = delete;
    ScriptSettings &operator=(const ScriptSettings &) = delete;
    void use_search_path(const std::string &path);

private:
    int level_;
};

struct ScriptStatement {
    std::string text;              // without the semicolon
    std::string command;           // its command tag: CREATE TABLE, …
    std::size_t line = 1;          // in the script, from 1
    const char *refused = nullptr; // why no step may hold it; nullptr: it may
    bool outside_only = false;     // it can't run in a transaction of several statements
    bool session_only = false;     // its effect ends with the session
    bool reads = false;            // SELECT, VALUES, TABLE, without INTO and locks
    std::string new_index,
        index_table; // CREATE INDEX CONCURRENTLY: its name, if given, and the table, as SQL writes it
};

// `what` (up of step 2, …) begins the message of an error. 42601 with the statement's number and the place if it is no
// SQL; nothing is looked up in the catalogue.
std::vector<ScriptStatement> split_script(const std::string &script, const std::string &what);

// Runs one statement within the transaction that is open, under ScriptSettings; rows of its result are not kept. Needs
// an SPI connection.
void execute_statement(const std::string &statement);

} // namespace tenantmig

// A connection to the server: RAII over libpq. Errors keep SQLSTATE, DETAIL and HINT; notices go to messages.hpp.
#pragma once
#include "result.hpp"
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct pg_conn;

namespace tenantmig::client {

// As given on the command line; what is not given comes from libpq (PG* variables, service and password files).
struct ConnectOptions {
    std::string host, port, user, database; // database: a name, a URI or a conninfo string
    bool no_password = false;               // never ask for one
};

class Connection {
public:
    // Status 2 if the server cannot be reached or refuses us. Asks for a password on the terminal if the server wants
    // one.
    explicit Connection(const ConnectOptions &options);

    // One statement with text parameters. Errors of the server: status 1; a lost connection: 2; a signal cancels: 130.
    Result query(const std::string &sql, const std::vector<Cell> &parameters = {});

    [[nodiscard]] int server_version() const; // 150004
    [[nodiscard]] std::string server_version_text() const;
    [[nodiscard]] std::string database() const;
    [[nodiscard]] std::string user() const;

private:
    struct Close {
        void operator()(pg_conn *connection) const noexcept;
    };
    std::unique_ptr<pg_conn, Close> handle_;
};

// Whether the server is one that we can work with: its version, the extension, our rights, and the versions of
// extension, library and client. Throws with status 1.
void check_server(Connection &connection);

} // namespace tenantmig::client

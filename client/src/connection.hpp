// A connection to the server: RAII over libpq. Errors keep SQLSTATE, DETAIL and HINT; notices go to messages.hpp.
#pragma once
#include "result.hpp"
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

struct pg_conn;
struct pg_result;

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

    // The same in two steps, for a statement that goes on while another connection is asked how far it has come.
    // receive() gives nothing if there is no result after so many milliseconds (-1: waits for it); call it again then.
    void send(const std::string &sql, const std::vector<Cell> &parameters = {});
    std::optional<Result> receive(int milliseconds);

    // A second connection to where this one leads, as the same role; no password is asked for.
    [[nodiscard]] Connection another() const;

    // Connects again after the connection was lost; false if that fails, takes longer, or a signal comes.
    bool reconnect(int milliseconds);
    [[nodiscard]] std::string last_error() const;

    // The payload of the next notification on a channel that was listened to; nothing if none came for so many
    // milliseconds, or a signal did. Status 2 if the connection is lost.
    std::optional<std::string> notification(int milliseconds);
    void take_in(int milliseconds); // reads what comes within that time, for notification() to find; never fails

    [[nodiscard]] int server_version() const; // 150004
    [[nodiscard]] std::string server_version_text() const;
    [[nodiscard]] std::string database() const;
    [[nodiscard]] std::string user() const;

    // PG* variables with which a program of PostgreSQL reaches the same database of the same server as the same role,
    // password included; one whose value is empty must not be there.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> environment() const;

private:
    struct Close {
        void operator()(pg_conn *connection) const noexcept;
        void operator()(pg_result *result) const noexcept;
    };
    explicit Connection(pg_conn *made); // takes it, connected or not
    Result finished();

    std::unique_ptr<pg_conn, Close> handle_;
    std::unique_ptr<pg_result, Close> last_; // of the statement under way
    bool cancelled_ = false;                 // its cancellation was asked for
};

// Whether the server is one that we can work with: its version, the extension, our rights, and the versions of
// extension, library and client. Throws with status 1.
void check_server(Connection &connection);

} // namespace tenantmig::client

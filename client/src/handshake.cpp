#include "client_error.hpp"
#include "connection.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

constexpr int oldest_server = 150000;

std::string quoted_literal(const std::string &text) {
    std::string out = "'";
    for (const char c : text)
        out += c == '\'' ? std::string("''") : std::string(1, c);
    return out + "'";
}

// The library answers for itself: after an update of the files it may be another one than CREATE EXTENSION knew.
std::string library_version(Connection &connection) {
    try {
        return connection.query("SELECT tenantmig.version()").rows.at(0).at(0).value_or("unknown");
    } catch (const ClientError &error) {
        if (error.text().state == "42883") return "unknown"; // an extension without that function
        throw;
    }
}

} // namespace

void check_server(Connection &connection) {
    if (connection.server_version() < oldest_server)
        throw ClientError(ExitStatus::failure, fmt::format("the server is PostgreSQL {}, tenantmig needs 15 or later",
                                                           connection.server_version_text()));

    const Result found =
        connection.query("SELECT e.extversion, "
                         "(SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') FROM pg_catalog.pg_namespace n "
                         " WHERE n.nspname OPERATOR(pg_catalog.=) 'tenantmig'), current_user::pg_catalog.text "
                         "FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'tenantmig'");
    if (found.rows.empty())
        throw ClientError(
            ExitStatus::failure,
            fmt::format(R"(extension "tenantmig" is not installed in database "{}")", connection.database()), "",
            "CREATE EXTENSION tenantmig;  as a superuser, in this database");

    const auto &row = found.rows.front();
    if (row.at(1).value_or("f") != "t") {
        ErrorText text;
        text.message = fmt::format("role \"{}\" may not use tenantmig", row.at(2).value_or(""));
        text.detail = "It has no USAGE on schema tenantmig.";
        text.hint = fmt::format("SELECT tenantmig.grant_access({}, 'operator');  as a superuser; or 'reviewer', or "
                                "'viewer'",
                                quoted_literal(row.at(2).value_or("")));
        text.state = "42501";
        throw ClientError(ExitStatus::failure, text);
    }

    const std::string extension = row.at(0).value_or("unknown");
    const std::string library = library_version(connection);
    if (extension != TENANTMIG_VERSION || library != TENANTMIG_VERSION)
        throw ClientError(ExitStatus::failure, "the versions of client, library and extension differ",
                          fmt::format("client {}, library on the server {}, extension in database \"{}\" {}",
                                      TENANTMIG_VERSION, library, connection.database(), extension),
                          extension != library
                              ? "ALTER EXTENSION tenantmig UPDATE;  in this database, and a new connection"
                              : "use the client of the server's version");
}

} // namespace tenantmig::client

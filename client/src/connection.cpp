#include "connection.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "password.hpp"
#include <array>
#include <libpq-fe.h>

namespace tenantmig::client {

namespace {

struct Clear {
    void operator()(PGresult *result) const noexcept { PQclear(result); }
};
using ResultHandle = std::unique_ptr<PGresult, Clear>;

std::string field(const PGresult *result, int code) {
    const char *text = PQresultErrorField(result, code);
    return text == nullptr ? std::string() : std::string(text);
}

std::string trimmed(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
        text.pop_back();
    return text;
}

ErrorText error_text(const PGresult *result) {
    ErrorText text;
    text.message = field(result, PG_DIAG_MESSAGE_PRIMARY);
    if (text.message.empty()) text.message = trimmed(PQresultErrorMessage(result)); // made by libpq itself
    text.detail = field(result, PG_DIAG_MESSAGE_DETAIL);
    text.hint = field(result, PG_DIAG_MESSAGE_HINT);
    text.state = field(result, PG_DIAG_SQLSTATE);
    return text;
}

void on_notice(void * /*unused*/, const PGresult *result) {
    std::string severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity.empty()) severity = "notice";
    messages::show_notice(severity, error_text(result));
}

ColumnKind kind_of(Oid type) {
    switch (type) {
    case 20:   // bigint
    case 21:   // smallint
    case 23:   // integer
    case 26:   // oid
    case 700:  // real
    case 701:  // double precision
    case 1700: // numeric
        return ColumnKind::number;
    case 16:
        return ColumnKind::boolean;
    case 114:  // json
    case 3802: // jsonb
        return ColumnKind::json;
    default:
        return ColumnKind::text;
    }
}

Result copied(const PGresult *result) {
    Result copy;
    const int columns = PQnfields(result);
    const int rows = PQntuples(result);
    for (int at = 0; at < columns; ++at)
        copy.columns.push_back({PQfname(result, at), kind_of(PQftype(result, at))});
    copy.rows.reserve(static_cast<std::size_t>(rows));
    for (int row = 0; row < rows; ++row) {
        auto &cells = copy.rows.emplace_back();
        cells.reserve(static_cast<std::size_t>(columns));
        for (int at = 0; at < columns; ++at) {
            if (PQgetisnull(result, row, at) != 0)
                cells.emplace_back();
            else
                cells.emplace_back(
                    std::string(PQgetvalue(result, row, at), static_cast<std::size_t>(PQgetlength(result, row, at))));
        }
    }
    return copy;
}

void cancel(PGconn *connection) {
    std::array<char, 256> problem{};
    PGcancel *request = PQgetCancel(connection);
    if (request == nullptr) return;
    const bool sent = PQcancel(request, problem.data(), problem.size()) != 0;
    PQfreeCancel(request);
    if (!sent) messages::show_remark(std::string("could not send the cancel request: ") + problem.data());
}

PGconn *connect(const ConnectOptions &options, const std::string &password) {
    // In the order of psql: what a URI or conninfo says wins over the options before it, and never over those after.
    std::vector<const char *> keywords;
    std::vector<const char *> values;
    const auto add = [&](const char *keyword, const std::string &value) {
        if (value.empty()) return;
        keywords.push_back(keyword);
        values.push_back(value.c_str());
    };
    const std::string name = "tenantmig";
    const std::string encoding = "UTF8";
    add("host", options.host);
    add("port", options.port);
    add("user", options.user);
    add("password", password);
    add("dbname", options.database);
    add("fallback_application_name", name);
    add("client_encoding", encoding);
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    return PQconnectdbParams(keywords.data(), values.data(), 1);
}

} // namespace

void Connection::Close::operator()(pg_conn *connection) const noexcept {
    PQfinish(connection);
}

Connection::Connection(const ConnectOptions &options) : handle_(connect(options, "")) {
    if (handle_ && PQstatus(handle_.get()) == CONNECTION_BAD && PQconnectionNeedsPassword(handle_.get()) != 0 &&
        !options.no_password) {
        if (const auto password = ask_password(user())) handle_.reset(connect(options, *password));
    }
    if (!handle_) throw ClientError(ExitStatus::failure, "out of memory");
    if (PQstatus(handle_.get()) != CONNECTION_OK)
        throw ClientError(
            ExitStatus::connection, trimmed(PQerrorMessage(handle_.get())), "",
            "connection options are those of psql: -h, -p, -U, -d, and the variables PGHOST, PGSERVICE, …");
    PQsetNoticeReceiver(handle_.get(), on_notice, nullptr);
}

Result Connection::query(const std::string &sql, const std::vector<Cell> &parameters) {
    if (interrupt::requested()) throw ClientError(ExitStatus::interrupted, "interrupted");
    PGconn *connection = handle_.get();
    std::vector<const char *> values;
    values.reserve(parameters.size());
    for (const Cell &parameter : parameters)
        values.push_back(parameter ? parameter->c_str() : nullptr);

    ResultHandle last;
    bool cancelled = false;
    {
        const interrupt::Deferred deferred;
        bool sent = PQsendQueryParams(connection, sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                                      nullptr, nullptr, 0) != 0;
        while (sent) {
            while (PQisBusy(connection) != 0) {
                deferred.wait_readable(PQsocket(connection));
                if (interrupt::requested() && !cancelled) {
                    cancelled = true;
                    cancel(connection);
                }
                if (PQconsumeInput(connection) == 0) break;
            }
            ResultHandle next(PQgetResult(connection));
            if (!next) break;
            // the first error is the reason; what follows it says only that the connection is gone
            if (!last || PQresultStatus(last.get()) != PGRES_FATAL_ERROR) last = std::move(next);
        }
    }
    messages::end_progress();

    if (PQstatus(connection) == CONNECTION_BAD) {
        ErrorText text = last ? error_text(last.get()) : ErrorText{};
        if (text.message.empty()) text.message = trimmed(PQerrorMessage(connection));
        if (text.detail.empty())
            text.detail = "The connection was lost; a statement that had not committed was rolled back.";
        throw ClientError(ExitStatus::connection, text);
    }
    if (!last) throw ClientError(ExitStatus::failure, trimmed(PQerrorMessage(connection)));
    if (PQresultStatus(last.get()) == PGRES_TUPLES_OK) return copied(last.get());
    ErrorText text = error_text(last.get());
    if (cancelled && text.state == "57014")
        throw ClientError(ExitStatus::interrupted, "interrupted",
                          "The statement was cancelled on the server and rolled back; it left nothing.");
    if (text.state == "42501" && text.hint.empty())
        text.hint = "What a role may do with tenantmig is opened by tenantmig.grant_access(role, level): viewer, "
                    "reviewer, operator. User tables need their owner's privileges all the same.";
    throw ClientError(ExitStatus::failure, text);
}

int Connection::server_version() const {
    return PQserverVersion(handle_.get());
}

std::string Connection::server_version_text() const {
    const char *text = PQparameterStatus(handle_.get(), "server_version");
    return text == nullptr ? "unknown" : text;
}

std::string Connection::database() const {
    const char *text = PQdb(handle_.get());
    return text == nullptr ? "" : text;
}

std::string Connection::user() const {
    const char *text = PQuser(handle_.get());
    return text == nullptr ? "" : text;
}

} // namespace tenantmig::client

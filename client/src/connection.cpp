#include "connection.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "password.hpp"
#include <array>
#include <chrono>
#include <libpq-fe.h>

namespace tenantmig::client {

namespace {

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

void require_connected(const PGconn *connection) {
    if (PQstatus(connection) == CONNECTION_OK) return;
    throw ClientError(ExitStatus::connection, trimmed(PQerrorMessage(connection)), "",
                      "connection options are those of psql: -h, -p, -U, -d, and the variables PGHOST, PGSERVICE, …");
}

} // namespace

void Connection::Close::operator()(pg_conn *connection) const noexcept {
    PQfinish(connection);
}

void Connection::Close::operator()(pg_result *result) const noexcept {
    PQclear(result);
}

Connection::Connection(const ConnectOptions &options) : Connection(connect(options, "")) {
    if (PQstatus(handle_.get()) == CONNECTION_BAD && PQconnectionNeedsPassword(handle_.get()) != 0 &&
        !options.no_password) {
        if (const auto password = ask_password(user())) *this = Connection(connect(options, *password));
    }
    require_connected(handle_.get());
}

Connection::Connection(pg_conn *made) : handle_(made) {
    if (!handle_) throw ClientError(ExitStatus::failure, "out of memory");
    PQsetNoticeReceiver(handle_.get(), on_notice, nullptr);
}

Connection Connection::another() const {
    const auto release = [](PQconninfoOption *options) { PQconninfoFree(options); };
    const std::unique_ptr<PQconninfoOption, decltype(release)> options(PQconninfo(handle_.get()), release);
    std::vector<const char *> keywords;
    std::vector<const char *> values;
    for (const PQconninfoOption *option = options.get(); option != nullptr && option->keyword != nullptr; ++option) {
        if (option->val == nullptr) continue;
        keywords.push_back(option->keyword);
        values.push_back(option->val);
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    Connection second(PQconnectdbParams(keywords.data(), values.data(), 0));
    require_connected(second.handle_.get());
    return second;
}

bool Connection::reconnect(int milliseconds) {
    using std::chrono::steady_clock;
    const auto limit = steady_clock::now() + std::chrono::milliseconds(milliseconds);
    PGconn *connection = handle_.get();
    last_.reset();
    const interrupt::Deferred deferred;
    if (PQresetStart(connection) == 0) return false;
    for (PostgresPollingStatusType wants = PGRES_POLLING_WRITING; wants != PGRES_POLLING_OK;
         wants = PQresetPoll(connection)) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - steady_clock::now()).count();
        if (wants == PGRES_POLLING_FAILED || left <= 0 || interrupt::requested()) return false;
        if (wants == PGRES_POLLING_READING)
            deferred.wait_readable(PQsocket(connection), static_cast<int>(left));
        else
            deferred.wait_writable(PQsocket(connection), static_cast<int>(left));
    }
    return true;
}

std::optional<std::string> Connection::notification(int milliseconds) {
    using std::chrono::steady_clock;
    const auto limit = steady_clock::now() + std::chrono::milliseconds(milliseconds);
    PGconn *connection = handle_.get();
    const interrupt::Deferred deferred;
    const auto release = [](PGnotify *notify) { PQfreemem(notify); };
    while (true) {
        const bool connected = PQconsumeInput(connection) != 0 && PQstatus(connection) == CONNECTION_OK;
        const std::unique_ptr<PGnotify, decltype(release)> next(PQnotifies(connection), release);
        if (next) return std::string(next->extra); // those that came before the connection was lost, too
        if (!connected) throw ClientError(ExitStatus::connection, last_error());
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - steady_clock::now()).count();
        if (left <= 0 || interrupt::requested()) return std::nullopt;
        deferred.wait_readable(PQsocket(connection), static_cast<int>(left));
    }
}

void Connection::take_in(int milliseconds) {
    const interrupt::Deferred deferred;
    PGconn *connection = handle_.get();
    if (PQstatus(connection) == CONNECTION_OK && PQconsumeInput(connection) != 0)
        deferred.wait_readable(PQsocket(connection), milliseconds);
    else // a socket that is gone can always be read
        deferred.sleep(milliseconds);
}

std::string Connection::last_error() const {
    return trimmed(PQerrorMessage(handle_.get()));
}

Result Connection::query(const std::string &sql, const std::vector<Cell> &parameters) {
    const interrupt::Deferred deferred;                 // over both: a signal in between must cancel the statement too
    const bool amid_progress = messages::in_progress(); // it may stand there for another connection
    send(sql, parameters);
    Result result = *receive(-1);
    if (!amid_progress) messages::end_progress(); // its own
    return result;
}

void Connection::send(const std::string &sql, const std::vector<Cell> &parameters) {
    if (interrupt::requested()) throw ClientError(ExitStatus::interrupted, "interrupted");
    std::vector<const char *> values;
    values.reserve(parameters.size());
    for (const Cell &parameter : parameters)
        values.push_back(parameter ? parameter->c_str() : nullptr);
    last_.reset();
    cancelled_ = false;
    // if it cannot even be sent, the connection says why when the result is asked for
    PQsendQueryParams(handle_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(), nullptr,
                      nullptr, 0);
}

std::optional<Result> Connection::receive(int milliseconds) {
    using std::chrono::steady_clock;
    const auto limit = steady_clock::now() + std::chrono::milliseconds(milliseconds);
    PGconn *connection = handle_.get();
    const interrupt::Deferred deferred;
    while (true) {
        while (PQisBusy(connection) != 0) {
            int left = -1;
            if (milliseconds >= 0)
                left = static_cast<int>(
                    std::chrono::duration_cast<std::chrono::milliseconds>(limit - steady_clock::now()).count());
            if (milliseconds >= 0 && left <= 0) return std::nullopt;
            deferred.wait_readable(PQsocket(connection), left);
            if (interrupt::requested() && !cancelled_) {
                cancelled_ = true;
                cancel(connection);
            }
            if (PQconsumeInput(connection) == 0) break;
        }
        std::unique_ptr<pg_result, Close> next(PQgetResult(connection));
        if (!next) break;
        // the first error is the reason; what follows it says only that the connection is gone
        if (!last_ || PQresultStatus(last_.get()) != PGRES_FATAL_ERROR) last_ = std::move(next);
    }
    return finished();
}

Result Connection::finished() {
    PGconn *connection = handle_.get();
    const std::unique_ptr<pg_result, Close> last = std::move(last_);
    if (PQstatus(connection) == CONNECTION_BAD) {
        ErrorText text = last ? error_text(last.get()) : ErrorText{};
        if (text.message.empty()) text.message = trimmed(PQerrorMessage(connection));
        if (text.detail.empty())
            text.detail = "The connection was lost; a statement that had not committed was rolled back.";
        throw ClientError(ExitStatus::connection, text);
    }
    if (!last) throw ClientError(ExitStatus::failure, trimmed(PQerrorMessage(connection)));
    if (PQresultStatus(last.get()) == PGRES_TUPLES_OK || PQresultStatus(last.get()) == PGRES_COMMAND_OK)
        return copied(last.get());
    ErrorText text = error_text(last.get());
    if (cancelled_ && text.state == "57014")
        throw ClientError(ExitStatus::interrupted, "interrupted",
                          "The statement was cancelled on the server and rolled back; it left nothing.");
    if (text.state == "42501" && text.hint.empty())
        text.hint = "What a role may do with tenantmig is opened by tenantmig.grant_access(role, level): viewer, "
                    "reviewer, operator. User tables need their owner's privileges all the same.";
    throw ClientError(ExitStatus::failure, text);
}

std::vector<std::pair<std::string, std::string>> Connection::environment() const {
    const auto release = [](PQconninfoOption *options) { PQconninfoFree(options); };
    const std::unique_ptr<PQconninfoOption, decltype(release)> options(PQconninfo(handle_.get()), release);
    std::vector<std::pair<std::string, std::string>> result;
    const auto text = [](const char *value) { return std::string(value == nullptr ? "" : value); };
    for (const PQconninfoOption *option = options.get(); option != nullptr && option->keyword != nullptr; ++option) {
        if (option->envvar == nullptr || option->val == nullptr) continue;
        const std::string_view keyword = option->keyword;
        if (keyword == "host") continue; // below: of several, the one that answered
        if (keyword == "port" || keyword == "hostaddr" || keyword == "dbname") continue;
        result.emplace_back(option->envvar, option->val);
    }
    result.emplace_back("PGHOST", text(PQhost(handle_.get())));
    result.emplace_back("PGPORT", text(PQport(handle_.get())));
    result.emplace_back("PGHOSTADDR", text(PQhostaddr(handle_.get())));
    result.emplace_back("PGDATABASE", database());
    result.emplace_back("PGSERVICE", "");
    return result;
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

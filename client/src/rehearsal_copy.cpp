#include "rehearsal_copy.hpp"
#include "backup.hpp"
#include "child_process.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "text.hpp"
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <random>

namespace tenantmig::client {

namespace {

constexpr const char *user_schemas = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

std::string identifier(const std::string &name) {
    std::string quoted = "\"";
    for (const char c : name)
        quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + "\"";
}

std::string literal(const std::string &text) {
    std::string quoted = "'";
    for (const char c : text)
        quoted += c == '\'' ? std::string("''") : std::string(1, c);
    return quoted + "'";
}

std::string random_name() {
    std::random_device source;
    return fmt::format("tenantmig_rehearsal_{:08x}", static_cast<unsigned>(source()));
}

// A folder for the dump, which goes with the object.
class DumpFolder {
public:
    explicit DumpFolder(const std::string &inside) {
        const char *place = std::getenv("TMPDIR");
        path_ = (inside.empty() ? std::string(place != nullptr && *place != '\0' ? place : "/tmp") : inside) +
                "/tenantmig_dump.XXXXXX";
        if (::mkdtemp(path_.data()) == nullptr)
            throw ClientError(ExitStatus::failure, fmt::format("could not make the folder \"{}\"", path_), "",
                              "TMPDIR=FOLDER names another place");
    }
    ~DumpFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    DumpFolder(const DumpFolder &) = delete;
    DumpFolder &operator=(const DumpFolder &) = delete;
    [[nodiscard]] std::string file() const { return path_ + "/copy.dump"; }

private:
    std::string path_;
};

using Environment = std::vector<std::pair<std::string, std::string>>;

void run_or_fail(const std::vector<std::string> &words, const Environment &environment, const char *doing) {
    const ProgramResult result = run_program({words, environment, {}, false});
    if (result.status == 0) return;
    std::string said = result.errors;
    while (!said.empty() && said.back() == '\n')
        said.pop_back();
    throw ClientError(ExitStatus::failure, fmt::format("could not {} the copy", doing),
                      said.empty() ? fmt::format("It ended with status {}.", result.status) : said,
                      fmt::format("the command was: {}", shell_text(words)));
}

std::string one(Connection &connection, const std::string &sql) {
    const Result result = connection.query(sql);
    return result.rows.empty() ? std::string() : result.rows.front().front().value_or("");
}

// Which database of which cluster this is.
std::string identity(Connection &connection) {
    return one(connection,
               "SELECT pg_catalog.concat(s.system_identifier, '/', d.oid) FROM pg_catalog.pg_control_system() "
               "s, pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) "
               "pg_catalog.current_database()");
}

} // namespace

RehearsalCopy::RehearsalCopy(const GlobalOptions &global, Connection &source, const RehearseOptions &options)
    : global_(global), options_(options), source_(source), place_(options.same_server     ? Place::same_server
                                                                  : options.rehearsal_dsn ? Place::elsewhere
                                                                                          : Place::cluster) {
    try {
        switch (place_) {
        case Place::cluster:
            make_cluster();
            break;
        case Place::same_server:
            make_database();
            break;
        case Place::elsewhere:
            take_elsewhere();
            break;
        }
    } catch (...) {
        interrupt::take();
        try {
            drop();
        } catch (const ClientError &error) { // the first error is the one that counts
            messages::show_remark(fmt::format("the copy is still there: {}", where_));
        }
        throw;
    }
}

RehearsalCopy::~RehearsalCopy() {
    interrupt::take();
    try {
        drop();
    } catch (const std::exception &) {
        messages::show_remark(fmt::format("the copy could not be dropped: {}", where_));
    }
}

void RehearsalCopy::make_cluster() {
    const std::string programs = find_programs(source_.server_version(), options_.programs, "initdb");
    cluster_ = std::make_unique<ThrowawayCluster>(cluster_options_like(source_, programs));
    Connection administrator = cluster_->connect();
    copy_roles(source_, administrator, true);
    database_ = source_.database();
    if (database_ != "postgres" && database_ != "template1")
        administrator.query(fmt::format("CREATE DATABASE {} TEMPLATE template0", identifier(database_)));
    target_ = cluster_->connect_options(database_);
    where_ = fmt::format("database \"{}\" in {}", database_, cluster_->folder());
    fill(cluster_->connect_words(), cluster_->folder());
    target_.user = source_.user();
}

void RehearsalCopy::make_database() {
    if (global_.connect.database.find('=') != std::string::npos ||
        global_.connect.database.find("://") != std::string::npos)
        throw ClientError(ExitStatus::usage, "--same-server needs the server by --host and --port", "",
                          "a URI or a conninfo string leads to one database");
    database_ = random_name();
    where_ = fmt::format("database \"{}\" on the same server", database_);
    const Result like =
        source_.query("SELECT pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datlocprovider, "
                      "pg_catalog.to_jsonb(d) OPERATOR(pg_catalog.->>) 'daticulocale', "
                      "pg_catalog.to_jsonb(d) OPERATOR(pg_catalog.->>) 'datlocale' FROM pg_catalog.pg_database d "
                      "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()");
    const auto &row = like.rows.at(0);
    std::string sql = fmt::format("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
                                  identifier(database_), literal(row[0].value_or("")), literal(row[1].value_or("")),
                                  literal(row[2].value_or("")));
    if (row[3] == "i")
        sql += fmt::format(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(row[4] ? *row[4] : row[5].value_or("")));
    made_ = true; // before: a lost connection does not tell whether it was made
    try {
        source_.query(sql);
    } catch (const ClientError &error) {
        if (error.text().state != "42501") throw;
        throw ClientError(error.status(),
                          ErrorText{error.text().message, error.text().detail,
                                    "CREATEDB is needed for --same-server; or leave it out, for a throw-away cluster",
                                    error.text().state, ""});
    }
    source_.query(
        fmt::format("COMMENT ON DATABASE {} IS 'made by tenantmig rehearse; may be dropped'", identifier(database_)));
    target_ = global_.connect;
    target_.database = database_;
    fill({"--no-password"}, "");
}

void RehearsalCopy::take_elsewhere() {
    target_.database = *options_.rehearsal_dsn;
    target_.no_password = global_.connect.no_password;
    Connection there(target_);
    where_ = fmt::format("database \"{}\" of --rehearsal-dsn", there.database());
    if (identity(there) == identity(source_))
        throw ClientError(ExitStatus::failure, "the rehearsal database is the source itself",
                          fmt::format("Both are database \"{}\" of the same server.", source_.database()),
                          "name another database with --rehearsal-dsn, or leave it out");
    if (options_.filled) return;
    const std::string found = one(
        there, fmt::format("SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c JOIN "
                           "pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE {} ORDER "
                           "BY 1 LIMIT 1",
                           user_schemas));
    if (!found.empty())
        throw ClientError(ExitStatus::failure, "the rehearsal database is not empty",
                          fmt::format("It has {}, for example.", found),
                          "name an empty database; with --filled it is taken for a copy that is there already");
    made_ = true;
    fill({"--dbname=" + *options_.rehearsal_dsn}, "");
}

void RehearsalCopy::fill(const std::vector<std::string> &restore_words, const std::string &folder) {
    const std::string programs = find_programs(source_.server_version(), options_.programs, "pg_dump");
    DumpFolder dump(folder);
    std::vector<std::string> words{programs + "/pg_dump", "--format=custom", "--compress=0", "--no-subscriptions",
                                   "--file=" + dump.file()};
    if (options_.schema_only) words.push_back("--schema-only");
    words.push_back("--no-password");
    run_or_fail(words, source_.environment(), "dump the source for");

    std::vector<std::string> restore{programs + "/pg_restore", "--exit-on-error"};
    if (place_ == Place::elsewhere)
        for (const char *word : {"--no-owner", "--no-privileges"})
            restore.push_back(word);
    for (const std::string &word : restore_words)
        restore.push_back(word);
    if (place_ != Place::elsewhere) restore.push_back("--dbname=" + database_);
    restore.push_back(dump.file());
    run_or_fail(restore, place_ == Place::same_server ? source_.environment() : Environment(), "restore");
    Connection administrator(place_ == Place::cluster ? cluster_->connect(database_) : Connection(target_));
    administrator.query("ANALYZE");
}

Connection RehearsalCopy::connect() const {
    Connection connection(target_);
    check_server(connection);
    connection.query("SELECT pg_catalog.set_config('client_min_messages', 'warning', false)");
    return connection;
}

void RehearsalCopy::keep() {
    made_ = false;
    switch (place_) {
    case Place::cluster: // ends with us, see rehearse()
        break;
    case Place::same_server:
        messages::show_remark(fmt::format("the copy is kept: {}; DROP DATABASE {};", where_, identifier(database_)));
        break;
    case Place::elsewhere:
        messages::show_remark(fmt::format("the copy is kept: {}", where_));
        break;
    }
}

void RehearsalCopy::drop() {
    const interrupt::Deferred to_the_end;
    if (cluster_) cluster_.reset();
    if (!made_) return;
    if (place_ == Place::same_server) {
        Connection other = source_.another();
        other.query("SELECT pg_catalog.set_config('client_min_messages', 'error', false)");
        other.query(fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(database_)));
    } else if (place_ == Place::elsewhere) {
        clear();
    }
    made_ = false;
}

// A database that was empty is empty again.
void RehearsalCopy::clear() {
    Connection there(target_);
    there.query("SELECT pg_catalog.set_config('client_min_messages', 'error', false)");
    const auto drop_all = [&there](const char *what, const std::string &names) {
        const Result found = there.query(names);
        for (const auto &row : found.rows)
            there.query(fmt::format("DROP {} IF EXISTS {} CASCADE", what, row[0].value_or("")));
    };
    drop_all("PUBLICATION", "SELECT pg_catalog.quote_ident(p.pubname) FROM pg_catalog.pg_publication p");
    drop_all("EXTENSION", "SELECT pg_catalog.quote_ident(e.extname) FROM pg_catalog.pg_extension e WHERE e.extname "
                          "OPERATOR(pg_catalog.<>) 'plpgsql'");
    drop_all("EVENT TRIGGER", "SELECT pg_catalog.quote_ident(t.evtname) FROM pg_catalog.pg_event_trigger t");
    drop_all("SCHEMA", fmt::format("SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n WHERE {}",
                                   user_schemas));
    there.query("CREATE SCHEMA public");
    there.query("GRANT USAGE ON SCHEMA public TO PUBLIC");
}

} // namespace tenantmig::client

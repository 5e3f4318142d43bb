#include "throwaway_cluster.hpp"
#include "child_process.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "text.hpp"
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tenantmig::client {

namespace {

constexpr const char *port = "5432";                                     // of a socket in a folder of our own
constexpr std::size_t longest_folder = 80;                               // the path of a socket has room for 107 bytes
constexpr int start_limit = 120000, look_again = 50, stop_limit = 10000; // milliseconds
constexpr char start_order = 'S', has_died = 'D';

// Who runs the server: it refuses to run as root.
const passwd *server_user() {
    if (::geteuid() != 0) return nullptr;
    if (const passwd *user = ::getpwnam("postgres")) return user;
    throw ClientError(ExitStatus::failure, "could not make a throw-away cluster",
                      "PostgreSQL's server refuses to run as root, and there is no user postgres.",
                      "run this as another user than root");
}

std::string make_folder(const passwd *user) {
    const char *wanted = std::getenv("TMPDIR");
    std::string base = wanted != nullptr && wanted[0] == '/' ? wanted : "/tmp";
    if (base.size() > longest_folder) base = "/tmp";
    std::string path = base + "/tenantmig-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr ||
        (user != nullptr && ::chown(path.c_str(), user->pw_uid, user->pw_gid) != 0))
        throw ClientError(ExitStatus::failure, fmt::format("could not make a temporary folder in \"{}\"", base),
                          fmt::format("{}.", std::strerror(errno)), "TMPDIR names another place");
    return path;
}

// --- the guardian: a process that outlives us for as long as it takes to clean up
// --------------------------------------

struct Guardian {
    const char *folder;
    char *const *words; // of the server
    const passwd *user;
    int leash;
};

pid_t start_server(const Guardian &guardian) {
    const pid_t parent = ::getpid();
    const pid_t server = ::fork();
    if (server != 0) return server;
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
        std::signal(number, SIG_DFL);
    (void)setpgid(0, 0);
    const std::string log = std::string(guardian.folder) + "/log";
    const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(file, STDOUT_FILENO);
    ::dup2(file, STDERR_FILENO);
    ::close(guardian.leash);
    const passwd *user = guardian.user;
    if (user != nullptr && (setgid(user->pw_gid) != 0 || setgroups(0, nullptr) != 0 || setuid(user->pw_uid) != 0))
        _exit(127);
    if (prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0 || getppid() != parent) _exit(127);
    execv(guardian.words[0], guardian.words);
    _exit(127);
}

void stop_server(pid_t server) {
    (void)::kill(server, SIGQUIT); // at once: nothing in there is worth a checkpoint
    for (int waited = 0; waited < stop_limit; waited += look_again) {
        if (::waitpid(server, nullptr, WNOHANG) == server) return;
        (void)::poll(nullptr, 0, look_again);
    }
    (void)::kill(-server, SIGKILL);
    (void)::waitpid(server, nullptr, 0);
}

void remove_folder(const char *folder) {
    constexpr int attempts = 50; // somebody who was just ended may still be writing
    for (int attempt = 0; attempt < attempts; attempt++) {
        std::error_code problem;
        std::filesystem::remove_all(folder, problem);
        if (!problem) return;
        (void)::poll(nullptr, 0, look_again);
    }
}

// Until the leash ends, and that is when nobody holds its other end any more.
[[noreturn]] void guard(const Guardian &guardian) {
    (void)::setsid();
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
        std::signal(number, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    // connections of the client are to end with the client
    constexpr unsigned first = STDERR_FILENO + 1;
    const auto leash_number = static_cast<unsigned>(guardian.leash);
    if (leash_number > first) (void)::close_range(first, leash_number - 1, 0);
    (void)::close_range(leash_number + 1, ~0U, 0);
    const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) // nobody waits for the end of our output
        ::dup2(nothing, file);
    pid_t server = -1;
    while (true) {
        pollfd leash{guardian.leash, POLLIN, 0};
        (void)::poll(&leash, 1, look_again);
        if (server > 0 && ::waitpid(server, nullptr, WNOHANG) == server) {
            (void)!::write(guardian.leash, &has_died, 1);
            server = -1;
        }
        if (leash.revents == 0) continue;
        char order = 0;
        const ssize_t got = ::read(guardian.leash, &order, 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) break;
        if (order == start_order && server < 0) server = start_server(guardian);
    }
    if (server > 0) stop_server(server);
    remove_folder(guardian.folder);
    _exit(0);
}

std::vector<char *> pointers(std::vector<std::string> &texts) {
    std::vector<char *> result;
    for (std::string &text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

std::string conf_value(const std::string &value) {
    std::string text = "'";
    for (const char c : value) {
        if (c == '\'' || c == '\\') text += c;
        text += c;
    }
    return text + "'";
}

std::string last_lines(const std::string &text, std::size_t count) {
    std::size_t at = text.size();
    while (at > 0 && text[at - 1] == '\n')
        at--;
    const std::size_t end = at;
    for (std::size_t lines = 0; at > 0; at--)
        if (text[at - 1] == '\n' && ++lines == count) break;
    return text.substr(at, end - at);
}

} // namespace

ThrowawayCluster::ThrowawayCluster(const ClusterOptions &options) {
    const passwd *user = server_user();
    folder_ = make_folder(user);
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        ::rmdir(folder_.c_str());
        throw ClientError(ExitStatus::failure, "could not make a socket", fmt::format("{}.", std::strerror(errno)));
    }
    std::vector<std::string> words{options.programs + "/postgres", "-D", folder_ + "/data"};
    const std::vector<char *> argv = pointers(words);
    {
        const interrupt::Deferred deferred; // a signal finds either no guardian, or one that cleans up
        guardian_ = ::fork();
        if (guardian_ == 0) {
            ::close(ends[0]);
            guard({folder_.c_str(), argv.data(), user, ends[1]});
        }
    }
    ::close(ends[1]);
    leash_ = ends[0];
    if (guardian_ < 0) {
        ::close(leash_);
        ::rmdir(folder_.c_str());
        throw ClientError(ExitStatus::failure, "could not start a process", fmt::format("{}.", std::strerror(errno)));
    }
    try {
        make(options);
        start(options);
    } catch (...) {
        finish();
        throw;
    }
}

ThrowawayCluster::~ThrowawayCluster() {
    finish();
}

void ThrowawayCluster::finish() noexcept {
    if (leash_ >= 0) ::close(leash_);
    leash_ = -1;
    int status = 0;
    while (guardian_ > 0 && ::waitpid(guardian_, &status, 0) < 0 && errno == EINTR) {
    }
    guardian_ = -1;
}

void ThrowawayCluster::make(const ClusterOptions &options) {
    ProgramCall call;
    call.words = {options.programs + "/initdb",
                  "--pgdata=" + folder_ + "/data",
                  "--username=postgres",
                  "--auth=trust",
                  "--no-sync",
                  "--no-instructions"};
    if (!options.encoding.empty()) call.words.push_back("--encoding=" + options.encoding);
    if (!options.collate.empty()) call.words.push_back("--lc-collate=" + options.collate);
    if (!options.ctype.empty()) call.words.push_back("--lc-ctype=" + options.ctype);
    if (options.checksums) call.words.emplace_back("--data-checksums");
    call.environment = {{"PGDATA", ""}, {"PGOPTIONS", ""}};
    call.folder = folder_;
    call.as_server_user = true;
    const ProgramResult result = run_program(call);
    if (result.status != 0)
        throw ClientError(ExitStatus::failure, "could not make a throw-away cluster",
                          printable(last_lines(result.errors, 3), LineBreaks::keep),
                          "initdb said so; the locale of the database has to be there on this machine, and room in "
                          "TMPDIR");
    std::string conf =
        fmt::format("listen_addresses = ''\nunix_socket_directories = {}\nunix_socket_permissions = 0700\n"
                    "port = {}\nfsync = off\nfull_page_writes = off\nsynchronous_commit = off\n"
                    "max_connections = 50\nmax_worker_processes = 16\nmax_wal_size = 4GB\n"
                    "checkpoint_timeout = 30min\nlog_checkpoints = off\nlogging_collector = off\n"
                    "log_line_prefix = '%m [%p] '\n",
                    conf_value(folder_), port);
    for (const auto &[name, value] : options.settings)
        conf += fmt::format("{} = {}\n", name, conf_value(value));
    std::ofstream file(folder_ + "/data/postgresql.conf", std::ios::app);
    file << conf;
    file.close();
    if (!file) throw ClientError(ExitStatus::failure, "could not write the throw-away cluster's settings");
}

void ThrowawayCluster::start(const ClusterOptions & /*options*/) {
    using std::chrono::steady_clock;
    const auto limit = steady_clock::now() + std::chrono::milliseconds(start_limit);
    const interrupt::Deferred deferred;
    if (::write(leash_, &start_order, 1) != 1)
        throw ClientError(ExitStatus::failure, "the guardian of the throw-away cluster has gone");
    ConnectOptions there = connect_options();
    there.no_password = true;
    std::string problem;
    while (true) {
        if (interrupt::requested()) throw ClientError(ExitStatus::interrupted, "interrupted");
        pollfd leash{leash_, POLLIN, 0};
        const bool died = ::poll(&leash, 1, 0) > 0;
        if (!died) {
            try {
                Connection connection(there);
                connection.query("SELECT 1");
                return;
            } catch (const ClientError &error) {
                if (error.status() == ExitStatus::interrupted) throw;
                problem = error.text().message;
            }
        }
        if (died || steady_clock::now() > limit)
            throw ClientError(ExitStatus::failure, "the throw-away cluster did not start",
                              printable(died ? log() : problem, LineBreaks::keep));
        deferred.sleep(look_again);
    }
}

ConnectOptions ThrowawayCluster::connect_options(const std::string &database) const {
    ConnectOptions options;
    options.host = folder_;
    options.port = port;
    options.user = "postgres";
    options.database = database;
    options.no_password = true;
    return options;
}

Connection ThrowawayCluster::connect(const std::string &database) const {
    return Connection(connect_options(database));
}

std::vector<std::string> ThrowawayCluster::connect_words() const {
    return {"--host=" + folder_, fmt::format("--port={}", port), "--username=postgres", "--no-password"};
}

std::string ThrowawayCluster::log() const {
    std::ifstream file(folder_ + "/log");
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return last_lines(text, 5);
}

ClusterOptions cluster_options_like(Connection &source, const std::string &programs) {
    ClusterOptions options;
    options.programs = programs;
    const Result database = source.query(
        "SELECT pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype FROM pg_catalog.pg_database d "
        "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()");
    options.encoding = database.rows.at(0).at(0).value_or("");
    options.collate = database.rows.at(0).at(1).value_or("");
    options.ctype = database.rows.at(0).at(2).value_or("");
    // Those that only superusers may see are not listed for others.
    const Result settings = source.query(
        "SELECT s.name, s.setting FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) ANY "
        "(ARRAY['extension_destdir', 'dynamic_library_path', 'shared_preload_libraries', 'extension_control_path', "
        "'tenantmig.lock_attempts']) AND s.setting OPERATOR(pg_catalog.<>) ''");
    for (const auto &row : settings.rows)
        options.settings.emplace_back(row.at(0).value_or(""), row.at(1).value_or(""));
    return options;
}

void copy_roles(Connection &from, Connection &to, bool logins) {
    const Result roles = from.query(
        "SELECT pg_catalog.format('CREATE ROLE %I %s %s %s %s %s %s', r.rolname, CASE WHEN r.rolsuper THEN 'SUPERUSER' "
        "ELSE 'NOSUPERUSER' END, CASE WHEN r.rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END, CASE WHEN r.rolcreaterole "
        "THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END, "
        "CASE "
        "WHEN r.rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END, CASE WHEN r.rolcanlogin AND $1::pg_catalog.bool "
        "THEN 'LOGIN' ELSE 'NOLOGIN' END), r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.left(r.rolname, 3) "
        "OPERATOR(pg_catalog.<>) 'pg_' ORDER BY r.oid",
        {logins ? "true" : "false"});
    for (const auto &row : roles.rows)
        if (to.query("SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) $1", {row.at(1)})
                .rows.empty())
            to.query(row.at(0).value_or(""));
    const Result members = from.query(
        "SELECT pg_catalog.format('GRANT %I TO %I%s', g.rolname, r.rolname, CASE WHEN "
        "pg_catalog.bool_or(m.admin_option) "
        "THEN ' WITH ADMIN OPTION' ELSE '' END) FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid "
        "OPERATOR(pg_catalog.=) m.roleid JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) m.member WHERE "
        "pg_catalog.left(r.rolname, 3) OPERATOR(pg_catalog.<>) 'pg_' GROUP BY g.rolname, r.rolname");
    for (const auto &row : members.rows)
        to.query(row.at(0).value_or(""));
}

} // namespace tenantmig::client

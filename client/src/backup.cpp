#include "backup.hpp"
#include "backup_parts.hpp"
#include "child_process.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "output_file.hpp"
#include "text.hpp"
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tenantmig::client {

namespace {

namespace fs = std::filesystem;

constexpr const char *partial_prefix = ".partial-";
constexpr const char *default_lock_wait = "60";

[[noreturn]] void fail_folder(const char *what, const std::string &path, const std::string &why) {
    throw ClientError(ExitStatus::failure, fmt::format("could not {} \"{}\"", what, printable(path)), why + ".");
}

// A backup on its way: a folder that nobody takes for one, locked for as long as its maker lives.
class PartialFolder {
public:
    explicit PartialFolder(const std::string &directory) : directory_(directory) {
        std::error_code problem;
        fs::create_directories(directory, problem);
        if (problem) fail_folder("make the folder", directory, problem.message());
        remove_left();
        path_ = directory + "/" + partial_prefix + "XXXXXX";
        if (::mkdtemp(path_.data()) == nullptr) fail_folder("make a folder in", directory, std::strerror(errno));
        lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock_ >= 0) (void)::flock(lock_, LOCK_EX | LOCK_NB);
    }
    ~PartialFolder() {
        std::error_code problem;
        if (!path_.empty()) fs::remove_all(path_, problem);
        if (lock_ >= 0) ::close(lock_);
    }
    PartialFolder(const PartialFolder &) = delete;
    PartialFolder &operator=(const PartialFolder &) = delete;

    [[nodiscard]] const std::string &path() const { return path_; }

    // On the disk, and under its name. Returns where it is.
    std::string complete(const std::string &name) {
        sync_all();
        for (int attempt = 1;; attempt++) {
            const std::string wanted =
                fmt::format("{}/{}{}", directory_, name, attempt == 1 ? "" : fmt::format("-{}", attempt));
            std::error_code problem;
            if (fs::exists(wanted, problem)) continue;
            if (::rename(path_.c_str(), wanted.c_str()) != 0) {
                if (errno == EEXIST || errno == ENOTEMPTY) continue; // somebody else was faster
                fail_folder("rename the folder to", wanted, std::strerror(errno));
            }
            path_.clear();
            sync(directory_);
            const fs::path whole = fs::canonical(wanted, problem);
            return problem ? wanted : whole.string();
        }
    }

private:
    static void sync(const std::string &path) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        const int result = file < 0 ? -1 : ::fsync(file);
        const int why = errno;
        if (file >= 0) ::close(file);
        if (result != 0) fail_folder("write", path, std::strerror(why));
    }

    void sync_all() const {
        for (const std::string &file : files_below(path_))
            sync(path_ + "/" + file);
        sync(path_);
    }

    // Of those who were killed.
    void remove_left() const {
        std::error_code problem;
        for (fs::directory_iterator at(directory_, problem), end; !problem && at != end; at.increment(problem)) {
            const std::string path = at->path().string();
            if (!at->path().filename().string().starts_with(partial_prefix) || at->is_symlink(problem)) continue;
            const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            if (folder < 0) continue;
            std::error_code ignored;
            if (::flock(folder, LOCK_EX | LOCK_NB) == 0) fs::remove_all(path, ignored);
            ::close(folder);
        }
    }

    std::string directory_, path_;
    int lock_ = -1;
};

std::string file_name_part(const std::string &name) {
    std::string text;
    for (const char c : name) {
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        text += plain ? c : '_';
    }
    constexpr std::size_t longest = 100;
    return text.substr(0, longest);
}

struct Source { // what is backed up, as one snapshot sees it
    std::string snapshot, taken_at, stamp, version, system, encoding, collate, ctype;
    std::vector<CountedTable> tables;
    std::vector<std::string> patterns; // of --table, with tables_only
};

// The tenant keys of tables, by "schema"."table".
using Keys = std::vector<std::pair<std::string, std::vector<std::string>>>;

// `only`: of this migration; else of all that we may ask for.
Keys read_keys(Connection &connection, const std::string &only) {
    std::vector<std::string> migrations{only};
    if (only.empty()) {
        migrations.clear();
        for (const auto &row : connection.query("SELECT m.migration FROM tenantmig.migrations m ORDER BY 1").rows)
            migrations.push_back(row.at(0).value_or(""));
    }
    Keys keys;
    for (const std::string &migration : migrations) {
        try {
            const Result tables =
                connection.query("SELECT w.schema_name, w.table_name, pg_catalog.to_json(w.key_columns) FROM "
                                 "tenantmig.written_tables($1) w",
                                 {migration});
            for (const auto &row : tables.rows) {
                CountedTable table{row.at(0).value_or(""), row.at(1).value_or(""), {}, 0, {}};
                const auto columns = nlohmann::json::parse(row.at(2).value_or("[]")).get<std::vector<std::string>>();
                auto entry =
                    std::find_if(keys.begin(), keys.end(), [&](const auto &e) { return e.first == table.label(); });
                if (entry == keys.end()) entry = keys.insert(keys.end(), {table.label(), {}});
                for (const std::string &column : columns)
                    if (std::find(entry->second.begin(), entry->second.end(), column) == entry->second.end())
                        entry->second.push_back(column);
            }
        } catch (const ClientError &error) {
            if (!only.empty() || error.text().state != "42501") throw;
        }
    }
    return keys;
}

void require_migration(Connection &connection, const std::string &name) {
    if (connection.query("SELECT 1 FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1", {name})
            .rows.empty())
        no_such_migration(name);
}

// A transaction that goes on until everything that has to agree is read.
Source begin(Connection &connection, const BackupRequest &request, const Keys &keys) {
    Source source;
    connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
    // a number is of all rows, or an error
    for (const char *setting :
         {"row_security = off", "statement_timeout = 0", "idle_in_transaction_session_timeout = 0",
          "search_path = pg_catalog, pg_temp", "timezone = 'UTC'", "datestyle = 'ISO'"})
        connection.query(fmt::format("SET LOCAL {}", setting));
    const Result facts = connection.query(
        "SELECT pg_export_snapshot(), now(), to_char(now(), 'YYYYMMDD\"T\"HH24MISS\"Z\"'), "
        "current_setting('server_version'), CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE') THEN "
        "(SELECT s.system_identifier::text FROM pg_control_system() s) ELSE '' END, pg_encoding_to_char(d.encoding), "
        "d.datcollate, d.datctype FROM pg_database d WHERE d.datname = current_database()");
    const auto cell = [&facts](std::size_t at) { return facts.rows.at(0).at(at).value_or(""); };
    source.snapshot = cell(0);
    source.taken_at = cell(1);
    source.stamp = cell(2);
    source.version = cell(3);
    source.system = cell(4);
    source.encoding = cell(5);
    source.collate = cell(6);
    source.ctype = cell(7);
    // Tables of extensions are dumped as far as the extension says so.
    const Result tables = connection.query(
        "SELECT n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
        "c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
        "AND "
        "(NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype "
        "= "
        "'e') OR EXISTS (SELECT FROM pg_extension e, unnest(e.extconfig, e.extcondition) x (relation, condition) WHERE "
        "x.relation = c.oid AND x.condition = '')) ORDER BY 1, 2");
    for (const auto &row : tables.rows) {
        CountedTable table{row.at(0).value_or(""), row.at(1).value_or(""), {}, 0, {}};
        const auto entry =
            std::find_if(keys.begin(), keys.end(), [&](const auto &e) { return e.first == table.label(); });
        if (request.tables_only && entry == keys.end()) continue;
        if (entry != keys.end()) table.keys = entry->second;
        if (request.tables_only) source.patterns.push_back(table.label());
        if (row.at(2).value_or("") == "r") source.tables.push_back(std::move(table)); // rows are in partitions
    }
    if (request.tables_only && source.patterns.empty())
        throw ClientError(ExitStatus::failure,
                          fmt::format("migration \"{}\" writes no table that is there", printable(request.migration)),
                          "", "leave out --tables-only: then it is a backup of the database");
    return source;
}

struct Explanation {
    const char *said, *message, *hint;
};
constexpr Explanation explanations[] = {
    {"No space left on device", "the disk is full", "make room, or name another folder: --to DIR"},
    {"File too large", "a file grew over the limit on file sizes", "ulimit -f is too small for a backup"},
    {"Disk quota exceeded", "the disk quota is used up", "make room, or name another folder: --to DIR"},
    {"permission denied for", "pg_dump may not read everything",
     "connect as the owner of the database's tables, or GRANT pg_read_all_data TO the role"},
    {"row-level security", "rows would be missing from the backup because of row-level security",
     "connect as the tables' owner (without FORCE ROW LEVEL SECURITY), or a role with BYPASSRLS"},
    {"lock timeout", "a table stayed locked",
     "somebody changes its definition; try again, or wait longer: --lock-wait"},
    {"server version mismatch", "pg_dump is older than the server", "name the folder of a newer one: --pg-bindir DIR"},
};

[[noreturn]] void fail_program(const std::string &program, const ChildProcess &child) {
    constexpr int signal_base = 128, size_signal = 25; // SIGXFSZ
    const std::string said = child.errors();
    if (child.status() == signal_base + size_signal)
        throw ClientError(ExitStatus::failure,
                          fmt::format("{} failed: a file grew over the limit on file sizes", program),
                          printable(said, LineBreaks::keep), "ulimit -f is too small for a backup");
    for (const Explanation &known : explanations)
        if (said.find(known.said) != std::string::npos)
            throw ClientError(ExitStatus::failure, fmt::format("{} failed: {}", program, known.message),
                              printable(said, LineBreaks::keep), known.hint);
    throw ClientError(ExitStatus::failure,
                      child.status() > signal_base
                          ? fmt::format("{} was ended by signal {}", program, child.status() - signal_base)
                          : fmt::format("{} failed with status {}", program, child.status()),
                      printable(said, LineBreaks::keep));
}

// --- the steps of a backup
// ---------------------------------------------------------------------------------------------

class Backup {
public:
    Backup(Connection &connection, const BackupRequest &request)
        : connection_(connection), request_(request),
          programs_(find_programs(connection.server_version(), request.programs)), folder_(request.directory) {}

    TakenBackup take() {
        keys_ = request_.unregistered && request_.migration.empty() ? safe_keys()
                                                                    : read_keys(connection_, request_.migration);
        source_ = begin(connection_, request_, keys_);
        dump();
        check_list();
        if (request_.tables_only) dump_schema();
        connection_.query("COMMIT");
        if (request_.restore_test)
            restore_test(connection_, programs_, folder_.path(), request_.tables_only, request_.jobs, source_.tables);
        return finish();
    }

private:
    Keys safe_keys() { return read_keys(connection_, ""); }

    ProgramCall program(const char *name) const {
        ProgramCall call;
        call.words = {programs_ + "/" + name};
        // Passwords go through the environment, which nobody else can read, and never through the command line.
        call.environment = connection_.environment();
        call.environment.emplace_back("LC_ALL", "C");
        call.environment.emplace_back("PG_COLOR", "never");
        return call;
    }

    bool parallel() const { return request_.jobs && *request_.jobs != "1"; }

    ProgramCall dump_call(const std::string &file) const {
        ProgramCall call = program("pg_dump");
        for (const std::string &word :
             {std::string("--no-password"), "--snapshot=" + source_.snapshot, "--file=" + folder_.path() + "/" + file,
              fmt::format("--lock-wait-timeout={}s", request_.lock_wait.value_or(default_lock_wait))})
            call.words.push_back(word);
        return call;
    }

    void dump() {
        ProgramCall call = dump_call("dump");
        call.words.emplace_back(parallel() ? "--format=directory" : "--format=custom");
        if (parallel()) call.words.push_back("--jobs=" + *request_.jobs);
        if (request_.compress) call.words.push_back("--compress=" + *request_.compress);
        for (const std::string &pattern : source_.patterns)
            call.words.push_back("--table=" + pattern);
        ChildProcess child(call);
        count(child);
        while (!child.wait(250))
            task_.show(fmt::format("{} written", bytes_text(written())));
        if (child.status() != 0) fail_program("pg_dump", child);
    }

    std::uint64_t written() const {
        std::uint64_t bytes = 0;
        std::error_code problem;
        for (fs::recursive_directory_iterator at(folder_.path(), problem), end; !problem && at != end;
             at.increment(problem)) {
            std::error_code gone;
            const auto size = at->is_regular_file(gone) ? at->file_size(gone) : 0;
            if (!gone) bytes += size;
        }
        return bytes;
    }

    // While pg_dump is at work; what it says comes first.
    void count(ChildProcess &child) {
        std::size_t done = 0;
        for (CountedTable &table : source_.tables) {
            connection_.send(table.count_query());
            std::optional<Result> counted;
            try {
                while (!(counted = connection_.receive(200))) {
                    if (child.wait(0) && child.status() != 0) fail_program("pg_dump", child);
                    task_.show(fmt::format("{} of {} tables counted, {} written", done, source_.tables.size(),
                                           bytes_text(written())));
                }
            } catch (const ClientError &error) {
                explain_count(error, table);
            }
            table.take(*counted);
            done++;
        }
    }

    [[noreturn]] static void explain_count(const ClientError &error, const CountedTable &table) {
        ErrorText text = error.text();
        if (text.state == "42501") {
            const bool policies = text.message.find("row-level security") != std::string::npos;
            text.hint = explanations[policies ? 4 : 3].hint;
            text.detail = fmt::format("Rows of {} could not be counted.", printable(table.label()));
        }
        throw ClientError(error.status(), text);
    }

    // Everything that was counted is in it.
    void check_list() {
        ProgramCall call = program("pg_restore");
        call.words.emplace_back("--list");
        call.words.push_back(folder_.path() + "/dump");
        const ProgramResult list = run_program(call);
        if (list.status != 0)
            throw ClientError(ExitStatus::failure, "pg_restore can't read the dump",
                              printable(list.errors, LineBreaks::keep));
        for (const CountedTable &table : source_.tables) {
            const std::string name = table.schema + " " + table.name;
            const bool plain = std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c != 0x7f; });
            if (plain && list.output.find(" TABLE DATA " + name + " ") == std::string::npos)
                throw ClientError(ExitStatus::failure, "the dump is not complete",
                                  fmt::format("The rows of {} are not in it.", printable(table.label())));
        }
        entries_ = static_cast<std::size_t>(std::count(list.output.begin(), list.output.end(), '\n'));
    }

    // The tables' rows are restored into the definitions of the whole database: types, functions, what they inherit.
    void dump_schema() {
        ProgramCall call = dump_call("schema.dump");
        for (const char *word : {"--format=custom", "--schema-only"})
            call.words.emplace_back(word);
        ChildProcess child(call);
        while (!child.wait(250))
            task_.show("definitions");
        if (child.status() != 0) fail_program("pg_dump", child);
    }

    nlohmann::ordered_json restore_commands(const std::string &where) const {
        nlohmann::ordered_json commands = nlohmann::ordered_json::array();
        commands.push_back(fmt::format("createdb --template=template0 --encoding={} --lc-collate={} --lc-ctype={} "
                                       "NEW_DATABASE",
                                       shell_word(source_.encoding), shell_word(source_.collate),
                                       shell_word(source_.ctype)));
        for (const RestoreCall &call : restore_calls(request_.tables_only, request_.jobs)) {
            std::string text = "pg_restore --exit-on-error --dbname=NEW_DATABASE";
            for (const std::string &option : call.options)
                text += " " + option;
            commands.push_back(fmt::format("{} {}/{}", text, shell_word(where), call.file));
        }
        return commands;
    }

    std::string name() const {
        std::string text = file_name_part(connection_.database()) + "-" + source_.stamp;
        if (request_.tables_only) text += "-" + file_name_part(request_.migration);
        return text;
    }

    TakenBackup finish() {
        nlohmann::ordered_json manifest = {
            {"format", manifest_format},
            {"taken_at", source_.taken_at},
            {"server", {{"version", source_.version}, {"system_identifier", source_.system}}},
            {"database", connection_.database()},
            {"migration",
             request_.migration.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(request_.migration)},
            {"scope", request_.tables_only ? "tables" : "database"},
            {"made_by", {{"tenantmig", TENANTMIG_VERSION}, {"programs", programs_}}},
            {"checks", {{"list", entries_}, {"restored", request_.restore_test}}}};
        TakenBackup taken;
        auto &files = manifest["files"] = nlohmann::ordered_json::array();
        for (const std::string &path : files_below(folder_.path())) {
            const BackupFile file = measured(folder_.path(), path, task_);
            files.push_back({{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
            taken.bytes += file.bytes;
        }
        auto &tables = manifest["tables"] = nlohmann::ordered_json::array();
        for (const CountedTable &table : source_.tables) {
            nlohmann::ordered_json nulls = nlohmann::ordered_json::object();
            for (std::size_t i = 0; i < table.keys.size(); i++)
                nulls[table.keys[i]] = table.nulls.at(i);
            tables.push_back({{"schema", table.schema}, {"table", table.name}, {"rows", table.rows}, {"nulls", nulls}});
        }
        std::error_code problem;
        const std::string directory = fs::canonical(request_.directory, problem).string();
        manifest["restore"] = restore_commands((problem ? request_.directory : directory) + "/" + name());
        taken.manifest = manifest.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
        replace_file(folder_.path() + "/" + manifest_name, taken.manifest);
        taken.taken_at = source_.taken_at;
        taken.location = folder_.complete(name());
        taken.seconds = task_.seconds();
        messages::end_progress();
        return taken;
    }

    Connection &connection_;
    const BackupRequest &request_;
    std::string programs_;
    PartialFolder folder_;
    Keys keys_;
    Source source_;
    LongTask task_{"backup"};
    std::size_t entries_ = 0;
};

} // namespace

void register_taken(Connection &connection, const std::string &migration, const TakenBackup &backup) {
    connection.query("SELECT tenantmig.register_backup($1, $2::pg_catalog.timestamptz, $3, $4::pg_catalog.jsonb)",
                     {migration, backup.taken_at, backup.location, backup.manifest});
}

TakenBackup take_backup(const GlobalOptions &global, const BackupRequest &request) {
    if (request.tables_only && request.migration.empty())
        throw ClientError(ExitStatus::usage, "--tables-only needs a migration", "",
                          "tenantmig backup MIGRATION --to DIR --tables-only");
    Connection connection = connect_checked(global);
    const interrupt::Deferred deferred; // a signal ends what is under way, and then nothing of it is left
    const Result standby = connection.query("SELECT pg_catalog.pg_is_in_recovery()");
    if (!request.unregistered && standby.rows.at(0).at(0).value_or("") == "t")
        throw ClientError(ExitStatus::failure, "a backup can't be registered on a standby", "",
                          "take it from the primary");
    connection.query(fmt::format("SET lock_timeout = '{}s'", request.lock_wait.value_or(default_lock_wait)));
    if (!request.migration.empty()) require_migration(connection, request.migration);
    TakenBackup taken = Backup(connection, request).take();
    if (request.unregistered) return taken;
    try {
        std::vector<std::string> migrations{request.migration};
        if (request.migration.empty()) {
            migrations.clear();
            for (const auto &row : connection.query("SELECT m.migration FROM tenantmig.migrations m ORDER BY 1").rows)
                migrations.push_back(row.at(0).value_or(""));
        }
        for (const std::string &migration : migrations) {
            register_taken(connection, migration, taken);
            taken.registered.push_back(migration);
        }
    } catch (const ClientError &error) {
        ErrorText text = error.text();
        text.detail = fmt::format("The backup is complete, in {}, but not registered.{}{}", printable(taken.location),
                                  text.detail.empty() ? "" : " ", text.detail);
        text.hint = fmt::format("tenantmig register-backup MIGRATION --location {0} --taken-at {1} --manifest {0}/{2}",
                                shell_word(taken.location), shell_word(taken.taken_at), manifest_name);
        throw ClientError(error.status(), text);
    }
    return taken;
}

} // namespace tenantmig::client

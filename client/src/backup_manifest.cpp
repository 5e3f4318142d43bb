#include "backup_parts.hpp"
#include "client_error.hpp"
#include "input_file.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "sha256.hpp"
#include "text.hpp"
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tenantmig::client {

namespace {

namespace fs = std::filesystem;

std::string identifier(const std::string &name) {
    std::string text = "\"";
    for (const char c : name) {
        if (c == '"') text += c;
        text += c;
    }
    return text + '"';
}

std::uint64_t number(const Cell &cell) {
    std::uint64_t value = 0;
    if (cell) std::from_chars(cell->data(), cell->data() + cell->size(), value);
    return value;
}

class OpenFile {
public:
    explicit OpenFile(const std::string &path) : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) {}
    ~OpenFile() {
        if (file_ >= 0) ::close(file_);
    }
    OpenFile(const OpenFile &) = delete;
    OpenFile &operator=(const OpenFile &) = delete;
    [[nodiscard]] int number() const { return file_; }

private:
    int file_;
};

// Below the folder, and nowhere else: a manifest is a file that anybody may have written.
bool stays_below(const std::string &path) {
    if (path.empty() || path.front() == '/') return false;
    const fs::path parts(path);
    return std::none_of(parts.begin(), parts.end(), [](const fs::path &part) { return part == ".." || part == "."; });
}

} // namespace

std::string CountedTable::label() const {
    return identifier(schema) + "." + identifier(name);
}

std::string CountedTable::count_query() const {
    std::string sql = "SELECT pg_catalog.count(*)";
    for (const std::string &key : keys)
        sql += fmt::format(", pg_catalog.count(*) FILTER (WHERE {} IS NULL)", identifier(key));
    return fmt::format("{} FROM ONLY {}", sql, label());
}

void CountedTable::take(const Result &counted) {
    rows = number(counted.rows.at(0).at(0));
    nulls.clear();
    for (std::size_t i = 1; i < counted.rows.at(0).size(); i++)
        nulls.push_back(number(counted.rows.at(0).at(i)));
}

void LongTask::show(const std::string &so_far) {
    using std::chrono::steady_clock;
    constexpr auto quiet = std::chrono::seconds(2);
    const auto pause = messages::progress_on_terminal() ? std::chrono::milliseconds(500) : std::chrono::seconds(5);
    const auto now = steady_clock::now();
    if (now - begin_ < quiet || (shown_ != begin_ && now - shown_ < pause)) return;
    shown_ = now;
    messages::show_progress(fmt::format("{}: {}, {:.0f} s", name_, so_far, seconds()));
}

double LongTask::seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

std::string bytes_text(std::uint64_t bytes) {
    constexpr double step = 1024;
    double value = static_cast<double>(bytes);
    const char *unit = "bytes";
    for (const char *next : {"kB", "MB", "GB", "TB"}) {
        if (value < 10 * step) break;
        value /= step;
        unit = next;
    }
    return fmt::format("{:.0f} {}", value, unit);
}

BackupFile measured(const std::string &folder, const std::string &path, LongTask &task) {
    constexpr std::size_t piece = mebibyte;
    const OpenFile file(folder + "/" + path);
    std::string buffer(piece, '\0');
    BackupFile result{path, 0, {}};
    Sha256 hash;
    while (true) {
        const ssize_t got = file.number() < 0 ? -1 : ::read(file.number(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR && file.number() >= 0) continue;
        if (got < 0)
            throw ClientError(ExitStatus::failure, fmt::format("could not read \"{}\"", printable(path)),
                              fmt::format("{}.", std::strerror(errno)));
        if (got == 0) break;
        hash.add({buffer.data(), static_cast<std::size_t>(got)});
        result.bytes += static_cast<std::uint64_t>(got);
        if (interrupt::requested()) throw ClientError(ExitStatus::interrupted, "interrupted");
        task.show(fmt::format("{} of {}", bytes_text(result.bytes), printable(path)));
    }
    result.sha256 = hash.hex();
    return result;
}

std::vector<std::string> files_below(const std::string &folder) {
    std::vector<std::string> result;
    std::error_code problem;
    for (fs::recursive_directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem))
        if (!at->is_directory(problem)) result.push_back(fs::path(at->path()).lexically_relative(folder).string());
    if (problem)
        throw ClientError(ExitStatus::failure, fmt::format("could not read the folder \"{}\"", printable(folder)),
                          problem.message() + ".");
    std::erase(result, manifest_name);
    std::sort(result.begin(), result.end());
    return result;
}

nlohmann::json read_manifest(const std::string &folder) {
    constexpr std::size_t limit = 256 * mebibyte;
    const std::string path = folder + "/" + manifest_name;
    const auto refuse = [&](const std::string &detail) {
        throw ClientError(ExitStatus::failure, fmt::format("\"{}\" is not a backup", printable(folder)), detail,
                          "tenantmig backup --to DIR makes folders with a manifest.json in DIR");
    };
    std::error_code problem;
    if (!fs::is_regular_file(path, problem)) refuse("There is no manifest.json in it.");
    nlohmann::json manifest;
    try {
        manifest = nlohmann::json::parse(read_input(path, limit));
        if (manifest.at("format") != manifest_format) refuse("Its manifest.json has another format.");
        (void)manifest.at("taken_at").get<std::string>();
        (void)manifest.at("database").get<std::string>();
        (void)manifest.at("server").at("system_identifier").get<std::string>();
        if (manifest.at("files").empty()) refuse("Its manifest.json names no file.");
        for (const nlohmann::json &file : manifest.at("files")) {
            (void)file.at("bytes").get<std::uint64_t>();
            (void)file.at("sha256").get<std::string>();
            if (!stays_below(file.at("path").get<std::string>()))
                refuse("Its manifest.json names a file outside of the folder.");
        }
    } catch (const nlohmann::json::exception &) {
        refuse("Its manifest.json can't be read.");
    } catch (const ClientError &error) { // an empty file, too
        if (error.status() == ExitStatus::usage)
            refuse("Its manifest.json can't be read: " + error.text().message + ".");
        throw;
    }
    return manifest;
}

Result compare_files(const std::string &folder, const nlohmann::json &manifest) {
    Result result;
    result.columns = {{"file"}, {"status"}, {"expected"}, {"actual"}};
    LongTask task("checking the backup");
    std::vector<std::string> there = files_below(folder);
    for (const nlohmann::json &file : manifest.at("files")) {
        const auto path = file.at("path").get<std::string>();
        const auto bytes = file.at("bytes").get<std::uint64_t>();
        const std::string expected = fmt::format("{} bytes, {}", bytes, file.at("sha256").get<std::string>());
        std::string actual = "missing";
        if (std::erase(there, path) > 0) {
            try {
                std::error_code problem;
                const std::uint64_t size = fs::file_size(folder + "/" + path, problem);
                if (problem || size != bytes) { // a file that was cut short need not be read
                    actual = fmt::format("{} bytes", size);
                } else {
                    const BackupFile found = measured(folder, path, task);
                    actual = fmt::format("{} bytes, {}", found.bytes, found.sha256);
                }
            } catch (const ClientError &error) {
                if (error.status() == ExitStatus::interrupted) throw;
                actual = error.text().message;
            }
        }
        result.rows.push_back({path, actual == expected ? "PASS" : "FAIL", expected, actual});
    }
    for (const std::string &path : there)
        result.rows.push_back({path, "FAIL", "not in the manifest", "there"});
    return result;
}

} // namespace tenantmig::client

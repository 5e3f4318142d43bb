#include "log_file.hpp"
#include "client_error.hpp"
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tenantmig::client::log_file {

namespace {

int file = -1;
bool write_failed = false;
std::string name, unfinished; // the path; the line that has no end yet
std::chrono::steady_clock::time_point last_progress;

[[noreturn]] void fail(const std::string &path, const char *problem) {
    throw ClientError(ExitStatus::usage, fmt::format("could not open the log \"{}\": {}", path, problem), "",
                      "--log takes a file that may be written to; nothing was done");
}

// 2026-11-21T11:30:00.123Z
std::string now() {
    const auto time = std::chrono::system_clock::now();
    const auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(time)),
                       milliseconds);
}

// At once and as a whole, so that the lines of two clients that share a log stay lines.
void append(const std::string &line) {
    std::string_view rest = line;
    while (!rest.empty()) {
        const ssize_t written = ::write(file, rest.data(), rest.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            const std::string text = fmt::format("error: could not write the log \"{}\": {}\n", name,
                                                 written < 0 ? std::strerror(errno) : "nothing was written");
            std::fputs(text.c_str(), stderr);
            write_failed = true;
            ::close(file);
            file = -1;
            return;
        }
        rest.remove_prefix(static_cast<std::size_t>(written));
    }
}

} // namespace

void open(const std::string &path) {
    if (path.empty()) fail(path, "the name is empty");
    constexpr mode_t for_its_owner = 0600; // names and values of other people stand in it
    file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, for_its_owner);
    if (file < 0) fail(path, std::strerror(errno));
    struct stat status {};
    if (::fstat(file, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISCHR(status.st_mode)))
        fail(path, "it is not a file");
    name = path;
}

bool is_open() {
    return file >= 0;
}

void write(std::string_view text) {
    while (file >= 0 && !text.empty()) {
        const std::size_t end = text.find('\n');
        unfinished += text.substr(0, end);
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
        if (unfinished.ends_with('\r')) unfinished.pop_back();
        append(now() + (unfinished.empty() ? "" : "  ") + unfinished + '\n');
        unfinished.clear();
    }
}

void write_progress(std::string_view line) {
    const auto moment = std::chrono::steady_clock::now();
    if (file < 0 || moment - last_progress < std::chrono::seconds(1)) return;
    last_progress = moment;
    write(line);
    write("\n");
}

bool failed() {
    return write_failed;
}

} // namespace tenantmig::client::log_file

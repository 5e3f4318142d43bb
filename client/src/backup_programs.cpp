// Where PostgreSQL's programs are: each major version of them has a folder of its own, and pg_dump must not be older
// than the server.
#include "backup.hpp"
#include "child_process.hpp"
#include "client_error.hpp"
#include "text.hpp"
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace tenantmig::client {

namespace {

namespace fs = std::filesystem;
constexpr int per_major = 10000; // 150004 is 15.4

struct Found {
    std::string folder, version; // 15.4
    int major = 0;
};

std::vector<std::string> path_folders() {
    std::vector<std::string> result;
    const char *path = std::getenv("PATH");
    std::string text = path == nullptr ? "" : path;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(':', at), text.size());
        if (end > at) result.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return result;
}

// Where packages put them, the newest first.
std::vector<std::string> package_folders() {
    std::vector<std::pair<int, std::string>> found;
    const auto add = [&found](const std::string &base, const std::string &prefix) {
        std::error_code problem;
        for (fs::directory_iterator at(base, problem), end; !problem && at != end; at.increment(problem)) {
            const std::string name = at->path().filename().string();
            int major = 0;
            if (!name.starts_with(prefix)) continue;
            std::from_chars(name.data() + prefix.size(), name.data() + name.size(), major);
            if (major > 0) found.emplace_back(major, at->path().string() + "/bin");
        }
    };
    add("/usr/lib/postgresql", "");
    add("/usr", "pgsql-");
    std::sort(found.rbegin(), found.rend());
    std::vector<std::string> result;
    for (const auto &[major, folder] : found)
        result.push_back(folder);
    return result;
}

// `pg_dump (PostgreSQL) 15.4 (Debian 15.4-1)`
Found look_into(const std::string &folder, const std::string &program) {
    Found found{folder, {}, 0};
    const std::string path = folder + "/" + program;
    if (::access(path.c_str(), X_OK) != 0) return found;
    ProgramCall call;
    call.words = {path, "--version"};
    call.environment = {{"LC_ALL", "C"}};
    const ProgramResult result = run_program(call);
    const std::size_t at = result.output.find(") ");
    if (result.status != 0 || at == std::string::npos) return found;
    const std::size_t end = result.output.find_first_of(" \n", at + 2);
    found.version = result.output.substr(at + 2, end == std::string::npos ? end : end - at - 2);
    std::from_chars(found.version.data(), found.version.data() + found.version.size(), found.major);
    return found;
}

} // namespace

std::string find_programs(int server_version, const std::string &given, const char *program) {
    const int wanted = server_version / per_major;
    std::vector<std::string> folders;
    if (!given.empty()) {
        folders.push_back(given);
    } else {
        folders = {fmt::format("/usr/lib/postgresql/{}/bin", wanted), fmt::format("/usr/pgsql-{}/bin", wanted)};
        for (const auto &list : {path_folders(), package_folders()})
            for (const std::string &folder : list)
                if (std::find(folders.begin(), folders.end(), folder) == folders.end()) folders.push_back(folder);
    }
    std::optional<Found> best;
    std::string older, looked;
    for (const std::string &folder : folders) {
        looked += (looked.empty() ? "" : ", ") + printable(folder);
        Found found = look_into(folder, program);
        if (found.major == wanted) return folder;
        if (found.major > wanted && (!best || found.major < best->major)) best = found;
        if (found.major > 0 && found.major < wanted)
            older += fmt::format("{}{} in {}", older.empty() ? "" : ", ", found.version, printable(folder));
    }
    if (best) return best->folder;
    const std::string server = fmt::format("{}.{}", wanted, server_version % per_major);
    const std::string hint =
        fmt::format("install PostgreSQL's programs of version {}, or name their folder: --pg-bindir DIR", wanted);
    if (!older.empty())
        throw ClientError(ExitStatus::failure, fmt::format("{} is older than the server", program),
                          fmt::format("The server is {}; found was {}.", server, older), hint);
    throw ClientError(ExitStatus::failure, fmt::format("could not find {}", program),
                      fmt::format("Looked in {}.", looked), hint);
}

} // namespace tenantmig::client

// What backup.cpp is made of: the manifest and the files that it describes, and the restore test.
#pragma once
#include "backup.hpp"
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tenantmig::client {

inline constexpr const char *manifest_name = "manifest.json";
inline constexpr const char *manifest_format = "tenantmig backup 1";

struct BackupFile {
    std::string path; // below the backup's folder
    std::uint64_t bytes = 0;
    std::string sha256;
};

struct CountedTable {
    std::string schema, name;
    std::vector<std::string> keys; // tenant keys
    std::uint64_t rows = 0;
    std::vector<std::uint64_t> nulls; // of each of them
    [[nodiscard]] std::string label() const;
    [[nodiscard]] std::string count_query() const;
    void take(const Result &counted);
};

// Something that takes long: a line from two seconds on, now and then.
class LongTask {
public:
    explicit LongTask(std::string name) : name_(std::move(name)) {}
    void show(const std::string &so_far);
    [[nodiscard]] double seconds() const;

private:
    std::string name_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now(), shown_ = begin_;
};

// Size and SHA-256 of a file below a folder; status 1 if it can't be read, 130 after a signal.
BackupFile measured(const std::string &folder, const std::string &path, LongTask &task);
// All files below the folder but the manifest, by name.
std::vector<std::string> files_below(const std::string &folder);
std::string bytes_text(std::uint64_t bytes);

// The manifest of a backup; status 1 if there is none, or it is none of ours.
nlohmann::json read_manifest(const std::string &folder);
// Each file of the manifest against what is there, and what is there beside; columns file, status (PASS, FAIL),
// expected, actual.
Result compare_files(const std::string &folder, const nlohmann::json &manifest);

// The calls of pg_restore that restore a backup into a new database, one after the other: the file below the backup's
// folder, and options.
struct RestoreCall {
    const char *file;
    std::vector<std::string> options;
};
std::vector<RestoreCall> restore_calls(bool tables_only, const std::optional<std::string> &jobs);

// Restores a dump into a throw-away cluster and counts. Status 7 if the counts differ, 1 if it can't be restored.
void restore_test(Connection &source, const std::string &programs, const std::string &folder, bool tables_only,
                  const std::optional<std::string> &jobs, const std::vector<CountedTable> &tables);

} // namespace tenantmig::client

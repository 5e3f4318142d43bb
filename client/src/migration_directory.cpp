#include "migration_directory.hpp"
#include "input_file.hpp"
#include "spec_check.hpp"
#include "text.hpp"
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <system_error>

namespace tenantmig::client {

namespace {

namespace files = std::filesystem;

bool is_migration_file(const std::string &name) {
    return !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"));
}

[[noreturn]] void no_directory(const std::string &path, const std::string &problem) {
    throw ClientError(ExitStatus::usage, fmt::format("could not read the directory \"{}\": {}", path, problem), "",
                      "--dir names the directory of the migrations; tenantmig new NAME  makes one");
}

MigrationFile read_file(const std::string &folder, const std::string &name, bool sql_files_anywhere) {
    MigrationFile file;
    file.file = name;
    file.path = folder.empty() ? name : (files::path(folder) / name).string();
    try {
        file.spec = read_spec(file.path, sql_files_anywhere);
        file.parsed = checked(file.spec);
        file.migration = file.parsed.migration;
    } catch (const ClientError &error) {
        file.problem = error.text();
        if (file.problem->location.empty()) file.problem->location = input_name(file.path);
    }
    return file;
}

void refuse_names_that_stand_twice(MigrationDirectory &directory) {
    std::map<std::string, std::string> first;
    for (MigrationFile &file : directory.files) {
        if (file.problem) continue;
        const auto [found, is_new] = first.emplace(file.migration, file.file);
        if (is_new) continue;
        file.problem =
            ErrorText{fmt::format("migration \"{}\" stands in two files", file.migration),
                      fmt::format("They are \"{}\" and \"{}\".", found->second, file.file),
                      "give one of them another name, or remove the file that is not meant", "", input_name(file.path)};
        file.migration.clear();
    }
}

// The digits in front of a file's name.
std::optional<unsigned long long> number_of(const std::string &name) {
    unsigned long long number = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
    if (parsed.ec != std::errc()) return std::nullopt;
    return number;
}

// 10_b.yaml stands before 9_a.yaml: that is what was said, and hardly what was meant.
void compare_numbers(MigrationDirectory &directory) {
    const MigrationFile *before = nullptr;
    for (const MigrationFile &file : directory.files) {
        const auto number = number_of(file.file);
        if (!number) continue;
        if (before != nullptr && *number < *number_of(before->file))
            directory.remarks.push_back(fmt::format("\"{}\" comes before \"{}\": files are taken in the order of their "
                                                    "names, not of the numbers in them",
                                                    before->file, file.file));
        else if (before != nullptr && *number == *number_of(before->file))
            directory.remarks.push_back(fmt::format("\"{}\" and \"{}\" have the same number", before->file, file.file));
        before = &file;
    }
}

std::string without_ending(const std::string &name) {
    return name.substr(0, name.rfind('.'));
}

} // namespace

MigrationDirectory read_directory(const std::string &path, bool sql_files_anywhere) {
    std::error_code problem;
    files::directory_iterator entries(path, problem);
    if (problem) no_directory(path, problem.message());
    std::vector<std::string> names;
    for (; entries != files::directory_iterator(); entries.increment(problem)) {
        std::error_code unknown;
        if (is_migration_file(entries->path().filename().string()) && !entries->is_directory(unknown))
            names.push_back(entries->path().filename().string());
        if (problem) break;
    }
    if (problem) no_directory(path, problem.message());
    std::sort(names.begin(), names.end());
    if (names.empty())
        throw ClientError(ExitStatus::usage, fmt::format("there is no migration in \"{}\"", path),
                          "It holds no file *.yaml, *.yml or *.json.",
                          "--dir names the directory of the migrations; tenantmig new NAME  makes the first");
    MigrationDirectory directory;
    directory.path = path;
    for (const std::string &name : names)
        directory.files.push_back(read_file(path, name, sql_files_anywhere));
    refuse_names_that_stand_twice(directory);
    compare_numbers(directory);
    return directory;
}

MigrationDirectory read_single(const std::string &path, bool sql_files_anywhere) {
    MigrationDirectory directory;
    directory.files.push_back(read_file("", path, sql_files_anywhere));
    return directory;
}

void require_sound(const MigrationDirectory &directory) {
    for (const MigrationFile &file : directory.files)
        if (file.problem) throw ClientError(ExitStatus::usage, *file.problem);
}

std::size_t position_of(const MigrationDirectory &directory, const std::string &name) {
    const auto &list = directory.files;
    const auto find = [&](auto is_meant) {
        return static_cast<std::size_t>(std::find_if(list.begin(), list.end(), is_meant) - list.begin());
    };
    std::size_t at = find([&](const MigrationFile &file) { return !file.migration.empty() && file.migration == name; });
    if (at == list.size()) at = find([&](const MigrationFile &file) { return file.file == name; });
    if (at == list.size()) at = find([&](const MigrationFile &file) { return without_ending(file.file) == name; });
    if (at == list.size())
        throw ClientError(ExitStatus::usage,
                          fmt::format("there is no migration \"{}\" in \"{}\"", printable(name), directory.path), "",
                          "tenantmig status  lists them; a migration's name or its file's is meant");
    return at;
}

} // namespace tenantmig::client

// new: the next file of a directory.
#include "client_error.hpp"
#include "commands_directory.hpp"
#include "messages.hpp"
#include "spec_check.hpp"
#include "text.hpp"
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace tenantmig::client {

namespace {

namespace files = std::filesystem;
constexpr std::size_t usual_digits = 4;

struct Numbers {
    unsigned long long last = 0;
    std::size_t digits = usual_digits; // as wide as the widest that is there
};

Numbers numbers_in(const std::string &directory) {
    Numbers numbers;
    std::size_t widest = 0;
    std::error_code problem;
    for (files::directory_iterator entry(directory, problem), end; !problem && entry != end; entry.increment(problem)) {
        const std::string name = entry->path().filename().string();
        if (!name.ends_with(".yaml") && !name.ends_with(".yml") && !name.ends_with(".json")) continue;
        const std::size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
        unsigned long long number = 0;
        if (digits == 0 || std::from_chars(name.data(), name.data() + digits, number).ec != std::errc()) continue;
        numbers.last = std::max(numbers.last, number);
        widest = std::max(widest, digits);
    }
    if (widest > 0) numbers.digits = widest;
    return numbers;
}

[[noreturn]] void fail(const std::string &path) {
    throw ClientError(ExitStatus::failure, fmt::format("could not write \"{}\": {}", path, std::strerror(errno)));
}

void refuse_name_that_is_taken(const NewOptions &options) {
    std::error_code problem;
    if (!files::is_directory(options.directory, problem) || files::is_empty(options.directory, problem)) return;
    try {
        for (const MigrationFile &file : read_directory(options.directory, true).files)
            if (file.migration == options.name)
                throw ClientError(ExitStatus::usage, fmt::format("migration \"{}\" exists already", options.name),
                                  fmt::format("It stands in \"{}\".", file.path), "choose another name");
    } catch (const ClientError &error) {
        if (error.text().message.starts_with("migration \"")) throw;
        // a directory without migrations: this will be the first
    }
}

// Never over a file that is there.
void write_new(const std::string &path, const std::string &content) {
    constexpr mode_t for_all_to_read = 0644;
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, for_all_to_read);
    if (file < 0) fail(path);
    std::string_view rest = content;
    while (!rest.empty()) {
        const ssize_t written = ::write(file, rest.data(), rest.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            const int problem = errno;
            ::close(file);
            ::unlink(path.c_str());
            errno = problem;
            fail(path);
        }
        rest.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::close(file) != 0) fail(path);
}

} // namespace

std::string file_part(const std::string &name) {
    std::string part;
    for (const char c : name) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (plain)
            part += c;
        else if (!part.empty() && part.back() != '-')
            part += '-';
    }
    constexpr std::size_t longest = 100;
    part.resize(std::min(part.size(), longest));
    while (part.ends_with('-'))
        part.pop_back();
    return part.empty() ? "migration" : part;
}

ExitStatus new_migration(const GlobalOptions &global, const NewOptions &options) {
    SpecFile spec;
    spec.name = "the name";
    const std::string content = migration_template(options.name);
    read_yaml(content, spec);
    checked(spec); // a name that no migration can have is refused here
    refuse_name_that_is_taken(options);
    if (::mkdir(options.directory.c_str(), 0777) != 0 && errno != EEXIST) fail(options.directory);
    const Numbers numbers = numbers_in(options.directory);
    const std::string path = (files::path(options.directory) /
                              fmt::format("{:0{}}_{}.yaml", numbers.last + 1, numbers.digits, file_part(options.name)))
                                 .string();
    write_new(path, content);
    if (global.format == Format::table) {
        print_text(path + "\n");
    } else {
        Result made;
        made.columns = {{"migration"}, {"file"}};
        made.rows.push_back({options.name, path});
        print_result(made, global.format);
    }
    flush_output("the file is written");
    messages::show_remark("fill it in, then: tenantmig validate " + shell_word(options.directory));
    return ExitStatus::done;
}

} // namespace tenantmig::client

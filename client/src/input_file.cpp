#include "input_file.hpp"
#include "client_error.hpp"
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <sys/stat.h>

namespace tenantmig::client {

std::string input_name(const std::string &path) {
    return path == "-" ? "standard input" : fmt::format("\"{}\"", path);
}

void fail_document(const std::string &name, std::size_t line, std::string message, std::string detail,
                   std::string hint) {
    ErrorText text{std::move(message), std::move(detail), std::move(hint), {}, name};
    if (line > 0) text.location += fmt::format(", line {}", line);
    throw ClientError(ExitStatus::usage, text);
}

std::string read_input(const std::string &path, std::size_t limit) {
    const std::string name = input_name(path);
    const auto close = [](std::FILE *file) {
        if (file != stdin) std::fclose(file);
    };
    const std::unique_ptr<std::FILE, decltype(close)> file(path == "-" ? stdin : std::fopen(path.c_str(), "rb"), close);
    if (!file) throw ClientError(ExitStatus::usage, fmt::format("could not open {}: {}", name, std::strerror(errno)));
    struct stat status {};
    if (fstat(fileno(file.get()), &status) == 0 && S_ISDIR(status.st_mode))
        throw ClientError(ExitStatus::usage, fmt::format("could not read {}: it is a directory", name));

    std::string content;
    std::array<char, 65536> buffer{};
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
        content.append(buffer.data(), got);
        if (content.size() > limit)
            throw ClientError(ExitStatus::usage, fmt::format("{} is larger than {} MiB", name, limit / mebibyte));
    }
    if (std::ferror(file.get()) != 0)
        throw ClientError(ExitStatus::usage, fmt::format("could not read {}: {}", name, std::strerror(errno)));
    if (content.empty()) throw ClientError(ExitStatus::usage, fmt::format("{} is empty", name));
    return content;
}

void require_text(std::string &content, const std::string &name) {
    if (content.starts_with("\xFF\xFE") || content.starts_with("\xFE\xFF"))
        fail_document(name, 0, "the file is UTF-16, not UTF-8", "", "save it as UTF-8");
    if (content.starts_with("\xEF\xBB\xBF")) content.erase(0, 3);
    if (const std::size_t at = content.find('\0'); at != std::string::npos)
        fail_document(name, line_at(content, at), "the file is binary, not text", "It contains a NUL byte.");
}

std::size_t line_at(std::string_view content, std::size_t position) {
    const std::string_view before = content.substr(0, position);
    return 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
}

} // namespace tenantmig::client

#include "sql_file.hpp"
#include "client_error.hpp"
#include "core/spec_reader.hpp"
#include "input_file.hpp"
#include "text.hpp"
#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <system_error>

namespace tenantmig::client {

namespace {

namespace files = std::filesystem;
constexpr std::size_t sql_limit = 16 * mebibyte;

std::string without_carriage_returns(const std::string &text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size(); ++at)
        if (text[at] != '\r' || at + 1 == text.size() || text[at + 1] != '\n') out += text[at];
    return out;
}

class SqlFileReader {
public:
    SqlFileReader(SpecFile &spec, const std::string &folder, SqlFiles where)
        : spec_(spec), folder_(folder.empty() ? "." : folder), where_(where) {}

    void replace(nlohmann::json &value, const std::string &path) {
        if (!value.is_object() || value.size() != 1 || !value.contains("file") || !value["file"].is_string()) return;
        value = read(value["file"].get<std::string>(), path);
    }

private:
    [[noreturn]] void fail(const std::string &path, const std::string &message, const std::string &hint = {}) const {
        throw ClientError(ExitStatus::usage,
                          ErrorText{fmt::format("spec: {}: {}", path, message), "", hint, "", spec_.location(path)});
    }

    std::string read(const std::string &name, const std::string &path) {
        if (name.empty()) fail(path, "the name of the file is empty");
        const files::path asked = files::path(folder_) / name; // an absolute name stands for itself
        std::error_code problem;
        const files::path real = files::canonical(asked, problem);
        if (problem) fail(path, fmt::format("could not open \"{}\": {}", asked.string(), problem.message()));
        if (where_ == SqlFiles::within_folder) require_within(real, asked, path);
        try {
            std::string text = read_input(real.string(), sql_limit);
            const std::string shown = input_name(asked.string());
            require_text(text, shown);
            if (const std::size_t at = find_invalid_utf8(text); at != std::string::npos)
                fail_document(shown, line_at(text, at), "the file is not UTF-8 text", "", "save it as UTF-8");
            return without_carriage_returns(text);
        } catch (const ClientError &error) {
            ErrorText text = error.text();
            const std::string place = spec_.location(path);
            text.location = text.location.empty() ? place : text.location + ", which is named in " + place;
            text.message = fmt::format("spec: {}: {}", path, text.message);
            throw ClientError(ExitStatus::usage, text);
        }
    }

    void require_within(const files::path &real, const files::path &asked, const std::string &path) const {
        std::error_code problem;
        const files::path folder = files::canonical(folder_, problem);
        const files::path relative = real.lexically_relative(folder);
        if (!problem && !relative.empty() && *relative.begin() != "..") return;
        fail(path, fmt::format("\"{}\" lies outside of the spec's folder", asked.string()),
             "put the file beside the spec, or allow others with --sql-files-anywhere");
    }

    SpecFile &spec_;
    std::string folder_;
    SqlFiles where_;
};

} // namespace

void read_sql_files(SpecFile &spec, const std::string &folder, SqlFiles where) {
    const auto steps = spec.document.find("steps");
    if (steps == spec.document.end() || !steps->is_array()) return;
    SqlFileReader reader(spec, folder, where);
    for (std::size_t number = 0; number < steps->size(); ++number) {
        nlohmann::json &step = (*steps)[number];
        if (!step.is_object() || !step.contains("sql") || !step["sql"].is_object()) continue;
        const std::string path = core::join_path(core::join_path("steps", number), "sql");
        for (const char *field : {"up", "down", "verify"})
            if (const auto value = step["sql"].find(field); value != step["sql"].end())
                reader.replace(*value, core::join_path(path, field));
    }
}

} // namespace tenantmig::client

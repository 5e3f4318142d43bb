#include "spec_file.hpp"
#include "client_error.hpp"
#include "input_file.hpp"
#include "sql_file.hpp"
#include "text.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

constexpr std::size_t spec_limit = 16 * mebibyte;

// A flow mapping of YAML starts as a JSON object does; what nlohmann accepts is JSON, all else is for the YAML reader.
bool looks_like_json(const std::string &content) {
    const std::size_t first = content.find_first_not_of(" \t\r\n");
    return first != std::string::npos && content[first] == '{' && nlohmann::json::accept(content);
}

void refuse_control_characters(const std::string &content, const std::string &name) {
    const std::size_t at = content.find_first_of("\x01\x02\x03\x04\x05\x06\x07\x08\x0B\x0C\x0E\x0F\x10\x11\x12\x13\x14"
                                                 "\x15\x16\x17\x18\x19\x1A\x1B\x1C\x1D\x1E\x1F\x7F");
    if (at != std::string::npos)
        fail_document(name, line_at(content, at), "the spec contains a control character",
                      fmt::format("Found the byte {:02X}.", static_cast<unsigned char>(content[at])));
}

} // namespace

std::string SpecFile::location(const std::string &path) const {
    std::string prefix = path;
    while (!prefix.empty()) {
        if (const auto found = lines.find(prefix); found != lines.end())
            return fmt::format("{}, line {}", name, found->second);
        const std::size_t last = prefix.find_last_of(".[");
        prefix.resize(last == std::string::npos ? 0 : last);
    }
    return name;
}

SpecFile read_spec(const std::string &path, bool sql_files_anywhere) {
    SpecFile spec;
    spec.name = input_name(path);
    std::string content = read_input(path, spec_limit);
    require_text(content, spec.name);
    if (const std::size_t at = find_invalid_utf8(content); at != std::string::npos)
        fail_document(spec.name, line_at(content, at), "the spec is not UTF-8 text", "", "save it as UTF-8");
    refuse_control_characters(content, spec.name);

    if (path.ends_with(".json") || looks_like_json(content))
        read_json(content, spec);
    else
        read_yaml(content, spec);

    if (!spec.document.is_object())
        fail_document(spec.name, spec.document.is_null() ? 0 : 1,
                      spec.document.is_null() ? "the spec is empty" : "the spec is not a mapping",
                      fmt::format("Found {}.", spec.document.is_null() ? "no document" : spec.document.type_name()),
                      "a spec starts like this:  migration: NAME");
    const std::size_t slash = path.rfind('/');
    read_sql_files(spec, slash == std::string::npos ? "" : path.substr(0, slash + 1),
                   sql_files_anywhere ? SqlFiles::anywhere : SqlFiles::within_folder);
    return spec;
}

} // namespace tenantmig::client

#include "spec_check.hpp"
#include "client_error.hpp"
#include "core/error.hpp"

namespace tenantmig::client {

// "spec: steps[0].backfill["a: b"]: …" -> "steps[0].backfill["a: b"]"
std::string path_in(const std::string &message) {
    constexpr std::string_view start = "spec: ";
    if (!message.starts_with(start)) return {};
    bool quoted = false;
    for (std::size_t at = start.size(); at < message.size(); ++at) {
        if (message[at] == '\\' && quoted)
            ++at;
        else if (message[at] == '"')
            quoted = !quoted;
        else if (message[at] == ':' && !quoted)
            return message.substr(start.size(), at - start.size());
    }
    return {};
}

core::Spec checked(const SpecFile &file) {
    try {
        return core::parse_spec(file.document);
    } catch (const core::Error &error) {
        throw ClientError(ExitStatus::usage, ErrorText{error.message(), error.detail(), error.hint(), error.state(),
                                                       file.location(path_in(error.message()))});
    }
}

Result send_spec(Connection &connection, const std::string &sql, const SpecFile &file) {
    try {
        return connection.query(sql, {file.document.dump()});
    } catch (const ClientError &error) {
        ErrorText text = error.text();
        const std::string path = path_in(text.message);
        if (!path.empty()) text.location = file.location(path);
        // what is wrong with the document is the file's fault wherever it is noticed; missing rights are not
        const bool is_document = !path.empty() || text.state == core::sqlstate::spec_invalid;
        throw ClientError(is_document && text.state != core::sqlstate::insufficient_privilege ? ExitStatus::usage
                                                                                              : error.status(),
                          text);
    }
}

bool is_file(const Target &target) {
    if (target.is_name) return false;
    const std::string &text = target.text;
    return text == "-" || text.find('/') != std::string::npos || text.ends_with(".yaml") || text.ends_with(".yml") ||
           text.ends_with(".json");
}

} // namespace tenantmig::client

// The one exception of the client: what the user sees on standard error, and the status that the process ends with.
#pragma once
#include "exit_status.hpp"
#include <exception>
#include <string>

namespace tenantmig::client {

struct ErrorText {
    std::string message;  // lower case, no full stop
    std::string detail;   // what was found
    std::string hint;     // what to do next
    std::string state;    // SQLSTATE; empty for errors of the client itself
    std::string location; // file and line of the document that it is about
};

class ClientError : public std::exception {
public:
    ClientError(ExitStatus status, ErrorText text) : status_(status), text_(std::move(text)) {}
    ClientError(ExitStatus status, std::string message, std::string detail = {}, std::string hint = {})
        : ClientError(status, ErrorText{std::move(message), std::move(detail), std::move(hint), {}, {}}) {}
    const char *what() const noexcept override { return text_.message.c_str(); }
    [[nodiscard]] ExitStatus status() const noexcept { return status_; }
    [[nodiscard]] const ErrorText &text() const noexcept { return text_; }

private:
    ExitStatus status_;
    ErrorText text_;
};

} // namespace tenantmig::client

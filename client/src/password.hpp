// Asks for a password on the terminal.
#pragma once
#include <optional>
#include <string>

namespace tenantmig::client {

// Nothing if there is no terminal to ask on.
std::optional<std::string> ask_password(const std::string &user);

} // namespace tenantmig::client

#include "password.hpp"
#include "interrupt.hpp"
#include "text.hpp"
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <termios.h>

namespace tenantmig::client {

std::optional<std::string> ask_password(const std::string &user) {
    const auto close = [](std::FILE *file) { std::fclose(file); };
    const std::unique_ptr<std::FILE, decltype(close)> terminal(std::fopen("/dev/tty", "r+"), close);
    termios before{};
    if (!terminal || tcgetattr(fileno(terminal.get()), &before) != 0) return std::nullopt;

    interrupt::restore_at_exit(fileno(terminal.get()), &before);
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(fileno(terminal.get()), TCSAFLUSH, &silent); // before the prompt: whoever answers it quickly is heard
    fmt::print(terminal.get(), "Password for user {}: ", printable(user));
    std::fflush(terminal.get());

    std::string password;
    for (int c = std::fgetc(terminal.get()); c != EOF && c != '\n'; c = std::fgetc(terminal.get()))
        password += static_cast<char>(c);

    tcsetattr(fileno(terminal.get()), TCSAFLUSH, &before);
    interrupt::restore_at_exit(-1, nullptr);
    fmt::print(terminal.get(), "\n");
    return password;
}

} // namespace tenantmig::client

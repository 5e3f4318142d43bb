#include "event.hpp"
#include "client_error.hpp"
#include "text.hpp"
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace tenantmig::client {

namespace {

// Names of events and fields: what can be part of a variable's name too.
bool is_word(std::string_view text) {
    constexpr std::size_t longest = 63;
    return !text.empty() && text.size() <= longest &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

std::string value_text(const nlohmann::ordered_json &value) {
    if (value.is_string()) return value.get<std::string>();
    return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string variable_name(std::string_view field) {
    std::string name = "TENANTMIG_";
    for (const char c : field)
        name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return name;
}

// Ours with the event's in their place; one of an event before, or of whoever started us, does not pass for this one's.
std::vector<std::string> environment_of(const Event &event) {
    std::vector<std::string> all;
    const auto add = [&](std::string_view field, const std::string &value) {
        // no variable can hold a NUL; the payload on standard input has the value all the same
        if (is_word(field) && value.find('\0') == std::string::npos) all.push_back(variable_name(field) + "=" + value);
    };
    add("event", event.event);
    add("migration", event.migration);
    add("at", event.at);
    for (const auto &[name, value] : event.fields)
        add(name, value);
    const auto set_by_us = [&](std::string_view variable) {
        const std::string_view start = variable.substr(0, std::min(variable.find('=') + 1, variable.size()));
        return std::any_of(all.begin(), all.end(), [&](const std::string &ours) { return ours.starts_with(start); });
    };
    std::vector<std::string> inherited;
    for (char **variable = environ; *variable != nullptr; ++variable)
        if (!set_by_us(*variable)) inherited.emplace_back(*variable);
    all.insert(all.end(), inherited.begin(), inherited.end());
    return all;
}

[[noreturn]] void fail(const char *what) {
    throw ClientError(ExitStatus::failure, fmt::format("could not {}: {}", what, std::strerror(errno)));
}

void write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(descriptor, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return; // a command need not read it
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

} // namespace

std::optional<Event> parse_event(const std::string &payload) {
    nlohmann::ordered_json document = nlohmann::ordered_json::parse(payload, nullptr, false);
    if (!document.is_object()) return std::nullopt;
    Event event;
    for (const auto &[name, value] : document.items()) {
        if (name == "event" && value.is_string())
            event.event = value.get<std::string>();
        else if (name == "migration")
            event.migration = value.is_null() ? "" : value_text(value);
        else if (name == "at")
            event.at = value_text(value);
        else
            event.fields.emplace_back(name, value_text(value));
    }
    if (!is_word(event.event)) return std::nullopt;
    event.payload = payload;
    return event;
}

std::string fields_text(const Event &event) {
    std::string text;
    for (const auto &[name, value] : event.fields) {
        const bool plain = !value.empty() && value.find_first_of(" \t\n\"=") == std::string::npos;
        text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, plain ? value : json_quoted(value));
    }
    return text;
}

Hook::Hook(const std::string &command, const Event &event) {
    const std::vector<std::string> variables = environment_of(event);
    std::vector<char *> environment;
    environment.reserve(variables.size() + 1);
    for (const std::string &variable : variables)
        environment.push_back(const_cast<char *>(variable.c_str()));
    environment.push_back(nullptr);
    std::string shell = "sh", option = "-c", text = command;
    const std::array<char *, 4> arguments{shell.data(), option.data(), text.data(), nullptr};

    std::array<int, 2> pipe_ends{};
    if (::pipe2(pipe_ends.data(), O_CLOEXEC) != 0) fail("make a pipe for the command");
    process_ = ::fork();
    if (process_ < 0) {
        ::close(pipe_ends[0]);
        ::close(pipe_ends[1]);
        fail("start a process for the command");
    }
    if (process_ == 0) { // only what is safe between fork and exec
        for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
            ::signal(number, SIG_DFL);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, nullptr);
        ::dup2(pipe_ends[0], STDIN_FILENO);
        ::fcntl(STDIN_FILENO, F_SETFD, 0); // should the pipe itself be number 0
        ::dup2(STDERR_FILENO, STDOUT_FILENO);
        ::execve("/bin/sh", arguments.data(), environment.data());
        ::_exit(127);
    }
    ::close(pipe_ends[0]);
    write_all(pipe_ends[1], event.payload + "\n"); // a payload is shorter than a pipe's buffer: this never waits
    ::close(pipe_ends[1]);
}

Hook::~Hook() {
    if (process_ <= 0 || collected_) return;
    terminate(true);
    while (::waitpid(process_, &status_, 0) < 0 && errno == EINTR) {
    }
}

bool Hook::ended() {
    if (!collected_) {
        const pid_t found = ::waitpid(process_, &status_, WNOHANG);
        collected_ = found == process_ || (found < 0 && errno != EINTR);
    }
    return collected_;
}

void Hook::terminate(bool hard) const {
    ::kill(process_, hard ? SIGKILL : SIGTERM);
}

std::optional<std::string> Hook::problem() const {
    if (WIFSIGNALED(status_)) return fmt::format("was ended by signal {}", WTERMSIG(status_));
    if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return std::nullopt;
    return fmt::format("ended with status {}", WIFEXITED(status_) ? WEXITSTATUS(status_) : -1);
}

} // namespace tenantmig::client

#include "child_process.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "text.hpp"
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace tenantmig::client {

namespace {

constexpr std::size_t kept_errors = 65536;
constexpr int grace = 5000;      // milliseconds between asking a program to end and ending it
constexpr int look_again = 20;   // milliseconds
constexpr int signal_base = 128; // of a status, as shells have it

struct Pipe {
    std::array<int, 2> ends{-1, -1};
    Pipe() {
        if (::pipe2(ends.data(), O_CLOEXEC) != 0)
            throw ClientError(ExitStatus::failure, "could not make a pipe", std::strerror(errno));
    }
    ~Pipe() {
        shut(0);
        shut(1);
    }
    Pipe(const Pipe &) = delete;
    Pipe &operator=(const Pipe &) = delete;
    void shut(std::size_t end) {
        if (ends.at(end) >= 0) ::close(ends.at(end));
        ends.at(end) = -1;
    }
    int take(std::size_t end) {
        const int taken = ends.at(end);
        ends.at(end) = -1;
        return taken;
    }
};

// NAME=value; one whose value is empty is not in the child's environment at all.
std::vector<std::string> environment_of(const ProgramCall &call) {
    std::vector<std::string> result;
    const auto given = [&call](const std::string &entry) {
        return std::any_of(call.environment.begin(), call.environment.end(), [&entry](const auto &pair) {
            return entry.size() > pair.first.size() && entry.compare(0, pair.first.size(), pair.first) == 0 &&
                   entry[pair.first.size()] == '=';
        });
    };
    for (char **entry = environ; *entry != nullptr; ++entry)
        if (!given(*entry)) result.emplace_back(*entry);
    for (const auto &[name, value] : call.environment)
        if (!value.empty()) result.push_back(fmt::format("{}={}", name, value));
    return result;
}

std::vector<char *> pointers(std::vector<std::string> &texts) {
    std::vector<char *> result;
    result.reserve(texts.size() + 1);
    for (std::string &text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

[[noreturn]] void could_not_run(const ProgramCall &call, const std::string &why) {
    throw ClientError(ExitStatus::failure, fmt::format("could not run {}", call.words.front()), why + ".");
}

// Between fork() and exec(): only calls that are safe there. Returns only if something fails.
void become(const char *program, char *const *words, char *const *environment, const char *folder, const passwd *user,
            pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    std::signal(SIGPIPE, SIG_DFL);
    (void)setpgid(0, 0);
    if (user != nullptr && (setgid(user->pw_gid) != 0 || setgroups(0, nullptr) != 0 || setuid(user->pw_uid) != 0))
        return;
    // after setuid(), which would undo it
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent) return;
    if (folder[0] != '\0' && chdir(folder) != 0) return;
    execve(program, words, environment);
}

void append(std::string &text, const char *data, std::size_t size, std::size_t limit) {
    text.append(data, size);
    if (limit != 0 && text.size() > 2 * limit) text.erase(0, text.size() - limit);
}

// False at its end.
bool read_some(int file, std::string &text, std::size_t limit) {
    std::array<char, 16384> buffer{};
    while (true) {
        const ssize_t got = ::read(file, buffer.data(), buffer.size());
        if (got > 0) {
            append(text, buffer.data(), static_cast<std::size_t>(got), limit);
            continue;
        }
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
}

} // namespace

std::string shell_text(const std::vector<std::string> &words) {
    std::string text;
    for (const std::string &word : words)
        text += (text.empty() ? "" : " ") + shell_word(word);
    return text;
}

ChildProcess::ChildProcess(const ProgramCall &call) {
    std::vector<std::string> words = call.words, environment = environment_of(call);
    const std::vector<char *> argv = pointers(words), envp = pointers(environment);
    const passwd *user = nullptr;
    if (call.as_server_user && ::geteuid() == 0) {
        user = ::getpwnam("postgres");
        if (user == nullptr) could_not_run(call, "It refuses to run as root, and there is no user postgres");
    }
    Pipe out, err, failure;
    const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::dup2(nothing, STDIN_FILENO);
        ::dup2(out.ends[1], STDOUT_FILENO);
        ::dup2(err.ends[1], STDERR_FILENO);
        become(words.front().c_str(), argv.data(), envp.data(), call.folder.c_str(), user, parent);
        const int why = errno;
        (void)!::write(failure.ends[1], &why, sizeof why);
        _exit(127);
    }
    const int fork_error = errno;
    if (nothing >= 0) ::close(nothing);
    if (pid_ < 0) could_not_run(call, std::strerror(fork_error));
    (void)setpgid(pid_, pid_); // whoever of the two is first
    out.shut(1);
    err.shut(1);
    failure.shut(1);
    int why = 0;
    ssize_t got = 0;
    while ((got = ::read(failure.ends[0], &why, sizeof why)) < 0 && errno == EINTR) {
    }
    if (got == static_cast<ssize_t>(sizeof why)) {
        (void)::waitpid(pid_, nullptr, 0);
        pid_ = -1;
        could_not_run(call, std::strerror(why));
    }
    out_ = out.take(0);
    err_ = err.take(0);
    for (const int file : {out_, err_})
        (void)::fcntl(file, F_SETFL, O_NONBLOCK);
}

ChildProcess::~ChildProcess() {
    if (pid_ > 0 && !status_) end();
    for (const int file : {out_, err_})
        if (file >= 0) ::close(file);
}

void ChildProcess::end() {
    (void)::kill(-pid_, SIGTERM);
    int status = 0;
    for (int waited = 0; waited < grace; waited += look_again) {
        if (::waitpid(pid_, &status, WNOHANG) == pid_) {
            status_ = signal_base + SIGTERM;
            (void)::kill(-pid_, SIGKILL); // what it may have left
            return;
        }
        (void)::poll(nullptr, 0, look_again);
    }
    (void)::kill(-pid_, SIGKILL);
    (void)::waitpid(pid_, &status, 0);
    status_ = signal_base + SIGKILL;
}

void ChildProcess::read_all(int milliseconds) {
    // A signal is to be noticed within the wait, and only there; the two are looked at in turns.
    const interrupt::Deferred deferred;
    const int first = err_ >= 0 ? err_ : out_;
    if (milliseconds != 0) {
        if (first >= 0)
            deferred.wait_readable(first, milliseconds);
        else
            deferred.sleep(milliseconds);
    }
    for (int *file : {&out_, &err_}) {
        if (*file < 0) continue;
        if (read_some(*file, file == &out_ ? output_ : errors_, file == &out_ ? 0 : kept_errors)) continue;
        ::close(*file);
        *file = -1;
    }
}

bool ChildProcess::wait(int milliseconds) {
    using std::chrono::steady_clock;
    const auto limit = steady_clock::now() + std::chrono::milliseconds(milliseconds);
    while (!status_) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - steady_clock::now()).count();
        const int step = milliseconds < 0 ? look_again : static_cast<int>(std::clamp<long>(left, 0, look_again));
        read_all(step);
        if (interrupt::requested()) {
            end();
            throw ClientError(ExitStatus::interrupted, "interrupted");
        }
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) == pid_) {
            read_all(0);
            status_ = WIFEXITED(status) ? WEXITSTATUS(status) : signal_base + WTERMSIG(status);
            (void)::kill(-pid_, SIGKILL);
        } else if (milliseconds >= 0 && left <= 0) {
            return false;
        }
    }
    return true;
}

ProgramResult run_program(const ProgramCall &call) {
    ChildProcess child(call);
    child.wait(-1);
    return {child.status(), child.output(), child.errors()};
}

} // namespace tenantmig::client

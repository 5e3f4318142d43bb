#include "interrupt.hpp"
#include "exit_status.hpp"
#include <array>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

namespace tenantmig::client::interrupt {

namespace {

constexpr std::array handled{SIGINT, SIGTERM, SIGHUP};

volatile std::sig_atomic_t count = 0;
volatile std::sig_atomic_t taken = 0;
volatile std::sig_atomic_t deferred = 0; // how many of them live
sigset_t outside;                        // the mask before the outermost
volatile std::sig_atomic_t terminal_changed = 0;
int terminal_number = -1;
termios terminal_settings;

void on_signal(int /*number*/) {
    count = count + 1;
    if (deferred != 0 && count - taken == 1) return;
    if (terminal_changed != 0) tcsetattr(terminal_number, TCSANOW, &terminal_settings);
    _exit(static_cast<int>(ExitStatus::interrupted));
}

sigset_t our_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : handled)
        sigaddset(&set, number);
    return set;
}

} // namespace

void install() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_mask = our_signals();
    for (const int number : handled)
        sigaction(number, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

bool requested() {
    return count != taken;
}

void take() {
    taken = count;
}

Deferred::Deferred() {
    const sigset_t blocked = our_signals();
    if (deferred == 0) sigprocmask(SIG_BLOCK, &blocked, &outside);
    deferred = deferred + 1;
}

Deferred::~Deferred() {
    if (deferred == 1) sigprocmask(SIG_SETMASK, &outside, nullptr); // one that is pending now is noted
    deferred = deferred - 1;
}

namespace {

void wait(int socket, short events, int milliseconds) {
    pollfd descriptor{socket, events, 0};
    const timespec limit{milliseconds / 1000, milliseconds % 1000 * 1000000L};
    // an interrupted wait is an answer too: the caller looks at requested()
    (void)ppoll(&descriptor, socket < 0 ? 0 : 1, milliseconds < 0 ? nullptr : &limit, &outside);
}

} // namespace

void Deferred::wait_readable(int socket, int milliseconds) const {
    wait(socket, POLLIN, milliseconds);
}

void Deferred::wait_writable(int socket, int milliseconds) const {
    wait(socket, POLLOUT, milliseconds);
}

void Deferred::sleep(int milliseconds) const {
    wait(-1, 0, milliseconds);
}

void restore_at_exit(int terminal, const termios *settings) {
    terminal_changed = 0;
    if (settings == nullptr) return;
    terminal_number = terminal;
    terminal_settings = *settings;
    terminal_changed = 1;
}

} // namespace tenantmig::client::interrupt

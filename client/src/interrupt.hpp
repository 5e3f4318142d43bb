// Ctrl-C and its relatives. While a statement runs on the server, or a run is watched, a signal is noted, so that the
// statement can be cancelled, or the run paused, in order; at any other moment it ends the process with status 130.
#pragma once
#include <csignal>

struct termios;

namespace tenantmig::client::interrupt {

// Handlers for SIGINT, SIGTERM and SIGHUP; a closed pipe becomes a write error.
void install();

// Whether a signal came that nobody has taken.
bool requested();

// What came is dealt with; the next signal is noted again.
void take();

// While one of these lives, signals are noted, and delivered only inside its waits. A second one that comes before the
// first is taken ends the process. They nest.
class Deferred {
public:
    Deferred();
    ~Deferred();
    Deferred(const Deferred &) = delete;
    Deferred &operator=(const Deferred &) = delete;
    // Waits until the socket can be read, a signal came, or so many milliseconds are over (-1: no limit).
    void wait_readable(int socket, int milliseconds = -1) const;
    void wait_writable(int socket, int milliseconds) const;
    // Waits so long, or until a signal comes.
    void sleep(int milliseconds) const;
};

// The settings of a terminal whose echo is off, to be restored should a signal end the process; nullptr: none.
void restore_at_exit(int terminal, const termios *settings);

} // namespace tenantmig::client::interrupt

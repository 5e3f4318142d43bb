// Ctrl-C and its relatives. While a statement runs on the server a signal is noted, so that the statement can be
// cancelled in order; at any other moment it ends the process at once with status 130.
#pragma once
#include <csignal>

struct termios;

namespace tenantmig::client::interrupt {

// Handlers for SIGINT, SIGTERM and SIGHUP; a closed pipe becomes a write error.
void install();

bool requested();

// While one of these lives, signals are noted, and delivered only inside wait_readable(). A second one ends the
// process.
class Deferred {
public:
    Deferred();
    ~Deferred();
    Deferred(const Deferred &) = delete;
    Deferred &operator=(const Deferred &) = delete;
    // Waits until the socket can be read, or a signal came.
    void wait_readable(int socket) const;

private:
    sigset_t before_;
};

// The settings of a terminal whose echo is off, to be restored should a signal end the process; nullptr: none.
void restore_at_exit(int terminal, const termios *settings);

} // namespace tenantmig::client::interrupt

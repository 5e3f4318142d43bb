// Programs that the client starts: pg_dump, pg_restore, initdb. Each is the leader of a process group of its own, reads
// nothing, and does not outlive us: it is ended with the object, and by the system if we are killed.
#pragma once
#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace tenantmig::client {

struct ProgramCall {
    std::vector<std::string> words;                               // the program's path first; no shell is involved
    std::vector<std::pair<std::string, std::string>> environment; // added to ours, or in place of what is there
    std::string folder;                                           // where it runs; empty: where we do
    bool as_server_user = false;                                  // as user postgres, if we are root
};

// The words as somebody would type them.
std::string shell_text(const std::vector<std::string> &words);

class ChildProcess {
public:
    // Status 1 if it can't be started: message `could not run PATH`, the system's reason as the detail.
    explicit ChildProcess(const ProgramCall &call);
    ChildProcess(const ChildProcess &) = delete;
    ChildProcess &operator=(const ChildProcess &) = delete;
    ~ChildProcess(); // still running: ends it and what it has started

    // Reads what it says, for so many milliseconds (-1: until it ends). True once it has ended. A signal that comes
    // meanwhile ends it, and is status 130.
    bool wait(int milliseconds);
    // When it has ended: 0 is good; 128 + the signal's number if one ended it.
    [[nodiscard]] int status() const { return *status_; }
    [[nodiscard]] const std::string &output() const { return output_; } // what it has said on standard output
    [[nodiscard]] const std::string &errors() const { return errors_; } // on standard error; the last 64 kB of it

private:
    void read_all(int milliseconds);
    void end();
    pid_t pid_ = -1;
    int out_ = -1, err_ = -1;
    std::optional<int> status_;
    std::string output_, errors_;
};

struct ProgramResult {
    int status = 0;
    std::string output, errors;
};
// To its end.
ProgramResult run_program(const ProgramCall &call);

} // namespace tenantmig::client

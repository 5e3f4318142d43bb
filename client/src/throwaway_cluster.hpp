// A PostgreSQL server of our own in a temporary folder: reached through a unix socket in that folder by whoever may
// enter it (us), superuser postgres without a password. A guardian process starts it, stops it and removes the folder
// as soon as we are gone, in whatever way: at the end of the object's life, after a signal, or killed.
#pragma once
#include "connection.hpp"
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace tenantmig::client {

struct ClusterOptions {
    std::string programs;                                      // folder of initdb and postgres, see find_programs()
    std::string encoding, collate, ctype;                      // of its databases; empty: as the system says
    std::vector<std::pair<std::string, std::string>> settings; // of postgresql.conf; they win over ours
    bool checksums = false;
};

class ThrowawayCluster {
public:
    // Made and started when it returns (about 2 s). Status 1 with what initdb or the server said; 130 after a signal.
    explicit ThrowawayCluster(const ClusterOptions &options);
    ThrowawayCluster(const ThrowawayCluster &) = delete;
    ThrowawayCluster &operator=(const ThrowawayCluster &) = delete;
    ~ThrowawayCluster(); // stopped and removed when it returns

    [[nodiscard]] const std::string &folder() const { return folder_; } // of socket, log and data; 0700
    [[nodiscard]] ConnectOptions connect_options(const std::string &database = "postgres") const;
    [[nodiscard]] Connection connect(const std::string &database = "postgres") const;
    // Words for programs: --host=… --port=… --username=postgres --no-password
    [[nodiscard]] std::vector<std::string> connect_words() const;
    [[nodiscard]] std::string log() const; // the last lines of the server's log

private:
    void make(const ClusterOptions &options);
    void start(const ClusterOptions &options);
    void finish() noexcept;
    std::string folder_;
    pid_t guardian_ = -1;
    int leash_ = -1; // a pipe whose other end the guardian reads: it ends with us
};

// The settings that a copy of this database needs in order to find the same extensions (Debian's extension_destdir,
// dynamic_library_path, shared_preload_libraries), as far as we may read them; and its encoding and locale.
ClusterOptions cluster_options_like(Connection &source, const std::string &programs);

// All roles of one server in another, with attributes and memberships, without passwords: owners and grantees of a
// restored dump. Those that are there already stay as they are. None can log in unless `logins`.
void copy_roles(Connection &from, Connection &to, bool logins);

} // namespace tenantmig::client

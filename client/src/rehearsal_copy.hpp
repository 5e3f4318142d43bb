// The copy that a rehearsal works on: in a throw-away cluster, in a new database beside the source, or where a DSN
// leads. It is gone on every way out unless it is kept. The source is only read.
#pragma once
#include "rehearsal.hpp"
#include "throwaway_cluster.hpp"
#include <memory>
#include <string>
#include <vector>

namespace tenantmig::client {

class RehearsalCopy {
public:
    // Makes and fills it. Status 1: it could not be made (what pg_dump, pg_restore or the server said), or it is no
    // place for a rehearsal (the source itself, not empty); 2: no connection; 130: a signal. Nothing is left then.
    RehearsalCopy(const GlobalOptions &global, Connection &source, const RehearseOptions &options);
    RehearsalCopy(const RehearsalCopy &) = delete;
    RehearsalCopy &operator=(const RehearsalCopy &) = delete;
    ~RehearsalCopy();

    // As the role that the source is used as; only warnings are shown.
    [[nodiscard]] Connection connect() const;
    // Whether its processes are ours to kill with signal 9.
    [[nodiscard]] bool ours() const { return cluster_ != nullptr; }
    [[nodiscard]] const std::string &where() const { return where_; } // for people
    // Leaves it; says where it is and how to get rid of it.
    void keep();
    void drop(); // reports errors; the destructor does not

private:
    enum class Place { cluster, same_server, elsewhere };
    void make_cluster();
    void make_database();
    void take_elsewhere();
    void fill(const std::vector<std::string> &restore_words, const std::string &folder);
    void clear();

    const GlobalOptions &global_;
    const RehearseOptions &options_;
    Connection &source_;
    Place place_;
    std::unique_ptr<ThrowawayCluster> cluster_;
    ConnectOptions target_;
    std::string database_, where_;
    bool made_ = false; // there is something to be dropped
};

} // namespace tenantmig::client

// The attacks that write, on one table. Used by probe_writes.cpp and probe_copy.cpp only.
#pragma once
#include "steps/probe_attack.hpp"

namespace tenantmig {

class ProbeWriter {
public:
    ProbeWriter(Probe &probe, const ProbeTable &table);
    void run();

private:
    enum class Looks {
        touched, // the statement names the victim's row: one row is a hit
        written  // the owner looks for rows of `tenant` that were written
    };
    struct Writing {
        std::string sql;
        std::vector<Value> values;
        std::function<Attempt()> work; // in place of sql
        Looks looks = Looks::touched;
        std::optional<std::string> tenant;   // see Looks::written; not given: rows without a tenant
        const ProbeSample *sample = nullptr; // see Looks::touched
        char command = 'w';                  // whose policies are to blame
        bool may = true;                     // by its grants the role may run the statement
        std::string expected;
        const char *done = nullptr;
        bool behind = true;     // an error of a constraint shows that the policies let the row pass
        bool tolerant = false;  // an error of any kind refuses it
        bool malformed = false; // the setting is: a policy that can't read it refuses with an error of class 22
        const char *unsupported = "SKIP"; // what 0A000 means
    };
    struct Outcome {
        Attempt attempt;
        std::int64_t written = 0;
        bool gone = false;
    };

    Probe &probe_;
    const ProbeTable &table_;
    ProbeAccess access_;
    std::vector<AttrNumber> insertable_; // the key and what the role may insert
    AttrNumber updated_ = 0;             // a column that is set to what it holds
    bool before_triggers_ = false;       // that may change a row before the policies see it
    std::string sql_;

    const std::string &relation();
    Value key(const std::string &tenant) const;
    std::string updated() const;
    std::int64_t owner_count(const std::string &condition, std::span<const Value> values) const;
    std::int64_t written_for(const std::optional<std::string> &tenant) const;
    Outcome make(const ProbeSession &session, const Writing &writing, bool triggers);
    bool got_past(const Attempt &attempt) const;
    bool no_right_here(const Attempt &attempt, bool may) const;
    void attack(const char *name, const ProbePair &pair, const ProbeSession &session, const Writing &writing);

    std::string insert_into(const ProbeSample &row, const std::optional<std::string> &tenant,
                            std::vector<Value> &values, bool whole) const;
    std::string insert_as_tenant(const ProbeSample &row, const std::string &tenant, std::vector<Value> &values) const;
    ProbeSample fresh_copy(const ProbeSample &row) const;
    void inserts(const ProbePair &pair, const ProbeSession &session, const ProbeSample &row, const std::string &suffix);
    void insert_null(const ProbePair &pair, const ProbeSession &session, const ProbeSample &row);
    void conflicts(const ProbePair &pair, const ProbeSession &session, const ProbeSample &victim);
    void hits(const ProbePair &pair, const ProbeSession &session, const ProbeSample &victim, const std::string &suffix);
    void moves(const ProbePair &pair, const ProbeSession &session, const ProbeSample &own);
    void returning_query(const ProbePair &pair, const ProbeSession &session, const ProbeSample &own);
    void reaches(const std::string &tenant);
    Attempt copy_row(const ProbeSample &row) const;
};

} // namespace tenantmig

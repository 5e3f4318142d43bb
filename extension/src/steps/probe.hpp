// probe_isolation(): proof by attack that nobody sees another tenant's rows. What the attacks share: the tables, the
// tenants, one attempt under a foreign identity that is always undone, and the list of results. The attacks stand in
// probe_*.cpp, by group.
#pragma once
#include "bridge/relation.hpp"
#include "catalog/isolation_store.hpp"

namespace tenantmig {

struct ProbeOptions {
    std::optional<std::string> migration;            // its applied isolate steps say tables, role and setting
    std::optional<std::string> role;                 // of the application; needed without a migration
    std::optional<std::vector<std::string>> tables;  // as SQL writes them; not given: all
    std::optional<std::vector<std::string>> tenants; // text forms; not given: those with most rows
    std::optional<std::string> tenant_root;          // needed without a migration
    std::optional<std::string> setting;              // not given: the migration's, else tenantmig.tenant
    int pairs = 2;
    int max_tenants = 1000; // whose rows are counted one by one
    bool writes = true;     // attacks that write, too (each undone)
};

struct ProbeTable {
    Table table;
    Column key;
    Oid parent = InvalidOid;         // of a partition or an inheritance child: the table above it that is probed, too
    std::string setting, super_role; // super_role: not quoted; empty: there is none
};

struct ProbePair {
    std::string tenant, victim; // text forms of the tenant key
};

// One line of the result. `key` is stable, by names: for the list `exempt` of a spec.
struct ProbeRow {
    std::string relation, attack;
    std::optional<std::string> tenant, victim;
    std::string expected, seen, status, remedy, key; // status: PASS, FAIL, SKIP
    std::optional<std::string> exempt;               // the reason, if it is on such a list
    std::string acted_as;                            // the role of the application, as SQL writes it
};

struct ProbeSession { // under whose name an attempt is made
    Oid role = InvalidOid;
    std::string setting;
    std::optional<std::string> tenant; // of the setting; not given: unset
};

using ProbeMatrix = std::vector<std::vector<std::optional<std::string>>>;

struct Attempt {                            // what became of one
    std::string sqlstate;                   // empty: it was carried out
    std::string message, constraint, table; // of the error; the constraint and the table that it names
    std::int64_t rows = 0;                  // returned, or written
    ProbeMatrix values;                     // of the first rows, as many as were asked for
    bool refused() const { return !sqlstate.empty(); }
    // It tells nothing of the isolation: locked, too slow, a read-only transaction, out of some resource.
    bool undecided() const;
    bool no_right() const;     // it was refused for want of a privilege, not by a policy
    std::string shown() const; // "3 rows"; "42501: permission denied for table orders"
};

struct ProbeScope;
struct ProbeFacts; // what owners see, of all tables

class Probe {
public:
    // For one role of a resolved scope (probe_scope.hpp). `number`: of the role.
    Probe(const ProbeOptions &options, const ProbeScope &scope, std::size_t number, ProbeFacts &facts);
    ~Probe();
    Probe(const Probe &) = delete;
    Probe &operator=(const Probe &) = delete;

    const ProbeOptions &options() const;
    const std::vector<ProbeTable> &tables() const;
    // The pairs that attack each other on this table: of tenants that have rows in it. Empty: there are no two.
    std::vector<ProbePair> pairs(const ProbeTable &table) const;
    // All tenants with rows in the table and how many, as the owner sees it, NULL keys apart; computed once.
    // Of more than max_tenants the largest and some small ones: all_owned() says whether it is all.
    const std::map<std::string, std::int64_t> &owned(const ProbeTable &table) const;
    bool all_owned(const ProbeTable &table) const;
    std::int64_t null_rows(const ProbeTable &table) const;
    std::int64_t tenant_count(const ProbeTable &table) const; // counted or not
    std::int64_t total_rows(const ProbeTable &table) const;   // NULL keys too
    const std::string &unread(const ProbeTable &table) const; // why the owner could not count; empty: it could
    // A tenant as a value of the key's type; in the current memory context.
    static Value key_value(const ProbeTable &table, const std::string &tenant);
    Oid role() const;               // of the application
    std::string role_label() const; // quoted as SQL needs it
    const std::string &role_name() const;

    // The application's session for a table: its role and setting, with this tenant.
    ProbeSession session(const ProbeTable &table, std::optional<std::string> tenant) const;

    // One statement as that session, in a subtransaction that is always undone, with a lock_timeout of 1 s, row
    // security on, and an own snapshot; a statement that writes must be written so that it touches at most one row.
    // `keep`: how many rows of a result to return. Never throws for an error of the statement; a cancel goes through.
    Attempt attempt(const ProbeSession &session, const std::string &sql, std::span<const Value> values = {},
                    int keep = 0) const;
    Attempt attempt(const ProbeSession &session, const std::string &sql, std::initializer_list<Value> values,
                    int keep = 0) const {
        return attempt(session, sql, std::span<const Value>(values.begin(), values.size()), keep);
    }
    // The same for work that is no single statement; what it returns is in the result.
    Attempt attempt_work(const ProbeSession &session, const std::function<Attempt()> &work) const;

    // A SELECT, under the snapshot that owned() and null_rows() are of: whoever writes meanwhile is no leak.
    Attempt read(const ProbeSession &session, const std::string &sql, std::span<const Value> values = {},
                 int keep = 0) const;
    Attempt read(const ProbeSession &session, const std::string &sql, std::initializer_list<Value> values,
                 int keep = 0) const {
        return read(session, sql, std::span<const Value>(values.begin(), values.size()), keep);
    }

    // What the owner of the table sees, past row-level security: the oracle. nullopt: the caller has not its rights.
    std::optional<ProbeMatrix> as_owner(const Table &table, const std::string &sql, std::span<const Value> values = {},
                                        int limit = 0) const;

    // The results. `object`: a part of the key beside table and attack (an index, a view), or empty.
    void add(const ProbeTable *table, const std::string &relation, const char *attack, const std::string &object,
             const ProbePair *pair, const std::string &expected, const std::string &seen, const char *status,
             const std::string &remedy);
    const std::vector<ProbeRow> &rows() const;
    // The group that begins, for the line of progress; `number` of `count`.
    void begin_group(int number, int count);

private:
    struct State;
    std::unique_ptr<State> state_;
};

// Catalogue, identity and counts first; each adds its rows.
void probe_counts(Probe &probe);   // each tenant exactly its rows, all together all, NULL rows nobody
void probe_settings(Probe &probe); // unset, empty, malformed; a foreign tenant
void probe_reads(Probe &probe);    // SELECT, RETURNING, leaky function in WHERE, prepared plans, COPY TO
void probe_writes(Probe &probe);   // INSERT, UPDATE, moves, DELETE, MERGE, ON CONFLICT, COPY FROM
void probe_keys(Probe &probe);     // foreign keys and unique constraints as oracles
void probe_objects(Probe &probe);  // views, materialised views, partitions, children, sequences, statistics
void probe_rights(Probe &probe);   // TRUNCATE, REFERENCES, SET ROLE, SECURITY DEFINER functions, BYPASSRLS, ownership

// All of them; rows by table, attack, pair.
std::vector<ProbeRow> probe_isolation(const ProbeOptions &options);

} // namespace tenantmig

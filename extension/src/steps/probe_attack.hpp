// What the attacks of probe_counts, probe_settings, probe_reads, probe_writes and probe_copy share.
#pragma once
#include "bridge/identity.hpp"
#include "steps/probe_session.hpp"

namespace tenantmig {

// What the role may do with the table, by grants.
struct ProbeAccess {
    bool usage = false;   // of the schema
    bool select = false;  // of the whole table
    bool removal = false; // DELETE
    bool rules = false;   // the table has rules
    std::set<AttrNumber> reads, inserts, updates;
    bool can_read() const { return usage && (select || !reads.empty()); }
    bool reads_column(AttrNumber number) const { return select || reads.contains(number); }
};
ProbeAccess probe_access(const Probe &probe, const ProbeTable &table);

// Whether a text names a tenant that has rows, by the equality of the key.
bool names_tenant(const Probe &probe, const ProbeTable &table, const std::string &value);
// A tenant that has no row in the table: of another table, else one that there is not.
std::optional<std::string> outsider(const Probe &probe, const ProbeTable &table);
// probe.pairs(); of a table where only one tenant has rows: an outsider against that one.
std::vector<ProbePair> attack_pairs(const Probe &probe, const ProbeTable &table);

// SQL text of a condition on "t".
std::string key_is(const ProbeTable &table, int parameter);     // the tenant key equals $n
std::string key_is_not(const ProbeTable &table, int parameter); // it does not, or is NULL

// SQL to paste, or a sentence: why a row of another tenant got through. `command`: r, a, w, d as pg_policy has them.
std::string policy_remedy(const Probe &probe, const ProbeTable &table, char command);

// A row of a tenant, as its owner sees it.
struct ProbeSample {
    std::vector<AttrNumber> identity; // the columns that identify it; empty: by ctid
    std::string ctid, tableoid;
    std::map<AttrNumber, std::optional<std::string>> cells; // all columns, in text form
};
std::optional<ProbeSample> probe_sample(const Probe &probe, const ProbeTable &table, const std::string &tenant);

// The condition that finds a sample by its identity; its values are appended to `values`.
std::string sample_is(const ProbeTable &table, const ProbeSample &sample, std::vector<Value> &values);
// Whether the role may read what that condition names.
bool can_find(const ProbeAccess &access, const ProbeSample &sample);
// The columns' values in the order that identifies the sample, for messages: id 17.
std::string sample_label(const ProbeTable &table, const ProbeSample &sample);
Value cell_value(const ProbeTable &table, const Column &column, const std::optional<std::string> &text);

std::string rows_of(std::int64_t count, const char *what); // "1 row of tenant 2", "3 rows …"; limited() counts
inline constexpr int seen_limit = 1000;                    // rows that are counted of what should be none
std::string limited_rows(std::int64_t count);              // "1000 rows or more"

} // namespace tenantmig

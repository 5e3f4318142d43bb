// Evaluates one step: reads all its evidence set-based under one snapshot, then its rows in physical order, and decides
// for each. Nothing is written. Memory is bounded by maintenance_work_mem: what does not fit is joined through
// temporary files.
#pragma once
#include "core/evidence_digest.hpp"
#include "core/shared_evidence.hpp"

#include "engine/encoding.hpp"
#include "engine/evidence.hpp"

namespace tenantmig {

// The active snapshot of one evaluation; sees what this transaction has done so far.
class SnapshotScope {
public:
    SnapshotScope();
    ~SnapshotScope();
    SnapshotScope(const SnapshotScope &) = delete;
    SnapshotScope &operator=(const SnapshotScope &) = delete;
};

class HopSink;
class EvidenceDigester;

// A row of the target as it is handed on. Datums are valid during the call only.
struct EvaluatedRow {
    TupleTableSlot *slot; // the key's columns come first
    std::size_t key_columns;
    std::string_view key;   // encoded; empty unless row keys were asked for
    bool deleted;           // soft-deleted
    core::TenantNo current; // the tenant key that the row has, no_tenant for NULL
    core::Decision decision;
    const std::vector<core::Candidate> &candidates; // of all sources, by source
    // Where it stands: in the table, or in one of its partitions. Without EvaluationOptions::positions valid only for
    // rows that are read below SQL.
    ItemPointerData tid;
    Oid relation;
};

class RowConsumer {
public:
    virtual ~RowConsumer() = default;
    virtual void row(const EvaluatedRow &row) = 0;
    // Between two portions of rows, outside of any running query: the place to write.
    virtual void portion_done() {}
};

// What earlier steps of a plan would have written: row key of that step's table -> tenant. Only for reading ahead.
struct Overlay {
    const StepTarget *target = nullptr;
    std::unique_ptr<EvidenceTable> table; // nullptr: no later step reads it
};
using Overlays = std::vector<Overlay>; // by position in ResolvedMigration::steps

struct EvaluationOptions {
    bool all_rows = false;  // rows that have a tenant key too
    bool row_keys = false;  // encode the row's key
    bool positions = false; // EvaluatedRow::tid and relation, through SQL too
    long portion = 10000;   // rows
    Overlays *overlays = nullptr;
    std::optional<core::DigestSeed> digest_seed; // for evidence_digest() and read_digest_only()
    // Evidence that another evaluation has shared, in the place of read_evidence(). `tenants` must be of that one.
    const core::SharedEvidence *shared = nullptr;
};

class Evaluation {
public:
    // `tenants` is shared by the steps of one migration.
    Evaluation(const ResolvedStep &step, TenantDictionary &tenants, EvidenceMemory &memory, EvaluationOptions options);
    void read_evidence(); // and which of the tenants that it names are in the tenant root
    void evaluate(RowConsumer &consumer);
    bool spilled() const;
    std::uint64_t evidence_rows() const { return evidence_rows_; }

    // Digests need EvaluationOptions::digest_seed. Of what read_evidence() read, over all sources, with the set of
    // tenants that it names and which of them are in the tenant root.
    core::EvidenceDigest evidence_digest() const;
    // Reads the evidence again, under the snapshot that is active now, and only sums: what read_evidence() found, and
    // the tenants' dictionary, stay as they are.
    core::EvidenceDigest read_digest_only();

    // For deciding elsewhere (engine/row_decider.hpp), once the evidence has been read and if it is not spilled: its
    // tables in the order of sources and types, and all of it in one block, aligned to 8, for core::SharedEvidence.
    std::vector<core::EvidenceView> views() const;
    const TenantDictionary &tenants() const { return tenants_; }
    std::size_t shared_size() const;
    void share(char *block) const;
    // Why evaluate() reads rows through SQL; nullopt: below it. For the whole evaluation, so after read_evidence().
    std::optional<std::string> why_by_sql() const;

private:
    struct SourceTables { // one table per type of a polymorphic source, else one
        std::vector<std::unique_ptr<EvidenceTable>> tables;
        std::vector<KeyEncoder> probes;
        int type_column = -1; // in the slot
    };
    struct Reading { // of evidence, in full or for its digest only
        TenantDictionary &tenants;
        EvidenceDigester *digester; // may be nullptr
        bool keep;
    };
    void read_all(const Reading &reading);
    std::unique_ptr<EvidenceTable> read_chain(const Reading &reading, std::size_t source, std::size_t type);
    void read_hop(const Reading &reading, std::size_t source, const Hop &hop, bool last, EvidenceTable *next,
                  EvidenceTable *into, EvidenceDigester *digester);
    void read_hop_by_sql(const Hop &hop, const StepTarget *ahead, HopSink &sink);
    void read_hop_directly(const Hop &hop, const StepTarget *ahead, HopSink &sink);
    EvidenceTable *table_for(std::size_t source, TupleTableSlot *slot, KeyEncoder **probe);
    std::string scan_sql(std::vector<Value> &values);
    void gather(TupleTableSlot *slot, std::size_t source);
    void emit(TupleTableSlot *slot, RowConsumer &consumer);
    void evaluate_directly(RowConsumer &consumer);
    void evaluate_in_memory(const std::string &sql, std::span<const Value> values, RowConsumer &consumer);
    void evaluate_spilled(const std::string &sql, std::span<const Value> values, RowConsumer &consumer);

    const ResolvedStep &step_;
    EvidenceMemory &memory_;
    EvaluationOptions options_;
    TenantDictionary &tenants_;
    std::vector<SourceTables> sources_;
    KeyEncoder row_key_, current_;
    int deleted_column_ = -1, current_column_ = -1, position_column_ = -1;
    std::uint64_t evidence_rows_ = 0;
    core::EvidenceDigest digest_;
    std::vector<core::Candidate> candidates_;
};

// SQL of `where`, appended to a WHERE clause; parameters are added to `values`.
std::string condition_sql(const std::string &alias, const std::vector<ResolvedCondition> &conditions,
                          std::vector<Value> &values);

// The class of each column of a row's identity.
std::vector<KeyClass> identity_classes(const StepTarget &target);

} // namespace tenantmig

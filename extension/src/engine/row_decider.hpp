// Decides about rows of one step by looking them up in evidence that is in memory: this process's own, or that of
// another one in a shared block. Takes tuples as they are read below SQL; needs no SPI, and keeps no memory of theirs.
#pragma once
#include "core/shared_evidence.hpp"

#include "engine/evaluation.hpp"
#include "engine/tuple_encoder.hpp"

namespace tenantmig {

class RowDecider {
public:
    // Why rows of the step can't be decided about that way, in words; nullopt: they can. The first form asks for the
    // types alone, the second whether the evidence that was read is in memory too.
    static std::optional<std::string> not_possible(const ResolvedStep &step);
    static std::optional<std::string> not_possible(const ResolvedStep &step, const Evaluation &evaluation);

    // For one relation, which the descriptor describes: the target, or a leaf partition of it. Step, evidence and
    // descriptor must outlive it. A `where` of the step is cast through SQL here (SPI), once.
    RowDecider(const ResolvedStep &step, const Evaluation &evaluation, TupleDesc descriptor, Oid relation);
    RowDecider(const ResolvedStep &step, const core::SharedEvidence &evidence, TupleDesc descriptor, Oid relation);

    // The attributes that it reads; the arrays below stand by attribute number - 1 and must hold at least these.
    const std::vector<AttrNumber> &attributes() const { return attributes_; }

    // Whether the step's `where` lets the row in.
    bool in_scope(const Datum *values, const bool *isnull) { return filter_.passes(values, isnull); }
    // Asks for memory that decide() is going to read: some rows ahead of it.
    void prefetch(const Datum *values, const bool *isnull) const;
    // Fills `candidates` anew: of all sources, by source (under `first` up to the source that answers).
    void decide(const Datum *values, const bool *isnull, core::Decision *decision,
                std::vector<core::Candidate> &candidates);

private:
    struct Probe {
        TupleEncoder key;
        core::EvidenceView evidence;
    };
    struct Source {
        std::optional<TupleEncoder> type; // polymorphic: the type column
        std::size_t number;
        std::vector<Probe> probes;
    };
    RowDecider(const ResolvedStep &step, const std::vector<core::EvidenceView> &tables, const std::vector<bool> &known,
               TupleDesc descriptor, Oid relation);
    Probe *probe_for(Source &source, const Datum *values, const bool *isnull);

    const ResolvedStep &step_;
    const std::vector<bool> &known_;
    TupleFilter filter_;
    std::vector<Source> sources_;
    std::vector<AttrNumber> attributes_;
};

} // namespace tenantmig

// See examine.hpp. The evidence is read again as it is now.
#include "core/evidence_map.hpp"
#include "core/key_text.hpp"
#include "core/spec.hpp"

#include "catalog/change_log.hpp"
#include "catalog/review_store.hpp"
#include "steps/examine.hpp"

namespace tenantmig {

namespace {
// Goes over all rows of a step's table, those with a key included.
class Verifier : public RowConsumer {
public:
    Verifier(const ResolvedStep &step, const core::EvidenceMap &queued, const core::EvidenceMap &decided)
        : step_(step), queued_(queued), decided_(decided), mismatches_(step.sources.size(), 0),
          example_(step.sources.size()) {
        for (AttrNumber number : step.target.key)
            key_text_.emplace_back(step.target.table.at(number).type);
    }

    void row(const EvaluatedRow &row) override {
        rows_++;
        if (row.current == core::no_tenant) {
            (row.deleted ? null_deleted_ : null_living_)++;
            if (!in(queued_, row)) (row.deleted ? lost_deleted_ : lost_living_)++;
            return;
        }
        if (tenant_rows_.size() <= row.current) tenant_rows_.resize(row.current + 1, 0);
        tenant_rows_[row.current]++;
        compare(row);
    }
    void portion_done() override {
        pg_call([] { CHECK_FOR_INTERRUPTS(); });
    }

    std::int64_t rows_ = 0, null_living_ = 0, null_deleted_ = 0, lost_living_ = 0, lost_deleted_ = 0;
    const std::vector<std::int64_t> &mismatches() const { return mismatches_; }
    const std::string &example(std::size_t source) const { return example_[source]; }
    const std::vector<std::int64_t> &tenant_rows() const { return tenant_rows_; }

private:
    std::string key_of(const EvaluatedRow &row) {
        std::vector<std::string> texts;
        for (std::size_t i = 0; i < key_text_.size(); i++)
            texts.push_back(key_text_[i](row.slot->tts_values[i]));
        std::vector<std::string_view> views(texts.begin(), texts.end());
        return core::pack_key(views);
    }
    bool in(const core::EvidenceMap &map, const EvaluatedRow &row) {
        if (map.size() == 0) return false;
        found_.clear();
        map.find(key_of(row), 0, found_);
        return !found_.empty();
    }
    // A row whose key differs from what its evidence says, source by source. A person's decision stands against the
    // evidence; under `first` only the deciding source counts, under majority only the winner.
    void compare(const EvaluatedRow &row) {
        std::span<const core::Candidate> asked = core::asked(step_.policy, row.candidates);
        bool differs = false;
        for (const core::Candidate &candidate : asked)
            differs |= candidate.tenant != row.current;
        if (!differs) return;
        if (step_.policy.majority &&
            (row.decision.outcome != core::Outcome::assigned || row.decision.tenant == row.current))
            return;
        if (in(decided_, row)) return;
        std::uint32_t last = UINT32_MAX;
        for (const core::Candidate &candidate : asked) {
            if (candidate.tenant == row.current || candidate.source == last) continue;
            last = candidate.source;
            if (mismatches_[last]++ == 0) example_[last] = key_of(row);
        }
    }

    const ResolvedStep &step_;
    const core::EvidenceMap &queued_, &decided_;
    std::vector<std::int64_t> mismatches_;
    std::vector<std::string> example_;
    std::vector<std::int64_t> tenant_rows_;
    std::vector<TextOutput> key_text_;
    std::vector<core::Candidate> found_;
};

void remember(core::EvidenceMap &map, std::string_view key) {
    if (map.add(key, 0, 1) != core::EvidenceMap::Added::ok) throw std::bad_alloc();
}

} // namespace

StepFindings examine_step(const MigrationRecord &record, std::optional<std::int64_t> run, const ResolvedStep &step,
                          TenantDictionary &tenants) {
    core::EvidenceMap queued(false, SIZE_MAX), decided(false, SIZE_MAX);
    for_each_queued(record.id, step.spec.number, [&](const ReviewRow &review) { remember(queued, review.key); });
    Rows decisions = own_query("SELECT u.key FROM tenantmig.change_log l CROSS JOIN LATERAL unnest(l.keys) u(key) JOIN "
                               "tenantmig.run_log r ON r.id = l.run_id "
                               "WHERE r.migration_id = $1 AND l.step = $2 AND l.kind = 'review'",
                               {bigint_value(record.id), int_value(step.spec.number)});
    for (std::size_t i = 0; i < decisions.size(); i++)
        remember(decided, decisions.text_or(i, 1));
    if (run && step.spec.on_orphan ==
                   core::OnOrphan::soft_delete) // such rows are recorded in the change log, under the other column
        for_each_entry(*run, false, [&](const ChangeEntry &entry) {
            if (entry.step == step.spec.number && entry.source == "soft_delete")
                for (const std::string &key : entry.keys)
                    remember(queued, key);
        });

    SnapshotScope snapshot;
    EvidenceMemory memory(evidence_memory_limit());
    EvaluationOptions options;
    options.all_rows = true;
    Evaluation evaluation(step, tenants, memory, options);
    evaluation.read_evidence();
    Verifier verifier(step, queued, decided);
    evaluation.evaluate(verifier);
    tenants.check_known(step.target);

    StepFindings found;
    found.rows = verifier.rows_;
    found.null_living = verifier.null_living_;
    found.null_deleted = verifier.null_deleted_;
    found.lost_living = verifier.lost_living_;
    found.lost_deleted = verifier.lost_deleted_;
    found.mismatches = verifier.mismatches();
    for (std::size_t i = 0; i < step.sources.size(); i++)
        found.examples.push_back(verifier.example(i));
    for (std::size_t i = 0; i < verifier.tenant_rows().size(); i++)
        if (verifier.tenant_rows()[i] > 0 && !tenants.known()[i]) {
            found.unknown += verifier.tenant_rows()[i];
            found.unknown_example = tenants.text(static_cast<core::TenantNo>(i));
        }
    return found;
}

} // namespace tenantmig

// Reading ahead: what a run would do, without writing.
#include "core/decide.hpp"

#include "steps/backfill.hpp"

namespace tenantmig {

namespace {
class Forecaster : public RowConsumer {
public:
    Forecaster(const ResolvedStep &step, EvidenceTable *overlay, core::TenantNo for_orphans)
        : step_(step), counts_(step), overlay_(overlay), for_orphans_(for_orphans) {}

    void row(const EvaluatedRow &row) override {
        if (row.current != core::no_tenant) {
            mismatches_ += row.decision.outcome == core::Outcome::assigned && row.decision.tenant != row.current;
            return;
        }
        counts_.add(row.decision, row.candidates, row.deleted);
        if (!overlay_) return;
        if (row.decision.outcome == core::Outcome::assigned)
            overlay_->add(row.key, row.decision.tenant);
        else if (row.decision.outcome == core::Outcome::orphan && for_orphans_ != core::no_tenant)
            overlay_->add(row.key, for_orphans_);
    }
    void portion_done() override {
        pg_call([] { CHECK_FOR_INTERRUPTS(); });
    }
    const OutcomeCounts &counts() const { return counts_; }
    std::int64_t mismatches() const { return mismatches_; }

private:
    const ResolvedStep &step_;
    OutcomeCounts counts_;
    EvidenceTable *overlay_;
    core::TenantNo for_orphans_;
    std::int64_t mismatches_ = 0;
};
} // namespace

Overlays make_overlays(const ResolvedMigration &migration, EvidenceMemory &memory) {
    Overlays overlays(migration.steps.size());
    for (const ResolvedStep &step : migration.steps)
        for (const ResolvedSource &source : step.sources)
            for (std::size_t earlier : source.depends_on) {
                const StepTarget &target = migration.steps[earlier].target;
                overlays[earlier].target = &target;
                if (!overlays[earlier].table) {
                    bool fixed8 =
                        target.key.size() == 1 && own_class(target.table.at(target.key[0])) == KeyClass::integer;
                    overlays[earlier].table =
                        std::make_unique<EvidenceTable>(fixed8, memory, target.table.row_estimate);
                }
            }
    return overlays;
}

std::vector<StepForecast> forecast(const ResolvedMigration &migration, bool with_mismatches) {
    std::vector<StepForecast> result;
    SnapshotScope snapshot;
    EvidenceMemory memory(evidence_memory_limit());
    TenantDictionary tenants(migration.steps.empty() ? KeyClass::integer : migration.steps[0].tenant_class);
    Overlays overlays = make_overlays(migration, memory);
    for (std::size_t i = 0; i < migration.steps.size(); i++) {
        const ResolvedStep &step = migration.steps[i];
        EvidenceTable *overlay = overlays[i].table.get();
        EvaluationOptions options;
        options.all_rows = with_mismatches;
        options.row_keys = overlay != nullptr;
        options.overlays = &overlays;
        core::TenantNo for_orphans =
            step.spec.on_orphan == core::OnOrphan::assign ? tenants.number_of_text(step.spec.assign) : core::no_tenant;
        Evaluation evaluation(step, tenants, memory, options);
        evaluation.read_evidence();
        Forecaster forecaster(step, overlay, for_orphans);
        evaluation.evaluate(forecaster);
        if (overlay) overlay->finish();
        result.push_back({&step, forecaster.counts().list(), evaluation.spilled(), forecaster.mismatches(),
                          evaluation.evidence_rows()});
    }
    return result;
}

std::string counts_token(const std::vector<StepForecast> &forecasts) {
    std::int64_t totals[4] = {0, 0, 0, 0};
    const char *names[4] = {"assigned", "conflict", "orphan", "unknown_tenant"};
    for (const StepForecast &step : forecasts)
        for (const OutcomeCount &count : step.counts)
            for (int i = 0; i < 4; i++)
                if (count.outcome == names[i]) totals[i] += count.rows;
    return fmt::format("assigned={},conflict={},orphan={},unknown_tenant={}", totals[0], totals[1], totals[2],
                       totals[3]);
}

} // namespace tenantmig

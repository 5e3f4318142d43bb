#include "core/key_text.hpp"
#include <nlohmann/json.hpp>

#include "steps/outcome_counts.hpp"

namespace tenantmig {

std::string source_labels(const ResolvedStep &step, std::span<const core::Candidate> candidates) {
    std::string labels;
    std::uint32_t last = UINT32_MAX;
    for (const core::Candidate &candidate : candidates) {
        if (candidate.source == last) continue;
        last = candidate.source;
        labels += (labels.empty() ? "" : ", ") + step.sources[candidate.source].label;
    }
    return labels;
}

std::string candidates_json(const ResolvedStep &step, const TenantDictionary &tenants,
                            std::span<const core::Candidate> candidates) {
    std::vector<core::Candidate> sorted(candidates.begin(), candidates.end());
    std::sort(sorted.begin(), sorted.end(), [&](const core::Candidate &a, const core::Candidate &b) {
        return a.source != b.source ? a.source < b.source : tenants.before(a.tenant, b.tenant);
    });
    std::string json = "[";
    for (const core::Candidate &candidate : sorted) {
        const std::string &tenant = tenants.text(candidate.tenant);
        json += fmt::format("{}{{\"tenant\": {}, \"source\": {}, \"count\": {}}}", json.size() > 1 ? ", " : "",
                            tenants.is_number() ? tenant : core::json_string(tenant),
                            core::json_string(step.sources[candidate.source].label), candidate.count);
    }
    return json + "]";
}

void OutcomeCounts::count(Number &number, bool deleted) {
    number.rows++;
    number.deleted += deleted;
}

void OutcomeCounts::add(const core::Decision &decision, const std::vector<core::Candidate> &candidates, bool deleted) {
    totals_[static_cast<std::size_t>(decision.outcome)]++;
    switch (decision.outcome) {
    case core::Outcome::assigned:
        count(assigned_[decision.source], deleted);
        break;
    case core::Outcome::orphan: {
        // a row that is soft-deleted already has nothing left to be done to it but a person's decision
        const char *rule = step_->spec.on_orphan == core::OnOrphan::assign                    ? "assign"
                           : step_->spec.on_orphan == core::OnOrphan::soft_delete && !deleted ? "soft_delete"
                                                                                              : "";
        count(others_[{decision.outcome, rule}], deleted);
        break;
    }
    default:
        count(others_[{decision.outcome, source_labels(*step_, core::asked(step_->policy, candidates))}], deleted);
        break;
    }
}

void OutcomeCounts::unassign(std::uint32_t source, bool deleted) {
    totals_[static_cast<std::size_t>(core::Outcome::assigned)]--;
    assigned_[source].rows--;
    assigned_[source].deleted -= deleted;
    skipped_++;
}

void OutcomeCounts::withdraw_rule(const std::string &rule, bool deleted) {
    totals_[static_cast<std::size_t>(core::Outcome::orphan)]--;
    Number &number = others_[{core::Outcome::orphan, rule}];
    number.rows--;
    number.deleted -= deleted;
    skipped_++;
}

std::int64_t OutcomeCounts::total() const {
    return totals_[0] + totals_[1] + totals_[2] + totals_[3];
}

std::vector<OutcomeCount> OutcomeCounts::list() const {
    std::vector<OutcomeCount> result;
    const std::string relation = step_->label();
    auto add = [&](const std::string &outcome, const std::string &source, const Number &number) {
        if (number.rows > 0)
            result.push_back({relation, outcome, source.empty() ? std::nullopt : std::optional(source), number.rows,
                              number.deleted});
    };
    for (std::size_t i = 0; i < assigned_.size(); i++)
        add("assigned", step_->sources[i].label, assigned_[i]);
    for (core::Outcome outcome : {core::Outcome::conflict, core::Outcome::unknown_tenant, core::Outcome::orphan})
        for (const auto &[key, number] : others_)
            if (key.first == outcome) {
                // an orphan that a rule gives a tenant is an assigned row, by that rule
                bool given = outcome == core::Outcome::orphan && key.second == "assign";
                add(given ? "assigned" : core::outcome_name(outcome), key.second, number);
            }
    if (skipped_ > 0) result.push_back({relation, "skipped", std::nullopt, skipped_, 0});
    return result;
}

std::string counts_json(const std::vector<OutcomeCount> &counts) {
    nlohmann::json list = nlohmann::json::array();
    for (const OutcomeCount &count : counts) {
        nlohmann::json item = {{"relation", count.relation},
                               {"outcome", count.outcome},
                               {"row_count", count.rows},
                               {"deleted_count", count.deleted}};
        item["source"] = count.source ? nlohmann::json(*count.source) : nlohmann::json();
        list.push_back(item);
    }
    // in a database of another encoding than UTF8 names of columns may hold what JSON cannot
    return list.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
}

} // namespace tenantmig

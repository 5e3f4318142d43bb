#include "core/decide.hpp"

#include "engine/row_decider.hpp"

namespace tenantmig {

namespace {
constexpr KeyClass text_class[] = {KeyClass::as_text};

std::optional<std::string> needs_sql(const Table &table, std::span<const AttrNumber> columns,
                                     std::span<const KeyClass> classes) {
    for (std::size_t i = 0; i < columns.size(); i++)
        if (!value_form(table.at(columns[i]), classes[i]))
            return fmt::format("the type of column \"{}\"", table.at(columns[i]).name);
    return std::nullopt;
}
} // namespace

std::optional<std::string> RowDecider::not_possible(const ResolvedStep &step) {
    const Table &table = step.target.table;
    for (const ResolvedSource &source : step.sources) {
        if (source.type_column != 0)
            if (auto why = needs_sql(table, {&source.type_column, 1}, text_class)) return why;
        if (source.types.empty())
            if (auto why = needs_sql(table, source.probe, source.hops.front().classes)) return why;
        for (const auto &[type, hop] : source.types)
            if (auto why = needs_sql(table, source.probe, hop.classes)) return why;
    }
    for (const ResolvedCondition &condition : step.where)
        if (!TupleFilter::possible({&condition, 1}))
            return fmt::format("a condition on column \"{}\"", condition.column.name);
    return std::nullopt;
}

std::optional<std::string> RowDecider::not_possible(const ResolvedStep &step, const Evaluation &evaluation) {
    if (evaluation.spilled()) return "evidence does not fit into maintenance_work_mem";
    return not_possible(step);
}

RowDecider::RowDecider(const ResolvedStep &step, const Evaluation &evaluation, TupleDesc descriptor, Oid relation)
    : RowDecider(step, evaluation.views(), evaluation.tenants().known(), descriptor, relation) {}

RowDecider::RowDecider(const ResolvedStep &step, const core::SharedEvidence &evidence, TupleDesc descriptor,
                       Oid relation)
    : RowDecider(step, evidence.tables(), evidence.known(), descriptor, relation) {}

RowDecider::RowDecider(const ResolvedStep &step, const std::vector<core::EvidenceView> &tables,
                       const std::vector<bool> &known, TupleDesc descriptor, Oid relation)
    : step_(step), known_(known), filter_(step.target.table, step.where, descriptor, relation) {
    const Table &table = step.target.table;
    std::size_t next = 0;
    for (std::size_t i = 0; i < step.sources.size(); i++) {
        const ResolvedSource &from = step.sources[i];
        Source source{std::nullopt, i, {}};
        if (from.type_column != 0) {
            source.type.emplace(table, std::span<const AttrNumber>(&from.type_column, 1), text_class, descriptor,
                                relation);
            source.type->add_attributes(attributes_);
        }
        auto probe = [&](const Hop &hop) {
            if (next >= tables.size())
                throw Error(sqlstate::internal, "evidence of another step was given to decide with");
            source.probes.push_back(
                {TupleEncoder(table, from.probe, hop.classes, descriptor, relation), tables[next++]});
            source.probes.back().key.add_attributes(attributes_);
        };
        if (from.types.empty()) probe(from.hops.front());
        for (const auto &[type, hop] : from.types)
            probe(hop);
        sources_.push_back(std::move(source));
    }
    if (next != tables.size()) throw Error(sqlstate::internal, "evidence of another step was given to decide with");
    filter_.add_attributes(attributes_);
    std::sort(attributes_.begin(), attributes_.end());
    attributes_.erase(std::unique(attributes_.begin(), attributes_.end()), attributes_.end());
}

// What the row's reference leads to; nullptr for a type that isn't mapped.
RowDecider::Probe *RowDecider::probe_for(Source &source, const Datum *values, const bool *isnull) {
    if (!source.type) return source.probes.data();
    std::string_view name;
    if (!source.type->encode(values, isnull, &name)) return nullptr;
    const auto &types = step_.sources[source.number].types;
    for (std::size_t i = 0; i < types.size(); i++)
        if (types[i].first == name) return &source.probes[i];
    return nullptr;
}

void RowDecider::prefetch(const Datum *values, const bool *isnull) const {
    std::int64_t key;
    for (const Source &source : sources_)
        if (const Probe &probe = source.probes.front();
            !source.type && probe.key.is_integer() && probe.key.integer(values, isnull, &key))
            probe.evidence.prefetch(key);
}

void RowDecider::decide(const Datum *values, const bool *isnull, core::Decision *decision,
                        std::vector<core::Candidate> &candidates) {
    candidates.clear();
    for (Source &source : sources_) {
        if (step_.policy.evidence == core::Evidence::first && !candidates.empty()) break;
        Probe *probe = probe_for(source, values, isnull);
        if (!probe) continue;
        const auto number = static_cast<std::uint32_t>(source.number);
        if (probe->key.is_integer()) {
            std::int64_t key;
            if (probe->key.integer(values, isnull, &key)) probe->evidence.find(key, number, candidates);
        } else {
            std::string_view key;
            if (probe->key.encode(values, isnull, &key)) probe->evidence.find(key, number, candidates);
        }
    }
    *decision = candidates.empty() ? core::Decision{} : core::decide(step_.policy, candidates, known_);
}

} // namespace tenantmig

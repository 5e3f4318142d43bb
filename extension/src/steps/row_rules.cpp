#include "core/key_text.hpp"
#include "core/undo_text.hpp"

#include "steps/outcome_counts.hpp"
#include "steps/row_rules.hpp"

namespace tenantmig {

RowRules::RowRules(const MigrationRecord &migration, const ResolvedStep &step, TenantDictionary &tenants,
                   MemoryContext parent)
    : migration_(migration), step_(step), target_(step.target), tenants_(tenants) {
    memory_ = pg_call([parent] { return AllocSetContextCreate(parent, "tenantmig rules", ALLOCSET_SMALL_SIZES); });
    if (step.spec.on_orphan == core::OnOrphan::assign) {
        for_orphans_ = tenants_.number_of_text(step.spec.assign);
        tenants_.check_known(target_);
        if (!tenants_.known()[for_orphans_])
            throw Error(sqlstate::foreign_key_violation,
                        fmt::format("tenant {} of on_orphan does not exist", step.spec.assign),
                        fmt::format("{} has no row with \"{}\" = {}.", target_.root.label(), target_.root_key.name,
                                    step.spec.assign),
                        "Name an existing tenant, or let orphans go to review.");
    }
    if (step.spec.on_orphan == core::OnOrphan::soft_delete) {
        const Column &column = *target_.soft_delete;
        Rows now = run_query(fmt::format("SELECT pg_catalog.now()::{}::pg_catalog.text", column.type_name));
        delete_time_ = keep(datum_from_text(column.type, column.typmod, now.text_or(0, 1)), column.type);
        RunAs fixed(GetUserId(), Purpose::read); // the form that the change log keeps
        delete_time_text_ = TextOutput(column.type)(delete_time_);
    }
}

RowRules::~RowRules() {
    MemoryContextDelete(memory_);
}

Datum RowRules::keep(Datum datum, Oid type) {
    return pg_call([datum, type, context = memory_] {
        std::int16_t length;
        bool by_value;
        get_typlenbyval(type, &length, &by_value);
        MemoryContext previous = MemoryContextSwitchTo(context);
        Datum copy = datumCopy(datum, by_value, length);
        MemoryContextSwitchTo(previous);
        return copy;
    });
}

Datum RowRules::tenant_datum(core::TenantNo tenant) {
    while (tenant_datums_.size() <= tenant) {
        Datum datum = 0;
        if (tenants_.known().size() > tenant_datums_.size() && tenants_.known()[tenant_datums_.size()])
            datum = keep(datum_from_text(target_.column.type, target_.column.typmod,
                                         tenants_.text(static_cast<core::TenantNo>(tenant_datums_.size()))),
                         target_.column.type);
        tenant_datums_.push_back(datum);
    }
    return tenant_datums_[tenant];
}

core::TenantNo RowRules::expected(const core::Decision &decision) const {
    if (decision.outcome == core::Outcome::assigned) return decision.tenant;
    return decision.outcome == core::Outcome::orphan ? for_orphans_ : core::no_tenant;
}

void RowRules::fail(const char *state, const char *what, const char *policy, const Datum *key,
                    const std::vector<core::Candidate> &candidates) {
    std::string columns, values;
    for (std::size_t i = 0; i < target_.key.size(); i++) {
        const Column &column = target_.table.at(target_.key[i]);
        columns += (i ? ", " : "") + tenantmig::quoted(column.name);
        values += (i ? ", " : "") + TextOutput(column.type)(key[i]);
    }
    throw Error(
        state, fmt::format("{} in {}", what, target_.table.label()),
        fmt::format("Row ({})=({}), candidates: {}.", columns, values,
                    candidates_json(step_, tenants_, core::asked(step_.policy, candidates))),
        fmt::format("The spec says {}: fail; nothing was changed. See all of them: SELECT * FROM tenantmig.plan({}).",
                    policy, core::sql_literal(migration_.name)));
}

RowAction RowRules::act(const core::Decision &decision, bool deleted, const Datum *key,
                        const std::vector<core::Candidate> &candidates) {
    RowAction action;
    auto sources = static_cast<std::uint32_t>(step_.sources.size());
    switch (decision.outcome) {
    case core::Outcome::assigned:
        action = {RowAction::Kind::assign, decision.source, decision.tenant, tenant_datum(decision.tenant)};
        break;
    case core::Outcome::conflict:
        if (step_.spec.on_conflict == core::OnConflict::fail)
            fail(sqlstate::conflict_found, "evidence disagrees", "on_conflict", key, candidates);
        break;
    case core::Outcome::unknown_tenant:
        break;
    case core::Outcome::orphan:
        if (step_.spec.on_orphan == core::OnOrphan::fail)
            fail(sqlstate::orphan_found, "a row has no evidence", "on_orphan", key, candidates);
        if (step_.spec.on_orphan == core::OnOrphan::assign)
            action = {RowAction::Kind::assign, sources, for_orphans_, tenant_datum(for_orphans_)};
        else if (step_.spec.on_orphan == core::OnOrphan::soft_delete && !deleted)
            action = {RowAction::Kind::soft_delete, sources + 1, core::no_tenant, delete_time_};
        break;
    }
    return action;
}

} // namespace tenantmig

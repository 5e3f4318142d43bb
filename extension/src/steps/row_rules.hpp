// What a step does with a row whose outcome is known: the rules of on_conflict and on_orphan.
#pragma once
#include "catalog/migration_store.hpp"
#include "engine/evaluation.hpp"

namespace tenantmig {

struct RowAction {
    enum class Kind : std::uint8_t { assign, soft_delete, queue };
    Kind kind = Kind::queue;
    std::uint32_t label = 0; // BatchRecorder::labels()
    core::TenantNo tenant = core::no_tenant;
    Datum value = 0;
};

class RowRules {
public:
    // Values live in a context under `parent`. 23503 if the tenant that orphans are given does not exist.
    RowRules(const MigrationRecord &migration, const ResolvedStep &step, TenantDictionary &tenants,
             MemoryContext parent);
    ~RowRules();
    RowRules(const RowRules &) = delete;
    RowRules &operator=(const RowRules &) = delete;
    // TM002, TM003 where the spec says `fail`. `key`: the row's key columns, for the message.
    RowAction act(const core::Decision &decision, bool deleted, const Datum *key,
                  const std::vector<core::Candidate> &candidates);
    // The tenant that the row should have by evidence and rules; no_tenant: none, it belongs into the queue.
    core::TenantNo expected(const core::Decision &decision) const;
    Datum tenant_datum(core::TenantNo tenant);
    Datum delete_time() const { return delete_time_; }
    const std::string &delete_time_text() const { return delete_time_text_; }

private:
    [[noreturn]] void fail(const char *state, const char *what, const char *policy, const Datum *key,
                           const std::vector<core::Candidate> &candidates);
    Datum keep(Datum datum, Oid type);
    const MigrationRecord &migration_;
    const ResolvedStep &step_;
    const StepTarget &target_;
    TenantDictionary &tenants_;
    MemoryContext memory_;
    std::vector<Datum> tenant_datums_;
    core::TenantNo for_orphans_ = core::no_tenant;
    Datum delete_time_ = 0;
    std::string delete_time_text_;
};

} // namespace tenantmig

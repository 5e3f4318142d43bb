#include "core/rekey.hpp"

namespace tenantmig::core {

std::vector<BackfillStep> rekey_backfills(const RekeyStep &step) {
    std::vector<BackfillStep> backfills;
    for (const RekeyTable &table : step.tables) {
        BackfillStep backfill;
        backfill.path = table.path;
        backfill.number = step.number * rekey_numbers + static_cast<int>(backfills.size()) + 1;
        backfill.table = table.table;
        backfill.column = step.column;
        backfill.tenants_table = step.root;
        backfill.tenants_key = step.column;
        Source source;
        source.path = table.path;
        source.kind = SourceKind::parent;
        source.column = table.via.empty() ? step.id : table.via;
        source.label = source.column;
        source.references_table = step.root;
        source.references_column = step.id;
        source.tenant = step.column;
        backfill.sources.push_back(std::move(source));
        backfills.push_back(std::move(backfill));
    }
    return backfills;
}

} // namespace tenantmig::core

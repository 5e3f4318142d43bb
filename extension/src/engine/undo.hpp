// Undoing a run exactly: at once (rollback) and as plain SQL (undo_script).
#pragma once
#include "catalog/change_log.hpp"
#include "catalog/migration_store.hpp"

namespace tenantmig {

struct UndoCount {
    std::string relation, outcome, reason; // outcome: restored, skipped; reason: of what was skipped
    std::int64_t rows = 0;
};

// 42704, 42501, 55000 (rolled back already, or running), 55006, TM006. Locks the migration, the run and the rows that
// it wrote.
std::vector<UndoCount> undo_run(std::int64_t run);

// 55000 unless the run is in a state that can be undone.
void require_undoable(const RunRecord &run);

// Calls `on_line` for each line of a script that does the same without the extension. 42704, 42501.
void write_undo_script(std::int64_t run, const std::function<void(const std::string &)> &on_line);

} // namespace tenantmig

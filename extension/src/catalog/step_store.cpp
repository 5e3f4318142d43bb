#include "catalog/step_store.hpp"

namespace tenantmig {

namespace {
Value text_or_null(const std::string &text) {
    return text.empty() ? null_value(TEXTOID) : text_value(text);
}
} // namespace

StepState get_step_state(std::int64_t migration, int step) {
    Rows rows = own_query("SELECT state, phase, detail, error FROM tenantmig.step_state WHERE migration_id = $1 AND "
                          "step = $2",
                          {bigint_value(migration), int_value(step)});
    StepState state;
    if (rows.empty()) return state;
    state.state = rows.text_or(0, 1);
    state.phase = rows.text_or(0, 2);
    state.detail = rows.text_or(0, 3);
    state.error = rows.text_or(0, 4);
    return state;
}

void save_step_state(std::int64_t migration, int step, const StepState &state) {
    if (state.state.empty()) {
        own_query("DELETE FROM tenantmig.step_state WHERE migration_id = $1 AND step = $2",
                  {bigint_value(migration), int_value(step)});
        return;
    }
    own_query("INSERT INTO tenantmig.step_state (migration_id, step, state, phase, detail, error, finished_at) VALUES "
              "($1, $2, $3, $4, $5::jsonb, $6, CASE WHEN $3 = 'applied' THEN clock_timestamp() END) ON CONFLICT "
              "(migration_id, step) DO UPDATE SET state = excluded.state, phase = excluded.phase, detail = "
              "excluded.detail, error = excluded.error, finished_at = excluded.finished_at, started_at = CASE WHEN "
              "step_state.state = excluded.state THEN step_state.started_at ELSE clock_timestamp() END",
              {bigint_value(migration), int_value(step), text_value(state.state), text_or_null(state.phase),
               text_value(state.detail), text_or_null(state.error)});
}

bool has_steps(std::int64_t migration) {
    return !own_query("SELECT 1 FROM tenantmig.step_state WHERE migration_id = $1 LIMIT 1", {bigint_value(migration)})
                .empty();
}

std::int64_t begin_step_log(std::int64_t migration, int step, std::string_view kind, const char *action,
                            const std::string &actor) {
    return own_query(
               "INSERT INTO tenantmig.step_log (migration_id, step, kind, action, outcome, actor) VALUES ($1, "
               "$2, $3, $4, 'running', $5) RETURNING id",
               {bigint_value(migration), int_value(step), text_value(kind), text_value(action), text_value(actor)})
        .bigint(0, 1);
}

void end_step_log(std::int64_t id, const char *outcome, const std::string &error, const std::string &detail) {
    own_query("UPDATE tenantmig.step_log SET outcome = $2, error = $3, detail = $4::jsonb, finished_at = "
              "clock_timestamp() WHERE id = $1",
              {bigint_value(id), text_value(outcome), text_or_null(error), text_value(detail)});
}

} // namespace tenantmig

#include "core/excerpt.hpp"
#include "core/spec_difference.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/transaction.hpp"
#include "catalog/migration_names.hpp"
#include "steps/migration.hpp"
#include "steps/replace_migration.hpp"

namespace tenantmig {

namespace {
// A step on its way that has saved nothing yet has left nothing behind: what it does is committed with how far it is,
// or after that.
constexpr char left_nothing[] = "state = 'applying' AND phase IS NULL AND detail = '{}'";

// Numbers of the steps that have left something behind. A run that is about no steps in particular is about all
// backfills, whose numbers the spec knows.
std::vector<int> begun_steps(const MigrationRecord &migration, const core::Spec &spec) {
    Rows rows = own_query(
        fmt::format(
            "SELECT s.step, false AS is_run FROM tenantmig.step_state s WHERE s.migration_id = $1 AND NOT ({}) "
            "UNION SELECT g.step, false FROM tenantmig.guard g WHERE g.migration_id = $1 AND g.step IS NOT NULL "
            "UNION SELECT e.step, false FROM tenantmig.enforcement e WHERE e.migration_id = $1 "
            "AND e.state IN ('intended', 'enforced', 'relaxing') "
            "UNION SELECT t.step, true FROM tenantmig.run_log r LEFT JOIN LATERAL unnest(r.steps) t(step) ON true "
            "WHERE r.migration_id = $1 AND r.state NOT IN ('rolled_back', 'cancelled') "
            "UNION SELECT t.step, true FROM tenantmig.run_log r LEFT JOIN LATERAL unnest(r.steps) t(step) ON true "
            "WHERE r.migration_id = $1 AND r.state = 'cancelled' "
            "AND EXISTS (SELECT FROM tenantmig.change_log l WHERE l.run_id = r.id) "
            "ORDER BY 1",
            left_nothing),
        {bigint_value(migration.id)});
    std::vector<int> steps;
    for (std::size_t i = 0; i < rows.size(); i++) {
        if (!rows.is_null(i, 1)) {
            // those of a rekey's backfills: 3001, 3002 … belong to step 3
            constexpr int per_rekey = 1000;
            auto number = static_cast<int>(rows.bigint(i, 1));
            steps.push_back(rows.boolean(i, 2) && number > per_rekey ? number / per_rekey : number);
            continue;
        }
        for (const core::BackfillStep &step : spec.steps)
            steps.push_back(step.number);
    }
    std::sort(steps.begin(), steps.end());
    steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
    return steps;
}

nlohmann::json begun_part(const nlohmann::json &document, const std::vector<int> &begun) {
    nlohmann::json part = {{"tenants", document.value("tenants", nlohmann::json())}};
    const nlohmann::json steps = document.value("steps", nlohmann::json::array());
    // at their places: what lies between and has not begun is left out of the comparison
    for (std::size_t at = 0; at < steps.size(); at++)
        part["steps"].push_back(std::binary_search(begun.begin(), begun.end(), static_cast<int>(at) + 1)
                                    ? steps[at]
                                    : nlohmann::json::object());
    const auto last = static_cast<std::size_t>(begun.back());
    while (part["steps"].size() > last)
        part["steps"].erase(part["steps"].size() - 1);
    return part;
}

std::string list_of(const std::vector<int> &numbers) {
    std::string text;
    for (int number : numbers)
        text += (text.empty() ? "" : ", ") + std::to_string(number);
    return text;
}

void require_begun_unchanged(const MigrationRecord &migration, const std::string &document,
                             const std::vector<int> &begun) {
    constexpr std::size_t most = 5;
    const std::vector<core::SpecDifference> found = core::spec_difference(
        begun_part(nlohmann::json::parse(migration.spec), begun), begun_part(nlohmann::json::parse(document), begun));
    if (found.empty()) return;
    std::string detail = fmt::format("{} {} {} begun. ", begun.size() == 1 ? "Step" : "Steps", list_of(begun),
                                     begun.size() == 1 ? "has" : "have");
    for (std::size_t i = 0; i < found.size() && i < most; i++)
        detail += fmt::format("{}{}: {} is stored, {} is given", i == 0 ? "" : "; ", found[i].path,
                              found[i].stored.value_or("nothing"), found[i].given.value_or("nothing"));
    if (found.size() > most) detail += fmt::format("; and {} more", found.size() - most);
    const std::string name = core::sql_literal(migration.name);
    throw Error(sqlstate::migration_edited,
                fmt::format("migration {} was changed after it was applied", core::excerpt(migration.name)),
                detail + ".",
                fmt::format("Put the spec back as it was and write a new migration for the change, or CALL "
                            "tenantmig.down({0}) first. SELECT * FROM tenantmig.spec_difference({0}, spec) shows all.",
                            name));
}

// The number of the last structural step that has begun; 0: none.
int last_structural(const core::Spec &spec, const std::vector<int> &begun) {
    int last = 0;
    for (const core::StepRef &step : spec.order)
        if (core::is_structural(step.kind) && std::binary_search(begun.begin(), begun.end(), step.number))
            last = step.number;
    return last;
}
} // namespace

std::string spec_checksum(const std::string &document) {
    return own_query("SELECT encode(sha256(convert_to($1::jsonb::text, 'UTF8')), 'hex')", {text_value(document)})
        .text_or(0, 1);
}

MigrationRecord replace_migration(const std::string &document) {
    const core::Spec spec = core::parse_spec_text(document);
    MigrationRecord migration = get_migration(spec.migration);
    require_owner(migration);
    lock_migration(migration);
    migration = get_migration(migration.id); // as it is now that nobody else changes it
    if (nlohmann::json::parse(migration.spec) == nlohmann::json::parse(document)) return migration;
    const std::vector<int> begun = begun_steps(migration, core::parse_spec_text(migration.spec));
    if (!begun.empty()) require_begun_unchanged(migration, document, begun);
    // Names after a structural step that has been taken are looked for when up comes to them; what those before it mean
    // is known.
    const int structural = last_structural(spec, begun);
    const std::string identity = structural > 0 ? migration.identity : check_migration(document).identity;
    own_query("UPDATE tenantmig.migration SET spec = $2::jsonb, identity = $3::jsonb, description = $4, version = $5, "
              "checksum = $6, search_path = CASE WHEN $7 THEN $8 ELSE search_path END WHERE id = $1",
              {bigint_value(migration.id), text_value(document), text_value(identity),
               spec.description.empty() ? null_value(TEXTOID) : text_value(spec.description),
               spec.version ? bigint_value(*spec.version) : null_value(INT8OID), text_value(spec_checksum(document)),
               boolean_value(begun.empty()), text_value(namespace_search_path)});
    own_query(fmt::format("DELETE FROM tenantmig.step_state WHERE migration_id = $1 AND {}", left_nothing),
              {bigint_value(migration.id)}); // an attempt at what is no longer there
    migration = get_migration(migration.id);
    if (structural > 0) forget_names_after(migration, structural);
    return migration;
}

} // namespace tenantmig

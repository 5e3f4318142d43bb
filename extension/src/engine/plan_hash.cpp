#include "core/key_text.hpp"
#include "core/spec.hpp"

#include "engine/resolve.hpp"

namespace tenantmig {

namespace {
// One line a thing, so that two plans can be compared by eye. `what` is the definition as the catalogue gives it.
void describe_table_into(std::string &text, const Table &table) {
    text +=
        fmt::format("table {} oid {} kind {} owner {}\n", table.label(), table.oid, table.kind, role_name(table.owner));
    for (const Column &column : table.columns)
        text += fmt::format("column {} {} {}{}{}\n", column.number, quoted(column.name), column.type_name,
                            column.not_null ? " not null" : "", column.generated ? " generated" : "");
    Rows rows = own_query(
        "SELECT format('trigger %s %s', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE tgrelid = $1 AND NOT "
        "tgisinternal AND tgfoid NOT IN (SELECT oid FROM pg_proc WHERE pronamespace = 'tenantmig'::regnamespace) "
        "UNION ALL SELECT format('constraint %I %s %s', conname, pg_get_constraintdef(oid), convalidated) FROM "
        "pg_constraint WHERE conrelid = $1 "
        "UNION ALL SELECT format('index %s %s', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index WHERE indrelid "
        "= $1 "
        "UNION ALL SELECT format('rule %s', pg_get_ruledef(oid)) FROM pg_rewrite WHERE ev_class = $1 ORDER BY 1",
        {{OIDOID, ObjectIdGetDatum(table.oid), false}});
    for (std::size_t i = 0; i < rows.size(); i++)
        text += rows.text_or(i, 1) + "\n";
}

void describe_hop(std::string &text, const Hop &hop, std::set<Oid> &seen) {
    text += "hop " + hop.table.label();
    for (AttrNumber number : hop.key)
        text += fmt::format(" {}", number);
    text += " ->";
    for (AttrNumber number : hop.value)
        text += fmt::format(" {}", number);
    text += "\n";
    if (seen.insert(hop.table.oid).second) describe_table_into(text, hop.table);
}

std::string describe_conditions(const std::vector<ResolvedCondition> &conditions) {
    std::string text;
    for (const ResolvedCondition &condition : conditions) {
        text += fmt::format("where {}", condition.column.number);
        for (const std::string &value : condition.values)
            text += " " + core::json_string(value);
        text += condition.or_null ? " null\n" : "\n";
    }
    return text;
}
} // namespace

std::string hash_plan(const ResolvedMigration &migration) {
    std::string text = fmt::format("tenantmig plan 1\nmigration {}\n", core::json_string(migration.spec.migration));
    std::set<Oid> seen;
    for (const ResolvedStep &step : migration.steps) {
        const StepTarget &target = step.target;
        text += fmt::format("step {} column {} evidence {} on_conflict {} on_orphan {} {} root {} {}\n",
                            step.spec.number, target.column.number, static_cast<int>(step.spec.evidence),
                            static_cast<int>(step.spec.on_conflict), static_cast<int>(step.spec.on_orphan),
                            core::json_string(step.spec.assign), target.root.oid, target.root_key.number);
        if (target.soft_delete) text += fmt::format("soft_delete {}\n", target.soft_delete->number);
        for (const Table *table : {&target.table, &target.root})
            if (seen.insert(table->oid).second) describe_table_into(text, *table);
        text += describe_conditions(step.where);
        for (const ResolvedSource &source : step.sources) {
            text += fmt::format("source {} kind {} type {}\n", core::json_string(source.label),
                                static_cast<int>(source.kind), source.type_column);
            for (const Hop &hop : source.hops) {
                describe_hop(text, hop, seen);
                text += describe_conditions(hop.where);
            }
            for (const auto &[type, hop] : source.types) {
                text += "type " + core::json_string(type) + "\n";
                describe_hop(text, hop, seen);
                text += describe_conditions(hop.where);
            }
        }
    }
    Rows settings = own_query("SELECT 'session_replication_role ' || current_setting('session_replication_role')");
    text += settings.text_or(0, 1) + "\n";
    Rows hash = own_query("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')", {text_value(text)});
    return hash.text_or(0, 1);
}

} // namespace tenantmig

// What is visible when the setting names no tenant: not set at all, empty, or anything but a tenant.
#include "catalog/own_tables.hpp"
#include "steps/probe_attack.hpp"

#include <cctype>

namespace tenantmig {

namespace {
struct Setting {
    const char *attack;
    std::optional<std::string> value;
    const char *shown;
};

// The same letters the other way round: Finance and fINANCE.
std::string other_case(const std::string &text) {
    std::string result = text;
    for (char &c : result) {
        const auto byte = static_cast<unsigned char>(c);
        c = static_cast<char>(std::isupper(byte) ? std::tolower(byte) : std::toupper(byte));
    }
    return result;
}

void try_setting(Probe &probe, const ProbeTable &table, const Setting &setting) {
    const std::string query = fmt::format("SELECT pg_catalog.count(*) FROM (SELECT FROM {} AS t LIMIT {}) AS s",
                                          table.table.sql(), seen_limit);
    const std::string expected = fmt::format("0 rows with {}", setting.shown);
    const Attempt attempt = probe.read(probe.session(table, setting.value), query, {}, 1);
    if (attempt.refused()) {
        probe.add(&table, {}, setting.attack, {}, nullptr, expected, attempt.shown(),
                  attempt.undecided() ? "SKIP" : "PASS", {});
        return;
    }
    const std::int64_t seen = std::strtoll(attempt.values.at(0).at(0).value_or("0").c_str(), nullptr, 10);
    probe.add(&table, {}, setting.attack, {}, nullptr, expected, limited_rows(seen), seen == 0 ? "PASS" : "FAIL",
              seen == 0 ? "" : policy_remedy(probe, table, 'r'));
}

void try_settings(Probe &probe, const ProbeTable &table) {
    const ProbeAccess access = probe_access(probe, table);
    if (!access.can_read() || probe.total_rows(table) == 0) return; // probe_counts says so
    std::vector<Setting> settings = {{"setting_unset", std::nullopt, "the setting not set"},
                                     {"setting_empty", "", "an empty setting"}};
    const std::initializer_list<Setting> texts = {
        {"setting_blank", "   ", "a blank setting"},
        {"setting_malformed", "not a tenant!", "a malformed setting"},
        {"setting_percent", "%", "% as the tenant"},
        {"setting_asterisk", "*", "* as the tenant"},
        {"setting_null_word", "NULL", "the word NULL as the tenant"},
        {"setting_zero", "0", "0 as the tenant"},
        {"setting_negative", "-1", "-1 as the tenant"},
        {"setting_long", std::string(100000, '9'), "a setting of 100 kB"},
        {"setting_sql", "1' OR '1'='1", "SQL in the setting"},
    };
    if (table.parent == InvalidOid) settings.insert(settings.end(), texts);
    if (auto unknown = outsider(probe, table))
        settings.push_back({"setting_other", unknown, "a tenant that has no row here"});
    if (const auto &owned = probe.owned(table); !owned.empty() && table.parent == InvalidOid) {
        int tried = 0;
        for (const auto &[tenant, count] : owned) {
            const std::string swapped = other_case(tenant);
            if (swapped == tenant || ++tried > 5 || names_tenant(probe, table, swapped)) continue;
            settings.push_back({"setting_case", swapped, "a tenant in another case"});
            break;
        }
    }
    for (const Setting &setting : settings)
        if (!setting.value || setting.value->empty() || !names_tenant(probe, table, *setting.value))
            try_setting(probe, table, setting);
}

// A role or a database for which the setting has a value begins each session as that tenant.
void setting_default(Probe &probe, const std::string &setting) {
    Rows rows = own_query(
        "SELECT CASE WHEN s.setrole = 0 THEN 'DATABASE' ELSE 'ROLE' END, coalesce(d.datname, ''), c.entry FROM "
        "pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS c (entry) LEFT JOIN pg_database d ON d.oid = "
        "s.setdatabase WHERE s.setrole IN ($1, 0) AND (s.setdatabase = 0 OR d.datname = current_database()) AND "
        "lower(split_part(c.entry, '=', 1)) = lower($2) AND split_part(c.entry, '=', 2) <> '' ORDER BY s.setrole = 0, "
        "s.setdatabase = 0 LIMIT 1",
        {{OIDOID, ObjectIdGetDatum(probe.role()), false}, text_value(setting)});
    const std::string relation = "role " + probe.role_label();
    if (rows.empty()) {
        probe.add(nullptr, relation, "setting_default", setting, nullptr, "a session begins without a tenant",
                  "no ALTER ROLE or ALTER DATABASE sets it", "PASS", {});
        return;
    }
    const std::string database = quoted(rows.text_or(0, 2));
    const bool of_role = rows.text_or(0, 1) == "ROLE";
    probe.add(nullptr, relation, "setting_default", setting, nullptr, "a session begins without a tenant",
              rows.text_or(0, 3), "FAIL",
              of_role ? fmt::format("ALTER ROLE {}{} RESET {};", probe.role_label(),
                                    rows.text_or(0, 2).empty() ? "" : " IN DATABASE " + database, setting)
                      : fmt::format("ALTER DATABASE {} RESET {};", database, setting));
}
} // namespace

void probe_settings(Probe &probe) {
    std::set<std::string> settings;
    for (const ProbeTable &table : probe.tables()) {
        try_settings(probe, table);
        settings.insert(table.setting);
    }
    for (const std::string &setting : settings)
        setting_default(probe, setting);
}

} // namespace tenantmig

#include "core/findings_format.hpp"
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace tenantmig::core {
namespace {

using Json = nlohmann::ordered_json;

// Names and values are other people's: bytes that are no UTF-8 are replaced, not thrown at.
std::string dumped(const Json &document) {
    return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Text of an XML element or attribute. XML 1.0 cannot hold control characters at all: they are shown as \xNN.
std::string xml(std::string_view text) {
    std::string clean = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); // valid UTF-8 from here on
    clean = Json::parse(clean).get<std::string>();
    std::string out;
    for (std::size_t i = 0; i < clean.size(); i++) {
        const auto c = static_cast<unsigned char>(clean[i]);
        const bool no_character = clean.compare(i, 3, "\xEF\xBF\xBE") == 0 || clean.compare(i, 3, "\xEF\xBF\xBF") == 0;
        if (c == '&') {
            out += "&amp;";
        } else if (c == '<') {
            out += "&lt;";
        } else if (c == '>') {
            out += "&gt;";
        } else if (c == '"') {
            out += "&quot;";
        } else if (c == '\n' || c == '\t') {
            out += c == '\n' ? "&#10;" : "&#9;";
        } else if (c < 0x20 || c == 0x7F) {
            constexpr char digits[] = "0123456789ABCDEF";
            out += {'\\', 'x', digits[c >> 4], digits[c & 15]};
        } else if (no_character) {
            out += "\xEF\xBF\xBD";
            i += 2;
        } else {
            out += clean[i];
        }
    }
    return out;
}

std::string_view level_of(const Finding &finding) {
    return finding.severity == "info" ? "note" : std::string_view(finding.severity);
}

} // namespace

bool counts_as(const Finding &finding, std::string_view threshold) {
    if (finding.exempt) return false;
    return finding.severity == "error" || (threshold == "warning" && finding.severity == "warning");
}

std::string findings_sarif(const std::vector<Finding> &findings, const FindingsHead &head) {
    Json rules = Json::array(), results = Json::array();
    std::map<std::string, std::size_t> rule_numbers;
    for (const Finding &finding : findings) {
        auto [rule, is_new] = rule_numbers.emplace(finding.check_name, rules.size());
        if (is_new)
            rules.push_back({{"id", finding.check_name},
                             {"name", finding.check_name},
                             {"shortDescription", {{"text", finding.check_name}}},
                             {"help", {{"text", "docs/lint.md says what " + finding.check_name + " looks at"}}},
                             {"defaultConfiguration", {{"level", level_of(finding)}}}});
        std::string text = finding.object + ": " + finding.detail;
        if (!finding.remedy.empty()) text += "\n\n" + finding.remedy;
        Json result = {{"ruleId", finding.check_name},
                       {"ruleIndex", rule->second},
                       {"level", level_of(finding)},
                       {"message", {{"text", text}}},
                       {"locations",
                        Json::array({{{"logicalLocations",
                                       Json::array({{{"fullyQualifiedName", finding.object}, {"kind", "object"}}})}}})},
                       {"partialFingerprints", {{"tenantmigKey/v1", finding.key}}},
                       {"properties", {{"remedy", finding.remedy}, {"key", finding.key}}}};
        if (finding.exempt)
            result["suppressions"] =
                Json::array({{{"kind", "external"}, {"status", "accepted"}, {"justification", *finding.exempt}}});
        results.push_back(std::move(result));
    }
    const Json run = {{"tool", {{"driver", {{"name", "tenantmig"}, {"version", head.version}, {"rules", rules}}}}},
                      {"columnKind", "unicodeCodePoints"},
                      {"properties", {{"tenantRoot", head.tenant_root}}},
                      {"results", results}};
    return dumped({{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                   {"version", "2.1.0"},
                   {"runs", Json::array({run})}});
}

std::string findings_junit(const std::vector<Finding> &findings, const FindingsHead &head) {
    std::vector<std::pair<std::string, std::vector<const Finding *>>> suites;
    std::size_t failures = 0, skipped = 0;
    for (const Finding &finding : findings) {
        auto found = std::find_if(suites.begin(), suites.end(),
                                  [&](const auto &suite) { return suite.first == finding.check_name; });
        if (found == suites.end()) found = suites.insert(suites.end(), {finding.check_name, {}});
        found->second.push_back(&finding);
        failures += counts_as(finding, "warning") ? 1 : 0;
        skipped += finding.exempt ? 1 : 0;
    }
    const auto counts = [](std::size_t tests, std::size_t failed, std::size_t passed_over) {
        return " tests=\"" + std::to_string(tests) + "\" failures=\"" + std::to_string(failed) +
               "\" errors=\"0\" skipped=\"" + std::to_string(passed_over) + "\"";
    };
    std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"tenantmig lint " +
                      xml(head.tenant_root) + "\"" +
                      counts(std::max<std::size_t>(findings.size(), 1), failures, skipped) + ">\n";
    for (const auto &[name, cases] : suites) {
        const auto failed = static_cast<std::size_t>(
            std::count_if(cases.begin(), cases.end(), [](const Finding *f) { return counts_as(*f, "warning"); }));
        const auto passed_over = static_cast<std::size_t>(
            std::count_if(cases.begin(), cases.end(), [](const Finding *f) { return f->exempt.has_value(); }));
        out += "  <testsuite name=\"" + xml(name) + "\"" + counts(cases.size(), failed, passed_over) + ">\n";
        for (const Finding *finding : cases) {
            out += "    <testcase classname=\"" + xml(name) + "\" name=\"" + xml(finding->object) + "\">\n";
            const std::string body = xml(finding->detail) + "&#10;" + xml(finding->remedy);
            if (finding->exempt)
                out += "      <skipped message=\"" + xml(*finding->exempt) + "\"/>\n";
            else if (finding->severity != "info")
                out += "      <failure type=\"" + xml(finding->severity) + "\" message=\"" + xml(finding->detail) +
                       "\">" + body + "</failure>\n";
            else
                out += "      <system-out>" + body + "</system-out>\n";
            out += "    </testcase>\n";
        }
        out += "  </testsuite>\n";
    }
    if (suites.empty())
        out += "  <testsuite name=\"lint\"" + counts(1, 0, 0) +
               ">\n    <testcase classname=\"lint\" name=\"no finding\"/>\n  </testsuite>\n";
    return out + "</testsuites>\n";
}

std::string findings_json(const std::vector<Finding> &findings, const FindingsHead &head) {
    Json list = Json::array();
    std::map<std::string, int> counts{{"error", 0}, {"warning", 0}, {"info", 0}, {"exempt", 0}};
    for (const Finding &finding : findings) {
        counts[finding.exempt ? "exempt" : finding.severity]++;
        list.push_back({{"severity", finding.severity},
                        {"check_name", finding.check_name},
                        {"object", finding.object},
                        {"detail", finding.detail},
                        {"remedy", finding.remedy},
                        {"key", finding.key},
                        {"exempt", finding.exempt ? Json(*finding.exempt) : Json()}});
    }
    return dumped(
        {{"tenant_root", head.tenant_root}, {"version", head.version}, {"counts", counts}, {"findings", list}});
}

} // namespace tenantmig::core

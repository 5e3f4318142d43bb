#include "prometheus.hpp"
#include "text.hpp"
#include <algorithm>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

// Backslash, double quote and line feed are escaped in a label; what is not UTF-8 becomes U+FFFD.
std::string label_value(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint point = code_point_at(text, at);
        if (!point.valid)
            out += "\uFFFD";
        else if (point.value == '\n')
            out += "\\n";
        else if (point.value == '\\' || point.value == '"')
            (out += '\\') += text[at];
        else
            out += text.substr(at, point.length);
        at += point.length;
    }
    return out;
}

std::string number(const std::string &value) {
    if (value == "t") return "1";
    if (value == "f") return "0";
    if (value == "Infinity") return "+Inf";
    if (value == "-Infinity") return "-Inf";
    return value;
}

} // namespace

void MetricText::add(const Metric &metric, const Labels &labels, const Cell &value) {
    if (!value) return;
    auto family = std::find_if(families_.begin(), families_.end(),
                               [&](const Family &one) { return one.metric.name == metric.name; });
    if (family == families_.end()) family = families_.insert(families_.end(), {metric, {}});
    std::string braces;
    for (const auto &[name, text] : labels)
        braces += fmt::format("{}{}=\"{}\"", braces.empty() ? "" : ",", name, label_value(text));
    family->samples += fmt::format("{}{{{}}} {}\n", metric.name, braces, number(*value));
}

std::string MetricText::text() const {
    std::string out;
    for (const Family &family : families_)
        out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{3}", family.metric.name, family.metric.help,
                           family.metric.type == MetricType::counter ? "counter" : "gauge", family.samples);
    return out;
}

} // namespace tenantmig::client

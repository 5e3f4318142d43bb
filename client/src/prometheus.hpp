// Prometheus' text format (version 0.0.4), for the textfile collector of the node exporter.
#pragma once
#include "result.hpp"
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenantmig::client {

enum class MetricType { gauge, counter };

struct Metric {
    std::string_view name, help;
    MetricType type = MetricType::gauge;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// Samples of each metric together, after its HELP and TYPE lines, as the format wants it.
class MetricText {
public:
    // A value as PostgreSQL writes numbers and booleans; NULL adds nothing.
    void add(const Metric &metric, const Labels &labels, const Cell &value);
    [[nodiscard]] std::string text() const;

private:
    struct Family {
        Metric metric;
        std::string samples;
    };
    std::vector<Family> families_; // in the order of their first sample
};

} // namespace tenantmig::client

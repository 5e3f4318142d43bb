#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include <nlohmann/json.hpp>

#include "steps/benchmark.hpp"

namespace tenantmig {

namespace {
using nlohmann::json;

constexpr std::size_t max_queries = 1000, max_sets = 10000;
constexpr char example[] =
    "Write for example [{\"name\": \"orders of a company\", \"sql\": \"SELECT … WHERE company_id = "
    "$1\", \"parameters\": [1], \"target_ms\": 50, \"index\": \"orders_company_idx\"}].";

[[noreturn]] void refuse(const std::string &path, const std::string &problem, const json *found = nullptr) {
    throw Error(
        sqlstate::invalid_parameter_value, fmt::format("{}: {}", path, problem),
        found ? fmt::format("Found {}.", core::excerpt(found->dump(-1, ' ', false, json::error_handler_t::replace)))
              : std::string(),
        example);
}

std::optional<std::string> parameter_text(const json &value) {
    if (value.is_null()) return std::nullopt;
    return value.is_string() ? value.get<std::string>() : value.dump();
}

double read_number(const json &value, const std::string &path, double least, double most) {
    const double number = value.is_number() ? value.get<double>() : -1;
    if (!(number >= least && number <= most))
        refuse(path, fmt::format("expected a number from {} to {}", least, most), &value);
    return number;
}

int read_whole(const json &value, const std::string &path, int most) {
    if (!value.is_number_integer()) refuse(path, fmt::format("expected a whole number from 1 to {}", most), &value);
    return static_cast<int>(read_number(value, path, 1, most));
}

std::string read_text(const json &value, const std::string &path) {
    if (!value.is_string() || value.get<std::string>().find_first_not_of(" \t\r\n") == std::string::npos)
        refuse(path, "expected text", &value);
    return value.get<std::string>();
}

void read_parameters(const json &value, const std::string &path, BenchmarkQuery &query) {
    if (!value.is_array()) refuse(path, "expected a list of values, or a list of such lists", &value);
    const bool sets =
        !value.empty() && std::all_of(value.begin(), value.end(), [](const json &v) { return v.is_array(); });
    if (sets && value.size() > max_sets) refuse(path, fmt::format("more than {} lists", max_sets));
    const auto read_set = [&](const json &set) {
        query.parameters.emplace_back();
        for (const json &one : set)
            query.parameters.back().push_back(parameter_text(one));
    };
    if (sets)
        for (const json &set : value)
            read_set(set);
    else
        read_set(value);
}

void read_indexes(const json &value, const std::string &path, BenchmarkQuery &query) {
    const json list = value.is_array() ? value : json::array({value});
    for (std::size_t i = 0; i < list.size(); i++) {
        query.indexes.push_back(read_text(list[i], value.is_array() ? fmt::format("{}[{}]", path, i) : path));
        (void)core::split_identifier(query.indexes.back()); // 42602, 42622
    }
}
} // namespace

std::vector<BenchmarkQuery> parse_benchmark(const std::string &text) {
    const json document = json::parse(text, nullptr, false);
    if (!document.is_array() || document.empty())
        refuse("queries", "expected a list of queries", document.is_discarded() ? nullptr : &document);
    if (document.size() > max_queries) refuse("queries", fmt::format("more than {} queries", max_queries));
    std::vector<BenchmarkQuery> queries;
    std::set<std::string> names;
    for (std::size_t i = 0; i < document.size(); i++) {
        const std::string path = fmt::format("queries[{}]", i);
        const json &one = document[i];
        if (!one.is_object()) refuse(path, "expected an object", &one);
        BenchmarkQuery query;
        query.name = fmt::format("query {}", i + 1);
        for (const auto &[field, value] : one.items()) {
            const std::string here = path + "." + field;
            if (field == "name")
                query.name = read_text(value, here);
            else if (field == "sql")
                query.sql = read_text(value, here);
            else if (field == "parameters")
                read_parameters(value, here, query);
            else if (field == "runs")
                query.runs = read_whole(value, here, 10000);
            else if (field == "target_ms")
                query.target = read_number(value, here, 0.001, 3600000);
            else if (field == "index")
                read_indexes(value, here, query);
            else if (field == "timeout_ms")
                query.timeout = read_whole(value, here, 3600000);
            else
                refuse(path,
                       fmt::format("unknown field {}; there are name, sql, parameters, runs, target_ms, index and "
                                   "timeout_ms",
                                   core::excerpt(field)));
        }
        if (query.sql.empty()) refuse(path, "the field sql is missing", &one);
        if (query.parameters.empty()) query.parameters.emplace_back();
        if (!names.insert(query.name).second)
            refuse(path + ".name", fmt::format("{} stands twice", core::excerpt(query.name)));
        queries.push_back(std::move(query));
    }
    return queries;
}

} // namespace tenantmig

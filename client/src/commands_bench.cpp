#include "client_error.hpp"
#include "commands_lint.hpp"
#include "input_file.hpp"
#include "messages.hpp"
#include "spec_file.hpp"
#include "text.hpp"
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tenantmig::client {

ExitStatus bench(const GlobalOptions &global, const std::string &file) {
    const SpecFile read = read_spec(file);
    for (const auto &[field, value] : read.document.items())
        if (field != "queries")
            fail_document(read.name, 0, fmt::format("unknown field {}", json_quoted(field)), {},
                          "the file has one field, queries, a list");
    if (!read.document.contains("queries"))
        fail_document(read.name, 0, "the field queries is missing", {},
                      "write for example  queries: [{name: orders, sql: SELECT count(*) FROM orders, target_ms: 50}]");
    Connection connection = connect_checked(global);
    Result rows;
    try {
        rows = connection.query("SELECT * FROM tenantmig.benchmark($1::pg_catalog.jsonb)",
                                {read.document.at("queries").dump()});
    } catch (const ClientError &error) {
        ErrorText text = error.text();
        const std::string path = text.message.substr(0, text.message.find(": "));
        if (text.state != "22023" || !path.starts_with("queries")) throw;
        text.location = read.location(path); // what is wrong with the list is the file's fault
        throw ClientError(ExitStatus::usage, text);
    }
    if (global.format == Format::table)
        print_table(some(rows, {"name", "status", "runs", "p50", "p95", "p99", "target", "row_count", "shared_hit",
                                "shared_read", "index_used", "detail"}));
    else
        print_result(rows, global.format);
    flush_output();
    const std::size_t status = rows.column("status");
    int failed = 0, warned = 0;
    for (const auto &row : rows.rows) {
        failed += row.at(status) == "FAIL" ? 1 : 0;
        warned += row.at(status) == "WARN" ? 1 : 0;
    }
    messages::show_remark(
        fmt::format("{} of {} failed, {} with a warning; times in milliseconds", failed, rows.rows.size(), warned));
    return failed > 0 ? ExitStatus::findings : ExitStatus::done;
}

} // namespace tenantmig::client

// review list, export, import, resolve, dismiss.
#include "client_error.hpp"
#include "commands.hpp"
#include "input_file.hpp"
#include "messages.hpp"
#include "review_csv.hpp"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace tenantmig::client {

namespace {

constexpr std::size_t csv_limit = 64 * mebibyte;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

Result reviews(Connection &connection, const std::string &migration, bool include_closed) {
    return connection.query("SELECT * FROM tenantmig.review($1, $2::pg_catalog.bool) ORDER BY id",
                            {migration, include_closed ? "true" : "false"});
}

// A sheet that somebody has filled in is work: only --force writes over it.
void write_file(const std::string &path, bool force, std::string_view content) {
    const auto fail = [&](const char *what) {
        const int problem = errno;
        throw ClientError(ExitStatus::failure,
                          fmt::format("could not {} \"{}\": {}", what, path, std::strerror(problem)), "",
                          problem == EEXIST ? "choose another name, or --force to write over it" : "");
    };
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0666);
    if (file < 0) fail("create");
    while (!content.empty()) {
        const ssize_t written = ::write(file, content.data(), content.size());
        if (written < 0) {
            if (errno == EINTR) continue;
            ::close(file);
            fail("write");
        }
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::close(file) != 0) fail("write");
}

void require_number(const std::string &id) {
    constexpr std::size_t longest = 18;
    if (id.empty() || id.size() > longest || id.find_first_not_of("0123456789") != std::string::npos)
        throw ClientError(ExitStatus::usage, fmt::format("\"{}\" is not the id of a review", id), "",
                          "tenantmig review list MIGRATION  shows the ids");
}

} // namespace

ExitStatus review_list(const GlobalOptions &global, const std::string &migration, bool include_closed) {
    Connection connection = connect_checked(global);
    Result list = reviews(connection, migration, include_closed);
    if (global.format == Format::table) { // for people: in words
        const std::size_t at = list.column("candidates");
        list.columns.at(at).kind = ColumnKind::text;
        for (auto &row : list.rows)
            if (row[at]) row[at] = candidates_text(*row[at]);
    }
    print_result(list, global.format);
    flush_output();
    return ExitStatus::done;
}

ExitStatus review_export(const GlobalOptions &global, const ExportOptions &options) {
    Connection connection = connect_checked(global);
    const Result sheet = review_sheet(reviews(connection, options.migration, false));
    const std::string content =
        std::string(options.byte_order_mark ? byte_order_mark : std::string_view()) + as_csv(sheet);
    if (options.output.empty()) {
        print_text(content);
        flush_output();
    } else {
        write_file(options.output, options.force, content);
        messages::show_remark(fmt::format("{} open {} written to \"{}\"", sheet.rows.size(),
                                          sheet.rows.size() == 1 ? "review" : "reviews", options.output));
    }
    return ExitStatus::done;
}

ExitStatus review_import(const GlobalOptions &global, const std::string &migration, const std::string &file) {
    const std::string name = input_name(file);
    std::string content = read_input(file, csv_limit);
    require_text(content, name);
    const nlohmann::json decisions = read_decisions(content, name);
    Connection connection = connect_checked(global);
    try {
        print_result(connection.query("SELECT * FROM tenantmig.import_reviews($1, $2::pg_catalog.jsonb)",
                                      {migration, decisions.dump()}),
                     global.format);
    } catch (const ClientError &error) { // "line N: …" is the server's own; which file that was, only we know
        ErrorText text = error.text();
        if (error.status() == ExitStatus::failure) text.location = name;
        throw ClientError(error.status(), text);
    }
    flush_output("the decisions are applied and committed");
    return ExitStatus::done;
}

ExitStatus review_resolve(const GlobalOptions &global, const DecisionOptions &options) {
    require_number(options.id);
    Connection connection = connect_checked(global);
    print_result(connection.query("SELECT * FROM tenantmig.resolve($1::pg_catalog.int8, $2, $3)",
                                  {options.id, options.tenant, options.note}),
                 global.format);
    flush_output("the decision is applied and committed");
    return ExitStatus::done;
}

ExitStatus review_dismiss(const GlobalOptions &global, const DecisionOptions &options) {
    require_number(options.id);
    Connection connection = connect_checked(global);
    print_result(
        connection.query("SELECT * FROM tenantmig.dismiss($1::pg_catalog.int8, $2)", {options.id, options.note}),
        global.format);
    flush_output("the decision is applied and committed");
    return ExitStatus::done;
}

} // namespace tenantmig::client

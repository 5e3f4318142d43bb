#include "backup_parts.hpp"
#include "child_process.hpp"
#include "client_error.hpp"
#include "text.hpp"
#include "throwaway_cluster.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

constexpr const char *copy_name = "restored";

void restore(const std::string &programs, const ThrowawayCluster &cluster, const std::string &path,
             const std::vector<std::string> &options, LongTask &task) {
    ProgramCall call;
    call.words = {programs + "/pg_restore", "--exit-on-error", "--no-tablespaces", "--no-subscriptions",
                  fmt::format("--dbname={}", copy_name)};
    for (const std::string &word : cluster.connect_words())
        call.words.push_back(word);
    call.words.insert(call.words.end(), options.begin(), options.end());
    call.words.push_back(path);
    call.environment = {{"LC_ALL", "C"}, {"PGOPTIONS", ""}, {"PGSERVICE", ""}, {"PGHOSTADDR", ""}};
    ChildProcess child(call);
    while (!child.wait(250))
        task.show("restoring");
    if (child.status() == 0) return;
    throw ClientError(ExitStatus::failure, "the backup can't be restored", printable(child.errors(), LineBreaks::keep),
                      "the throw-away cluster needs the same extensions as the server, installed on this machine");
}

} // namespace

// pg_restore --jobs does not know that tables of an extension refer to each other (the dump does not say it): those of
// tenantmig are restored by themselves, in the order of the dump, which is right.
std::vector<RestoreCall> restore_calls(bool tables_only, const std::optional<std::string> &jobs) {
    std::vector<std::string> parallel;
    if (jobs && *jobs != "1") parallel.push_back("--jobs=" + *jobs);
    const auto with = [&parallel](std::vector<std::string> options) {
        options.insert(options.end(), parallel.begin(), parallel.end());
        return options;
    };
    if (tables_only) return {{"schema.dump", {"--section=pre-data"}}, {"dump", with({"--data-only"})}};
    if (parallel.empty()) return {{"dump", {}}};
    return {{"dump", {"--section=pre-data"}},
            {"dump", {"--section=data", "--schema=tenantmig"}},
            {"dump", with({"--section=data", "--exclude-schema=tenantmig"})},
            {"dump", with({"--section=post-data"})}};
}

void restore_test(Connection &source, const std::string &programs, const std::string &folder, bool tables_only,
                  const std::optional<std::string> &jobs, const std::vector<CountedTable> &tables) {
    LongTask task("restore test");
    const ThrowawayCluster cluster(cluster_options_like(source, programs));
    Connection server = cluster.connect();
    copy_roles(source, server, false);
    server.query(fmt::format("CREATE DATABASE {} TEMPLATE template0", copy_name));
    for (const RestoreCall &call : restore_calls(tables_only, jobs))
        restore(programs, cluster, folder + "/" + call.file, call.options, task);
    Connection copy = cluster.connect(copy_name);
    std::string differences;
    std::size_t wrong = 0, done = 0;
    constexpr std::size_t shown = 5;
    for (const CountedTable &table : tables) {
        CountedTable found = table;
        copy.send(found.count_query());
        std::optional<Result> counted;
        while (!(counted = copy.receive(250)))
            task.show(fmt::format("counting, {} of {} tables", done, tables.size()));
        found.take(*counted);
        done++;
        if (found.rows == table.rows && found.nulls == table.nulls) continue;
        if (++wrong > shown) continue;
        differences += fmt::format("{}{}: {} rows, {} restored", differences.empty() ? "" : "; ",
                                   printable(table.label()), table.rows, found.rows);
        for (std::size_t i = 0; i < table.keys.size(); i++)
            if (found.nulls.at(i) != table.nulls.at(i))
                differences += fmt::format(", NULLs of {}: {}, {} restored", printable(table.keys[i]),
                                           table.nulls.at(i), found.nulls.at(i));
    }
    if (wrong == 0) return;
    throw ClientError(ExitStatus::mismatch,
                      fmt::format("{} {} not restored as {} counted", wrong, wrong == 1 ? "table was" : "tables were",
                                  wrong == 1 ? "it was" : "they were"),
                      differences + (wrong > shown ? "; …" : "") + ".",
                      "this backup is no good: nothing of it is kept, and it is not registered");
}

} // namespace tenantmig::client

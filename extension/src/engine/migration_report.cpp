#include "core/excerpt.hpp"

#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "engine/markdown.hpp"
#include "engine/migration_report.hpp"
#include "engine/own_json.hpp"

namespace tenantmig {

namespace {
using nlohmann::ordered_json;

// A query whose rows are objects.
ordered_json objects(const std::string &sql, std::initializer_list<Value> values) {
    Rows rows = own_query(fmt::format("SELECT coalesce(json_agg(q), '[]') FROM ({}) q", sql), values);
    return ordered_json::parse(rows.text_or(0, 1, "[]"));
}

ordered_json gather(const MigrationRecord &migration) {
    const Value id = bigint_value(migration.id), name = text_value(migration.name);
    ordered_json report = objects("SELECT m.migration, m.owner, m.description, m.version, m.progress, m.created_at, "
                                  "m.applied_at, m.checksum, m.open_reviews, $2::timestamptz AS reported_at FROM "
                                  "tenantmig.migrations m WHERE m.id = $1",
                                  {id, timestamp_value(our_time())})
                              .at(0);
    report["steps"] = objects("SELECT s.step, s.kind, s.relation, s.column_name, s.state, s.applied, s.started_at, "
                              "s.finished_at, s.phase, s.error, s.next_command FROM tenantmig.steps s WHERE "
                              "s.migration = $1 ORDER BY s.step",
                              {name});
    report["execution_log"] =
        objects("SELECT l.id, l.step, l.kind, l.action, l.outcome, l.actor, l.started_at, l.finished_at, "
                "round(extract(epoch FROM l.duration), 3) AS seconds, l.backup, l.checks, l.columns_added, "
                "l.columns_removed, l.columns_converted, l.run_id, l.error FROM tenantmig.execution_log l WHERE "
                "l.migration = $1 ORDER BY l.id",
                {name});
    report["runs"] = objects("SELECT r.id, r.state, r.mode, r.started_at, r.finished_at, round(extract(epoch FROM "
                             "r.finished_at - r.started_at), 3) AS seconds, r.row_total, r.row_done, r.assigned, "
                             "r.conflicts, r.orphans, r.unknown, r.error FROM tenantmig.runs r WHERE r.migration = $1 "
                             "ORDER BY r.id",
                             {name});
    return report;
}

// A value as one reads it.
std::string cell(const ordered_json &object, const char *name) {
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) return "";
    if (found->is_string()) return found->get<std::string>();
    if (found->is_boolean()) return found->get<bool>() ? "yes" : "no";
    if (!found->is_array()) return found->dump();
    std::string text;
    for (const ordered_json &item : *found)
        text += (text.empty() ? "" : ", ") + (item.is_string() ? item.get<std::string>() : item.dump());
    return text;
}

std::string time(const ordered_json &object, const char *name) {
    std::string text = cell(object, name).substr(0, 19); // to the second; UTC
    if (text.size() > 10) text[10] = ' ';
    return text;
}

std::string checks(const ordered_json &entry) {
    const auto found = entry.find("checks");
    if (found == entry.end() || !found->is_array()) return "";
    std::string text;
    for (const ordered_json &check : *found)
        text += fmt::format("{}{} {}", text.empty() ? "" : "; ", cell(check, "check"), cell(check, "status"));
    return text;
}

std::string relation(const ordered_json &step) {
    const std::string column = cell(step, "column_name");
    return cell(step, "relation") + (column.empty() ? "" : "." + column);
}

// The same tables in both forms.
struct Section {
    std::string title;
    std::vector<std::string> titles; // one that ends in '#' is of numbers
    std::vector<std::vector<std::string>> rows;
};

std::vector<Section> sections(const ordered_json &report) {
    Section summary{"", {"migration", cell(report, "migration")}, {}};
    summary.rows = {{"owner", cell(report, "owner")},
                    {"description", cell(report, "description")},
                    {"version", cell(report, "version")},
                    {"progress", cell(report, "progress")},
                    {"created", time(report, "created_at")},
                    {"applied", time(report, "applied_at")},
                    {"open reviews", cell(report, "open_reviews")},
                    {"checksum", cell(report, "checksum")},
                    {"reported (UTC)", time(report, "reported_at")}};
    Section steps{"Steps", {"step#", "kind", "about", "state", "since", "error"}, {}};
    for (const ordered_json &step : report.at("steps"))
        steps.rows.push_back({cell(step, "step"), cell(step, "kind"), relation(step), cell(step, "state"),
                              time(step, "finished_at"), cell(step, "error")});
    Section log{"Execution log",
                {"step#", "kind", "action", "outcome", "start", "seconds#", "actor", "backup", "checks",
                 "columns added", "columns removed", "columns converted", "run", "error"},
                {}};
    for (const ordered_json &entry : report.at("execution_log"))
        log.rows.push_back({cell(entry, "step"), cell(entry, "kind"), cell(entry, "action"), cell(entry, "outcome"),
                            time(entry, "started_at"), cell(entry, "seconds"), cell(entry, "actor"),
                            cell(entry, "backup"), checks(entry), cell(entry, "columns_added"),
                            cell(entry, "columns_removed"), cell(entry, "columns_converted"), cell(entry, "run_id"),
                            cell(entry, "error")});
    Section runs{"Runs",
                 {"run#", "state", "mode", "start", "seconds#", "rows#", "assigned#", "conflicts#", "orphans#",
                  "unknown#", "error"},
                 {}};
    for (const ordered_json &run : report.at("runs"))
        runs.rows.push_back({cell(run, "id"), cell(run, "state"), cell(run, "mode"), time(run, "started_at"),
                             cell(run, "seconds"), cell(run, "row_total"), cell(run, "assigned"),
                             cell(run, "conflicts"), cell(run, "orphans"), cell(run, "unknown"), cell(run, "error")});
    return {summary, steps, log, runs};
}

std::string markdown(const ordered_json &report) {
    std::string text = fmt::format("# Migration {}\n\n", markdown_escaped(cell(report, "migration")));
    for (const Section &section : sections(report)) {
        if (!section.title.empty()) text += fmt::format("## {}\n\n", section.title);
        if (section.rows.empty()) {
            text += "None.\n\n";
            continue;
        }
        MarkdownTable table(section.titles);
        for (const auto &row : section.rows)
            table.add(row);
        text += table.text();
    }
    return text;
}

std::string escaped(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else
            out += c;
    }
    return out;
}

std::string html_table(const Section &section) {
    std::string text = "<table>\n<tr>";
    auto is_number = [&](std::size_t i) { return section.titles[i].ends_with('#'); };
    for (std::size_t i = 0; i < section.titles.size(); i++) {
        const std::string &title = section.titles[i];
        text += fmt::format("<th>{}</th>", escaped(is_number(i) ? title.substr(0, title.size() - 1) : title));
    }
    text += "</tr>\n";
    for (const auto &row : section.rows) {
        text += "<tr>";
        for (std::size_t i = 0; i < row.size(); i++)
            text += fmt::format("<td{}>{}</td>", is_number(i) ? " class=\"number\"" : "", escaped(row[i]));
        text += "</tr>\n";
    }
    return text + "</table>\n";
}

// One file, without anything from elsewhere.
std::string html(const ordered_json &report) {
    const std::string title = fmt::format("Migration {}", escaped(cell(report, "migration")));
    std::string text = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n<style>\n"
        "body {{ font-family: sans-serif; }}\ntable {{ border-collapse: collapse; margin-bottom: 1em; }}\n"
        "th, td {{ border: 1px solid #bbb; padding: 0.2em 0.5em; text-align: left; vertical-align: top; }}\n"
        ".number {{ text-align: right; }}\n</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        title);
    for (const Section &section : sections(report)) {
        if (!section.title.empty()) text += fmt::format("<h2>{}</h2>\n", section.title);
        text += section.rows.empty() ? "<p>None.</p>\n" : html_table(section);
    }
    return text + "</body>\n</html>\n";
}

MigrationReport written(const ordered_json &report) {
    return {report.dump(2, ' ', false, ordered_json::error_handler_t::replace), markdown(report), html(report)};
}
} // namespace

MigrationReport migration_report(const std::string &name) {
    if (auto migration = find_migration(name)) return written(gather(*migration));
    Rows rows = own_query("SELECT report, markdown, html FROM tenantmig.migration_report_archive WHERE migration = $1",
                          {text_value(name)});
    if (rows.empty()) (void)get_migration(name); // says that there is none
    return {rows.text_or(0, 1), rows.text_or(0, 2), rows.text_or(0, 3)};
}

void archive_migration_report(const MigrationRecord &migration) {
    const MigrationReport report = written(gather(migration));
    own_query("INSERT INTO tenantmig.migration_report_archive (migration, report, markdown, html, archived_at, "
              "archived_by) VALUES ($1, $2::json, $3, $4, $5, $6) ON CONFLICT (migration) DO UPDATE SET report = "
              "excluded.report, markdown = excluded.markdown, html = excluded.html, archived_at = "
              "excluded.archived_at, archived_by = excluded.archived_by",
              {text_value(migration.name), text_value(report.json), text_value(report.markdown),
               text_value(report.html), timestamp_value(our_time()), text_value(actor_name())});
}

} // namespace tenantmig

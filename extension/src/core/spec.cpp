#include "core/spec.hpp"
#include "core/error.hpp"
#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include "core/spec_backfill.hpp"
#include "core/spec_constraint.hpp"
#include "core/spec_guard.hpp"
#include "core/spec_isolate.hpp"
#include "core/spec_monitor.hpp"
#include "core/spec_reader.hpp"
#include "core/spec_step.hpp"
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace tenantmig::core {
namespace {

constexpr std::size_t max_steps = 100;
constexpr std::size_t max_text = std::size_t{16} << 20;
constexpr std::size_t max_migration_name = 200; // bytes: room for schema.table.column, each of 63
constexpr std::size_t max_depth = 50;           // a valid spec needs eight

Words step_kinds() {
    return {"backfill", "sql", "add_column", "drop_column", "index", "rekey", "guard", "constraint", "isolate"};
}

std::string parse_name(const Json &value, const std::string &path) {
    constexpr std::string_view example = "migration: customers-company-id";
    const std::string &name = read_string(value, path, example);
    const std::string hint = "Write for example " + std::string(example) + ".";
    if (name.find_first_not_of(' ') == std::string::npos) fail_at(path, "the name is empty", value, hint);
    if (name.size() > max_migration_name)
        fail(path, "the name is too long",
             excerpt(name) + " has " + std::to_string(name.size()) + " bytes; " + std::to_string(max_migration_name) +
                 " are allowed.",
             hint);
    for (std::size_t i = 0; i < name.size(); ++i) {
        const auto byte = static_cast<unsigned char>(name[i]);
        const bool c1 = byte == 0xC2 && i + 1 < name.size() && static_cast<unsigned char>(name[i + 1]) < 0xA0;
        if (byte < 0x20 || byte == 0x7F || c1)
            fail_at(path, "the name contains a control character", value,
                    "Use characters that can be seen, and blanks.");
    }
    return name;
}

// The step's kind: its only field. Others are refused, and which way depends on what it looks like.
std::string step_kind(const Json &value, const std::string &path) {
    const Words kinds = step_kinds();
    const auto is_kind = [&](std::string_view word) {
        return std::find(kinds.begin(), kinds.end(), word) != kinds.end();
    };
    const std::string list =
        suggest("The kinds of step are ", value.is_string() ? value.get<std::string>() : "", kinds);
    if (!value.is_object()) fail_at(path, "expected an object with the kind of the step as its field", value, list);
    if (value.size() != 1) {
        const auto items = value.items();
        const bool flat = std::any_of(items.begin(), items.end(),
                                      [&](const auto &item) { return item.value().is_null() && is_kind(item.key()); });
        fail_at(path, "expected exactly one field, the kind of the step", value,
                flat ? "Indent the fields of the step below its kind, or begin each step with a dash." : list);
    }
    std::string kind = value.begin().key();
    const std::string here = join_path(path, kind);
    if (!is_kind(kind))
        fail(here, "unknown kind of step", describe(value), suggest("The kinds of step are ", kind, kinds));
    return kind;
}

void parse_tenants(const Json &value, const std::string &path, Spec &spec) {
    constexpr std::string_view example = "tenants: {table: companies, key: id}";
    if (value.is_string())
        fail_at(path, "expected an object", value, "Write for example " + std::string(example) + ".");
    const Reader reader(value, path, {"table", "key"});
    spec.tenants_table = read_name(reader.require("table", example), reader.path_of("table"), 2, example);
    if (const Json *key = reader.find("key")) spec.tenants_key = read_name(*key, reader.path_of("key"), 1, example);
}

// What the steps of a kind are about, as the database has the names, and where each stands in the document.
struct StepTargets {
    std::map<std::string, std::vector<std::pair<std::vector<std::string>, std::string>>> of;
    void expect_new(const std::string &kind, std::vector<std::string> target, const std::string &path,
                    std::string_view what, const std::string &detail, const std::string &hint) {
        auto &seen = of[kind];
        for (const auto &[other, place] : seen)
            if (other == target) fail(path, what, detail + place + ".", hint);
        seen.emplace_back(std::move(target), path);
    }
};

void parse_step(const std::string &kind, const Json &value, const std::string &path, int number, Spec &spec,
                StepTargets &targets) {
    const auto add = [&](StepKind step, auto &list, auto parsed) {
        spec.order.push_back({step, number, list.size()});
        list.push_back(std::move(parsed));
    };
    if (kind == "guard") {
        ParsedGuard guard = parse_guard(value, path, number);
        targets.expect_new(kind, guard.target, path, "the same guard twice", "It guards the same column as ",
                           "Remove one of them.");
        add(StepKind::guard, spec.guards, std::move(guard.step));
    } else if (kind == "constraint") {
        ParsedConstraint constraint = parse_constraint(value, path, number);
        targets.expect_new(kind, constraint.target, path, "the same column twice", "Its column is also that of ",
                           "Put all constraints of a column into one step.");
        add(StepKind::constraint, spec.constraints, std::move(constraint.step));
    } else if (kind == "backfill") {
        ParsedBackfill backfill = parse_backfill(value, path, number);
        targets.expect_new(kind, backfill.target, path, "the same column twice", "Its target is also that of ",
                           "Put all sources of a column into one step.");
        add(StepKind::backfill, spec.steps, std::move(backfill.step));
    } else if (kind == "sql") {
        add(StepKind::sql, spec.sqls, parse_sql(value, path, number));
    } else if (kind == "add_column") {
        add(StepKind::add_column, spec.added_columns, parse_add_column(value, path, number));
    } else if (kind == "drop_column") {
        add(StepKind::drop_column, spec.dropped_columns, parse_drop_column(value, path, number));
    } else if (kind == "index") {
        add(StepKind::index, spec.indexes, parse_index(value, path, number));
    } else if (kind == "isolate") {
        ParsedIsolate isolate = parse_isolate(value, path, number);
        for (std::size_t i = 0; i < isolate.targets.size(); ++i)
            targets.expect_new(kind, isolate.targets[i], isolate.step.tables[i].path, "the same table twice",
                               "It is isolated by ", "Remove one of them.");
        add(StepKind::isolate, spec.isolations, std::move(isolate.step));
    } else {
        add(StepKind::rekey, spec.rekeys, parse_rekey(value, path, number));
    }
}

// Watches the parser for what it would pass over in silence: a field that is there twice (the last would win). Also
// bounds the depth, so that nothing that walks the document can exhaust the stack.
class Watcher {
public:
    bool operator()(int depth, Json::parse_event_t event, const Json &parsed) {
        if (static_cast<std::size_t>(depth) > max_depth)
            fail("", "nested too deeply", "Found more than " + std::to_string(max_depth) + " levels.",
                 "A spec needs no more than eight.");
        switch (event) {
        case Json::parse_event_t::object_start:
            open_.push_back({false, {}, {}, 0});
            break;
        case Json::parse_event_t::array_start:
            open_.push_back({true, {}, {}, 0});
            break;
        case Json::parse_event_t::key: {
            Level &level = open_.back();
            level.field = parsed.get<std::string>();
            if (!level.fields.insert(level.field).second)
                fail(path(), "the field is there twice", "The document says it two times on the same level.",
                     "Remove one of them; a list takes several values or sources.");
            break;
        }
        case Json::parse_event_t::object_end:
        case Json::parse_event_t::array_end:
            open_.pop_back();
            [[fallthrough]];
        case Json::parse_event_t::value:
            if (!open_.empty()) ++open_.back().index;
        }
        return true;
    }

private:
    struct Level {
        bool is_list;
        std::string field;
        std::set<std::string> fields;
        std::size_t index;
    };
    std::string path() const {
        std::string text;
        for (const Level &level : open_)
            text = level.is_list ? join_path(text, level.index) : join_path(text, std::string_view(level.field));
        return text;
    }
    std::vector<Level> open_;
};

[[noreturn]] void not_json(std::string_view text, std::size_t byte, std::string found) {
    const std::string_view before = text.substr(0, byte > 0 ? byte - 1 : 0);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t line_begin = before.rfind('\n');
    const std::size_t column = line_begin == std::string_view::npos ? before.size() + 1 : before.size() - line_begin;
    // the library's own preamble, "[json.exception.parse_error.101] parse error at line 1, column 2: ", says it again
    if (const std::size_t preamble = found.find(": "); found.starts_with('[') && preamble != std::string::npos)
        found.erase(0, preamble + 2);
    else if (const std::size_t bracket = found.find("] "); found.starts_with('[') && bracket != std::string::npos)
        found.erase(0, bracket + 2);
    std::string detail;
    for (const char c : found.substr(0, 300))
        detail += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    fail("", "invalid JSON at line " + std::to_string(line) + ", column " + std::to_string(column), std::move(detail),
         "A spec is one JSON object; the command line reads YAML too.");
}

} // namespace

Spec parse_spec(const Json &document) {
    const Reader reader(document, "", {"migration", "description", "version", "tenants", "steps", "monitor", "exempt"});
    Spec spec;
    spec.migration = parse_name(reader.require("migration", "migration: customers-company-id"), "migration");
    if (const Json *description = reader.find("description"))
        spec.description =
            read_string(*description, "description", "description: every customer belongs to one company");
    if (const Json *version = reader.find("version"))
        spec.version = read_integer(*version, "version", INT64_MIN, "version: 8");
    parse_tenants(reader.require("tenants", "tenants: {table: companies, key: id}"), "tenants", spec);
    constexpr std::string_view example = "steps: [{backfill: {table: customers, column: company_id, sources: [...]}}]";
    const Json &steps = reader.require("steps", example);
    expect_list(steps, "steps", max_steps, "steps", example);
    if (const Json *monitor = reader.find("monitor")) spec.monitor = parse_monitor(*monitor, "monitor");
    if (const Json *exempt = reader.find("exempt")) spec.exempt = parse_exemptions(*exempt, "exempt");
    StepTargets targets;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const std::string path = join_path("steps", i);
        const std::string kind = step_kind(steps[i], path);
        parse_step(kind, steps[i][kind], join_path(path, kind), static_cast<int>(i) + 1, spec, targets);
    }
    return spec;
}

std::string_view step_name(StepKind kind) {
    switch (kind) {
    case StepKind::sql:
        return "sql";
    case StepKind::add_column:
        return "add_column";
    case StepKind::drop_column:
        return "drop_column";
    case StepKind::index:
        return "index";
    case StepKind::rekey:
        return "rekey";
    case StepKind::backfill:
        return "backfill";
    case StepKind::guard:
        return "guard";
    case StepKind::constraint:
        return "constraint";
    case StepKind::isolate:
        return "isolate";
    }
    return "";
}

bool is_structural(StepKind kind) {
    return kind == StepKind::sql || kind == StepKind::add_column || kind == StepKind::drop_column ||
           kind == StepKind::index || kind == StepKind::rekey;
}

bool keeps_state(StepKind kind) {
    return kind != StepKind::backfill && kind != StepKind::guard && kind != StepKind::constraint;
}

Spec select_steps(Spec spec, const std::vector<int> &numbers) {
    const auto wanted = [&](int number) { return std::find(numbers.begin(), numbers.end(), number) != numbers.end(); };
    const auto select = [&](auto &list) {
        std::erase_if(list, [&](const auto &step) { return !wanted(step.number); });
    };
    select(spec.steps);
    select(spec.guards);
    select(spec.constraints);
    select(spec.sqls);
    select(spec.added_columns);
    select(spec.dropped_columns);
    select(spec.indexes);
    select(spec.rekeys);
    select(spec.isolations);
    select(spec.order);
    std::map<StepKind, std::size_t> count;
    for (StepRef &step : spec.order)
        step.index = count[step.kind]++;
    return spec;
}

Spec parse_spec_text(std::string_view json) {
    if (json.size() > max_text)
        fail("", "the document is too large",
             "It has " + std::to_string(json.size()) + " bytes; " + std::to_string(max_text) + " are allowed.",
             "Split it over several migrations.");
    if (json.find_first_not_of(" \t\r\n") == std::string_view::npos)
        fail("", "the document is empty", "Found no JSON value.",
             "A spec is one JSON object; the command line reads YAML too.");
    if (const std::size_t nul = json.find('\0'); nul != std::string_view::npos) // to the parser it is the end
        not_json(json, nul + 1, "The text contains a NUL byte.");
    std::size_t byte = json.size() + 1;
    std::string what;
    try {
        return parse_spec(Json::parse(json.begin(), json.end(), Watcher()));
    } catch (const Json::parse_error &error) {
        byte = error.byte;
        what = error.what();
    } catch (const Json::exception &error) { // a number that no double holds; it has no position
        what = error.what();
    }
    not_json(json, byte, std::move(what));
}

} // namespace tenantmig::core

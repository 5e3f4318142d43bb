#include "core/spec_constraint.hpp"
#include "core/identifier.hpp"
#include <array>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

namespace tenantmig::core {
namespace {

constexpr std::size_t max_columns = 32;  // of an index
constexpr std::size_t max_format = 1000; // bytes
constexpr std::int64_t max_duration = INT64_C(100) * 366 * 86400;

struct Unit {
    std::string_view name;
    std::int64_t seconds;
};
constexpr std::array<Unit, 17> units = {{{"s", 1},
                                         {"sec", 1},
                                         {"second", 1},
                                         {"seconds", 1},
                                         {"min", 60},
                                         {"minute", 60},
                                         {"minutes", 60},
                                         {"h", 3600},
                                         {"hour", 3600},
                                         {"hours", 3600},
                                         {"d", 86400},
                                         {"day", 86400},
                                         {"days", 86400},
                                         {"week", 604800},
                                         {"weeks", 604800},
                                         {"year", 31557600},
                                         {"years", 31557600}}};

// -1: not a length of time.
std::int64_t duration(std::string_view text) {
    double total = 0;
    bool any = false;
    std::size_t at = 0;
    const auto skip_blanks = [&] {
        while (at < text.size() && text[at] == ' ')
            ++at;
    };
    for (skip_blanks(); at < text.size(); skip_blanks()) {
        std::size_t begin = at;
        while (at < text.size() && (std::isdigit(static_cast<unsigned char>(text[at])) != 0 || text[at] == '.'))
            ++at;
        const std::string number(text.substr(begin, at - begin));
        if (number.empty() || number.size() > 12) return -1;
        std::size_t used = 0;
        double amount = 0;
        try {
            amount = std::stod(number, &used);
        } catch (const std::exception &) {
            return -1;
        }
        if (used != number.size()) return -1;
        skip_blanks();
        begin = at;
        while (at < text.size() && std::isalpha(static_cast<unsigned char>(text[at])) != 0)
            ++at;
        const std::string_view word = text.substr(begin, at - begin);
        std::int64_t seconds = 0;
        for (const Unit &unit : units)
            if (unit.name == word) seconds = unit.seconds;
        if (seconds == 0) return -1;
        total += amount * static_cast<double>(seconds);
        any = true;
    }
    if (!any || !(total <= static_cast<double>(max_duration))) return -1;
    return std::llround(total);
}

GateCriteria parse_gate(const Json &value, const std::string &path) {
    const Reader reader(value, path, {"soak", "open_reviews", "approvals", "backup_within", "min_coverage"});
    GateCriteria gate;
    if (const Json *soak = reader.find("soak"))
        gate.soak_seconds = read_duration(*soak, reader.path_of("soak"), "soak: 7 days");
    if (const Json *open = reader.find("open_reviews"))
        gate.open_reviews = read_integer(*open, reader.path_of("open_reviews"), 0, "open_reviews: 0");
    if (const Json *approvals = reader.find("approvals"))
        gate.approvals = read_integer(*approvals, reader.path_of("approvals"), 1, "approvals: 1");
    if (const Json *backup = reader.find("backup_within"))
        gate.backup_seconds = read_duration(*backup, reader.path_of("backup_within"), "backup_within: 24 hours");
    if (const Json *coverage = reader.find("min_coverage"))
        gate.min_coverage = read_share(*coverage, reader.path_of("min_coverage"));
    return gate;
}

OnDelete parse_on_delete(const Json &value, const std::string &path) {
    const std::string_view word = read_word(value, path, {"restrict", "no action", "cascade", "set null"});
    return word == "restrict"    ? OnDelete::restricted
           : word == "no action" ? OnDelete::no_action
           : word == "cascade"   ? OnDelete::cascade
                                 : OnDelete::set_null;
}

void expect_something(const ConstraintStep &step, const Json &value) {
    if (step.not_null != NotNull::leave || !step.references_table.empty() || !step.unique.empty() || step.composite ||
        !step.format.empty() || step.on_delete != OnDelete::unspecified)
        return;
    fail_at(step.path, "no constraint is named", value,
            "Name at least one of not_null, references, on_delete, unique, composite and format.");
}

} // namespace

std::string_view on_delete_name(OnDelete action) {
    switch (action) {
    case OnDelete::unspecified:
        return "";
    case OnDelete::no_action:
        return "no action";
    case OnDelete::restricted:
        return "restrict";
    case OnDelete::cascade:
        return "cascade";
    case OnDelete::set_null:
        return "set null";
    }
    return "";
}

std::int64_t read_duration(const Json &value, const std::string &path, std::string_view example) {
    const std::string hint = "Write for example " + std::string(example) + ".";
    if (!value.is_string()) fail_at(path, "expected a length of time with its unit", value, hint);
    const std::int64_t seconds = duration(trimmed(value.get_ref<const std::string &>()));
    if (seconds < 0)
        fail_at(path, "expected a length of time", value,
                hint + " Units are seconds, minutes, hours, days, weeks and years.");
    return seconds;
}

ParsedConstraint parse_constraint(const Json &value, std::string path, int number) {
    constexpr std::string_view example =
        "constraint: {table: customers, column: company_id, not_null: true, references: companies.id}";
    if (!value.is_object())
        fail_at(path, "expected an object", value, "Write for example " + std::string(example) + ".");
    const Reader reader(value, path,
                        {"table", "column", "not_null", "soft_delete", "references", "on_delete", "unique", "composite",
                         "format", "gate"});
    ParsedConstraint parsed;
    ConstraintStep &step = parsed.step;
    step.number = number;
    step.path = path;
    step.table = read_name(reader.require("table", "table: customers"), reader.path_of("table"), 2, "table: customers",
                           &parsed.target);
    step.column = read_name(reader.require("column", "column: company_id"), reader.path_of("column"), 1,
                            "column: company_id", &parsed.target);
    if (const Json *not_null = reader.find("not_null")) {
        if (not_null->is_string() && not_null->get<std::string>() == "live")
            step.not_null = NotNull::live;
        else if (not_null->is_boolean())
            step.not_null = not_null->get<bool>() ? NotNull::all : NotNull::leave;
        else
            fail_at(reader.path_of("not_null"), "expected true, false or live", *not_null,
                    "live allows a soft-deleted row to be without a key.");
    }
    if (const Json *soft = reader.find("soft_delete")) {
        step.soft_delete = read_name(*soft, reader.path_of("soft_delete"), 1, "soft_delete: deleted_at");
        if (step.not_null != NotNull::live)
            fail_at(reader.path_of("soft_delete"), "goes with not_null: live only", *soft,
                    "Leave it out, or write not_null: live.");
    }
    if (const Json *references = reader.find("references"))
        read_table_column(*references, reader.path_of("references"), "references: companies.id", step.references_table,
                          step.references_column);
    if (const Json *action = reader.find("on_delete"))
        step.on_delete = parse_on_delete(*action, reader.path_of("on_delete"));
    if (const Json *unique = reader.find("unique")) {
        const std::string here = reader.path_of("unique");
        expect_list(*unique, here, max_columns, "columns", "unique: [company_id, number]");
        std::vector<std::string> names;
        for (std::size_t i = 0; i < unique->size(); ++i) {
            std::vector<std::string> name;
            step.unique.push_back(
                read_name((*unique)[i], join_path(here, i), 1, "unique: [company_id, number]", &name));
            for (const std::string &other : names)
                if (other == name[0])
                    fail_at(join_path(here, i), "the same column twice", (*unique)[i], "Remove one of them.");
            names.push_back(name[0]);
        }
    }
    if (const Json *composite = reader.find("composite"))
        step.composite = read_flag(*composite, reader.path_of("composite"), "composite: true");
    if (const Json *format = reader.find("format")) {
        const std::string here = reader.path_of("format");
        step.format = read_string(*format, here, "format: '^[a-z0-9_-]+$'");
        if (step.format.empty() || step.format.size() > max_format)
            fail_at(here, "expected a regular expression of 1 to 1000 bytes", *format,
                    "Write for example format: '^[a-z0-9_-]+$'.");
    }
    if (const Json *gate = reader.find("gate")) step.gate = parse_gate(*gate, reader.path_of("gate"));
    expect_something(step, value);
    return parsed;
}

} // namespace tenantmig::core

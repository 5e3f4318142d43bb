#include "core/pace_settings.hpp"
#include "core/error.hpp"
#include "core/excerpt.hpp"
#include "core/spec_reader.hpp"
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <variant>

namespace tenantmig::core {
namespace {

// Where a setting lives. The type says what it takes: a number, a whole number, a number or "off", true or false.
using Place = std::variant<double PaceSettings::*, std::int64_t PaceSettings::*, std::optional<double> PaceSettings::*,
                           bool PaceSettings::*>;
struct Setting {
    std::string_view name;
    Place place;
    double least, most;
    bool whole = false;
};

constexpr double most_rows = 1'000'000, year = 365.0 * 86400;
const std::array<Setting, 12> settings_table = {{
    {"batch_target_ms", &PaceSettings::batch_target_ms, 1, 60'000},
    {"min_batch_rows", &PaceSettings::min_batch_rows, 1, most_rows, true},
    {"max_batch_rows", &PaceSettings::max_batch_rows, 1, most_rows, true},
    {"first_batch_rows", &PaceSettings::first_batch_rows, 1, most_rows, true},
    {"max_replica_lag_s", &PaceSettings::max_replica_lag_s, 0.1, 86'400},
    {"max_wal_mb_per_s", &PaceSettings::max_wal_mb_per_s, 0.1, 1'000'000},
    {"max_archive_backlog", &PaceSettings::max_archive_backlog, 0, 1'000'000, true},
    {"wait_for_autovacuum", &PaceSettings::wait_for_autovacuum, 0, 1},
    {"max_lock_waiters", &PaceSettings::max_lock_waiters, 0, 100'000, true},
    {"max_transaction_age_s", &PaceSettings::max_transaction_age_s, 1, year},
    {"work_share", &PaceSettings::work_share, 0.05, 1},
    {"notify_minutes", &PaceSettings::notify_minutes, 0.01, 10'080},
}};

constexpr char how_to_unset[] = "null instead of a value goes back to the default.";

Json number(double value) {
    if (value == std::floor(value)) return static_cast<std::int64_t>(value);
    return value;
}

std::string what_it_takes(const Setting &setting) {
    if (std::holds_alternative<bool PaceSettings::*>(setting.place)) return "true or false";
    std::string text =
        fmt::format("a {}number from {} to {}", setting.whole ? "whole " : "", setting.least, setting.most);
    if (std::holds_alternative<std::optional<double> PaceSettings::*>(setting.place)) text += ", or \"off\"";
    return text;
}

Json value_of(const Setting &setting, const PaceSettings &settings) {
    return std::visit(
        [&settings](auto place) -> Json {
            using Member = std::remove_cvref_t<decltype(settings.*place)>;
            if constexpr (std::is_same_v<Member, std::optional<double>>)
                return settings.*place ? number(*(settings.*place)) : Json("off");
            else if constexpr (std::is_same_v<Member, double>)
                return number(settings.*place);
            else
                return settings.*place;
        },
        setting.place);
}

[[noreturn]] void refuse(const Setting &setting, const Json &value) {
    throw Error(sqlstate::invalid_parameter_value,
                fmt::format("pace setting \"{}\" must be {}", setting.name, what_it_takes(setting)), describe(value),
                fmt::format("Its default is {}; {}", value_of(setting, {}).dump(), how_to_unset));
}

void apply(const Setting &setting, const Json &value, PaceSettings &settings) {
    std::visit(
        [&](auto place) {
            using Member = std::remove_cvref_t<decltype(settings.*place)>;
            if constexpr (std::is_same_v<Member, bool>) {
                if (!value.is_boolean()) refuse(setting, value);
                settings.*place = value.get<bool>();
            } else {
                if constexpr (std::is_same_v<Member, std::optional<double>>)
                    if (value == "off") {
                        (settings.*place).reset();
                        return;
                    }
                if (!value.is_number()) refuse(setting, value);
                const auto given = value.get<double>();
                if (!(given >= setting.least && given <= setting.most)) refuse(setting, value);
                if (setting.whole && given != std::floor(given)) refuse(setting, value);
                settings.*place = static_cast<Member>(given);
            }
        },
        setting.place);
}

const Setting &setting_named(std::string_view name) {
    for (const Setting &setting : settings_table)
        if (setting.name == name) return setting;
    Words names;
    for (const Setting &setting : settings_table)
        names.push_back(setting.name);
    throw Error(sqlstate::invalid_parameter_value, fmt::format("unknown pace setting {}", excerpt(name)), {},
                suggest("Settings are ", name, names));
}

Json read_object(std::string_view text) {
    Json object;
    std::string problem;
    try {
        object = Json::parse(text);
    } catch (const Json::exception &error) { // jsonb holds numbers that no double does, and other encodings than UTF-8
        problem = error.what();
    }
    if (!problem.empty())
        throw Error(sqlstate::invalid_parameter_value, "pace settings cannot be read", excerpt(problem, 200),
                    "Give an object of settings, for example {\"batch_target_ms\": 50}.");
    if (!object.is_object())
        throw Error(sqlstate::invalid_parameter_value, "pace settings must be an object", describe(object),
                    "Give an object of settings, for example {\"batch_target_ms\": 50}.");
    return object;
}

PaceSettings read_settings(const Json &object) {
    PaceSettings settings;
    for (const auto &[name, value] : object.items())
        apply(setting_named(name), value, settings);
    if (settings.min_batch_rows > settings.max_batch_rows)
        throw Error(sqlstate::invalid_parameter_value,
                    "pace setting \"min_batch_rows\" must not be greater than \"max_batch_rows\"",
                    fmt::format("They would be {} and {}.", settings.min_batch_rows, settings.max_batch_rows),
                    "Set both in one call.");
    return settings;
}

} // namespace

PaceSettings parse_pace_settings(std::string_view stored) {
    return read_settings(read_object(stored));
}

std::string merge_pace_settings(std::string_view stored, std::string_view changes) {
    Json merged = read_object(stored);
    const Json given = read_object(changes);
    for (const auto &[name, value] : given.items()) {
        (void)setting_named(name);
        if (value.is_null())
            merged.erase(name);
        else
            merged[name] = value;
    }
    (void)read_settings(merged);
    return merged.dump();
}

std::string pace_settings_json(const PaceSettings &settings) {
    auto object = nlohmann::ordered_json::object();
    for (const Setting &setting : settings_table)
        object[std::string(setting.name)] = nlohmann::ordered_json(value_of(setting, settings));
    return object.dump();
}

} // namespace tenantmig::core

#include "core/spec_guard.hpp"
#include "core/error.hpp"
#include <nlohmann/json.hpp>

namespace tenantmig::core {

std::string_view mode_name(GuardMode mode) {
    return mode == GuardMode::fill ? "fill" : mode == GuardMode::reject ? "reject" : "warn";
}

std::string_view kind_name(GuardKind kind) {
    switch (kind) {
    case GuardKind::prefix:
        return "prefix";
    case GuardKind::tenant_key:
        return "tenant_key";
    case GuardKind::same_tenant:
        return "same_tenant";
    case GuardKind::reference:
        return "reference";
    case GuardKind::acyclic:
        return "acyclic";
    case GuardKind::immutable:
        return "immutable";
    }
    return "";
}

ParsedGuard parse_guard(const Json &value, std::string path, int number) {
    constexpr std::string_view example = "guard: {kind: tenant_key, table: customers, column: company_id, mode: fill}";
    if (!value.is_object())
        fail_at(path, "expected an object", value, "Write for example " + std::string(example) + ".");
    // The kind comes first: each has fields of its own.
    if (const auto kind = value.find("kind"); kind != value.end()) {
        const std::string_view word =
            read_word(*kind, join_path(path, "kind"),
                      {"prefix", "tenant_key", "same_tenant", "reference", "acyclic", "immutable"});
        if (word != "tenant_key")
            throw Error(sqlstate::feature_not_supported,
                        "spec: " + join_path(path, "kind") + ": guards of kind \"" + std::string(word) +
                            "\" are not supported",
                        "This version of tenantmig has only guards of kind \"tenant_key\".",
                        "Leave the step out, or use a later version.");
    }
    const Reader reader(value, path, {"kind", "table", "column", "mode", "always"});
    (void)reader.require("kind", "kind: tenant_key");
    ParsedGuard parsed;
    GuardStep &step = parsed.step;
    step.number = number;
    parsed.target.push_back("tenant_key");
    const auto name = [&](std::string_view field, std::size_t parts, std::string_view sample) {
        return read_name(reader.require(field, sample), reader.path_of(field), parts, sample, &parsed.target);
    };
    step.table = name("table", 2, "table: customers");
    step.column = name("column", 1, "column: company_id");
    const std::string_view mode =
        read_word(reader.require("mode", "mode: fill"), reader.path_of("mode"), {"fill", "reject", "warn"});
    step.mode = mode == "fill" ? GuardMode::fill : mode == "reject" ? GuardMode::reject : GuardMode::warn;
    if (const Json *always = reader.find("always")) {
        if (!always->is_boolean())
            fail_at(reader.path_of("always"), "expected true or false", *always, "Write for example always: true.");
        step.always = always->get<bool>();
    }
    step.path = std::move(path);
    return parsed;
}

} // namespace tenantmig::core

// What is stored of a guard comes back as it was.
#include "core/guard_definition.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace tenantmig::core {
namespace {

GuardDefinition definition(GuardKind kind) {
    GuardDefinition guard;
    guard.migration = "m \"quoted\"";
    guard.kind = kind;
    guard.mode = GuardMode::reject;
    guard.system = "7000000000000000000";
    guard.database = 5;
    guard.owner = "Owner";
    guard.table = {16400, "public", "scopes"};
    guard.column = {3, "scope_id"};
    return guard;
}

TEST(GuardDefinition, comes_back_as_it_was) {
    for (const GuardKind kind : {GuardKind::prefix, GuardKind::tenant_key, GuardKind::same_tenant, GuardKind::reference,
                                 GuardKind::acyclic, GuardKind::immutable}) {
        GuardDefinition guard = definition(kind);
        if (kind == GuardKind::prefix) {
            guard.key = {2, "domain"};
            guard.separator = "/é";
        }
        if (kind == GuardKind::same_tenant)
            guard.sources.push_back(
                {"staff_id", {{4, "staff_id"}}, {{{16500, "hr", "staff"}, {{1, "id"}}, {{2, "company"}}, {}}}, {}, {}});
        if (kind == GuardKind::reference) {
            GuardSource source{"owner_id", {{4, "owner_id"}}, {}, GuardColumn{5, "owner_type"}, {}};
            source.types.push_back({"Staff", {{16500, "hr", "staff"}, {{1, "id"}}, {}, {}}});
            guard.sources.push_back(source);
        }
        const std::string text = guard_json(guard);
        const GuardDefinition back = parse_guard_json(text);
        EXPECT_EQ(back.kind, kind);
        EXPECT_EQ(back.mode, GuardMode::reject);
        EXPECT_EQ(back.key.name, guard.key.name);
        EXPECT_EQ(back.key.number, guard.key.number);
        EXPECT_EQ(back.separator, guard.separator);
        EXPECT_EQ(back.sources.size(), guard.sources.size());
        EXPECT_EQ(guard_json(back), text);
    }
}

TEST(GuardDefinition, of_an_older_version_has_no_kind) {
    nlohmann::json document = nlohmann::json::parse(guard_json(definition(GuardKind::tenant_key)));
    document.erase("kind");
    EXPECT_EQ(parse_guard_json(document.dump()).kind, GuardKind::tenant_key);
}

TEST(GuardDefinition, with_unknown_words_is_none) {
    for (const char *field : {"kind", "mode"}) {
        nlohmann::json document = nlohmann::json::parse(guard_json(definition(GuardKind::acyclic)));
        document[field] = "guess";
        EXPECT_THROW((void)parse_guard_json(document.dump()), nlohmann::json::exception);
        document.erase(field);
        if (std::string_view(field) == "mode") {
            EXPECT_THROW((void)parse_guard_json(document.dump()), nlohmann::json::exception);
        }
    }
    EXPECT_EQ(kind_of("tenant-key"), std::nullopt);
    EXPECT_EQ(mode_of(""), std::nullopt);
    for (const GuardKind kind : {GuardKind::prefix, GuardKind::immutable, GuardKind::acyclic})
        EXPECT_EQ(kind_of(kind_name(kind)), kind);
}

} // namespace
} // namespace tenantmig::core

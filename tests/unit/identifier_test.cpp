#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include "expect_error.hpp"

namespace tenantmig::core {
namespace {

std::vector<std::string> texts(std::string_view name) {
    std::vector<std::string> all;
    for (const Identifier &part : split_identifier(name))
        all.push_back(part.text);
    return all;
}
using Names = std::vector<std::string>;

TEST(Identifier, SplitsAtDots) {
    EXPECT_EQ(texts("customers"), Names{"customers"});
    EXPECT_EQ(texts("public.customers"), (Names{"public", "customers"}));
    EXPECT_EQ(texts("a.b.c"), (Names{"a", "b", "c"}));
}

TEST(Identifier, FoldsOnlyAsciiAndOnlyWithoutQuotes) {
    EXPECT_EQ(texts("Customers"), Names{"customers"});
    EXPECT_EQ(texts("\"Customers\""), Names{"Customers"});
    EXPECT_EQ(texts("ÄRGER"), Names{"Ärger"});
    EXPECT_EQ(texts("Crm.\"Customers\".Id"), (Names{"crm", "Customers", "id"}));
}

TEST(Identifier, KeepsWhatWasWritten) {
    const auto parts = split_identifier("Crm.\"My \"\"Table\"\"\"");
    ASSERT_EQ(parts.size(), 2U);
    EXPECT_EQ(parts[0], (Identifier{"crm", "Crm", false}));
    EXPECT_EQ(parts[1], (Identifier{"My \"Table\"", "My \"Table\"", true}));
}

TEST(Identifier, QuotesProtectEverything) {
    EXPECT_EQ(texts("\"a.b\".\"c d\""), (Names{"a.b", "c d"}));
    EXPECT_EQ(texts("\"line\nbreak\""), Names{"line\nbreak"});
    EXPECT_EQ(texts("\"\"\"\""), Names{"\""});
    EXPECT_EQ(texts("\"🏢\""), Names{"🏢"});
    EXPECT_EQ(texts("🏢.id"), (Names{"🏢", "id"}));
}

TEST(Identifier, AllowsBlanksAroundParts) {
    EXPECT_EQ(texts("  public . customers\t"), (Names{"public", "customers"}));
    EXPECT_EQ(texts("\"a\" . b"), (Names{"a", "b"}));
}

TEST(Identifier, SixtyThreeBytesIsTheLimit) {
    const std::string longest(63, 'x');
    EXPECT_EQ(texts(longest), Names{longest});
    EXPECT_ERROR(split_identifier(longest + "y"), "42622", "name \"" + longest + "y\" is too long",
                 "It has 64 bytes; PostgreSQL keeps 63", "as the database has it");
}

TEST(Identifier, CountsBytesNotCharactersNorQuotes) {
    std::string umlauts;
    for (int i = 0; i < 32; ++i)
        umlauts += "ä";
    EXPECT_ERROR(split_identifier(umlauts), "42622", "name \"" + umlauts + "\" is too long", "It has 64 bytes");
    EXPECT_EQ(texts("\"" + std::string(62, 'q') + "\"\"\""), Names{std::string(62, 'q') + "\""});
}

TEST(Identifier, RefusesEmptyParts) {
    EXPECT_ERROR(split_identifier(""), "42602", "invalid name \"\"", "It is empty.", "in double quotes");
    EXPECT_ERROR(split_identifier("   "), "42602", "invalid name \"   \"", "A part of it is empty.");
    EXPECT_ERROR(split_identifier("a..b"), "42602", "invalid name \"a..b\"", "A part of it is empty.");
    EXPECT_ERROR(split_identifier(".a"), "42602", "invalid name \".a\"", "A part of it is empty.");
    EXPECT_ERROR(split_identifier("a."), "42602", "invalid name \"a.\"", "A part of it is empty.");
    EXPECT_ERROR(split_identifier("\"\""), "42602", R"(invalid name "\"\"")", "between double quotes is empty");
}

TEST(Identifier, RefusesUnbalancedQuotes) {
    EXPECT_ERROR(split_identifier("\"a"), "42602", R"(invalid name "\"a")", "is not closed");
    EXPECT_ERROR(split_identifier("\"a\"\""), "42602", R"(invalid name "\"a\"\"")", "is not closed");
    EXPECT_ERROR(split_identifier("\""), "42602", R"(invalid name "\"")", "is not closed");
    EXPECT_ERROR(split_identifier("a\"b"), "42602", R"(invalid name "a\"b")", "within a name");
    EXPECT_ERROR(split_identifier("\"a\"b"), "42602", R"(invalid name "\"a\"b")", "A dot was expected at byte 4.");
}

TEST(Identifier, RefusesBlanksWithinAndNul) {
    EXPECT_ERROR(split_identifier("my table"), "42602", "invalid name \"my table\"", "A dot was expected at byte 4.",
                 "\"My Table\"");
    EXPECT_ERROR(split_identifier(std::string_view("a\0b", 3)), "42602", R"(invalid name "a\u0000b")", "NUL character");
}

TEST(Identifier, DisplayQuotesOnlyWhatNeedsIt) {
    EXPECT_EQ(display_identifier("customers_2"), "customers_2");
    EXPECT_EQ(display_identifier("_x"), "_x");
    EXPECT_EQ(display_identifier("2x"), "\"2x\"");
    EXPECT_EQ(display_identifier("Customers"), "\"Customers\"");
    EXPECT_EQ(display_identifier("a b"), "\"a b\"");
    EXPECT_EQ(display_identifier("a\"b"), "\"a\"\"b\"");
    EXPECT_EQ(display_identifier("ä"), "\"ä\"");
    EXPECT_EQ(display_identifier(""), "\"\"");
}

TEST(Identifier, DisplayedNamesSplitAgain) {
    for (const std::string name : {"plain", "Mixed Case", "a.b", "quo\"te", "\"", "🏢", " ", "1"}) {
        const auto parts = split_identifier(display_identifier(name));
        ASSERT_EQ(parts.size(), 1U) << name;
        EXPECT_EQ(parts[0].text, name);
    }
}

TEST(Excerpt, EscapesAndCutsAtCharacters) {
    EXPECT_EQ(excerpt("plain"), "\"plain\"");
    EXPECT_EQ(excerpt("a\nb\"c"), R"("a\nb\"c")");
    EXPECT_EQ(excerpt("abcdef", 3), "\"abc…\"");
    EXPECT_EQ(excerpt("aääää", 4), "\"aä…\"");
    EXPECT_EQ(excerpt("🏢🏢", 4), "\"🏢…\"");
    EXPECT_EQ(excerpt("🏢🏢", 3), "\"…\"");
}

} // namespace
} // namespace tenantmig::core

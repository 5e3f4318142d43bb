#include "core/spec_difference.hpp"
#include "spec_fixture.hpp"

namespace tenantmig::core {
namespace {

// One difference a line: PATH: STORED -> GIVEN, with nothing where there is none.
std::string lines(const nlohmann::json &stored, const nlohmann::json &given) {
    std::string out;
    for (const SpecDifference &difference : spec_difference(stored, given))
        out += difference.path + ": " + difference.stored.value_or("") + " -> " + difference.given.value_or("") + "\n";
    return out;
}

std::string lines(const char *stored, const char *given) {
    return lines(json(stored), json(given));
}

TEST(SpecDifference, TheSameIsNone) {
    EXPECT_EQ(lines(json(full_spec), json(full_spec)), "");
    EXPECT_EQ(lines(R"({"a": 1, "b": [1, 2]})", R"({"b": [1, 2], "a": 1.0})"), "");
    EXPECT_EQ(lines("{}", "{}"), "");
    EXPECT_EQ(lines("null", "null"), "");
}

TEST(SpecDifference, PathsAreThoseOfTheSpec) {
    const nlohmann::json stored = json(full_spec);
    EXPECT_EQ(lines(stored, with("/steps/1/backfill/sources/0/via", "client_id")),
              "steps[1].backfill.sources[0].via: \"customer_id\" -> \"client_id\"\n");
    EXPECT_EQ(lines(stored, with("/tenants/odd field", 1)), "tenants[\"odd field\"]:  -> 1\n");
    EXPECT_EQ(lines(stored, without("/steps/0/backfill", "soft_delete")),
              "steps[0].backfill.soft_delete: \"deleted_at\" -> \n");
    EXPECT_EQ(lines(stored, with("/version", nullptr)), "version: 8 -> null\n");
    EXPECT_EQ(lines("1", "[]"), ": 1 -> []\n");
}

TEST(SpecDifference, SeveralComeInTheOrderOfTheFields) {
    EXPECT_EQ(lines(R"({"a": 1, "b": 2, "c": 3})", R"({"a": 2, "c": 4, "d": {"x": [1, null]}})"),
              "a: 1 -> 2\nb: 2 -> \nc: 3 -> 4\nd:  -> {\"x\":[1,null]}\n");
}

TEST(SpecDifference, AnElementMoreOrLessIsOneDifference) {
    EXPECT_EQ(lines("[1, 2, 3]", "[1, 9, 2, 3]"), "[1]:  -> 9\n");
    EXPECT_EQ(lines("[1, 2, 3]", "[0, 1, 2, 3]"), "[0]:  -> 0\n");
    EXPECT_EQ(lines("[1, 2, 3]", "[1, 3]"), "[1]: 2 -> \n");
    EXPECT_EQ(lines("[1, 2]", "[2, 1]"), "[0]: 1 -> \n[1]:  -> 1\n");
    EXPECT_EQ(lines("[]", "[1]"), "[0]:  -> 1\n");
    EXPECT_EQ(lines("[1, 2]", "[]"), "[0]: 1 -> \n[1]: 2 -> \n");
}

TEST(SpecDifference, AChangedElementAmongMovedOnesHasTheNumberThatIsGiven) {
    EXPECT_EQ(lines(R"([{"a": 1}, {"b": 1}, {"c": 1}])", R"([{"z": 1}, {"a": 1}, {"b": 2}, {"c": 1}])"),
              "[0]:  -> {\"z\":1}\n[2].b: 1 -> 2\n");
}

TEST(SpecDifference, OfLongTextsThePartIsShownWhereTheyDiffer) {
    const std::string start(1000, 'x');
    EXPECT_EQ(lines(nlohmann::json(start + "A"), nlohmann::json(start + "B")),
              ": \"…" + std::string(20, 'x') + "A\" -> \"…" + std::string(20, 'x') + "B\"\n");
    const std::string long_end = "A" + std::string(1000, 'y');
    const std::string differences = lines(nlohmann::json(long_end), nlohmann::json("B"));
    EXPECT_EQ(differences, ": \"A" + std::string(119, 'y') + "…\" -> \"B\"\n");
    // never within a character
    std::string umlauts;
    for (int i = 0; i < 500; ++i)
        umlauts += "ä";
    for (const SpecDifference &found :
         spec_difference(nlohmann::json("a" + umlauts + "b"), nlohmann::json("a" + umlauts + "c"))) {
        EXPECT_EQ(found.stored, "\"…ääääääääääb\"");
        EXPECT_EQ(found.given, "\"…ääääääääääc\"");
    }
}

TEST(SpecDifference, LongValuesAreCut) {
    const nlohmann::json list(1000, 7);
    const std::vector<SpecDifference> found = spec_difference(json("{}"), {{"a", list}});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].given, "[" +
                                  std::string("7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,"
                                              "7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7") +
                                  "…");
}

TEST(SpecDifference, ListsThatAreTooLongToAlignAreComparedOneByOne) {
    nlohmann::json one = nlohmann::json::array(), other = nlohmann::json::array();
    for (int i = 0; i < 2000; ++i) {
        one.push_back(i);
        other.push_back(-i - 1);
    }
    EXPECT_EQ(spec_difference(one, other).size(), 2000U);
}

TEST(SpecDifference, DepthIsLimited) {
    nlohmann::json deep = 1;
    for (int i = 0; i < 200; ++i)
        deep = nlohmann::json::array({deep});
    EXPECT_EQ(lines(deep, deep), "");
    EXPECT_ERROR(spec_difference(json("1"), nlohmann::json::array({deep})), "TM001",
                 "the document is nested too deeply", "more than 200 levels");
    EXPECT_ERROR(spec_difference(nlohmann::json::array({deep}), json("1")), "TM001",
                 "the document is nested too deeply");
}

} // namespace
} // namespace tenantmig::core

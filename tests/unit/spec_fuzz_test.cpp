// Whatever stands in a spec, parsing it ends with a Spec or a core::Error that has a message, a state and a hint.
#include "spec_fixture.hpp"
#include <random>

namespace tenantmig::core {
namespace {

constexpr unsigned seed = 20261121;
constexpr int rounds = 10000; // each of the two tests

using Random = std::mt19937;

std::size_t below(Random &random, std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
}

// Runs `parse` and holds an error to the form that users are promised. Returns whether it was accepted.
template <class Parse>
bool accepted(Parse &&parse, const std::string &input) {
    try {
        parse();
        return true;
    } catch (const Error &error) {
        const std::string state = error.state();
        EXPECT_TRUE(state == "TM001" || state == "0A000") << state << "\n" << input;
        EXPECT_TRUE(error.message().starts_with("spec: ")) << error.message() << "\n" << input;
        EXPECT_FALSE(error.detail().empty()) << error.message() << "\n" << input;
        EXPECT_FALSE(error.hint().empty()) << error.message() << "\n" << input;
        EXPECT_LT(error.message().size() + error.detail().size() + error.hint().size(), 2000U) << input;
        EXPECT_EQ(error.message().find('\0'), std::string::npos);
        EXPECT_EQ(error.message().find('\n'), std::string::npos);
    } catch (const std::exception &error) {
        ADD_FAILURE() << error.what() << "\n" << input;
    }
    return false;
}

TEST(SpecFuzz, DamagedText) {
    Random random(seed);
    const std::string alphabet("{}[]:,\"\\ \n\0.u0e-tfn\x80\xff🏢", 25);
    int good = 0;
    for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
        std::string text(full_spec);
        for (std::size_t changes = 1 + below(random, 3); changes > 0; --changes) {
            const std::size_t at = below(random, text.size());
            const std::size_t length = 1 + below(random, std::min<std::size_t>(12, text.size() - at));
            switch (below(random, 4)) {
            case 0:
                text.erase(at, length);
                break;
            case 1:
                text[at] = alphabet[below(random, alphabet.size())];
                break;
            case 2:
                text.insert(at, 1, alphabet[below(random, alphabet.size())]);
                break;
            default:
                text.insert(below(random, text.size()), text.substr(at, length));
            }
        }
        good += accepted([&] { parse_spec_text(text); }, text) ? 1 : 0;
    }
    EXPECT_GT(good, 10); // else the mutations are too wild to reach the parser of the document
    EXPECT_LT(good, rounds);
}

// All values of the document, so that one of them can be changed.
void collect(nlohmann::json &value, std::vector<nlohmann::json *> &all) {
    all.push_back(&value);
    if (value.is_structured())
        for (nlohmann::json &element : value)
            collect(element, all);
}

nlohmann::json odd_value(Random &random) {
    static const std::vector<nlohmann::json> odd{nullptr,
                                                 true,
                                                 0,
                                                 -1,
                                                 1.5,
                                                 1e300,
                                                 UINT64_MAX,
                                                 INT64_MIN,
                                                 "",
                                                 "x",
                                                 "a.b",
                                                 "a.b.c",
                                                 "\"",
                                                 "\"Q\"",
                                                 ".",
                                                 "first",
                                                 "assign",
                                                 std::string("\0", 1),
                                                 std::string(64, 'n'),
                                                 std::string(100000, 'n'),
                                                 "\xff\xfe",
                                                 "a\nb",
                                                 "🏢",
                                                 nlohmann::json::array(),
                                                 nlohmann::json::object(),
                                                 nlohmann::json::array({nullptr, 1}),
                                                 {{"assign", 1}},
                                                 {{"via", "x"}},
                                                 {{"", ""}},
                                                 nlohmann::json::array({{{"backfill", nullptr}}}),
                                                 nlohmann::json::binary({1, 2})};
    return odd[below(random, odd.size())];
}

TEST(SpecFuzz, DamagedDocuments) {
    Random random(seed);
    const std::vector<std::string> names{
        "via",  "path", "types", "tenant", "where", "x", "", "assign", "Table", "steps", std::string("\0", 1),
        "\xff", "a\nb", "sql"};
    int good = 0;
    for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
        nlohmann::json document = nlohmann::json::parse(full_spec);
        for (std::size_t changes = 1 + below(random, 3); changes > 0; --changes) {
            std::vector<nlohmann::json *> all;
            collect(document, all);
            nlohmann::json &value = *all[below(random, all.size())];
            switch (below(random, 5)) {
            case 0:
                value = odd_value(random);
                break;
            case 1:
                if (!value.empty() && value.is_object())
                    value.erase(std::next(value.begin(), static_cast<int>(below(random, value.size()))));
                break;
            case 2:
                if (!value.empty() && value.is_array()) value.erase(below(random, value.size()));
                break;
            case 3:
                if (value.is_object()) value[names[below(random, names.size())]] = odd_value(random);
                break;
            default:
                if (value.is_array() && !value.empty())
                    value.push_back(nlohmann::json(value[below(random, value.size())]));
                else if (value.is_string())
                    value = value.get<std::string>() + std::string(1, "\".\0 \n;'"[below(random, 7)]);
            }
        }
        good += accepted([&] { parse_spec(document); },
                         document.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace).substr(0, 3000))
                    ? 1
                    : 0;
    }
    EXPECT_GT(good, 100);
    EXPECT_LT(good, rounds);
}

} // namespace
} // namespace tenantmig::core

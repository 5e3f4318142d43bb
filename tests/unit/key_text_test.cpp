#include "core/key_text.hpp"
#include "expect_error.hpp"

namespace tenantmig::core {
namespace {

using Values = std::vector<std::string>;

std::string pack(const Values &values) {
    const std::vector<std::string_view> views(values.begin(), values.end());
    return pack_key(views);
}

TEST(PackKey, OneValueIsItself) {
    EXPECT_EQ(pack({"42"}), "42");
    EXPECT_EQ(pack({""}), "");
    EXPECT_EQ(pack({"{a,b}"}), "{a,b}");
    EXPECT_EQ(pack({"NULL"}), "NULL");
}

TEST(PackKey, SeveralValuesAreAnArrayAsTheServerWritesIt) {
    EXPECT_EQ(pack({"1", "2"}), "{1,2}");
    EXPECT_EQ(pack({"a", "b c"}), R"({a,"b c"})");
    EXPECT_EQ(pack({"", "x"}), R"({"",x})");
    EXPECT_EQ(pack({"a,b", "c}d", "{e"}), R"({"a,b","c}d","{e"})");
    EXPECT_EQ(pack({"quo\"te", "back\\slash"}), R"({"quo\"te","back\\slash"})");
    EXPECT_EQ(pack({"NULL", "null", "Null", "nulls"}), R"({"NULL","null","Null",nulls})");
    EXPECT_EQ(pack({"tab\t", "new\nline", "\v", "\f", "\r"}), "{\"tab\t\",\"new\nline\",\"\v\",\"\f\",\"\r\"}");
    EXPECT_EQ(pack({"ü", "🏢", "it's"}), "{ü,🏢,it's}");
}

TEST(PackKey, NoColumnIsADefect) {
    EXPECT_ERROR(pack({}), "TM999", "a row key has no column");
}

TEST(UnpackKey, IsTheInverse) {
    const std::vector<Values> keys{{"1"},           {""},          {"1", "2"},       {"", ""},
                                   {"a b", "c,d"},  {"\"", "\\"},  {"\\\"", "\"\\"}, {"NULL", "null"},
                                   {"{", "}", ","}, {"\n", "\t "}, {"ü", "🏢", "z"},  {"a\"", "\\b", "c}"}};
    for (const Values &key : keys)
        EXPECT_EQ(unpack_key(pack(key), key.size()), key) << pack(key);
}

TEST(UnpackKey, RandomKeysComeBack) {
    const std::string alphabet = "ab\"\\{}, \t\nNULnul'0";
    std::uint64_t seed = 7;
    const auto next = [&](std::uint64_t below) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        return (seed >> 33) % below;
    };
    for (int round = 0; round < 5000; ++round) {
        Values key(1 + next(4));
        for (std::string &value : key)
            for (std::uint64_t i = next(6); i > 0; --i)
                value += alphabet[next(alphabet.size())];
        ASSERT_EQ(unpack_key(pack(key), key.size()), key) << pack(key);
    }
}

TEST(UnpackKey, AcceptsQuotesThatAreNotNeeded) {
    EXPECT_EQ(unpack_key(R"({"a",b})", 2), (Values{"a", "b"}));
}

TEST(UnpackKey, RefusesWhatIsNoArray) {
    EXPECT_ERROR(unpack_key("1", 2), "TM006", "invalid row key \"1\"", "not the text of an array", "verify_changes");
    EXPECT_ERROR(unpack_key("", 2), "TM006", "invalid row key \"\"", "not the text of an array");
    EXPECT_ERROR(unpack_key("{", 2), "TM006", "invalid row key \"{\"", "not the text of an array");
    EXPECT_ERROR(unpack_key("{}", 2), "TM006", "invalid row key \"{}\"", "needs double quotes");
    EXPECT_ERROR(unpack_key("{a,}", 2), "TM006", "invalid row key \"{a,}\"", "needs double quotes");
    EXPECT_ERROR(unpack_key("{a b,c}", 2), "TM006", "invalid row key \"{a b,c}\"", "needs double quotes");
    EXPECT_ERROR(unpack_key("{a,NULL}", 2), "TM006", "invalid row key \"{a,NULL}\"", "needs double quotes");
    EXPECT_ERROR(unpack_key(R"({"a,b})", 2), "TM006", R"(invalid row key "{\"a,b}")", "is not closed");
    EXPECT_ERROR(unpack_key(R"({"a\)"
                            "}",
                            2),
                 "TM006", R"(invalid row key "{\"a\\}")", "is not closed");
    EXPECT_ERROR(unpack_key(R"({"a"b,c})", 2), "TM006", R"(invalid row key "{\"a\"b,c}")", "A comma was expected");
    EXPECT_ERROR(unpack_key("{a}b,c}", 2), "TM006", "invalid row key \"{a}b,c}\"", "A comma was expected");
}

TEST(UnpackKey, RefusesAnotherNumberOfValues) {
    EXPECT_ERROR(unpack_key("{a,b,c}", 2), "TM006", "invalid row key \"{a,b,c}\"", "It has 3 values for 2 columns.");
    EXPECT_ERROR(unpack_key("{a}", 2), "TM006", "invalid row key \"{a}\"", "It has 1 values for 2 columns.");
    EXPECT_ERROR(unpack_key("a", 0), "TM006", "invalid row key \"a\"", "Its list of columns is empty.");
}

// Whatever is cut off or changed, the answer is a list or TM006, and no byte beyond the end is read (run under ASAN).
TEST(UnpackKey, DamagedKeysNeverCrash) {
    const std::string key = pack({"a\"b", "\\", "c,d}", ""});
    for (std::size_t cut = 0; cut <= key.size(); ++cut)
        for (const char with : {'}', '"', '\\', ',', '{', 'x'}) {
            std::string damaged = key.substr(0, cut) + with;
            try {
                EXPECT_EQ(unpack_key(damaged, 4).size(), 4U);
            } catch (const Error &error) {
                EXPECT_STREQ(error.state(), "TM006");
            }
        }
}

TEST(KeyJson, NumbersAreNumbersOnlyForIntegerTypes) {
    const Values columns{"id", "code", "n"};
    EXPECT_EQ(key_json(columns, Values{"bigint", "text", "integer"}, Values{"7", "8", "-9"}),
              R"({"id": 7, "code": "8", "n": -9})");
    EXPECT_EQ(key_json(columns, Values{"int2", "uuid", "numeric"}, Values{"0", "x", "1.5"}),
              R"({"id": 0, "code": "x", "n": "1.5"})");
    for (const std::string type : {"int2", "int4", "int8", "smallint", "integer", "bigint"})
        EXPECT_EQ(key_json(Values{"a"}, Values{type}, Values{"-12"}), R"({"a": -12})") << type;
}

TEST(KeyJson, WhatIsNoNumberStaysAString) {
    for (const std::string value : {"", "-", "007", "1e5", "1.0", " 1", "1,\"x\":2", "+1", "NaN"})
        EXPECT_EQ(key_json(Values{"a"}, Values{"bigint"}, Values{value}), "{\"a\": " + json_string(value) + "}");
}

TEST(KeyJson, EscapesNames) {
    EXPECT_EQ(key_json(Values{"a\"b"}, Values{"text"}, Values{"c\nd"}), R"({"a\"b": "c\nd"})");
    EXPECT_EQ(key_json(Values{}, Values{}, Values{}), "{}");
}

TEST(KeyJson, RefusesListsOfDifferentLength) {
    EXPECT_ERROR(key_json(Values{"a", "b"}, Values{"text"}, Values{"1", "2", "3"}), "22023",
                 "the columns, types and values of a row key differ in number", "2 columns, 1 types, 3 values.");
}

TEST(JsonString, EscapesWhatJsonDemands) {
    EXPECT_EQ(json_string(""), "\"\"");
    EXPECT_EQ(json_string("a\"\\/b"), R"("a\"\\/b")");
    EXPECT_EQ(json_string("\b\f\n\r\t"), R"("\b\f\n\r\t")");
    EXPECT_EQ(json_string(std::string_view("\0\x01\x1f\x7f", 4)), "\"\\u0000\\u0001\\u001f\x7f\"");
    EXPECT_EQ(json_string("ü🏢"), "\"ü🏢\"");
}

} // namespace
} // namespace tenantmig::core

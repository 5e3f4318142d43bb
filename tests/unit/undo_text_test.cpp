// The text of undo scripts; that it runs, and runs twice, is tested against a server elsewhere.
#include "core/undo_text.hpp"
#include "expect_error.hpp"

namespace tenantmig::core {
namespace {

std::string joined(const std::vector<std::string> &lines) {
    std::string text;
    for (const std::string &line : lines)
        text += line + "\n";
    return text;
}

const UndoColumn customers{"public", "customers", "company_id", "bigint", {"id"}, {"bigint"}};
const std::string five = "5", six = "6", tricky = "it's \\ \"x\"";

TEST(SqlLiteral, QuotesAndBackslashes) {
    EXPECT_EQ(sql_literal(""), "''");
    EXPECT_EQ(sql_literal("plain"), "'plain'");
    EXPECT_EQ(sql_literal("it's"), "'it''s'");
    EXPECT_EQ(sql_literal("a\\b"), "E'a\\\\b'");
    EXPECT_EQ(sql_literal("\\'; DROP TABLE x; --"), "E'\\\\''; DROP TABLE x; --'");
    EXPECT_EQ(sql_literal("line\nbreak"), "'line\nbreak'");
    EXPECT_EQ(sql_literal("$$ :name ü🏢"), "'$$ :name ü🏢'");
}

TEST(SqlIdentifier, IsAlwaysQuoted) {
    EXPECT_EQ(sql_identifier("customers"), "\"customers\"");
    EXPECT_EQ(sql_identifier("select"), "\"select\"");
    EXPECT_EQ(sql_identifier("a\"b\\c"), "\"a\"\"b\\c\"");
    EXPECT_EQ(sql_identifier("\"; DROP TABLE x; --"), "\"\"\"; DROP TABLE x; --\"");
}

TEST(UndoStatements, CompareAndSet) {
    const std::vector<UndoRow> rows{{{"1"}, nullptr, &five}, {{"2"}, &six, &five}};
    EXPECT_EQ(joined(undo_statements(customers, rows)), R"(WITH restored AS (
UPDATE "public"."customers" AS t SET "company_id" = v.old_value::bigint
FROM (VALUES
  ('1', NULL, '5'),
  ('2', '6', '5')
) AS v(k1, old_value, new_value)
WHERE t."id" OPERATOR(pg_catalog.=) v.k1::bigint AND t."company_id" OPERATOR(pg_catalog.=) v.new_value::bigint
RETURNING 1)
INSERT INTO pg_temp.tenantmig_undo_count SELECT 'public.customers', 'company_id', 2, pg_catalog.count(*) FROM restored;
)");
}

TEST(UndoStatements, AValueThatWasTakenBackIsNull) {
    const std::vector<UndoRow> rows{{{"1"}, &five, nullptr}};
    const std::string text = joined(undo_statements(customers, rows));
    EXPECT_NE(text.find("('1', '5', NULL)"), std::string::npos) << text;
    EXPECT_NE(text.find("(t.\"company_id\" OPERATOR(pg_catalog.=) v.new_value::bigint OR "
                        "(t.\"company_id\" IS NULL AND v.new_value IS NULL))"),
              std::string::npos)
        << text;
}

TEST(UndoStatements, CompositeKeysAndHostileNames) {
    const UndoColumn column{"evil\"; --", "My\nTable", "Org \"Id\"", "text", {"a b", "C"}, {"uuid", "integer"}};
    const std::vector<UndoRow> rows{{{"x'y", "2"}, &tricky, &tricky}};
    const std::string text = joined(undo_statements(column, rows));
    EXPECT_NE(text.find("UPDATE \"evil\"\"; --\".\"My\nTable\" AS t SET \"Org \"\"Id\"\"\" = v.old_value::text"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("('x''y', '2', E'it''s \\\\ \"x\"', E'it''s \\\\ \"x\"')"), std::string::npos) << text;
    EXPECT_NE(text.find("AS v(k1, k2, old_value, new_value)"), std::string::npos) << text;
    EXPECT_NE(
        text.find("t.\"a b\" OPERATOR(pg_catalog.=) v.k1::uuid AND t.\"C\" OPERATOR(pg_catalog.=) v.k2::integer AND "),
        std::string::npos)
        << text;
    EXPECT_NE(text.find("t.\"Org \"\"Id\"\"\" COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) v.new_value::text\n"),
              std::string::npos)
        << text;
}

// No operator of a user's schema takes part, whatever the search_path is.
TEST(UndoStatements, TypesOfUsersAreComparedByTheirText) {
    const UndoColumn column{"s", "t", "c", "public.my_type", {"k"}, {"\"My Type\""}};
    const std::vector<UndoRow> rows{{{"1"}, nullptr, &five}};
    const std::string text = joined(undo_statements(column, rows));
    EXPECT_NE(text.find("SET \"c\" = v.old_value::public.my_type\n"), std::string::npos) << text;
    EXPECT_NE(text.find("WHERE t.\"k\"::pg_catalog.text OPERATOR(pg_catalog.=) v.k1 AND "
                        "t.\"c\"::pg_catalog.text OPERATOR(pg_catalog.=) v.new_value\n"),
              std::string::npos)
        << text;
    const UndoColumn qualified{"s", "t", "c", "pg_catalog.uuid", {"k"}, {"pg_catalog.text"}};
    EXPECT_NE(joined(undo_statements(qualified, rows)).find("v.new_value::pg_catalog.uuid\n"), std::string::npos);
}

TEST(UndoStatements, AreCutAtTheGivenNumberOfRows) {
    std::vector<UndoRow> rows;
    for (int i = 0; i < 25; ++i)
        rows.push_back({{std::to_string(i)}, nullptr, &five});
    const auto statements = [&](std::size_t per_statement) {
        std::size_t count = 0;
        for (const std::string &line : undo_statements(customers, rows, per_statement))
            if (line.starts_with("INSERT INTO ")) ++count;
        return count;
    };
    EXPECT_EQ(statements(10), 3U);
    EXPECT_EQ(statements(25), 1U);
    EXPECT_EQ(statements(1), 25U);
    EXPECT_EQ(statements(0), 25U);
    EXPECT_EQ(statements(1000), 1U);
    EXPECT_TRUE(undo_statements(customers, {}).empty());
}

TEST(UndoStatements, DamagedEntriesAreDefects) {
    const std::vector<UndoRow> rows{{{"1", "2"}, nullptr, &five}};
    EXPECT_ERROR(undo_statements(customers, rows), "TM999", "a row key of the change log does not fit its columns");
    const UndoColumn no_key{"s", "t", "c", "bigint", {}, {}};
    EXPECT_ERROR(undo_statements(no_key, rows), "TM999",
                 "key columns and key types of the change log differ in number");
    const UndoColumn no_type{"s", "t", "c", "bigint", {"a", "b"}, {"bigint"}};
    EXPECT_ERROR(undo_statements(no_type, rows), "TM999",
                 "key columns and key types of the change log differ in number");
}

// A line break in a name would end the comment, and the rest would be run.
TEST(UndoHead, NamesCannotLeaveTheComment) {
    const std::vector<std::string> head = undo_head("m\nDROP TABLE x;\r--", 7, "run=7\nDROP");
    EXPECT_NE(head.at(0).find("run 7 of the migration m?DROP TABLE x;?--."), std::string::npos) << head.at(0);
    EXPECT_EQ(head.at(1), "-- Digest of its change log: run=7?DROP");
    for (const std::string &line : head)
        EXPECT_EQ(line.find_first_of("\n\r"), std::string::npos) << line;
    EXPECT_NE(joined(head).find("\nBEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;\n"), std::string::npos);
}

TEST(UndoTail, ShowsTheCountsAndCommits) {
    const std::vector<std::string> tail = undo_tail();
    EXPECT_EQ(tail.back(), "COMMIT;");
    EXPECT_NE(joined(tail).find("nothing restored: no row holds what the run wrote"), std::string::npos);
}

} // namespace
} // namespace tenantmig::core

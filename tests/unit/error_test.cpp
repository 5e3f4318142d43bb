#include "core/error.hpp"
#include <gtest/gtest.h>

namespace tenantmig::core {
namespace {

TEST(Error, CarriesAllFourParts) {
    const Error error(sqlstate::no_source, "no evidence", "Found nothing.", "Name a source.");
    EXPECT_STREQ(error.state(), "TM011");
    EXPECT_STREQ(error.what(), "no evidence");
    EXPECT_EQ(error.message(), "no evidence");
    EXPECT_EQ(error.detail(), "Found nothing.");
    EXPECT_EQ(error.hint(), "Name a source.");
}

TEST(Error, DetailAndHintMayBeMissing) {
    const Error error(sqlstate::internal, "defect");
    EXPECT_EQ(error.detail(), "");
    EXPECT_EQ(error.hint(), "");
}

TEST(Error, IsCaughtAsStandardException) {
    try {
        throw Error(sqlstate::spec_invalid, "spec: broken");
    } catch (const std::exception &error) {
        EXPECT_STREQ(error.what(), "spec: broken");
    }
}

// The bridge packs the five characters; anything else would become XX000.
TEST(Error, StatesHaveFiveCharactersOfAnSqlstate) {
    for (const char *state : {sqlstate::spec_invalid,
                              sqlstate::conflict_found,
                              sqlstate::orphan_found,
                              sqlstate::plan_changed,
                              sqlstate::counts_changed,
                              sqlstate::log_tampered,
                              sqlstate::value_overridden,
                              sqlstate::no_source,
                              sqlstate::decision_invalid,
                              sqlstate::internal,
                              sqlstate::out_of_memory,
                              sqlstate::feature_not_supported,
                              sqlstate::null_value_not_allowed,
                              sqlstate::invalid_parameter_value,
                              sqlstate::invalid_text_representation,
                              sqlstate::foreign_key_violation,
                              sqlstate::insufficient_privilege,
                              sqlstate::invalid_name,
                              sqlstate::name_too_long,
                              sqlstate::undefined_column,
                              sqlstate::undefined_object,
                              sqlstate::duplicate_object,
                              sqlstate::datatype_mismatch,
                              sqlstate::wrong_object_type,
                              sqlstate::undefined_table,
                              sqlstate::generated_always,
                              sqlstate::prerequisite_state,
                              sqlstate::object_in_use,
                              sqlstate::read_only_transaction}) {
        const std::string_view text(state);
        EXPECT_EQ(text.size(), 5U) << text;
        EXPECT_EQ(text.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"), std::string_view::npos) << text;
    }
}

} // namespace
} // namespace tenantmig::core

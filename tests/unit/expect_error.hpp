// Assertions on errors: by SQLSTATE and text, as the users of the extension see them.
#pragma once
#include "core/error.hpp"
#include <gtest/gtest.h>
#include <string>

namespace tenantmig::core {

// Runs `action` and returns the error that it throws; fails if it throws none or another type.
template <class Action>
Error error_of(Action &&action) {
    try {
        action();
    } catch (const Error &error) {
        return error;
    } catch (const std::exception &error) {
        ADD_FAILURE() << "an exception that is no core::Error: " << error.what();
        return {"", ""};
    }
    ADD_FAILURE() << "no error";
    return {"", ""};
}

// The whole primary message; DETAIL and HINT by what must occur in them.
inline void expect_error(const Error &error, const std::string &state, const std::string &message,
                         const std::string &detail = {}, const std::string &hint = {}) {
    EXPECT_EQ(error.state(), state);
    EXPECT_EQ(error.message(), message);
    EXPECT_NE(error.detail().find(detail), std::string::npos) << "DETAIL: " << error.detail() << "\nwanted: " << detail;
    EXPECT_NE(error.hint().find(hint), std::string::npos) << "HINT: " << error.hint() << "\nwanted: " << hint;
}

} // namespace tenantmig::core

// A macro, so that a failure names the line of the test.
#define EXPECT_ERROR(action, ...)                                                                                      \
    do {                                                                                                               \
        SCOPED_TRACE(#action);                                                                                         \
        ::tenantmig::core::expect_error(::tenantmig::core::error_of([&] { static_cast<void>(action); }), __VA_ARGS__); \
    } while (false)

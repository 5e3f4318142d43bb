// The boundary between C++ and PostgreSQL: an ERROR becomes a C++ exception (pg_call), an exception becomes an ERROR
// (pg_entry). Neither ever crosses frames of the other kind.
#pragma once
#include "core/error.hpp"

#include "bridge/pg.hpp"

namespace tenantmig {

using core::Error;
namespace sqlstate = core::sqlstate;

// A PostgreSQL ERROR caught by pg_call(), whole: SQLSTATE, DETAIL, HINT, constraint and context survive.
class PgError final : public std::exception {
public:
    explicit PgError(ErrorData *data) noexcept : data_(data) {}
    const char *what() const noexcept override { return data_->message ? data_->message : "(no message)"; }
    ErrorData *data() const noexcept { return data_; }

private:
    ErrorData *data_; // palloc'd in the memory context of the pg_call
};

namespace detail {
// Nothing with a destructor may live in this frame or in those below it.
template <typename F, typename R>
[[gnu::noinline]] ErrorData *try_call(F *function, R *result) {
    MemoryContext volatile context = CurrentMemoryContext;
    ErrorData *volatile data = nullptr;
    PG_TRY();
    {
        if constexpr (std::is_void_v<R>)
            (*function)();
        else
            *result = (*function)();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        data = CopyErrorData();
        FlushErrorState();
    }
    PG_END_TRY();
    return data;
}
} // namespace detail

// C++ -> PostgreSQL. `function` calls PostgreSQL only, holds nothing with a destructor, and returns a trivially
// copyable value. Throws PgError.
template <typename F>
auto pg_call(F &&function) -> std::invoke_result_t<F &> {
    using Result = std::invoke_result_t<F &>;
    if constexpr (std::is_void_v<Result>) {
        if (ErrorData *data = detail::try_call<std::remove_reference_t<F>, void>(&function, nullptr))
            throw PgError(data);
    } else {
        static_assert(std::is_trivially_copyable_v<Result>, "only plain data crosses the boundary");
        Result result{};
        if (ErrorData *data = detail::try_call<std::remove_reference_t<F>, Result>(&function, &result))
            throw PgError(data);
        return result;
    }
}

namespace detail {
// What is to be reported once every C++ frame has been left. Strings are palloc'd: an exception object must not be
// alive then.
struct Report {
    ErrorData *data = nullptr;
    int sqlstate = 0;
    char *message = nullptr, *detail = nullptr, *hint = nullptr;
};
void describe_current_exception(Report *report) noexcept;
[[noreturn]] void raise(const Report *report);
} // namespace detail

// PostgreSQL -> C++. Lets no exception out; reports after the handler has been left, so that the exception object is
// freed.
template <typename F>
Datum pg_entry(F &&function) {
    detail::Report report;
    try {
        return function();
    } catch (...) {
        detail::describe_current_exception(&report);
    }
    detail::raise(&report);
}

} // namespace tenantmig

// Defines an SQL-callable function whose body is C++: arguments in `fcinfo`, a Datum out, exceptions allowed.
#define TENANTMIG_FUNCTION(name)                                                                                       \
    extern "C" {                                                                                                       \
    PG_FUNCTION_INFO_V1(name);                                                                                         \
    }                                                                                                                  \
    static Datum name##_body(FunctionCallInfo fcinfo);                                                                 \
    extern "C" PGDLLEXPORT Datum name(PG_FUNCTION_ARGS) {                                                              \
        return tenantmig::pg_entry([fcinfo] { return name##_body(fcinfo); });                                          \
    }                                                                                                                  \
    static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)

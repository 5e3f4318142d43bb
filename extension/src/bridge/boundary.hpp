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
    PgError(ErrorData *data, MemoryContext home) noexcept : data_(data), home_(home) {}
    PgError(PgError &&other) noexcept : data_(other.data_), home_(std::exchange(other.home_, nullptr)) {}
    ~PgError() override {
        if (home_) MemoryContextDelete(home_);
    }
    const char *what() const noexcept override { return data_->message ? data_->message : "(no message)"; }
    ErrorData *data() const noexcept { return data_; }

private:
    // In memory of its own: on its way up the exception passes the end of executors, SPI connections and
    // subtransactions, and whatever was current at the pg_call goes with those.
    ErrorData *data_;
    MemoryContext home_;
};

namespace detail {
struct Caught {
    bool failed = false;
    ErrorData *data = nullptr; // NULL after a failure: there was no memory even for the error
    MemoryContext home = nullptr;
};
// In a PG_CATCH: takes the error off PostgreSQL's stack of errors.
void take_error(Caught *caught);
[[noreturn]] void throw_error(const Caught &caught);

// Nothing with a destructor may live in this frame or in those below it.
template <typename F, typename R>
[[gnu::noinline]] void try_call(F *function, R *result, Caught *caught) {
    MemoryContext volatile context = CurrentMemoryContext;
    PG_TRY();
    {
        if constexpr (std::is_void_v<R>)
            (*function)();
        else
            *result = (*function)();
    }
    PG_CATCH();
    {
        take_error(caught);
        MemoryContextSwitchTo(context);
    }
    PG_END_TRY();
}
} // namespace detail

// C++ -> PostgreSQL. `function` calls PostgreSQL only, holds nothing with a destructor, and returns a trivially
// copyable value. Throws PgError.
template <typename F>
auto pg_call(F &&function) -> std::invoke_result_t<F &> {
    using Result = std::invoke_result_t<F &>;
    detail::Caught caught;
    if constexpr (std::is_void_v<Result>) {
        detail::try_call<std::remove_reference_t<F>, void>(&function, nullptr, &caught);
        if (caught.failed) detail::throw_error(caught);
    } else {
        static_assert(std::is_trivially_copyable_v<Result>, "only plain data crosses the boundary");
        Result result{};
        detail::try_call<std::remove_reference_t<F>, Result>(&function, &result, &caught);
        if (caught.failed) detail::throw_error(caught);
        return result;
    }
}

namespace detail {
// What is to be reported once every C++ frame has been left, in memory of the (sub)transaction that the report ends: an
// exception object must not be alive then.
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

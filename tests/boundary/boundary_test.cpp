// A module for the tests of the boundary only (sql/boundary.sql), linked from the bridge's own objects and never
// installed. It does on purpose what the product must survive: exceptions of all kinds, PostgreSQL errors below C++
// frames with destructors, callbacks that throw, errors that are swallowed.
#include "failures.hpp"

#include "bridge/memory.hpp"
#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"

using namespace tenantmig;
using namespace tenantmig::test;

namespace {
std::string argument(FunctionCallInfo call, int number) {
    return Arguments(call).text(number, "argument");
}

int count_argument(FunctionCallInfo call, int number) {
    return DatumGetInt32(call->args[number].value);
}

// C++ frames with destructors, one below the other; the failure happens in the deepest.
void fail_below(int frames, const std::string &kind) {
    Live object;
    if (frames > 0)
        fail_below(frames - 1, kind);
    else
        fail(kind);
}

// Rows 1 to 10, handed to a callback that fails at row `at` (0: at none). Returns how many rows the callback saw.
void read_rows(const std::string &way, const RowFunction &on_row) {
    static constexpr char rows[] = "SELECT n FROM pg_catalog.generate_series(1, 10) AS n";
    if (way == "stream") {
        stream_query(rows, {}, on_row);
    } else if (way == "cursor") {
        Cursor cursor(rows, {});
        while (cursor.fetch(3, on_row) > 0) {
        }
    } else if (way == "statement") {
        Statement(rows, {}).execute({}, on_row);
    } else if (way == "returning") { // AFTER triggers and constraint checks are still to come when the callback throws
        Statement("UPDATE boundary.written SET n = n + 100 RETURNING n - 100", {}).execute({}, on_row);
    } else {
        throw Error(sqlstate::invalid_parameter_value, "no such way to read rows", way, "Read boundary_test.cpp.");
    }
}
} // namespace

TENANTMIG_FUNCTION(boundary_live) {
    return Int32GetDatum(Live::count);
}

TENANTMIG_FUNCTION(boundary_fail) {
    fail_below(count_argument(fcinfo, 1), argument(fcinfo, 0));
    return static_cast<Datum>(0);
}

// The failure happens in SQL that C++ calls, below objects with destructors and an open SPI connection.
TENANTMIG_FUNCTION(boundary_query) {
    std::string sql = argument(fcinfo, 0);
    Live object;
    SpiSession spi;
    Live inner;
    Rows rows = run_query(sql);
    return Int64GetDatum(static_cast<std::int64_t>(rows.size()));
}

// C++ -> SPI -> C++ -> …: each level is an entry of its own. At the bottom: the failure.
TENANTMIG_FUNCTION(boundary_nest) {
    int levels = count_argument(fcinfo, 1);
    std::string kind = argument(fcinfo, 0);
    Live object;
    if (levels == 0) {
        fail(kind);
    } else {
        SpiSession spi;
        run_query("SELECT boundary.nest($1, $2)", {text_value(kind), int_value(levels - 1)});
    }
    return static_cast<Datum>(0);
}

// A callback that fails at a row: the failure reaches the caller, once PostgreSQL's frames have been left.
TENANTMIG_FUNCTION(boundary_callback) {
    std::string way = argument(fcinfo, 0), kind = argument(fcinfo, 1);
    int at = count_argument(fcinfo, 2), seen = 0;
    Live object;
    SpiSession spi;
    read_rows(way, [&](TupleTableSlot *) {
        Live inner;
        if (++seen == at) fail(kind);
        return true;
    });
    return Int32GetDatum(seen);
}

// The same, caught inside C++ without any subtransaction: that is sound for an exception, since PostgreSQL's executor
// was told to stop and ended in order. Says what was caught, how many rows the callback saw, and what SPI answers
// afterwards.
TENANTMIG_FUNCTION(boundary_callback_caught) {
    std::string way = argument(fcinfo, 0), kind = argument(fcinfo, 1), caught = "nothing";
    int at = count_argument(fcinfo, 2), seen = 0;
    MemoryContext caller = CurrentMemoryContext;
    std::string result;
    {
        SpiSession spi;
        try {
            read_rows(way, [&](TupleTableSlot *) {
                Live inner;
                if (++seen == at) fail(kind);
                return true;
            });
        } catch (const Error &error) {
            caught = error.state();
        } catch (const std::exception &error) {
            caught = error.what();
        } catch (...) {
            caught = "something else";
        }
        Rows rows = run_query("SELECT pg_catalog.count(*) FROM pg_catalog.generate_series(1, 42)");
        result = fmt::format("caught {}, rows seen {}, afterwards {}", caught, seen, rows.bigint(0, 1));
    }
    MemoryContextSwitchTo(caller);
    return text_result(result);
}

// Swallows the failure of `sql` in a subtransaction, `times` times; the session goes on. Says what the last error was
// and whether memory context, resource owner and SPI are as before.
TENANTMIG_FUNCTION(boundary_swallow) {
    std::string sql = argument(fcinfo, 0), last = "no error";
    int times = count_argument(fcinfo, 1), swallowed = 0;
    MemoryContext caller = CurrentMemoryContext;
    std::string result;
    {
        SpiSession spi;
        MemoryContext context = CurrentMemoryContext;
        ResourceOwner owner = CurrentResourceOwner;
        int level = pg_call([] { return GetCurrentTransactionNestLevel(); });
        bool same = true;
        for (int i = 0; i < times; i++) {
            MemoryScope scope;
            try {
                Subtransaction attempt;
                Live object;
                run_query(sql);
                attempt.commit();
            } catch (const PgError &error) {
                last = fmt::format("{}: {}", state_text(error.data()->sqlerrcode), error.what());
                swallowed++;
            }
            same = same && CurrentResourceOwner == owner && level == GetCurrentTransactionNestLevel();
        }
        same = same && CurrentMemoryContext == context;
        Rows rows = run_query("SELECT pg_catalog.count(*) FROM boundary.written");
        result = fmt::format("swallowed {}, last {}, as before: {}, rows {}", swallowed, last, same, rows.bigint(0, 1));
    }
    MemoryContextSwitchTo(caller);
    return text_result(result);
}

// A subtransaction that nobody commits undoes its work, also when a C++ exception leaves it.
TENANTMIG_FUNCTION(boundary_undo) {
    std::string kind = argument(fcinfo, 0);
    SpiSession spi;
    try {
        Subtransaction attempt;
        run_query("INSERT INTO boundary.written VALUES (1000)");
        if (kind == "undo")
            attempt.undo();
        else
            fail(kind);
    } catch (...) { // what is left of it is the test
    }
    Rows rows = run_query("SELECT pg_catalog.count(*) FROM boundary.written WHERE n = 1000");
    return Int64GetDatum(rows.bigint(0, 1));
}

// Rows in materialise mode, and a failure after the first of them.
TENANTMIG_FUNCTION(boundary_rows) {
    std::string kind = argument(fcinfo, 0);
    ResultSet rows(fcinfo);
    rows.add({"1", "one"});
    if (kind == "cells")
        rows.add({"2"});
    else if (kind == "type")
        rows.add({"two", "two"});
    else
        fail(kind);
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(boundary_say) {
    std::string words = argument(fcinfo, 0);
    notice(words);
    warning(words, words, words);
    return static_cast<Datum>(0);
}

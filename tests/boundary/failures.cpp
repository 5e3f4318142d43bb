#include "failures.hpp"

#include <stdexcept>

namespace tenantmig::test {

int Live::count = 0;

namespace {
// A PostgreSQL error with every field that an error can have.
void report_all_fields() {
    pg_call([] {
        ereport(ERROR,
                (errcode(ERRCODE_CHECK_VIOLATION), errmsg("a message with 100 %% and %s", "ünïcödé 🐘"),
                 errdetail("the detail"), errhint("the hint"), err_generic_string(PG_DIAG_SCHEMA_NAME, "a schema"),
                 err_generic_string(PG_DIAG_TABLE_NAME, "a table"), err_generic_string(PG_DIAG_COLUMN_NAME, "a column"),
                 err_generic_string(PG_DIAG_DATATYPE_NAME, "a type"),
                 err_generic_string(PG_DIAG_CONSTRAINT_NAME, "a constraint"), errcontext("the context")));
    });
}

// One that does not fit into the first block of a memory context: it is noticed when that memory was given back too
// soon.
void report_long() {
    pg_call([] {
        char *text = static_cast<char *>(palloc(2000001));
        memset(text, 'm', 2000000);
        text[2000000] = '\0';
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg_internal("%s", text), errdetail_internal("%s", text)));
    });
}

// More than can be had, so that the real operator new fails; volatile: the compiler must not see through it.
std::size_t volatile too_much = std::size_t{1} << 46;

void allocate_with_postgres(int flags, std::size_t bytes) {
    pg_call([flags, bytes] { (void)palloc_extended(bytes, flags); });
}
} // namespace

void fail(const std::string &kind) {
    Live object;
    if (kind == "exception") throw std::runtime_error("a standard exception with 100 %s");
    if (kind == "error")
        throw Error("TM001", "an error with 100 %s and ünïcödé 🐘", "its detail: %d\nsecond line", "its hint: %m");
    if (kind == "plain error") throw Error("22023", "an error without more");
    if (kind == "long error")
        throw Error("TM002", std::string(2'000'000, 'm'), std::string(2'000'000, 'd'), std::string(2'000'000, 'h'));
    if (kind == "int") throw 42; // NOLINT(hicpp-exception-baseclass): on purpose
    if (kind == "text") throw "a text";
    if (kind == "bad_alloc") throw std::bad_alloc();
    if (kind == "vector") (void)std::vector<char>(too_much);
    if (kind == "resize") std::vector<char>().resize(SIZE_MAX);
    if (kind == "string") (void)std::string("x").at(too_much);
    if (kind == "optional") (void)std::optional<int>().value();
    if (kind == "palloc") allocate_with_postgres(0, std::size_t{1} << 31);
    if (kind == "huge palloc") allocate_with_postgres(MCXT_ALLOC_HUGE, too_much);
    if (kind == "ereport") report_all_fields();
    if (kind == "long ereport") report_long();
    if (kind == "interrupt")
        for (;;) {
            Live inner;
            pg_call([] {
                CHECK_FOR_INTERRUPTS();
                pg_usleep(1000);
            });
        }
    if (kind == "nested") { // an exception on its way while another is handled
        try {
            throw std::runtime_error("the first");
        } catch (const std::exception &) {
            report_all_fields();
        }
    }
}

std::string state_text(int code) {
    std::string text;
    for (int i = 0; i < 5; i++, code >>= 6)
        text += static_cast<char>(PGUNSIXBIT(code));
    return text;
}

} // namespace tenantmig::test

#include "bridge/boundary.hpp"

extern "C" {
PG_MODULE_MAGIC;
}

namespace tenantmig::detail {

namespace {
// Never throw and never report: NULL when memory is short. Not in CurrentMemoryContext, which the error may have left
// pointing anywhere.
void *copy_bytes(const void *bytes, std::size_t size) noexcept {
    MemoryContext context = CurTransactionContext ? CurTransactionContext : TopMemoryContext;
    void *copy = MemoryContextAllocExtended(context, size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
    if (copy) std::memcpy(copy, bytes, size);
    return copy;
}
char *copy_text(const char *text) noexcept {
    return static_cast<char *>(copy_bytes(text, std::strlen(text) + 1));
}
ErrorData *copy_error(const ErrorData *error) noexcept {
    auto *copy = static_cast<ErrorData *>(copy_bytes(error, sizeof *error));
    if (!copy) return nullptr;
    for (char **text : {&copy->message, &copy->detail, &copy->detail_log, &copy->hint, &copy->context, &copy->backtrace,
                        &copy->schema_name, &copy->table_name, &copy->column_name, &copy->datatype_name,
                        &copy->constraint_name, &copy->internalquery})
        if (*text) *text = copy_text(*text);
    return copy;
}
int encode_state(const char *state) noexcept {
    return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}
} // namespace

void take_error(Caught *caught) {
    MemoryContext volatile home = nullptr;
    ErrorData *volatile data = nullptr;
    PG_TRY();
    {
        home = AllocSetContextCreate(TopMemoryContext, "tenantmig error", ALLOCSET_SMALL_SIZES);
        MemoryContextSwitchTo(home);
        data = CopyErrorData();
    }
    PG_CATCH();
    {
        data = nullptr; // out of memory while the error was copied
    }
    PG_END_TRY();
    FlushErrorState();
    caught->failed = true;
    caught->data = data;
    caught->home = home;
}

void throw_error(const Caught &caught) {
    if (caught.data) throw PgError(caught.data, caught.home);
    if (caught.home) MemoryContextDelete(caught.home);
    throw std::bad_alloc();
}

void describe_current_exception(Report *report) noexcept {
    report->sqlstate = encode_state(sqlstate::internal);
    try {
        throw;
    } catch (const PgError &error) {
        // PostgreSQL calls a request beyond palloc's limit an internal error; it is a lack of memory like any other.
        static constexpr char too_large[] = "invalid memory alloc request size";
        ErrorData *data = error.data();
        if (data->sqlerrcode == ERRCODE_INTERNAL_ERROR && data->message &&
            std::strncmp(data->message, too_large, sizeof too_large - 1) == 0)
            data->sqlerrcode = ERRCODE_OUT_OF_MEMORY;
        if (data->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && !data->hint)
            data->hint = const_cast<char *>("Another session holds a row or table that this needs; nothing was "
                                            "changed. Call again, or set lock_timeout to wait longer.");
        report->data = copy_error(data);
        report->sqlstate = ERRCODE_OUT_OF_MEMORY; // for want of a copy
    } catch (const Error &error) {
        report->sqlstate = encode_state(error.state());
        report->message = copy_text(error.what());
        if (!error.detail().empty()) report->detail = copy_text(error.detail().c_str());
        if (!error.hint().empty()) report->hint = copy_text(error.hint().c_str());
    } catch (const std::bad_alloc &) {
        report->sqlstate = encode_state(sqlstate::out_of_memory);
        report->message = copy_text("out of memory");
    } catch (const std::exception &error) {
        report->message = copy_text(error.what());
        report->hint = copy_text("This is a defect of tenantmig; nothing was changed.");
    } catch (...) {
        report->message = copy_text("unexpected C++ exception");
        report->hint = copy_text("This is a defect of tenantmig; nothing was changed.");
    }
}

void raise(const Report *report) {
    if (report->data) ReThrowError(report->data);
    ereport(ERROR,
            (errcode(report->sqlstate), errmsg_internal("%s", report->message ? report->message : "out of memory"),
             report->detail ? errdetail_internal("%s", report->detail) : 0,
             report->hint ? errhint("%s", report->hint) : 0));
    pg_unreachable();
}

} // namespace tenantmig::detail

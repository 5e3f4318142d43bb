#include "bridge/boundary.hpp"

extern "C" {
PG_MODULE_MAGIC;
}

namespace tenantmig::detail {

namespace {
// Never throws and never reports: NULL when memory is short.
char *copy_text(const char *text) noexcept {
    std::size_t size = std::strlen(text) + 1;
    char *copy = static_cast<char *>(palloc_extended(size, MCXT_ALLOC_NO_OOM));
    if (copy) std::memcpy(copy, text, size);
    return copy;
}
int encode_state(const char *state) noexcept {
    return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}
} // namespace

void describe_current_exception(Report *report) noexcept {
    report->sqlstate = encode_state(sqlstate::internal);
    try {
        throw;
    } catch (const PgError &error) {
        report->data = error.data();
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

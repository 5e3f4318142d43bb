#include "bridge/sql.hpp"

namespace tenantmig {

// ---- session, quoting

SpiSession::SpiSession() : exceptions_(std::uncaught_exceptions()) {
    pg_call([] { SPI_connect(); });
}

SpiSession::~SpiSession() {
    if (std::uncaught_exceptions() > exceptions_) return;
    try {
        pg_call([] { SPI_finish(); });
    } catch (...) { // only if the stack of connections is broken; the transaction's end cleans up
    }
}

std::string quoted(std::string_view identifier) {
    std::string name(identifier);
    const char *text = name.c_str();
    return pg_call([text] { return quote_identifier(text); });
}

std::string qualified(std::string_view schema, std::string_view name) {
    return quoted(schema) + "." + quoted(name);
}

// ---- values

Value text_value(std::string_view text) {
    const char *data = text.data();
    int size = static_cast<int>(text.size());
    return {TEXTOID, pg_call([data, size] { return PointerGetDatum(cstring_to_text_with_len(data, size)); }), false};
}

Value optional_text(const std::optional<std::string> &text) {
    return text ? text_value(*text) : null_value(TEXTOID);
}

Value bigint_value(std::int64_t number) {
    return {INT8OID, Int64GetDatum(number), false};
}

Value int_value(std::int32_t number) {
    return {INT4OID, Int32GetDatum(number), false};
}

Value boolean_value(bool flag) {
    return {BOOLOID, BoolGetDatum(flag), false};
}

Value bytea_value(std::span<const std::uint8_t> bytes) {
    const void *data = bytes.data();
    std::size_t size = bytes.size();
    return {BYTEAOID, pg_call([data, size] {
                bytea *copy = static_cast<bytea *>(palloc(VARHDRSZ + size));
                SET_VARSIZE(copy, VARHDRSZ + size);
                memcpy(VARDATA(copy), data, size);
                return PointerGetDatum(copy);
            }),
            false};
}

Value timestamp_value(TimestampTz time) {
    return {TIMESTAMPTZOID, TimestampTzGetDatum(time), false};
}

Value null_value(Oid type) {
    return {type, 0, true};
}

namespace {
// An array of text; `get(i)` gives the element, its data pointer NULL for NULL.
template <typename Get>
Value make_text_array(std::size_t count, Get get) {
    std::vector<Datum> datums(count);
    auto nulls = std::make_unique<bool[]>(count + 1);
    for (std::size_t i = 0; i < count; i++) {
        std::string_view view = get(i);
        nulls[i] = view.data() == nullptr;
        if (!nulls[i]) {
            const char *data = view.data();
            int size = static_cast<int>(view.size());
            datums[i] = pg_call([data, size] { return PointerGetDatum(cstring_to_text_with_len(data, size)); });
        }
    }
    Datum *values = datums.data();
    bool *isnull = nulls.get();
    int n = static_cast<int>(count);
    Datum array = pg_call([values, isnull, n] {
        int dims[1] = {n}, lower[1] = {1};
        if (n == 0) return PointerGetDatum(construct_empty_array(TEXTOID));
        return PointerGetDatum(construct_md_array(values, isnull, 1, dims, lower, TEXTOID, -1, false, TYPALIGN_INT));
    });
    return {TEXTARRAYOID, array, false};
}
} // namespace

Value text_array_value(std::span<const std::string> values) {
    return make_text_array(values.size(), [values](std::size_t i) { return std::string_view(values[i]); });
}

Value text_array_value(std::span<const std::optional<std::string>> values) {
    return make_text_array(values.size(), [values](std::size_t i) {
        return values[i] ? std::string_view(*values[i]) : std::string_view();
    });
}

std::string_view text_view(Datum text) {
    struct varlena *value = pg_call([text] { return PG_DETOAST_DATUM_PACKED(text); });
    return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

// ---- parameters and results

namespace {
ParamListInfo make_params(std::span<const Value> values) {
    if (values.empty()) return nullptr;
    const Value *first = values.data();
    int count = static_cast<int>(values.size());
    return pg_call([first, count] {
        ParamListInfo params = makeParamList(count);
        for (int i = 0; i < count; i++) {
            params->params[i].value = first[i].datum;
            params->params[i].isnull = first[i].null;
            params->params[i].pflags = PARAM_FLAG_CONST;
            params->params[i].ptype = first[i].type;
        }
        return params;
    });
}

[[noreturn]] void spi_failed(const char *what, int code) {
    throw Error(sqlstate::internal, fmt::format("{} failed: {}", what, SPI_result_code_string(code)));
}

// A DestReceiver that hands rows to a C++ function and keeps its exception until PostgreSQL's frames have been left.
struct FunctionReceiver {
    DestReceiver base;
    const RowFunction *function;
    std::exception_ptr error;
    std::uint64_t rows;
};

bool receive_slot(TupleTableSlot *slot, DestReceiver *self) noexcept {
    auto *receiver = reinterpret_cast<FunctionReceiver *>(self);
    if (receiver->error) return false;
    try {
        receiver->rows++;
        return (*receiver->function)(slot);
    } catch (...) {
        receiver->error = std::current_exception();
        return false;
    }
}

void ignore_startup(DestReceiver *, int, TupleDesc) {}
void ignore(DestReceiver *) {}

void init_receiver(FunctionReceiver *receiver, const RowFunction &function) {
    receiver->base.receiveSlot = receive_slot;
    receiver->base.rStartup = ignore_startup;
    receiver->base.rShutdown = ignore;
    receiver->base.rDestroy = ignore;
    receiver->base.mydest = DestNone;
    receiver->function = &function;
    receiver->rows = 0;
}
} // namespace

Rows run_query(const std::string &sql, std::span<const Value> values, bool read_only, long limit) {
    const char *text = sql.c_str();
    SPIExecuteOptions options = {};
    options.params = make_params(values);
    options.read_only = read_only;
    options.tcount = static_cast<std::uint64_t>(limit);
    int code = pg_call([text, &options] { return SPI_execute_extended(text, &options); });
    if (code < 0) spi_failed("SPI_execute_extended", code);
    Rows rows;
    rows.table_ = SPI_tuptable;
    rows.size_ = SPI_processed;
    return rows;
}

void stream_query(const std::string &sql, std::span<const Value> values, const RowFunction &on_row) {
    const char *text = sql.c_str();
    FunctionReceiver receiver = {};
    init_receiver(&receiver, on_row);
    SPIExecuteOptions options = {};
    options.params = make_params(values);
    options.read_only = true;
    options.dest = &receiver.base;
    int code = pg_call([text, &options] { return SPI_execute_extended(text, &options); });
    if (receiver.error) std::rethrow_exception(receiver.error);
    if (code < 0) spi_failed("SPI_execute_extended", code);
}

Datum Rows::datum(std::size_t row, int column, bool *null) const {
    if (!table_ || row >= size_) throw Error(sqlstate::internal, "a row was read that the query did not return");
    SPITupleTable *table = table_;
    return pg_call(
        [table, row, column, null] { return SPI_getbinval(table->vals[row], table->tupdesc, column, null); });
}

bool Rows::is_null(std::size_t row, int column) const {
    bool null = false;
    (void)datum(row, column, &null);
    return null;
}

std::optional<std::string> Rows::text(std::size_t row, int column) const {
    if (is_null(row, column)) return std::nullopt;
    SPITupleTable *table = table_;
    char *value = pg_call([table, row, column] { return SPI_getvalue(table->vals[row], table->tupdesc, column); });
    return std::string(value);
}

std::string Rows::text_or(std::size_t row, int column, std::string fallback) const {
    auto value = text(row, column);
    return value ? *value : fallback;
}

std::int64_t Rows::bigint(std::size_t row, int column) const {
    bool null = false;
    Datum value = datum(row, column, &null);
    if (null) return 0;
    return SPI_gettypeid(table_->tupdesc, column) == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
}

bool Rows::boolean(std::size_t row, int column) const {
    bool null = false;
    Datum value = datum(row, column, &null);
    return !null && DatumGetBool(value);
}

std::vector<std::optional<std::string>> Rows::nullable_text_array(std::size_t row, int column) const {
    std::vector<std::optional<std::string>> result;
    bool null = false;
    Datum value = datum(row, column, &null);
    if (null) return result;
    struct Parts {
        Datum *values;
        bool *nulls;
        int count;
    };
    Parts parts = pg_call([value] {
        Parts out;
        deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &out.values, &out.nulls,
                          &out.count);
        return out;
    });
    result.reserve(static_cast<std::size_t>(parts.count));
    for (int i = 0; i < parts.count; i++)
        result.push_back(parts.nulls[i] ? std::nullopt : std::optional<std::string>(text_view(parts.values[i])));
    return result;
}

std::vector<std::string> Rows::text_array(std::size_t row, int column) const {
    std::vector<std::string> result;
    for (auto &value : nullable_text_array(row, column))
        result.push_back(value ? std::move(*value) : std::string());
    return result;
}

// ---- prepared statements and cursors

Statement::Statement(const std::string &sql, std::span<const Oid> types) {
    const char *text = sql.c_str();
    Oid *argtypes = const_cast<Oid *>(types.data());
    int count = static_cast<int>(types.size());
    plan_ = pg_call([text, argtypes, count] {
        SPIPlanPtr plan = SPI_prepare(text, count, argtypes);
        if (plan) SPI_keepplan(plan);
        return plan;
    });
    if (!plan_) spi_failed("SPI_prepare", SPI_result);
}

Statement::~Statement() {
    try {
        pg_call([plan = plan_] { SPI_freeplan(plan); });
    } catch (...) { // freeing memory only
    }
}

std::uint64_t Statement::execute(std::span<const Value> values, const RowFunction &on_row) {
    FunctionReceiver receiver = {};
    init_receiver(&receiver, on_row);
    SPIExecuteOptions options = {};
    options.params = make_params(values);
    options.dest = &receiver.base;
    int code = pg_call([plan = plan_, &options] { return SPI_execute_plan_extended(plan, &options); });
    if (receiver.error) std::rethrow_exception(receiver.error);
    if (code < 0) spi_failed("SPI_execute_plan_extended", code);
    return SPI_processed;
}

Cursor::Cursor(const std::string &sql, std::span<const Value> values) {
    const char *text = sql.c_str();
    ParamListInfo params = make_params(values);
    portal_ = pg_call([text, params] {
        SPIParseOpenOptions options = {};
        options.params = params;
        options.cursorOptions = CURSOR_OPT_NO_SCROLL;
        options.read_only = true;
        return SPI_cursor_parse_open(nullptr, text, &options);
    });
}

Cursor::~Cursor() {
    if (std::uncaught_exceptions() > 0) return; // the portal goes with its (sub)transaction
    try {
        pg_call([portal = portal_] { SPI_cursor_close(portal); });
    } catch (...) { // likewise
    }
}

TupleDesc Cursor::descriptor() const {
    return portal_->tupDesc;
}

std::uint64_t Cursor::fetch(long count, const RowFunction &on_row) {
    FunctionReceiver receiver = {};
    init_receiver(&receiver, on_row);
    pg_call(
        [portal = portal_, count, &receiver] { return PortalRunFetch(portal, FETCH_FORWARD, count, &receiver.base); });
    if (receiver.error) std::rethrow_exception(receiver.error);
    return receiver.rows;
}

// ---- text forms

TextOutput::TextOutput(Oid type) {
    FmgrInfo *function = &function_;
    pg_call([type, function] {
        Oid output;
        bool varlena;
        getTypeOutputInfo(type, &output, &varlena);
        fmgr_info(output, function);
    });
}

std::string TextOutput::operator()(Datum value) {
    FmgrInfo *function = &function_;
    char *text = pg_call([function, value] { return OutputFunctionCall(function, value); });
    std::string result(text);
    pfree(text);
    return result;
}

Datum datum_from_text(Oid type, std::int32_t typmod, const std::string &text) {
    char *data = const_cast<char *>(text.c_str());
    return pg_call([type, typmod, data] {
        Oid input, ioparam;
        getTypeInputInfo(type, &input, &ioparam);
        return OidInputFunctionCall(input, data, ioparam, typmod);
    });
}

} // namespace tenantmig

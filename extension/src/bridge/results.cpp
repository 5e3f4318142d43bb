#include "bridge/results.hpp"

namespace tenantmig {

void Arguments::require(int number, const char *name) const {
    if (is_null(number))
        throw Error(sqlstate::null_value_not_allowed, fmt::format("argument \"{}\" must not be null", name), {},
                    fmt::format("Give a value for \"{}\".", name));
}

std::optional<std::string> Arguments::optional_text(int number) const {
    if (is_null(number)) return std::nullopt;
    return std::string(text_view(call_->args[number].value));
}

std::string Arguments::text(int number, const char *name) const {
    require(number, name);
    return *optional_text(number);
}

std::int64_t Arguments::bigint(int number, const char *name) const {
    require(number, name);
    return DatumGetInt64(call_->args[number].value);
}

bool Arguments::boolean(int number, const char *name) const {
    require(number, name);
    return DatumGetBool(call_->args[number].value);
}

double Arguments::numeric(int number, const char *name) const {
    require(number, name);
    Datum value = call_->args[number].value;
    return pg_call([value] { return DatumGetFloat8(DirectFunctionCall1(numeric_float8, value)); });
}

std::optional<std::string> Arguments::optional_json(int number) const {
    if (is_null(number)) return std::nullopt;
    Datum value = call_->args[number].value;
    char *text = pg_call([value] {
        Jsonb *document = DatumGetJsonbP(value);
        return JsonbToCString(nullptr, &document->root, static_cast<int>(VARSIZE(document)));
    });
    return std::string(text);
}

std::string Arguments::json(int number, const char *name) const {
    require(number, name);
    return *optional_json(number);
}

ResultSet::ResultSet(FunctionCallInfo call) : info_(reinterpret_cast<ReturnSetInfo *>(call->resultinfo)) {
    pg_call([call] { InitMaterializedSRF(call, 0); });
    TupleDesc descriptor = info_->setDesc;
    for (int i = 0; i < descriptor->natts; i++) {
        Oid type = TupleDescAttr(descriptor, i)->atttypid;
        struct Input {
            Oid function, ioparam;
        };
        Input input = pg_call([type] {
            Input out;
            getTypeInputInfo(type, &out.function, &out.ioparam);
            return out;
        });
        inputs_.push_back(input.function);
        ioparams_.push_back(input.ioparam);
    }
}

void ResultSet::add(std::span<const std::optional<std::string>> cells) {
    TupleDesc descriptor = info_->setDesc;
    auto count = static_cast<std::size_t>(descriptor->natts);
    if (cells.size() != count)
        throw Error(sqlstate::internal, fmt::format("a result row has {} cells for {} columns", cells.size(), count));
    std::vector<Datum> values(count);
    auto nulls = std::make_unique<bool[]>(count);
    for (std::size_t i = 0; i < count; i++) {
        nulls[i] = !cells[i];
        if (nulls[i]) continue;
        char *text = const_cast<char *>(cells[i]->c_str());
        Oid function = inputs_[i], ioparam = ioparams_[i];
        values[i] = pg_call([function, text, ioparam] { return OidInputFunctionCall(function, text, ioparam, -1); });
    }
    Datum *data = values.data();
    bool *isnull = nulls.get();
    Tuplestorestate *store = info_->setResult;
    pg_call([store, descriptor, data, isnull] { tuplestore_putvalues(store, descriptor, data, isnull); });
}

void ResultSet::add(std::initializer_list<std::optional<std::string>> cells) {
    add(std::span<const std::optional<std::string>>(cells.begin(), cells.size()));
}

Datum text_result(std::string_view text) {
    return text_value(text).datum;
}

void notice(const std::string &message) {
    const char *text = message.c_str();
    pg_call([text] { ereport(NOTICE, (errmsg_internal("%s", text))); });
}

void warning(const std::string &message, const std::string &detail, const std::string &hint) {
    const char *text = message.c_str(), *more = detail.c_str(), *next = hint.c_str();
    pg_call([text, more, next] {
        ereport(WARNING, (errmsg_internal("%s", text), errdetail_internal("%s", more), errhint("%s", next)));
    });
}

} // namespace tenantmig

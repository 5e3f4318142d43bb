#include "bridge/text_input.hpp"

namespace tenantmig {

TextInput::TextInput(Oid type, std::int32_t typmod) : function_(), typmod_(typmod) {
    FmgrInfo *function = &function_;
    Oid *ioparam = &ioparam_;
    pg_call([type, function, ioparam] {
        Oid input;
        getTypeInputInfo(type, &input, ioparam);
        fmgr_info(input, function);
    });
}

Datum TextInput::operator()(const std::string &text) {
    FmgrInfo *function = &function_;
    char *data = const_cast<char *>(text.c_str());
    Oid ioparam = ioparam_;
    std::int32_t typmod = typmod_;
    return pg_call([function, data, ioparam, typmod] { return InputFunctionCall(function, data, ioparam, typmod); });
}

} // namespace tenantmig

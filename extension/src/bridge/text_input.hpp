// Values from their text form, many of one type.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

// Looks up a type's input function once. Errors of the function (22P02 …) pass through. Its state lies in the memory
// context that was current when it was made.
class TextInput {
public:
    TextInput(Oid type, std::int32_t typmod);
    Datum operator()(const std::string &text);

private:
    FmgrInfo function_;
    Oid ioparam_ = InvalidOid;
    std::int32_t typmod_;
};

} // namespace tenantmig

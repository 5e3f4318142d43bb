#include "bridge/type_name.hpp"

extern "C" {
#include "parser/parse_type.h"
}

namespace tenantmig {

NamedType type_by_name(const std::string &written) {
    struct Plain {
        Oid oid;
        std::int32_t typmod;
        bool pseudo;
        const char *sql;
    };
    const Plain plain = pg_call([text = written.c_str()] {
        Plain out = {};
        parseTypeString(text, &out.oid, &out.typmod, false);
        out.pseudo = get_typtype(out.oid) == TYPTYPE_PSEUDO;
        out.sql = format_type_extended(out.oid, out.typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
        return out;
    });
    return {plain.oid, plain.typmod, plain.pseudo, plain.sql};
}

} // namespace tenantmig

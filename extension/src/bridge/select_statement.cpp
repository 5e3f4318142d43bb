#include "bridge/select_statement.hpp"

extern "C" {
#include "parser/analyze.h"
}

namespace tenantmig {

namespace {
struct Analyzed {
    int statements;
    bool is_select, modifies, locks;
    Oid *types;
    int count;
};
} // namespace

std::vector<Oid> analyze_select(const std::string &sql) {
    const char *text = sql.c_str();
    const Analyzed found = pg_call([text] {
        Analyzed out = {0, false, false, false, nullptr, 0};
        List *parsed = pg_parse_query(text);
        out.statements = list_length(parsed);
        if (out.statements != 1) return out;
        auto *raw = linitial_node(RawStmt, parsed);
        if (!IsA(raw->stmt, SelectStmt)) return out; // analysis would lock what it names
        const Query *query = parse_analyze_varparams(raw, text, &out.types, &out.count, nullptr);
        out.is_select = query->commandType == CMD_SELECT; // SELECT INTO is none any more
        out.modifies = query->hasModifyingCTE;
        out.locks = query->rowMarks != NIL;
        return out;
    });
    constexpr char hint[] = "Benchmarks read: give one SELECT, WITH, VALUES or TABLE.";
    if (found.statements != 1)
        throw Error(sqlstate::syntax_error, "not exactly one statement", fmt::format("Found {}.", found.statements),
                    hint);
    if (!found.is_select || found.modifies || found.locks)
        throw Error(sqlstate::feature_not_supported,
                    found.modifies ? "WITH changes data"
                    : found.locks  ? "FOR UPDATE or FOR SHARE locks rows"
                                   : "not a query that only reads",
                    {}, hint);
    std::vector<Oid> types;
    for (int i = 0; i < found.count; i++) {
        const Oid type = found.types[i];
        types.push_back(type == UNKNOWNOID || !OidIsValid(type) ? TEXTOID : type);
    }
    return types;
}

} // namespace tenantmig

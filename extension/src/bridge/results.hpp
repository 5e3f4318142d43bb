// Arguments in, rows out: for the SQL-callable functions of api/.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

// Arguments of a call. A NULL where a value is needed is 22004, naming the argument.
class Arguments {
public:
    explicit Arguments(FunctionCallInfo call) : call_(call) {}
    bool is_null(int number) const { return call_->args[number].isnull; }
    std::string text(int number, const char *name) const;
    std::optional<std::string> optional_text(int number) const;
    std::int64_t bigint(int number, const char *name) const;
    bool boolean(int number, const char *name) const;
    double numeric(int number, const char *name) const;
    std::string json(int number, const char *name) const; // the text of a jsonb
    std::optional<std::string> optional_json(int number) const;

private:
    void require(int number, const char *name) const;
    FunctionCallInfo call_;
};

// The result set of a set-returning function in materialise mode. Cells are given as text and converted by the column's
// type.
class ResultSet {
public:
    explicit ResultSet(FunctionCallInfo call);
    void add(std::initializer_list<std::optional<std::string>> cells);
    void add(std::span<const std::optional<std::string>> cells);

private:
    ReturnSetInfo *info_;
    std::vector<Oid> inputs_, ioparams_;
};

Datum text_result(std::string_view text);

// A line for whoever is waiting: NOTICE.
void notice(const std::string &message);
void warning(const std::string &message, const std::string &detail, const std::string &hint);

} // namespace tenantmig

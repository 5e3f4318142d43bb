// Strict reading of one JSON object of a spec: every field is asked for by name, unknown ones are refused, and every
// error names its path. Used by the parsers of the spec only.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenantmig::core {

using Json = nlohmann::json;
using Words = std::vector<std::string_view>;

// TM001 `spec: PATH: what`; an empty path is the whole document.
[[noreturn]] void fail(std::string_view path, std::string_view what, std::string detail, std::string hint);

// The same with what was found there as DETAIL.
[[noreturn]] void fail_at(std::string_view path, std::string_view what, const Json &found, std::string hint);

// "Found the number 7." Containers by their kind and size only, so the text is short whatever was found.
std::string describe(const Json &value);

// path.field, or path["odd field"].
std::string join_path(std::string_view path, std::string_view field);
std::string join_path(std::string_view path, std::size_t index);

// The known word that `word` may be a slip of: capitals, - for _, one or two letters wrong. Empty if there is none.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

// a, b and c. "Did you mean …? " in front if `word` is close to one of them.
std::string suggest(std::string_view intro, std::string_view word, std::span<const std::string_view> known);

class Reader {
public:
    // Refuses a value that is no object and fields that are not `known`.
    Reader(const Json &value, std::string path, Words known);

    const std::string &path() const { return path_; }
    std::string path_of(std::string_view field) const { return join_path(path_, field); }
    bool has(std::string_view field) const { return find(field) != nullptr; }
    const Json *find(std::string_view field) const; // nullptr: the field is not there
    const Json &require(std::string_view field, std::string_view example) const;

private:
    const Json &value_;
    std::string path_;
};

// Readers of one value. `example` goes into the HINT.
const std::string &read_string(const Json &value, const std::string &path, std::string_view example);
const std::string &read_string(Json &&, const std::string &, std::string_view) = delete; // the text would dangle
std::int64_t read_integer(const Json &value, const std::string &path, std::int64_t least, std::string_view example);
double read_share(const Json &value, const std::string &path);
std::string_view read_word(const Json &value, const std::string &path, const Words &words); // one of `words`

bool read_flag(const Json &value, const std::string &path, std::string_view example); // true or false

// table.column or schema.table.column; a name alone is the table.
void read_table_column(const Json &value, const std::string &path, std::string_view example, std::string &table,
                       std::string &column);

// A list of 1 to `most` elements of anything.
void expect_list(const Json &value, const std::string &path, std::size_t most, std::string_view of,
                 std::string_view example);

// Without the blanks around it.
std::string_view trimmed(std::string_view text);

// A name of 1 to `parts` parts as written; the parts as the database has them come in `resolved` if it is given.
std::string read_name(const Json &value, const std::string &path, std::size_t parts, std::string_view example,
                      std::vector<std::string> *resolved = nullptr);

// Text of a string, integer or boolean (true, false); of other numbers too if `fractions`.
std::string read_scalar(const Json &value, const std::string &path, bool fractions, std::string_view example);

} // namespace tenantmig::core

#include "core/spec_reader.hpp"
#include "core/error.hpp"
#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace tenantmig::core {
namespace {

char folded(char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
    return c == '-' || c == ' ' ? '_' : c;
}

// Number of letters to insert, delete, replace or swap with their neighbour to make `b` of `a`.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before_last, last(b.size() + 1), row(b.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = folded(a[i - 1]) == folded(b[j - 1]);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
            if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]))
                row[j] = std::min(row[j], before_last[j - 2] + 1);
        }
        before_last = std::exchange(last, row);
    }
    return last[b.size()];
}

bool is_plain_field(std::string_view field) {
    return !field.empty() && field.size() <= max_identifier_length &&
           std::all_of(field.begin(), field.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                      c == '-';
           });
}

} // namespace

void fail(std::string_view path, std::string_view what, std::string detail, std::string hint) {
    std::string message = "spec: ";
    if (!path.empty()) message.append(path).append(": ");
    throw Error(sqlstate::spec_invalid, message.append(what), std::move(detail), std::move(hint));
}

void fail_at(std::string_view path, std::string_view what, const Json &found, std::string hint) {
    fail(path, what, describe(found), std::move(hint));
}

std::string describe(const Json &value) {
    switch (value.type()) {
    case Json::value_t::null:
        return "Found null.";
    case Json::value_t::boolean:
        return value.get<bool>() ? "Found true." : "Found false.";
    case Json::value_t::string:
        return "Found the string " + excerpt(value.get_ref<const std::string &>()) + ".";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
        return "Found the number " + value.dump() + ".";
    case Json::value_t::array:
        return "Found a list of " + std::to_string(value.size()) + (value.size() == 1 ? " element." : " elements.");
    case Json::value_t::object: {
        if (value.empty()) return "Found an object without fields.";
        std::string text = value.size() == 1 ? "Found an object with the field " : "Found an object with the fields ";
        std::size_t shown = 0;
        for (const auto &item : value.items()) {
            if (shown > 0) text += ", ";
            if (++shown > 5) return text + "….";
            text += excerpt(item.key(), 40);
        }
        return text + ".";
    }
    default:
        return "Found something that is no JSON value.";
    }
}

std::string join_path(std::string_view path, std::string_view field) {
    std::string joined(path);
    if (!is_plain_field(field)) return joined + "[" + excerpt(field) + "]";
    if (!joined.empty()) joined += '.';
    return joined.append(field);
}

std::string join_path(std::string_view path, std::size_t index) {
    return std::string(path) + "[" + std::to_string(index) + "]";
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
    if (word.empty() || word.size() > 2 * max_identifier_length) return {};
    std::string_view best;
    std::size_t least = std::min<std::size_t>(word.size() / 3, 2) + 1; // as many slips are one too many
    for (const std::string_view candidate : known)
        if (const std::size_t slips = distance(word, candidate); slips < least) {
            best = candidate;
            least = slips;
        }
    return best;
}

std::string suggest(std::string_view intro, std::string_view word, std::span<const std::string_view> known) {
    std::string text;
    if (const std::string_view meant = nearest(word, known); !meant.empty())
        text.append("Did you mean \"").append(meant).append("\"? ");
    text += intro;
    for (std::size_t i = 0; i < known.size(); ++i) {
        if (i > 0) text += i + 1 == known.size() ? " and " : ", ";
        text += known[i];
    }
    return text + ".";
}

Reader::Reader(const Json &value, std::string path, Words known) : value_(value), path_(std::move(path)) {
    if (!value.is_object()) fail_at(path_, "expected an object", value, suggest("Its fields are ", "", known));
    for (const auto &item : value.items())
        if (std::find(known.begin(), known.end(), item.key()) == known.end())
            fail(path_of(item.key()), "unknown field", describe(item.value()),
                 suggest(path_.empty() ? "The fields of a spec are " : "The fields here are ", item.key(), known));
}

const Json *Reader::find(std::string_view field) const {
    const auto found = value_.find(field);
    return found == value_.end() ? nullptr : &*found;
}

const Json &Reader::require(std::string_view field, std::string_view example) const {
    if (const Json *value = find(field)) return *value;
    fail(path_of(field), "the field is missing", describe(value_), "Write for example " + std::string(example) + ".");
}

const std::string &read_string(const Json &value, const std::string &path, std::string_view example) {
    if (!value.is_string())
        fail_at(path, "expected a string", value, "Write for example " + std::string(example) + ".");
    const auto &text = value.get_ref<const std::string &>();
    if (text.find('\0') != std::string::npos)
        fail_at(path, "a string contains the character \\u0000", value, "PostgreSQL has no such character; remove it.");
    return text;
}

std::int64_t read_integer(const Json &value, const std::string &path, std::int64_t least, std::string_view example) {
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.get<std::uint64_t>() <= std::uint64_t{INT64_MAX});
    if (!fits || value.get<std::int64_t>() < least)
        fail_at(path,
                least == INT64_MIN ? "expected a whole number"
                                   : "expected a whole number of at least " + std::to_string(least),
                value, "Write for example " + std::string(example) + ".");
    return value.get<std::int64_t>();
}

double read_share(const Json &value, const std::string &path) {
    const double share = value.is_number() ? value.get<double>() : -1;
    if (!(share >= 0 && share <= 1))
        fail_at(path, "expected a number from 0 to 1", value, "It is a share: write 0.75 for 75 %.");
    return share;
}

std::string_view read_word(const Json &value, const std::string &path, const Words &words) {
    const std::string found = value.is_string() ? value.get<std::string>() : std::string();
    const auto word = std::find(words.begin(), words.end(), found);
    if (!value.is_string() || word == words.end())
        fail_at(path, value.is_string() ? "unknown value" : "expected a string", value,
                suggest("The values are ", found, words));
    return *word;
}

void expect_list(const Json &value, const std::string &path, std::size_t most, std::string_view of,
                 std::string_view example) {
    const std::string hint = "Write for example " + std::string(example) + ".";
    if (!value.is_array()) fail_at(path, "expected a list of " + std::string(of), value, hint);
    if (value.empty()) fail_at(path, "the list of " + std::string(of) + " is empty", value, hint);
    if (value.size() > most)
        fail_at(path, "more than " + std::to_string(most) + " " + std::string(of), value,
                "Split it over several migrations, or choose the rows by another column.");
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\n\r\f\v";
    const std::size_t begin = text.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::string read_name(const Json &value, const std::string &path, std::size_t parts, std::string_view example,
                      std::vector<std::string> *resolved) {
    const std::string &text = read_string(value, path, example);
    std::vector<Identifier> names;
    try {
        names = split_identifier(text);
    } catch (const Error &error) {
        fail(path, error.message(), error.detail(), error.hint());
    }
    if (names.size() > parts)
        fail_at(path, "the name has too many parts", value, "Write for example " + std::string(example) + ".");
    if (resolved)
        for (Identifier &name : names)
            resolved->push_back(std::move(name.text));
    return std::string(trimmed(text));
}

std::string read_scalar(const Json &value, const std::string &path, bool fractions, std::string_view example) {
    if (value.is_string()) return read_string(value, path, example);
    if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
    if (value.is_number_integer() || (fractions && value.is_number())) return value.dump();
    fail_at(path,
            fractions ? "expected a string, a number, true or false"
                      : "expected a string, a whole number, true or false",
            value, "Write for example " + std::string(example) + ".");
}

bool read_flag(const Json &value, const std::string &path, std::string_view example) {
    if (!value.is_boolean())
        fail_at(path, "expected true or false", value, "Write for example " + std::string(example) + ".");
    return value.get<bool>();
}

void read_table_column(const Json &value, const std::string &path, std::string_view example, std::string &table,
                       std::string &column) {
    std::vector<std::string> parts;
    (void)read_name(value, path, 3, example, &parts);
    const std::string written(trimmed(value.get_ref<const std::string &>()));
    if (parts.size() == 1) {
        table = written;
        return;
    }
    const std::size_t dot = last_separator(written);
    table = trimmed(std::string_view(written).substr(0, dot));
    column = trimmed(std::string_view(written).substr(dot + 1));
}

} // namespace tenantmig::core

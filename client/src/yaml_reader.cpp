// YAML spec files, event by event, so that every value has its line, a duplicate key is seen, and nothing that an alias
// could multiply is ever built. Plain scalars get their type by the core schema of YAML 1.2; quoted ones are strings.
#include "client_error.hpp"
#include "core/spec_reader.hpp"
#include "input_file.hpp"
#include "spec_file.hpp"
#include "text.hpp"
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

namespace tenantmig::client {

namespace {

using nlohmann::json;

constexpr std::size_t depth_limit = 100;
constexpr std::size_t value_limit = 100000; // no spec comes near; a file that does would take minutes to convert
constexpr std::size_t longest_number = 64;  // no number that we could use is longer

// The forms of numbers in the core schema.
constexpr std::string_view decimal_digits = "0123456789";

bool consists_of(std::string_view text, std::string_view characters) {
    return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

std::string_view without_sign(std::string_view text) {
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    return text;
}

bool is_decimal(std::string_view text) {
    return consists_of(without_sign(text), decimal_digits);
}

bool has_digits(std::string_view text, std::string_view prefix, std::string_view digits) {
    return text.starts_with(prefix) && consists_of(text.substr(prefix.size()), digits);
}

bool is_not_finite(std::string_view text) {
    const std::string_view name = without_sign(text);
    return name == ".inf" || name == ".Inf" || name == ".INF" || text == ".nan" || text == ".NaN" || text == ".NAN";
}

// digits, a point, digits, an exponent; one of the digits beside the point must be there
bool is_real(std::string_view text) {
    std::string_view mantissa = without_sign(text);
    if (const std::size_t exponent = mantissa.find_first_of("eE"); exponent != std::string_view::npos) {
        if (!is_decimal(mantissa.substr(exponent + 1))) return false;
        mantissa = mantissa.substr(0, exponent);
    }
    const std::size_t point = mantissa.find('.');
    if (point == std::string_view::npos) return consists_of(mantissa, decimal_digits);
    const std::string_view before = mantissa.substr(0, point), after = mantissa.substr(point + 1);
    return (before.empty() || consists_of(before, decimal_digits)) &&
           (after.empty() || consists_of(after, decimal_digits)) && mantissa.size() > 1;
}

class Builder : public YAML::EventHandler {
public:
    Builder(const std::string &content, SpecFile &spec) : content_(content), spec_(spec) {}

    void OnDocumentStart(const YAML::Mark & /*mark*/) override {}
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark &mark, YAML::anchor_t anchor) override {
        refuse_anchor(mark, anchor);
        if (expects_key()) refuse(mark, "a key is empty");
        place(mark, nullptr);
    }
    void OnAlias(const YAML::Mark &mark, YAML::anchor_t /*anchor*/) override {
        refuse(mark, "anchors and aliases are not allowed in a spec", "", "write the value out");
    }
    void OnAnchor(const YAML::Mark &mark, const std::string & /*name*/) override { OnAlias(mark, 0); }
    void OnScalar(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                  const std::string &value) override {
        refuse_anchor(mark, anchor);
        if (tag == "!") require_end(mark);
        if (value.find('\0') != std::string::npos) refuse(mark, "a string contains a NUL character");
        if (expects_key()) {
            take_key(mark, value);
            return;
        }
        if (tag == "?" || tag.empty())
            place(mark, typed(mark, value));
        else if (tag == "!" || tag == "tag:yaml.org,2002:str")
            place(mark, value);
        else
            refuse_tag(mark, tag);
    }
    void OnSequenceStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override {
        open(mark, tag, anchor, json::array());
    }
    void OnSequenceEnd() override { open_.pop_back(); }
    void OnMapStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override {
        open(mark, tag, anchor, json::object());
    }
    void OnMapEnd() override { open_.pop_back(); }

private:
    struct Open {
        json *value;
        std::string path;
        std::optional<std::string> key; // of a mapping: the key whose value comes next
    };

    [[noreturn]] void refuse(const YAML::Mark &mark, std::string message, std::string detail = {},
                             std::string hint = {}) const {
        fail_document(spec_.name, static_cast<std::size_t>(mark.line) + 1, std::move(message), std::move(detail),
                      std::move(hint));
    }
    void refuse_anchor(const YAML::Mark &mark, YAML::anchor_t anchor) {
        if (anchor != 0) OnAlias(mark, anchor);
    }
    [[noreturn]] void refuse_tag(const YAML::Mark &mark, const std::string &tag) const {
        refuse(mark, fmt::format("the tag {} is not allowed in a spec", json_quoted(tag)), "",
               "write the value without a tag; in quotes it is a string");
    }
    // yaml-cpp takes the end of the file for the end of a quoted scalar: a file that was cut off would pass.
    void require_end(const YAML::Mark &mark) const {
        const auto start = static_cast<std::size_t>(mark.pos);
        if (start >= content_.size() || (content_[start] != '"' && content_[start] != '\'')) return;
        const char quote = content_[start];
        for (std::size_t at = start + 1; at < content_.size(); ++at) {
            if (content_[at] == '\\' && quote == '"')
                ++at;
            else if (content_[at] == quote)
                return; // in single quotes '' ends the scan early: good enough to see an end at all
        }
        refuse(mark, "the spec is not YAML", "A quoted text is never closed.");
    }
    [[nodiscard]] bool expects_key() const {
        return !open_.empty() && open_.back().value->is_object() && !open_.back().key;
    }
    void take_key(const YAML::Mark &mark, const std::string &key) {
        if (open_.back().value->contains(key))
            refuse(mark, fmt::format("the key {} stands twice in the same mapping", json_quoted(key)),
                   fmt::format("It first stands in line {}.", spec_.lines[path_of(key)]));
        open_.back().key = key;
        spec_.lines[path_of(key)] = static_cast<std::size_t>(mark.line) + 1;
    }
    [[nodiscard]] std::string path_of(const std::string &key) const { return core::join_path(open_.back().path, key); }

    // Stores a value where it belongs and says where that is.
    Open place(const YAML::Mark &mark, json &&value) {
        if (++values_ > value_limit) refuse(mark, fmt::format("the document holds more than {} values", value_limit));
        if (open_.empty()) {
            spec_.document = std::move(value);
            return {&spec_.document, "", std::nullopt};
        }
        Open &parent = open_.back();
        if (parent.value->is_object()) {
            const std::string key = *parent.key;
            parent.key.reset();
            return {&((*parent.value)[key] = std::move(value)), path_of(key), std::nullopt};
        }
        const std::string path = core::join_path(parent.path, parent.value->size());
        spec_.lines[path] = static_cast<std::size_t>(mark.line) + 1;
        parent.value->push_back(std::move(value));
        return {&parent.value->back(), path, std::nullopt};
    }
    void open(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor, json &&value) {
        refuse_anchor(mark, anchor);
        if (expects_key()) refuse(mark, "a key is not text", "Found a list or a mapping.");
        if (!tag.empty() && tag != "?" && tag != "!") refuse_tag(mark, tag);
        if (open_.size() >= depth_limit)
            refuse(mark, fmt::format("the document is nested deeper than {} levels", depth_limit));
        open_.push_back(place(mark, std::move(value)));
    }

    json typed(const YAML::Mark &mark, const std::string &value) const {
        if (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL") return nullptr;
        if (value == "true" || value == "True" || value == "TRUE") return true;
        if (value == "false" || value == "False" || value == "FALSE") return false;
        if (std::string("+-.0123456789").find(value.front()) == std::string::npos) return value;
        if (value.size() > longest_number) {
            if (value.find_first_not_of("+-.0123456789eE") == std::string::npos)
                refuse(mark, "a number is too long", "", "put it in quotes if it is meant as text");
            return value;
        }
        if (is_decimal(value)) return integer(mark, value, value.starts_with('+') ? 1 : 0, 10);
        if (has_digits(value, "0o", "01234567")) return integer(mark, value, 2, 8);
        if (has_digits(value, "0x", "0123456789abcdefABCDEF")) return integer(mark, value, 2, 16);
        if (is_not_finite(value)) refuse(mark, fmt::format("{} is not a number that a spec can hold", value));
        if (!is_real(value)) return value;
        double number = 0;
        const char *first = value.data() + (value.starts_with('+') ? 1 : 0);
        const auto parsed = std::from_chars(first, value.data() + value.size(), number);
        if (parsed.ec != std::errc() || !std::isfinite(number))
            refuse(mark, fmt::format("the number {} is out of range", value));
        return number;
    }
    json integer(const YAML::Mark &mark, const std::string &value, std::size_t skip, int base) const {
        std::int64_t number = 0;
        const auto parsed = std::from_chars(value.data() + skip, value.data() + value.size(), number, base);
        if (parsed.ec != std::errc())
            refuse(mark, "an integer does not fit into 64 bits", fmt::format("Found {}.", value),
                   "put it in quotes if it is meant as text");
        return number;
    }

    const std::string &content_;
    SpecFile &spec_;
    std::vector<Open> open_;
    std::size_t values_ = 0;
};

} // namespace

void read_yaml(const std::string &content, SpecFile &spec) {
    std::istringstream stream(content);
    try {
        YAML::Parser parser(stream);
        Builder builder(content, spec);
        if (!parser.HandleNextDocument(builder)) return;
        if (spec.document.is_null()) return;
        SpecFile rest;
        rest.name = spec.name;
        Builder second(content, rest);
        if (parser.HandleNextDocument(second))
            fail_document(spec.name, 0, "the file holds several documents", "",
                          "one file is one spec: remove everything from the second --- on");
    } catch (const YAML::DeepRecursion &error) {
        fail_document(spec.name, static_cast<std::size_t>(error.mark.line) + 1, "the document is nested too deeply");
    } catch (const YAML::Exception &error) {
        fail_document(spec.name, error.mark.is_null() ? 0 : static_cast<std::size_t>(error.mark.line) + 1,
                      "the spec is not YAML", error.msg);
    }
}

} // namespace tenantmig::client

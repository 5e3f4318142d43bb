// JSON spec files. The parser of nlohmann takes the last of two equal keys and turns large integers into floats without
// a word; this handler refuses both.
#include "client_error.hpp"
#include "input_file.hpp"
#include "spec_file.hpp"
#include "text.hpp"
#include <fmt/format.h>
#include <limits>
#include <vector>

namespace tenantmig::client {

namespace {

using nlohmann::json;

constexpr std::size_t depth_limit = 100;

class Builder : public json::json_sax_t {
public:
    Builder(const std::string &content, SpecFile &spec) : content_(content), spec_(spec) {}

    bool null() override { return add(nullptr); }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(number_integer_t value) override { return add(value); }
    bool number_unsigned(number_unsigned_t value) override {
        if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max()))
            refuse("an integer does not fit into 64 bits", fmt::format("Found {}.", value));
        return add(value);
    }
    bool number_float(number_float_t value, const string_t &text) override {
        if (text.find_first_of(".eE") == std::string::npos)
            refuse("an integer does not fit into 64 bits", fmt::format("Found {}.", text));
        return add(value);
    }
    bool string(string_t &value) override {
        if (value.find('\0') != std::string::npos) refuse("a string contains a NUL character");
        return add(value);
    }
    bool binary(binary_t & /*value*/) override { return false; }
    bool start_object(std::size_t /*elements*/) override { return open(json::object()); }
    bool start_array(std::size_t /*elements*/) override { return open(json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t &value) override {
        if (open_.back()->contains(value))
            fail_document(spec_.name, 0, fmt::format("the key {} stands twice in the same object", json_quoted(value)));
        key_ = value;
        return true;
    }
    bool parse_error(std::size_t position, const std::string & /*token*/, const json::exception &error) override {
        // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error …": the end is what helps
        std::string problem = error.what();
        if (const std::size_t at = problem.find("syntax error"); at != std::string::npos) problem.erase(0, at);
        fail_document(spec_.name, line_at(content_, position == 0 ? 0 : position - 1), "the spec is not JSON", problem);
    }

private:
    [[noreturn]] void refuse(const std::string &message, const std::string &detail = {}) {
        fail_document(spec_.name, 0, fmt::format("{}{}", path_text(), message), detail);
    }
    std::string path_text() const { return key_.empty() ? "" : fmt::format("at or in {}: ", json_quoted(key_)); }

    json *place(json &&value) {
        if (open_.empty()) {
            spec_.document = std::move(value);
            return &spec_.document;
        }
        json &parent = *open_.back();
        if (parent.is_object()) return &(parent[key_] = std::move(value));
        parent.push_back(std::move(value));
        return &parent.back();
    }
    bool add(json &&value) {
        place(std::move(value));
        return true;
    }
    bool open(json &&value) {
        if (open_.size() >= depth_limit)
            refuse(fmt::format("the document is nested deeper than {} levels", depth_limit));
        open_.push_back(place(std::move(value)));
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }

    const std::string &content_;
    SpecFile &spec_;
    std::vector<json *> open_; // stable: a container is only appended to while its last element is open
    std::string key_;
};

} // namespace

void read_json(const std::string &content, SpecFile &spec) {
    Builder builder(content, spec);
    json::sax_parse(content, &builder);
}

} // namespace tenantmig::client

#include "core/identifier.hpp"
#include "core/error.hpp"
#include "core/excerpt.hpp"
#include <algorithm>

namespace tenantmig::core {
namespace {

// The characters that PostgreSQL's scanner takes as white space.
constexpr bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

// Upper case letters outside ASCII stay as they are: that is what PostgreSQL does in every multi-byte encoding.
std::string fold(std::string_view name) {
    std::string folded(name);
    for (char &c : folded)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return folded;
}

[[noreturn]] void invalid(std::string_view text, std::string detail) {
    throw Error(
        sqlstate::invalid_name, "invalid name " + excerpt(text), std::move(detail),
        R"(Write schema.table or table.column; a name with blanks, dots or capital letters in double quotes: "My Table".)");
}

class Splitter {
public:
    explicit Splitter(std::string_view text) : text_(text) {}

    std::vector<Identifier> split() {
        if (text_.find('\0') != std::string_view::npos) invalid(text_, "It contains a NUL character.");
        std::vector<Identifier> parts;
        skip_space();
        for (;;) {
            parts.push_back(at_quote() ? quoted() : plain());
            check_length(parts.back().text);
            skip_space();
            if (at_ == text_.size()) return parts;
            if (text_[at_] != '.') invalid(text_, "A dot was expected at byte " + std::to_string(at_ + 1) + ".");
            ++at_;
            skip_space();
        }
    }

private:
    bool at_quote() const { return at_ < text_.size() && text_[at_] == '"'; }
    void skip_space() {
        while (at_ < text_.size() && is_space(text_[at_]))
            ++at_;
    }

    Identifier quoted() {
        Identifier part;
        part.quoted = true;
        for (++at_;;) {
            const std::size_t quote = text_.find('"', at_);
            if (quote == std::string_view::npos) invalid(text_, "A double quote is not closed.");
            part.text += text_.substr(at_, quote - at_);
            at_ = quote + 1;
            if (!at_quote()) break; // not doubled: the end of the name
            part.text += '"';
            ++at_;
        }
        if (part.text.empty()) invalid(text_, "A name between double quotes is empty.");
        part.written = part.text;
        return part;
    }

    Identifier plain() {
        const std::size_t begin = at_;
        while (at_ < text_.size() && text_[at_] != '.' && !is_space(text_[at_])) {
            if (text_[at_] == '"') invalid(text_, "A double quote stands within a name that does not begin with one.");
            ++at_;
        }
        if (at_ == begin) invalid(text_, text_.empty() ? "It is empty." : "A part of it is empty.");
        Identifier part;
        part.written = text_.substr(begin, at_ - begin);
        part.text = fold(part.written);
        return part;
    }

    void check_length(const std::string &name) const {
        if (name.size() <= max_identifier_length) return;
        throw Error(sqlstate::name_too_long, "name " + excerpt(name) + " is too long",
                    "It has " + std::to_string(name.size()) + " bytes; PostgreSQL keeps " +
                        std::to_string(max_identifier_length) + " and cuts off the rest.",
                    "Write the name as the database has it.");
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

} // namespace

std::vector<Identifier> split_identifier(std::string_view text) {
    return Splitter(text).split();
}

std::size_t last_separator(std::string_view name) {
    std::size_t last = std::string_view::npos;
    bool quoted = false;
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name[i] == '"') quoted = !quoted; // a doubled quote toggles twice
        if (name[i] == '.' && !quoted) last = i;
    }
    return last;
}

std::string display_identifier(std::string_view name) {
    const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
    const bool digit_first = !name.empty() && name.front() >= '0' && name.front() <= '9';
    if (!name.empty() && !digit_first && std::all_of(name.begin(), name.end(), plain)) return std::string(name);
    std::string quoted = "\"";
    for (const char c : name) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted + '"';
}

} // namespace tenantmig::core

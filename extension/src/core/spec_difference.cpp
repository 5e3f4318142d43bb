#include "core/spec_difference.hpp"
#include "core/error.hpp"
#include "core/excerpt.hpp"
#include "core/spec_reader.hpp"
#include <algorithm>
#include <nlohmann/json.hpp>

namespace tenantmig::core {

namespace {

constexpr std::size_t depth_limit = 200;         // of recursion; no spec comes near
constexpr std::size_t longest_shown = 120;       // bytes of a value
constexpr std::size_t before_difference = 20;    // bytes of a long text that stand in front of where it differs
constexpr std::size_t alignment_limit = 1000000; // comparisons of elements for aligning two lists

void require_depth(const Json &value, std::size_t depth = 0) {
    if (!value.is_structured()) return;
    if (depth == depth_limit)
        throw Error(sqlstate::spec_invalid, "the document is nested too deeply",
                    "It has more than " + std::to_string(depth_limit) + " levels.", "A spec has about ten.");
    for (const Json &element : value)
        require_depth(element, depth + 1);
}

bool continues_character(const std::string &text, std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

// A text as JSON; of a long one what stands around position `at`.
std::string text_around(const std::string &text, std::size_t at) {
    std::size_t start = at > before_difference && text.size() > longest_shown ? at - before_difference : 0;
    while (continues_character(text, start))
        --start;
    std::string shown = excerpt(std::string_view(text).substr(start), longest_shown);
    if (start > 0) shown.insert(1, "…");
    return shown;
}

// The first `longest_shown` bytes of other values.
std::string value_text(const Json &value) {
    if (value.is_string()) return text_around(value.get_ref<const std::string &>(), 0);
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() <= longest_shown) return text;
    std::size_t end = longest_shown;
    while (continues_character(text, end))
        --end;
    return text.substr(0, end) + "…";
}

class Comparison {
public:
    std::vector<SpecDifference> found;

    void compare(const Json &stored, const Json &given, const std::string &path) {
        if (stored == given) return;
        if (stored.is_object() && given.is_object())
            compare_objects(stored, given, path);
        else if (stored.is_array() && given.is_array())
            compare_lists(stored, given, path);
        else if (stored.is_string() && given.is_string())
            compare_texts(stored.get_ref<const std::string &>(), given.get_ref<const std::string &>(), path);
        else
            found.push_back({path, value_text(stored), value_text(given)});
    }

private:
    void compare_texts(const std::string &stored, const std::string &given, const std::string &path) {
        const auto differs = std::mismatch(stored.begin(), stored.end(), given.begin(), given.end());
        const auto at = static_cast<std::size_t>(differs.first - stored.begin());
        found.push_back({path, text_around(stored, at), text_around(given, at)});
    }

    void added(const Json &value, const std::string &path) { found.push_back({path, std::nullopt, value_text(value)}); }
    void removed(const Json &value, const std::string &path) {
        found.push_back({path, value_text(value), std::nullopt});
    }

    void compare_objects(const Json &stored, const Json &given, const std::string &path) {
        for (const auto &[key, value] : stored.items()) {
            const auto other = given.find(key);
            if (other == given.end())
                removed(value, join_path(path, key));
            else
                compare(value, *other, join_path(path, key));
        }
        for (const auto &[key, value] : given.items())
            if (!stored.contains(key)) added(value, join_path(path, key));
    }

    void compare_lists(const Json &stored, const Json &given, const std::string &path) {
        std::size_t first = 0, stored_end = stored.size(), given_end = given.size();
        while (first < stored_end && first < given_end && stored[first] == given[first])
            ++first;
        while (stored_end > first && given_end > first && stored[stored_end - 1] == given[given_end - 1]) {
            --stored_end;
            --given_end;
        }
        std::size_t from_stored = first, from_given = first;
        for (const auto &[same_stored, same_given] : common(stored, first, stored_end, given, first, given_end)) {
            compare_parts(stored, from_stored, same_stored, given, from_given, same_given, path);
            from_stored = same_stored + 1;
            from_given = same_given + 1;
        }
        compare_parts(stored, from_stored, stored_end, given, from_given, given_end, path);
    }

    // Two stretches that have no element in common: changed one by one as far as both go, then removed or added.
    void compare_parts(const Json &stored, std::size_t from_stored, std::size_t stored_end, const Json &given,
                       std::size_t from_given, std::size_t given_end, const std::string &path) {
        for (; from_stored < stored_end && from_given < given_end; ++from_stored, ++from_given)
            compare(stored[from_stored], given[from_given], join_path(path, from_given));
        for (; from_stored < stored_end; ++from_stored)
            removed(stored[from_stored], join_path(path, from_stored));
        for (; from_given < given_end; ++from_given)
            added(given[from_given], join_path(path, from_given));
    }

    // The longest common subsequence of two stretches, as pairs of positions; none where that would take too long.
    static std::vector<std::pair<std::size_t, std::size_t>> common(const Json &stored, std::size_t stored_begin,
                                                                   std::size_t stored_end, const Json &given,
                                                                   std::size_t given_begin, std::size_t given_end) {
        const std::size_t rows = stored_end - stored_begin, columns = given_end - given_begin;
        if (rows == 0 || columns == 0 || rows > alignment_limit / columns) return {};
        std::vector<std::size_t> length((rows + 1) * (columns + 1), 0); // of the rest from each pair of positions on
        const auto at = [&](std::size_t row, std::size_t column) -> std::size_t & {
            return length[row * (columns + 1) + column];
        };
        const auto same = [&](std::size_t row, std::size_t column) {
            return stored[stored_begin + row] == given[given_begin + column];
        };
        for (std::size_t row = rows; row-- > 0;)
            for (std::size_t column = columns; column-- > 0;)
                at(row, column) = same(row, column) ? at(row + 1, column + 1) + 1
                                                    : std::max(at(row + 1, column), at(row, column + 1));
        std::vector<std::pair<std::size_t, std::size_t>> pairs;
        for (std::size_t row = 0, column = 0; row < rows && column < columns;) {
            if (same(row, column))
                pairs.emplace_back(stored_begin + row++, given_begin + column++);
            else if (at(row + 1, column) >= at(row, column + 1))
                ++row;
            else
                ++column;
        }
        return pairs;
    }
};

} // namespace

std::vector<SpecDifference> spec_difference(const Json &stored, const Json &given) {
    require_depth(stored);
    require_depth(given);
    Comparison comparison;
    comparison.compare(stored, given, "");
    return std::move(comparison.found);
}

} // namespace tenantmig::core

// A table of text values on its way from the server to the output.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenantmig::client {

enum class ColumnKind { text, number, boolean, json };

struct Column {
    std::string name;
    ColumnKind kind = ColumnKind::text;
};

using Cell = std::optional<std::string>; // nothing: NULL

struct Result {
    std::vector<Column> columns;
    std::vector<std::vector<Cell>> rows;

    // Position of a column; columns.size() if there is none.
    [[nodiscard]] std::size_t column(std::string_view name) const {
        std::size_t at = 0;
        while (at < columns.size() && columns[at].name != name)
            ++at;
        return at;
    }
    // Whether any row has this text in this column.
    [[nodiscard]] bool any(std::string_view name, std::string_view value) const {
        const std::size_t at = column(name);
        if (at == columns.size()) return false;
        for (const auto &row : rows)
            if (row[at] && *row[at] == value) return true;
        return false;
    }
};

} // namespace tenantmig::client

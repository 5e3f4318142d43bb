#include "core/spec_step.hpp"
#include "core/spec_backfill.hpp"
#include <algorithm>
#include <nlohmann/json.hpp>

namespace tenantmig::core {
namespace {

constexpr std::size_t max_columns = 32; // of an index
constexpr std::size_t max_tables = 1000;
constexpr std::size_t max_type = 200;      // bytes
constexpr std::size_t max_separator = 20;  // bytes
constexpr std::size_t max_format = 1000;   // bytes
constexpr std::size_t max_comment = 10000; // bytes

void expect_object(const Json &value, const std::string &path, std::string_view example) {
    if (!value.is_object())
        fail_at(path, "expected an object", value, "Write for example " + std::string(example) + ".");
}

// Text of a sql step. A file is read by the client, which sends its text.
std::string read_statements(const Json &value, const std::string &path, std::string_view example) {
    if (value.is_object())
        fail_at(path, "a file is read by the client", value,
                "Write the statements as text, or send the spec with the tenantmig command.");
    std::string text = read_string(value, path, example);
    if (trimmed(text).empty()) fail_at(path, "the text is empty", value, "Leave the field out, or write a statement.");
    return text;
}

std::string table_of(const Reader &reader, std::string_view example) {
    return read_name(reader.require("table", example), reader.path_of("table"), 2, example);
}

std::string column_of(const Reader &reader, std::string_view example) {
    return read_name(reader.require("column", example), reader.path_of("column"), 1, example);
}

std::string read_type(const Json &value, const std::string &path) {
    constexpr std::string_view example = "type: bigint";
    const std::string &type = read_string(value, path, example);
    if (trimmed(type).empty() || type.size() > max_type)
        fail_at(path, "expected the name of a type", value, "Write for example type: bigint or type: numeric(10,2).");
    return std::string(trimmed(type));
}

std::vector<std::string> read_columns(const Json &value, const std::string &path, std::string_view example) {
    expect_list(value, path, max_columns, "columns", example);
    std::vector<std::string> columns, names;
    for (std::size_t i = 0; i < value.size(); ++i) {
        std::vector<std::string> name;
        columns.push_back(read_name(value[i], join_path(path, i), 1, example, &name));
        if (std::find(names.begin(), names.end(), name.front()) != names.end())
            fail_at(join_path(path, i), "the same column twice", value[i], "Remove one of them.");
        names.push_back(name.front());
    }
    return columns;
}

IndexColumn parse_index_column(const Json &value, const std::string &path) {
    constexpr std::string_view example = "columns: [company_id, {column: created_at, order: desc, nulls: last}]";
    IndexColumn column;
    if (!value.is_object()) {
        column.column = read_name(value, path, 1, example);
        return column;
    }
    const Reader reader(value, path, {"column", "order", "nulls"});
    column.column = column_of(reader, example);
    if (const Json *order = reader.find("order"))
        column.descending = read_word(*order, reader.path_of("order"), {"asc", "desc"}) == "desc";
    if (const Json *nulls = reader.find("nulls"))
        column.nulls_first = read_word(*nulls, reader.path_of("nulls"), {"first", "last"}) == "first";
    return column;
}

std::string read_format(const Json &value, const std::string &path) {
    const std::string &format = read_string(value, path, "format: '^[a-z0-9_-]+$'");
    if (format.empty() || format.size() > max_format)
        fail_at(path, "expected a regular expression of 1 to 1000 bytes", value,
                "Write for example format: '^[a-z0-9_-]+$'.");
    return format;
}

RekeyEmbed parse_embed(const Json &value, const std::string &path) {
    constexpr std::string_view example = "embed: [{table: scopes, column: scope_id, separator: '.'}]";
    expect_object(value, path, example);
    const Reader reader(value, path, {"table", "column", "separator"});
    RekeyEmbed embed;
    embed.path = path;
    embed.table = table_of(reader, example);
    embed.column = column_of(reader, example);
    const std::string here = reader.path_of("separator");
    const Json &separator = reader.require("separator", example);
    embed.separator = read_string(separator, here, example);
    if (embed.separator.empty() || embed.separator.size() > max_separator)
        fail_at(here, "expected a text of 1 to 20 bytes", separator, "Write for example separator: '.'.");
    return embed;
}

RekeyTable parse_rekey_table(const Json &value, const std::string &path) {
    constexpr std::string_view example = "tables: [scopes, {table: events, via: owning_domain}]";
    RekeyTable table;
    table.path = path;
    if (!value.is_object()) {
        table.table = read_name(value, path, 2, example);
        return table;
    }
    const Reader reader(value, path, {"table", "via"});
    table.table = table_of(reader, example);
    if (const Json *via = reader.find("via")) table.via = read_name(*via, reader.path_of("via"), 1, example);
    return table;
}

} // namespace

SqlStep parse_sql(const Json &value, std::string path, int number) {
    constexpr std::string_view example = "sql: {up: CREATE TABLE …, down: DROP TABLE …}";
    expect_object(value, path, example);
    const Reader reader(value, path, {"up", "down", "verify", "transactional"});
    SqlStep step;
    step.number = number;
    step.up = read_statements(reader.require("up", example), reader.path_of("up"), example);
    if (const Json *down = reader.find("down")) step.down = read_statements(*down, reader.path_of("down"), example);
    if (const Json *verify = reader.find("verify"))
        step.verify = read_statements(*verify, reader.path_of("verify"), "verify: SELECT count(*) = 6 FROM …");
    if (const Json *transactional = reader.find("transactional"))
        step.transactional = read_flag(*transactional, reader.path_of("transactional"), "transactional: false");
    step.path = std::move(path);
    return step;
}

AddColumnStep parse_add_column(const Json &value, std::string path, int number) {
    constexpr std::string_view example = "add_column: {table: customers, column: company_id, type: bigint}";
    expect_object(value, path, example);
    const Reader reader(value, path, {"table", "column", "type", "default", "comment"});
    AddColumnStep step;
    step.number = number;
    step.table = table_of(reader, example);
    step.column = column_of(reader, example);
    step.type = read_type(reader.require("type", example), reader.path_of("type"));
    if (const Json *fallback = reader.find("default")) {
        constexpr std::string_view default_example = "default: 0 or default: {function: now}";
        if (fallback->is_object()) {
            const Reader function(*fallback, reader.path_of("default"), {"function"});
            step.default_function = read_name(function.require("function", default_example),
                                              function.path_of("function"), 2, default_example);
        } else {
            step.default_value = read_scalar(*fallback, reader.path_of("default"), true, default_example);
        }
    }
    if (const Json *comment = reader.find("comment")) {
        step.comment = read_string(*comment, reader.path_of("comment"), "comment: tenant of the customer");
        if (step.comment.size() > max_comment)
            fail_at(reader.path_of("comment"), "the comment is too long", *comment, "Write at most 10000 bytes.");
    }
    step.path = std::move(path);
    return step;
}

DropColumnStep parse_drop_column(const Json &value, std::string path, int number) {
    constexpr std::string_view example = "drop_column: {table: scopes, column: domain_id}";
    expect_object(value, path, example);
    const Reader reader(value, path, {"table", "column", "type"});
    DropColumnStep step;
    step.number = number;
    step.table = table_of(reader, example);
    step.column = column_of(reader, example);
    if (const Json *type = reader.find("type")) step.type = read_type(*type, reader.path_of("type"));
    step.path = std::move(path);
    return step;
}

IndexStep parse_index(const Json &value, std::string path, int number) {
    constexpr std::string_view example = "index: {table: customers, columns: [company_id, created_at]}";
    expect_object(value, path, example);
    const Reader reader(value, path, {"table", "columns", "name", "unique", "where", "include", "method"});
    IndexStep step;
    step.number = number;
    step.table = table_of(reader, example);
    const std::string here = reader.path_of("columns");
    const Json &columns = reader.require("columns", example);
    expect_list(columns, here, max_columns, "columns", example);
    for (std::size_t i = 0; i < columns.size(); ++i)
        step.columns.push_back(parse_index_column(columns[i], join_path(here, i)));
    if (const Json *name = reader.find("name"))
        step.name = read_name(*name, reader.path_of("name"), 1, "name: idx_customers_company");
    if (const Json *unique = reader.find("unique"))
        step.unique = read_flag(*unique, reader.path_of("unique"), "unique: true");
    if (const Json *method = reader.find("method"))
        step.method = read_word(*method, reader.path_of("method"), {"btree", "hash", "gin", "gist", "brin", "spgist"});
    if (const Json *include = reader.find("include"))
        step.include = read_columns(*include, reader.path_of("include"), "include: [name]");
    step.where = parse_where(reader.find("where"), reader.path_of("where"));
    step.path = std::move(path);
    return step;
}

RekeyStep parse_rekey(const Json &value, std::string path, int number) {
    constexpr std::string_view example =
        "rekey: {from: {table: domains, id: domain_id, key: name}, column: domain, tables: [scopes]}";
    expect_object(value, path, example);
    const Reader reader(value, path, {"from", "column", "format", "tables", "within", "embed"});
    RekeyStep step;
    step.number = number;
    const Json &from = reader.require("from", example);
    expect_object(from, reader.path_of("from"), example);
    const Reader root(from, reader.path_of("from"), {"table", "id", "key"});
    step.root = table_of(root, example);
    step.id = read_name(root.require("id", example), root.path_of("id"), 1, example);
    step.key = read_name(root.require("key", example), root.path_of("key"), 1, example);
    step.column = column_of(reader, example);
    if (const Json *format = reader.find("format")) step.format = read_format(*format, reader.path_of("format"));
    const Json &tables = reader.require("tables", example);
    const std::string here = reader.path_of("tables");
    expect_list(tables, here, max_tables, "tables", example);
    for (std::size_t i = 0; i < tables.size(); ++i)
        step.tables.push_back(parse_rekey_table(tables[i], join_path(here, i)));
    if (const Json *within = reader.find("within"))
        step.within = read_columns(*within, reader.path_of("within"), "within: [organization_id]");
    if (const Json *embed = reader.find("embed")) {
        const std::string list = reader.path_of("embed");
        expect_list(*embed, list, max_tables, "id columns",
                    "embed: [{table: scopes, column: scope_id, separator: '.'}]");
        for (std::size_t i = 0; i < embed->size(); ++i)
            step.embed.push_back(parse_embed((*embed)[i], join_path(list, i)));
    }
    step.path = std::move(path);
    return step;
}

} // namespace tenantmig::core

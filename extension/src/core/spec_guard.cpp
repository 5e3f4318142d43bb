#include "core/spec_guard.hpp"
#include "core/guard_definition.hpp"
#include <algorithm>
#include <nlohmann/json.hpp>

namespace tenantmig::core {

std::string_view mode_name(GuardMode mode) {
    return mode == GuardMode::fill ? "fill" : mode == GuardMode::reject ? "reject" : "warn";
}

std::string_view kind_name(GuardKind kind) {
    switch (kind) {
    case GuardKind::prefix:
        return "prefix";
    case GuardKind::tenant_key:
        return "tenant_key";
    case GuardKind::same_tenant:
        return "same_tenant";
    case GuardKind::reference:
        return "reference";
    case GuardKind::acyclic:
        return "acyclic";
    case GuardKind::immutable:
        return "immutable";
    }
    return "";
}

namespace {

constexpr std::size_t max_columns = 32; // of a foreign key
constexpr std::size_t max_types = 100;

struct Kind {
    std::string_view name, example;
    Words fields;
};

// Each kind has fields of its own.
Kind kind_of_step(GuardKind kind) {
    switch (kind) {
    case GuardKind::prefix:
        return {"prefix",
                "guard: {kind: prefix, table: scopes, column: scope_id, key: domain, separator: '.'}",
                {"kind", "table", "column", "key", "separator", "always"}};
    case GuardKind::tenant_key:
        return {"tenant_key",
                "guard: {kind: tenant_key, table: customers, column: company_id, mode: fill}",
                {"kind", "table", "column", "mode", "always"}};
    case GuardKind::same_tenant:
        return {"same_tenant",
                "guard: {kind: same_tenant, table: requests, column: company_id, via: staff_id}",
                {"kind", "table", "column", "via", "tenant", "always"}};
    case GuardKind::reference:
        return {"reference",
                "guard: {kind: reference, table: notes, column: company_id, via: owner_id, type_column: owner_type, "
                "types: {Staff: staff}}",
                {"kind", "table", "column", "via", "type_column", "types", "always"}};
    case GuardKind::acyclic:
        return {"acyclic",
                "guard: {kind: acyclic, table: policies, column: overrides_id}",
                {"kind", "table", "column", "always"}};
    case GuardKind::immutable:
        return {"immutable",
                "guard: {kind: immutable, table: customers, column: company_id}",
                {"kind", "table", "column", "always"}};
    }
    return {};
}

Words all_fields() {
    return {"kind", "table", "column", "mode", "key", "separator", "via", "tenant", "type_column", "types", "always"};
}

class GuardParser {
public:
    GuardParser(const Json &value, std::string path, GuardKind kind)
        : form_(kind_of_step(kind)), reader_(value, std::move(path), form_.fields) {
        parsed_.step.kind = kind;
        parsed_.step.mode = GuardMode::reject;
        parsed_.target.emplace_back(form_.name);
    }

    ParsedGuard parse() {
        GuardStep &step = parsed_.step;
        step.path = reader_.path();
        step.table = name("table", 2, "table: customers", &parsed_.target);
        if (step.kind != GuardKind::reference || reader_.has("column"))
            step.column = name("column", 1, column_example(), &parsed_.target);
        switch (step.kind) {
        case GuardKind::prefix:
            parse_prefix();
            break;
        case GuardKind::tenant_key:
            step.mode = *mode_of(
                read_word(reader_.require("mode", "mode: fill"), reader_.path_of("mode"), {"fill", "reject", "warn"}));
            break;
        case GuardKind::same_tenant:
            parse_via();
            if (reader_.has("tenant")) step.tenant = name("tenant", 1, "tenant: company_id");
            break;
        case GuardKind::reference:
            step.via.push_back(name("via", 1, "via: owner_id", &parsed_.target));
            step.type_column = name("type_column", 1, "type_column: owner_type");
            parse_types();
            break;
        case GuardKind::acyclic:
        case GuardKind::immutable:
            break;
        }
        if (const Json *always = reader_.find("always")) {
            if (!always->is_boolean())
                fail_at(reader_.path_of("always"), "expected true or false", *always,
                        "Write for example always: true.");
            step.always = always->get<bool>();
        }
        return std::move(parsed_);
    }

private:
    std::string name(std::string_view field, std::size_t parts, std::string_view example,
                     std::vector<std::string> *resolved = nullptr) const {
        return read_name(reader_.require(field, example), reader_.path_of(field), parts, example, resolved);
    }

    std::string_view column_example() const {
        switch (parsed_.step.kind) {
        case GuardKind::prefix:
            return "column: scope_id";
        case GuardKind::acyclic:
            return "column: overrides_id";
        default:
            return "column: company_id";
        }
    }

    void parse_prefix() {
        GuardStep &step = parsed_.step;
        std::vector<std::string> key;
        step.key = name("key", 1, "key: domain", &key);
        if (key.back() == parsed_.target.back())
            fail_at(reader_.path_of("key"), "an id can't embed itself", *reader_.find("key"),
                    "Name the tenant key of the table, for example key: domain.");
        constexpr std::string_view example = "separator: '.'";
        const std::string path = reader_.path_of("separator");
        const Json &value = reader_.require("separator", example);
        step.separator = read_string(value, path, example);
        if (step.separator.empty())
            fail_at(path, "the separator is empty", value, "Write for example " + std::string(example) + ".");
        if (step.separator.size() > max_separator)
            fail_at(path, "the separator is too long", value,
                    "At most " + std::to_string(max_separator) + " bytes; write for example " + std::string(example) +
                        ".");
    }

    void parse_via() {
        constexpr std::string_view example = "via: staff_id";
        const Json &via = reader_.require("via", example);
        const std::string path = reader_.path_of("via");
        std::vector<std::string> columns;
        if (via.is_array()) {
            expect_list(via, path, max_columns, "columns", example);
            for (std::size_t i = 0; i < via.size(); ++i)
                parsed_.step.via.push_back(read_name(via[i], join_path(path, i), 1, example, &columns));
        } else {
            parsed_.step.via.push_back(read_name(via, path, 1, example, &columns));
        }
        for (std::size_t i = 0; i < columns.size(); ++i)
            if (std::find(columns.begin() + static_cast<std::ptrdiff_t>(i) + 1, columns.end(), columns[i]) !=
                columns.end())
                fail_at(path, "the same column twice", via, "Name the columns of one foreign key.");
        parsed_.target.insert(parsed_.target.end(), columns.begin(), columns.end());
    }

    void parse_types() {
        constexpr std::string_view example = "types: {Company: companies, Staff: staff}";
        const Json &types = reader_.require("types", example);
        const std::string path = reader_.path_of("types");
        if (!types.is_object() || types.empty())
            fail_at(path, "expected an object of type values and tables", types,
                    "Write for example " + std::string(example) + ".");
        if (types.size() > max_types)
            fail_at(path, "more than " + std::to_string(max_types) + " types", types, "Map the types that are in use.");
        for (const auto &item : types.items()) {
            const std::string here = join_path(path, item.key());
            const Json key(item.key());
            const std::string &type = read_string(key, here, example);
            parsed_.step.types.push_back({type, read_name(item.value(), here, 2, example)});
        }
    }

    Kind form_;
    Reader reader_;
    ParsedGuard parsed_;
};

} // namespace

ParsedGuard parse_guard(const Json &value, std::string path, int number) {
    if (!value.is_object())
        fail_at(path, "expected an object", value,
                "Write for example " + std::string(kind_of_step(GuardKind::tenant_key).example) + ".");
    const auto kind = value.find("kind");
    const std::string_view example = "kind: tenant_key";
    if (kind == value.end()) (void)Reader(value, path, all_fields()).require("kind", example);
    const std::string_view word = read_word(
        *kind, join_path(path, "kind"), {"prefix", "tenant_key", "same_tenant", "reference", "acyclic", "immutable"});
    ParsedGuard parsed = GuardParser(value, std::move(path), *kind_of(word)).parse();
    parsed.step.number = number;
    return parsed;
}

} // namespace tenantmig::core

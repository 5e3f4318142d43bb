#include "core/spec_backfill.hpp"
#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include <algorithm>
#include <nlohmann/json.hpp>

namespace tenantmig::core {
namespace {

constexpr std::size_t max_sources = 100;
constexpr std::size_t max_types = 100;
constexpr std::size_t max_hops = 20;
constexpr std::size_t max_conditions = 100;
constexpr std::size_t max_values = 10000;

// What makes a source different from another one: everything that it says, names as the database has them.
using Fingerprint = std::vector<std::string>;

struct ParsedSource {
    Source source;
    Fingerprint fingerprint;
};

// One element of a fingerprint. No name or value contains a NUL, so different parts never make the same text.
std::string packed(std::string text, const std::vector<std::string> &parts) {
    for (const std::string &part : parts)
        text.append(1, '\0').append(part);
    return text;
}

Condition parse_condition(const Json &value, const std::string &column, std::string path) {
    constexpr std::string_view example = "status: active, status: [active, paused] or deleted_at: null";
    Condition condition;
    condition.column = column;
    const auto take = [&](const Json &element, const std::string &where) {
        if (element.is_null())
            condition.or_null = true;
        else
            condition.values.push_back(read_scalar(element, where, true, example));
    };
    if (value.is_object())
        fail_at(path, "expected a value, null or a list of them", value,
                "Write for example " + std::string(example) + ".");
    if (value.is_array()) {
        expect_list(value, path, max_values, "values", example);
        for (std::size_t i = 0; i < value.size(); ++i)
            take(value[i], join_path(path, i));
    } else {
        take(value, path);
    }
    condition.path = std::move(path);
    return condition;
}

void parse_types(const Json &types, const std::string &path, ParsedSource &parsed) {
    constexpr std::string_view example = "types: {Invoice: invoices, Order: orders}";
    if (!types.is_object() || types.empty())
        fail_at(path, "expected an object of type values and tables", types,
                "Write for example " + std::string(example) + ".");
    if (types.size() > max_types)
        fail_at(path, "more than " + std::to_string(max_types) + " types", types, "Write several sources.");
    for (const auto &item : types.items()) {
        const std::string here = join_path(path, item.key());
        const Json key(item.key());
        const std::string &type_value = read_string(key, here, example);
        std::vector<std::string> table;
        parsed.source.types.push_back({type_value, read_name(item.value(), here, 2, example, &table)});
        parsed.fingerprint.push_back(packed(packed("type", {type_value}), table));
    }
}

void parse_via(const Json &via, const Reader &reader, ParsedSource &parsed) {
    constexpr std::string_view polymorphic_example =
        "{via: owner_id, type_column: owner_type, types: {Invoice: invoices, Order: orders}}";
    Source &source = parsed.source;
    std::vector<std::string> parts;
    const std::string path = reader.path_of("via");
    const std::string written = read_name(via, path, 3, "via: appointments.customer_id", &parts);
    source.label = written;
    const bool polymorphic = reader.has("type_column") || reader.has("types");
    if (polymorphic && parts.size() > 1)
        fail_at(path, "expected a column of the step's own table", via,
                "Write for example " + std::string(polymorphic_example) + ".");
    parsed.fingerprint = {packed("via", parts)};
    if (parts.size() > 1) {
        const std::size_t dot = last_separator(written);
        source.kind = SourceKind::children;
        source.table = trimmed(std::string_view(written).substr(0, dot));
        source.column = trimmed(std::string_view(written).substr(dot + 1));
        return;
    }
    source.column = source.label;
    source.kind = polymorphic ? SourceKind::polymorphic : SourceKind::parent;
    if (!polymorphic) return;
    parts.clear();
    source.type_column = read_name(reader.require("type_column", polymorphic_example), reader.path_of("type_column"), 1,
                                   polymorphic_example, &parts);
    parsed.fingerprint.push_back(packed("type_column", parts));
    parse_types(reader.require("types", polymorphic_example), reader.path_of("types"), parsed);
}

void parse_hops(const Json &hops, const Reader &reader, ParsedSource &parsed) {
    constexpr std::string_view example = "path: [order_id, customer_id]";
    const std::string path = reader.path_of("path");
    for (const std::string_view field : {"type_column", "types"})
        if (const Json *found = reader.find(field))
            fail_at(reader.path_of(field), "the field goes together with via, not with path", *found,
                    "Write for example {via: owner_id, type_column: owner_type, types: {Invoice: invoices}}.");
    expect_list(hops, path, max_hops, "columns", example);
    parsed.source.kind = SourceKind::path;
    std::vector<std::string> resolved;
    for (std::size_t i = 0; i < hops.size(); ++i) {
        parsed.source.hops.push_back(read_name(hops[i], join_path(path, i), 1, example, &resolved));
        if (i > 0) parsed.source.label += '/';
        parsed.source.label += parsed.source.hops.back();
    }
    parsed.fingerprint = {packed(hops.size() == 1 ? "via" : "path", resolved)}; // one hop is what via says as well
}

ParsedSource parse_source(const Json &value, std::string path) {
    if (value.is_string())
        fail_at(path, "expected an object", value, "Write {via: " + value.get<std::string>().substr(0, 64) + "}.");
    const Reader reader(value, path, {"via", "path", "type_column", "types", "references", "tenant", "where"});
    const Json *via = reader.find("via");
    const Json *hops = reader.find("path");
    if (!via == !hops)
        fail_at(
            path, via ? "a source has via or path, not both" : "a source needs via or path", value,
            "Write for example {via: appointments.customer_id}, {via: branch_id} or {path: [order_id, customer_id]}.");
    ParsedSource parsed;
    if (via)
        parse_via(*via, reader, parsed);
    else
        parse_hops(*hops, reader, parsed);
    if (const Json *references = reader.find("references")) {
        const std::string here = reader.path_of("references");
        if (parsed.source.kind != SourceKind::parent || !via)
            fail_at(here, "goes with a column of the step's own table only", *references,
                    "Write for example {via: branch_id, references: branches.id}.");
        read_table_column(*references, here, "references: branches.id", parsed.source.references_table,
                          parsed.source.references_column);
        parsed.fingerprint.push_back(
            packed("references", {parsed.source.references_table, parsed.source.references_column}));
    }
    if (const Json *tenant = reader.find("tenant")) {
        std::vector<std::string> resolved;
        parsed.source.tenant = read_name(*tenant, reader.path_of("tenant"), 1, "tenant: company_id", &resolved);
        parsed.fingerprint.push_back(packed("tenant", resolved));
    }
    parsed.source.where = parse_where(reader.find("where"), reader.path_of("where"), &parsed.fingerprint);
    parsed.source.path = std::move(path);
    return parsed;
}

std::vector<Source> parse_sources(const Json &value, const std::string &path) {
    expect_list(value, path, max_sources, "sources", "sources: [{via: appointments.customer_id}]");
    std::vector<Source> sources;
    std::vector<Fingerprint> seen;
    std::vector<std::string> labels;
    for (std::size_t i = 0; i < value.size(); ++i) {
        ParsedSource parsed = parse_source(value[i], join_path(path, i));
        if (const auto same = std::find(seen.begin(), seen.end(), parsed.fingerprint); same != seen.end())
            fail(parsed.source.path, "the same source twice",
                 "It says the same as " + sources[static_cast<std::size_t>(same - seen.begin())].path + ".",
                 "Remove one of them; counted twice, its rows would outvote the others.");
        // Counts, log and reviews name sources by label: sources that differ in their conditions only are numbered.
        const auto uses = std::count(labels.begin(), labels.end(), parsed.source.label);
        labels.push_back(parsed.source.label);
        if (uses > 0) parsed.source.label += " #" + std::to_string(uses + 1);
        seen.push_back(std::move(parsed.fingerprint));
        sources.push_back(std::move(parsed.source));
    }
    return sources;
}

void parse_on_orphan(const Json &value, const Reader &reader, BackfillStep &step) {
    const std::string path = reader.path_of("on_orphan");
    if (value.is_object()) {
        const Reader assign(value, path, {"assign"});
        constexpr std::string_view example = "on_orphan: {assign: 7}";
        const Json &tenant = assign.require("assign", example);
        step.assign = read_scalar(tenant, assign.path_of("assign"), false, example);
        if (step.assign.empty())
            fail_at(assign.path_of("assign"), "the tenant is empty", tenant, "Name a tenant of the tenant root.");
        step.on_orphan = OnOrphan::assign;
        return;
    }
    if (value == Json("assign"))
        fail_at(path, "assign needs a tenant", value, "Write for example on_orphan: {assign: 7}.");
    const std::string_view word = read_word(value, path, {"review", "soft_delete", "fail"});
    step.on_orphan = word == "review" ? OnOrphan::review : word == "fail" ? OnOrphan::fail : OnOrphan::soft_delete;
    if (step.on_orphan == OnOrphan::soft_delete && !step.soft_delete)
        fail_at(path, "soft_delete needs to know the column that marks deleted rows", value,
                "Add the field to the step, for example soft_delete: deleted_at.");
}

void parse_preflight(const Json &value, std::string path, PreflightLimits &limits) {
    const Reader reader(value, std::move(path), {"min_coverage", "max_conflicts", "expected_nulls"});
    if (const Json *share = reader.find("min_coverage"))
        limits.min_coverage = read_share(*share, reader.path_of("min_coverage"));
    if (const Json *count = reader.find("max_conflicts"))
        limits.max_conflicts = read_integer(*count, reader.path_of("max_conflicts"), 1,
                                            "max_conflicts: 1 (the check fails at this number or more)");
    if (const Json *count = reader.find("expected_nulls"))
        limits.expected_nulls = read_integer(*count, reader.path_of("expected_nulls"), 0, "expected_nulls: 31");
}

} // namespace

std::vector<Condition> parse_where(const Json *where, const std::string &path, std::vector<std::string> *fingerprint) {
    std::vector<Condition> conditions;
    if (!where) return conditions;
    if (!where->is_object())
        fail_at(path, "expected an object of columns and values", *where,
                "Conditions are structured, not SQL: write for example where: {status: [a, b], deleted_at: null}.");
    if (where->size() > max_conditions)
        fail_at(path, "more than " + std::to_string(max_conditions) + " columns", *where, "Ask for fewer columns.");
    std::vector<std::string> columns;
    for (const auto &item : where->items()) {
        std::string here = join_path(path, item.key());
        std::vector<std::string> resolved;
        const std::string column = read_name(Json(item.key()), here, 1, "where: {status: active}", &resolved);
        if (std::find(columns.begin(), columns.end(), resolved.front()) != columns.end())
            fail(here, "the column is there twice", "Capitals do not count in a name without double quotes.",
                 "Put all values of a column into one list.");
        columns.push_back(resolved.front());
        conditions.push_back(parse_condition(item.value(), column, std::move(here)));
        if (!fingerprint) continue;
        std::vector<std::string> values = conditions.back().values;
        std::sort(values.begin(), values.end());
        fingerprint->push_back(packed(packed(conditions.back().or_null ? "where or null" : "where", resolved), values));
    }
    return conditions;
}

ParsedBackfill parse_backfill(const Json &value, std::string path, int number) {
    const Reader reader(
        value, path,
        {"table", "column", "soft_delete", "sources", "evidence", "on_conflict", "on_orphan", "where", "preflight"});
    ParsedBackfill parsed;
    BackfillStep &step = parsed.step;
    step.number = number;
    const auto name = [&](std::string_view field, std::size_t parts, std::string_view example,
                          std::vector<std::string> *resolved) {
        return read_name(reader.require(field, example), reader.path_of(field), parts, example, resolved);
    };
    step.table = name("table", 2, "table: customers", &parsed.target);
    step.column = name("column", 1, "column: company_id", &parsed.target);
    if (reader.has("soft_delete")) {
        std::vector<std::string> resolved;
        step.soft_delete = name("soft_delete", 1, "soft_delete: deleted_at", &resolved);
        if (resolved.front() == parsed.target.back())
            fail_at(reader.path_of("soft_delete"), "the column is the tenant key itself",
                    reader.require("soft_delete", ""),
                    "Name the column that marks deleted rows, for example soft_delete: deleted_at.");
    }
    step.sources = parse_sources(reader.require("sources", "sources: [{via: appointments.customer_id}]"),
                                 reader.path_of("sources"));
    if (const Json *evidence = reader.find("evidence"))
        step.evidence = read_word(*evidence, reader.path_of("evidence"), {"unanimous", "first"}) == "first"
                            ? Evidence::first
                            : Evidence::unanimous;
    if (const Json *policy = reader.find("on_conflict")) {
        const std::string_view word = read_word(*policy, reader.path_of("on_conflict"), {"review", "majority", "fail"});
        step.on_conflict = word == "review" ? OnConflict::review
                           : word == "fail" ? OnConflict::fail
                                            : OnConflict::majority;
    }
    if (const Json *policy = reader.find("on_orphan")) parse_on_orphan(*policy, reader, step);
    step.where = parse_where(reader.find("where"), reader.path_of("where"));
    if (const Json *limits = reader.find("preflight"))
        parse_preflight(*limits, reader.path_of("preflight"), step.preflight);
    step.path = std::move(path);
    return parsed;
}

} // namespace tenantmig::core

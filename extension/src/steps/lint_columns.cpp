// Columns by what they hold: enumerations, JSON, points in time, amounts, numbers that run out.
#include "core/undo_text.hpp"

#include "steps/lint_checks.hpp"

namespace tenantmig {

namespace {
constexpr int most_labels = 20;              // a column of more values is no enumeration
constexpr int sample_rows = 10000;           // looked at to tell
constexpr double worn = 0.5, worn_out = 0.9; // share of a sequence that is used up

bool any_of(std::string_view name, std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return name == word || name.ends_with("_" + std::string(word)); });
}

bool like_enum(const LintColumn &column) {
    return column.is_text() && !column.generated &&
           any_of(column.name, {"status", "state", "kind", "type", "priority", "channel", "reason", "level", "mode",
                                "category", "severity", "stage", "phase", "role", "plan", "currency", "gender"});
}

bool checked(const LintTable &table, const LintColumn &column) {
    return column.domain || std::any_of(table.checks.begin(), table.checks.end(),
                                        [&](const LintCheck &check) { return check.is_about(column.number); });
}

bool lists_values(const LintTable &table, const LintColumn &column) {
    return std::any_of(table.checks.begin(), table.checks.end(), [&](const LintCheck &check) {
        return check.is_about(column.number) && check.expression.find("ANY (ARRAY[") != std::string::npos;
    });
}

bool referencing(const LintTable &table, AttrNumber column) {
    for (const LintForeignKey &key : table.foreign_keys)
        if (std::find(key.from_columns.begin(), key.from_columns.end(), column) != key.from_columns.end()) return true;
    return false;
}

bool in_pair(const LintTable &table, const LintColumn &column) {
    for (const PolymorphicPair &pair : polymorphic_pairs(table))
        if (pair.type->number == column.number) return true;
    return false;
}

void check_text_enum(Lint &lint, const LintTable &table, const LintColumn &column) {
    if (!like_enum(column) || checked(table, column) || referencing(table, column.number) || in_pair(table, column))
        return;
    const auto values = lint.values(table, column, most_labels + 1, sample_rows);
    if (values && values->size() > most_labels) return;
    std::string list;
    for (const std::string &value : values.value_or(std::vector<std::string>()))
        list += (list.empty() ? "" : ", ") + core::sql_literal(value);
    lint.add(Severity::warning, "enum_text", object_name(table, column.name),
             fmt::format("It is {} and called like an enumeration, and any text passes.{}", column.type_name,
                         list.empty() ? "" : fmt::format(" It holds {}.", list)),
             list.empty() ? fmt::format("-- ALTER TABLE {0} ADD CHECK ({1} IN (…)) NOT VALID;", table.label(),
                                        quoted(column.name))
                          : fmt::format("ALTER TABLE {} ADD CHECK ({} IN ({})) NOT VALID; -- then VALIDATE CONSTRAINT",
                                        table.label(), quoted(column.name), list));
    if (!values) return;
    std::map<std::string, std::string> seen; // 'Open' and 'open ' are one label written twice
    for (const std::string &value : *values) {
        std::string plain;
        for (char c : value)
            if (c != ' ' && c != '-' && c != '_')
                plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        auto [other, is_new] = seen.emplace(plain, value);
        if (!is_new)
            lint.add(Severity::warning, "enum_spelling", object_name(table, column.name),
                     fmt::format("{} and {} are one value in two spellings.", core::sql_literal(other->second),
                                 core::sql_literal(value)),
                     fmt::format("UPDATE {0} SET {1} = {2} WHERE {1} = {3};", table.label(), quoted(column.name),
                                 core::sql_literal(other->second), core::sql_literal(value)));
    }
}

void check_labels(Lint &lint, const LintTable &table, const LintColumn &column) {
    auto labels = lint.model.labels.find(column.type);
    if (labels == lint.model.labels.end()) return;
    const auto used = lint.values(table, column, static_cast<int>(labels->second.size()) + 1, 0);
    if (!used || used->empty()) return; // an empty table says nothing
    std::string unused;
    for (const std::string &label : labels->second)
        if (std::find(used->begin(), used->end(), label) == used->end())
            unused += (unused.empty() ? "" : ", ") + core::sql_literal(label);
    if (!unused.empty())
        lint.add(Severity::info, "enum_label_unused", object_name(table, column.name),
                 fmt::format("No row holds {} of {}.", unused, column.type_name),
                 "-- a label cannot be taken off a type; a new type without it can be made");
}

void check_json(Lint &lint, const LintTable &table, const LintColumn &column) {
    const std::string object = object_name(table, column.name), name = quoted(column.name);
    const bool is_json = column.type == JSONOID, is_jsonb = column.type == JSONBOID;
    if (!is_json && !is_jsonb) {
        if (column.is_text() && any_of(column.name, {"json", "metadata", "config", "settings", "payload", "preferences",
                                                     "attributes", "properties"}))
            lint.add(Severity::info, "json_in_text", object,
                     fmt::format("It is {} and called like JSON: nothing keeps it well-formed.", column.type_name),
                     fmt::format("ALTER TABLE {0} ALTER {1} TYPE jsonb USING {1}::jsonb; -- rewrites the table",
                                 table.label(), name));
        return;
    }
    if (is_json)
        lint.add(Severity::warning, "json_type", object,
                 "It is json: kept as text, parsed at every reading, without equality and without indexes.",
                 fmt::format("ALTER TABLE {0} ALTER {1} TYPE jsonb USING {1}::jsonb; -- rewrites the table",
                             table.label(), name));
    if (!column.not_null)
        lint.add(Severity::warning, "json_nullable", object,
                 "It may be NULL: SQL's NULL, the JSON null and {} are three ways to say nothing.",
                 fmt::format("UPDATE {0} SET {1} = '{{}}' WHERE {1} IS NULL; ALTER TABLE {0} ALTER {1} SET NOT NULL;",
                             table.label(), name));
    if (!column.has_default && !column.generated)
        lint.add(Severity::info, "json_default", object, "It has no default.",
                 fmt::format("ALTER TABLE {} ALTER {} SET DEFAULT '{{}}';", table.label(), name));
    bool typed = column.domain;
    for (const LintCheck &check : table.checks)
        typed = typed || (check.is_about(column.number) && check.expression.find("typeof(") != std::string::npos);
    if (!typed)
        lint.add(
            Severity::warning, "json_object", object,
            "No check says that it is an object: a list, a number or a string passes too.",
            fmt::format("ALTER TABLE {} ADD CHECK ({}_typeof({}) = 'object') NOT VALID; -- then VALIDATE CONSTRAINT",
                        table.label(), is_json ? "json" : "jsonb", name));
}

// period_start and period_end, valid_from and valid_to, starts_at and ends_at.
void check_period(Lint &lint, const LintTable &table, const LintColumn &start) {
    static constexpr std::pair<std::string_view, std::string_view> words[] = {
        {"start", "end"}, {"starts", "ends"}, {"from", "to"}, {"from", "until"}, {"begin", "end"}, {"opens", "closes"}};
    if (start.category != 'D') return;
    for (const auto &[first, last] : words)
        for (std::size_t at = start.name.find(first); at != std::string::npos; at = start.name.find(first, at + 1)) {
            std::string name = start.name;
            name.replace(at, first.size(), last);
            const LintColumn *end = table.find(name);
            if (!end || end->type != start.type) continue;
            const bool ordered = std::any_of(table.checks.begin(), table.checks.end(), [&](const LintCheck &check) {
                return check.is_about(start.number) && check.is_about(end->number);
            });
            if (!ordered)
                lint.add(Severity::info, "period_order", object_name(table, start.name),
                         fmt::format("Nothing keeps {} from lying before it.", quoted(end->name)),
                         fmt::format("ALTER TABLE {} ADD CHECK ({} >= {}) NOT VALID; -- then VALIDATE CONSTRAINT",
                                     table.label(), quoted(end->name), quoted(start.name)));
        }
}

void check_types(Lint &lint, const LintTable &table, const LintColumn &column) {
    const std::string object = object_name(table, column.name), name = quoted(column.name);
    const LintColumn *soft_delete = soft_delete_of(table);
    if (column.type == TIMESTAMPOID && !(soft_delete && soft_delete->number == column.number))
        lint.add(Severity::warning, "timestamp_without_zone", object,
                 "It is a timestamp without time zone: which instant it means depends on who reads it.",
                 fmt::format("ALTER TABLE {0} ALTER {1} TYPE timestamptz USING {1} AT TIME ZONE 'UTC'; -- rewrites the "
                             "table unless the session's TimeZone is UTC",
                             table.label(), name));
    if ((column.type == FLOAT4OID || column.type == FLOAT8OID || column.type == CASHOID) &&
        any_of(column.name, {"fee", "amount", "price", "total", "cost", "balance", "charged", "tax", "discount"}))
        lint.add(Severity::warning, "money_type", object,
                 fmt::format("It is {}: amounts of money are rounded, or depend on the locale.", column.type_name),
                 fmt::format("ALTER TABLE {} ALTER {} TYPE numeric(12,2); -- rewrites the table", table.label(), name));
    check_period(lint, table, column);
}
} // namespace

void lint_enums(Lint &lint) {
    for (const LintTable *table : lint.model.scope()) {
        std::string by_type, by_check;
        AttrNumber first = 0;
        for (const LintColumn &column : table->columns) {
            check_text_enum(lint, *table, column);
            if (column.is_enum()) {
                check_labels(lint, *table, column);
                by_type += (by_type.empty() ? "" : ", ") + quoted(column.name);
            } else if (column.is_text() && lists_values(*table, column) && !in_pair(*table, column)) {
                by_check += (by_check.empty() ? "" : ", ") + quoted(column.name);
                if (!first) first = column.number;
            }
        }
        if (!by_type.empty() && !by_check.empty())
            lint.add(Severity::info, "enum_mixed", table->label(),
                     fmt::format("Enumerations are kept in two ways here: by type ({}) and by check ({}).", by_type,
                                 by_check),
                     "-- a check can be changed without a new type, a type is shared between tables: choose one");
        for (const LintCheck &check : table->checks)
            if (!check.validated)
                lint.add(Severity::warning, "check_not_valid", object_name(*table, check.name),
                         "The check is NOT VALID: rows that were there before have never been looked at, and an UPDATE "
                         "of one that fails it is refused.",
                         fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {};", table->label(), quoted(check.name)));
    }
}

void lint_json(Lint &lint) {
    for (const LintTable *table : lint.model.scope())
        for (const LintColumn &column : table->columns)
            check_json(lint, *table, column);
}

void lint_columns(Lint &lint) {
    for (const LintTable *table : lint.model.scope()) {
        for (const LintColumn &column : table->columns)
            check_types(lint, *table, column);
        for (const LintSequence &sequence : table->sequences)
            if (sequence.used >= worn)
                lint.add(sequence.used >= worn_out ? Severity::error : Severity::warning, "sequence_exhaustion",
                         object_name(*table, table->at(sequence.column).name),
                         fmt::format("{} has used up {:.0f} % of what {} can hold.", sequence.name,
                                     std::floor(sequence.used * 100), table->at(sequence.column).type_name),
                         fmt::format("ALTER TABLE {} ALTER {} TYPE bigint; -- rewrites the table", table->label(),
                                     quoted(table->at(sequence.column).name)));
    }
}

} // namespace tenantmig

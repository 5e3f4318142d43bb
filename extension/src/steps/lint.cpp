#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include "core/undo_text.hpp"

#include "bridge/identity.hpp"
#include "bridge/subtransaction.hpp"
#include "steps/ddl_watch_parts.hpp"
#include "steps/lint.hpp"
#include "steps/lint_checks.hpp"

namespace tenantmig {

namespace {
constexpr const char *severity_names[] = {"info", "warning", "error"};

int rank(const core::Finding &finding) {
    return finding.severity == "error" ? 0 : finding.severity == "warning" ? 1 : 2;
}
} // namespace

namespace {
// A comment of ours runs to the end of the remedy. Names in it are other people's: a line break would end the comment,
// and what follows would be run by whoever pastes it.
std::string on_one_line(std::string remedy) {
    char quote = 0;
    bool comment = false;
    for (std::size_t i = 0; i < remedy.size(); i++) {
        char &c = remedy[i];
        if (comment) {
            if (c == '\n' || c == '\r') c = ' ';
        } else if (quote) {
            if (c == quote) quote = 0; // a doubled one opens again at once
        } else if (c == '\'' || c == '"') {
            quote = c;
        } else if (c == '-' && i + 1 < remedy.size() && remedy[i + 1] == '-') {
            comment = true;
        }
    }
    return remedy;
}
} // namespace

void Lint::add(Severity severity, const char *check, const std::string &object, std::string detail,
               std::string remedy) {
    std::string key = fmt::format("{}:{}", check, object);
    for (const core::Finding &known : findings)
        if (known.key == key) return; // said already: several constraints over the same columns
    findings.push_back({severity_names[static_cast<int>(severity)], check, object, std::move(detail),
                        on_one_line(std::move(remedy)), std::move(key), std::nullopt});
}

std::optional<Lint::Matrix> Lint::read(const std::vector<const LintTable *> &of, const std::string &sql, int columns) {
    if (!with_data) return std::nullopt;
    std::string reason;
    std::set<Oid> tried;
    for (const LintTable *table : of) {
        if (!tried.insert(table->owner).second) continue;
        if (!has_privileges_of(table->owner)) {
            reason = fmt::format("{} has not the privileges of the owner, {}.", core::excerpt(current_user_name()),
                                 core::excerpt(role_name(table->owner)));
            continue;
        }
        try {
            Subtransaction attempt;
            Matrix matrix;
            {
                RunAs owner(table->owner, Purpose::read);
                Rows rows = run_query(sql, {}, true);
                for (std::size_t i = 0; i < rows.size(); i++) {
                    matrix.emplace_back();
                    for (int column = 1; column <= columns; column++)
                        matrix.back().push_back(rows.text(i, column));
                }
            }
            attempt.commit();
            return matrix;
        } catch (const PgError &error) {
            const int state = error.data()->sqlerrcode;
            if (ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION || state == ERRCODE_OUT_OF_MEMORY) throw;
            reason = fmt::format("As {}: {} (SQLSTATE {}).", core::excerpt(role_name(table->owner)),
                                 core::excerpt(error.what(), 200), unpack_sql_state(state));
        }
    }
    for (const LintTable *table : of)
        unread.insert(table->oid);
    add(Severity::warning, "rows_not_counted", of.front()->label(),
        fmt::format("Rows could not be counted, so nothing is known of them. {}", reason),
        fmt::format("-- let {}, who owns it, or a superuser call lint", quoted(role_name(of.front()->owner))));
    return std::nullopt;
}

std::optional<std::int64_t> Lint::count(const std::vector<const LintTable *> &of, const std::string &sql) {
    const auto matrix = read(of, sql, 1);
    if (!matrix || matrix->empty() || !matrix->front().front()) return std::nullopt;
    return std::strtoll(matrix->front().front()->c_str(), nullptr, 10);
}

std::optional<std::vector<std::string>> Lint::values(const LintTable &table, const LintColumn &column, int limit,
                                                     int sample) {
    const std::string name = quoted(column.name);
    const std::string rows = fmt::format("SELECT t.{0} AS v FROM {1} AS t WHERE t.{0} IS NOT NULL{2}", name,
                                         table.target(), sample ? fmt::format(" LIMIT {}", sample) : "");
    const auto matrix =
        read({&table},
             fmt::format("SELECT DISTINCT CAST(s.v AS pg_catalog.text) COLLATE \"C\" FROM ({}) AS s ORDER BY "
                         "1 LIMIT {}",
                         rows, limit),
             1);
    if (!matrix) return std::nullopt;
    std::vector<std::string> result;
    for (const auto &row : *matrix)
        result.push_back(row.front().value_or(""));
    return result;
}

AttrNumber Lint::tenant_of(const LintTable &table) const {
    return table.oid == model.root ? model.root_key : table.tenant_key;
}

std::string Lint::key_name() const {
    return model.key_name.empty() ? "tenant_id" : model.key_name;
}

std::string object_name(const LintTable &table, const std::string &part) {
    return table.label() + "." + quoted(part);
}

std::string create_index(const LintTable &table, const std::vector<AttrNumber> &columns, const char *what,
                         const std::string &tail) {
    return fmt::format("CREATE {}{} ON {} ({}){};", what, table.kind == RELKIND_RELATION ? " CONCURRENTLY" : "",
                       table.label(), table.list(columns), tail);
}

std::string attach_guard_call(const LintTable &table, const std::string &column, const char *kind,
                              const std::string &options) {
    return fmt::format("SELECT * FROM tenantmig.attach_guard(relation => {}, column_name => {}, kind => '{}'{});",
                       core::sql_literal(table.label()), column.empty() ? "NULL" : core::sql_literal(quoted(column)),
                       kind, options.empty() ? "" : fmt::format(", options => {}", core::sql_literal(options)));
}

std::string replace_foreign_key(const LintModel &model, const LintTable &table, const LintForeignKey &key,
                                const std::string &action) {
    const LintTable *to = model.find(key.to);
    if (!to) return {};
    return fmt::format("ALTER TABLE {0} DROP CONSTRAINT {1}, ADD CONSTRAINT {1} FOREIGN KEY ({2}) REFERENCES {3} "
                       "({4}){5}{6};{7}",
                       table.label(), quoted(key.name), table.list(key.from_columns), to->label(),
                       to->list(key.to_columns), action, table.kind == RELKIND_RELATION ? " NOT VALID" : "",
                       table.kind == RELKIND_RELATION
                           ? fmt::format(" ALTER TABLE {} VALIDATE CONSTRAINT {};", table.label(), quoted(key.name))
                           : "");
}

std::string join_condition(const LintModel &model, const LintTable &table, const LintForeignKey &key) {
    const LintTable &to = *model.find(key.to);
    std::string condition;
    for (std::size_t i = 0; i < key.from_columns.size(); i++)
        condition += fmt::format("{}p.{} {} c.{}", i ? " AND " : "", quoted(to.at(key.to_columns[i]).name),
                                 key.operators.at(i), quoted(table.at(key.from_columns[i]).name));
    return condition;
}

std::string same_value(const std::string &a, const LintColumn &of_a, const std::string &b, const LintColumn &of_b) {
    if (of_a.type == of_b.type && of_a.collation == of_b.collation)
        return fmt::format("{} {} {}", a, equality_operator(of_a.type), b);
    return fmt::format("CAST({} AS pg_catalog.text) COLLATE \"C\" OPERATOR(pg_catalog.=) CAST({} AS pg_catalog.text) "
                       "COLLATE \"C\"",
                       a, b);
}

namespace {
// Names of a spec, as far as lint needs them.
struct SpecNames {
    std::string root_key;
    std::set<std::string> keys;
    std::vector<std::pair<core::Exemption, std::string>> exemptions; // with the migration's name
};

std::vector<std::string> parts_of(const std::string &name) {
    std::vector<std::string> parts;
    for (const core::Identifier &part : core::split_identifier(name))
        parts.push_back(part.text);
    return parts;
}

// A name of a spec as a table of the model, by the search_path of the session that made the migration.
Oid table_of(const LintModel &model, const std::string &written, const std::string &search_path, Oid near) {
    const std::vector<std::string> parts = parts_of(written);
    std::vector<std::string> schemas;
    if (parts.size() > 1) {
        schemas.push_back(parts[parts.size() - 2]);
    } else {
        Rows rows = own_query("SELECT regexp_split_to_table($1, '\\s*,\\s*')", {text_value(search_path)});
        for (std::size_t i = 0; i < rows.size(); i++) {
            std::string schema = rows.text_or(i, 1);
            if (schema.size() > 1 && schema.front() == '"') schema = schema.substr(1, schema.size() - 2);
            schemas.push_back(schema);
        }
        if (near != InvalidOid) schemas.push_back(model.tables.at(near).schema);
    }
    for (const std::string &schema : schemas)
        for (const auto &[oid, table] : model.tables)
            if (table.schema == schema && table.name == parts.back()) return oid;
    return InvalidOid;
}

SpecNames read_specs(const LintModel &model, const LintOptions &options, Oid root) {
    SpecNames names;
    std::vector<std::pair<std::string, std::string>> rekeyed; // the key that was, and the one that is to be
    std::vector<std::string> migrations;
    if (options.migration) {
        migrations.push_back(*options.migration);
    } else {
        Rows rows = own_query("SELECT m.name FROM tenantmig.migration m ORDER BY m.id");
        for (std::size_t i = 0; i < rows.size(); i++)
            migrations.push_back(rows.text_or(i, 1));
    }
    for (const std::string &name : migrations) {
        const MigrationRecord migration = get_migration(name);
        const core::Spec spec = core::parse_spec_text(migration.spec);
        const std::vector<KnownTable> tables = known_tables(migration);
        const KnownTable *known = find_table(tables, spec.tenants_table);
        const Oid its_root =
            known ? known->oid : table_of(model, spec.tenants_table, migration.search_path, InvalidOid);
        if (!options.migration && its_root != root) continue;
        if (!spec.tenants_key.empty()) names.root_key = parts_of(spec.tenants_key).back();
        const auto add = [&](const std::string &column) {
            if (!column.empty()) names.keys.insert(parts_of(column).back());
        };
        for (const core::BackfillStep &step : spec.steps)
            add(step.column);
        for (const core::GuardStep &step : spec.guards)
            if (step.kind == core::GuardKind::tenant_key || step.kind == core::GuardKind::same_tenant) add(step.column);
        for (const core::RekeyStep &step : spec.rekeys) {
            add(step.column);
            rekeyed.emplace_back(parts_of(step.id).back(), parts_of(step.column).back());
        }
        for (const core::ConstraintStep &step : spec.constraints)
            if (step.references_table == spec.tenants_table) add(step.column);
        for (const core::IsolateStep &step : spec.isolations)
            for (const core::IsolateTable &table : step.tables)
                add(table.column);
        for (const core::Exemption &exemption : spec.exempt)
            if (!exemption.finding.starts_with("probe.")) // of probe_isolation()
                names.exemptions.emplace_back(exemption, migration.name);
    }
    // The spec names the key as it was before its own steps.
    const LintTable &table = model.tables.at(root);
    const LintIndex *primary = table.primary_key();
    for (const auto &[before, after] : rekeyed)
        if (const LintColumn *column = table.find(after);
            column && (before == names.root_key || names.root_key.empty()) && primary &&
            (primary->contains(column->number) || !table.find(before)))
            names.root_key = after;
    return names;
}

Oid find_root(const LintModel &model, const std::string &written) {
    const Oid root = lookup_table(parts_of(written));
    if (!OidIsValid(root))
        throw Error(sqlstate::undefined_table, fmt::format("table {} does not exist", core::excerpt(written)), {},
                    "Name the tenant root, such as 'companies', with its schema if it is not in the search_path.");
    if (!model.tables.contains(root))
        throw Error(sqlstate::wrong_object_type, fmt::format("{} is not a table of yours", core::excerpt(written)),
                    "It is a view, an index, a partition, a temporary or foreign table, or belongs to an extension.",
                    "Name the table with one row per tenant.");
    return root;
}

void require_schemas(const LintModel &model, const std::vector<std::string> &schemas) {
    for (const std::string &schema : schemas) {
        const bool known = std::any_of(model.tables.begin(), model.tables.end(),
                                       [&](const auto &entry) { return entry.second.schema == schema; });
        if (!known)
            throw Error(sqlstate::undefined_object,
                        fmt::format("schema {} has no table of yours", core::excerpt(schema)), {},
                        "Names of schemas are taken as written: schemas => '{public}'.");
    }
}

// Marks findings that a migration exempts, and reports exemptions that are of no use any more.
void apply_exemptions(Lint &lint, const SpecNames &names, const LintOptions &options) {
    std::vector<core::Finding> unneeded;
    for (const auto &[exemption, migration] : names.exemptions) {
        std::string shown = exemption.finding;
        bool used = false, judged = true;
        if (exemption.finding.empty()) {
            const Oid oid =
                table_of(lint.model, exemption.table, get_migration(migration).search_path, lint.model.root);
            const LintTable *table = lint.model.find(oid);
            shown = table ? table->label() : exemption.table;
            judged = !table || table->in_scope;
            for (core::Finding &finding : lint.findings)
                if (table && finding.object == table->label() &&
                    (finding.check_name == "tenant_key_missing" || finding.check_name == "table_without_tenant")) {
                    finding.exempt = exemption.reason;
                    used = true;
                }
        } else {
            for (core::Finding &finding : lint.findings)
                if (finding.key == exemption.finding) {
                    finding.exempt = exemption.reason;
                    used = true;
                }
            // Whether a finding has gone is known only if what it is about was looked at.
            for (const auto &[oid, table] : lint.model.tables) {
                const std::string at = ":" + table.label();
                const std::size_t found = exemption.finding.find(at);
                if (found == std::string::npos) continue;
                const std::size_t end = found + at.size();
                if (end != exemption.finding.size() && exemption.finding[end] != '.') continue;
                if (!table.in_scope || lint.unread.contains(oid)) judged = false;
            }
            if (!options.with_data || (!options.schemas.empty() && !used)) judged = judged && options.with_data;
        }
        if (used || !judged) continue;
        const std::string object = fmt::format("{}.{}", core::display_identifier(migration), shown);
        unneeded.push_back(
            {"warning", "exemption_unneeded", object,
             fmt::format("Migration {} exempts {} ({}), and there is no such finding any more.",
                         core::excerpt(migration), core::excerpt(shown, 200), core::excerpt(exemption.reason, 200)),
             fmt::format("-- take {} off the list exempt of the spec of {}", core::excerpt(shown, 200),
                         core::excerpt(migration)),
             "exemption_unneeded:" + object, std::nullopt});
    }
    for (core::Finding &finding : unneeded)
        lint.findings.push_back(std::move(finding));
}
} // namespace

std::vector<core::Finding> lint_schema(const LintOptions &options) {
    LintModel model = read_lint_model();
    const Oid root = find_root(model, options.tenant_root);
    require_schemas(model, options.schemas);
    if (options.tenant_key && options.tenant_key->empty())
        throw Error(sqlstate::undefined_column, "argument \"tenant_key\" is empty", {},
                    "Name the column of the tenant root that tenant keys refer to, or leave the argument out.");
    const SpecNames names = read_specs(model, options, root);
    find_tenant_keys(model, root, options.tenant_key.value_or(names.root_key), names.keys, options.schemas);
    Lint lint(model, options.with_data);
    for (auto *check : {lint_tables, lint_tenant_keys, lint_foreign_keys, lint_references, lint_indexes, lint_unique,
                        lint_enums, lint_json, lint_columns, lint_polymorphic, lint_soft_delete, lint_isolation})
        check(lint);
    apply_exemptions(lint, names, options);
    std::stable_sort(lint.findings.begin(), lint.findings.end(), [](const core::Finding &a, const core::Finding &b) {
        return std::forward_as_tuple(rank(a), a.check_name, a.object) <
               std::forward_as_tuple(rank(b), b.check_name, b.object);
    });
    return std::move(lint.findings);
}

} // namespace tenantmig

// Ways around policies: views and functions that read as somebody else, copies of the rows, and what is published.
#include "core/excerpt.hpp"

#include "catalog/own_tables.hpp"
#include "steps/lint_isolation.hpp"

#include <cctype>

namespace tenantmig {

namespace {
const std::set<std::string> reading = {"SELECT"};

bool for_application(const IsolationModel &model, const std::map<Oid, std::set<std::string>> &grantees) {
    return std::any_of(grantees.begin(), grantees.end(), [&](const auto &entry) {
        return entry.first == everybody || std::any_of(model.application.begin(), model.application.end(),
                                                       [&](Oid role) { return model.has(role, entry.first); });
    });
}

// Who can read a view: by a right on it, or on one that reads it as its owner.
std::map<Oid, std::set<std::string>> readers_of(const IsolationModel &model, const LintView &view,
                                                std::set<Oid> &seen) {
    auto result = model.granted(model.rights(view.oid), reading, true);
    for (const auto &[oid, above] : model.views)
        if (above.reads.contains(view.oid) && seen.insert(oid).second)
            for (const auto &[grantee, privileges] : readers_of(model, above, seen))
                result[grantee].insert(privileges.begin(), privileges.end());
    result.erase(view.owner);
    return result;
}

// Tables that a view reads, itself or through other views, whoever they are read as.
void tables_below(const IsolationModel &model, const std::set<Oid> &reads, std::set<Oid> &seen,
                  std::set<const SecuredTable *> &tables) {
    for (Oid oid : reads) {
        if (!seen.insert(oid).second) continue;
        if (const SecuredTable *table = model.find(oid); table && table->row_security && !table->keys.empty())
            tables.insert(table);
        if (const auto view = model.views.find(oid); view != model.views.end() && !view->second.materialized)
            tables_below(model, view->second.reads, seen, tables);
    }
}

std::string labels(const std::set<const SecuredTable *> &tables) {
    std::set<std::string> names;
    for (const SecuredTable *table : tables)
        names.insert(table->label());
    return fmt::format("{}", fmt::join(names, ", "));
}

std::string why(const IsolationModel &model, Oid owner, const std::set<const SecuredTable *> &tables) {
    const auto role = model.roles.find(owner);
    if (role != model.roles.end() && role->second.superuser) return "is a superuser";
    if (role != model.roles.end() && role->second.bypasses) return "has BYPASSRLS";
    for (const SecuredTable *table : tables)
        if (!model.confined(*table, owner, 'r', false)) return "sees all tenants by a policy";
    return "owns the table, on which row-level security is not forced";
}

// Tables are read as the view's owner, whoever asks, unless the view is security_invoker.
void check_view(Lint &lint, const IsolationModel &model, const LintView &view) {
    if (view.invoker) return;
    std::set<const SecuredTable *> tables;
    for (Oid oid : view.reads)
        if (const SecuredTable *table = model.find(oid);
            table && table->row_security && !table->keys.empty() && model.sees_all(view.owner, *table))
            tables.insert(table);
    if (tables.empty()) return;
    std::set<Oid> seen{view.oid};
    auto readers = readers_of(model, view, seen);
    for (const SecuredTable *table : tables) // who owns a table passes its policies when he likes
        if (!model.application.contains(table->owner)) readers.erase(table->owner);
    if (readers.empty()) return;
    lint.add(for_application(model, readers) ? Severity::error : Severity::warning, "owner_view", view.label(),
             fmt::format("It reads {} as its owner {}, which {}, and {} may read it: all tenants' rows.",
                         labels(tables), model.role(view.owner), why(model, view.owner, tables), model.names(readers)),
             fmt::format("ALTER VIEW {} SET (security_invoker = true);", view.label()));
}

// Rows of all tenants that were stored when it was refreshed; there are no policies on it.
void check_materialized(Lint &lint, const IsolationModel &model, const LintView &view) {
    std::set<const SecuredTable *> tables;
    std::set<Oid> below, seen{view.oid};
    tables_below(model, view.reads, below, tables);
    if (tables.empty()) return;
    auto readers = readers_of(model, view, seen);
    for (const SecuredTable *table : tables)
        if (!model.application.contains(table->owner)) readers.erase(table->owner);
    if (readers.empty()) return;
    lint.add(for_application(model, readers) ? Severity::error : Severity::warning, "materialized_view", view.label(),
             fmt::format("It keeps rows of {}, no policy can be put on it, and {} may read it.", labels(tables),
                         model.names(readers)),
             fmt::format("REVOKE SELECT ON {} FROM {}; -- and give a view that compares the tenant key", view.label(),
                         model.names(readers)));
}

using Grantees = std::map<Oid, std::set<std::string>>;

// Who has a right is stopped by the schema if he has no USAGE on it.
Grantees reaching(const IsolationModel &model, Grantees grantees, const std::string &schema) {
    for (auto at = grantees.begin(); at != grantees.end();) {
        bool reached = model.usable_schema(at->first, schema);
        if (!reached) // granted to PUBLIC or to a group, and the schema to whoever is in it
            reached = std::any_of(model.application.begin(), model.application.end(), [&](Oid role) {
                return model.has(role, at->first) && model.usable_schema(role, schema);
            });
        at = reached ? std::next(at) : grantees.erase(at);
    }
    return grantees;
}

Grantees callers_of(const IsolationModel &model, Oid function, const std::string &schema) {
    return reaching(model, model.granted(model.function_rights(function), {"EXECUTE"}, true), schema);
}

// Who makes a function run, in what way, and what ends it other than to let it run as who asks.
struct Runners {
    Grantees who;
    std::string way, otherwise;
};

// By calling it; through an aggregate, on whose owner's right it is called; or, for the application, by writing where
// it is a trigger's.
Runners runners_of(const IsolationModel &model, const LintFunction &function) {
    Runners result;
    if (function.trigger) {
        std::string where;
        for (const LintFired &place : function.fired) {
            const Grantees writers =
                reaching(model, model.granted(model.rights(place.relation), place.privileges), place.schema);
            if (!writers.empty() && where.empty()) where = place.label;
            for (const auto &[grantee, privileges] : writers)
                result.who[grantee].insert(privileges.begin(), privileges.end());
        }
        result.way = fmt::format("{} may write {}, whose trigger runs it", model.names(result.who), where);
        result.otherwise =
            fmt::format("ALTER FUNCTION {} OWNER TO a role that the policies hold for", function.label());
        return result;
    }
    result.who = callers_of(model, function.oid, function.schema);
    result.way = fmt::format("{} may call it", model.names(result.who));
    result.otherwise = fmt::format("REVOKE EXECUTE ON {} {} FROM {};", function.procedure ? "PROCEDURE" : "FUNCTION",
                                   function.label(), model.names(result.who));
    if (for_application(model, result.who)) return result;
    for (const LintAggregate &aggregate : function.aggregates) {
        Grantees users = callers_of(model, aggregate.oid, aggregate.schema);
        if (!for_application(model, users)) continue;
        result.who = std::move(users);
        result.way =
            fmt::format("{} may use the aggregate {}, which calls it", model.names(result.who), aggregate.label);
        result.otherwise =
            fmt::format("REVOKE EXECUTE ON FUNCTION {} FROM {};", aggregate.label, model.names(result.who));
        break;
    }
    return result;
}

// What a function reads or changes: by dependency where PostgreSQL keeps its body parsed, else by the names that occur
// in its text.
std::set<const SecuredTable *> tables_of(const IsolationModel &model, const LintFunction &function) {
    std::set<const SecuredTable *> tables;
    std::set<Oid> reads = function.reads, seen;
    if (!function.stored_body) {
        const std::set<std::string> words = words_of(function.source);
        for (const SecuredTable &table : model.tables)
            if (words.contains(table.name)) reads.insert(table.oid);
        for (const auto &[oid, view] : model.views)
            if (words.contains(view.name)) reads.insert(oid);
    }
    tables_below(model, reads, seen, tables);
    return tables;
}

void check_function(Lint &lint, const IsolationModel &model, const LintFunction &function) {
    const char *kind = function.procedure ? "PROCEDURE" : "FUNCTION";
    const Runners runners = runners_of(model, function);
    const Grantees &callers = runners.who;
    if (callers.empty()) return;
    const bool application = for_application(model, callers);
    if (function.leakproof && !function.trigger && application && function.language != "c" &&
        function.language != "internal")
        lint.add(Severity::warning, "leakproof_function", function.label(),
                 fmt::format("It is called LEAKPROOF, so it is asked about rows before policies are; whatever it says "
                             "or raises about them reaches {}.",
                             model.names(callers)),
                 fmt::format("ALTER {} {} NOT LEAKPROOF;", kind, function.label()));
    if (!function.definer) return;
    std::set<const SecuredTable *> tables;
    bool past = false; // its owner sees all tenants somewhere
    for (const SecuredTable &table : model.tables)
        past = past || (table.row_security && !table.keys.empty() && model.sees_all(function.owner, table));
    if (!past) return;
    for (const SecuredTable *table : tables_of(model, function))
        if (model.sees_all(function.owner, *table)) tables.insert(table);
    // What a statement reads that is put together while it runs cannot be told.
    // Nobody chooses what a trigger is given.
    const bool dynamic = !function.trigger && !function.stored_body && function.language != "sql" &&
                         words_of(function.source).contains("execute");
    if (tables.empty() && dynamic) {
        for (const SecuredTable &table : model.tables)
            if (table.row_security && !table.keys.empty() && model.sees_all(function.owner, table))
                tables.insert(&table);
        lint.add(application ? Severity::error : Severity::warning, "definer_function", function.label(),
                 fmt::format("SECURITY DEFINER: it puts statements together (EXECUTE) and runs them as its owner {}, "
                             "which {}, and {}.",
                             model.role(function.owner), why(model, function.owner, tables), runners.way),
                 fmt::format("ALTER {} {} SECURITY INVOKER; -- or {}", kind, function.label(), runners.otherwise));
    } else if (!tables.empty())
        lint.add(application ? Severity::error : Severity::warning, "definer_function", function.label(),
                 fmt::format("SECURITY DEFINER: it {} {} as its owner {}, which {}, and {}.",
                             function.stored_body ? "uses" : "names", labels(tables), model.role(function.owner),
                             why(model, function.owner, tables), runners.way),
                 fmt::format("ALTER {} {} SECURITY INVOKER; -- or {}", kind, function.label(), runners.otherwise));
    if (!function.pinned && !function.stored_body && function.language != "c" && function.language != "internal" &&
        application)
        lint.add(
            Severity::error, "definer_search_path", function.label(),
            fmt::format("SECURITY DEFINER without a search_path of its own: whoever calls it chooses which tables "
                        "and functions its names mean, and they run as {}, which sees all tenants.",
                        model.role(function.owner)),
            fmt::format("ALTER {} {} SET search_path = {}, pg_temp;", kind, function.label(), quoted(function.schema)));
}

// What a rule does beside a write or in its place, it does as the owner of its table or view, and a SELECT in it
// answers whoever writes.
void check_rule(Lint &lint, const IsolationModel &model, const LintRule &rule) {
    std::set<const SecuredTable *> tables, above;
    std::set<Oid> seen{rule.relation};
    tables_below(model, rule.reads, seen, tables);
    for (const SecuredTable *table : tables)
        if (model.sees_all(rule.owner, *table)) above.insert(table);
    if (above.empty()) return;
    const Grantees writers = reaching(model, model.granted(model.rights(rule.relation), {rule.privilege}), rule.schema);
    if (writers.empty()) return;
    lint.add(Severity::error, "owner_rule", fmt::format("{}.{}", rule.label(), quoted(rule.name)),
             fmt::format("The rule uses {} as the owner {} of {}, which {}, and {} may {} there.", labels(above),
                         model.role(rule.owner), rule.label(), why(model, rule.owner, above), model.names(writers),
                         rule.privilege),
             fmt::format("DROP RULE {} ON {};", quoted(rule.name), rule.label()));
}

// A subscriber gets the rows of all tenants; policies are not asked.
void check_published(Lint &lint, const IsolationModel &model) {
    Rows rows = own_query(
        "SELECT p.pubname, c.oid::bigint, (SELECT to_jsonb(r) ->> 'prqual' FROM pg_publication_rel r WHERE r.prpubid = "
        "b.oid AND r.prrelid = c.oid) FROM pg_publication_tables p JOIN pg_publication b ON b.pubname = p.pubname JOIN "
        "pg_namespace n ON n.nspname = p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = "
        "p.tablename ORDER BY 1, 2");
    for (std::size_t i = 0; i < rows.size(); i++) {
        const SecuredTable *table = model.find(static_cast<Oid>(rows.bigint(i, 2)));
        if (!table || !table->row_security || table->keys.empty()) continue;
        if (const auto filter = rows.text(i, 3); filter && tree_confined(table->oid, *filter, table->keys)) continue;
        const std::string publication = rows.text_or(i, 1);
        lint.add(
            Severity::warning, "published", table->part(publication),
            fmt::format("Publication {} sends the rows of all tenants: policies are not asked.", quoted(publication)),
            fmt::format("-- ALTER PUBLICATION {} SET TABLE {} WHERE ({} = …); or let every subscriber be trusted "
                        "with all tenants",
                        quoted(publication), table->label(), quoted(table->key_names.front())));
    }
}
} // namespace

std::set<std::string> words_of(const std::string &source) {
    std::set<std::string> words;
    const std::size_t size = source.size();
    const auto letter = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || (c & 0x80) != 0;
    };
    for (std::size_t i = 0; i < size;) {
        std::string word;
        if (source.compare(i, 2, "--") == 0) {
            i = std::min(source.find('\n', i), size);
            continue;
        }
        if (source.compare(i, 2, "/*") == 0) {
            i = std::min(source.find("*/", i + 2), size - 2) + 2;
            continue;
        }
        if (source[i] == '"') {
            for (i++; i < size; i++) {
                if (source[i] == '"' && (i + 1 >= size || source[i + 1] != '"')) break;
                if (source[i] == '"') i++;
                word += source[i];
            }
            i++;
        } else if (letter(source[i])) {
            for (; i < size && letter(source[i]); i++)
                word += static_cast<char>((source[i] & 0x80) ? source[i]
                                                             : std::tolower(static_cast<unsigned char>(source[i])));
        } else {
            i++;
            continue;
        }
        std::size_t next = i;
        while (next < size && std::isspace(static_cast<unsigned char>(source[next])))
            next++;
        if (next < size && source[next] == '(') words.insert(word + "(");
        words.insert(std::move(word));
    }
    return words;
}

void lint_ways_around(Lint &lint, const IsolationModel &model) {
    for (const auto &[oid, view] : model.views)
        view.materialized ? check_materialized(lint, model, view) : check_view(lint, model, view);
    for (const auto &[oid, function] : model.functions)
        check_function(lint, model, function);
    for (const LintRule &rule : model.rules)
        check_rule(lint, model, rule);
    check_published(lint, model);
}

} // namespace tenantmig

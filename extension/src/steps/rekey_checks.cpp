// Pre-checks of a rekey step: rows that stand in its way, counted and listed before anything is changed.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "steps/rekey.hpp"

namespace tenantmig {

namespace {
constexpr int shown = 10;

struct Probe {
    std::string name, what; // rows of mandate.domains without a name
    const Table *reader;    // read as its owner
    std::string query;      // the rows that should not be; its one column shows them
    std::string hint;
};

// What shows a row to people: its key.
std::string row_text(const Table &table, const char *alias) {
    const std::vector<AttrNumber> key = row_identity(table.oid, nullptr);
    std::string list;
    for (AttrNumber number : key)
        list += fmt::format(", {}.{}", alias, quoted(table.at(number).name));
    if (key.empty()) return fmt::format("{}.ctid::pg_catalog.text", alias);
    return fmt::format("pg_catalog.concat_ws(', '{})", list);
}

std::string equals(const Column &a, const Column &b) {
    return a.type == b.type ? equality_operator(a.type) : "OPERATOR(pg_catalog.=)";
}

class Prober {
public:
    explicit Prober(const RekeyTarget &target) : target_(target) {}

    std::vector<CheckRow> run() {
        root();
        for (const RekeyTable &table : target_.tables)
            references(table);
        for (const RekeyEmbedded &embed : target_.embedded)
            embedded(embed);
        return std::move(rows_);
    }

private:
    const RekeyTarget &target_;
    std::vector<CheckRow> rows_;

    void probe(const Probe &probe) {
        CheckRow row{probe.name, "PASS", "0", "0", "", ""};
        RunAs owner(probe.reader->owner, Purpose::read);
        const std::int64_t count =
            run_query(fmt::format("SELECT pg_catalog.count(*) FROM ({}) AS q", probe.query)).bigint(0, 1);
        row.actual = std::to_string(count);
        if (count > 0) {
            Rows examples =
                run_query(fmt::format("SELECT q.x FROM ({}) AS q (x) ORDER BY 1 LIMIT {}", probe.query, shown));
            std::string list;
            for (std::size_t i = 0; i < examples.size(); i++)
                list += (list.empty() ? "" : ", ") + examples.text_or(i, 1, "NULL");
            row.status = "FAIL";
            row.detail = fmt::format("{} ({}): {}{}", probe.what, count, list,
                                     count > shown ? fmt::format(" and {} more", count - shown) : std::string());
            row.hint = probe.hint;
        }
        rows_.push_back(std::move(row));
    }

    void root() {
        const Table &root = target_.root;
        const std::string id = quoted(target_.id.name), key = quoted(target_.key.name), text = row_text(root, "r");
        const std::string label = root.label();
        auto condition = [&](const std::string &where) {
            return fmt::format("SELECT {} FROM ONLY {} AS r WHERE {}", text, root.sql(), where);
        };
        probe({"null " + label + "." + target_.id.name, fmt::format("rows of {} without {}", label, id), &root,
               condition(fmt::format("r.{} IS NULL", id)), "Give them one, or remove them."});
        probe({"null " + label + "." + target_.key.name, fmt::format("rows of {} without {}", label, key), &root,
               condition(fmt::format("r.{} IS NULL", key)), "Every tenant needs a key."});
        for (const std::string &within : target_.within)
            probe({"null " + label + "." + within, fmt::format("rows of {} without {}", label, quoted(within)), &root,
                   condition(fmt::format("r.{} IS NULL", quoted(within))), "A key is one together with it only."});
        if (!target_.step.format.empty())
            probe({"format " + label + "." + target_.key.name,
                   fmt::format("rows of {} whose {} does not match {}", label, key, target_.step.format), &root,
                   fmt::format("SELECT pg_catalog.concat({0}, ' (', r.{1}, ')') FROM ONLY {2} AS r WHERE "
                               "r.{1}::pg_catalog.text OPERATOR(pg_catalog.!~) {3}",
                               text, key, root.sql(), core::sql_literal(target_.step.format)),
                   "Correct them: they become the tenant key."});
        std::string group;
        for (const std::string &within : target_.within)
            group += fmt::format("r.{}, ", quoted(within));
        group += "r." + key;
        probe({"duplicates " + label + "." + target_.key.name,
               target_.within.empty() ? fmt::format("keys of {} that several rows have", label)
                                      : fmt::format("keys of {} that several rows of one {} have", label,
                                                    target_.within.size() == 1 ? quoted(target_.within[0]) : "group"),
               &root,
               fmt::format("SELECT pg_catalog.concat(pg_catalog.concat_ws(', ', {0}), ' (', pg_catalog.count(*), ' "
                           "rows)') FROM ONLY {1} AS r WHERE r.{2} IS NOT NULL GROUP BY {0} HAVING "
                           "pg_catalog.count(*) OPERATOR(pg_catalog.>) 1",
                           group, root.sql(), key),
               target_.within.empty()
                   ? "A key must be one row's over the whole system. If it is unique within other "
                     "columns only, name them in within: every reference is then made of all of them."
                   : "Make them different."});
    }

    void references(const RekeyTable &table) {
        const Table &root = target_.root;
        const std::string id = quoted(table.id.name), text = row_text(table.table, "t"), label = table.table.label();
        const std::string from = fmt::format("SELECT {} FROM ONLY {} AS t", text, table.table.sql());
        probe({"null " + label + "." + table.id.name, fmt::format("rows of {} without {}", label, id), &table.table,
               fmt::format("{} WHERE t.{} IS NULL", from, id), "Give them one, or remove them."});
        const std::string join = fmt::format("r.{} {} t.{}", quoted(target_.id.name), equals(target_.id, table.id), id);
        probe({"unmatched " + label + "." + table.id.name,
               fmt::format("rows of {} whose {} is none of {}", label, id, root.label()), &table.table,
               fmt::format("{} WHERE t.{} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ONLY {} AS r WHERE {})", from, id,
                           root.sql(), join),
               "Correct them, or remove them: nothing says which tenant they belong to."});
        for (const std::string &within : target_.within)
            probe({fmt::format("within {}.{}", label, within),
                   fmt::format("rows of {} whose {} is not that of {}", label, quoted(within), root.label()),
                   &table.table,
                   fmt::format("SELECT {0} FROM ONLY {1} AS t JOIN ONLY {2} AS r ON {3} WHERE (t.{4} {5} r.{4}) IS NOT "
                               "TRUE",
                               text, table.table.sql(), root.sql(), join, quoted(within),
                               equality_operator(root.find(within)->type)),
                   "The reference will be made of both."});
    }

    void embedded(const RekeyEmbedded &embed) {
        const Table &root = target_.root, &table = embed.table;
        const std::string id = quoted(embed.id.name), text = row_text(table, "t"), label = table.label();
        const auto named = std::find_if(target_.tables.begin(), target_.tables.end(),
                                        [&](const RekeyTable &other) { return other.table.oid == table.oid; });
        probe({"null " + label + "." + embed.id.name, fmt::format("rows of {} without {}", label, id), &table,
               fmt::format("SELECT {} FROM ONLY {} AS t WHERE t.{} IS NULL", text, table.sql(), id),
               "Give them an id, or remove them."});
        if (!may_collide(embed)) return;
        const std::string prefix = fmt::format("(r.{}::pg_catalog.text OPERATOR(pg_catalog.||) {})",
                                               quoted(target_.key.name), core::sql_literal(embed.separator));
        probe(
            {"duplicates " + label + "." + embed.id.name, fmt::format("ids of {} that several rows would have", label),
             &table,
             fmt::format("SELECT pg_catalog.concat(n.id, ' (', pg_catalog.count(*), ' rows)') FROM (SELECT CASE WHEN "
                         "pg_catalog.starts_with(t.{0}::pg_catalog.text, {1}) THEN t.{0}::pg_catalog.text ELSE {1} "
                         "OPERATOR(pg_catalog.||) t.{0}::pg_catalog.text END FROM ONLY {2} AS t JOIN ONLY {3} AS r ON "
                         "r.{4} {5} t.{6} WHERE t.{0} IS NOT NULL) AS n (id) GROUP BY n.id HAVING pg_catalog.count(*) "
                         "OPERATOR(pg_catalog.>) 1",
                         id, prefix, table.sql(), root.sql(), quoted(target_.id.name), equals(target_.id, named->id),
                         quoted(named->id.name)),
             "One of them begins with its key already. Change one of the two ids."});
    }

    // Different ids of one row stay different unless one of them begins with a key already, or a key holds the
    // separator.
    bool may_collide(const RekeyEmbedded &embed) {
        const bool unique =
            !own_query("SELECT 1 FROM pg_index WHERE indrelid = $1 AND indisunique AND indnkeyatts = 1 "
                       "AND indkey[0] = $2 AND indpred IS NULL",
                       {Value{OIDOID, ObjectIdGetDatum(embed.table.oid), false}, int_value(embed.id.number)})
                 .empty();
        if (!unique) return false;
        const Oid type = embed.id.type;
        if (type != UUIDOID && type != INT4OID && type != INT8OID && type != INT2OID) return true;
        if (embed.separator.find_first_not_of("0123456789abcdefABCDEF-") == std::string::npos) return true;
        RunAs owner(target_.root.owner, Purpose::read);
        return run_query(fmt::format("SELECT EXISTS (SELECT 1 FROM ONLY {} AS r WHERE pg_catalog.strpos("
                                     "r.{}::pg_catalog.text, {}) OPERATOR(pg_catalog.>) 0)",
                                     target_.root.sql(), quoted(target_.key.name), core::sql_literal(embed.separator)))
            .boolean(0, 1);
    }
};
} // namespace

std::vector<CheckRow> rekey_prechecks(const RekeyTarget &target) {
    return Prober(target).run();
}

void require_prechecks(const std::string &label, const std::vector<CheckRow> &checks) {
    std::string detail, hint;
    for (const CheckRow &check : checks) {
        if (check.status != "FAIL") continue;
        detail += (detail.empty() ? "" : "\n") + check.detail;
        hint = hint.empty() ? check.hint : "Correct these rows, and call tenantmig.up again.";
    }
    if (!detail.empty())
        throw Error(sqlstate::precheck_failed, fmt::format("{}: rows stand in the way", label), detail, hint);
}

} // namespace tenantmig

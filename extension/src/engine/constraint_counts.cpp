#include "core/key_text.hpp"
#include "core/spec.hpp"

#include "engine/constraint_counts.hpp"
#include "engine/heap_reader.hpp"

namespace tenantmig {

namespace {
constexpr int max_examples = 3;
constexpr long values_at_once = 10000;
constexpr std::size_t max_orphan_values = 1000; // kept, to find examples of rows

// Reads of one target, each as the owner of the table that it reads.
class Counter {
public:
    explicit Counter(const ConstraintTarget &target) : target_(target) {
        from_ = fmt::format("FROM {} AS t", target.table.target());
        column_ = "t." + quoted(target.column.name);
        for (AttrNumber number : target.row_key)
            key_.push_back("t." + quoted(target.table.at(number).name));
        if (key_.empty()) key_.emplace_back("t.ctid"); // a table without a key
    }

    ConstraintCounts count() {
        scan();
        if (target_.referenced) {
            if (one_reader())
                anti_join();
            else
                count_orphans();
        }
        if (!target_.unique.empty()) count_duplicates();
        return std::move(counts_);
    }

private:
    const ConstraintTarget &target_;
    std::string from_, column_;
    std::vector<std::string> key_;
    ConstraintCounts counts_;

    // Of a value of a composite type IS NULL asks whether its fields are NULL; this asks what a constraint asks.
    static std::string is_null(const std::string &expression) { return expression + " IS NOT DISTINCT FROM NULL"; }

    std::string key_list() const {
        std::string list;
        for (const std::string &part : key_)
            list += (list.empty() ? "" : ", ") + part;
        return list;
    }

    std::string pack(const Rows &rows, std::size_t row) const {
        std::vector<std::string> texts;
        for (std::size_t i = 0; i < key_.size(); i++)
            texts.push_back(rows.text_or(row, static_cast<int>(i) + 1));
        std::vector<std::string_view> views(texts.begin(), texts.end());
        return core::pack_key(views);
    }

    std::vector<std::string> examples(const std::string &source, std::span<const Value> values = {}) const {
        RunAs owner(target_.table.owner, Purpose::read);
        Rows rows = run_query(fmt::format("SELECT {0} {1} ORDER BY {0} LIMIT {2}", key_list(), source, max_examples),
                              values, true);
        std::vector<std::string> result;
        for (std::size_t i = 0; i < rows.size(); i++)
            result.push_back(pack(rows, i));
        return result;
    }

    void scan() {
        const std::string missing = is_null(column_);
        std::string living = missing, deleted = "false", refused = "false";
        if (target_.soft_delete) {
            const std::string alive = is_null("t." + quoted(target_.soft_delete->name));
            deleted = fmt::format("{} AND NOT ({})", missing, alive);
            living = fmt::format("{} AND {}", missing, alive);
        }
        if (!target_.step.format.empty()) refused = fmt::format("NOT ({})", format_condition(target_, "t"));
        {
            RunAs owner(target_.table.owner, Purpose::read);
            Rows rows = run_query(fmt::format("SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE {}), "
                                              "pg_catalog.count(*) FILTER (WHERE {}), pg_catalog.count(*) FILTER "
                                              "(WHERE {}) {}",
                                              living, deleted, refused, from_),
                                  {}, true);
            counts_.rows = rows.bigint(0, 1);
            counts_.nulls_living.rows = rows.bigint(0, 2);
            counts_.nulls_deleted.rows = rows.bigint(0, 3);
            counts_.format.rows = rows.bigint(0, 4);
        }
        auto find = [&](Violation &violation, const std::string &condition) {
            if (violation.rows > 0) violation.examples = examples(fmt::format("{} WHERE {}", from_, condition));
        };
        find(counts_.nulls_living, living);
        find(counts_.nulls_deleted, deleted);
        find(counts_.format, refused);
    }

    // Whether the table's owner may read the referenced table too, and all of it.
    bool one_reader() const {
        const Table &referenced = *target_.referenced;
        if (target_.column.collation != target_.referenced_column.collation) return false; // neither is preferred
        return referenced.owner == target_.table.owner ||
               (!referenced.row_security &&
                pg_call([schema = referenced.schema.c_str(), oid = referenced.oid, owner = target_.table.owner] {
                    return may_read(oid, get_namespace_oid(schema, false), owner);
                }));
    }

    void anti_join() {
        const std::string orphan = fmt::format(
            "{} WHERE NOT ({}) AND NOT EXISTS (SELECT FROM {} AS r WHERE r.{} {} {})", from_, is_null(column_),
            target_.referenced->target(), quoted(target_.referenced_column.name), equality(), column_);
        RunAs owner(target_.table.owner, Purpose::read);
        counts_.orphans.rows = run_query(fmt::format("SELECT pg_catalog.count(*) {}", orphan), {}, true).bigint(0, 1);
        if (counts_.orphans.rows > 0)
            note_orphans(run_query(
                fmt::format("SELECT {0}, {1} {2} ORDER BY {0} LIMIT {3}", key_list(), column_, orphan, max_examples),
                {}, true));
    }

    std::string equality() const {
        return target_.column.type == target_.referenced_column.type ? equality_operator(target_.column.type)
                                                                     : "OPERATOR(pg_catalog.=)";
    }

    // The anti-join in two halves, so that neither owner needs a right on the other's table, and no policy stands
    // between them: the different values of the column, each with its number of rows, as the table's owner; which of
    // them the referenced table does not have, as that one's owner. One snapshot for both.
    void count_orphans() {
        const std::string distinct = fmt::format("SELECT {0}, pg_catalog.count(*) {1} WHERE NOT ({2}) GROUP BY {0}",
                                                 column_, from_, is_null(column_));
        std::vector<std::string> unknown;
        std::optional<Cursor> cursor;
        std::optional<TextOutput> output;
        {
            RunAs owner(target_.table.owner, Purpose::read);
            cursor.emplace(distinct, std::span<const Value>());
            output.emplace(target_.column.type);
        }
        MemoryContext portion =
            pg_call([] { return AllocSetContextCreate(CurrentMemoryContext, "orphans", ALLOCSET_DEFAULT_SIZES); });
        for (;;) {
            std::vector<std::string> values;
            std::vector<std::int64_t> rows;
            {
                RunAs owner(target_.table.owner, Purpose::read);
                const auto fetched = cursor->fetch(values_at_once, [&](TupleTableSlot *slot) {
                    pg_call([slot] { slot_getallattrs(slot); });
                    values.push_back((*output)(slot->tts_values[0]));
                    rows.push_back(DatumGetInt64(slot->tts_values[1]));
                    return true;
                });
                if (fetched == 0) break;
            }
            MemoryContext home = MemoryContextSwitchTo(portion);
            for (std::size_t at : missing(values)) {
                counts_.orphans.rows += rows[at];
                if (unknown.size() < max_orphan_values) unknown.push_back(values[at]);
            }
            MemoryContextSwitchTo(home);
            MemoryContextReset(portion);
        }
        MemoryContextDelete(portion);
        {
            RunAs owner(target_.table.owner, Purpose::read);
            cursor.reset();
        }
        if (unknown.empty()) return;
        find_orphans(unknown);
    }

    std::vector<std::size_t> missing(const std::vector<std::string> &values) const {
        const Table &referenced = *target_.referenced;
        RunAs owner(referenced.owner, Purpose::read);
        Rows rows = run_query(
            fmt::format("SELECT u.number FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(value, number) WHERE NOT "
                        "EXISTS (SELECT FROM {} AS r WHERE r.{} {} u.value::{})",
                        referenced.target(), quoted(target_.referenced_column.name), equality(),
                        target_.column.type_name),
            {text_array_value(values)}, true);
        std::vector<std::size_t> result;
        for (std::size_t i = 0; i < rows.size(); i++)
            result.push_back(static_cast<std::size_t>(rows.bigint(i, 1)) - 1);
        return result;
    }

    void find_orphans(const std::vector<std::string> &unknown) {
        RunAs owner(target_.table.owner, Purpose::read);
        Rows rows = run_query(
            fmt::format("SELECT {0}, {1} {2} WHERE {1} {3} ANY (SELECT u.value::{4} FROM pg_catalog.unnest($1) AS "
                        "u(value)) ORDER BY {0} LIMIT {5}",
                        key_list(), column_, from_, equality_operator(target_.column.type), target_.column.type_name,
                        max_examples),
            {text_array_value(unknown)}, true);
        note_orphans(rows);
    }

    void note_orphans(const Rows &rows) {
        for (std::size_t i = 0; i < rows.size(); i++) {
            counts_.orphans.examples.push_back(pack(rows, i));
            std::string value = rows.text_or(i, static_cast<int>(key_.size()) + 1);
            auto &known = counts_.orphan_values;
            if (std::find(known.begin(), known.end(), value) == known.end()) known.push_back(std::move(value));
        }
    }

    void count_duplicates() {
        std::string columns, present;
        for (AttrNumber number : target_.unique) {
            const std::string column = "t." + quoted(target_.table.at(number).name);
            columns += (columns.empty() ? "" : ", ") + column;
            present += fmt::format("{}NOT ({})", present.empty() ? "" : " AND ", is_null(column));
        }
        {
            RunAs owner(target_.table.owner, Purpose::read);
            counts_.duplicates.rows =
                run_query(fmt::format("SELECT coalesce(pg_catalog.sum(g.n - 1), 0)::bigint FROM (SELECT "
                                      "pg_catalog.count(*) AS n {} WHERE {} GROUP BY {} HAVING pg_catalog.count(*) > "
                                      "1) AS g",
                                      from_, present, columns),
                          {}, true)
                    .bigint(0, 1);
        }
        if (counts_.duplicates.rows == 0) return;
        std::string names, outer;
        for (std::size_t i = 0; i < key_.size(); i++) {
            names += fmt::format("{}{} AS k{}", i ? ", " : "", key_[i], i);
            outer += fmt::format("{}t.k{}", i ? ", " : "", i);
        }
        RunAs owner(target_.table.owner, Purpose::read);
        Rows rows = run_query(
            fmt::format("SELECT {0} FROM (SELECT {1}, pg_catalog.row_number() OVER (PARTITION BY {2} ORDER BY {3}) AS "
                        "n {4} WHERE {5}) AS t WHERE t.n > 1 ORDER BY {0} LIMIT {6}",
                        outer, names, columns, key_list(), from_, present, max_examples),
            {}, true);
        for (std::size_t i = 0; i < rows.size(); i++)
            counts_.duplicates.examples.push_back(pack(rows, i));
    }
};
} // namespace

ConstraintCounts count_violations(const ConstraintTarget &target) {
    return Counter(target).count();
}

bool refuses(const ConstraintTarget &target, const ConstraintCounts &counts) {
    const core::NotNull asked = target.step.not_null;
    return (asked != core::NotNull::leave && counts.nulls_living.rows > 0) ||
           (asked == core::NotNull::all && counts.nulls_deleted.rows > 0) || counts.orphans.rows > 0 ||
           counts.duplicates.rows > 0 || counts.format.rows > 0;
}

} // namespace tenantmig

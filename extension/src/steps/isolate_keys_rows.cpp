// Rows that a foreign key over tenant key and id would refuse, counted with plain SQL and row security off: what
// VALIDATE says of a table under FORCE ROW LEVEL SECURITY can't be relied upon.
#include "core/excerpt.hpp"

#include "bridge/results.hpp"
#include "engine/evaluation.hpp"
#include "engine/heap_reader.hpp"
#include "steps/isolate_keys_items.hpp"
#include "steps/unique_key.hpp"

namespace tenantmig {

namespace {
constexpr int max_samples = 3;
constexpr long tuples_at_once = 10000;

struct Comparison {
    Table from, to;
    std::vector<Column> columns, targets; // the tenant keys first
};

Comparison compare(const KeyItems &items, const ReferenceItem &item) {
    Comparison found{items.get(item.from), items.get(item.to), {}, {}};
    const auto column_in = [](const Table &table, const std::string &name) {
        if (const Column *column = table.find(std::string_view(name))) return *column;
        throw Error(sqlstate::undefined_column,
                    fmt::format("column {} of {} does not exist any more", quoted(name), table.label()), {},
                    "Take the step back, or bring the column back.");
    };
    for (const std::string &name : items.names_of(item.from, found.from, item.made.columns))
        found.columns.push_back(column_in(found.from, name));
    for (const std::string &name : items.names_of(item.to, found.to, item.made.targets))
        found.targets.push_back(column_in(found.to, name));
    return found;
}

// Of a composite value IS NULL asks for its fields; this asks what a foreign key asks.
std::string present(const Column &column) {
    return fmt::format("t.{} IS DISTINCT FROM NULL", quoted(column.name));
}

// MATCH SIMPLE: not checked where a column is NULL. A row without a tenant key is one too many all the same.
std::string checked(const Comparison &of) {
    std::string text;
    for (std::size_t i = 1; i < of.columns.size(); i++)
        text += (i > 1 ? " AND " : "") + present(of.columns[i]);
    return text;
}

std::string equality(const Column &a, const Column &b) {
    return a.type == b.type ? equality_operator(a.type) : "OPERATOR(pg_catalog.=)";
}

// A foreign key compares by the collation of the column that it refers to.
std::string collation(const Column &a, const Column &b) {
    if (a.collation == b.collation || !OidIsValid(a.collation)) return {};
    Rows rows = own_query("SELECT n.nspname, c.collname FROM pg_collation c JOIN pg_namespace n ON n.oid = "
                          "c.collnamespace WHERE c.oid = $1",
                          {Value{OIDOID, ObjectIdGetDatum(a.collation), false}});
    return rows.empty() ? std::string() : " COLLATE " + qualified(rows.text_or(0, 1), rows.text_or(0, 2));
}

std::string anti_join(const Comparison &of, bool qualified_operators) {
    std::string pairs;
    for (std::size_t i = 0; i < of.columns.size(); i++)
        pairs += fmt::format("{}r.{} {} t.{}{}", i ? " AND " : "", quoted(of.targets[i].name),
                             qualified_operators ? equality(of.targets[i], of.columns[i]) : "=",
                             quoted(of.columns[i].name), collation(of.targets[i], of.columns[i]));
    return fmt::format("FROM {} AS t WHERE {} AND NOT EXISTS (SELECT FROM {} AS r WHERE {})", of.from.target(),
                       checked(of), of.to.target(), pairs);
}

// Whether the owner of the one may read all of the other.
bool one_reader(const Comparison &of) {
    return of.to.owner == of.from.owner ||
           (!of.to.row_security && pg_call([schema = of.to.schema.c_str(), oid = of.to.oid, owner = of.from.owner] {
               return may_read(oid, get_namespace_oid(schema, false), owner);
           }));
}

std::string values_of(const Comparison &of, const std::vector<std::optional<std::string>> &values) {
    std::string text;
    for (std::size_t i = 0; i < of.columns.size(); i++)
        text += fmt::format("{}{} = {}", i ? ", " : "", quoted(of.columns[i].name),
                            values[i] ? core::excerpt(*values[i]) : std::string("NULL"));
    return "(" + text + ")";
}

std::string column_list(const Comparison &of) {
    std::string list;
    for (const Column &column : of.columns)
        list += (list.empty() ? "t." : ", t.") + quoted(column.name);
    return list;
}

void count_at_once(const Comparison &of, CrossingRows &result) {
    RunAs owner(of.from.owner, Purpose::read);
    const std::string source = anti_join(of, true), list = column_list(of);
    result.rows = run_query(fmt::format("SELECT pg_catalog.count(*) {}", source), {}, true).bigint(0, 1);
    if (result.rows == 0) return;
    Rows rows =
        run_query(fmt::format("SELECT DISTINCT {0} {1} ORDER BY {0} LIMIT {2}", list, source, max_samples), {}, true);
    for (std::size_t i = 0; i < rows.size(); i++) {
        std::vector<std::optional<std::string>> values;
        for (std::size_t k = 0; k < of.columns.size(); k++)
            values.push_back(rows.text(i, static_cast<int>(k) + 1));
        result.sample += (i ? ", " : "") + values_of(of, values);
    }
}

// In two halves, so that neither owner needs a right on the other's table: the different values with their number of
// rows, as the one; which of them the other table does not have, as the other. One snapshot for both.
class TwoReaders {
public:
    TwoReaders(const Comparison &of, CrossingRows &result) : of_(of), result_(result) {}

    void count() {
        std::string list, casts;
        for (std::size_t i = 0; i < of_.columns.size(); i++) {
            const std::string name = quoted(of_.columns[i].name);
            list += (i ? ", t." : "t.") + name;
            casts += (i ? ", t." : "t.") + name + "::pg_catalog.text";
        }
        std::optional<Cursor> cursor;
        {
            RunAs owner(of_.from.owner, Purpose::read);
            cursor.emplace(fmt::format("SELECT ARRAY[{}], pg_catalog.count(*) FROM {} AS t WHERE {} GROUP BY {}", casts,
                                       of_.from.target(), checked(of_), list),
                           std::span<const Value>());
        }
        TextOutput output(TEXTARRAYOID);
        for (;;) {
            std::vector<std::string> tuples;
            std::vector<std::int64_t> counts;
            {
                RunAs owner(of_.from.owner, Purpose::read);
                const auto fetched = cursor->fetch(tuples_at_once, [&](TupleTableSlot *slot) {
                    pg_call([slot] { slot_getallattrs(slot); });
                    tuples.push_back(output(slot->tts_values[0]));
                    counts.push_back(DatumGetInt64(slot->tts_values[1]));
                    return true;
                });
                if (fetched == 0) break;
            }
            missing(tuples, counts);
        }
        RunAs owner(of_.from.owner, Purpose::read);
        cursor.reset();
    }

private:
    const Comparison &of_;
    CrossingRows &result_;
    int samples_ = 0;

    void missing(const std::vector<std::string> &tuples, const std::vector<std::int64_t> &counts) {
        std::string pairs, list;
        for (std::size_t i = 0; i < of_.columns.size(); i++) {
            const std::string value = fmt::format("(u.value::pg_catalog.text[])[{}]", i + 1);
            pairs += fmt::format("{}r.{} {} {}::{}{}", i ? " AND " : "", quoted(of_.targets[i].name),
                                 equality(of_.targets[i], of_.columns[i]), value, of_.columns[i].type_name,
                                 collation(of_.targets[i], of_.columns[i]));
            list += ", " + value;
        }
        RunAs owner(of_.to.owner, Purpose::read);
        Rows rows = run_query(fmt::format("SELECT u.number{} FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(value, "
                                          "number) WHERE NOT EXISTS (SELECT FROM {} AS r WHERE {})",
                                          list, of_.to.target(), pairs),
                              {text_array_value(std::span<const std::string>(tuples))}, true);
        for (std::size_t i = 0; i < rows.size(); i++) {
            result_.rows += counts.at(static_cast<std::size_t>(rows.bigint(i, 1)) - 1);
            if (samples_++ >= max_samples) continue;
            std::vector<std::optional<std::string>> values;
            for (std::size_t k = 0; k < of_.columns.size(); k++)
                values.push_back(rows.text(i, static_cast<int>(k) + 2));
            result_.sample += (result_.sample.empty() ? "" : ", ") + values_of(of_, values);
        }
    }
};
} // namespace

std::string crossing_query(const KeyItems &items, const ReferenceItem &item) {
    return "SELECT t.* " + anti_join(compare(items, item), false);
}

CrossingRows count_crossing(const KeyItems &items, const ReferenceItem &item) {
    const Comparison of = compare(items, item);
    CrossingRows result;
    SnapshotScope snapshot; // one for all that is read
    if (one_reader(of))
        count_at_once(of, result);
    else
        TwoReaders(of, result).count();
    if (result.rows > 0) result.query = "SELECT t.* " + anti_join(of, false);
    return result;
}

} // namespace tenantmig

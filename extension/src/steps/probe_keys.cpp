// Unique indexes and exclusion constraints look at all rows, whoever's they are: 23505 tells that another tenant has
// the value.
#include "steps/probe_keys.hpp"

#include "catalog/own_tables.hpp"
#include "steps/probe_reach.hpp"

namespace tenantmig {

namespace {
struct UniqueIndex {
    Oid table = InvalidOid;
    std::string name, constraint, definition, predicate; // definition: of the constraint
    bool exclusion = false, primary = false;
    std::vector<AttrNumber> keys;           // 0: an expression
    std::vector<std::string> parts;         // of the key, as SQL writes them
    std::set<AttrNumber> columns;           // that decide what is compared: keys, and those of expressions
    std::set<AttrNumber> predicate_only;    // that decide whether a row is in the index
    std::set<std::string> constraint_names; // that an error may name: partitions have their own

    bool contains(AttrNumber column) const { return std::find(keys.begin(), keys.end(), column) != keys.end(); }
};

std::vector<AttrNumber> numbers_at(const Rows &rows, std::size_t row, int column) {
    std::vector<AttrNumber> numbers;
    for (const std::string &text : rows.text_array(row, column))
        numbers.push_back(static_cast<AttrNumber>(std::stoi(text)));
    return numbers;
}

// A generated column is chosen through those that it is made of: by table and column.
using Generated = std::map<std::pair<Oid, AttrNumber>, std::set<AttrNumber>>;

Generated read_generated(const std::vector<std::string> &oids) {
    Rows rows = own_query(
        "SELECT a.attrelid::bigint, a.attnum::integer, d.refobjsubid FROM pg_attribute a JOIN pg_attrdef f ON "
        "f.adrelid = a.attrelid AND f.adnum = a.attnum JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND "
        "d.objid = f.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid <> "
        "a.attnum WHERE a.attrelid = ANY ($1::oid[]) AND a.attgenerated <> '' AND d.refobjsubid > 0",
        {text_array_value(std::span<const std::string>(oids))});
    Generated result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result[{static_cast<Oid>(rows.bigint(i, 1)), static_cast<AttrNumber>(rows.bigint(i, 2))}].insert(
            static_cast<AttrNumber>(rows.bigint(i, 3)));
    return result;
}

// Of partitions those only that are not part of one on the table above.
std::vector<UniqueIndex> read_indexes(const Probe &probe) {
    std::vector<std::string> oids;
    for (const ProbeTable &table : probe.tables())
        oids.push_back(std::to_string(table.table.oid));
    Rows rows = own_query(
        "SELECT i.indrelid::bigint, x.relname, k.conname, coalesce(pg_get_constraintdef(k.oid), ''), "
        "coalesce(pg_get_expr(i.indpred, i.indrelid), ''), i.indisexclusion, "
        "(i.indkey::smallint[])[0:i.indnkeyatts - 1]::text[], ARRAY(SELECT pg_get_indexdef(i.indexrelid, g.n, true) "
        "FROM generate_series(1, i.indnkeyatts) AS g (n)), ARRAY(SELECT DISTINCT d.refobjsubid::text FROM pg_depend d "
        "WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass AND "
        "d.refobjid = i.indrelid AND d.refobjsubid > 0), i.indexprs IS NOT NULL, ARRAY(SELECT p.relname::text FROM "
        "pg_partition_tree(i.indexrelid) t JOIN pg_class p ON p.oid = t.relid), (i.indkey::smallint[])[0:i.indnatts - "
        "1]::text[], i.indisprimary FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_constraint k "
        "ON k.conindid = "
        "i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x') WHERE i.indrelid = ANY "
        "($1::oid[]) AND (i.indisunique OR i.indisexclusion) AND i.indisready AND i.indislive AND NOT "
        "x.relispartition ORDER BY x.relname",
        {text_array_value(std::span<const std::string>(oids))});
    const Generated generated = read_generated(oids);
    std::vector<UniqueIndex> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        UniqueIndex one;
        const auto add_to = [&](std::set<AttrNumber> &columns, AttrNumber number) {
            const auto made_of = generated.find({one.table, number});
            if (made_of == generated.end())
                columns.insert(number);
            else
                columns.insert(made_of->second.begin(), made_of->second.end());
        };
        one.table = static_cast<Oid>(rows.bigint(i, 1));
        one.name = rows.text_or(i, 2);
        one.constraint = rows.text_or(i, 3);
        one.definition = rows.text_or(i, 4);
        one.predicate = rows.text_or(i, 5);
        one.exclusion = rows.boolean(i, 6);
        one.primary = rows.boolean(i, 13);
        one.keys = numbers_at(rows, i, 7);
        one.parts = rows.text_array(i, 8);
        one.constraint_names = {one.name, one.constraint};
        for (const std::string &name : rows.text_array(i, 11))
            one.constraint_names.insert(name);
        for (AttrNumber number : one.keys)
            if (number) add_to(one.columns, number);
        // Columns beside the keys are of an expression or of the predicate, included ones are of neither.
        const std::vector<AttrNumber> stored = numbers_at(rows, i, 12);
        for (AttrNumber number : numbers_at(rows, i, 9)) {
            const bool plain = std::find(stored.begin(), stored.end(), number) != stored.end();
            if (plain) continue;
            if (rows.boolean(i, 10))
                add_to(one.columns, number);
            else
                add_to(one.predicate_only, number);
        }
        result.push_back(std::move(one));
    }
    return result;
}

class UniqueAttack {
public:
    UniqueAttack(Probe &probe, const AttackTable &table, const UniqueIndex &index)
        : probe_(probe), table_(table), of_(*table.probed), index_(index) {}

    void run() {
        std::vector<std::string> fixed;
        for (AttrNumber number : index_.columns)
            if (number != of_.key.number && !writable(number)) fixed.push_back(quoted(table_.table.at(number).name));
        if (fixed.size() == own_columns()) {
            probe_.add(&of_, {}, attack(), index_.name, nullptr, expected(),
                       fmt::format("the role can't choose {} ({})", fmt::join(fixed, ", "), index_.name), "PASS", {});
            return;
        }
        if (!probe_.options().writes) return skip(probe_, of_, attack(), index_.name, expected(), "writes => false");
        const std::vector<ProbePair> pairs = probe_.pairs(of_);
        if (pairs.empty())
            return skip(probe_, of_, attack(), index_.name, expected(),
                        fmt::format("there are no two tenants with rows ({})", index_.name));
        for (const ProbePair &pair : pairs)
            attack_pair(pair);
    }

private:
    Probe &probe_;
    const AttackTable &table_;
    const ProbeTable &of_;
    const UniqueIndex &index_;

    const char *attack() const { return index_.exclusion ? "exclusion" : "unique"; }
    std::string expected() const { return "another tenant's value is no conflict"; }
    bool writable(AttrNumber number) const {
        return table_.may(&ColumnRights::insert, number) || table_.may(&ColumnRights::update, number);
    }
    std::size_t own_columns() const {
        return index_.columns.size() - (index_.columns.contains(of_.key.number) ? 1 : 0);
    }

    struct Verdict {
        bool told = false;                          // a conflict: somebody has it
        bool accepted = false;                      // the value stands twice: this index tells nothing
        bool out_of_reach = false, unknown = false; // of one way to write
        std::string seen;

        const char *status() const {
            return told ? "FAIL" : accepted ? "PASS" : unknown || !out_of_reach ? "SKIP" : "PASS";
        }
    };

    bool violates(const Attempt &attempt) const {
        return (attempt.sqlstate == "23505" || attempt.sqlstate == "23P01") &&
               index_.constraint_names.contains(attempt.constraint);
    }

    // DETAIL of a conflict shows values; row-level security keeps it back.
    Attempt carry_out(const ProbePair &pair, const std::string &sql, const std::vector<Value> &values,
                      bool *detail) const {
        return probe_.attempt_work(probe_.session(of_, pair.tenant), [&] {
            Attempt result;
            try {
                result.rows = static_cast<std::int64_t>(run_query(sql, values).size());
            } catch (const PgError &error) {
                const char *text = error.data()->detail;
                *detail = text && std::string_view(text).find(")=(") != std::string_view::npos; // (columns)=(values)
                throw;
            }
            return result;
        });
    }

    void judge(Verdict &verdict, const char *how, const Attempt &attempt, bool detail) const {
        const std::string seen = fmt::format("{}: {}", how, short_form(attempt));
        if (violates(attempt)) {
            verdict.told = true;
            verdict.seen = seen + (detail ? "; DETAIL shows values" : "");
        } else if (!attempt.refused() && attempt.rows > 0 && index_.predicate.empty()) {
            verdict.accepted = true;
            verdict.seen = seen;
        } else {
            verdict.unknown = true;
            if (!verdict.accepted)
                verdict.seen =
                    attempt.refused() || attempt.rows == 0 ? seen : "no row that the index contains was found";
        }
    }

    // The victim's rows, one for each combination of the columns of a partial index's predicate. `own`: columns that
    // can't be written, in which only a row with the same values as the tenant's own could be met.
    std::optional<std::vector<SampleRow>> victims(const ProbePair &pair, const std::set<AttrNumber> &fixed,
                                                  const SampleRow &own) const {
        std::vector<Value> values{text_value(pair.victim)};
        std::string condition = equals("t.", of_.key, 1), distinct;
        for (AttrNumber number : index_.columns) {
            const Column &column = table_.table.at(number);
            if (fixed.contains(number)) {
                const auto &value = own.values.at(number);
                if (!value) return std::vector<SampleRow>{};
                values.push_back(text_value(*value));
                condition += " AND " + equals("t.", column, static_cast<int>(values.size()));
            } else if (index_.contains(number)) {
                condition += fmt::format(" AND t.{} IS NOT NULL", quoted(column.name));
            }
        }
        for (AttrNumber number : index_.predicate_only)
            distinct += (distinct.empty() ? "t." : ", t.") + quoted(table_.table.at(number).name);
        return sample_rows(probe_, table_.table, condition, values, distinct, distinct.empty() ? 1 : 10);
    }

    RowValues changes(const SampleRow &victim, const std::set<AttrNumber> &fixed, bool ColumnRights::*right) const {
        RowValues changed;
        for (AttrNumber number : index_.columns)
            if (number != of_.key.number && !fixed.contains(number)) changed[number] = victim.values.at(number);
        for (AttrNumber number : index_.predicate_only)
            if (number != of_.key.number && table_.may(right, number)) changed[number] = victim.values.at(number);
        return changed;
    }

    void attempt_way(Verdict &verdict, const char *how, const ProbePair &pair, const SampleRow &own,
                     bool ColumnRights::*right) const {
        std::set<AttrNumber> fixed;
        for (AttrNumber number : index_.columns)
            if (number != of_.key.number && !table_.may(right, number)) fixed.insert(number);
        if (fixed.size() == own_columns()) return;
        const auto rows = victims(pair, fixed, own);
        if (!rows || rows->empty()) {
            if (verdict.seen.empty())
                verdict.seen =
                    rows ? "the victim has no row whose values could be met" : "the owner's rows can't be read";
            (rows && !fixed.empty() ? verdict.out_of_reach : verdict.unknown) = true;
            return;
        }
        for (const SampleRow &victim : *rows) {
            const RowValues changed = changes(victim, fixed, right);
            const auto statement = right == &ColumnRights::update ? update_of(table_, own, changed)
                                                                  : insert_of(probe_, table_, own, changed);
            if (!statement) {
                verdict.unknown = true;
                continue;
            }
            bool detail = false;
            const Attempt attempt = carry_out(pair, statement->sql, statement->values, &detail);
            judge(verdict, how, attempt, detail);
            if (!verdict.told) continue;
            if (right == &ColumnRights::insert) {
                // Nor is an error needed to be told: INSERT 0 0.
                const Attempt quiet =
                    carry_out(pair, statement->sql + " ON CONFLICT DO NOTHING", statement->values, &detail);
                if (!quiet.refused() && quiet.rows == 0) verdict.seen += "; ON CONFLICT DO NOTHING: no row";
            }
            return;
        }
    }

    void attack_pair(const ProbePair &pair) const {
        const std::array<Value, 1> tenant{text_value(pair.tenant)};
        const auto own = sample_rows(probe_, table_.table, equals("t.", of_.key, 1), tenant);
        if (!own || own->empty())
            return skip(probe_, of_, attack(), index_.name, expected(), "the owner's rows can't be read");
        Verdict verdict;
        attempt_way(verdict, "UPDATE", pair, own->front(), &ColumnRights::update);
        if (!verdict.told) attempt_way(verdict, "INSERT", pair, own->front(), &ColumnRights::insert);
        if (verdict.seen.empty()) verdict.seen = "no statement could be made";
        probe_.add(&of_, {}, attack(), index_.name, &pair, expected(),
                   fmt::format("{}{}", verdict.seen, verdict.told ? "" : fmt::format(" ({})", index_.name)),
                   verdict.status(), verdict.told ? remedy() : "");
    }

    // The columns that a role may be given: all but those of the index (`some`: but those of its keys that have a
    // default, which is enough: nobody can try out values then).
    std::string rights_by_column(bool some) const {
        std::string insert, update;
        for (const Column &column : table_.table.columns) {
            if (index_.columns.contains(column.number) && (!some || table_.rights.at(column.number).has_default))
                continue;
            if (table_.may(&ColumnRights::insert, column.number))
                insert += (insert.empty() ? "" : ", ") + quoted(column.name);
            if (table_.may(&ColumnRights::update, column.number))
                update += (update.empty() ? "" : ", ") + quoted(column.name);
        }
        std::string sql = take_back(probe_, table_.table.oid, table_.table.label(), {"INSERT", "UPDATE"});
        if (!sql.starts_with("REVOKE INSERT")) return sql; // of a membership
        std::string grant;
        if (!insert.empty()) grant = fmt::format("INSERT ({})", insert);
        if (!update.empty()) grant += fmt::format("{}UPDATE ({})", grant.empty() ? "" : ", ", update);
        if (!grant.empty())
            sql += fmt::format(" GRANT {} ON {} TO {};", grant, table_.table.label(), probe_.role_label());
        return sql;
    }

    std::string remedy() const {
        bool surrogate = !index_.exclusion, some = false;
        for (AttrNumber number : index_.keys) {
            const bool has_default = number && table_.rights.at(number).has_default;
            surrogate = surrogate && has_default;
            some = some || has_default;
        }
        if (surrogate) return rights_by_column(false);
        // (id, created_at) of a partitioned table: a key of its own can't take its place
        if (some && index_.primary) return rights_by_column(true);
        const std::string key = quoted(of_.key.name);
        const std::string drop =
            index_.constraint.empty()
                ? fmt::format("DROP INDEX {};", qualified(table_.table.schema, index_.name))
                : fmt::format("ALTER TABLE {} DROP CONSTRAINT {};", table_.table.label(), quoted(index_.constraint));
        if (index_.exclusion) {
            std::string definition = index_.definition;
            if (const auto open = definition.find('('); open != std::string::npos)
                definition.insert(open + 1, key + " WITH =, ");
            return fmt::format("{} ALTER TABLE {} ADD CONSTRAINT {} {}; -- gist: needs CREATE EXTENSION btree_gist",
                               drop, table_.table.label(), quoted(index_.constraint), definition);
        }
        std::vector<std::string> parts{key};
        parts.insert(parts.end(), index_.parts.begin(), index_.parts.end());
        return fmt::format("CREATE UNIQUE INDEX {}ON {} ({}){}; {}",
                           table_.table.kind == RELKIND_RELATION ? "CONCURRENTLY " : "", table_.table.label(),
                           fmt::join(parts, ", "),
                           index_.predicate.empty() ? "" : fmt::format(" WHERE {}", index_.predicate), drop);
    }
};
} // namespace

void skip(Probe &probe, const ProbeTable &table, const char *attack, const std::string &object,
          const std::string &expected, const std::string &reason) {
    probe.add(&table, {}, attack, object, nullptr, expected, "not tried: " + reason, "SKIP", {});
}

void probe_unique(Probe &probe) {
    const std::vector<UniqueIndex> indexes = read_indexes(probe);
    std::set<Oid> oids;
    for (const ProbeTable &table : probe.tables())
        oids.insert(table.table.oid);
    const std::map<Oid, AttackTable> tables = attack_tables(probe, oids);
    for (const ProbeTable &table : probe.tables()) {
        std::size_t bare = 0;
        for (const UniqueIndex &index : indexes) {
            if (index.table != table.table.oid) continue;
            if (!index.exclusion && index.contains(table.key.number)) continue;
            bare++;
            UniqueAttack(probe, tables.at(table.table.oid), index).run();
        }
        if (bare == 0 && table.parent == InvalidOid)
            probe.add(&table, {}, "unique", {}, nullptr, "another tenant's value is no conflict",
                      fmt::format("every unique index contains {}", quoted(table.key.name)), "PASS", {});
    }
}

void probe_keys(Probe &probe) {
    probe_references(probe);
    probe_unique(probe);
}

} // namespace tenantmig

// Indexes that a policy makes unusable. PostgreSQL evaluates a condition before the policy's own only if it can't leak
// (LEAKPROOF); an index scan comes before, so that a condition with a function or an operator that is not leakproof is
// never one of an index of a table under row-level security. What helps is an index that ends with a column which a
// leakproof operator compares, behind the tenant key.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "bridge/index_keys.hpp"
#include "steps/isolation_speed.hpp"

namespace tenantmig {

namespace {
struct Operator {
    Oid oid = InvalidOid, right = InvalidOid;
    std::string schema, name;
    int strategy = 0;
    bool leaks = false;

    bool compares() const {
        return name == "=" || name == "<" || name == "<=" || name == ">" || name == ">=" || name == "<>";
    }
};

struct KeyColumn {
    int number = 0;         // from 0
    std::string definition; // a column or an expression, as SQL writes it
    std::string opclass;
    IndexKey key;
    std::vector<Operator> operators;

    bool text_pattern() const { return opclass.ends_with("_pattern_ops"); }
    // Whether what the index was made for can't be a condition. With such a class of text that is LIKE, though its own
    // operators, ~<~ and the like, don't leak; of GIN, GiST and the like what a B-tree could not do as well:
    // gin_trgm_ops knows =, which does not leak, and is there for LIKE and %.
    bool unusable() const {
        if (text_pattern()) return true;
        bool special = false, all = true, all_special = true;
        for (const Operator &one : operators) {
            all = all && one.leaks;
            if (one.compares()) continue;
            special = true;
            all_special = all_special && one.leaks;
        }
        return special ? all_special : all;
    }
};

struct Index {
    Oid oid = InvalidOid;
    std::string name, method, predicate;
    bool unique = false;
    std::vector<KeyColumn> columns;
};

// "((doc ->> 'a'::text))" -> "(doc ->> 'a'::text)": an expression as pg_get_expr() gives it.
std::string without_parentheses(std::string text) {
    if (text.size() < 2 || text.front() != '(') return text;
    int depth = 0;
    char quote = 0;
    for (std::size_t i = 0; i < text.size(); i++) {
        const char c = text[i];
        if (quote) {
            if (c == quote) quote = 0;
        } else if (c == '\'' || c == '"') {
            quote = c;
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && --depth == 0) {
            return i + 1 == text.size() ? text.substr(1, text.size() - 2) : text;
        }
    }
    return text;
}

// All valid ones of the table, and the operators that their columns can be searched with: of B-trees and hashes those
// of one type, since what compares two types is another matter than the index.
std::vector<Index> indexes_of(const SpeedTable &table) {
    const Rows rows = own_query(
        "SELECT i.indexrelid::bigint, c.relname, m.amname, pg_get_expr(i.indpred, i.indrelid), i.indisunique, "
        "k.ord::integer - 1, pg_get_indexdef(i.indexrelid, k.ord::integer, false), p.opcname, o.oid::bigint, "
        "o.oprright::bigint, n.nspname, o.oprname, a.amopstrategy::integer FROM pg_index i JOIN pg_class c ON c.oid = "
        "i.indexrelid JOIN pg_am m ON m.oid = c.relam CROSS JOIN LATERAL unnest(i.indclass::oid[]) WITH ORDINALITY "
        "k(class, ord) JOIN pg_opclass p ON p.oid = k.class JOIN pg_amop a ON a.amopfamily = p.opcfamily AND "
        "a.amoplefttype = p.opcintype AND a.amoppurpose = 's' AND (m.amname NOT IN ('btree', 'hash') OR "
        "a.amoprighttype = a.amoplefttype) JOIN pg_operator o ON o.oid = a.amopopr JOIN pg_namespace n ON n.oid = "
        "o.oprnamespace WHERE i.indrelid = $1::oid AND i.indisvalid AND i.indisready AND i.indislive ORDER BY "
        "c.relname, k.ord, a.amopstrategy, o.oid",
        {bigint_value(table.of.table.oid)});
    std::vector<Index> indexes;
    std::vector<IndexKey> keys;
    for (std::size_t i = 0; i < rows.size(); i++) {
        const Oid oid = static_cast<Oid>(rows.bigint(i, 1));
        if (indexes.empty() || indexes.back().oid != oid) {
            indexes.push_back(
                {oid, rows.text_or(i, 2), rows.text_or(i, 3), rows.text_or(i, 4), rows.boolean(i, 5), {}});
            keys = index_keys(oid);
        }
        const int number = static_cast<int>(rows.bigint(i, 6));
        std::vector<KeyColumn> &columns = indexes.back().columns;
        if (columns.empty() || columns.back().number != number)
            columns.push_back({number,
                               without_parentheses(rows.text_or(i, 7)),
                               rows.text_or(i, 8),
                               keys.at(static_cast<std::size_t>(number)),
                               {}});
        Operator one{static_cast<Oid>(rows.bigint(i, 9)),
                     static_cast<Oid>(rows.bigint(i, 10)),
                     rows.text_or(i, 11),
                     rows.text_or(i, 12),
                     static_cast<int>(rows.bigint(i, 13)),
                     false};
        one.leaks = leaks_in_index(oid, number, one.oid);
        columns.back().operators.push_back(std::move(one));
    }
    return indexes;
}

// A condition that the column is made for, on a value that the planner does not see: equality, or the first operator
// of its class. Empty if there is none that can be written down.
std::string condition_of(const Index &index, const KeyColumn &column) {
    std::string condition;
    if (column.text_pattern()) {
        condition = fmt::format("({}) LIKE 'tenantmig%'", column.definition);
    } else {
        const int equality = index.method == "btree" ? 3 : index.method == "hash" ? 1 : 0;
        const Operator *chosen = &column.operators.front();
        for (const Operator &one : column.operators)
            if (equality ? one.strategy == equality : chosen->compares() && !one.compares()) chosen = &one;
        const Oid right = chosen->right;
        const bool any = pg_call([right] { return get_typtype(right) == TYPTYPE_PSEUDO; });
        condition = fmt::format("({}) OPERATOR({}.{}) (SELECT CAST(NULL AS {}))", column.definition,
                                quoted(chosen->schema), chosen->name, type_label(any ? column.key.type : right));
    }
    return index.predicate.empty() ? condition : fmt::format("{} AND ({})", condition, index.predicate);
}

// A generated column that holds the expression, and stands in an index: what helps is there already.
std::string helper_of(const SpeedTable &table, const std::string &expression) {
    const Rows rows = own_query(
        "SELECT a.attname FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE "
        "a.attrelid = $1::oid AND a.attgenerated <> '' AND pg_get_expr(d.adbin, d.adrelid) IN ($2, '(' || $2 || ')') "
        "AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisvalid AND a.attnum = ANY "
        "((i.indkey::smallint[])[0:i.indnkeyatts - 1]))",
        {bigint_value(table.of.table.oid), text_value(expression)});
    return rows.empty() ? std::string() : rows.text_or(0, 1);
}

// lower(email) -> lower_email: free in the table.
std::string column_name(const SpeedTable &table, const std::string &expression) {
    std::string name;
    for (char c : expression) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        if (letter && name.size() < 50)
            name += c;
        else if (!name.empty() && name.back() != '_')
            name += '_';
    }
    while (!name.empty() && name.back() == '_')
        name.pop_back();
    if (name.empty() || (name.front() >= '0' && name.front() <= '9')) name = "value_" + name;
    const std::string stem = name;
    for (int i = 2; table.of.table.find(name); i++)
        name = fmt::format("{}_{}", stem, i);
    return name;
}

struct Advice {
    std::string detail, remedy;
};

Advice generated_column(const SpeedTable &table, const std::string &expression, Oid type) {
    const std::string name = column_name(table, expression);
    return {"A generated column holds the same values, and its = does not leak. Adding it rewrites the table under "
            "ACCESS EXCLUSIVE; a large one takes an ordinary column, a trigger and a backfill instead. Queries then "
            "name the column.",
            fmt::format("ALTER TABLE {} ADD COLUMN {} {} GENERATED ALWAYS AS ({}) STORED; {}", table.of.table.sql(),
                        quoted(name), type_label(type), expression, tenant_index_sql(table, quoted(name)))};
}

// Nothing makes the condition one of an index: what is left is to read one tenant's rows alone.
Advice tenant_rows(const SpeedTable &table, const std::string &why) {
    return {
        why + " What bounds it is an index that leads with the tenant key: one tenant's rows are read and filtered. A "
              "partial index is used all the same, since its condition is proved from the query's and not evaluated.",
        table.serving.empty() ? tenant_index_sql(table) : ""};
}

Advice advice_for(const SpeedTable &table, const Index &index, const KeyColumn &column) {
    if (column.text_pattern())
        return {fmt::format("LIKE can leak. starts_with does not, and PostgreSQL takes this index for it: write {} ^@ "
                            "'abc' instead of {} LIKE 'abc%'.",
                            column.definition, column.definition),
                fmt::format("-- in queries: {} ^@ 'abc' in place of LIKE 'abc%'", column.definition)};
    const bool compares = index.method == "btree" || index.method == "hash";
    if (compares && column.key.column == 0 && !equality_leaks(column.key.type))
        return generated_column(table, column.definition, column.key.type);
    const std::string type = type_label(column.key.type);
    if (compares && (type == "citext" || type.ends_with(".citext")))
        return generated_column(table, fmt::format("lower(CAST({} AS text))", column.definition), TEXTOID);
    if (column.key.type == JSONBOID)
        return tenant_rows(table, "The operators of jsonb can leak. A field that is asked for often can be a generated "
                                  "text column, e.g. (doc ->> 'name'), in an index behind the tenant key.");
    const Oid key_type = column.key.type;
    if (compares && column.key.column && pg_call([key_type] { return get_typtype(key_type) == TYPTYPE_ENUM; })) {
        Advice advice = tenant_rows(table, "Enumerations are compared by an operator that can leak.");
        advice.remedy += fmt::format(
            "{}-- for each value that is asked for often: CREATE INDEX{} ON {} ({}) WHERE {} = "
            "'…';",
            advice.remedy.empty() ? "" : " ", table.of.table.kind == RELKIND_RELATION ? " CONCURRENTLY" : "",
            table.of.table.sql(), quoted(table.of.key.name), column.definition);
        return advice;
    }
    std::string names;
    std::size_t shown = 0;
    std::set<std::string> known;
    for (const Operator &one : column.operators) {
        const bool said = !one.leaks || (!compares && one.compares()) || !known.insert(one.name).second;
        if (!said && ++shown <= 4) names += (names.empty() ? "" : ", ") + one.name;
    }
    return tenant_rows(table, fmt::format("The operators that search {} can leak: {}{}.",
                                          column.key.column == 0 ? "this expression" : "a column of type " + type,
                                          names, shown > 4 ? ", …" : ""));
}

void check_index(const SpeedTable &table, const Index &index, const KeyColumn &column, bool leads,
                 std::vector<SpeedRow> &rows) {
    SpeedRow row = table.row("index_condition", index.name);
    const std::string helper = column.key.column == 0 ? helper_of(table, column.definition) : "";
    const std::string condition = condition_of(index, column);
    const SpeedPlan policy = plan_as_role(table, table.select(condition));
    const SpeedPlan literal = plan_as_owner(table, table.select(table.literal + " AND " + condition));
    row.expected = fmt::format("{} can be searched under the policy", core::excerpt(column.definition, 200));
    row.actual = "can't be: not leakproof";
    if (policy.failure.empty() && literal.failure.empty() && literal.cost > 0) {
        row.ratio = policy.cost / literal.cost;
        row.actual += fmt::format("; cost {:.2f} against {:.2f}", policy.cost, literal.cost);
    }
    Advice advice = advice_for(table, index, column);
    if (!helper.empty()) {
        row.status = "PASS";
        advice = {fmt::format("Column {} holds the same and has an index: queries should name it.", quoted(helper)),
                  ""};
    } else if (!leads && row.ratio && *row.ratio <= most_cost) {
        row.status = "PASS";
        advice = {"The columns before it bound the scan: it costs the same today.", ""};
    } else {
        row.status = "WARN";
    }
    row.detail = advice.detail + (index.unique ? " The index goes on to keep values unique." : "");
    row.remedy = std::move(advice.remedy);
    rows.push_back(std::move(row));
}
} // namespace

void speed_of_indexes(const SpeedTable &table, std::vector<SpeedRow> &rows) {
    for (const Index &index : indexes_of(table)) {
        bool leads = true;
        for (const KeyColumn &column : index.columns) {
            const bool tenant_key = column.key.column == table.of.key.number; // the policy's own condition comes first
            if (!tenant_key && column.unusable()) {
                check_index(table, index, column, leads, rows);
                break; // what stands behind it is filtered, too
            }
            leads = false;
        }
    }
}

} // namespace tenantmig

#include "core/undo_text.hpp"

#include "steps/guard_check_sql.hpp"

namespace tenantmig {

namespace {
bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID;
}

std::string text_of(const std::string &expression) {
    return fmt::format("CAST({} AS pg_catalog.text)", expression);
}

std::string equal(const std::string &a, Oid a_type, const std::string &b, Oid b_type) {
    if (is_integer(a_type) && is_integer(b_type)) return fmt::format("{} OPERATOR(pg_catalog.=) {}", a, b);
    if (a_type == b_type && !is_text(a_type)) return fmt::format("{} {} {}", a, equality_operator(a_type), b);
    return fmt::format("{} OPERATOR(pg_catalog.=) {}", text_of(a), text_of(b));
}

class QueryBuilder {
public:
    QueryBuilder(const core::GuardDefinition &definition, Oid oid) : definition_(definition) {
        same_place_ = definition.system == std::to_string(pg_call([] { return GetSystemIdentifier(); })) &&
                      definition.database == MyDatabaseId;
        query_.table = OidIsValid(oid) ? described(oid, definition.table) : find(definition.table);
    }

    GuardQuery build() {
        query_.from = query_.table.target() + " AS t";
        if (definition_.column.number != 0) query_.column = own(definition_.column).name;
        switch (definition_.kind) {
        case core::GuardKind::prefix:
            prefix();
            break;
        case core::GuardKind::tenant_key:
            tenant_key();
            break;
        case core::GuardKind::same_tenant:
            same_tenant();
            break;
        case core::GuardKind::reference:
            reference();
            break;
        case core::GuardKind::acyclic:
            query_.reference = own(definition_.column);
            query_.key = column(query_.table, definition_.sources.at(0).hops.at(0).key.at(0));
            break;
        case core::GuardKind::immutable:
            query_.violation = "false"; // no row can tell what it was before
            break;
        }
        return std::move(query_);
    }

private:
    const core::GuardDefinition &definition_;
    bool same_place_;
    GuardQuery query_;
    int joined_ = 0;

    static Table described(Oid oid, const core::GuardTable &table) {
        std::optional<Table> found = describe_table(oid);
        if (found) return *found;
        throw Error(sqlstate::undefined_table,
                    fmt::format("table {} no longer exists", qualified(table.schema, table.name)));
    }

    Table find(const core::GuardTable &table) const {
        Oid oid = table.oid;
        if (!same_place_) {
            const char *schema = table.schema.c_str(), *name = table.name.c_str();
            oid = pg_call([schema, name] {
                Oid space = get_namespace_oid(schema, true);
                return OidIsValid(space) ? get_relname_relid(name, space) : InvalidOid;
            });
        }
        return described(oid, table);
    }

    Column column(const Table &table, const core::GuardColumn &wanted) const {
        const Column *found =
            same_place_ ? table.find(static_cast<AttrNumber>(wanted.number)) : table.find(wanted.name);
        if (found) return *found;
        throw Error(sqlstate::undefined_column,
                    fmt::format("column {} of {} no longer exists", quoted(wanted.name), table.label()));
    }

    Column own(const core::GuardColumn &wanted) const { return column(query_.table, wanted); }

    static std::string at(const std::string &alias, const Column &column) {
        return fmt::format("{}.{}", alias, quoted(column.name));
    }

    void prefix() {
        query_.id = own(definition_.column);
        query_.embedded = own(definition_.key);
        const std::string id = text_of(at("t", *query_.id)), key = text_of(at("t", *query_.embedded));
        query_.violation = fmt::format("(pg_catalog.starts_with({}, {} OPERATOR(pg_catalog.||) {}) AND {} "
                                       "OPERATOR(pg_catalog.<>) '') IS NOT TRUE",
                                       id, key, core::sql_literal(definition_.separator), key);
    }

    std::string condition(const Table &table, const std::string &alias, const core::GuardCondition &condition) const {
        const Column found = column(table, condition.column);
        std::string any;
        for (const std::string &value : condition.values)
            any += fmt::format("{}{} {} CAST({} AS {})", any.empty() ? "" : " OR ", at(alias, found),
                               equality_operator(found.type), core::sql_literal(value), type_label(found.type));
        if (condition.or_null) any += fmt::format("{}{} IS NULL", any.empty() ? "" : " OR ", at(alias, found));
        return fmt::format("({})", any);
    }

    // Joins one hop to `probes`, expressions of what leads there; says what leads on.
    struct End {
        std::string alias;
        Table table;
        std::vector<std::pair<std::string, Oid>> values;
    };
    End join(const core::GuardHop &hop, const std::vector<std::pair<std::string, Oid>> &probes, const char *how,
             const std::string &only_if) {
        End end{fmt::format("x{}", ++joined_), find(hop.table), {}};
        std::string on = only_if;
        for (std::size_t i = 0; i < hop.key.size(); i++) {
            const Column key = column(end.table, hop.key[i]);
            on +=
                (on.empty() ? "" : " AND ") + equal(at(end.alias, key), key.type, probes.at(i).first, probes[i].second);
        }
        for (const core::GuardCondition &filter : hop.where)
            on += " AND " + condition(end.table, end.alias, filter);
        for (const core::GuardColumn &value : hop.value) {
            const Column found = column(end.table, value);
            end.values.emplace_back(at(end.alias, found), found.type);
        }
        query_.from += fmt::format(" {} JOIN {} AS {} ON {}", how, end.table.target(), end.alias, on);
        if (end.table.oid != query_.table.oid) query_.looked_at.push_back(end.table);
        return end;
    }

    std::vector<std::pair<std::string, Oid>> probes(const core::GuardSource &source) const {
        std::vector<std::pair<std::string, Oid>> result;
        for (const core::GuardColumn &probe : source.probe) {
            const Column found = own(probe);
            result.emplace_back(at("t", found), found.type);
        }
        return result;
    }

    void same_tenant() {
        const Column tenant = own(definition_.column);
        const core::GuardSource &source = definition_.sources.at(0);
        const End parent = join(source.hops.at(0), probes(source), "INNER", "");
        query_.violation = fmt::format("({}) IS NOT TRUE", equal(at("t", tenant), tenant.type,
                                                                 parent.values.at(0).first, parent.values[0].second));
    }

    static std::string is_type(const std::string &type, const std::string &value) {
        return fmt::format("{} OPERATOR(pg_catalog.=) {}", type, core::sql_literal(value));
    }

    void reference() {
        const core::GuardSource &source = definition_.sources.at(0);
        const std::string type = text_of(at("t", own(*source.type_column)));
        const auto id = probes(source);
        std::string cases;
        for (const auto &[value, hop] : source.types) {
            const End end = join(hop, id, "LEFT", is_type(type, value));
            std::string wrong = at(end.alias, column(end.table, hop.key.at(0))) + " IS NULL";
            if (!end.values.empty()) {
                const Column tenant = own(definition_.column);
                wrong += fmt::format(" OR ({}) IS NOT TRUE",
                                     equal(at("t", tenant), tenant.type, end.values[0].first, end.values[0].second));
            }
            cases += fmt::format(" WHEN {} THEN {}", is_type(type, value), wrong);
        }
        query_.violation = fmt::format("NOT ({0} IS NULL AND {1} IS NULL) AND ({0} IS NULL OR {1} IS NULL OR CASE{2} "
                                       "ELSE true END)",
                                       id.at(0).first, type, cases);
    }

    // Rows without a key, and those that contradict their parents: any of them, or the first that says something.
    void tenant_key() {
        const Column tenant = own(definition_.column);
        const std::string key = text_of(at("t", tenant));
        std::vector<std::string> answers;
        for (const core::GuardSource &source : definition_.sources) {
            const auto from = probes(source);
            if (source.type_column) {
                const std::string type = text_of(at("t", own(*source.type_column)));
                std::string cases;
                for (const auto &[value, hop] : source.types)
                    cases += fmt::format(" WHEN {} THEN {}", is_type(type, value),
                                         text_of(join(hop, from, "LEFT", is_type(type, value)).values.at(0).first));
                answers.push_back(fmt::format("CASE{} END", cases));
                continue;
            }
            auto on = from;
            for (const core::GuardHop &hop : source.hops)
                on = join(hop, on, "LEFT", "").values;
            answers.push_back(text_of(on.at(0).first));
        }
        std::string wrong = at("t", tenant) + " IS NULL", list;
        for (const std::string &answer : answers) {
            list += (list.empty() ? "" : ", ") + answer;
            if (definition_.evidence == core::Evidence::unanimous)
                wrong += fmt::format(" OR {} OPERATOR(pg_catalog.<>) {}", answer, key);
        }
        if (definition_.evidence == core::Evidence::first && !list.empty())
            wrong += fmt::format(" OR COALESCE({}) OPERATOR(pg_catalog.<>) {}", list, key);
        query_.violation = fmt::format("({})", wrong);
        for (const core::GuardCondition &filter : definition_.where)
            query_.violation += " AND " + condition(query_.table, "t", filter);
    }
};
} // namespace

GuardQuery guard_query(const core::GuardDefinition &definition, Oid oid) {
    return QueryBuilder(definition, oid).build();
}

} // namespace tenantmig

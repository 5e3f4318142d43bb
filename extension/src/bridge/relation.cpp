#include "bridge/relation.hpp"

namespace tenantmig {

std::string Table::label() const {
    return qualified(schema, name);
}
std::string Table::sql() const {
    return qualified(schema, name);
}
std::string Table::target() const {
    return kind == RELKIND_RELATION ? "ONLY " + sql() : sql();
}
const Column *Table::find(std::string_view column) const {
    for (const Column &c : columns)
        if (c.name == column) return &c;
    return nullptr;
}
const Column *Table::find(AttrNumber number) const {
    for (const Column &c : columns)
        if (c.number == number) return &c;
    return nullptr;
}
const Column &Table::at(AttrNumber number) const {
    if (const Column *column = find(number)) return *column;
    throw Error(sqlstate::undefined_column, fmt::format("column number {} of {} does not exist", number, label()), {},
                "Check the table's definition.");
}

namespace {
// A relation that is open as long as this lives; the lock stays to the end of the transaction.
class OpenRelation {
public:
    explicit OpenRelation(Oid oid) : relation_(pg_call([oid] { return try_relation_open(oid, AccessShareLock); })) {}
    ~OpenRelation() {
        if (relation_ && std::uncaught_exceptions() == 0) relation_close(relation_, NoLock);
    }
    OpenRelation(const OpenRelation &) = delete;
    OpenRelation &operator=(const OpenRelation &) = delete;
    explicit operator bool() const { return relation_ != nullptr; }
    Relation operator->() const { return relation_; }
    Relation get() const { return relation_; }

private:
    Relation relation_;
};

// Reads pg_constraint through one of its indexes and collects foreign keys.
std::vector<ForeignKey> foreign_keys(Oid table, AttrNumber key_column, Oid index) {
    struct Plain {
        Oid oid, from, to;
        int count;
        AttrNumber from_columns[INDEX_MAX_KEYS], to_columns[INDEX_MAX_KEYS];
    };
    struct List {
        Plain *items;
        int count;
    };
    List list = pg_call([table, key_column, index] {
        List out = {static_cast<Plain *>(palloc(sizeof(Plain) * 8)), 0};
        int room = 8;
        Relation rel = table_open(ConstraintRelationId, AccessShareLock);
        ScanKeyData key;
        ScanKeyInit(&key, key_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
        SysScanDesc scan = systable_beginscan(rel, index, OidIsValid(index), nullptr, 1, &key);
        while (HeapTuple tuple = systable_getnext(scan)) {
            auto *form = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple));
            if (form->contype != CONSTRAINT_FOREIGN || OidIsValid(form->conparentid)) continue;
            if (out.count == room) {
                room *= 2;
                out.items = static_cast<Plain *>(repalloc(out.items, sizeof(Plain) * static_cast<Size>(room)));
            }
            Plain *item = &out.items[out.count++];
            item->oid = form->oid;
            item->from = form->conrelid;
            item->to = form->confrelid;
            DeconstructFkConstraintRow(tuple, &item->count, item->from_columns, item->to_columns, nullptr, nullptr,
                                       nullptr
#if PG_VERSION_NUM >= 150000
                                       ,
                                       nullptr, nullptr
#endif
            );
        }
        systable_endscan(scan);
        table_close(rel, AccessShareLock);
        return out;
    });
    std::vector<ForeignKey> result;
    for (int i = 0; i < list.count; i++) {
        const Plain &item = list.items[i];
        ForeignKey key{item.oid, item.from, item.to, {}, {}};
        key.from_columns.assign(item.from_columns, item.from_columns + item.count);
        key.to_columns.assign(item.to_columns, item.to_columns + item.count);
        result.push_back(std::move(key));
    }
    std::sort(result.begin(), result.end(), [](const ForeignKey &a, const ForeignKey &b) { return a.oid < b.oid; });
    return result;
}
} // namespace

std::optional<Table> describe_table(Oid oid) {
    OpenRelation relation(oid);
    if (!relation) return std::nullopt;
    Table table;
    table.oid = oid;
    table.name = NameStr(relation->rd_rel->relname);
    Oid schema = relation->rd_rel->relnamespace;
    table.schema = pg_call([schema] { return get_namespace_name(schema); });
    table.owner = relation->rd_rel->relowner;
    table.kind = relation->rd_rel->relkind;
    table.temporary = relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP;
    table.is_partition = relation->rd_rel->relispartition;
    table.row_security = relation->rd_rel->relrowsecurity;
    table.has_rules = relation->rd_rel->relhasrules;
    table.row_estimate = relation->rd_rel->reltuples;
    TupleDesc descriptor = RelationGetDescr(relation.get());
    for (int i = 0; i < descriptor->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
        if (attribute->attisdropped) continue;
        Column column;
        column.number = attribute->attnum;
        column.name = NameStr(attribute->attname);
        std::int32_t typmod = attribute->atttypmod;
        Oid declared = attribute->atttypid;
        column.type = pg_call([declared, &typmod] { return getBaseTypeAndTypmod(declared, &typmod); });
        column.typmod = typmod;
        column.collation = attribute->attcollation;
        column.not_null = attribute->attnotnull;
        column.generated = attribute->attgenerated != '\0';
        column.identity_always = attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
        column.type_name = pg_call([&column, typmod] {
            return format_type_extended(column.type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
        });
        table.columns.push_back(std::move(column));
    }
    return table;
}

Oid lookup_table(const std::vector<std::string> &names) {
    std::vector<const char *> parts;
    for (const std::string &name : names)
        parts.push_back(name.c_str());
    const char **first = parts.data();
    int count = static_cast<int>(parts.size());
    return pg_call([first, count] {
        List *list = NIL;
        for (int i = 0; i < count; i++)
            list = lappend(list, makeString(pstrdup(first[i])));
        return RangeVarGetRelid(makeRangeVarFromNameList(list), NoLock, true);
    });
}

std::vector<AttrNumber> row_identity(Oid table, bool *is_primary) {
    struct Found {
        int count = 0;
        bool primary = false;
        AttrNumber columns[INDEX_MAX_KEYS] = {};
    };
    Found found = pg_call([table] {
        Found best = {};
        Oid best_oid = InvalidOid;
        Relation rel = relation_open(table, AccessShareLock);
        List *indexes = RelationGetIndexList(rel);
        for (int i = 0; i < list_length(indexes); i++) {
            Oid oid = list_nth_oid(indexes, i);
            HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(oid));
            if (!HeapTupleIsValid(tuple)) continue;
            auto *index = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
            bool usable = index->indisunique && index->indisvalid && index->indimmediate && index->indnkeyatts > 0 &&
                          heap_attisnull(tuple, Anum_pg_index_indpred, nullptr) &&
                          heap_attisnull(tuple, Anum_pg_index_indexprs, nullptr);
            for (int k = 0; usable && k < index->indnkeyatts; k++) {
                AttrNumber number = index->indkey.values[k];
                usable = number > 0 && TupleDescAttr(RelationGetDescr(rel), number - 1)->attnotnull;
            }
            bool primary = index->indisprimary;
            bool better = usable && !best.primary &&
                          (best.count == 0 || primary || index->indnkeyatts < best.count ||
                           (index->indnkeyatts == best.count && oid < best_oid));
            if (better) {
                best.count = index->indnkeyatts;
                best.primary = primary;
                best_oid = oid;
                for (int k = 0; k < best.count; k++)
                    best.columns[k] = index->indkey.values[k];
            }
            ReleaseSysCache(tuple);
        }
        list_free(indexes);
        relation_close(rel, NoLock);
        return best;
    });
    if (is_primary) *is_primary = found.primary;
    return {found.columns, found.columns + found.count};
}

std::vector<ForeignKey> foreign_keys_from(Oid table) {
    return foreign_keys(table, Anum_pg_constraint_conrelid, ConstraintRelidTypidNameIndexId);
}

std::vector<ForeignKey> foreign_keys_to(Oid table) {
    return foreign_keys(table, Anum_pg_constraint_confrelid, InvalidOid);
}

std::string equality_operator(Oid type) {
    struct Name {
        const char *schema, *name;
    };
    Name name = pg_call([type] {
        Name out = {nullptr, nullptr};
        TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
        if (!OidIsValid(entry->eq_opr)) return out;
        HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->eq_opr));
        if (!HeapTupleIsValid(tuple)) return out;
        auto *form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
        out.schema = get_namespace_name(form->oprnamespace);
        out.name = pstrdup(NameStr(form->oprname));
        ReleaseSysCache(tuple);
        return out;
    });
    if (!name.name)
        throw Error(sqlstate::feature_not_supported, fmt::format("type {} has no equality operator", type_label(type)),
                    {}, "Use a column of a type that can be compared.");
    return fmt::format("OPERATOR({}.{})", quoted(name.schema), name.name);
}

bool deterministic_collation(Oid collation) {
    return !OidIsValid(collation) || pg_call([collation] { return get_collation_isdeterministic(collation); });
}

// Qualified whatever the search_path, since SQL with it runs under another one; types of PostgreSQL by their plain
// name.
std::string type_label(Oid type) {
    static constexpr std::string_view catalog = "pg_catalog.";
    std::string label = pg_call(
        [type] { return format_type_extended(type, -1, FORMAT_TYPE_ALLOW_INVALID | FORMAT_TYPE_FORCE_QUALIFY); });
    return label.starts_with(catalog) ? label.substr(catalog.size()) : label;
}

} // namespace tenantmig

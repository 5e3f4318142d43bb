#include "guards/guard_lookup_load.hpp"
#include "bridge/identity.hpp"
#include "bridge/text_input.hpp"

namespace tenantmig {

namespace {
std::string sql_literal(const std::string &text) {
    const char *data = text.c_str();
    return pg_call([data] { return static_cast<const char *>(quote_literal_cstr(data)); });
}

std::string equals(const Column &column, const std::string &other) {
    std::string op = is_integer(column.type) || column.type == TEXTOID || column.type == VARCHAROID
                         ? "OPERATOR(pg_catalog.=)"
                         : equality_operator(column.type);
    return fmt::format("t.{} {} {}", quoted(column.name), op, other);
}

// Types and functions that come with PostgreSQL: what they do doesn't depend on who the user is.
bool built_in(Oid object) {
    return OidIsValid(object) && object < FirstNormalObjectId;
}

// The index columns that the keys stand at, for an index that answers the question by its first columns.
struct Route {
    Oid index = InvalidOid;
    bool unique = false;
    int columns = 0; // of the index
    int key[INDEX_MAX_KEYS] = {};
    RegProcedure equal[INDEX_MAX_KEYS] = {};
    Oid collation[INDEX_MAX_KEYS] = {};
    Oid type[INDEX_MAX_KEYS] = {};
};

struct PlainKey {
    AttrNumber number;
    Oid type, collation;
};

bool serves(Relation index, const PlainKey *keys, int count, Route *route) {
    Form_pg_index form = index->rd_index;
    if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || !form->indisready || !form->indislive ||
        form->indnkeyatts < count || !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, nullptr) ||
        !heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, nullptr))
        return false;
    for (int i = 0; i < count; i++) {
        route->key[i] = -1;
        for (int k = 0; k < count; k++)
            if (keys[k].number == form->indkey.values[i]) route->key[i] = k;
        if (route->key[i] < 0) return false;
        const PlainKey *key = &keys[route->key[i]];
        Oid type = key->type == VARCHAROID ? TEXTOID : key->type; // integers are made narrow again
        if (index->rd_opcintype[i] != type || !built_in(index->rd_opfamily[i]) ||
            index->rd_indcollation[i] != key->collation)
            return false;
        Oid equal = get_opfamily_member(index->rd_opfamily[i], type, type, BTEqualStrategyNumber);
        route->equal[i] = OidIsValid(equal) ? get_opcode(equal) : InvalidOid;
        if (!built_in(route->equal[i])) return false;
        route->collation[i] = key->collation;
        route->type[i] = type;
    }
    route->index = RelationGetRelid(index);
    route->unique = form->indisunique && form->indnkeyatts == count;
    route->columns = form->indnkeyatts;
    return true;
}

Route find_route(Oid table, const PlainKey *keys, int count) {
    return pg_call([table, keys, count] {
        Route best;
        Relation relation = table_open(table, AccessShareLock);
        List *indexes = RelationGetIndexList(relation);
        for (int i = 0; i < list_length(indexes); i++) {
            Route route;
            Relation index = index_open(list_nth_oid(indexes, i), AccessShareLock);
            bool usable = serves(index, keys, count, &route);
            index_close(index, AccessShareLock);
            if (!usable) continue;
            bool better =
                !OidIsValid(best.index) || (route.unique && !best.unique) ||
                (route.unique == best.unique &&
                 (route.columns < best.columns || (route.columns == best.columns && route.index < best.index)));
            if (better) best = route;
        }
        list_free(indexes);
        table_close(relation, NoLock);
        return best;
    });
}
} // namespace

RowLock sufficient_lock(Oid table, const std::vector<Column> &columns) {
    std::vector<AttrNumber> numbers;
    for (const Column &column : columns)
        numbers.push_back(column.number);
    const AttrNumber *list = numbers.data();
    int count = static_cast<int>(numbers.size());
    bool in_key = pg_call([table, list, count] {
        Relation relation = table_open(table, AccessShareLock);
        Bitmapset *keys = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_KEY);
        bool all = true;
        for (int i = 0; i < count; i++)
            all = all && bms_is_member(list[i] - FirstLowInvalidHeapAttributeNumber, keys);
        bms_free(keys);
        table_close(relation, NoLock);
        return all;
    });
    return in_key ? RowLock::key_share : RowLock::share;
}

const char *LookupLoader::keep(const std::string &text) {
    const char *data = text.c_str();
    MemoryContext context = context_;
    return pg_call([data, context] { return static_cast<const char *>(MemoryContextStrdup(context, data)); });
}

GuardCheck LookupLoader::check(const Column &column, const std::vector<std::string> &texts, bool or_null) {
    GuardCheck result;
    result.number = column.number;
    result.or_null = or_null;
    result.collation = column.collation;
    std::vector<Datum> values;
    MemoryContext context = context_;
    for (const std::string &text : texts) {
        Datum value = datum_from_text(column.type, column.typmod, text);
        values.push_back(pg_call([value, context, type = column.type] {
            MemoryContext saved = MemoryContextSwitchTo(context);
            std::int16_t length;
            bool by_value;
            get_typlenbyval(type, &length, &by_value);
            Datum copy = datumCopy(value, by_value, length);
            MemoryContextSwitchTo(saved);
            return copy;
        }));
    }
    result.values = keep(values, &result.count);
    pg_call([&result, context, type = column.type] {
        TypeCacheEntry *cache = lookup_type_cache(type, TYPECACHE_EQ_OPR_FINFO);
        fmgr_info_cxt(cache->eq_opr_finfo.fn_oid, &result.equal, context);
    });
    return result;
}

bool LookupLoader::through_index(const LookupRequest &request, GuardLookup &lookup) {
    const Table &table = *request.table;
    if (table.kind != RELKIND_RELATION || request.differs || request.keys.empty()) return false;
    std::vector<PlainKey> keys;
    for (const Column &key : request.keys) {
        if (!built_in(key.type)) return false;
        keys.push_back({key.number, key.type, key.collation});
    }
    std::vector<GuardCheck> checks;
    for (const LookupRequest::Condition &condition : request.conditions) {
        checks.push_back(check(condition.column, condition.values, condition.or_null));
        if (!built_in(condition.column.type) || !built_in(checks.back().equal.fn_oid)) return false;
    }
    Route route = find_route(table.oid, keys.data(), static_cast<int>(keys.size()));
    if (!OidIsValid(route.index)) return false;
    lookup.index = route.index;
    std::vector<int> arguments(route.key, route.key + lookup.keys);
    std::vector<AttrNumber> columns;
    for (int argument : arguments)
        columns.push_back(keys[static_cast<std::size_t>(argument)].number);
    int count = 0;
    lookup.argument = keep(arguments, &count);
    lookup.column = keep(columns, &count);
    lookup.check = keep(checks, &lookup.checks);
    for (std::size_t i = 0; i < request.values.size(); i++)
        lookup.value[i] = request.values[i].number;
    MemoryContext context = context_;
    lookup.scan = pg_call([&route, context, keys = lookup.keys] {
        MemoryContext saved = MemoryContextSwitchTo(context);
        auto *scan = static_cast<ScanKeyData *>(palloc0(sizeof(ScanKeyData) * static_cast<Size>(keys)));
        for (int i = 0; i < keys; i++)
            ScanKeyEntryInitialize(&scan[i], 0, static_cast<AttrNumber>(i + 1), BTEqualStrategyNumber, route.type[i],
                                   route.collation[i], route.equal[i], 0);
        MemoryContextSwitchTo(saved);
        return scan;
    });
    indexes_.push_back(route.index);
    return true;
}

SPIPlanPtr LookupLoader::prepare(const std::string &sql, const GuardLookup &lookup, int parameters, Oid owner) {
    const char *text = sql.c_str();
    Oid types[max_guard_keys];
    std::copy(lookup.parameters, lookup.parameters + parameters, types);
    Oid *list = types;
    MemoryContext context = context_;
    RunAs reader(owner, Purpose::read);
    return pg_call([text, list, parameters, context] {
        SPIPlanPtr plan = SPI_prepare(text, parameters, list);
        if (!plan)
            ereport(ERROR, (errcode(MAKE_SQLSTATE('T', 'M', '9', '9', '9')),
                            errmsg("SPI_prepare failed: %s", SPI_result_code_string(SPI_result))));
        auto *callback =
            static_cast<MemoryContextCallback *>(MemoryContextAllocZero(context, sizeof(MemoryContextCallback)));
        SPI_keepplan(plan);
        callback->func = [](void *kept) { SPI_freeplan(static_cast<SPIPlanPtr>(kept)); };
        callback->arg = plan;
        MemoryContextRegisterResetCallback(context, callback);
        return plan;
    });
}

GuardLookup LookupLoader::load(const LookupRequest &request) {
    const Table &table = *request.table;
    GuardLookup result;
    result.table = table.oid;
    result.owner = table.owner;
    result.name = keep(table.label());
    result.number = lookups_++;
    result.lock = request.lock;
    result.keys = static_cast<int>(request.keys.size());
    result.values = static_cast<int>(request.values.size());
    if (request.keys.size() >= max_guard_keys || request.values.size() > max_guard_keys)
        throw Unusable{"too many columns"};
    std::string list, filter;
    for (std::size_t i = 0; i < request.values.size(); i++) {
        list += (list.empty() ? "t." : ", t.") + quoted(request.values[i].name);
        result.results[i] = request.values[i].type;
    }
    int parameters = 0;
    for (const Column &key : request.keys) {
        filter += (filter.empty() ? "" : " AND ") + equals(key, fmt::format("${}", parameters + 1));
        result.parameters[parameters++] = plain_type(key.type);
    }
    // An owner may have taken the right to read from himself. Found out here, it fails no row.
    bool may = pg_call(
        [oid = table.oid, owner = table.owner] { return pg_class_aclcheck(oid, owner, ACL_SELECT) == ACLCHECK_OK; });
    if (!may)
        throw Unusable{fmt::format("{}, its owner, may not read {}", role_name(table.owner), table.label()),
                       sqlstate::insufficient_privilege,
                       fmt::format("GRANT SELECT ON {} TO {};", table.sql(), quoted(role_name(table.owner)))};
    if (through_index(request, result)) return result;

    for (const LookupRequest::Condition &condition : request.conditions) {
        std::string type = pg_call([oid = condition.column.type] {
            return format_type_extended(oid, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
        });
        std::string any;
        for (const std::string &value : condition.values)
            any += (any.empty() ? "" : " OR ") +
                   equals(condition.column, fmt::format("CAST({} AS {})", sql_literal(value), type));
        if (condition.or_null)
            any += fmt::format("{}t.{} IS NULL", any.empty() ? "" : " OR ", quoted(condition.column.name));
        filter += fmt::format(" AND ({})", any);
    }
    if (request.differs) {
        std::string parameter = fmt::format("${}", parameters + 1);
        filter += fmt::format(" AND t.{} IS NOT NULL AND ({} IS NULL OR NOT ({}))", quoted(request.differs->name),
                              parameter, equals(*request.differs, parameter));
        result.parameters[parameters++] = plain_type(request.differs->type);
    }
    std::string sql = fmt::format("SELECT {} FROM {} t WHERE {}", list.empty() ? "1" : list, table.target(), filter);
    result.plan = prepare(sql, result, parameters, table.owner);
    if (request.lock != RowLock::none)
        result.locking_plan =
            prepare(sql + (request.lock == RowLock::key_share ? " FOR KEY SHARE OF t" : " FOR SHARE OF t"), result,
                    parameters, table.owner);
    return result;
}

} // namespace tenantmig

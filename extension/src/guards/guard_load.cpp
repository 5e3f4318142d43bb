#include "core/guard_definition.hpp"
#include "core/key_text.hpp"

#include "bridge/identity.hpp"
#include "bridge/relation.hpp"
#include "bridge/subtransaction.hpp"
#include "guards/guard_entry.hpp"

namespace tenantmig {

namespace {
// The definition as text, by the newest snapshot: the trigger may fire in a transaction whose own is older than the
// guard. NULL: there is no such guard.
const char *read_definition(std::int64_t guard) {
    return pg_call([guard]() -> const char * {
        Oid schema = get_namespace_oid("tenantmig", true);
        Oid table = OidIsValid(schema) ? get_relname_relid("guard", schema) : InvalidOid;
        Oid index = OidIsValid(schema) ? get_relname_relid("guard_pkey", schema) : InvalidOid;
        if (!OidIsValid(table) || !OidIsValid(index)) return nullptr;
        Relation rel = table_open(table, AccessShareLock);
        AttrNumber id = get_attnum(table, "id"), definition = get_attnum(table, "definition");
        Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
        ScanKeyData key;
        ScanKeyInit(&key, id, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(guard));
        SysScanDesc scan = systable_beginscan(rel, index, true, snapshot, 1, &key);
        const char *text = nullptr;
        if (HeapTuple tuple = systable_getnext(scan)) {
            bool null = false;
            Datum datum = heap_getattr(tuple, definition, RelationGetDescr(rel), &null);
            if (!null) {
                Jsonb *document = DatumGetJsonbPCopy(datum);
                text = JsonbToCString(nullptr, &document->root, static_cast<int>(VARSIZE(document)));
            }
        }
        systable_endscan(scan);
        UnregisterSnapshot(snapshot);
        table_close(rel, AccessShareLock);
        return text;
    });
}

struct Unusable {
    std::string why;
};

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

// The type that values are compared in, and parameters have.
Oid plain_type(Oid type) {
    return is_integer(type) ? INT8OID : type == VARCHAROID ? TEXTOID : type;
}

std::string sql_literal(const std::string &text) {
    const char *data = text.c_str();
    return pg_call([data] { return static_cast<const char *>(quote_literal_cstr(data)); });
}

class Loader {
public:
    Loader(GuardEntry *entry, core::GuardDefinition definition) : entry_(entry), definition_(std::move(definition)) {
        same_place_ = definition_.system == std::to_string(pg_call([] { return GetSystemIdentifier(); })) &&
                      definition_.database == MyDatabaseId;
    }

    void load() {
        Table table = *describe_table(entry_->relation);
        note(table.oid);
        require_ours(table);
        entry_->migration = keep(definition_.migration);
        entry_->mode = definition_.mode;
        entry_->first = definition_.evidence == core::Evidence::first;
        const Column &column = own_column(table, definition_.column);
        entry_->column = column.number;
        entry_->column_name = keep(column.name);
        entry_->type = column.type;
        entry_->declared = column.type;
        entry_->typmod = column.typmod;
        watch(column.number);
        for (AttrNumber number : row_identity(table.oid, nullptr))
            keys_.push_back(number);
        Table root = find(definition_.root);
        entry_->root = lookup(root, {at(root, definition_.root_key)}, {}, {});
        for (const core::GuardCondition &condition : definition_.where)
            checks_.push_back(check(table, condition));
        for (const core::GuardSource &source : definition_.sources)
            ways_.push_back(way(table, root, source));
        entry_->extension_owner = extension_owner();
        store();
    }

private:
    GuardEntry *entry_;
    core::GuardDefinition definition_;
    bool same_place_;
    std::vector<GuardWay> ways_;
    std::vector<GuardCheck> checks_;
    std::vector<AttrNumber> watched_, keys_;
    std::vector<Oid> tables_;
    std::optional<Table> guarded_; // the table that the numbers of the definition are of

    const char *keep(const std::string &text) {
        const char *data = text.c_str();
        MemoryContext context = entry_->context;
        return pg_call([data, context] { return static_cast<const char *>(MemoryContextStrdup(context, data)); });
    }

    template <typename T>
    T *keep(const std::vector<T> &list, int *count) {
        *count = static_cast<int>(list.size());
        std::size_t size = list.size() * sizeof(T);
        MemoryContext context = entry_->context;
        auto *copy = static_cast<T *>(pg_call([context, size] { return MemoryContextAllocZero(context, size + 1); }));
        if (size > 0) std::memcpy(static_cast<void *>(copy), list.data(), size);
        return copy;
    }

    void store() {
        entry_->way = keep(ways_, &entry_->ways);
        entry_->check = keep(checks_, &entry_->checks);
        entry_->watch = keep(watched_, &entry_->watched);
        entry_->key = keep(keys_, &entry_->keys);
        entry_->table = keep(tables_, &entry_->tables);
    }

public:
    // What was looked at is remembered even if nothing came of it: a later change may mend it.
    void store_tables() { entry_->table = keep(tables_, &entry_->tables); }

private:
    void note(Oid table) {
        if (std::find(tables_.begin(), tables_.end(), table) == tables_.end()) tables_.push_back(table);
    }

    void watch(AttrNumber number) {
        if (std::find(watched_.begin(), watched_.end(), number) == watched_.end()) watched_.push_back(number);
    }

    Table find(const core::GuardTable &table) {
        Oid oid = table.oid;
        if (!same_place_) {
            const char *schema = table.schema.c_str(), *name = table.name.c_str();
            oid = pg_call([schema, name] {
                Oid space = get_namespace_oid(schema, true);
                return OidIsValid(space) ? get_relname_relid(name, space) : InvalidOid;
            });
        }
        if (OidIsValid(oid)) note(oid);
        std::optional<Table> found = OidIsValid(oid) ? describe_table(oid) : std::nullopt;
        if (!found) throw Unusable{fmt::format("table {} no longer exists", qualified(table.schema, table.name))};
        if (found->kind != RELKIND_RELATION && found->kind != RELKIND_PARTITIONED_TABLE)
            throw Unusable{fmt::format("{} is no table any more", found->label())};
        return *found;
    }

    Column at(const Table &table, const core::GuardColumn &column) const {
        const Column *found =
            same_place_ ? table.find(static_cast<AttrNumber>(column.number)) : table.find(column.name);
        if (!found) throw Unusable{fmt::format("column {} of {} no longer exists", quoted(column.name), table.label())};
        return *found;
    }

    // The trigger may be anywhere: only the table that the guard was attached to, and its partitions, are read for. In
    // another place the owner has to be the one who had it attached.
    void require_ours(const Table &table) {
        Oid guarded = definition_.table.oid;
        if (!same_place_) {
            if (role_name(table.owner) != definition_.owner)
                throw Unusable{fmt::format("the guard was attached to a table of {}", definition_.owner)};
            return;
        }
        Oid oid = table.oid;
        bool ours = oid == guarded || (table.is_partition && pg_call([oid, guarded] {
                                           List *ancestors = get_partition_ancestors(oid);
                                           bool found = list_member_oid(ancestors, guarded);
                                           list_free(ancestors);
                                           return found;
                                       }));
        if (!ours)
            throw Unusable{
                fmt::format("the guard is one of {}", qualified(definition_.table.schema, definition_.table.name))};
        if (oid != guarded) {
            note(guarded);
            guarded_ = describe_table(guarded);
        }
    }

    // A partition has the columns of its table by name, under numbers of its own.
    const Column &own_column(const Table &table, const core::GuardColumn &column) {
        const Column *found = nullptr;
        if (!same_place_) {
            found = table.find(column.name);
        } else if (!guarded_) {
            found = table.find(static_cast<AttrNumber>(column.number));
        } else if (const Column *original = guarded_->find(static_cast<AttrNumber>(column.number))) {
            found = table.find(original->name);
        }
        if (!found) throw Unusable{fmt::format("column {} of {} no longer exists", quoted(column.name), table.label())};
        return *found;
    }

    GuardCheck check(const Table &table, const core::GuardCondition &condition) {
        const Column &column = own_column(table, condition.column);
        watch(column.number);
        GuardCheck result;
        result.number = column.number;
        result.or_null = condition.or_null;
        result.collation = column.collation;
        std::vector<Datum> values;
        MemoryContext context = entry_->context;
        for (const std::string &text : condition.values) {
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

    std::string equals(const Column &column, const std::string &other) const {
        std::string op = is_integer(column.type) || column.type == TEXTOID || column.type == VARCHAROID
                             ? "OPERATOR(pg_catalog.=)"
                             : equality_operator(column.type);
        return fmt::format("t.{} {} {}", quoted(column.name), op, other);
    }

    GuardLookup lookup(const Table &table, const std::vector<Column> &keys, const std::vector<Column> &values,
                       const std::vector<core::GuardCondition> &conditions) {
        GuardLookup result;
        result.table = table.oid;
        result.owner = table.owner;
        result.keys = static_cast<int>(keys.size());
        result.values = static_cast<int>(values.size());
        if (keys.size() > max_guard_keys || values.size() > max_guard_keys) throw Unusable{"too many columns"};
        std::string list, filter;
        for (std::size_t i = 0; i < values.size(); i++) {
            list += (list.empty() ? "t." : ", t.") + quoted(values[i].name);
            result.results[i] = values[i].type;
        }
        for (std::size_t i = 0; i < keys.size(); i++) {
            filter += (filter.empty() ? "" : " AND ") + equals(keys[i], fmt::format("${}", i + 1));
            result.parameters[i] = plain_type(keys[i].type);
        }
        for (const core::GuardCondition &condition : conditions) {
            Column column = at(table, condition.column);
            std::string type = pg_call([oid = column.type] {
                return format_type_extended(oid, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
            });
            std::string any;
            for (const std::string &value : condition.values)
                any += (any.empty() ? "" : " OR ") +
                       equals(column, fmt::format("CAST({} AS {})", sql_literal(value), type));
            if (condition.or_null) any += fmt::format("{}t.{} IS NULL", any.empty() ? "" : " OR ", quoted(column.name));
            filter += fmt::format(" AND ({})", any);
        }
        std::string sql =
            fmt::format("SELECT {} FROM {} t WHERE {}", list.empty() ? "1" : list, table.target(), filter);
        const char *text = sql.c_str();
        Oid *types = result.parameters;
        int count = result.keys;
        MemoryContext context = entry_->context;
        RunAs owner(table.owner, Purpose::read);
        require_select(table);
        result.plan = pg_call([text, types, count, context] {
            SPIPlanPtr plan = SPI_prepare(text, count, types);
            if (!plan)
                ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                                errmsg("SPI_prepare failed: %s", SPI_result_code_string(SPI_result))));
            auto *callback =
                static_cast<MemoryContextCallback *>(MemoryContextAllocZero(context, sizeof(MemoryContextCallback)));
            SPI_keepplan(plan);
            callback->func = [](void *kept) { SPI_freeplan(static_cast<SPIPlanPtr>(kept)); };
            callback->arg = plan;
            MemoryContextRegisterResetCallback(context, callback);
            return plan;
        });
        return result;
    }

    // An owner may have taken the right to read from himself. Found out here, it fails no row.
    static void require_select(const Table &table) {
        bool may = pg_call([oid = table.oid, owner = table.owner] {
            return pg_class_aclcheck(oid, owner, ACL_SELECT) == ACLCHECK_OK;
        });
        if (!may) throw Unusable{fmt::format("{}, its owner, may not read {}", role_name(table.owner), table.label())};
    }

    GuardLookup hop(const core::GuardHop &hop) {
        try {
            return try_hop(hop);
        } catch (const Unusable &unusable) { // which matters to the rows that lead there, and to no other ones
            GuardLookup lost;
            lost.problem = keep(unusable.why);
            return lost;
        }
    }

    GuardLookup try_hop(const core::GuardHop &hop) {
        Table table = find(hop.table);
        std::vector<Column> keys, values;
        for (const core::GuardColumn &column : hop.key)
            keys.push_back(at(table, column));
        for (const core::GuardColumn &column : hop.value)
            values.push_back(at(table, column));
        return lookup(table, keys, values, hop.where);
    }

    GuardWay way(const Table &table, const Table &root, const core::GuardSource &source) {
        GuardWay result;
        result.label = keep(source.label);
        try {
            for (const core::GuardColumn &column : source.probe) {
                const Column &own = own_column(table, column);
                if (result.probes == max_guard_keys) throw Unusable{"too many columns"};
                result.probe[result.probes++] = {own.number, own.type};
                watch(own.number);
            }
            std::vector<GuardLookup> lookups;
            if (source.type_column) {
                const Column &own = own_column(table, *source.type_column);
                result.type_column = {own.number, own.type};
                watch(own.number);
                for (const auto &[type, target] : source.types) {
                    lookups.push_back(hop(target));
                    lookups.back().type_value = keep(type);
                }
            } else {
                for (const core::GuardHop &target : source.hops)
                    lookups.push_back(hop(target));
                result.ends_at_root = !lookups.empty() && lookups.back().table == root.oid;
            }
            result.lookup = keep(lookups, &result.lookups);
        } catch (const Unusable &unusable) {
            result.problem = keep(unusable.why);
        }
        return result;
    }
};
} // namespace

void load_guard(GuardEntry *entry) {
    const char *text = read_definition(entry->guard);
    auto inert = [entry](const std::string &why) {
        const char *data = why.c_str();
        entry->inert = pg_call(
            [data, context = entry->context] { return static_cast<const char *>(MemoryContextStrdup(context, data)); });
    };
    if (!text) {
        inert("it is not in the catalogue of tenantmig");
        return;
    }
    std::optional<Loader> loader;
    Subtransaction attempt;
    try {
        loader.emplace(entry, core::parse_guard_json(text));
        loader->load();
        attempt.commit();
        return;
    } catch (const Unusable &unusable) {
        inert(unusable.why);
    } catch (const PgError &error) {
        int category = ERRCODE_TO_CATEGORY(error.data()->sqlerrcode);
        if (category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_TRANSACTION_ROLLBACK ||
            category == ERRCODE_INSUFFICIENT_RESOURCES)
            throw;
        inert(error.what());
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &error) {
        inert(error.what());
    }
    if (loader) loader->store_tables();
}

void log_drift(const GuardEntry *entry, HeapTuple row, TupleDesc columns, const char *relation, const DriftRow *drift) {
    if (XactReadOnly) return;
    std::vector<std::string> names, types, values;
    for (int i = 0; i < entry->keys; i++) {
        Form_pg_attribute attribute = TupleDescAttr(columns, entry->key[i] - 1);
        bool null = false;
        Datum value = heap_getattr(row, entry->key[i], columns, &null);
        Oid type = pg_call([declared = attribute->atttypid] { return getBaseType(declared); });
        names.emplace_back(NameStr(attribute->attname));
        types.push_back(type_label(type));
        values.emplace_back(null ? "" : pg_call([type, value] { return guard_text(type, value); }));
    }
    auto optional = [](const char *text) { return text ? text_value(text) : null_value(TEXTOID); };
    std::string current = current_user_name(), session = role_name(GetSessionUserId());
    RunAs self(entry->extension_owner, Purpose::read);
    run_query("INSERT INTO tenantmig.drift_log (migration, guard, relation, row_key, column_name, kind, found, "
              "expected, detail, role, application_name, client_address) "
              "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, pg_catalog.inet_client_addr())",
              {text_value(entry->migration), bigint_value(entry->guard), text_value(relation),
               names.empty() ? null_value(TEXTOID) : text_value(core::key_json(names, types, values)),
               text_value(entry->column_name), text_value(drift->kind), optional(drift->found),
               optional(drift->expected), optional(drift->detail),
               text_value(current == session ? current : fmt::format("{} (as {})", session, current)),
               optional(application_name)});
}

} // namespace tenantmig

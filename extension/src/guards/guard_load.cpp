#include "core/key_text.hpp"

#include "bridge/identity.hpp"
#include "bridge/relation.hpp"
#include "bridge/subtransaction.hpp"
#include "guards/guard_lookup_load.hpp"
#include "guards/guard_plain.hpp"
#include "guards/stored_definition.hpp"

namespace tenantmig {

namespace {
class Loader {
public:
    Loader(GuardEntry *entry, core::GuardDefinition definition)
        : entry_(entry), definition_(std::move(definition)), lookups_(entry->context) {
        same_place_ = definition_.system == std::to_string(pg_call([] { return GetSystemIdentifier(); })) &&
                      definition_.database == MyDatabaseId;
    }

    void load() {
        if (definition_.kind != entry_->kind)
            throw Unusable{fmt::format("it is a guard of kind {}", core::kind_name(definition_.kind))};
        Table table = *describe_table(entry_->relation);
        note(table.oid);
        entry_->migration = lookups_.keep(definition_.migration);
        entry_->mode = definition_.mode;
        entry_->first = definition_.evidence == core::Evidence::first;
        const bool child = require_ours(table);
        entry_->child = child;
        for (AttrNumber number : row_identity(table.oid, nullptr))
            keys_.push_back(number);
        if (child) load_rows(table);
        if (definition_.kind == core::GuardKind::same_tenant) load_parent_side(table);
        if (definition_.kind == core::GuardKind::tenant_key) entry_->extension_owner = extension_owner();
        store();
    }

    // What was looked at is remembered even if nothing came of it: a later change may mend it.
    void store_tables() {
        for (Oid index : lookups_.indexes())
            note(index);
        entry_->lock = lookups_.keep(locks_, &entry_->tables);
        entry_->table = lookups_.keep(tables_, &entry_->tables);
    }

private:
    GuardEntry *entry_;
    core::GuardDefinition definition_;
    LookupLoader lookups_;
    bool same_place_;
    std::vector<GuardWay> ways_;
    std::vector<GuardCheck> checks_;
    std::vector<GuardChildren> children_;
    std::vector<AttrNumber> watched_, keys_;
    std::vector<Oid> tables_;
    std::vector<LOCKMODE> locks_;
    std::optional<Table> guarded_; // the table that the numbers of the definition are of, where the trigger fires on a
                                   // partition of it

    // The rows of the table that the guard is about.
    void load_rows(const Table &table) {
        if (!definition_.column.name.empty()) {
            const Column &column = own_column(table, definition_.column);
            entry_->column = column.number;
            entry_->column_name = lookups_.keep(column.name);
            entry_->type = entry_->declared = column.type;
            entry_->typmod = column.typmod;
            entry_->collation = column.collation;
            watch(column.number);
        }
        std::optional<Table> root;
        if (definition_.kind == core::GuardKind::tenant_key && !definition_.root.name.empty()) {
            root = find(definition_.root);
            LookupRequest request;
            request.table = &*root;
            request.keys = {at(*root, definition_.root_key)};
            entry_->root = lookups_.load(request);
        }
        for (const core::GuardCondition &condition : definition_.where) {
            const Column &column = own_column(table, condition.column);
            watch(column.number);
            checks_.push_back(lookups_.check(column, condition.values, condition.or_null));
        }
        for (const core::GuardSource &source : definition_.sources)
            ways_.push_back(way(table, root, source));
        if (definition_.kind != core::GuardKind::tenant_key && ways_.at(0).problem) throw Unusable{ways_[0].problem};
        if (definition_.kind == core::GuardKind::same_tenant || definition_.kind == core::GuardKind::acyclic) {
            const core::GuardSource &source = definition_.sources.at(0);
            entry_->early = !has_firm_key(source);
            if (ways_[0].lookup[0].problem) throw Unusable{ways_[0].lookup[0].problem};
            if (definition_.kind == core::GuardKind::acyclic) {
                const Column &key = own_column(table, source.hops.at(0).key.at(0));
                entry_->key_column = {key.number, key.type};
                watch(key.number);
            }
        }
    }

    void store() {
        entry_->way = lookups_.keep(ways_, &entry_->ways);
        entry_->check = lookups_.keep(checks_, &entry_->checks);
        entry_->watch = lookups_.keep(watched_, &entry_->watched);
        entry_->key = lookups_.keep(keys_, &entry_->keys);
        entry_->children = lookups_.keep(children_, &entry_->children_lists);
        entry_->lookups = lookups_.lookups();
        store_tables();
    }

    void note(Oid table, LOCKMODE lock = AccessShareLock) {
        auto at = std::find(tables_.begin(), tables_.end(), table);
        if (at == tables_.end()) {
            tables_.push_back(table);
            locks_.push_back(lock);
        } else {
            LOCKMODE &held = locks_[static_cast<std::size_t>(at - tables_.begin())];
            held = std::max(held, lock);
        }
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
    //
    // Returns whether it is the rows of this table that the guard is about; of a guard of kind same_tenant the parent
    // has the trigger too.
    bool require_ours(const Table &table) {
        const bool parent = definition_.kind == core::GuardKind::same_tenant && is_parent(table);
        if (definition_.sources.empty() && parent) return false;
        if (!same_place_) {
            if (parent && !is_within(table, find(definition_.table).oid)) return false;
            if (role_name(table.owner) != definition_.owner)
                throw Unusable{fmt::format("the guard was attached to a table of {}", definition_.owner)};
            return true;
        }
        Oid guarded = definition_.table.oid;
        if (!is_within(table, guarded)) {
            if (parent) return false;
            throw Unusable{
                fmt::format("the guard is one of {}", qualified(definition_.table.schema, definition_.table.name))};
        }
        if (table.oid != guarded) {
            note(guarded);
            guarded_ = describe_table(guarded);
        }
        return true;
    }

    bool is_parent(const Table &table) {
        return definition_.sources.empty() || is_within(table, find(definition_.sources[0].hops.at(0).table).oid);
    }

    // The table itself, or a partition of it.
    static bool is_within(const Table &table, Oid whole) {
        Oid oid = table.oid;
        return oid == whole || (table.is_partition && pg_call([oid, whole] {
                                    List *ancestors = get_partition_ancestors(oid);
                                    bool found = list_member_oid(ancestors, whole);
                                    list_free(ancestors);
                                    return found;
                                }));
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

    GuardLookup hop(const core::GuardHop &hop) {
        try {
            return try_hop(hop);
        } catch (const Unusable &unusable) { // which matters to the rows that lead there, and to no other ones
            if (entry_->guard == 0) throw;
            GuardLookup lost;
            lost.problem = lookups_.keep(unusable.why);
            return lost;
        }
    }

    GuardLookup try_hop(const core::GuardHop &hop) {
        Table table = find(hop.table);
        LookupRequest request;
        request.table = &table;
        for (const core::GuardColumn &column : hop.key)
            request.keys.push_back(at(table, column));
        for (const core::GuardColumn &column : hop.value)
            request.values.push_back(at(table, column));
        for (const core::GuardCondition &condition : hop.where)
            request.conditions.push_back({at(table, condition.column), condition.values, condition.or_null});
        std::vector<Column> kept = request.keys;
        kept.insert(kept.end(), request.values.begin(), request.values.end());
        if (definition_.kind == core::GuardKind::reference)
            request.lock = RowLock::key_share;
        else if (definition_.kind != core::GuardKind::tenant_key)
            request.lock = sufficient_lock(table.oid, kept);
        if (request.lock != RowLock::none) note(table.oid, RowShareLock);
        if (entry_->guard == 0) require_readable(table);
        return lookups_.load(request);
    }

    // The plain form has nobody who has shown the privileges of the tables' owners: the table's own owner must be
    // allowed to read what its guard looks at.
    void require_readable(const Table &table) {
        Oid owner = describe_table(entry_->relation)->owner, oid = table.oid;
        struct Rights {
            bool usage, select, hidden;
        };
        Rights rights = pg_call([oid, owner] {
            Oid schema = get_rel_namespace(oid);
#if PG_VERSION_NUM >= 160000
            bool usage = object_aclcheck(NamespaceRelationId, schema, owner, ACL_USAGE) == ACLCHECK_OK;
#else
            bool usage = pg_namespace_aclcheck(schema, owner, ACL_USAGE) == ACLCHECK_OK;
#endif
            return Rights{usage, pg_class_aclcheck(oid, owner, ACL_SELECT) == ACLCHECK_OK,
                          check_enable_rls(oid, owner, true) == RLS_ENABLED && !pg_class_ownercheck(oid, owner)};
        });
        if (rights.hidden)
            throw Unusable{fmt::format("row-level security of {} applies to {}, the owner of the guarded table",
                                       table.label(), role_name(owner)),
                           sqlstate::insufficient_privilege,
                           "SELECT * FROM tenantmig.attach_guard(…) by the owner of both tables makes such a guard."};
        if (!rights.select || !rights.usage)
            throw Unusable{
                fmt::format("{}, the owner of the guarded table, may not read {}", role_name(owner), table.label()),
                sqlstate::insufficient_privilege,
                rights.usage
                    ? fmt::format("GRANT SELECT ON {} TO {};", table.sql(), quoted(role_name(owner)))
                    : fmt::format("GRANT USAGE ON SCHEMA {} TO {};", quoted(table.schema), quoted(role_name(owner)))};
    }

    // Whether a foreign key makes sure, at the end of each statement, that the row which is referenced is there.
    bool has_firm_key(const core::GuardSource &source) {
        Table from = guarded_ ? *guarded_ : *describe_table(entry_->relation);
        Table to = find(source.hops.at(0).table);
        for (const ForeignKey &key : foreign_keys_from(from.oid)) {
            if (key.to != to.oid || key.from_columns.size() != source.probe.size()) continue;
            bool covers = true;
            for (const core::GuardColumn &column : source.probe) {
                const Column *own =
                    same_place_ ? from.find(static_cast<AttrNumber>(column.number)) : from.find(column.name);
                covers =
                    covers && own &&
                    std::find(key.from_columns.begin(), key.from_columns.end(), own->number) != key.from_columns.end();
            }
            if (covers && !pg_call([oid = key.oid] {
                    HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));
                    if (!HeapTupleIsValid(tuple)) return true;
                    bool deferrable = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->condeferrable;
                    ReleaseSysCache(tuple);
                    return deferrable;
                }))
                return true;
        }
        return false;
    }

    // same_tenant: the rows that point at rows of this table, by each source whose parent it is.
    void load_parent_side(const Table &table) {
        for (const PlainChild &child : parent_children(table))
            load_children(table, child);
    }

    // The guard's own child; in the plain form each child that has the trigger.
    std::vector<PlainChild> parent_children(const Table &table) {
        if (entry_->guard == 0) {
            std::vector<Oid> seen;
            std::vector<PlainChild> found = plain_children(entry_->trigger, table, seen);
            for (Oid oid : seen)
                note(oid);
            return found;
        }
        const core::GuardSource &source = definition_.sources.at(0);
        const core::GuardHop &hop = source.hops.at(0);
        Table parent = find(hop.table);
        if (!is_within(table, parent.oid)) return {};
        PlainChild child;
        child.child = find(definition_.table);
        child.parent = parent;
        child.tenant = at(child.child, definition_.column);
        child.parent_tenant = at(parent, hop.value.at(0));
        for (const core::GuardColumn &column : source.probe)
            child.via.push_back(at(child.child, column));
        for (const core::GuardColumn &column : hop.key)
            child.key.push_back(at(parent, column));
        child.early = !has_firm_key_from(child, source);
        return {child};
    }

    bool has_firm_key_from(const PlainChild &child, const core::GuardSource &source) {
        std::optional<Table> saved = guarded_;
        guarded_ = child.child;
        bool firm = has_firm_key(source);
        guarded_ = saved;
        return firm;
    }

    void load_children(const Table &table, const PlainChild &child) {
        auto here = [&table](const Column &column) { // on a partition the parent's columns have other numbers
            const Column *found = table.find(column.name);
            if (!found)
                throw Unusable{fmt::format("column {} of {} no longer exists", quoted(column.name), table.label())};
            return *found;
        };
        GuardChildren result;
        note(child.child.oid);
        LookupRequest request;
        request.table = &child.child;
        request.keys = child.via;
        request.differs = child.tenant;
        request.values = {child.tenant};
        result.lookup = lookups_.load(request);
        result.tenant_name = lookups_.keep(child.tenant.name);
        for (const Column &key : child.key) {
            const Column own = here(key);
            result.key[result.keys++] = {own.number, own.type};
            watch(own.number);
        }
        const Column tenant = here(child.parent_tenant);
        result.tenant = {tenant.number, tenant.type};
        watch(tenant.number);
        result.early = child.early;
        result.parent = child.parent.oid;
        if (!entry_->column_name) entry_->column_name = lookups_.keep(tenant.name);
        children_.push_back(result);
    }

    GuardWay way(const Table &table, const std::optional<Table> &root, const core::GuardSource &source) {
        GuardWay result;
        result.label = lookups_.keep(source.label);
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
                    lookups.back().type_value = lookups_.keep(type);
                }
            } else {
                for (const core::GuardHop &target : source.hops)
                    lookups.push_back(hop(target));
                result.ends_at_root = root && !lookups.empty() && lookups.back().table == root->oid;
            }
            result.lookup = lookups_.keep(lookups, &result.lookups);
        } catch (const Unusable &unusable) {
            if (entry_->guard == 0) throw;
            result.problem = lookups_.keep(unusable.why);
        }
        return result;
    }
};
} // namespace

void load_guard(GuardEntry *entry, const Trigger *trigger) {
    auto inert = [entry](const std::string &why) {
        const char *data = why.c_str();
        entry->inert = pg_call(
            [data, context = entry->context] { return static_cast<const char *>(MemoryContextStrdup(context, data)); });
    };
    if (entry->guard == 0) {
        Loader loader(entry, plain_definition(entry->kind, entry->relation, trigger));
        try {
            loader.load();
        } catch (const Unusable &unusable) {
            throw Error(unusable.state,
                        fmt::format("trigger {} can not guard: {}", quoted(trigger->tgname), unusable.why), {},
                        unusable.hint);
        }
        return;
    }
    const char *text = pg_call([guard = entry->guard] { return stored_definition(guard); });
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

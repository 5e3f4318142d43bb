#include "guards/guard_plain.hpp"
#include "bridge/pg_text.hpp"

namespace tenantmig {

namespace {
using core::GuardKind;

struct Arguments {
    std::string trigger;
    std::vector<std::string> items;
};

std::string_view usage(GuardKind kind) {
    switch (kind) {
    case GuardKind::same_tenant:
        return "tenantmig.guard_same_tenant('tenant key', 'reference'[, 'tenant key of the parent']) on the child, "
               "tenantmig.guard_same_tenant('tenant key') on the parent";
    case GuardKind::reference:
        return "tenantmig.guard_reference('tenant key or empty', 'type column', 'id column', 'Type=table', …)";
    case GuardKind::acyclic:
        return "tenantmig.guard_acyclic('self reference')";
    default:
        break;
    }
    return "tenantmig.guard_tenant_key('tenant key', 'fill|reject|warn', 'reference', …)";
}

[[noreturn]] void wrong_arguments(GuardKind kind, const Arguments &arguments, const std::string &why) {
    throw Error(sqlstate::invalid_parameter_value,
                fmt::format("trigger {} has wrong arguments: {}", quoted(arguments.trigger), why), {},
                fmt::format("EXECUTE FUNCTION {}", usage(kind)));
}

class Maker {
public:
    Maker(GuardKind kind, Oid relation, Arguments arguments)
        : kind_(kind), arguments_(std::move(arguments)), table_(*describe_table(relation)) {}

    core::GuardDefinition make() {
        definition_.kind = kind_;
        definition_.mode = core::GuardMode::reject;
        definition_.system = std::to_string(pg_call([] { return GetSystemIdentifier(); }));
        definition_.database = MyDatabaseId;
        definition_.table = identity(table_);
        switch (kind_) {
        case GuardKind::same_tenant:
            expect(1, 3);
            definition_.column = column(table_, argument(0));
            if (arguments_.items.size() > 1) definition_.sources = {parent(argument(1), argument_or_empty(2))};
            break;
        case GuardKind::reference:
            reference();
            break;
        case GuardKind::acyclic:
            acyclic();
            break;
        default:
            tenant_key();
            break;
        }
        return std::move(definition_);
    }

    // Where a reference leads, for the parent's side.
    PlainChild child(const Table &parent_table) {
        expect(2, 3);
        PlainChild result;
        result.child = table_;
        result.parent = parent_table;
        result.tenant = at(table_, argument(0));
        definition_.column = column(table_, argument(0));
        core::GuardSource source = parent(argument(1), argument_or_empty(2));
        if (source.hops[0].table.oid != parent_table.oid) return {};
        result.via = {at(table_, argument(1))};
        result.key = {at(parent_table, source.hops[0].key[0].name)};
        result.parent_tenant = at(parent_table, source.hops[0].value[0].name);
        result.early = deferrable_;
        return result;
    }

private:
    GuardKind kind_;
    Arguments arguments_;
    Table table_;
    core::GuardDefinition definition_;
    bool deferrable_ = false;

    const std::string &argument(std::size_t number) const { return arguments_.items.at(number); }
    std::string argument_or_empty(std::size_t number) const {
        return number < arguments_.items.size() ? arguments_.items[number] : std::string();
    }

    void expect(std::size_t least, std::size_t most) const {
        const std::size_t count = arguments_.items.size();
        if (count < least || count > most)
            wrong_arguments(kind_, arguments_,
                            fmt::format("{} given, {} expected", count,
                                        least == most ? std::to_string(least) : fmt::format("{} to {}", least, most)));
    }

    static core::GuardTable identity(const Table &table) { return {table.oid, table.schema, table.name}; }
    static core::GuardColumn identity(const Column &column) { return {column.number, column.name}; }

    const Column &at(const Table &table, const std::string &name) const {
        if (const Column *found = table.find(name)) return *found;
        throw Error(sqlstate::undefined_column,
                    fmt::format("column {} of {} does not exist", quoted(name), table.label()),
                    fmt::format("The trigger {} names it.", quoted(arguments_.trigger)),
                    "After a rename drop the trigger and make it anew with the new name; tenantmig.attach_guard makes "
                    "guards that renames do not matter to.");
    }
    core::GuardColumn column(const Table &table, const std::string &name) const { return identity(at(table, name)); }

    Table named_table(const std::string &name) const {
        const char *text = name.c_str(), *own_schema = table_.schema.c_str();
        Oid oid = pg_call([text, own_schema] {
            List *names = stringToQualifiedNameList(text
#if PG_VERSION_NUM >= 160000
                                                    ,
                                                    nullptr
#endif
            );
            if (list_length(names) > 2) return InvalidOid;
            const char *schema = list_length(names) == 2 ? strVal(linitial(names)) : own_schema;
            Oid space = get_namespace_oid(schema, true);
            return OidIsValid(space) ? get_relname_relid(strVal(llast(names)), space) : InvalidOid;
        });
        std::optional<Table> found = OidIsValid(oid) ? describe_table(oid) : std::nullopt;
        if (!found)
            throw Error(sqlstate::undefined_table, fmt::format("table \"{}\" does not exist", name),
                        fmt::format("The trigger {} names it; without a schema it is one of {}.",
                                    quoted(arguments_.trigger), quoted(table_.schema)),
                        "After a rename drop the trigger and make it anew with the new name.");
        return *found;
    }

    // The foreign key of one column. A partition has those of its table as its own.
    std::optional<ForeignKey> foreign_key_of(const Table &table, AttrNumber number) {
        Table from = table;
        for (;;) {
            for (const ForeignKey &key : foreign_keys_from(from.oid))
                if (key.from_columns == std::vector<AttrNumber>{number}) return key;
            if (!from.is_partition) return std::nullopt;
            std::string name = from.at(number).name;
            Oid above = pg_call([oid = from.oid] { return get_partition_parent(oid, true); });
            from = *describe_table(above);
            number = from.find(name)->number;
        }
    }

    static bool is_deferrable(const ForeignKey &key) {
        return pg_call([oid = key.oid] {
            HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));
            if (!HeapTupleIsValid(tuple)) return true;
            bool deferrable = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->condeferrable;
            ReleaseSysCache(tuple);
            return deferrable;
        });
    }

    ForeignKey required_key(const Column &own) {
        std::optional<ForeignKey> key = foreign_key_of(table_, own.number);
        if (!key)
            throw Error(sqlstate::undefined_object,
                        fmt::format("column {} of {} has no foreign key of its own", quoted(own.name), table_.label()),
                        fmt::format("The trigger {} finds the parent by it.", quoted(arguments_.trigger)),
                        "Add the foreign key, or let tenantmig.attach_guard make the guard.");
        deferrable_ = is_deferrable(*key);
        return *key;
    }

    // The parent's tenant key: as named; the parent's key if it is the tenant root itself; by a foreign key to the
    // tenant root; by the name.
    Column tenant_of(const Table &parent, const ForeignKey &key, const std::string &name) {
        if (!name.empty()) return at(parent, name);
        const Column &own = at(table_, definition_.column.name);
        if (std::optional<ForeignKey> to_root = foreign_key_of(table_, own.number)) {
            if (to_root->to == parent.oid && to_root->to_columns == key.to_columns) return parent.at(key.to_columns[0]);
            for (const Column &candidate : parent.columns) {
                std::optional<ForeignKey> other = foreign_key_of(parent, candidate.number);
                if (other && other->to == to_root->to) return candidate;
            }
        }
        return at(parent, own.name);
    }

    core::GuardSource parent(const std::string &via, const std::string &tenant) {
        const Column &own = at(table_, via);
        ForeignKey key = required_key(own);
        Table target = *describe_table(key.to);
        core::GuardSource source;
        source.label = via;
        source.probe = {identity(own)};
        source.hops = {{identity(target),
                        {identity(target.at(key.to_columns[0]))},
                        {identity(tenant_of(target, key, tenant))},
                        {}}};
        return source;
    }

    void tenant_key() {
        expect(3, 3 + max_guard_keys);
        definition_.column = column(table_, argument(0));
        std::optional<core::GuardMode> mode = core::mode_of(argument(1));
        if (!mode) wrong_arguments(kind_, arguments_, fmt::format("\"{}\" is no mode", argument(1)));
        definition_.mode = *mode;
        if (std::optional<ForeignKey> key = foreign_key_of(table_, at(table_, argument(0)).number)) {
            Table root = *describe_table(key->to);
            definition_.root = identity(root);
            definition_.root_key = identity(root.at(key->to_columns[0]));
        }
        for (std::size_t i = 2; i < arguments_.items.size(); i++)
            definition_.sources.push_back(parent(argument(i), {}));
    }

    void reference() {
        expect(4, 1000);
        if (!argument(0).empty()) definition_.column = column(table_, argument(0));
        core::GuardSource source;
        source.label = argument(2);
        source.type_column = column(table_, argument(1));
        source.probe = {column(table_, argument(2))};
        for (std::size_t i = 3; i < arguments_.items.size(); i++) {
            const std::string &text = argument(i);
            const std::size_t equals = text.find('=');
            if (equals == std::string::npos || equals == 0)
                wrong_arguments(kind_, arguments_, fmt::format("\"{}\" is not Type=table", text));
            Table target = named_table(text.substr(equals + 1));
            std::vector<AttrNumber> key = row_identity(target.oid, nullptr);
            if (key.size() != 1)
                throw Error(sqlstate::undefined_object,
                            fmt::format("table {} has no key of one column", target.label()),
                            fmt::format("The trigger {} looks for its rows.", quoted(arguments_.trigger)),
                            "Add a primary key of one column, or leave the type out.");
            core::GuardHop hop{identity(target), {identity(target.at(key[0]))}, {}, {}};
            if (!argument(0).empty()) {
                ForeignKey by;
                by.to_columns = key;
                hop.value = {identity(tenant_of(target, by, {}))};
            }
            source.types.emplace_back(text.substr(0, equals), hop);
        }
        definition_.sources = {source};
    }

    void acyclic() {
        expect(1, 1);
        const Column &own = at(table_, argument(0));
        definition_.column = identity(own);
        ForeignKey key = required_key(own);
        Table target = *describe_table(key.to);
        Table whole = table_;
        while (whole.oid != target.oid && whole.is_partition)
            whole = *describe_table(pg_call([oid = whole.oid] { return get_partition_parent(oid, true); }));
        if (whole.oid != target.oid)
            throw Error(
                sqlstate::undefined_object,
                fmt::format("column {} of {} is no reference to the same table", quoted(own.name), table_.label()),
                fmt::format("Its foreign key leads to {}.", target.label()),
                "Name the column that refers to other rows of the table.");
        core::GuardSource source;
        source.label = own.name;
        source.probe = {identity(own)};
        source.hops = {
            {identity(target), {identity(target.at(key.to_columns[0]))}, {identity(at(target, own.name))}, {}}};
        definition_.sources = {source};
    }
};

Arguments arguments_of(const Trigger *trigger) {
    Arguments arguments{trigger->tgname, {}};
    for (int i = 0; i < trigger->tgnargs; i++)
        arguments.items.emplace_back(trigger->tgargs[i]);
    return arguments;
}

// The triggers of a table that call a function, in memory of the caller.
struct TriggerArguments {
    const char *name;
    int count;
    char **items;
};
struct TriggerList {
    int count;
    TriggerArguments *items;
};
TriggerList triggers_of(Oid table, Oid function) {
    return pg_call([table, function] {
        TriggerList list = {0, nullptr};
        Relation relation = try_relation_open(table, AccessShareLock);
        if (!relation) return list;
        if (TriggerDesc *triggers = relation->trigdesc) {
            list.items = static_cast<TriggerArguments *>(
                palloc0(sizeof(TriggerArguments) * static_cast<Size>(triggers->numtriggers + 1)));
            for (int i = 0; i < triggers->numtriggers; i++) {
                const Trigger *trigger = &triggers->triggers[i];
                if (trigger->tgfoid != function || trigger->tgnargs == 0) continue;
                TriggerArguments *item = &list.items[list.count++];
                item->name = pstrdup(trigger->tgname);
                item->count = trigger->tgnargs;
                item->items = static_cast<char **>(palloc(sizeof(char *) * static_cast<Size>(trigger->tgnargs)));
                for (int k = 0; k < trigger->tgnargs; k++)
                    item->items[k] = pstrdup(trigger->tgargs[k]);
            }
        }
        relation_close(relation, NoLock);
        return list;
    });
}

Oid function_of(Oid trigger, Oid table) {
    return pg_call([trigger, table] {
        Relation relation = relation_open(table, AccessShareLock);
        Oid function = InvalidOid;
        for (int i = 0; relation->trigdesc && i < relation->trigdesc->numtriggers; i++)
            if (relation->trigdesc->triggers[i].tgoid == trigger) function = relation->trigdesc->triggers[i].tgfoid;
        relation_close(relation, NoLock);
        return function;
    });
}
} // namespace

core::GuardDefinition plain_definition(GuardKind kind, Oid relation, const Trigger *trigger) {
    return Maker(kind, relation, arguments_of(trigger)).make();
}

std::vector<PlainChild> plain_children(Oid trigger, const Table &parent, std::vector<Oid> &seen) {
    std::vector<PlainChild> result;
    Oid function = function_of(trigger, parent.oid);
    Table whole = parent; // foreign keys lead to the partitioned table
    for (;;) {
        seen.push_back(whole.oid);
        for (const ForeignKey &key : foreign_keys_to(whole.oid)) {
            seen.push_back(key.from);
            TriggerList list = triggers_of(key.from, function);
            for (int i = 0; i < list.count; i++) {
                Arguments arguments{list.items[i].name,
                                    {list.items[i].items, list.items[i].items + list.items[i].count}};
                if (arguments.items.size() < 2) continue;
                Maker maker(GuardKind::same_tenant, key.from, arguments);
                PlainChild child = maker.child(whole);
                if (child.child.oid == InvalidOid || key.from_columns != std::vector{child.via[0].number}) continue;
                result.push_back(std::move(child));
            }
        }
        if (!whole.is_partition) return result;
        whole = *describe_table(pg_call([oid = whole.oid] { return get_partition_parent(oid, true); }));
    }
}

} // namespace tenantmig

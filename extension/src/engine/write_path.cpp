#include "engine/write_path.hpp"

namespace tenantmig {

namespace {
constexpr int most_leaves = 65536;

struct LeafList {
    Leaf *leaves;
    int count;
};

// Guards let what the engine writes pass as it is.
bool foreign_before_update(const TriggerDesc *triggers) {
    Oid ours = get_namespace_oid("tenantmig", true);
    for (int i = 0; i < triggers->numtriggers; i++) {
        const Trigger *trigger = &triggers->triggers[i];
        if (TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE, TRIGGER_TYPE_UPDATE) &&
            get_func_namespace(trigger->tgfoid) != ours)
            return true;
    }
    return false;
}

// What a relation itself stands in the way with; empty if nothing does.
const char *obstacle(Relation rel, AttrNumber *partition_columns, int *partition_column_count) {
    if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE) return "a foreign table";
    if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) {
        PartitionKey key = RelationGetPartitionKey(rel);
        for (int i = 0; i < key->partnatts && *partition_column_count < PARTITION_MAX_KEYS; i++)
            partition_columns[(*partition_column_count)++] = key->partattrs[i];
    } else if (rel->rd_rel->relam != HEAP_TABLE_AM_OID) {
        return "another access method than heap";
    }
    if (rel->rd_rules) return "rules";
    if (rel->rd_rel->relhassubclass && rel->rd_rel->relkind == RELKIND_RELATION) return "inheritance children";
    // a trigger could move the row to another partition, which only the executor does
    if (rel->rd_rel->relispartition && rel->trigdesc && foreign_before_update(rel->trigdesc))
        return "a BEFORE UPDATE trigger on a partition";
    return nullptr;
}
} // namespace

std::vector<Leaf> leaves_of(const Table &table) {
    LeafList list = pg_call([oid = table.oid] {
        List *members = find_all_inheritors(oid, AccessShareLock, nullptr);
        bool partitioned = get_rel_relkind(oid) == RELKIND_PARTITIONED_TABLE;
        LeafList result = {
            static_cast<Leaf *>(palloc(sizeof(Leaf) * static_cast<std::size_t>(list_length(members) + 1))), 0};
        for (int i = 0; i < list_length(members) && result.count < most_leaves; i++) {
            Oid member = list_nth_oid(members, i);
            if (!partitioned && member != oid) continue; // ONLY: children by inheritance are tables of their own
            Relation rel = relation_open(member, NoLock);
            if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
                result.leaves[result.count++] = {member, rel->rd_rel->relfilenode, RelationGetNumberOfBlocks(rel)};
            else if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
                result.leaves[result.count++] = {member, InvalidOid, 0};
            relation_close(rel, NoLock);
        }
        return result;
    });
    std::vector<Leaf> leaves(list.leaves, list.leaves + list.count);
    pfree(list.leaves);
    return leaves;
}

std::optional<std::string> why_through_sql(const StepTarget &target) {
    struct Found {
        const char *why;
        bool key;
    };
    std::string name = target.column.name;
    const char *column = name.c_str();
    Found found = pg_call([oid = target.table.oid, column] {
        Found result = {nullptr, false};
        List *members = find_all_inheritors(oid, AccessShareLock, nullptr);
        bool partitioned = get_rel_relkind(oid) == RELKIND_PARTITIONED_TABLE;
        for (int i = 0; i < list_length(members) && !result.why && !result.key; i++) {
            Oid member = list_nth_oid(members, i);
            if (!partitioned && member != oid) continue;
            AttrNumber numbers[PARTITION_MAX_KEYS];
            int count = 0;
            Relation rel = relation_open(member, NoLock);
            result.why = obstacle(rel, numbers, &count);
            for (int k = 0; k < count; k++)
                if (numbers[k] == 0 || numbers[k] == get_attnum(member, column)) result.key = true;
            relation_close(rel, NoLock);
        }
        return result;
    });
    if (found.why) return found.why;
    if (found.key) return "the tenant key may be part of a partition key";
    return std::nullopt;
}

std::string write_path(const StepTarget &target) {
    auto why = why_through_sql(target);
    return why ? "sql: " + *why : "direct";
}

std::optional<LeafIdentity> identify_leaf(Oid leaf, const Table &table, const std::vector<AttrNumber> &numbers) {
    std::vector<std::string> names;
    for (AttrNumber number : numbers)
        names.push_back(table.at(number).name);
    struct Basics {
        bool exists;
        Oid storage, owner, parent;
    };
    Basics basics = pg_call([leaf] {
        Relation rel = try_relation_open(leaf, AccessShareLock);
        if (!rel) return Basics{false, InvalidOid, InvalidOid, InvalidOid};
        Basics result = {true, rel->rd_rel->relfilenode, rel->rd_rel->relowner, InvalidOid};
        if (rel->rd_rel->relispartition) result.parent = get_partition_parent(leaf, true);
        relation_close(rel, NoLock);
        return result;
    });
    if (!basics.exists) return std::nullopt;
    LeafIdentity identity;
    identity.storage = basics.storage;
    identity.owner = basics.owner;
    identity.parent = basics.parent;
    // by number, for a column of the target itself may be renamed; in a partition numbers may differ, names may not
    for (std::size_t i = 0; i < numbers.size(); i++) {
        const char *name = names[i].c_str();
        AttrNumber number = leaf == table.oid ? numbers[i] : pg_call([leaf, name] { return get_attnum(leaf, name); });
        struct Type {
            Oid type;
            std::int32_t typmod;
        };
        Type type = pg_call([leaf, number] {
            Type result = {InvalidOid, -1};
            HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(leaf), Int16GetDatum(number));
            if (HeapTupleIsValid(tuple)) {
                auto *form = reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple));
                if (!form->attisdropped) result = {form->atttypid, form->atttypmod};
                ReleaseSysCache(tuple);
            }
            return result;
        });
        identity.columns += fmt::format("{}:{}:{} ", number, type.type, type.typmod);
        identity.whole &= type.type != InvalidOid;
    }
    identity.triggers = [leaf] {
        Rows rows = run_query("SELECT coalesce(pg_catalog.string_agg(pg_catalog.format('%s %s %s', t.oid, t.tgfoid, "
                              "t.tgenabled), ' ' ORDER BY t.oid), '') FROM pg_catalog.pg_trigger t JOIN "
                              "pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid WHERE t.tgrelid "
                              "OPERATOR(pg_catalog.=) $1 AND NOT t.tgisinternal AND (t.tgtype::int4 "
                              "OPERATOR(pg_catalog.&) 16) OPERATOR(pg_catalog.<>) 0 AND p.pronamespace "
                              "OPERATOR(pg_catalog.<>) 'tenantmig'::pg_catalog.regnamespace",
                              {Value{OIDOID, ObjectIdGetDatum(leaf), false}}, true);
        return rows.text_or(0, 1);
    }();
    return identity;
}

std::string difference(const LeafIdentity &before, const LeafIdentity &now) {
    if (before.owner != now.owner) return "it belongs to another role now";
    if (before.parent != now.parent) return "it was attached to or detached from a partitioned table";
    if (before.columns != now.columns)
        return now.whole ? "the type of a column that the run reads or writes has changed"
                         : "a column that the run reads or writes was dropped";
    if (before.triggers != now.triggers) return "its UPDATE triggers have changed";
    return {};
}

} // namespace tenantmig

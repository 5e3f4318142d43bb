#include "core/key_text.hpp"
#include "core/spec.hpp"
#include <string>
#include <unordered_set>

#include "catalog/change_log.hpp"
#include "catalog/review_store.hpp"
#include "engine/evaluation.hpp"
#include "steps/observe_keys.hpp"

namespace tenantmig {

namespace {
constexpr std::size_t most_keys = 100'000;      // distinct ones that a shallow look goes through
constexpr std::int64_t most_compared = 10'000;  // rows without a key that are compared one by one
constexpr std::int64_t most_unpacked = 100'000; // reviews that are unpacked for it

std::string greater_operator(Oid type) {
    struct Name {
        const char *schema, *name;
    };
    Name name = pg_call([type] {
        Name out = {nullptr, nullptr};
        TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_GT_OPR);
        HeapTuple tuple =
            OidIsValid(entry->gt_opr) ? SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->gt_opr)) : nullptr;
        if (!HeapTupleIsValid(tuple)) return out;
        auto *form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
        out.schema = get_namespace_name(form->oprnamespace);
        out.name = pstrdup(NameStr(form->oprname));
        ReleaseSysCache(tuple);
        return out;
    });
    if (!name.name) return {};
    return fmt::format("OPERATOR({}.{})", tenantmig::quoted(name.schema), name.name);
}

std::string text_of(TupleTableSlot *slot, int column, bool *null) {
    Datum value = pg_call([slot, column, null] { return slot_getattr(slot, column, null); });
    return *null ? std::string() : std::string(text_view(value));
}

// Tenants, as text, that the root has not: as the root's owner, who need not be
// that of the table.
void look_up(const ObservedKey &key, const std::vector<std::string> &tenants, KeySample &sample) {
    if (!key.root || tenants.empty()) return;
    std::string column = "r." + tenantmig::quoted(key.root_key.name), value = "u.tenant";
    switch (key.key_class) {
    case KeyClass::integer:
        value += "::pg_catalog.int8";
        break;
    case KeyClass::uuid:
        value += "::pg_catalog.uuid";
        break;
    case KeyClass::text:
        break;
    case KeyClass::as_text:
        column += "::pg_catalog.text";
        break;
    }
    RunAs owner(key.root->owner, Purpose::read);
    Rows rows = run_query(fmt::format("SELECT pg_catalog.count(*), pg_catalog.min(u.tenant) FROM "
                                      "pg_catalog.unnest($1) AS u (tenant) WHERE NOT EXISTS "
                                      "(SELECT FROM {} AS r WHERE "
                                      "{} OPERATOR(pg_catalog.=) {})",
                                      key.root->target(), column, value),
                          {text_array_value(tenants)}, true);
    sample.unknown = rows.bigint(0, 1);
    sample.unknown_example = rows.text_or(0, 2);
}

std::string null_condition(const ObservedKey &key) {
    std::string condition = fmt::format("t.{} IS NULL", tenantmig::quoted(key.column.name));
    if (key.except_deleted) condition += fmt::format(" AND t.{} IS NULL", tenantmig::quoted(key.except_deleted->name));
    return condition;
}

// From one key to the next greater one, so that the cost is that of the number
// of tenants, not of rows.
std::vector<std::string> skip_through(const ObservedKey &key, const std::string &greater, bool &all) {
    std::string column = "t." + tenantmig::quoted(key.column.name), table = key.table.target();
    std::string sql = fmt::format("WITH RECURSIVE k (v) AS ((SELECT {0} FROM {1} AS t WHERE "
                                  "{0} IS NOT NULL ORDER BY {0} LIMIT 1) "
                                  "UNION ALL SELECT (SELECT {0} FROM {1} AS t WHERE {0} {2} "
                                  "k.v ORDER BY {0} LIMIT 1) FROM k WHERE "
                                  "k.v IS NOT NULL) SELECT k.v::pg_catalog.text FROM k WHERE "
                                  "k.v IS NOT NULL",
                                  column, table, greater);
    std::vector<std::string> keys;
    stream_query(sql, {}, [&](TupleTableSlot *slot) {
        if (keys.size() == most_keys) {
            all = false;
            return false;
        }
        bool null = false;
        keys.push_back(text_of(slot, 1, &null));
        return true;
    });
    return keys;
}
} // namespace

IndexScans::IndexScans() : guc_level_(NewGUCNestLevel()) {
    try {
        pg_call([] {
            for (const char *name :
                 {"enable_seqscan", "enable_bitmapscan", "jit"}) // a seqscan turned off looks dear: JIT
                (void)set_config_option(name, "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
            (void)set_config_option("max_parallel_workers_per_gather", "0", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                                    true, 0, false);
        });
    } catch (...) {
        AtEOXact_GUC(false, guc_level_);
        throw;
    }
}

IndexScans::~IndexScans() {
    AtEOXact_GUC(false, guc_level_);
}

std::string key_label(const Table &table, const Column &column) {
    return table.label() + "." + tenantmig::quoted(column.name);
}

bool has_serving_index(const Table &table, const Column &column) {
    return own_query("SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON "
                     "c.oid = i.indexrelid JOIN pg_am a ON "
                     "a.oid = c.relam JOIN pg_opclass o ON o.oid = i.indclass[0] "
                     "JOIN pg_attribute t ON t.attrelid = "
                     "i.indrelid AND t.attnum = i.indkey[0] WHERE i.indrelid = "
                     "$1 AND i.indkey[0] = $2 AND "
                     "i.indisvalid AND i.indisready AND i.indpred IS NULL AND "
                     "a.amname = 'btree' AND o.opcdefault AND "
                     "i.indcollation[0] = t.attcollation)",
                     {{OIDOID, ObjectIdGetDatum(table.oid), false}, {INT2OID, Int16GetDatum(column.number), false}})
        .boolean(0, 1);
}

std::vector<ObservedKey> observed_keys(const ResolvedMigration &migration,
                                       const std::vector<ConstraintTarget> &constraints) {
    std::vector<ObservedKey> keys;
    for (const ResolvedStep &step : migration.steps) {
        ObservedKey key;
        key.table = step.target.table;
        key.column = step.target.column;
        key.root = step.target.root;
        key.root_key = step.target.root_key;
        key.key_class = step.tenant_class;
        key.step = &step;
        keys.push_back(std::move(key));
    }
    for (const ConstraintTarget &target : constraints) {
        auto same = [&](const ObservedKey &key) {
            return key.table.oid == target.table.oid && key.column.number == target.column.number;
        };
        bool needs_value = target.step.not_null != core::NotNull::leave;
        if ((!needs_value && !target.referenced) || std::any_of(keys.begin(), keys.end(), same)) continue;
        ObservedKey key;
        key.table = target.table;
        key.column = target.column;
        key.needs_value = needs_value;
        if (target.step.not_null == core::NotNull::live) key.except_deleted = target.soft_delete;
        if (target.referenced) {
            key.root = target.referenced;
            key.root_key = target.referenced_column;
            key.key_class = comparison_class(target.column, target.table, target.referenced_column, *target.referenced,
                                             target.step.path);
        }
        keys.push_back(std::move(key));
    }
    return keys;
}

KeySample sample_key(const ObservedKey &key) {
    KeySample sample;
    SnapshotScope snapshot;
    std::vector<std::string> tenants;
    std::string greater = greater_operator(key.column.type);
    sample.indexed = !greater.empty() && has_serving_index(key.table, key.column);
    {
        RunAs owner(key.table.owner, Purpose::read);
        if (sample.indexed) {
            IndexScans through_index;
            if (!key.column.not_null)
                sample.nulls = run_query(fmt::format("SELECT pg_catalog.count(*) FROM {} AS t WHERE {}",
                                                     key.table.target(), null_condition(key)),
                                         {}, true)
                                   .bigint(0, 1);
            if (key.root) tenants = skip_through(key, greater, sample.all);
        } else {
            stream_query(fmt::format("SELECT t.{}::pg_catalog.text, pg_catalog.count(*) "
                                     "FILTER (WHERE {}) FROM {} AS t "
                                     "GROUP BY 1",
                                     tenantmig::quoted(key.column.name), null_condition(key), key.table.target()),
                         {}, [&](TupleTableSlot *slot) {
                             bool null = false;
                             std::string tenant = text_of(slot, 1, &null);
                             if (!null) {
                                 if (key.root) tenants.push_back(std::move(tenant));
                                 return true;
                             }
                             sample.nulls =
                                 DatumGetInt64(pg_call([slot, &null] { return slot_getattr(slot, 2, &null); }));
                             return true;
                         });
        }
    }
    sample.distinct = static_cast<std::int64_t>(tenants.size());
    look_up(key, tenants, sample);
    return sample;
}

NewNulls count_new_nulls(const MigrationRecord &migration, const ObservedKey &key, std::int64_t run,
                         std::int64_t nulls) {
    if (nulls == 0) return {};
    const StepTarget &target = key.step->target;
    std::int32_t number = key.step->spec.number;
    bool deletes = key.step->spec.on_orphan == core::OnOrphan::soft_delete;
    std::int64_t accounted =
        own_query("SELECT (SELECT coalesce(sum(b.row_count), 0) - (SELECT "
                  "count(*) FROM tenantmig.review_batch q JOIN "
                  "tenantmig.review_decision d ON d.id >= q.first_id AND d.id < "
                  "q.first_id + q.row_count WHERE "
                  "q.migration_id = $1 AND q.step = $2 AND d.state <> "
                  "'dismissed') FROM tenantmig.review_batch b WHERE "
                  "b.migration_id = $1 AND b.step = $2)::bigint + (SELECT "
                  "coalesce(sum(l.row_count), 0) FROM "
                  "tenantmig.change_log l WHERE $4 AND l.run_id = $3 AND l.step "
                  "= $2 AND l.source = "
                  "'soft_delete')::bigint",
                  {bigint_value(migration.id), int_value(number), bigint_value(run), boolean_value(deletes)})
            .bigint(0, 1);
    if (nulls > most_compared || accounted > most_unpacked)
        return {std::max<std::int64_t>(nulls - accounted, 0), false};

    std::unordered_set<std::string> known;
    for_each_queued(migration.id, number, [&](const ReviewRow &review) { known.insert(review.key); });
    if (deletes)
        for_each_entry(run, false, [&](const ChangeEntry &entry) {
            if (entry.step == number && entry.source == "soft_delete")
                known.insert(entry.keys.begin(), entry.keys.end());
        });
    std::string columns;
    for (AttrNumber column : target.key)
        columns += (columns.empty() ? "t." : ", t.") + tenantmig::quoted(target.table.at(column).name);
    SnapshotScope snapshot;
    RunAs owner(target.table.owner, Purpose::read);
    std::vector<TextOutput> outputs;
    for (AttrNumber column : target.key)
        outputs.emplace_back(target.table.at(column).type);
    std::optional<IndexScans> through_index;
    if (has_serving_index(target.table, target.column)) through_index.emplace();
    NewNulls found;
    stream_query(fmt::format("SELECT {} FROM {} AS t WHERE {}", columns, target.table.target(), null_condition(key)),
                 {}, [&](TupleTableSlot *slot) {
                     pg_call([slot] { slot_getallattrs(slot); });
                     std::vector<std::string> texts;
                     for (std::size_t i = 0; i < outputs.size(); i++)
                         texts.push_back(outputs[i](slot->tts_values[i]));
                     std::vector<std::string_view> views(texts.begin(), texts.end());
                     found.rows += known.count(core::pack_key(views)) == 0 ? 1 : 0;
                     return true;
                 });
    return found;
}

} // namespace tenantmig

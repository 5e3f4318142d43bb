#include "core/excerpt.hpp"
#include "core/key_text.hpp"

#include "bridge/identity.hpp"
#include "engine/evaluation.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/heap_reader.hpp"
#include "steps/guard_check.hpp"
#include "steps/guard_check_sql.hpp"

namespace tenantmig {

namespace {
struct Violations {
    std::int64_t count = 0;
    std::string example; // the key of one
};

bool may_read(Oid role, const Table &table) {
    if (table.row_security && table.owner != role) return false; // it would see its own rows only
    return pg_call([role, oid = table.oid] { return pg_class_aclcheck(oid, role, ACL_SELECT) == ACLCHECK_OK; });
}

// Whose eyes see all tables of the query: foremost the guarded table's owner.
std::optional<Oid> reader_of(const GuardQuery &query) {
    std::vector<Oid> candidates = {query.table.owner};
    for (const Table &table : query.looked_at)
        candidates.push_back(table.owner);
    for (Oid role : candidates)
        if (may_read(role, query.table) && std::all_of(query.looked_at.begin(), query.looked_at.end(),
                                                       [role](const Table &table) { return may_read(role, table); }))
            return role;
    return std::nullopt;
}

std::string key_of(const Table &table, const std::vector<AttrNumber> &key, const Rows &rows) {
    std::vector<std::string> names, types, values;
    for (std::size_t i = 0; i < key.size(); i++) {
        names.push_back(table.at(key[i]).name);
        types.push_back(type_label(table.at(key[i]).type));
        values.push_back(rows.text_or(0, static_cast<int>(i) + 1));
    }
    return core::key_json(names, types, values);
}

// A text of a tuple, whole; on page or fetched.
std::string_view text_at(Datum value) {
    auto *raw = reinterpret_cast<struct varlena *>(DatumGetPointer(value));
    if (VARATT_IS_COMPRESSED(raw) || VARATT_IS_EXTERNAL(raw))
        raw = pg_call([raw] { return pg_detoast_datum_packed(raw); });
    return {VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw)};
}

// Ids that don't begin with key and separator, read below SQL: an expression takes longer than the reading.
std::int64_t count_prefixes(const GuardQuery &query, std::string_view separator) {
    std::int64_t wrong = 0;
    for (Oid leaf : leaves_in_order(query.table)) {
        HeapPages pages(leaf);
        const AttrNumber id = number_in(pages.descriptor(), leaf, query.table, query.id->number);
        const AttrNumber key = number_in(pages.descriptor(), leaf, query.table, query.embedded->number);
        TupleLayout layout(pages.descriptor(), {id, key});
        std::vector<Datum> values(layout.size());
        const std::unique_ptr<bool[]> nulls(new bool[layout.size()]);
        const auto id_at = static_cast<std::size_t>(id - 1), key_at = static_cast<std::size_t>(key - 1);
        while (pages.next())
            for (int i = 0; i < pages.rows(); i++) {
                layout.deform(pages.row(i), values.data(), nulls.get());
                if (!nulls[id_at] && !nulls[key_at]) {
                    const std::string_view whole = text_at(values[id_at]), prefix = text_at(values[key_at]);
                    if (!prefix.empty() && whole.starts_with(prefix) &&
                        whole.substr(prefix.size()).starts_with(separator))
                        continue;
                }
                wrong++;
            }
    }
    return wrong;
}

Violations count(const GuardQuery &query, Oid reader, const std::string &separator) {
    const std::vector<AttrNumber> key = row_identity(query.table.oid, nullptr);
    SnapshotScope snapshot;
    RunAs role(reader, Purpose::read);
    Violations found;
    if (query.id && !why_not_plain_heap(query.table))
        found.count = count_prefixes(query, separator);
    else
        found.count =
            run_query(fmt::format("SELECT pg_catalog.count(*) FROM {} WHERE {}", query.from, query.violation), {}, true)
                .bigint(0, 1);
    if (found.count == 0 || key.empty()) return found;
    std::string columns, order;
    for (AttrNumber number : key) {
        const std::string name = "t." + quoted(query.table.at(number).name);
        columns += fmt::format("{}CAST({} AS pg_catalog.text)", columns.empty() ? "" : ", ", name);
        order += (order.empty() ? "" : ", ") + name;
    }
    const Rows rows = run_query(
        fmt::format("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT 1", columns, query.from, query.violation, order), {},
        true);
    if (!rows.empty()) found.example = key_of(query.table, key, rows);
    return found;
}

// Rows that lie on a cycle. Each row references at most one other, so each cycle is found by walking on until a row
// comes again, and no row is walked over twice.
Violations count_cycles(const GuardQuery &query) {
    std::unordered_map<std::string, std::string> references;
    {
        SnapshotScope snapshot;
        RunAs role(query.table.owner, Purpose::read);
        TextOutput text(TEXTOID);
        const std::string key = "t." + quoted(query.key->name), reference = "t." + quoted(query.reference->name);
        stream_query(fmt::format("SELECT CAST({0} AS pg_catalog.text), CAST({1} AS pg_catalog.text) FROM {2} WHERE {0} "
                                 "IS NOT NULL AND {1} IS NOT NULL",
                                 key, reference, query.from),
                     {}, [&](TupleTableSlot *slot) {
                         std::array<std::string, 2> pair;
                         for (int i = 0; i < 2; i++) {
                             Datum value = slot->tts_values[i];
                             pair[static_cast<std::size_t>(i)] = text(value);
                         }
                         references.emplace(std::move(pair[0]), std::move(pair[1]));
                         return true;
                     });
    }
    Violations found;
    std::unordered_map<std::string_view, std::size_t> seen; // on which walk
    std::size_t walk = 0;
    std::string least;
    for (const auto &[start, first] : references) {
        walk++;
        std::string_view at = start;
        while (seen.emplace(at, walk).second) {
            const auto next = references.find(std::string(at));
            if (next == references.end()) break;
            at = next->second;
        }
        if (references.find(std::string(at)) == references.end() || seen.at(at) != walk) continue;
        const std::string_view entrance = at; // where the walk came back to: all from here on is a cycle
        do {
            found.count++;
            if (least.empty() || at < least) least = at;
            at = references.find(std::string(at))->second;
        } while (at != entrance);
    }
    if (found.count > 0)
        found.example =
            core::key_json(std::vector{query.key->name}, std::vector{type_label(query.key->type)}, std::vector{least});
    return found;
}

std::string state_of(const GuardTrigger &trigger, bool always) {
    if (!OidIsValid(trigger.table)) return "missing";
    switch (trigger.enabled) {
    case TRIGGER_FIRES_ALWAYS:
        return "enabled";
    case TRIGGER_FIRES_ON_ORIGIN:
        return always ? "enabled, but not always" : "enabled";
    case TRIGGER_FIRES_ON_REPLICA:
        return "enabled for replicas only";
    default:
        return "disabled";
    }
}

std::string how_to_attach(const GuardRecord &guard) {
    if (guard.migration_id != 0)
        return fmt::format("SELECT * FROM tenantmig.attach_guard({}) attaches it anew.",
                           core::excerpt(guard.migration));
    return "Call tenantmig.attach_guard with the same arguments again.";
}

CheckRow check_trigger(const GuardRecord &guard, const std::string &where, const GuardQuery *query) {
    std::string state = state_of(find_trigger(guard), guard.always);
    const bool has_parent = guard.kind == "same_tenant" && query && !query->looked_at.empty();
    if (state == "enabled" && has_parent)
        if (const std::string other = state_of(find_parent_trigger(guard), guard.always); other != "enabled")
            state = other + " on the parent";
    const bool good = state == "enabled";
    return {"guard_trigger " + guard.kind,   good ? "PASS" : "FAIL", "enabled", state, where,
            good ? "" : how_to_attach(guard)};
}

std::string hint_for(const GuardRecord &guard) {
    if (guard.kind == "tenant_key" && guard.mode != "reject")
        return "The guard lets such rows pass; a run of the migration fills keys, and review lists what it could not.";
    return "These rows were there before the guard, or came while it was disabled: an UPDATE of the columns that it "
           "looks at will be refused. Correct them.";
}

CheckRow check_rows(const GuardRecord &guard, const core::GuardDefinition &definition, const std::string &where,
                    const GuardQuery &query) {
    const std::string name = "guard_rows " + guard.kind;
    if (guard.kind == "immutable")
        return {name, "PASS", "0", "0", where + ": a row does not tell what its key was before", ""};
    Violations found;
    if (query.key) {
        found = count_cycles(query);
    } else {
        const std::optional<Oid> reader = reader_of(query);
        if (!reader)
            return {name,
                    "WARN",
                    "0",
                    "not counted",
                    fmt::format("{}: no owner of these tables may read all of them", where),
                    fmt::format("GRANT SELECT ON {} TO {};", query.looked_at.front().label(),
                                quoted(role_name(query.table.owner)))};
        found = count(query, *reader, definition.separator);
    }
    const bool lets_pass = guard.kind == "tenant_key" && guard.mode != "reject";
    std::string detail = where;
    if (!found.example.empty()) detail += fmt::format(": for example row {}", found.example);
    return {name,   found.count == 0 ? "PASS" : lets_pass ? "WARN" : "FAIL",
            "0",    std::to_string(found.count),
            detail, found.count == 0 ? "" : hint_for(guard)};
}
} // namespace

std::vector<CheckRow> check_rows_of(const GuardRecord &guard) {
    std::string where = qualified(guard.schema, guard.table);
    if (!guard.column.empty()) where += "." + quoted(guard.column);
    std::optional<GuardQuery> query;
    const core::GuardDefinition definition = core::parse_guard_json(guard.definition);
    try {
        query = guard_query(definition, find_trigger(guard).table);
    } catch (const Error &error) {
        return {check_trigger(guard, where, nullptr),
                {"guard_rows " + guard.kind, "FAIL", "0", "not counted", fmt::format("{}: {}", where, error.message()),
                 how_to_attach(guard)}};
    }
    require_table_rights(query->table);
    for (const Table &table : query->looked_at)
        require_table_rights(table);
    where = query->table.label();
    if (!query->column.empty()) where += "." + quoted(query->column);
    return {check_trigger(guard, where, &*query), check_rows(guard, definition, where, *query)};
}

std::vector<CheckRow> check_rows_of_guards(const std::optional<std::string> &migration,
                                           std::optional<std::int64_t> guard) {
    std::vector<GuardRecord> guards;
    std::optional<MigrationRecord> owner;
    if (migration) {
        owner = get_migration(*migration);
        require_owner(*owner);
    }
    if (guard) {
        std::optional<GuardRecord> found = find_guard(*guard);
        if (!found || (owner && found->migration_id != owner->id))
            throw Error(sqlstate::undefined_object,
                        owner ? fmt::format("migration {} has no guard {}", core::excerpt(*migration), *guard)
                              : fmt::format("guard {} does not exist", *guard),
                        {}, "SELECT id, relation, kind FROM tenantmig.guards lists all.");
        guards.push_back(*found);
    } else {
        guards = owner ? guards_of(owner->id) : all_guards();
    }
    fire_deferred_as_caller();
    std::vector<CheckRow> result;
    for (const GuardRecord &one : guards) {
        try {
            for (CheckRow &row : check_rows_of(one))
                result.push_back(std::move(row));
        } catch (const Error &error) {
            // Of all guards, those that the caller has nothing to do with are left out.
            if (migration || guard || std::string_view(error.state()) != sqlstate::insufficient_privilege) throw;
        }
    }
    return result;
}

} // namespace tenantmig

#include "core/undo_text.hpp"

#include "bridge/subtransaction.hpp"
#include "catalog/migration_names.hpp"
#include "engine/reach.hpp"
#include "steps/isolate.hpp"
#include "steps/isolate_keys.hpp"

namespace tenantmig {

namespace {
constexpr int sample = 1000; // rows whose key is taken to text and back

std::string all_rows(const Table &table) { // partitions and children, too
    return table.sql();
}

void null_keys(const core::IsolateStep &step, const IsolateMember &top, std::vector<CheckRow> &rows) {
    RunAs owner(top.table.owner, Purpose::read);
    const std::int64_t count = run_query(fmt::format("SELECT pg_catalog.count(*) FROM {} WHERE {} IS NULL",
                                                     all_rows(top.table), quoted(top.key.name)))
                                   .bigint(0, 1);
    CheckRow row;
    row.check_name = "null_keys " + top.table.label();
    row.expected = step.hide_nulls ? "any (null_keys: hide)" : "0";
    row.actual = std::to_string(count);
    row.status = count == 0 ? "PASS" : step.hide_nulls ? "WARN" : "FAIL";
    if (count > 0) {
        row.detail = fmt::format("Rows without {} are seen by no tenant{}.", quoted(top.key.name),
                                 step.hide_nulls ? ", only by super_role and by those whom policies don't hold" : "");
        row.hint = fmt::format("SELECT * FROM {} WHERE {} IS NULL; give them a tenant (a backfill step), {}",
                               top.table.label(), quoted(top.key.name),
                               step.hide_nulls ? "or leave them hidden." : "or write null_keys: hide.");
    }
    rows.push_back(std::move(row));
}

// An index is built as the owner of its table or partition, whom PostgreSQL asks for CREATE on the schema. Found: who
// lacks it where, and the GRANT.
Rows lacking_create(const Table &table) {
    return own_query(
        "SELECT format('%I has no CREATE on schema %I', pg_get_userbyid(c.relowner), n.nspname), format('GRANT CREATE "
        "ON SCHEMA %I TO %I;', n.nspname, pg_get_userbyid(c.relowner)) FROM pg_class c JOIN pg_namespace n ON n.oid = "
        "c.relnamespace WHERE (c.oid = $1 OR c.oid IN (SELECT p.relid FROM pg_partition_tree($1) p)) AND NOT "
        "has_schema_privilege(c.relowner, n.oid, 'CREATE') ORDER BY c.oid = $1 DESC, c.oid LIMIT 1",
        {Value{OIDOID, ObjectIdGetDatum(table.oid), false}});
}

void index(const core::IsolateStep &step, const IsolateMember &member, std::vector<CheckRow> &rows) {
    const std::string label = member.table.label();
    const std::string name = leading_index(member.table, member.key);
    CheckRow row;
    row.check_name = "index " + label;
    row.expected = fmt::format("one that leads with {}", quoted(member.key.name));
    const bool unique = step.composite_keys && member.is_top(); // (tenant key, primary key)
    row.status = name.empty() && !step.index && !unique ? "FAIL" : "PASS";
    row.actual = !name.empty() ? quoted(name)
                 : unique      ? "none: the unique key of composite_keys will be one"
                 : step.index  ? "none: it is built concurrently"
                               : "none";
    if (row.status == "FAIL") {
        row.detail = "Every query of the role has the tenant key in its condition: without an index each one reads the "
                     "whole table.";
        row.hint = member.table.kind == RELKIND_PARTITIONED_TABLE
                       ? fmt::format("A step before: index: {{table: {}, columns: [{}]}}; or leave out index: false.",
                                     label, quoted(member.key.name))
                       : fmt::format("CREATE INDEX CONCURRENTLY ON {} ({}); or leave out index: false.", label,
                                     quoted(member.key.name));
    }
    if (name.empty() && step.index && !unique) {
        Rows lacking = lacking_create(member.table);
        if (!lacking.empty()) {
            row.status = "FAIL";
            row.actual = "none, and " + lacking.text_or(0, 1);
            row.detail = "The index is built as the table's owner.";
            row.hint = lacking.text_or(0, 2);
        }
    }
    rows.push_back(std::move(row));
}

// The policy compares the key with the setting's text, taken to the key's type.
void key_type(const IsolateMember &top, std::vector<CheckRow> &rows) {
    const Column &key = top.key;
    CheckRow row;
    row.check_name = "key " + top.table.label();
    row.expected = "a type whose text form is the same value again";
    row.actual = fmt::format("{} {}", quoted(key.name), type_label(key.type));
    row.status = "PASS";
    const bool sortable =
        pg_call([type = key.type] { return OidIsValid(lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf); });
    if (!sortable) {
        row.status = "FAIL";
        row.detail = "The type has no order, so that no index can lead with it.";
        row.hint = "Use a column of another type.";
    } else if (!deterministic_collation(key.collation)) {
        row.status = "WARN";
        row.detail = "Its collation takes different texts for the same: tenants whose keys differ in such a way only "
                     "see each other's rows.";
        row.hint = fmt::format("ALTER TABLE {} ALTER {} TYPE {} COLLATE \"C\";", top.table.label(), quoted(key.name),
                               key.type_name);
    } else if (key.type == DATEOID || key.type == TIMESTAMPOID || key.type == TIMESTAMPTZOID ||
               key.type == INTERVALOID) {
        row.status = "WARN";
        row.detail = "What a text means as a value of this type depends on DateStyle, IntervalStyle and TimeZone: "
                     "the same setting can name two tenants.";
        row.hint = "Write the setting in ISO form with a time zone, or use a key of another type.";
    } else {
        // own value -> text -> value, as the condition does it with the setting
        Subtransaction attempt; // undone: the output and input functions may be the user's
        std::string defect;
        try {
            RunAs owner(top.table.owner, Purpose::read);
            Rows found = run_query(fmt::format(
                "SELECT s.k::pg_catalog.text FROM (SELECT {0} AS k FROM {1} WHERE {0} IS NOT NULL LIMIT "
                "{2}) AS s WHERE NOT (s.k {3} (nullif(s.k::pg_catalog.text, '')::{4})) IS TRUE LIMIT 1",
                quoted(key.name), all_rows(top.table), sample, equality_operator(key.type), tenant_cast_type(key)));
            if (!found.empty()) defect = fmt::format("key {}", core::sql_literal(found.text_or(0, 1)));
        } catch (const PgError &error) {
            defect = error.what();
        }
        if (!defect.empty()) {
            row.status = "FAIL";
            row.actual += ": " + defect;
            row.detail = "The tenant of such rows can't be named by a setting.";
            row.hint = "Change these keys, or use a column of another type.";
        }
    }
    rows.push_back(std::move(row));
}

// Whether the application can set it at all: a prefix may be reserved, and not every setting is the user's.
void settable(const IsolateScope &scope, std::vector<CheckRow> &rows) {
    CheckRow row;
    row.check_name = fmt::format("settable {}", scope.setting);
    row.expected = "can be set by the role";
    row.actual = row.expected;
    row.status = "PASS";
    if (!own_query("SELECT 1 FROM pg_settings WHERE name = lower($1)", {text_value(scope.setting)}).empty())
        row.actual = "is a setting of PostgreSQL or of an extension, with a meaning of its own";
    try {
        Subtransaction attempt;
        pg_call([name = scope.setting.c_str()] {
            (void)set_config_option(name, "", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
        });
    } catch (const PgError &error) {
        row.actual = error.what();
    }
    if (row.actual != row.expected) {
        row.status = "FAIL";
        row.detail = "The application names its tenant by this setting.";
        row.hint = "Choose another name, with a prefix of your own: setting: app.tenant.";
    }
    rows.push_back(std::move(row));
}
} // namespace

std::vector<CheckRow> isolate_criteria(const core::IsolateStep &step, const IsolateScope &scope, bool with_rows) {
    std::vector<CheckRow> rows;
    settable(scope, rows);
    isolate_rights(scope, rows);
    for (const IsolateMember *top : scope.tops()) {
        key_type(*top, rows);
        if (with_rows) null_keys(step, *top, rows);
    }
    for (const IsolateMember *member : index_tables(scope))
        index(step, *member, rows);
    return rows;
}

std::vector<CheckRow> isolation_criteria(const MigrationRecord &migration) {
    MigrationRecord whole = migration;
    whole.scope.clear();
    const core::Spec spec = migration_spec(whole);
    if (spec.isolations.empty())
        throw Error(sqlstate::prerequisite_state, fmt::format("migration \"{}\" has no isolate step", migration.name),
                    {}, "Add one to the spec, or CALL tenantmig.isolate(tables, role).");
    const Reach reach = reach_of(whole);
    std::vector<CheckRow> result;
    for (const core::IsolateStep &step : spec.isolations) {
        std::vector<CheckRow> rows;
        const auto later = std::find_if(reach.later.begin(), reach.later.end(),
                                        [&](const StepAside &aside) { return aside.step == step.number; });
        if (later != reach.later.end()) {
            rows.push_back(aside_check(migration, *later));
        } else {
            const IsolateScope scope = isolate_scope(whole, spec, step);
            for (const IsolateMember *top : scope.tops())
                if (!has_privileges_of(top->table.owner))
                    throw Error(sqlstate::insufficient_privilege,
                                fmt::format("must be owner of table {}", top->table.label()),
                                fmt::format("It belongs to {}, and its rows are counted.", role_name(top->table.owner)),
                                "Run as a member of the owner's role.");
            rows = isolate_criteria(step, scope, true);
            const IsolateKeys keys = isolate_keys(step, scope);
            if (keys.wanted())
                for (CheckRow &row : keys.criteria(get_step_state(migration.id, step.number)))
                    rows.push_back(std::move(row));
        }
        for (CheckRow &row : rows) {
            if (spec.isolations.size() > 1) row.check_name = fmt::format("step {} {}", step.number, row.check_name);
            result.push_back(std::move(row));
        }
    }
    return result;
}

IsolateKeys isolate_keys(const core::IsolateStep &step, const IsolateScope &scope) {
    std::vector<IsolateKeyTable> tables;
    for (const IsolateMember *top : scope.tops())
        tables.push_back({top->table, top->key});
    return IsolateKeys(step, std::move(tables));
}

} // namespace tenantmig

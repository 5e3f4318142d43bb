#include "core/spec.hpp"

#include "catalog/guard_store.hpp"
#include "steps/ddl_loosening.hpp"
#include "steps/ddl_watch_parts.hpp"

namespace tenantmig {

namespace {
const char *words(AlterKind kind) {
    switch (kind) {
    case AlterKind::drop_not_null:
        return "DROP NOT NULL";
    case AlterKind::drop_constraint:
        return "DROP CONSTRAINT";
    case AlterKind::alter_constraint:
        return "ALTER CONSTRAINT";
    case AlterKind::drop_column:
        return "DROP COLUMN";
    case AlterKind::replica_only:
        return "ENABLE REPLICA TRIGGER";
    case AlterKind::drop_trigger:
        return "DROP TRIGGER";
    case AlterKind::disable_trigger:
    case AlterKind::disable_all:
    case AlterKind::disable_user:
        break;
    }
    return "DISABLE TRIGGER";
}

bool silences(AlterKind kind) {
    return kind == AlterKind::disable_trigger || kind == AlterKind::disable_all || kind == AlterKind::disable_user ||
           kind == AlterKind::replica_only;
}

// Whether a constraint, or the index of a unique one, is over this column of its own table; of a foreign key also: of
// the table that it references.
bool is_over(const Piece &piece, Oid relation, const std::string &column) {
    const char *sql =
        OidIsValid(piece.constraint->oid)
            ? "SELECT FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = $2 AND a.attname = $3 WHERE k.oid = $1 "
              "AND "
              "(k.conrelid = $2 AND a.attnum = ANY (k.conkey) OR k.confrelid = $2 AND a.attnum = ANY (k.confkey))"
            : "SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = $2 "
              "AND "
              "a.attname = $3 WHERE $1 = 0 AND i.indrelid = $2 AND c.relname = $4 AND a.attnum = ANY "
              "(i.indkey::int2[])";
    std::vector<Value> values = {oid_value(piece.constraint->oid), oid_value(relation), text_value(column)};
    if (!OidIsValid(piece.constraint->oid)) values.push_back(text_value(piece.constraint->name));
    return !own_query(sql, values).empty();
}

// Whether the foreign key leads to this table, by the named constraint of that table if one is named.
bool references(const Piece &piece, Oid relation, const std::string &constraint) {
    return !own_query(
                "SELECT FROM pg_constraint k LEFT JOIN pg_constraint u ON u.conrelid = k.confrelid AND u.conindid = "
                "k.conindid AND u.contype IN ('p', 'u') WHERE k.oid = $1 AND k.confrelid = $2 AND ($3 = '' OR "
                "u.conname = $3)",
                {oid_value(piece.constraint->oid), oid_value(relation), text_value(constraint)})
                .empty();
}

// Whether disabling triggers of this table reaches those that do the foreign key's work, which stand on both tables.
bool silences_key(const Piece &piece, Oid relation, const AlterAction &action) {
    if (!OidIsValid(piece.constraint->oid) || action.kind == AlterKind::disable_user) return false;
    return !own_query("SELECT FROM pg_trigger t WHERE t.tgconstraint = $1 AND t.tgrelid = $2 AND t.tgisinternal AND "
                      "t.tgenabled NOT IN ('D', 'R') AND ($3 OR t.tgname = $4)",
                      {oid_value(piece.constraint->oid), oid_value(relation),
                       boolean_value(action.kind == AlterKind::disable_all), text_value(action.name)})
                .empty();
}

class Search {
public:
    Search(Oid relation, const std::vector<AlterAction> &actions) : relation_(relation), actions_(actions) {}

    std::vector<Loosening> of(const MigrationRecord &migration) {
        found_.clear();
        const core::Spec spec = migration_spec(migration);
        for (const Piece &piece : find_pieces(migration, spec, known_tables(migration)))
            for (const AlterAction &action : actions_)
                if (OidIsValid(piece.table)) look_at_piece(migration, piece, action);
        for (const GuardRecord &guard : guards_of(migration.id))
            for (const ExpectedTrigger &expected : expected_triggers(guard))
                for (const AlterAction &action : actions_)
                    look_at_guard(migration, guard, expected, action);
        return std::move(found_);
    }

private:
    Oid relation_;
    const std::vector<AlterAction> &actions_;
    std::vector<Loosening> found_;

    void add(const MigrationRecord &migration, const AlterAction &action, CatalogueDrift drift, std::string name) {
        found_.push_back({migration, std::move(drift), words(action.kind), std::move(name)});
    }

    static std::string relax_hint(const MigrationRecord &migration) {
        return fmt::format("CALL tenantmig.relax({}) takes off what its gate enforced, and says so.",
                           text_literal(migration.name));
    }

    void look_at_piece(const MigrationRecord &migration, const Piece &piece, const AlterAction &action) {
        auto lost = [&](const char *kind, const std::string &object, const char *found, const std::string &expected) {
            add(migration, action, {kind, piece.relation, object, found, expected, relax_hint(migration), 0},
                piece.constraint ? piece.constraint->name : piece.column);
        };
        const bool here = piece.table == relation_;
        if (piece.record.kind == "not_null") {
            if (!here || action.name != piece.column) return;
            const bool is_set =
                !own_query("SELECT FROM pg_attribute WHERE attrelid = $1 AND attname = $2 AND attnotnull",
                           {oid_value(relation_), text_value(piece.column)})
                     .empty();
            if (is_set && action.kind == AlterKind::drop_not_null)
                lost("constraint_gone", piece.column, "the column may be NULL", "NOT NULL");
            if (is_set && action.kind == AlterKind::drop_column)
                lost("constraint_gone", piece.record.column, "no such column", "NOT NULL");
            return;
        }
        if (!piece.constraint) return; // it has gone already
        const FoundConstraint &constraint = *piece.constraint;
        const bool is_key = piece.record.kind == "foreign_key";
        const std::string expected = piece.definition.empty() ? piece.record.kind : piece.definition;
        if (action.kind == AlterKind::drop_constraint) {
            const bool itself = here && OidIsValid(constraint.oid) && constraint.name == action.name;
            if (itself || (is_key && action.cascade && references(piece, relation_, action.name)))
                lost("constraint_gone", piece.record.constraint, "no such constraint", expected);
        } else if (action.kind == AlterKind::drop_column) {
            const bool reached = here || (is_key && action.cascade && references(piece, relation_, ""));
            if (reached && is_over(piece, relation_, action.name))
                lost("constraint_gone", piece.record.constraint, "no such constraint", expected);
        } else if (action.kind == AlterKind::alter_constraint) {
            if (here && constraint.name == action.name)
                lost("constraint_loosened", constraint.name, "it is altered", expected);
        } else if (silences(action.kind) && is_key && silences_key(piece, relation_, action)) {
            lost("constraint_loosened", constraint.name, "its triggers are disabled", expected);
        }
    }

    void look_at_guard(const MigrationRecord &migration, const GuardRecord &guard, const ExpectedTrigger &expected,
                       const AlterAction &action) {
        const bool column = action.kind == AlterKind::drop_column, drop = action.kind == AlterKind::drop_trigger;
        if (!column && !drop && !silences(action.kind)) return;
        const GuardTrigger &trigger = expected.trigger;
        if (!OidIsValid(trigger.table)) return;
        // The trigger itself, or its copy on a partition.
        Rows rows = own_query(
            "WITH RECURSIVE clone AS (SELECT t.* FROM pg_trigger t WHERE t.tgrelid = $1 AND t.tgname = $2 UNION ALL "
            "SELECT "
            "t.* FROM pg_trigger t JOIN clone ON t.tgparentid = clone.oid) SELECT n.nspname, c.relname, clone.tgname "
            "FROM "
            "clone JOIN pg_class c ON c.oid = clone.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
            "clone.tgrelid = $3 AND CASE WHEN $4 THEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $3 AND "
            "a.attname = $5 AND a.attnum = ANY (clone.tgattr::int2[])) ELSE ($7 OR clone.tgenabled IN ('O', 'A')) AND "
            "($6 OR "
            "clone.tgname = $5) END",
            {oid_value(trigger.table), text_value(trigger.name), oid_value(relation_), boolean_value(column),
             text_value(action.name),
             boolean_value(action.kind == AlterKind::disable_all || action.kind == AlterKind::disable_user),
             boolean_value(drop)});
        if (rows.empty() || (column && !action.cascade)) return;
        const std::string hint = fmt::format("SELECT * FROM tenantmig.detach_guard({}) takes it off, and says so.",
                                             text_literal(migration.name));
        const std::string relation = qualified(rows.text_or(0, 1), rows.text_or(0, 2));
        if (column || drop)
            add(migration, action,
                {"guard_gone", expected.relation, expected.name, "no such trigger",
                 fmt::format("a guard of kind {}", guard.kind), hint, guard.id},
                rows.text_or(0, 3));
        else
            add(migration, action,
                {"guard_disabled", relation, rows.text_or(0, 3),
                 action.kind == AlterKind::replica_only ? "enabled for replicas only" : "disabled",
                 guard.always ? "enabled always" : "enabled", hint, guard.id},
                rows.text_or(0, 3));
    }
};
} // namespace

std::vector<Loosening> find_loosenings(Oid relation, const std::vector<AlterAction> &actions) {
    std::vector<Loosening> found;
    Rows rows =
        own_query("SELECT m.id FROM tenantmig.migration m WHERE EXISTS (SELECT FROM tenantmig.enforcement e WHERE "
                  "e.migration_id = m.id AND e.state = 'enforced') OR EXISTS (SELECT FROM tenantmig.guard g WHERE "
                  "g.migration_id = m.id) ORDER BY m.id");
    std::vector<std::int64_t> migrations;
    for (std::size_t i = 0; i < rows.size(); i++)
        migrations.push_back(rows.bigint(i, 1));
    Search search(relation, actions);
    for (std::int64_t id : migrations)
        for (Loosening &one : search.of(get_migration(id)))
            found.push_back(std::move(one));
    return found;
}

void record_loosening(const Loosening &loosening) {
    record_drift(loosening.migration, loosening.drift, "the watch on ALTER TABLE");
}

} // namespace tenantmig

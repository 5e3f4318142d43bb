#include "core/identifier.hpp"

#include "bridge/relation.hpp"
#include "catalog/guard_store.hpp"
#include "steps/ddl_watch_parts.hpp"

namespace tenantmig {

namespace {
// ------------------------------------------------------------------------------------------------------

struct Enforced {
    std::int32_t step = 0;
    std::string kind, schema, table, column, constraint, definition;
    Oid oid = InvalidOid;
    bool same_database = false;
};

std::vector<Enforced> enforced_pieces(std::int64_t migration) {
    Rows rows = own_query("SELECT e.step, e.kind, e.schema_name, e.table_name, e.column_name, e.constraint_name, "
                          "e.definition, e.relation_oid::bigint, e.database_oid = (SELECT d.oid FROM pg_database d "
                          "WHERE d.datname = current_database()) FROM tenantmig.enforcement e "
                          "WHERE e.migration_id = $1 AND e.state = 'enforced' ORDER BY e.id",
                          {bigint_value(migration)});
    std::vector<Enforced> pieces;
    for (std::size_t i = 0; i < rows.size(); i++)
        pieces.push_back({static_cast<std::int32_t>(rows.bigint(i, 1)), rows.text_or(i, 2), rows.text_or(i, 3),
                          rows.text_or(i, 4), rows.text_or(i, 5), rows.text_or(i, 6), rows.text_or(i, 7),
                          static_cast<Oid>(rows.bigint(i, 8)), rows.boolean(i, 9)});
    return pieces;
}

bool has_column(Oid table, const std::string &column) {
    return !own_query("SELECT FROM pg_attribute WHERE attrelid = $1 AND attname = $2 AND NOT attisdropped",
                      {oid_value(table), text_value(column)})
                .empty();
}

// Definitions are compared as text, as PostgreSQL prints them. Names that were changed since are put in their place
// first: a renamed column is not another constraint.
std::string with_new_name(std::string text, const std::string &old_name, const std::string &new_name) {
    if (old_name == new_name || new_name.empty()) return text;
    const std::string from = tenantmig::quoted(old_name), to = tenantmig::quoted(new_name);
    auto in_word = [](char c) {
        return c == '_' || c == '$' || c == '"' || std::isalnum(static_cast<unsigned char>(c));
    };
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
        const bool here = text.compare(at, from.size(), from) == 0 && (at == 0 || !in_word(text[at - 1])) &&
                          (at + from.size() == text.size() || !in_word(text[at + from.size()]));
        result += here ? to : std::string(1, text[at]);
        at += here ? from.size() : 1;
    }
    return result;
}

struct Found {
    std::string name, definition;
    bool valid = false, silenced = false; // silenced: the triggers that do a foreign key's work are disabled
};

// Everything on a table that a piece may be, by kind: constraints, and indexes for unique ones.
std::vector<Found> candidates(Oid table, const std::string &kind) {
    const bool unique = kind == "unique" || kind == "composite";
    const char *type = kind == "foreign_key" ? "f" : "c";
    std::vector<Found> found;
    Rows rows = own_query(
        "SELECT k.conname, replace(pg_get_constraintdef(k.oid), ' NOT VALID', ''), k.convalidated AND coalesce((SELECT "
        "i.indisvalid AND i.indisready FROM pg_index i WHERE $3 AND i.indexrelid = k.conindid), true), EXISTS (SELECT "
        "FROM "
        "pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled IN ('D', 'R')) FROM pg_constraint k "
        "WHERE k.conrelid = $1 AND (k.contype::text = $2 OR $3 AND k.contype IN ('p', 'u')) ORDER BY k.conname",
        {oid_value(table), text_value(type), boolean_value(unique)});
    for (std::size_t i = 0; i < rows.size(); i++)
        found.push_back({rows.text_or(i, 1), rows.text_or(i, 2), rows.boolean(i, 3), rows.boolean(i, 4)});
    if (!unique) return found;
    rows = own_query(
        "SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid AND i.indisready FROM pg_index i JOIN pg_class "
        "c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND i.indisunique ORDER BY c.relname",
        {oid_value(table)});
    for (std::size_t i = 0; i < rows.size(); i++)
        found.push_back({rows.text_or(i, 1), rows.text_or(i, 2), rows.boolean(i, 3), false});
    return found;
}

class ConstraintWatch {
public:
    ConstraintWatch(const MigrationRecord &migration, const core::Spec &spec, const std::vector<KnownTable> &tables,
                    std::vector<CatalogueDrift> &drift)
        : migration_(migration), spec_(spec), tables_(tables), drift_(drift) {}

    void check(const Enforced &piece) {
        const KnownTable *known = known_table(piece);
        Oid table = locate(piece, known);
        if (!OidIsValid(table)) {
            add("table_gone", qualified(piece.schema, piece.table), piece.constraint, "no such table",
                "the table, with what was enforced on it",
                fmt::format("Restore the table, or CALL tenantmig.relax({}) if it went on purpose.", name()));
            return;
        }
        relation_ = label(table);
        if (piece.kind == "not_null")
            check_not_null(piece, table, column_now(piece, known, table));
        else
            check_constraint(piece, table, known);
    }

private:
    const MigrationRecord &migration_;
    const core::Spec &spec_;
    const std::vector<KnownTable> &tables_;
    std::vector<CatalogueDrift> &drift_;
    std::string relation_;

    std::string name() const { return text_literal(migration_.name); }

    std::string again() const {
        return fmt::format("CALL tenantmig.enforce({0}) applies it again; CALL tenantmig.relax({0}) is the way to "
                           "take it off.",
                           name());
    }

    void add(const char *kind, const std::string &relation, const std::string &object, const std::string &found,
             const std::string &expected, const std::string &hint) {
        drift_.push_back({kind, relation, object, found, expected, hint, 0});
    }

    static std::string label(Oid table) {
        Rows rows = own_query("SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = "
                              "c.relnamespace WHERE c.oid = $1",
                              {oid_value(table)});
        return rows.empty() ? std::to_string(table) : qualified(rows.text_or(0, 1), rows.text_or(0, 2));
    }

    const core::ConstraintStep *step(const Enforced &piece) const {
        for (const core::ConstraintStep &constraint : spec_.constraints)
            if (constraint.number == piece.step) return &constraint;
        return nullptr;
    }

    // The step's table; null for a partition of it, which the spec does not name.
    const KnownTable *known_table(const Enforced &piece) const {
        const core::ConstraintStep *constraint = step(piece);
        const KnownTable *known = constraint ? find_table(tables_, constraint->table) : nullptr;
        if (!known || !OidIsValid(known->oid)) return nullptr;
        const bool this_one = (piece.same_database && known->oid == piece.oid) ||
                              (known->schema == piece.schema && known->name == piece.table);
        return this_one ? known : nullptr;
    }

    // A number means something only where it was taken, and a restore into another server may have the same number of
    // the database: so the name comes first unless the number is that of the table with this name.
    static Oid locate(const Enforced &piece, const KnownTable *known) {
        if (known) return known->oid;
        Oid by_name = table_by_name(piece.schema, piece.table);
        if (OidIsValid(by_name)) return by_name;
        const bool by_number = piece.same_database && is_table(piece.oid) && has_column(piece.oid, piece.column);
        return by_number ? piece.oid : InvalidOid;
    }

    std::string column_now(const Enforced &piece, const KnownTable *known, Oid table) const {
        const core::ConstraintStep *constraint = step(piece);
        if (known && constraint && !has_column(table, piece.column))
            if (auto found = known->columns.find(constraint->column); found != known->columns.end())
                return found->second;
        return piece.column;
    }

    void check_not_null(const Enforced &piece, Oid table, const std::string &column) {
        Rows rows = own_query("SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2 AND "
                              "NOT a.attisdropped",
                              {oid_value(table), text_value(column)});
        if (rows.empty())
            add("constraint_gone", relation_, piece.column, "no such column", "NOT NULL",
                "Bring the column back, or drop the migration if it went on purpose.");
        else if (!rows.boolean(0, 1))
            add("constraint_gone", relation_, column, "the column may be NULL", "NOT NULL", again());
    }

    std::string expected_definition(const Enforced &piece, const KnownTable *known, Oid table) const {
        std::string text = with_new_name(piece.definition, piece.column, column_now(piece, known, table));
        const core::ConstraintStep *constraint = step(piece);
        if (known) { // of an index: ON schema.table
            text = with_new_name(text, piece.table, known->name);
            text = with_new_name(text, piece.schema, known->schema);
        }
        if (!constraint || constraint->references_table.empty()) return text;
        const KnownTable *referenced = find_table(tables_, constraint->references_table);
        if (!referenced || !OidIsValid(referenced->oid)) return text;
        auto identifiers = core::split_identifier(constraint->references_table);
        return with_new_name(text, identifiers.back().text, referenced->name);
    }

    void check_constraint(const Enforced &piece, Oid table, const KnownTable *known) {
        const std::string expected = expected_definition(piece, known, table);
        const std::vector<Found> all = candidates(table, piece.kind);
        auto same = [&](const Found &one) { return expected.empty() || one.definition == expected; };
        // An index has the name of its constraint: of the two, the one that is as recorded.
        const Found *best = nullptr;
        for (const Found &one : all) {
            if (one.name != piece.constraint) continue;
            if (!best || (same(one) && !same(*best))) best = &one;
        }
        // Renamed: the same constraint under another name. One that is not valid is no substitute for one that is.
        for (const Found &one : all)
            if (!best && !expected.empty() && (one.definition == expected) && one.valid) best = &one;
        for (const Found &one : all)
            if (!best && !expected.empty() && (one.definition == expected)) best = &one;
        const std::string object = best ? best->name : piece.constraint;
        const std::string wanted = expected.empty() ? piece.kind : expected;
        if (!best)
            add("constraint_gone", relation_, object, "no such constraint", wanted, again());
        else if (!same(*best))
            add("constraint_loosened", relation_, object, best->definition, wanted, again());
        else if (!best->valid)
            add("constraint_loosened", relation_, object, "not validated", wanted, again());
        else if (best->silenced)
            add("constraint_loosened", relation_, object, "its triggers are disabled", wanted,
                fmt::format("ALTER TABLE {} ENABLE TRIGGER ALL; then count with tenantmig.gate({}).", relation_,
                            name()));
    }
};

// -----------------------------------------------------------------------------------------------------------

std::string state_words(char enabled) {
    switch (enabled) {
    case TRIGGER_DISABLED:
        return "disabled";
    case TRIGGER_FIRES_ON_REPLICA:
        return "enabled for replicas only";
    case TRIGGER_FIRES_ALWAYS:
        return "enabled always";
    default:
        return "enabled";
    }
}

void check_guard(const GuardRecord &guard, const MigrationRecord &migration, std::vector<CatalogueDrift> &drift) {
    const std::string stored = qualified(guard.schema, guard.table);
    const std::string name = text_literal(migration.name);
    const std::string again = fmt::format("SELECT * FROM tenantmig.attach_guard({}) attaches it again.", name);
    GuardTrigger trigger = find_trigger(guard);
    if (!OidIsValid(trigger.table)) {
        drift.push_back({"guard_gone", stored, guard.trigger_name(), "no such trigger",
                         fmt::format("a guard of kind {}", guard.kind), again, guard.id});
        return;
    }
    // The trigger itself and its copies on partitions, which can be disabled one by one.
    Rows rows = own_query(
        "WITH RECURSIVE clone AS (SELECT t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger t WHERE t.tgrelid = "
        "$1 AND "
        "t.tgname = $2 UNION ALL SELECT t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger t JOIN clone ON "
        "t.tgparentid = "
        "clone.oid) SELECT n.nspname, c.relname, clone.tgname, clone.tgenabled::text FROM clone JOIN pg_class c ON "
        "c.oid = "
        "clone.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE clone.tgenabled IN ('D', 'R') OR ($3 AND "
        "clone.tgenabled <> 'A') ORDER BY 1, 2",
        {oid_value(trigger.table), text_value(trigger.name), boolean_value(guard.always)});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const std::string relation = qualified(rows.text_or(i, 1), rows.text_or(i, 2)), object = rows.text_or(i, 3);
        drift.push_back({"guard_disabled", relation, object, state_words(rows.text_or(i, 4, "D").front()),
                         guard.always ? "enabled always" : "enabled",
                         fmt::format("ALTER TABLE {} ENABLE {}TRIGGER {}; then hold the rows to it with "
                                     "tenantmig.verify({}).",
                                     relation, guard.always ? "ALWAYS " : "", tenantmig::quoted(object), name),
                         guard.id});
    }
}
} // namespace

void check_constraints(const MigrationRecord &migration, const core::Spec &spec, const std::vector<KnownTable> &tables,
                       std::vector<CatalogueDrift> &drift) {
    ConstraintWatch watch(migration, spec, tables, drift);
    for (const Enforced &piece : enforced_pieces(migration.id))
        watch.check(piece);
}

void check_guards(const MigrationRecord &migration, std::vector<CatalogueDrift> &drift) {
    for (const GuardRecord &guard : guards_of(migration.id))
        check_guard(guard, migration, drift);
}

} // namespace tenantmig

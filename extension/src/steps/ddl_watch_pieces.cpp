#include "core/identifier.hpp"

#include "bridge/relation.hpp"
#include "catalog/guard_store.hpp"
#include "steps/ddl_watch_parts.hpp"

namespace tenantmig {

namespace {
// ------------------------------------------------------------------------------------------------------

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

// Everything on a table that a piece may be, by kind: constraints, and indexes for unique ones.
std::vector<FoundConstraint> candidates(Oid table, const std::string &kind) {
    const bool unique = kind == "unique" || kind == "composite";
    const char *type = kind == "foreign_key" ? "f" : "c";
    std::vector<FoundConstraint> found;
    auto add = [&](const Rows &rows) {
        for (std::size_t i = 0; i < rows.size(); i++)
            found.push_back({static_cast<Oid>(rows.bigint(i, 1)), rows.text_or(i, 2), rows.text_or(i, 3),
                             rows.boolean(i, 4), rows.boolean(i, 5)});
    };
    add(own_query(
        "SELECT k.oid::bigint, k.conname, replace(pg_get_constraintdef(k.oid), ' NOT VALID', ''), "
        "k.convalidated AND coalesce((SELECT i.indisvalid AND i.indisready FROM pg_index i WHERE $3 AND "
        "i.indexrelid = k.conindid), true), EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND "
        "t.tgenabled IN ('D', 'R')) FROM pg_constraint k WHERE k.conrelid = $1 AND (k.contype::text = $2 OR $3 "
        "AND k.contype IN ('p', 'u')) ORDER BY k.conname",
        {oid_value(table), text_value(type), boolean_value(unique)}));
    if (unique)
        add(own_query(
            "SELECT 0::bigint, c.relname, replace(pg_get_indexdef(c.oid), ' INDEX ' || quote_ident(c.relname) || ' ON "
            "', ' INDEX ON '), i.indisvalid AND i.indisready, false FROM pg_index i JOIN pg_class c ON c.oid = "
            "i.indexrelid WHERE i.indrelid = $1 AND i.indisunique "
            "ORDER BY c.relname",
            {oid_value(table)}));
    return found;
}

std::string label_of(Oid table) {
    Rows rows = own_query("SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                          "WHERE c.oid = $1",
                          {oid_value(table)});
    return rows.empty() ? std::to_string(table) : qualified(rows.text_or(0, 1), rows.text_or(0, 2));
}

class PieceFinder {
public:
    PieceFinder(const core::Spec &spec, const std::vector<KnownTable> &tables) : spec_(spec), tables_(tables) {}

    Piece find(Enforced record) const {
        Piece piece{std::move(record), InvalidOid, {}, {}, {}, std::nullopt};
        const KnownTable *known = known_table(piece.record);
        piece.table = locate(piece.record, known);
        if (!OidIsValid(piece.table)) return piece;
        piece.relation = label_of(piece.table);
        piece.column = column_now(piece.record, known, piece.table);
        if (piece.record.kind == "not_null") return piece;
        piece.definition = definition_now(piece, known);
        piece.constraint = pick(piece, candidates(piece.table, piece.record.kind));
        return piece;
    }

private:
    const core::Spec &spec_;
    const std::vector<KnownTable> &tables_;

    const core::ConstraintStep *step(const Enforced &record) const {
        for (const core::ConstraintStep &constraint : spec_.constraints)
            if (constraint.number == record.step) return &constraint;
        return nullptr;
    }

    // The step's table; null for a partition of it, which the spec does not name.
    const KnownTable *known_table(const Enforced &record) const {
        const core::ConstraintStep *constraint = step(record);
        const KnownTable *known = constraint ? find_table(tables_, constraint->table) : nullptr;
        if (!known || !OidIsValid(known->oid)) return nullptr;
        const bool this_one = (record.same_database && known->oid == record.oid) ||
                              (known->schema == record.schema && known->name == record.table);
        return this_one ? known : nullptr;
    }

    // A number means something only where it was taken, and another server may have the same number of the database:
    // so the name comes first.
    static Oid locate(const Enforced &record, const KnownTable *known) {
        if (known) return known->oid;
        Oid by_name = table_by_name(record.schema, record.table);
        if (OidIsValid(by_name)) return by_name;
        const bool by_number = record.same_database && is_table(record.oid) && has_column(record.oid, record.column);
        return by_number ? record.oid : InvalidOid;
    }

    std::string column_now(const Enforced &record, const KnownTable *known, Oid table) const {
        const core::ConstraintStep *constraint = step(record);
        if (known && constraint && !has_column(table, record.column))
            if (auto found = known->columns.find(constraint->column); found != known->columns.end())
                return found->second;
        return record.column;
    }

    std::string definition_now(const Piece &piece, const KnownTable *known) const {
        std::string text = with_new_name(piece.record.definition, piece.record.column, piece.column);
        const core::ConstraintStep *constraint = step(piece.record);
        if (known) { // of an index: ON schema.table
            text = with_new_name(text, piece.record.table, known->name);
            text = with_new_name(text, piece.record.schema, known->schema);
        }
        if (!constraint || constraint->references_table.empty()) return text;
        const KnownTable *referenced = find_table(tables_, constraint->references_table);
        if (!referenced || !OidIsValid(referenced->oid)) return text;
        return with_new_name(text, core::split_identifier(constraint->references_table).back().text, referenced->name);
    }

    static std::optional<FoundConstraint> pick(const Piece &piece, const std::vector<FoundConstraint> &all) {
        const FoundConstraint *best = nullptr;
        // An index has the name of its constraint: of the two, the one that is as recorded.
        for (const FoundConstraint &one : all)
            if (one.name == piece.record.constraint && (!best || (piece.same(one) && !piece.same(*best)))) best = &one;
        // Renamed: the same under another name. One that is not valid comes after one that is.
        for (bool valid : {true, false})
            for (const FoundConstraint &one : all)
                if (!best && !piece.definition.empty() && piece.same(one) && one.valid == valid) best = &one;
        return best ? std::optional(*best) : std::nullopt;
    }
};

void check_piece(const Piece &piece, const MigrationRecord &migration, std::vector<CatalogueDrift> &drift) {
    const Enforced &record = piece.record;
    const std::string name = text_literal(migration.name);
    const std::string again = fmt::format("CALL tenantmig.enforce({0}) applies it again; CALL tenantmig.relax({0}) is "
                                          "the way to take it off.",
                                          name);
    auto add = [&](const char *kind, const std::string &object, const std::string &found, const std::string &expected,
                   const std::string &hint) {
        drift.push_back({kind, piece.relation, object, found, expected, hint, 0});
    };
    if (!OidIsValid(piece.table)) {
        const std::string relation = qualified(record.schema, record.table);
        for (const CatalogueDrift &one : drift)
            if (one.kind == "table_gone" && one.relation == relation) return; // one piece of it says so
        drift.push_back({"table_gone", relation, "", "no such table", "the table, with what was enforced on it",
                         fmt::format("Restore the table, or CALL tenantmig.relax({}) if it went on purpose.", name),
                         0});
        return;
    }
    if (record.kind == "not_null") {
        Rows rows = own_query("SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2 AND "
                              "NOT a.attisdropped",
                              {oid_value(piece.table), text_value(piece.column)});
        if (rows.empty())
            add("constraint_gone", record.column, "no such column", "NOT NULL",
                "Bring the column back, or drop the migration if it went on purpose.");
        else if (!rows.boolean(0, 1))
            add("constraint_gone", piece.column, "the column may be NULL", "NOT NULL", again);
        return;
    }
    const std::string wanted = piece.definition.empty() ? record.kind : piece.definition;
    if (!piece.constraint)
        add("constraint_gone", record.constraint, "no such constraint", wanted, again);
    else if (!piece.same(*piece.constraint))
        add("constraint_loosened", piece.constraint->name, piece.constraint->definition, wanted, again);
    else if (!piece.constraint->valid)
        add("constraint_loosened", piece.constraint->name, "not validated", wanted, again);
    else if (piece.constraint->silenced)
        add("constraint_loosened", piece.constraint->name, "its triggers are disabled", wanted,
            fmt::format("ALTER TABLE {} ENABLE TRIGGER ALL; then count with tenantmig.gate({}).", piece.relation,
                        name));
}

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

// The trigger itself and its copies on partitions, which can be disabled one by one.
void check_trigger(const ExpectedTrigger &expected, const GuardRecord &guard, const std::string &migration,
                   std::vector<CatalogueDrift> &drift) {
    const GuardTrigger &trigger = expected.trigger;
    if (!OidIsValid(trigger.table)) {
        drift.push_back({"guard_gone", expected.relation, expected.name, "no such trigger",
                         fmt::format("a guard of kind {}", guard.kind),
                         fmt::format("SELECT * FROM tenantmig.attach_guard({}) attaches it again.", migration),
                         guard.id});
        return;
    }
    Rows rows = own_query(
        "WITH RECURSIVE clone AS (SELECT t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger t WHERE t.tgrelid = "
        "$1 "
        "AND t.tgname = $2 UNION ALL SELECT t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger t JOIN clone ON "
        "t.tgparentid = clone.oid) SELECT n.nspname, c.relname, clone.tgname, clone.tgenabled::text FROM clone JOIN "
        "pg_class c ON c.oid = clone.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE clone.tgenabled IN "
        "('D', 'R') OR ($3 AND clone.tgenabled <> 'A') ORDER BY 1, 2",
        {oid_value(trigger.table), text_value(trigger.name), boolean_value(guard.always)});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const std::string relation = qualified(rows.text_or(i, 1), rows.text_or(i, 2)), object = rows.text_or(i, 3);
        drift.push_back({"guard_disabled", relation, object, state_words(rows.text_or(i, 4, "D").front()),
                         guard.always ? "enabled always" : "enabled",
                         fmt::format("ALTER TABLE {} ENABLE {}TRIGGER {}; then hold the rows to it with "
                                     "tenantmig.verify({}).",
                                     relation, guard.always ? "ALWAYS " : "", tenantmig::quoted(object), migration),
                         guard.id});
    }
}
} // namespace

std::vector<Piece> find_pieces(const MigrationRecord &migration, const core::Spec &spec,
                               const std::vector<KnownTable> &tables) {
    PieceFinder finder(spec, tables);
    std::vector<Piece> pieces;
    for (Enforced &record : enforced_pieces(migration.id))
        pieces.push_back(finder.find(std::move(record)));
    return pieces;
}

std::vector<ExpectedTrigger> expected_triggers(const GuardRecord &guard) {
    std::vector<ExpectedTrigger> triggers = {
        {qualified(guard.schema, guard.table), guard.trigger_name(), find_trigger(guard)}};
    if (guard.kind != "same_tenant") return triggers;
    const core::GuardDefinition definition = core::parse_guard_json(guard.definition);
    const core::GuardTable &parent = definition.sources.at(0).hops.at(0).table;
    if (parent.schema != definition.table.schema || parent.name != definition.table.name)
        triggers.push_back(
            {qualified(parent.schema, parent.name), guard.parent_trigger_name(), find_parent_trigger(guard)});
    return triggers;
}

void check_constraints(const MigrationRecord &migration, const core::Spec &spec, const std::vector<KnownTable> &tables,
                       std::vector<CatalogueDrift> &drift) {
    for (const Piece &piece : find_pieces(migration, spec, tables))
        check_piece(piece, migration, drift);
}

void check_guards(const MigrationRecord &migration, std::vector<CatalogueDrift> &drift) {
    for (const GuardRecord &guard : guards_of(migration.id))
        for (const ExpectedTrigger &expected : expected_triggers(guard))
            check_trigger(expected, guard, text_literal(migration.name), drift);
}

} // namespace tenantmig

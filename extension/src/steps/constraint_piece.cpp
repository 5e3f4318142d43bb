#include "core/spec.hpp"

#include "bridge/fault.hpp"
#include "bridge/object_name.hpp"
#include "bridge/results.hpp"
#include "steps/constraint_kinds.hpp"

namespace tenantmig {

namespace {
Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

bool is(const EnforcementRecord &row, std::string_view kind) {
    return row.kind == kind;
}
bool is_check(const EnforcementRecord &row) {
    return is(row, "not_null_live") || is(row, "format");
}
bool is_unique(const EnforcementRecord &row) {
    return is(row, "unique") || is(row, "composite");
}

// Drops what the helper names, if it is there.
void remove(const EnforcementRecord &row, const Helper &helper) {
    auto table = find_site(helper.site, row.database);
    if (!table) return;
    if (helper.kind == "not_null") {
        if (is_not_null(table->oid, helper.name))
            change_as_owner(
                *table, fmt::format("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL", table->sql(), quoted(helper.name)));
    } else if (helper.kind == "constraint") {
        if (has_constraint(table->oid, helper.name)) drop_constraint(*table, helper.name);
    } else if (!own_query("SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND "
                          "c.relname = $2",
                          {oid_value(table->oid), text_value(helper.name)})
                    .empty()) {
        change_as_owner(*table, fmt::format("DROP INDEX {}", qualified(table->schema, helper.name)));
    }
}

// Locks that dropping a foreign key takes on the other table, so that they are taken in our order.
std::vector<LockWish> wishes_of(const EnforcementRecord &row, const Helper &helper, const Table &table) {
    std::vector<LockWish> wishes = {{table.oid, AccessExclusiveLock, false}};
    if (helper.kind != "constraint" || !is(row, "foreign_key")) return wishes;
    Rows rows = own_query("SELECT confrelid::bigint FROM pg_constraint WHERE conrelid = $1 AND conname = $2 AND "
                          "contype = 'f'",
                          {oid_value(table.oid), text_value(helper.name)});
    if (!rows.empty()) wishes.push_back({static_cast<Oid>(rows.bigint(0, 1)), AccessExclusiveLock, false});
    return wishes;
}
} // namespace

// ---- names and facts

std::vector<Table> leaves(const ConstraintTarget &target) {
    if (!target.partitioned()) return {target.table};
    std::vector<Table> result;
    for (const ConstraintPartition &partition : target.partitions)
        if (partition.leaf) result.push_back(partition.table);
    return result;
}

std::vector<Table> tree_of(const Table &table) {
    if (table.kind != RELKIND_PARTITIONED_TABLE) return {table};
    Rows rows = own_query("SELECT relid::oid::bigint FROM pg_partition_tree($1) ORDER BY level, relid",
                          {Value{REGCLASSOID, ObjectIdGetDatum(table.oid), false}});
    std::vector<Table> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        if (auto found = describe_table(static_cast<Oid>(rows.bigint(i, 1)))) result.push_back(std::move(*found));
    return result;
}

std::string choose_name(const std::vector<Table> &tables, const std::string &columns, const std::string &label,
                        std::set<std::string> *taken) {
    std::string oids;
    for (const Table &table : tables)
        oids += (oids.empty() ? "" : ",") + std::to_string(table.oid);
    for (int number = 0;; number++) {
        std::string name =
            object_name(tables.front().name, columns, number == 0 ? label : label + std::to_string(number));
        if (taken && taken->contains(name)) continue;
        Rows rows = own_query(fmt::format("SELECT 1 FROM pg_constraint WHERE conname = $1 AND conrelid = ANY "
                                          "('{{{0}}}'::oid[]) UNION ALL SELECT 1 FROM pg_class c WHERE c.relname = $1 "
                                          "AND c.relnamespace = ANY (SELECT t.relnamespace FROM pg_class t WHERE t.oid "
                                          "= ANY ('{{{0}}}'::oid[])) LIMIT 1",
                                          oids),
                              {text_value(name)});
        if (!rows.empty()) continue;
        if (taken) taken->insert(name);
        return name;
    }
}

bool has_constraint(Oid table, const std::string &name) {
    return !own_query("SELECT 1 FROM pg_constraint WHERE conrelid = $1 AND conname = $2",
                      {oid_value(table), text_value(name)})
                .empty();
}

std::string constraint_definition(Oid table, const std::string &name) {
    Rows rows = own_query("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1 AND conname = $2",
                          {oid_value(table), text_value(name)});
    return rows.empty() ? std::string() : rows.text_or(0, 1);
}

bool is_not_null(Oid table, const std::string &column) {
    Rows rows = own_query("SELECT attnotnull FROM pg_attribute WHERE attrelid = $1 AND attname = $2 AND NOT "
                          "attisdropped",
                          {oid_value(table), text_value(column)});
    return !rows.empty() && rows.boolean(0, 1);
}

Table table_of(const EnforcementRecord &row) {
    if (auto table = find_site(row.site, row.database)) return std::move(*table);
    throw Error(sqlstate::undefined_table,
                fmt::format("table {} does not exist any more", qualified(row.site.schema, row.site.name)),
                "It was constrained by tenantmig.", "SELECT * FROM tenantmig.enforcements shows what was.");
}

std::string column_of(const EnforcementRecord &row, const Table &table) {
    if (row.database == MyDatabaseId && table.oid == row.site.oid)
        if (const Column *column = table.find(static_cast<AttrNumber>(row.before.column_number))) return column->name;
    return row.column;
}

void drop_constraint(const Table &table, const std::string &name) {
    change_as_owner(table, fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", table.sql(), quoted(name)));
}

// ---- the journal

void add_helper(EnforcementRecord &row, const Helper &helper) {
    std::vector<Helper> before = row.helpers;
    row.helpers.push_back(helper);
    save_enforcement(row);
    row.helpers = std::move(before); // the caller adds it for good when the transaction has committed
}

void drop_helper(EnforcementRecord &row, const Helper &helper) {
    std::vector<Helper> before = row.helpers;
    std::erase(row.helpers, helper);
    save_enforcement(row);
    row.helpers = std::move(before);
}

void require_same_partitions(const ConstraintPiece &piece) {
    std::set<Oid> prepared = {piece.target->table.oid}, found;
    for (const ConstraintPartition &partition : piece.target->partitions)
        prepared.insert(partition.table.oid);
    for (const Table &table : tree_of(piece.target->table))
        found.insert(table.oid);
    if (prepared == found) return;
    throw Error(sqlstate::table_changed,
                fmt::format("the partitions of {} have changed meanwhile", piece.target->table.label()),
                "Constraints were prepared for those that there were.", "CALL tenantmig.enforce again.");
}

void published(ConstraintPiece &piece) {
    EnforcementRecord done = piece.row;
    done.helpers.clear();
    if (!done.constraint_name.empty())
        if (std::string found = constraint_definition(piece.target->table.oid, done.constraint_name); !found.empty())
            done.definition = found;
    set_enforcement_state(done, "enforced");
    save_identity(done);
}

void validate_helpers(EnforcementRecord &row, ConstraintChanger &changer) {
    for (const Helper &helper : row.helpers) {
        if (helper.kind != "constraint") continue;
        std::optional<Table> table;
        changer.note(false, [&] { table = find_site(helper.site, row.database); });
        if (!table) continue; // dropped meanwhile; publishing says so
        changer.weak(*table, [&] {
            change_as_owner(*table,
                            fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", table->sql(), quoted(helper.name)));
        });
        TENANTMIG_FAULT("enforce_validated");
    }
}

// ---- pieces

std::vector<ConstraintPiece> pieces_of(const ConstraintTarget &target, std::int64_t migration) {
    std::vector<ConstraintPiece> pieces;
    auto add = [&](const char *kind) {
        ConstraintPiece piece;
        piece.target = &target;
        piece.row.migration_id = migration;
        piece.row.step = target.step.number;
        piece.row.kind = kind;
        piece.row.site = site_of(target.table);
        piece.row.database = MyDatabaseId;
        piece.row.column = target.column.name;
        piece.row.before.column_number = target.column.number;
        for (const Table &leaf : leaves(target))
            piece.row.before.sites.push_back(site_of(leaf));
        pieces.push_back(std::move(piece));
    };
    if (target.step.not_null == core::NotNull::all) add("not_null");
    if (target.step.not_null == core::NotNull::live) add("not_null_live");
    if (target.referenced) add("foreign_key");
    if (!target.unique.empty()) add("unique");
    if (!target.composite.empty()) add("composite");
    if (!target.step.format.empty()) add("format");
    return pieces;
}

void examine_piece(ConstraintPiece &piece, std::set<std::string> &taken) {
    if (is(piece.row, "not_null")) not_null_piece::examine(piece);
    if (is(piece.row, "foreign_key")) foreign_key_piece::examine(piece, taken);
    if (is_check(piece.row)) check_piece::examine(piece, taken);
    if (is_unique(piece.row)) unique_piece::examine(piece, taken);
}

void prepare_piece(ConstraintPiece &piece, ConstraintChanger &changer) {
    if (piece.row.before.kept) return;
    if (is(piece.row, "not_null")) not_null_piece::prepare(piece, changer);
    if (is(piece.row, "foreign_key")) foreign_key_piece::prepare(piece, changer);
    if (is_check(piece.row)) check_piece::prepare(piece, changer);
    if (is_unique(piece.row)) unique_piece::prepare(piece, changer);
}

void validate_piece(ConstraintPiece &piece, ConstraintChanger &changer) {
    if (piece.row.before.kept || is_unique(piece.row)) return;
    if (is(piece.row, "not_null"))
        not_null_piece::validate(piece, changer);
    else
        validate_helpers(piece.row, changer);
}

void publish_piece(ConstraintPiece &piece, ConstraintChanger &changer) {
    if (piece.row.before.kept)
        changer.note(false, [&] { published(piece); });
    else if (is(piece.row, "not_null"))
        not_null_piece::publish(piece, changer);
    else if (is(piece.row, "foreign_key"))
        foreign_key_piece::publish(piece, changer);
    else if (is_check(piece.row))
        check_piece::publish(piece, changer);
    else
        unique_piece::publish(piece, changer);
    piece.row.helpers.clear();
    piece.row.state = "enforced";
    TENANTMIG_FAULT("enforce_published");
}

bool stands(const EnforcementRecord &row) {
    auto table = find_site(row.site, row.database);
    if (!table) return false;
    if (is(row, "not_null")) return is_not_null(table->oid, column_of(row, *table));
    if (has_constraint(table->oid, row.constraint_name)) return true;
    // what was kept may be an index without a constraint
    return row.before.kept && is_unique(row) &&
           !own_query("SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND "
                      "c.relname = $2",
                      {oid_value(table->oid), text_value(row.constraint_name)})
                .empty();
}

// ---- taking back

void prepare_withdrawal(EnforcementRecord &row, ConstraintChanger &changer) {
    if (row.before.kept) return;
    bool there = false;
    changer.note(false, [&] { there = find_site(row.site, row.database) && stands(row); });
    if (!there) return;
    if (is(row, "not_null")) not_null_piece::prepare_withdrawal(row, changer);
    if (is(row, "foreign_key")) foreign_key_piece::prepare_withdrawal(row, changer);
}

void withdraw(EnforcementRecord &row, ConstraintChanger &changer, const char *final_state, const std::string &error) {
    EnforcementRecord done;
    auto note = [&] {
        done = row;
        done.helpers.clear();
        set_enforcement_state(done, final_state, error);
        TENANTMIG_FAULT("relax_withdrawing");
    };
    bool there = false;
    changer.note(false, [&] { there = !row.before.kept && stands(row); });
    std::int64_t hold = 0;
    if (!there && !row.before.kept)
        notice(fmt::format("{} of {} is gone already",
                           row.constraint_name.empty() ? "NOT NULL" : quoted(row.constraint_name),
                           qualified(row.site.schema, row.site.name)));
    if (!there)
        changer.note(false, note);
    else if (is(row, "not_null"))
        hold = not_null_piece::withdraw(row, changer, note);
    else if (is(row, "foreign_key"))
        hold = foreign_key_piece::withdraw(row, changer, note);
    else if (is_check(row))
        hold = check_piece::withdraw(row, changer, note);
    else
        hold = unique_piece::withdraw(row, changer, note);
    row = done;
    row.longest_hold = std::max(row.longest_hold, hold);
    TENANTMIG_FAULT("relax_withdrawn");
}

void clean_up(EnforcementRecord &row, ConstraintChanger &changer, const char *final_state, const std::string &error) {
    while (!row.helpers.empty()) {
        const Helper helper = row.helpers.back();
        std::optional<Table> table;
        std::vector<LockWish> wishes;
        changer.note(false, [&] {
            table = find_site(helper.site, row.database);
            if (table) wishes = wishes_of(row, helper, *table);
        });
        auto work = [&] {
            remove(row, helper);
            drop_helper(row, helper);
        };
        if (table)
            (void)changer.strong(*table, wishes, work);
        else
            changer.note(false, work);
        row.helpers.pop_back();
        TENANTMIG_FAULT("enforce_removing");
    }
    changer.note(true, [&] { set_enforcement_state(row, final_state, error); });
}

} // namespace tenantmig

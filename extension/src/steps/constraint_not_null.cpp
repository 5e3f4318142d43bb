// NOT NULL. A valid CHECK proves it, so that SET NOT NULL need not look at the rows.
#include "bridge/fault.hpp"
#include "steps/constraint_kinds.hpp"

namespace tenantmig {

namespace {
// IS DISTINCT FROM NULL is what NOT NULL means for composite types as well.
std::string helper_check(const Table &table, const std::string &name, const std::string &column) {
    return fmt::format("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} IS DISTINCT FROM NULL) NOT VALID", table.sql(),
                       quoted(name), quoted(column));
}

std::string set_not_null(const Table &table, const std::string &column) {
    return fmt::format("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL", table.sql(), quoted(column));
}

void add_check(EnforcementRecord &row, const Table &table, const std::string &column, ConstraintChanger &changer) {
    Helper helper = {"constraint", site_of(table), ""};
    changer.note(false, [&] { helper.name = choose_name({table}, column, "tenantmig", nullptr); });
    row.longest_hold = std::max(row.longest_hold, changer.strong(table, {{table.oid}}, [&] {
        change_as_owner(table, helper_check(table, helper.name, column));
        add_helper(row, helper);
        TENANTMIG_FAULT("enforce_adding");
    }));
    row.helpers.push_back(helper);
    TENANTMIG_FAULT("enforce_added");
}

// The constraint among the helpers that stands on this table.
const Helper *check_on(const EnforcementRecord &row, const Table &table) {
    for (const Helper &helper : row.helpers)
        if (helper.kind == "constraint" && helper.site.schema == table.schema && helper.site.name == table.name)
            return &helper;
    return nullptr;
}
} // namespace

namespace not_null_piece {

void examine(ConstraintPiece &piece) {
    const ConstraintTarget &target = *piece.target;
    piece.row.definition = "NOT NULL";
    piece.row.before.kept = is_not_null(target.table.oid, target.column.name);
    for (const ConstraintPartition &partition : target.partitions)
        if (is_not_null(partition.table.oid, target.column.name))
            piece.row.before.not_null.push_back(site_of(partition.table));
}

void prepare(ConstraintPiece &piece, ConstraintChanger &changer) {
    for (const Table &leaf : leaves(*piece.target)) {
        bool done = false;
        changer.note(false, [&] { done = is_not_null(leaf.oid, piece.row.column); });
        if (!done) add_check(piece.row, leaf, piece.row.column, changer);
    }
}

void validate(ConstraintPiece &piece, ConstraintChanger &changer) {
    EnforcementRecord &row = piece.row;
    validate_helpers(row, changer);
    if (!piece.target->partitioned()) return;
    for (const Table &leaf : leaves(*piece.target)) {
        const Helper *found = check_on(row, leaf);
        if (!found) continue;
        const Helper check = *found, now = {"not_null", site_of(leaf), row.column};
        std::vector<Helper> helpers = row.helpers;
        std::erase(helpers, check);
        helpers.push_back(now);
        row.longest_hold = std::max(row.longest_hold, changer.strong(leaf, {{leaf.oid}}, [&] {
            change_as_owner(leaf, set_not_null(leaf, row.column));
            drop_constraint(leaf, check.name);
            EnforcementRecord done = row;
            done.helpers = helpers;
            save_enforcement(done);
        }));
        row.helpers = helpers;
        TENANTMIG_FAULT("enforce_partition");
    }
}

void publish(ConstraintPiece &piece, ConstraintChanger &changer) {
    const Table &table = piece.target->table;
    EnforcementRecord &row = piece.row;
    const bool partitioned = piece.target->partitioned();
    row.longest_hold =
        std::max(row.longest_hold, changer.strong(table, {{table.oid, AccessExclusiveLock, partitioned}}, [&] {
            if (partitioned) require_same_partitions(piece);
            change_as_owner(table, set_not_null(table, row.column));
            if (const Helper *check = check_on(row, table)) drop_constraint(table, check->name);
            published(piece);
            TENANTMIG_FAULT("enforce_publishing");
        }));
}

// DROP NOT NULL reaches all partitions; those that had it before are to have it again without being read under a strong
// lock.
void prepare_withdrawal(EnforcementRecord &row, ConstraintChanger &changer) {
    if (row.before.not_null.empty()) return;
    std::vector<Table> tables;
    changer.note(false, [&] {
        for (const Site &site : row.before.not_null) {
            auto table = find_site(site, row.database);
            if (table && table->kind != RELKIND_PARTITIONED_TABLE) tables.push_back(std::move(*table));
        }
    });
    for (const Table &table : tables) {
        add_check(row, table, row.column, changer);
        TENANTMIG_FAULT("relax_prepared");
    }
    validate_helpers(row, changer);
}

std::int64_t withdraw(EnforcementRecord &row, ConstraintChanger &changer, const std::function<void()> &note) {
    Table table;
    changer.note(false, [&] { table = table_of(row); });
    const bool partitioned = table.kind == RELKIND_PARTITIONED_TABLE;
    return changer.strong(table, {{table.oid, AccessExclusiveLock, partitioned}}, [&] {
        const std::string column = column_of(row, table);
        change_as_owner(table,
                        fmt::format("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL", table.sql(), quoted(column)));
        // the lowest first: with those below NOT NULL nothing is read for the ones above
        for (auto site = row.before.not_null.rbegin(); site != row.before.not_null.rend(); ++site) {
            auto partition = find_site(*site, row.database);
            if (!partition) continue;
            change_as_owner(*partition, set_not_null(*partition, column));
            if (const Helper *check = check_on(row, *partition)) drop_constraint(*partition, check->name);
        }
        note();
    });
}

} // namespace not_null_piece

} // namespace tenantmig

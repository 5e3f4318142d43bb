// CHECK constraints: `live` (the key is there, or the row is soft-deleted), and `format`.
#include "core/spec.hpp"

#include "bridge/fault.hpp"
#include "steps/constraint_kinds.hpp"

namespace tenantmig {

namespace {
std::string condition(const ConstraintPiece &piece) {
    const ConstraintTarget &target = *piece.target;
    if (piece.row.kind == "format") return format_condition(target);
    return fmt::format("{} IS DISTINCT FROM NULL OR {} IS DISTINCT FROM NULL", quoted(target.column.name),
                       quoted(target.soft_delete->name));
}

std::string add(const ConstraintPiece &piece, const Table &table) {
    return fmt::format("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({})", table.sql(), quoted(piece.row.constraint_name),
                       condition(piece));
}
} // namespace

namespace check_piece {

void examine(ConstraintPiece &piece, std::set<std::string> &taken) {
    piece.row.constraint_name = choose_name(tree_of(piece.target->table), piece.row.column,
                                            piece.row.kind == "format" ? "format" : "check", &taken);
    piece.row.definition = fmt::format("CHECK ({})", condition(piece));
}

void prepare(ConstraintPiece &piece, ConstraintChanger &changer) {
    EnforcementRecord &row = piece.row;
    for (const Table &leaf : leaves(*piece.target)) {
        const Helper helper = {"constraint", site_of(leaf), row.constraint_name};
        row.longest_hold = std::max(row.longest_hold, changer.strong(leaf, {{leaf.oid}}, [&] {
            change_as_owner(leaf, add(piece, leaf) + " NOT VALID");
            add_helper(row, helper);
            TENANTMIG_FAULT("enforce_adding");
        }));
        row.helpers.push_back(helper);
        TENANTMIG_FAULT("enforce_added");
    }
}

void publish(ConstraintPiece &piece, ConstraintChanger &changer) {
    const Table &table = piece.target->table;
    if (!piece.target->partitioned()) {
        changer.note(false, [&] {
            published(piece);
            TENANTMIG_FAULT("enforce_publishing");
        });
        return;
    }
    // merged with those of the partitions, which are valid: no row is read
    const std::int64_t hold = changer.strong(table, {{table.oid, AccessExclusiveLock, true}}, [&] {
        require_same_partitions(piece);
        change_as_owner(table, add(piece, table));
        published(piece);
        TENANTMIG_FAULT("enforce_publishing");
    });
    piece.row.longest_hold = std::max(piece.row.longest_hold, hold);
}

std::int64_t withdraw(EnforcementRecord &row, ConstraintChanger &changer, const std::function<void()> &note) {
    Table table;
    changer.note(false, [&] { table = table_of(row); });
    return changer.strong(table, {{table.oid, AccessExclusiveLock, true}}, [&] {
        drop_constraint(table, row.constraint_name);
        // the partitions' own, which were there before the partitioned table's
        for (const Site &site : row.before.sites)
            if (auto leaf = find_site(site, row.database); leaf && has_constraint(leaf->oid, row.constraint_name))
                drop_constraint(*leaf, row.constraint_name);
        note();
    });
}

} // namespace check_piece

} // namespace tenantmig

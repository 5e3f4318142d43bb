// Unique constraints, over indexes that were built concurrently.
#include "bridge/fault.hpp"
#include "steps/constraint_index.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/unique_key.hpp"

namespace tenantmig {

namespace {
std::vector<std::string> columns_of(const ConstraintPiece &piece) {
    std::vector<std::string> names;
    for (AttrNumber number : piece.row.kind == "composite" ? piece.target->composite : piece.target->unique)
        names.push_back(piece.target->table.at(number).name);
    return names;
}
} // namespace

namespace unique_piece {

void examine(ConstraintPiece &piece, std::set<std::string> &taken) {
    const ConstraintTarget &target = *piece.target;
    EnforcementRecord &row = piece.row;
    const std::vector<std::string> columns = columns_of(piece);
    row.definition = fmt::format("UNIQUE ({})", quoted_list(columns));
    if (auto found = find_unique_key(target.table, columns)) {
        row.before.kept = true;
        row.constraint_name = found->name;
        if (!found->constrained) row.definition = found->definition;
        return;
    }
    for (const ConstraintPartition &partition : target.partitions) {
        auto found = find_unique_key(partition.table, columns);
        if (!found || !found->constrained || found->part_of_another) continue;
        throw Error(
            sqlstate::feature_not_supported,
            fmt::format("partition {} has the same unique constraint already", partition.table.label()),
            "It would become part of the new one, and could not be given back.",
            fmt::format("ALTER TABLE {} DROP CONSTRAINT {} first.", partition.table.label(), quoted(found->name)));
    }
    row.constraint_name = choose_name(tree_of(target.table), joined_list(columns), "key", &taken);
}

void prepare(ConstraintPiece &piece, ConstraintChanger &changer) {
    EnforcementRecord &row = piece.row;
    const std::vector<std::string> columns = columns_of(piece);
    for (const Table &leaf : leaves(*piece.target)) {
        Helper index = {"index", site_of(leaf), ""};
        changer.note(true, [&] {
            index.name =
                choose_name({leaf}, fmt::format("{}_{}", row.id, row.helpers.size()), "tenantmig_key", nullptr);
            add_helper(row, index);
        });
        row.helpers.push_back(index);
        TENANTMIG_FAULT("enforce_index_recorded");
        build_index(leaf, index.name, columns, changer);
        TENANTMIG_FAULT("enforce_index_built");
        if (!piece.target->partitioned()) continue;
        Helper constraint = {"constraint", site_of(leaf), ""};
        changer.note(false, [&] { constraint.name = choose_name({leaf}, joined_list(columns), "key", nullptr); });
        std::vector<Helper> helpers = row.helpers;
        helpers.back() = constraint;
        row.longest_hold = std::max(row.longest_hold, changer.strong(leaf, {{leaf.oid}}, [&] {
            constrain_over_index(leaf, constraint.name, index.name);
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
    const std::int64_t hold = changer.strong(table, {{table.oid, AccessExclusiveLock, partitioned}}, [&] {
        if (partitioned) {
            require_same_partitions(piece);
            constrain_over_partitions(table, row.constraint_name, columns_of(piece));
        } else {
            constrain_over_index(table, row.constraint_name, row.helpers.front().name);
        }
        published(piece);
        TENANTMIG_FAULT("enforce_publishing");
    });
    row.longest_hold = std::max(row.longest_hold, hold);
}

std::int64_t withdraw(EnforcementRecord &row, ConstraintChanger &changer, const std::function<void()> &note) {
    Table table;
    changer.note(false, [&] { table = table_of(row); });
    return changer.strong(table, {{table.oid, AccessExclusiveLock, true}}, [&] {
        drop_constraint(table, row.constraint_name);
        note();
    });
}

} // namespace unique_piece

} // namespace tenantmig

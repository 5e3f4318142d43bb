// Unique constraints, over indexes that were built concurrently.
#include "bridge/fault.hpp"
#include "steps/constraint_index.hpp"
#include "steps/constraint_kinds.hpp"

namespace tenantmig {

namespace {
std::vector<std::string> columns_of(const ConstraintPiece &piece) {
    std::vector<std::string> names;
    for (AttrNumber number : piece.row.kind == "composite" ? piece.target->composite : piece.target->unique)
        names.push_back(piece.target->table.at(number).name);
    return names;
}

std::string list(const std::vector<std::string> &columns) {
    std::string text;
    for (const std::string &column : columns)
        text += (text.empty() ? "" : ", ") + quoted(column);
    return text;
}

struct OwnIndex {
    std::string name; // of its constraint, else its own
    bool constrained = false, part_of_another = false;
    std::string definition; // without its name, as the watch on the catalogue compares it
};

// An index that keeps exactly these columns unique, in any order; one with a constraint rather than one without.
std::optional<OwnIndex> find_index(const Table &table, const std::vector<std::string> &columns) {
    Rows rows = own_query(
        "SELECT coalesce(k.conname, c.relname), k.oid IS NOT NULL, c.relispartition, replace(pg_get_indexdef(c.oid), ' "
        "INDEX ' || quote_ident(c.relname) || ' ON ', ' INDEX ON ') FROM pg_index i JOIN pg_class c ON "
        "c.oid = i.indexrelid LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u') AND "
        "k.conrelid = i.indrelid WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid AND "
        "i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM "
        "unnest(i.indkey::int2[]) WITH ORDINALITY n(number, place) JOIN pg_attribute a ON a.attrelid = i.indrelid AND "
        "a.attnum = n.number WHERE n.place <= i.indnkeyatts) = (SELECT array_agg(x ORDER BY x) FROM unnest($2) x) "
        "ORDER "
        "BY k.oid IS NULL, c.relname LIMIT 1",
        {Value{OIDOID, ObjectIdGetDatum(table.oid), false}, text_array_value(columns)});
    if (rows.empty()) return std::nullopt;
    return OwnIndex{rows.text_or(0, 1), rows.boolean(0, 2), rows.boolean(0, 3), rows.text_or(0, 4)};
}
} // namespace

namespace unique_piece {

void examine(ConstraintPiece &piece, std::set<std::string> &taken) {
    const ConstraintTarget &target = *piece.target;
    EnforcementRecord &row = piece.row;
    const std::vector<std::string> columns = columns_of(piece);
    row.definition = fmt::format("UNIQUE ({})", list(columns));
    if (auto found = find_index(target.table, columns)) {
        row.before.kept = true;
        row.constraint_name = found->name;
        if (!found->constrained) row.definition = found->definition;
        return;
    }
    for (const ConstraintPartition &partition : target.partitions) {
        auto found = find_index(partition.table, columns);
        if (!found || !found->constrained || found->part_of_another) continue;
        throw Error(
            sqlstate::feature_not_supported,
            fmt::format("partition {} has the same unique constraint already", partition.table.label()),
            "It would become part of the new one, and could not be given back.",
            fmt::format("ALTER TABLE {} DROP CONSTRAINT {} first.", partition.table.label(), quoted(found->name)));
    }
    std::string joined;
    for (const std::string &column : columns)
        joined += (joined.empty() ? "" : "_") + column;
    row.constraint_name = choose_name(tree_of(target.table), joined, "key", &taken);
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
        std::string joined;
        for (const std::string &column : columns)
            joined += (joined.empty() ? "" : "_") + column;
        changer.note(false, [&] { constraint.name = choose_name({leaf}, joined, "key", nullptr); });
        std::vector<Helper> helpers = row.helpers;
        helpers.back() = constraint;
        row.longest_hold = std::max(row.longest_hold, changer.strong(leaf, {{leaf.oid}}, [&] {
            change_as_owner(leaf, fmt::format("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE USING INDEX {}", leaf.sql(),
                                              quoted(constraint.name), quoted(index.name)));
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
        const std::string head =
            fmt::format("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE ", table.sql(), quoted(row.constraint_name));
        if (partitioned) {
            // the partitions' constraints are attached: nothing is built
            require_same_partitions(piece);
            change_as_owner(table, fmt::format("{}({})", head, list(columns_of(piece))));
        } else {
            change_as_owner(table, fmt::format("{}USING INDEX {}", head, quoted(row.helpers.front().name)));
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

#include "steps/tree_index.hpp"
#include "bridge/fault.hpp"
#include "catalog/own_tables.hpp"

namespace tenantmig {

namespace {
constexpr int most_rounds = 5; // of partitions that come in while we build

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

bool partitioned(const Table &table) {
    return table.kind == RELKIND_PARTITIONED_TABLE;
}

struct Part {
    Table table, parent; // parent: the partitioned table right above
};

// All below the table, the deepest first.
std::vector<Part> parts_of(const Table &table) {
    Rows rows = own_query("SELECT relid::oid::bigint, parentrelid::oid::bigint FROM pg_partition_tree($1) WHERE level "
                          "> 0 ORDER BY level DESC, relid",
                          {Value{REGCLASSOID, ObjectIdGetDatum(table.oid), false}});
    std::vector<Part> parts;
    std::vector<std::pair<Oid, Oid>> oids;
    for (std::size_t i = 0; i < rows.size(); i++)
        oids.emplace_back(static_cast<Oid>(rows.bigint(i, 1)), static_cast<Oid>(rows.bigint(i, 2)));
    for (const auto &[oid, parent] : oids) {
        auto one = describe_table(oid), above = describe_table(parent);
        if (one && above) parts.push_back({std::move(*one), std::move(*above)});
    }
    return parts;
}

// The name of the table's index that is attached to this one of its parent; empty: there is none.
std::string attached(const Table &table, Oid parent_index) {
    Rows rows = own_query("SELECT c.relname FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid JOIN "
                          "pg_class c ON c.oid = i.indexrelid WHERE h.inhparent = $1 AND i.indrelid = $2",
                          {oid_value(parent_index), oid_value(table.oid)});
    return rows.empty() ? "" : rows.text_or(0, 1);
}

class TreeBuild {
public:
    TreeBuild(const Table &table, std::string name, const TreeIndexWork &work, ConstraintChanger &changer)
        : table_(table), name_(std::move(name)), work_(work), changer_(changer) {}

    // Columns may stand elsewhere in a partition, but their names are the same: the statement fits all.
    bool build() {
        if (look(table_, name_).valid) return false;
        make_frame(table_, name_);
        for (int round = 1;; round++) {
            std::vector<Part> parts;
            changer_.note(false, [&] { parts = parts_of(table_); });
            names_ = {{table_.oid, name_}};
            // the frames from above to below, the builds anywhere, the attachments from below to above
            for (auto part = parts.rbegin(); part != parts.rend(); ++part)
                build_part(*part);
            for (const Part &part : parts)
                attach(part);
            if (look(table_, name_).valid) return true;
            if (round == most_rounds)
                throw Error(sqlstate::table_changed,
                            fmt::format("index {} on {} does not become valid", quoted(name_), table_.label()),
                            "Partitions were added again and again meanwhile.", "CALL tenantmig.up again.");
        }
    }

private:
    const Table &table_;
    std::string name_;
    const TreeIndexWork &work_;
    ConstraintChanger &changer_;
    std::map<Oid, std::string> names_; // of the indexes, by table

    NamedIndex look(const Table &table, const std::string &name) {
        NamedIndex found;
        changer_.note(false, [&] { found = find_named_index(table, name); });
        if (found.here) return found;
        if (OidIsValid(found.oid))
            throw Error(sqlstate::duplicate_table, fmt::format("the name of index {} is taken", quoted(name)),
                        fmt::format("There is {}.", found.what),
                        "Rename or drop that, or give the index another name.");
        return {};
    }

    // An index of a partitioned table alone: nothing is built, it is not valid until all parts are attached.
    void make_frame(const Table &table, const std::string &name) {
        if (look(table, name).here) return;
        (void)changer_.strong(table, {{table.oid, ShareLock}},
                              [&] { change_as_owner(table, work_.statement(table, name, true)); });
        TENANTMIG_FAULT("index_frame");
    }

    void build_part(const Part &part) {
        std::string attached_name;
        changer_.note(false, [&] {
            attached_name = attached(part.table, find_named_index(part.parent, names_.at(part.parent.oid)).oid);
        });
        if (!attached_name.empty()) {
            names_[part.table.oid] = attached_name;
            return;
        }
        const std::string own = work_.part_name(part.table);
        names_[part.table.oid] = own;
        if (partitioned(part.table))
            make_frame(part.table, own);
        else
            (void)ensure_index(part.table, {own, work_.statement(part.table, own, false), std::nullopt}, changer_);
        TENANTMIG_FAULT("index_part");
    }

    void attach(const Part &part) {
        bool done = false;
        changer_.note(false, [&] {
            done = !attached(part.table, find_named_index(part.parent, names_.at(part.parent.oid)).oid).empty();
        });
        if (done) return;
        changer_.weak(part.parent, [&] {
            change_as_owner(part.parent, fmt::format("ALTER INDEX {} ATTACH PARTITION {}",
                                                     qualified(part.parent.schema, names_.at(part.parent.oid)),
                                                     qualified(part.table.schema, names_.at(part.table.oid))));
        });
        TENANTMIG_FAULT("index_attached");
    }
};
} // namespace

bool build_tree_index(const Table &table, const std::string &name, const TreeIndexWork &work,
                      ConstraintChanger &changer) {
    return TreeBuild(table, name, work, changer).build();
}

bool drop_tree_index(const Table &table, const std::string &name,
                     const std::function<std::string(const Table &part)> &part_name, ConstraintChanger &changer) {
    bool dropped = false;
    auto drop = [&](const Table &one, const std::string &index) {
        NamedIndex found;
        changer.note(false, [&] { found = find_named_index(one, index); });
        if (!found.here) return;
        (void)changer.strong(one, {{one.oid, AccessExclusiveLock, true}},
                             [&] { change_as_owner(one, fmt::format("DROP INDEX {}", qualified(one.schema, index))); });
        dropped = true;
    };
    drop(table, name);
    TENANTMIG_FAULT("index_tree_dropped");
    std::vector<Part> parts;
    changer.note(false, [&] { parts = parts_of(table); });
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) // from above: an attached one goes with its frame
        if (const std::string own = part_name(part->table); !own.empty()) drop(part->table, own);
    return dropped;
}

} // namespace tenantmig

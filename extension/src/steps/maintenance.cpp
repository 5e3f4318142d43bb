#include "core/excerpt.hpp"

#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "catalog/events.hpp"
#include "catalog/guard_store.hpp"
#include "catalog/name_book.hpp"
#include "engine/fence_trigger.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/target.hpp"
#include "steps/maintenance.hpp"
#include <nlohmann/json.hpp>

namespace tenantmig {

namespace {
// While it lives, names mean what they meant to the session that created the migration.
class SearchPath {
public:
    explicit SearchPath(const std::string &path) : level_(NewGUCNestLevel()) {
        try {
            pg_call([text = path.c_str()] {
                (void)set_config_option("search_path", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                                        false);
            });
        } catch (...) {
            AtEOXact_GUC(false, level_);
            throw;
        }
    }
    ~SearchPath() { AtEOXact_GUC(false, level_); }
    SearchPath(const SearchPath &) = delete;
    SearchPath &operator=(const SearchPath &) = delete;

private:
    int level_;
};

class WrittenTables {
public:
    explicit WrittenTables(const MigrationRecord &migration) : names_(migration.identity) {}

    // What is not there (yet, or any more) is left out.
    void add(const std::string &table, const std::string &column, const std::string &path) {
        try {
            const Table found = names_.table(table, path);
            WrittenTable &entry = entry_of(found);
            if (column.empty()) return;
            const std::string name = names_.column(found, column, path).name;
            if (std::find(entry.keys.begin(), entry.keys.end(), name) == entry.keys.end()) entry.keys.push_back(name);
        } catch (const Error &error) {
            const std::string_view state = error.state();
            if (state != sqlstate::undefined_table && state != sqlstate::undefined_column) throw;
        } catch (const PgError &error) {
            if (error.data()->sqlerrcode != ERRCODE_UNDEFINED_SCHEMA) throw;
        }
    }

    std::vector<WrittenTable> take() {
        std::sort(list_.begin(), list_.end(),
                  [](const WrittenTable &a, const WrittenTable &b) { return a.table.label() < b.table.label(); });
        return std::move(list_);
    }

private:
    WrittenTable &entry_of(const Table &table) {
        for (WrittenTable &entry : list_)
            if (entry.table.oid == table.oid) return entry;
        return list_.emplace_back(WrittenTable{table, {}});
    }
    NameBook names_;
    std::vector<WrittenTable> list_;
};

std::vector<Oid> partitions_of(Oid table) {
    Rows rows = own_query("SELECT t.relid::oid::bigint FROM pg_partition_tree($1) t WHERE t.level > 0 ORDER BY 1",
                          {Value{REGCLASSOID, ObjectIdGetDatum(table), false}});
    std::vector<Oid> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back(static_cast<Oid>(rows.bigint(i, 1)));
    return result;
}

std::vector<std::string> names_of(const WrittenTable &parent, const Table &partition) {
    std::vector<std::string> names;
    for (const std::string &key : parent.keys)
        if (partition.find(key)) names.push_back(key);
    return names;
}

// A table that is written by statements on another one which is not fenced itself.
bool needs_row_triggers(const WrittenTable &table, const std::vector<WrittenTable> &all) {
    if (!written_through_others(table.table.oid)) return false;
    Rows parents = own_query("SELECT inhparent::bigint FROM pg_inherits WHERE inhrelid = $1",
                             {Value{OIDOID, ObjectIdGetDatum(table.table.oid), false}});
    for (std::size_t i = 0; i < parents.size(); i++) {
        const auto parent = static_cast<Oid>(parents.bigint(i, 1));
        const bool fenced = std::any_of(all.begin(), all.end(),
                                        [parent](const WrittenTable &other) { return other.table.oid == parent; });
        if (!fenced) return true;
    }
    return false;
}

struct Targets {
    std::vector<WrittenTable> tables;
    std::vector<bool> by_rows;
};

// Everything that may fail for a reason other than a lock, before anything is changed.
Targets targets_of(const MigrationRecord &migration) {
    require_owner(migration);
    Targets targets;
    targets.tables = written_tables(migration);
    if (targets.tables.empty())
        throw Error(sqlstate::prerequisite_state,
                    fmt::format("migration {} writes no table that is there", core::excerpt(migration.name)),
                    "Steps of kind sql are not looked at: what they write is not known.",
                    "SELECT * FROM tenantmig.steps shows the tables of its steps.");
    for (const WrittenTable &table : targets.tables) {
        require_table_rights(table.table);
        require_rights_of_creator(migration, table.table);
        targets.by_rows.push_back(needs_row_triggers(table, targets.tables));
    }
    return targets;
}

void warn_of_same_login(const FenceOptions &options) {
    const std::int64_t others = options.whole_login ? sessions_of_same_login() : 0;
    if (others == 0) return;
    const std::string login = core::excerpt(role_name(GetSessionUserId()));
    warning(fmt::format("{} other {} of this database may go on writing", others, others == 1 ? "session" : "sessions"),
            fmt::format("They have logged in as {}, as this one has, and whoever does is exempt.", login),
            "If they are applications: whole_login => false exempts this session only.");
}

void fence_one(const MigrationRecord &migration, const WrittenTable &table, bool by_rows) {
    lock_guards();
    make_fence_triggers(migration, table.table, by_rows);
}

LockWish wish(const WrittenTable &table) {
    return {table.table.oid, ShareRowExclusiveLock, false};
}

// Table by table: nobody who writes to one waits while another one's lock is waited for.
void fence_each(ConstraintChanger &changer, const MigrationRecord &migration, const Targets &targets) {
    for (std::size_t i = 0; i < targets.tables.size(); i++)
        (void)changer.strong(targets.tables[i].table, {wish(targets.tables[i])},
                             [&] { fence_one(migration, targets.tables[i], targets.by_rows[i]); });
}

// All or none of them: what is locked stays so until the caller's transaction ends.
void fence_together(ConstraintChanger &changer, const MigrationRecord &migration, const Targets &targets) {
    std::vector<LockWish> wishes;
    for (const WrittenTable &table : targets.tables)
        wishes.push_back(wish(table));
    (void)changer.strong(targets.tables.front().table, wishes, [&] {
        for (std::size_t i = 0; i < targets.tables.size(); i++)
            fence_one(migration, targets.tables[i], targets.by_rows[i]);
    });
}

void announce_fence(const MigrationRecord &migration, bool enabled, const std::optional<std::string> &until) {
    announce("maintenance", migration.name,
             {{"enabled", enabled}, {"until", until ? nlohmann::json(*until) : nlohmann::json()}});
}

std::vector<FenceOutcome> outcomes(const std::vector<WrittenTable> &tables, const char *state,
                                   const std::optional<std::string> &until) {
    std::vector<FenceOutcome> result;
    for (const WrittenTable &table : tables)
        result.push_back({table.table.label(), state, until});
    return result;
}

// Of people who no longer may look at the tables, too.
std::vector<WrittenTable> tables_to_name(ConstraintChanger &changer, const MigrationRecord &migration) {
    std::vector<WrittenTable> tables;
    try {
        changer.note(false, [&] { tables = written_tables(migration); });
    } catch (const PgError &error) {
        if (error.data()->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE) throw;
    } catch (const Error &error) {
        if (std::string_view(error.state()) != sqlstate::insufficient_privilege) throw;
    }
    return tables;
}

// What ends the fence comes first, by itself.
std::vector<FenceOutcome> open(ConstraintChanger &changer, const MigrationRecord &migration) {
    changer.note(true, [&] {
        require_writable();
        require_owner(migration);
        if (delete_fence(migration.id)) announce_fence(migration, false, {});
    });
    const std::vector<WrittenTable> tables = tables_to_name(changer, migration);
    std::size_t stay = 0;
    changer.note(false, [&] {
        fire_deferred_as_caller();
        stay = drop_fence_triggers(migration);
    });
    if (stay > 0)
        notice(fmt::format("{} {} of the fence {} in place, because the table is in use; {} nothing any more", stay,
                           stay == 1 ? "trigger" : "triggers", stay == 1 ? "stays" : "stay",
                           stay == 1 ? "it does" : "they do"));
    return outcomes(tables, "open", {});
}

std::vector<FenceOutcome> close(ConstraintChanger &changer, const MigrationRecord &migration,
                                const FenceOptions &options, bool in_session) {
    Targets targets;
    std::string until;
    changer.note(true, [&] {
        require_writable();
        targets = targets_of(migration);
        fire_deferred_as_caller();
        until = put_fence(migration, options.time_limit, options.whole_login);
        announce_fence(migration, true, until);
    });
    try {
        if (in_session)
            fence_each(changer, migration, targets);
        else
            fence_together(changer, migration, targets);
    } catch (const Error &error) {
        if (in_session) (void)open(changer, migration);
        if (std::string_view(error.state()) != sqlstate::lock_not_available) throw;
        throw Error(
            sqlstate::lock_not_available,
            fmt::format("could not lock the tables of migration {} to fence them", core::excerpt(migration.name)),
            error.detail(), error.hint() + " Nothing is fenced.");
    } catch (...) {
        if (in_session) (void)open(changer, migration);
        throw;
    }
    changer.note(false, [&] { warn_of_same_login(options); });
    return outcomes(targets.tables, "fenced", until);
}
} // namespace

std::vector<WrittenTable> written_tables(const MigrationRecord &migration) {
    const core::Spec spec = core::parse_spec_text(migration.spec);
    SearchPath path(migration.search_path);
    WrittenTables tables(migration);
    for (const core::BackfillStep &step : spec.steps)
        tables.add(step.table, step.column, step.path);
    for (const core::GuardStep &step : spec.guards)
        tables.add(step.table, "", step.path);
    for (const core::ConstraintStep &step : spec.constraints)
        tables.add(step.table, step.column, step.path);
    for (const core::AddColumnStep &step : spec.added_columns)
        tables.add(step.table, "", step.path);
    for (const core::DropColumnStep &step : spec.dropped_columns)
        tables.add(step.table, "", step.path);
    for (const core::RekeyStep &step : spec.rekeys) {
        tables.add(step.root, step.column, step.path);
        for (const core::RekeyTable &table : step.tables)
            tables.add(table.table, step.column, table.path);
        for (const core::RekeyEmbed &embed : step.embed)
            tables.add(embed.table, "", embed.path);
    }
    std::vector<WrittenTable> result;
    const auto known = [&result](Oid oid) {
        return std::any_of(result.begin(), result.end(), [oid](const WrittenTable &t) { return t.table.oid == oid; });
    };
    for (WrittenTable &table : tables.take()) {
        const WrittenTable parent = table;
        if (!known(table.table.oid)) result.push_back(std::move(table));
        for (Oid oid : partitions_of(parent.table.oid))
            if (!known(oid))
                if (auto partition = describe_table(oid)) result.push_back({*partition, names_of(parent, *partition)});
    }
    return result;
}

std::vector<FenceOutcome> set_maintenance(ConstraintChanger &changer, const MigrationRecord &migration, bool enabled,
                                          const FenceOptions &options) {
    return enabled ? close(changer, migration, options, true) : open(changer, migration);
}

std::vector<FenceOutcome> set_maintenance(const MigrationRecord &migration, bool enabled, const FenceOptions &options) {
    ConstraintChanger changer(migration.name);
    return enabled ? close(changer, migration, options, false) : open(changer, migration);
}

} // namespace tenantmig

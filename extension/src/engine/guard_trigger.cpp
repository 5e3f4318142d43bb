#include "core/excerpt.hpp"

#include "bridge/catalogue_write.hpp"
#include "bridge/subtransaction.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/lent_right.hpp"

namespace tenantmig {

namespace {
constexpr int attempts = 6;

// While it lives, waiting for a lock ends after half a second, or sooner if the session says so.
class ShortLockTimeout {
public:
    ShortLockTimeout() : guc_level_(NewGUCNestLevel()) {
        try {
            pg_call([] {
                if (::LockTimeout == 0 || ::LockTimeout > 500)
                    (void)set_config_option("lock_timeout", "500ms", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                                            0, false);
            });
        } catch (...) {
            AtEOXact_GUC(false, guc_level_);
            throw;
        }
    }
    ~ShortLockTimeout() { AtEOXact_GUC(false, guc_level_); }
    ShortLockTimeout(const ShortLockTimeout &) = delete;
    ShortLockTimeout &operator=(const ShortLockTimeout &) = delete;

private:
    int guc_level_;
};

void pause(int attempt) {
    pg_call([attempt] {
        long wait = 100L << attempt; // 0.1 to 1.6 s, and up to a half more, so that two of us don't keep in step
        wait +=
            static_cast<long>(static_cast<std::uint64_t>(GetCurrentTimestamp()) % static_cast<std::uint64_t>(wait / 2));
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    });
}

std::string holders(Oid table) {
    Rows rows = own_query("SELECT string_agg(DISTINCT l.pid::text, ', ') FROM pg_locks l WHERE l.locktype = 'relation' "
                          "AND l.relation = $1 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = "
                          "current_database()) AND l.granted AND l.pid <> pg_backend_pid()",
                          {Value{OIDOID, ObjectIdGetDatum(table), false}});
    return rows.text_or(0, 1);
}

// Runs DDL on a table as its owner, again and again while others hold it.
void change_table(const Table &table, const std::vector<std::string> &statements) {
    CatalogueWriteScope own;
    for (int attempt = 0;; attempt++) {
        {
            Subtransaction scope;
            try {
                ShortLockTimeout timeout;
                RunAs owner(table.owner, Purpose::read);
                for (const std::string &statement : statements)
                    run_query(statement);
                scope.commit();
                return;
            } catch (const PgError &error) {
                if (error.data()->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE) throw;
            }
        }
        if (attempt + 1 == attempts) break;
        pause(attempt);
    }
    std::string pids = holders(table.oid);
    throw Error("55P03", fmt::format("could not lock table {} to change its guard", table.label()),
                fmt::format("{} attempts of half a second each.{}", attempts,
                            pids.empty() ? "" : fmt::format(" It is held by the sessions {}.", pids)),
                "Call again when these transactions have ended; pg_stat_activity shows them.");
}
} // namespace

void require_table_rights(const Table &table) {
    if (has_privileges_of(table.owner)) return;
    throw Error(sqlstate::insufficient_privilege, fmt::format("must be owner of table {}", table.label()),
                fmt::format("It belongs to {}.", role_name(table.owner)), "Run as a member of the owner's role.");
}

void make_guard_trigger(const GuardRecord &guard, const Table &table, const GuardTriggerForm &form) {
    require_table_rights(table);
    std::string list;
    for (const std::string &column : form.columns)
        list += (list.empty() ? " OF " : ", ") + quoted(column);
    const std::string name = quoted(form.name), function = fmt::format("tenantmig.guard_{}()", guard.kind);
    std::vector<std::string> statements = {
        fmt::format("CREATE TRIGGER {} {} {}{} ON {} FOR EACH ROW {} EXECUTE FUNCTION tenantmig.guard_{}('{}')", name,
                    form.when, form.on, list, table.sql(), form.condition, guard.kind, guard.id)};
    if (guard.always) statements.push_back(fmt::format("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}", table.sql(), name));
    LentRight right(table.owner, function);
    change_table(table, statements);
    right.take_back();
}

bool remove_guard(const GuardRecord &guard) {
    bool found = false;
    for (const GuardTrigger &trigger : {find_trigger(guard), find_parent_trigger(guard)}) {
        std::optional<Table> table = OidIsValid(trigger.table) ? describe_table(trigger.table) : std::nullopt;
        if (!table) continue;
        require_table_rights(*table);
        change_table(*table, {fmt::format("DROP TRIGGER {} ON {}", quoted(trigger.name), table->sql())});
        found = true;
    }
    delete_guard(guard.id);
    return found;
}

void remove_guards(const MigrationRecord &migration) {
    std::vector<GuardRecord> guards = guards_of(migration.id);
    if (!guards.empty()) {
        LockTimeout timeout;
        lock_guards();
        fire_deferred_as_caller();
        for (const GuardRecord &guard : guards)
            (void)remove_guard(guard);
    }
    delete_drift(migration);
}

} // namespace tenantmig

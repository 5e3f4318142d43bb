#include "core/excerpt.hpp"

#include "bridge/catalogue_write.hpp"
#include "bridge/engine_write.hpp"
#include "bridge/relation.hpp"
#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "steps/constraint_change.hpp"

namespace tenantmig {

namespace {
constexpr int usual_attempts = 10;
constexpr int weak_timeout = 10000;                        // milliseconds
constexpr int first_timeout = 100, longest_timeout = 1000; // of a strong lock: nobody else gets past us meanwhile
constexpr int patience = 3000; // microseconds that a lock is held while the next one is not to be had
constexpr long first_pause = 100, longest_pause = 5000;
constexpr std::size_t longest_query = 200;

// Of the setting tenantmig.lock_attempts.
int lock_attempts() {
    const char *setting = pg_call([] { return GetConfigOption("tenantmig.lock_attempts", true, false); });
    const int wanted = setting ? std::atoi(setting) : 0;
    return wanted >= 1 && wanted <= 1000 ? wanted : usual_attempts;
}

// The setting of the session; LockTimeout alone is a class of ours.
int lock_timeout_setting() {
    return ::LockTimeout;
}

bool lock_failed(const PgError &error) {
    const int code = error.data()->sqlerrcode;
    return code == ERRCODE_LOCK_NOT_AVAILABLE || code == ERRCODE_T_R_DEADLOCK_DETECTED;
}

// Up to a half less or more, so that two of us don't keep in step.
void pause(int attempt) {
    pg_call([attempt] {
        const long base = std::min(longest_pause, first_pause << std::min(attempt, 10));
        const auto dice = static_cast<std::uint64_t>(GetCurrentTimestamp()) * UINT64_C(6364136223846793005) >> 33;
        const long wait = base / 2 + static_cast<long>(dice % static_cast<std::uint64_t>(base));
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    });
}

struct Blockers {
    std::string text;    // sessions and what they do; empty: none any more
    bool vacuum = false; // an autovacuum worker, which gives way after deadlock_timeout
};

// Who holds locks that stand in our way. Asked as the caller, so that nobody reads other people's queries here who may
// not do so elsewhere.
Blockers find_blockers(const std::vector<Oid> &relations, LOCKMODE mode) {
    std::string modes, oids;
    for (LOCKMODE other = AccessShareLock; other <= AccessExclusiveLock; other++) {
        if (!pg_call([mode, other] { return DoLockModesConflict(mode, other); })) continue;
        const char *name = pg_call([other] { return GetLockmodeName(DEFAULT_LOCKMETHOD, other); });
        modes += (modes.empty() ? "'" : ", '") + std::string(name) + "'";
    }
    for (Oid oid : relations)
        oids += (oids.empty() ? "" : ", ") + std::to_string(oid);
    Rows rows = run_query(
        fmt::format("SELECT a.pid::pg_catalog.text, coalesce(a.state, a.backend_type), a.backend_type "
                    "OPERATOR(pg_catalog.=) 'autovacuum worker', pg_catalog.date_trunc('second', "
                    "pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start)::pg_catalog.text, a.query FROM "
                    "pg_catalog.pg_stat_activity AS a WHERE a.pid OPERATOR(pg_catalog.=) ANY (SELECT l.pid FROM "
                    "pg_catalog.pg_locks AS l WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.relation "
                    "OPERATOR(pg_catalog.=) ANY (ARRAY[{}]::pg_catalog.oid[]) AND l.granted AND l.mode "
                    "OPERATOR(pg_catalog.=) ANY (ARRAY[{}]) AND l.pid OPERATOR(pg_catalog.<>) "
                    "pg_catalog.pg_backend_pid()) ORDER BY a.xact_start, a.pid LIMIT 3",
                    oids, modes));
    Blockers found;
    for (std::size_t i = 0; i < rows.size(); i++) {
        found.vacuum |= rows.boolean(i, 3);
        found.text += fmt::format("{}pid {} ({}", i ? "; " : "", rows.text_or(i, 1), rows.text_or(i, 2));
        if (auto open = rows.text(i, 4)) found.text += fmt::format(", transaction open for {}", *open);
        found.text += ")";
        if (auto query = rows.text(i, 5); query && !query->empty())
            found.text += ": " + core::excerpt(*query, longest_query);
    }
    return found;
}

class QuietScope { // ALTER TABLE tells of indexes that it renames
public:
    QuietScope() : level_(NewGUCNestLevel()) {
        try {
            pg_call([] {
                (void)set_config_option("client_min_messages", "warning", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                                        true, 0, false);
            });
        } catch (...) {
            AtEOXact_GUC(false, level_);
            throw;
        }
    }
    ~QuietScope() { AtEOXact_GUC(false, level_); }
    QuietScope(const QuietScope &) = delete;
    QuietScope &operator=(const QuietScope &) = delete;

private:
    int level_;
};

// Transactions that commit without waiting for the disk leave that to the next one that has to wait. If that one holds
// a strong lock, everybody waits for what came before: so it is written first. Not quite up to the end, which may be
// within the header of a page that does not exist yet.
void flush_log() {
    pg_call([] {
        constexpr XLogRecPtr header = 64; // more than the longest
        const XLogRecPtr end = GetXLogInsertRecPtr();
        if (end > header) XLogFlush(end - header);
    });
}

// When a transaction of this backend last gave its locks back. Files of what was dropped are removed after that, which
// may take long and is nobody's wait.
TimestampTz locks_released = 0;

void note_release(ResourceReleasePhase phase, bool, bool top_level, void *) {
    if (phase == RESOURCE_RELEASE_AFTER_LOCKS && top_level) locks_released = GetCurrentTimestamp();
}

void watch_release() {
    static bool watched = false;
    if (watched) return;
    pg_call([] { RegisterResourceReleaseCallback(note_release, nullptr); });
    watched = true;
}

// Whoever holds the next table may be waiting for the first one: rather than wait for each other, both locks are given
// back, and tried again later.
void take_soon(const LockWish &wish, TimestampTz until) {
    const Oid relation = wish.relation;
    const LOCKMODE mode = wish.mode;
    pg_call([relation, mode, until] {
        while (!ConditionalLockRelationOid(relation, mode)) {
            CHECK_FOR_INTERRUPTS();
            if (GetCurrentTimestamp() >= until)
                ereport(ERROR, errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("could not obtain lock on relation"));
            pg_usleep(200);
        }
    });
}

void take(const LockWish &wish) {
    const Oid relation = wish.relation;
    const LOCKMODE mode = wish.mode;
    if (wish.partitions)
        pg_call([relation, mode] { (void)find_all_inheritors(relation, mode, nullptr); });
    else
        pg_call([relation, mode] { LockRelationOid(relation, mode); });
}
} // namespace

ConstraintChanger::ConstraintChanger(Transactions &transactions, ActiveLock &lock, std::string migration)
    : transactions_(&transactions), lock_(&lock), migration_(std::move(migration)),
      own_timeout_(lock_timeout_setting()) {}

ConstraintChanger::ConstraintChanger(std::string migration)
    : migration_(std::move(migration)), own_timeout_(lock_timeout_setting()) {}

void ConstraintChanger::transaction(bool durable, const std::function<void()> &work, int lock_timeout) {
    if (transactions_) {
        transactions_->run(
            durable,
            [&] {
                if (!lock_->keep())
                    throw Error(
                        sqlstate::object_in_use,
                        fmt::format("another session has begun to work on migration {}", core::excerpt(migration_)),
                        "This session has lost its lock.", "Call this again when it has ended.");
                work();
            },
            lock_timeout);
        return;
    }
    Subtransaction part;
    const std::string timeout = std::to_string(lock_timeout);
    const int level = NewGUCNestLevel();
    pg_call([text = timeout.c_str()] {
        (void)set_config_option("lock_timeout", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    }); // an error ends the subtransaction, and the level with it
    work();
    AtEOXact_GUC(true, level);
    part.commit();
}

void ConstraintChanger::note(bool durable, const std::function<void()> &work) {
    transaction(durable, work, weak_timeout);
}

void ConstraintChanger::insist(const Table &relation, const std::vector<Oid> &relations, LOCKMODE mode, bool brief,
                               const std::function<void()> &work) {
    const int attempts = lock_attempts();
    Blockers blockers;
    std::string told;
    for (int attempt = 0;; attempt++) {
        int timeout = brief ? std::min(first_timeout * (attempt + 1), longest_timeout) : weak_timeout;
        if (brief && blockers.vacuum) timeout = std::max(timeout, DeadlockTimeout + longest_timeout / 2);
        if (own_timeout_ > 0) timeout = std::min(timeout, own_timeout_);
        try {
            transaction(false, work, timeout);
            return;
        } catch (const PgError &error) {
            if (!lock_failed(error)) throw;
        }
        note(false, [&] { blockers = find_blockers(relations, mode); });
        if (attempt + 1 >= attempts) break;
        if (!blockers.text.empty() && blockers.text != told)
            notice(fmt::format("waiting for a lock on {}, attempt {} of {}: {}", relation.label(), attempt + 1,
                               attempts, blockers.text));
        told = blockers.text;
        pause(attempt);
    }
    throw Error(sqlstate::lock_not_available,
                fmt::format("could not lock {} to change its constraints", relation.label()),
                blockers.text.empty() ? fmt::format("{} attempts; whoever held it has gone at this moment.", attempts)
                                      : fmt::format("{} attempts; it is held by {}", attempts, blockers.text),
                "Call this again when these transactions have ended, or end them: SELECT pg_terminate_backend(pid).");
}

void ConstraintChanger::weak(const Table &relation, const std::function<void()> &work) {
    insist(relation, {relation.oid}, ShareUpdateExclusiveLock, false, [&] {
        QuietScope quiet;
        EngineWriteScope ours;
        work();
    });
}

std::int64_t ConstraintChanger::strong(const Table &relation, const std::vector<LockWish> &wishes,
                                       const std::function<void()> &work) {
    TimestampTz held_since = 0;
    std::vector<Oid> relations;
    for (const LockWish &wish : wishes)
        relations.push_back(wish.relation);
    const int attempts = lock_attempts();
    int attempt = 0;
    watch_release();
    insist(relation, relations, wishes.front().mode, true, [&] {
        QuietScope quiet;
        EngineWriteScope ours;
        held_since = 0;
        const bool brief = transactions_ && ++attempt <= attempts / 2; // the later ones wait, or it might never end
        if (transactions_) flush_log();
        for (const LockWish &wish : wishes) {
            if (held_since != 0 && brief && !wish.partitions)
                take_soon(wish, held_since + patience);
            else
                take(wish);
            if (held_since == 0) held_since = GetCurrentTimestamp();
        }
        work();
    });
    const bool given_back = transactions_ && locks_released >= held_since;
    return (given_back ? locks_released : GetCurrentTimestamp()) - held_since;
}

void change_as_owner(const Table &table, const std::string &statement) {
    CatalogueWriteScope own;
    RunAs owner(table.owner, Purpose::read);
    run_query(statement);
}

} // namespace tenantmig

#include "catalog/run_lock.hpp"

namespace tenantmig {

namespace {
// They tell our locks from those that DDL takes on objects.
constexpr std::uint16_t sub_object = 1;
constexpr std::uint16_t followers_sub_object = 2;

LOCKTAG tag_of(std::int64_t migration, std::uint16_t which = sub_object) {
    auto number = static_cast<std::uint32_t>(migration);
    return pg_call([number, which] {
        Oid table = get_relname_relid("migration", get_namespace_oid("tenantmig", false));
        LOCKTAG tag;
        SET_LOCKTAG_OBJECT(tag, MyDatabaseId, table, number, which);
        // Of the other kind a session's locks go, too, whenever a transaction is aborted: each batch that meets a
        // lock would end our being the only one.
        tag.locktag_lockmethodid = USER_LOCKMETHOD;
        return tag;
    });
}

bool held_by_us(const LOCKTAG *tag) {
#if PG_VERSION_NUM >= 170000
    return LockHeldByMe(tag, ExclusiveLock, false);
#else
    return LockHeldByMe(tag, ExclusiveLock);
#endif
}
} // namespace

bool lock_active_for_transaction(std::int64_t migration) {
    LOCKTAG tag = tag_of(migration), followers = tag_of(migration, followers_sub_object);
    return pg_call([&tag, &followers] {
        if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL) return false;
        (void)LockAcquire(&followers, ExclusiveLock, false, false);
        return true;
    });
}

bool is_active(std::int64_t migration) {
    LOCKTAG tag = tag_of(migration);
    return pg_call([&tag] {
        // not GetLockConflicts: that leaves out whoever is between two transactions
        return LockWaiterCount(&tag) > (held_by_us(&tag) ? 1 : 0); // holders are counted as well
    });
}

void stay_in_crew(std::int64_t migration) {
    LOCKTAG tag = tag_of(migration, followers_sub_object);
    pg_call([&tag] { (void)LockAcquire(&tag, ShareLock, true, false); });
}

bool ActiveLock::acquire(std::int64_t migration, bool wait) {
    tag_ = tag_of(migration);
    LOCKTAG *tag = &tag_;
    held_ = pg_call([tag, wait] { return LockAcquire(tag, ExclusiveLock, true, !wait); }) != LOCKACQUIRE_NOT_AVAIL;
    if (!held_) return false;
    LOCKTAG followers = tag_of(migration, followers_sub_object);
    pg_call([&followers] {
        (void)LockAcquire(&followers, ExclusiveLock, true, false);
        (void)LockRelease(&followers, ExclusiveLock, true);
    });
    return true;
}

bool ActiveLock::keep() {
    if (!held_) return false;
    LOCKTAG *tag = &tag_;
    held_ = pg_call(
        [tag] { return held_by_us(tag) || LockAcquire(tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL; });
    return held_;
}

ActiveLock::~ActiveLock() {
    if (!held_) return;
    try {
        LOCKTAG *tag = &tag_;
        pg_call([tag] {
            if (held_by_us(tag)) (void)LockRelease(tag, ExclusiveLock, true);
        });
    } catch (...) { // the end of the process releases it
    }
}

} // namespace tenantmig

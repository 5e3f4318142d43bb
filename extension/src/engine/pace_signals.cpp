// Signals of the server, read with the functions below its statistics views: fewer joins to plan and to run, and the
// same for whoever calls.
#include "core/excerpt.hpp"

#include "bridge/identity.hpp"
#include "bridge/memory.hpp"
#include "bridge/subtransaction.hpp"
#include "engine/pace.hpp"

namespace tenantmig {

namespace {
enum Query : std::size_t { senders, files, vacuums, waiters, transactions };

// $1: tables, $2: pids of ours, $3: start of the WAL segment that is being written. All have the same parameters.
constexpr const char *queries[] = {
    // Walsenders of standbys and subscribers: name, position, the server's own measure, and since when the WAL beyond
    // the
    // position has been there if that is in another file than the newest. Who replays nothing (pg_receivewal) is none.
    "SELECT coalesce(nullif(a.application_name, ''), 'pid ' || s.pid), pg_wal_lsn_diff(s.replay_lsn, '0/0')::bigint, "
    "extract(epoch FROM s.replay_lag), CASE WHEN s.replay_lsn < $3 THEN extract(epoch FROM clock_timestamp() - "
    "(pg_stat_file('pg_wal/' || pg_walfile_name(s.replay_lsn), true)).modification) END "
    "FROM pg_stat_get_wal_senders() s LEFT JOIN LATERAL pg_stat_get_activity(s.pid) a ON true "
    "WHERE s.replay_lsn IS NOT NULL AND s.state <> 'backup'",

    "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'",

    "SELECT p.relid::regclass, extract(epoch FROM clock_timestamp() - a.xact_start), "
    "CASE WHEN a.query LIKE '%(to prevent wraparound)%' THEN 1 ELSE 0 END "
    "FROM pg_stat_get_progress_info('VACUUM') p CROSS JOIN LATERAL pg_stat_get_activity(p.pid) a "
    "WHERE a.backend_type = 'autovacuum worker' AND p.datid = (SELECT oid FROM pg_database WHERE datname = "
    "current_database()) "
    "AND (p.relid = ANY ($1) OR EXISTS (SELECT FROM pg_partition_ancestors(p.relid) t WHERE t.relid = ANY ($1))) "
    "ORDER BY 3 DESC, 2 DESC LIMIT 1",

    // pg_blocking_pids stops the lock manager for a moment, so it is asked only if somebody waits for something that
    // one
    // of ours holds. Who waits behind somebody who waits for us waits for us too.
    "WITH RECURSIVE lock AS MATERIALIZED (SELECT * FROM pg_lock_status()), "
    "blocked AS MATERIALIZED (SELECT w.pid, pg_blocking_pids(w.pid) AS blockers FROM "
    "(SELECT DISTINCT pid FROM lock WHERE NOT granted AND pid <> ALL ($2) AND EXISTS (SELECT FROM "
    "(SELECT * FROM lock WHERE granted AND pid = ANY ($2)) held JOIN (SELECT * FROM lock WHERE NOT granted AND pid <> "
    "ALL "
    "($2)) wanted ON (held.locktype, held.database, held.relation, held.page, held.tuple, held.virtualxid, "
    "held.transactionid, held.classid, held.objid, held.objsubid) IS NOT DISTINCT FROM (wanted.locktype, "
    "wanted.database, wanted.relation, wanted.page, wanted.tuple, wanted.virtualxid, wanted.transactionid, "
    "wanted.classid, wanted.objid, wanted.objsubid)) LIMIT 100) w), "
    "ours AS (SELECT pid FROM blocked WHERE blockers && $2 "
    "UNION SELECT b.pid FROM blocked b JOIN ours o ON o.pid = ANY (b.blockers)) "
    "SELECT count(*), min(pid) FROM ours",

    // What keeps dead rows of this database alive: what it is and its name, for how long, or else the oldest
    // transaction
    // that it needs.
    "WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database()), "
    "session AS MATERIALIZED (SELECT * FROM pg_stat_get_activity(NULL) WHERE (backend_xmin IS NOT NULL OR backend_xid "
    "IS "
    "NOT NULL) AND pid <> ALL ($2) AND backend_type <> 'autovacuum worker') "
    "(SELECT 'session ' || pid, NULL, extract(epoch FROM clock_timestamp() - xact_start), NULL::xid FROM session "
    "WHERE datid = (SELECT oid FROM here) AND xact_start IS NOT NULL AND backend_type <> 'walsender' "
    "ORDER BY xact_start LIMIT 1) UNION ALL "
    "(SELECT 'prepared transaction', gid, extract(epoch FROM clock_timestamp() - prepared), NULL "
    "FROM pg_prepared_xact() WHERE dbid = (SELECT oid FROM here) ORDER BY prepared LIMIT 1) UNION ALL "
    "(SELECT 'session ' || pid, NULL, NULL, backend_xmin FROM session WHERE datid = (SELECT oid FROM here) "
    "AND xact_start IS NULL AND backend_xmin IS NOT NULL AND backend_type <> 'walsender' "
    "ORDER BY age(backend_xmin) DESC LIMIT 1) UNION ALL "
    "(SELECT 'query on standby', application_name, NULL, backend_xmin FROM session "
    "WHERE backend_type = 'walsender' AND backend_xmin IS NOT NULL ORDER BY age(backend_xmin) DESC LIMIT 1) UNION ALL "
    "(SELECT 'replication slot', slot_name, NULL, xmin FROM pg_get_replication_slots() WHERE xmin IS NOT NULL "
    "ORDER BY age(xmin) DESC LIMIT 1)",
};

using Cells = std::vector<std::optional<std::string>>;

double number(const std::optional<std::string> &text) {
    return text ? std::strtod(text->c_str(), nullptr) : 0;
}

double now_in_seconds() {
    return static_cast<double>(GetCurrentTimestamp()) / 1e6;
}
} // namespace

class SignalReader {
public:
    SignalReader(const core::PaceSettings &settings, PaceMemory &memory, std::span<const Oid> tables,
                 std::span<const int> pids)
        : settings_(settings), memory_(memory) {
        flushed_ = pg_call([] { return GetFlushRecPtr(nullptr); });
        inserted_ = pg_call([] { return GetXLogInsertRecPtr(); });
        next_ = pg_call([] { return U64FromFullTransactionId(ReadNextFullTransactionId()); });
        now_ = now_in_seconds();
        memory_.wal_.add(now_, flushed_);
        memory_.transactions_.add(now_, next_);
        values_ = pg_call([tables, pids, start = flushed_ - flushed_ % static_cast<XLogRecPtr>(wal_segment_size)] {
            std::array<Datum, 3> values{};
            Datum *oids = static_cast<Datum *>(palloc((tables.size() + 1) * sizeof(Datum)));
            Datum *numbers = static_cast<Datum *>(palloc((pids.size() + 1) * sizeof(Datum)));
            for (std::size_t i = 0; i < tables.size(); i++)
                oids[i] = ObjectIdGetDatum(tables[i]);
            for (std::size_t i = 0; i < pids.size(); i++)
                numbers[i] = Int32GetDatum(pids[i]);
            numbers[pids.size()] = Int32GetDatum(MyProcPid); // whatever the caller says, we are one of ours
            values[0] = PointerGetDatum(
                construct_array(oids, static_cast<int>(tables.size()), OIDOID, sizeof(Oid), true, TYPALIGN_INT));
            values[1] = PointerGetDatum(construct_array(numbers, static_cast<int>(pids.size()) + 1, INT4OID,
                                                        sizeof(int32), true, TYPALIGN_INT));
            values[2] = Int64GetDatum(static_cast<int64>(start));
            return values;
        });
    }

    core::PaceSignals read() {
        core::PaceSignals signals;
        guarded(signals.wal_rate, settings_.max_wal_mb_per_s.has_value(), [&] { read_wal_rate(signals.wal_rate); });
        guarded(signals.replica_lag, settings_.max_replica_lag_s.has_value(), [&] { read_lag(signals.replica_lag); });
        guarded(signals.archive_backlog, settings_.max_archive_backlog.has_value(),
                [&] { read_archive(signals.archive_backlog); });
        guarded(signals.autovacuum, settings_.wait_for_autovacuum, [&] { read_vacuum(signals); });
        guarded(signals.lock_waiters, settings_.max_lock_waiters.has_value(),
                [&] { read_waiters(signals.lock_waiters); });
        guarded(signals.transaction_age, settings_.max_transaction_age_s.has_value(),
                [&] { read_transactions(signals.transaction_age); });
        return signals;
    }

private:
    // An error of one signal is that signal's answer. Those by which somebody stops us are not.
    template <typename F>
    void guarded(core::Signal &signal, bool wanted, F read) {
        if (!wanted) return;
        std::string problem;
        try {
            Subtransaction part;
            read();
            part.commit();
            return;
        } catch (const PgError &error) {
            if (ERRCODE_TO_CATEGORY(error.data()->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION) throw;
            problem = error.what();
        } catch (const Error &error) {
            problem = error.what();
        }
        signal = {std::nullopt, problem, false};
    }

    SPIPlanPtr plan(Query query) {
        SPIPlanPtr &kept = memory_.plans_[query];
        if (!kept)
            kept = pg_call([text = queries[query]] {
                Oid types[] = {OIDARRAYOID, INT4ARRAYOID, PG_LSNOID};
                SPIPlanPtr made = SPI_prepare(text, 3, types);
                if (!made || SPI_keepplan(made) != 0)
                    ereport(ERROR,
                            (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not prepare the reading of a signal")));
                return made;
            });
        return kept;
    }

    std::vector<Cells> run(Query query) {
        SPIPlanPtr prepared = plan(query);
        MemoryScope scope;
        SPITupleTable *table = pg_call([this, prepared] {
            if (SPI_execute_plan(prepared, values_.data(), nullptr, false, 0) != SPI_OK_SELECT)
                ereport(ERROR,
                        (errcode(MAKE_SQLSTATE('T', 'M', '9', '9', '9')), errmsg("a signal's query returned no rows")));
            return SPI_tuptable;
        });
        std::vector<Cells> rows(table->numvals);
        for (std::size_t i = 0; i < rows.size(); i++)
            for (int column = 1; column <= table->tupdesc->natts; column++) {
                char *text =
                    pg_call([table, i, column] { return SPI_getvalue(table->vals[i], table->tupdesc, column); });
                rows[i].push_back(text ? std::optional<std::string>(text) : std::nullopt);
            }
        pg_call([table] { SPI_freetuptable(table); }); // a connection may be as old as a run
        return rows;
    }

    // The views hide what a role may not see as NULL, which would look like health.
    static void require_statistics() {
        if (pg_call([] { return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS); })) return;
        throw Error(sqlstate::insufficient_privilege, "the extension's owner is no member of pg_read_all_stats");
    }
    static void require_activity() {
        require_statistics();
        if (!pgstat_track_activities) throw Error(sqlstate::prerequisite_state, "track_activities is off");
    }

    void read_wal_rate(core::Signal &signal) {
        const double passed = now_ - memory_.rate_time_;
        if (memory_.rate_time_ == 0 || passed >= 0.2) {
            if (memory_.rate_time_ != 0)
                memory_.rate_ = static_cast<double>(inserted_ - memory_.rate_position_) / passed / (1024 * 1024);
            memory_.rate_time_ = now_;
            memory_.rate_position_ = inserted_;
        }
        signal.value = memory_.rate_;
    }

    // The server's own measure stands still while replay does, and is NULL on a link that was idle: what we saw
    // ourselves goes on counting.
    void read_lag(core::Signal &signal) {
        require_statistics();
        for (const Cells &row : run(senders)) {
            const std::uint64_t position = std::strtoull(row[1].value_or("0").c_str(), nullptr, 10);
            double lag = 0;
            if (position < flushed_)
                lag = std::max({memory_.wal_.behind(now_, position), number(row[2]), number(row[3])});
            if (!signal.value || lag > *signal.value) signal = {lag, core::excerpt(row[0].value_or("")), true};
        }
    }

    void read_archive(core::Signal &signal) {
        if (!XLogArchivingActive()) return;
        if (now_ >= memory_.archive_due_) {
            const double before = now_in_seconds();
            memory_.archive_backlog_ = number(run(files).at(0)[0]);
            const double cost = now_in_seconds() - before;
            if (cost > 0.01) memory_.archive_due_ = now_ + 100 * cost;
        }
        signal.value = memory_.archive_backlog_;
    }

    void read_vacuum(core::PaceSignals &signals) {
        require_activity();
        for (const Cells &row : run(vacuums)) {
            signals.autovacuum = {number(row[1]), row[0].value_or(""), true};
            signals.wraparound = row[2] == "1";
        }
    }

    void read_waiters(core::Signal &signal) {
        const Cells row = run(waiters).at(0);
        signal.value = number(row[0]);
        if (row[1]) signal.what = fmt::format("pid {}", *row[1]);
    }

    void read_transactions(core::Signal &signal) {
        require_statistics();
        for (const Cells &row : run(transactions)) {
            double age = number(row[2]);
            if (row[3]) {
                const auto xmin = static_cast<std::uint32_t>(std::strtoul(row[3]->c_str(), nullptr, 10));
                const std::uint32_t distance = static_cast<std::uint32_t>(next_) - xmin;
                age = memory_.transactions_.behind(now_, next_ - distance);
            }
            if (signal.value && age <= *signal.value) continue;
            signal = {age, row[0].value_or("") + (row[1] ? " " + core::excerpt(*row[1]) : ""), true};
        }
    }

    const core::PaceSettings &settings_;
    PaceMemory &memory_;
    XLogRecPtr flushed_ = 0, inserted_ = 0;
    std::uint64_t next_ = 0;
    double now_ = 0;
    std::array<Datum, 3> values_{};
};

PaceMemory::~PaceMemory() {
    for (SPIPlanPtr plan : plans_)
        if (plan) SPI_freeplan(plan);
}

core::PaceSignals read_signals(const core::PaceSettings &settings, std::span<const Oid> tables,
                               std::span<const int> worker_pids, PaceMemory &memory) {
    RunAs self(extension_owner(), Purpose::read);
    MemoryScope scope;
    pg_call([] { pgstat_clear_snapshot(); }); // what this transaction has seen of other sessions before
    return SignalReader(settings, memory, tables, worker_pids).read();
}

bool somebody_waits_for_us() {
    return pg_call([] {
        TransactionId own = GetTopTransactionIdIfAny();
        if (!TransactionIdIsValid(own)) return false;
        LOCKTAG tag;
        SET_LOCKTAG_TRANSACTION(tag, own);
        return LockHasWaiters(&tag, ExclusiveLock, false);
    });
}

} // namespace tenantmig

#include "bridge/transaction.hpp"
#include "bridge/subtransaction.hpp"

namespace tenantmig {

namespace {
void set_for_transaction(const char *name, const char *value) {
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

// DROP EXTENSION waits for the end of our transaction, and we for its end, instead of each for tables of the other.
void hold_extension() {
    bool gone = pg_call([] {
        Oid extension = get_extension_oid("tenantmig", true);
        if (!OidIsValid(extension)) return true;
        LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
        return get_extension_oid("tenantmig", true) != extension;
    });
    if (gone)
        throw Error(sqlstate::undefined_object, "extension \"tenantmig\" does not exist any more",
                    "It was dropped while this was at work.", "Run CREATE EXTENSION tenantmig.");
}

// Before the first snapshot, so that the level can still be chosen.
void prepare(bool durable, int lock_timeout_ms, bool writable) {
    std::string timeout = std::to_string(lock_timeout_ms);
    const char *text = timeout.c_str();
    pg_call([durable, text, writable] {
        XactIsoLevel = XACT_READ_COMMITTED;
        if (writable) XactReadOnly = RecoveryInProgress();
        XactDeferrable = false;
        set_for_transaction("lock_timeout", text);
        if (!durable) set_for_transaction("synchronous_commit", "off");
    });
}

// Errors are caught and the transaction begun anew, which SPI allows at the top level only; so the work is done in a
// subtransaction, whose end restores everything that an error leaves behind.
class SessionTransactions : public Transactions {
public:
    SessionTransactions() {
        in_session_ = true;
        pg_call([] {
            SPI_connect_ext(SPI_OPT_NONATOMIC);
            SPI_commit();
        });
    }
    ~SessionTransactions() override {
        try {
            pg_call([] { SPI_finish(); });
        } catch (...) { // the end of the transaction cleans up
        }
    }

protected:
    void begin() override {}
    void execute(const std::function<void()> &work) override {
        Subtransaction part;
        {
            SpiSession session;
            work();
        }
        part.commit();
    }
    void commit() override {
        pg_call([] { SPI_commit(); });
    }
    void rollback() override {
        pg_call([] { SPI_rollback(); });
    }
};

class WorkerTransactions : public Transactions {
public:
    WorkerTransactions() : home_(CurrentMemoryContext) {}

protected:
    void begin() override {
        pg_call([] {
            SetCurrentStatementStartTimestamp();
            StartTransactionCommand();
        });
    }
    void execute(const std::function<void()> &work) override {
        pg_call([] { PushActiveSnapshot(GetTransactionSnapshot()); }); // a worker has no portal that would have one
        {
            SpiSession session;
            work();
        }
        pg_call([] { PopActiveSnapshot(); });
    }
    void commit() override {
        pg_call([] {
            CommitTransactionCommand();
            (void)pgstat_report_stat(false);
        });
        MemoryContextSwitchTo(home_);
    }
    void rollback() override {
        pg_call([] { AbortCurrentTransaction(); });
        MemoryContextSwitchTo(home_);
    }

private:
    MemoryContext home_;
};
} // namespace

void Transactions::run(bool durable, const std::function<void()> &work, int lock_timeout_ms) {
    MemoryContext home = CurrentMemoryContext;
    begin();
    try {
        prepare(durable, lock_timeout_ms, !in_session_); // start() has made sure that its caller may write
        hold_extension();
        execute(work);
        commit();
    } catch (...) {
        std::exception_ptr error = std::current_exception();
        MemoryContextSwitchTo(home);
        rollback();
        std::rethrow_exception(error);
    }
    MemoryContextSwitchTo(home);
}

std::unique_ptr<Transactions> session_transactions(FunctionCallInfo call, const char *procedure) {
    bool atomic = !call->context || !IsA(call->context, CallContext) || castNode(CallContext, call->context)->atomic;
    if (atomic || pg_call([] { return IsTransactionBlock() || IsSubTransaction(); }))
        throw Error(sqlstate::active_transaction, fmt::format("{} cannot run inside a transaction block", procedure),
                    "It commits as it goes.", "CALL it on its own, outside of BEGIN, functions and DO blocks.");
    return std::make_unique<SessionTransactions>();
}

std::unique_ptr<Transactions> worker_transactions() {
    return std::make_unique<WorkerTransactions>();
}

void require_writable() {
    if (!XactReadOnly && !RecoveryInProgress()) return;
    throw Error(sqlstate::read_only_transaction, "cannot do this in a read-only transaction",
                RecoveryInProgress() ? "The server is a standby." : "This transaction may only read.",
                "Call it on the primary, in a transaction that may write.");
}

} // namespace tenantmig

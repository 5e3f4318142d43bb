// Transactions of our own, one after the other: in a procedure (CALL), or in a background worker.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

class Transactions {
public:
    Transactions() = default;
    virtual ~Transactions() = default;
    Transactions(const Transactions &) = delete;
    Transactions &operator=(const Transactions &) = delete;
    // Runs `work` in a transaction: READ COMMITTED whatever the default is (in a worker writable, too), with an SPI
    // session, waiting for locks at most `lock_timeout_ms`. Commits; not `durable`: without waiting for the disk (a
    // crash may lose the whole transaction, never a part). On an error the transaction is rolled back, and the error
    // goes on.
    void run(bool durable, const std::function<void()> &work, int lock_timeout_ms = 10000);
    bool in_session() const { return in_session_; }

protected:
    virtual void begin() = 0;
    virtual void execute(const std::function<void()> &work) = 0;
    virtual void commit() = 0;
    virtual void rollback() = 0;
    bool in_session_ = false;
};

// Of a procedure that was called outside of a transaction block. 25001 inside of one.
std::unique_ptr<Transactions> session_transactions(FunctionCallInfo call, const char *procedure);
std::unique_ptr<Transactions> worker_transactions();

// 25006 on a standby, and in a read-only transaction. PostgreSQL would say so too, but not of everything, and with a
// statement of ours that nobody has written.
void require_writable();

} // namespace tenantmig

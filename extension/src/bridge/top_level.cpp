#include "bridge/top_level.hpp"

extern "C" {
#include "tcop/utility.h"
}

namespace tenantmig {

void run_at_top_level(const std::string &statement, Oid role) {
    Oid saved_user;
    int saved_context;
    GetUserIdAndSecContext(&saved_user, &saved_context);
    const char *text = statement.c_str();
    MemoryContext home = CurrentMemoryContext;
    MemoryContext memory =
        pg_call([] { return AllocSetContextCreate(TopMemoryContext, "tenantmig statement", ALLOCSET_DEFAULT_SIZES); });
    try {
        pg_call([text, memory, role, saved_context] {
            debug_query_string = text;
            SetCurrentStatementStartTimestamp();
            // The identity is taken in a transaction of its own: an abort goes back to the one that its transaction has
            // begun with, and a procedure that rolls back would go on as the session's user.
            StartTransactionCommand();
            SetUserIdAndSecContext(role, saved_context | SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE |
                                             SECURITY_NOFORCE_RLS);
            CommitTransactionCommand();
            StartTransactionCommand();
            MemoryContextSwitchTo(memory); // the portal outlives the transactions within the statement
            List *parsed = pg_parse_query(text);
            RawStmt *raw = linitial_node(RawStmt, parsed);
            const CommandTag tag = CreateCommandTag(raw->stmt);
            List *queries = pg_analyze_and_rewrite_fixedparams(raw, text, nullptr, 0, nullptr);
            List *plans = pg_plan_queries(queries, text, CURSOR_OPT_PARALLEL_OK, nullptr);
            Portal portal = CreatePortal("", true, true);
            portal->visible = false;
            PortalDefineQuery(portal, nullptr, text, tag, plans, nullptr);
            PortalStart(portal, nullptr, 0, InvalidSnapshot);
            QueryCompletion completion;
            InitializeQueryCompletion(&completion);
            (void)PortalRun(portal, FETCH_ALL, true, true, None_Receiver, None_Receiver, &completion);
            PortalDrop(portal, false);
            CommitTransactionCommand();
            debug_query_string = nullptr;
        });
        SetUserIdAndSecContext(saved_user, saved_context);
    } catch (...) {
        std::exception_ptr error = std::current_exception();
        MemoryContextSwitchTo(home);
        pg_call([] {
            debug_query_string = nullptr;
            AbortCurrentTransaction();
        });
        SetUserIdAndSecContext(saved_user, saved_context);
        MemoryContextSwitchTo(home);
        std::rethrow_exception(error);
    }
    MemoryContextSwitchTo(home);
    MemoryContextDelete(memory);
}

} // namespace tenantmig

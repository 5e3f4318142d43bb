#include "bridge/relations_read.hpp"

extern "C" {
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteManip.h"
}

namespace tenantmig {

namespace {
// Plain data: everything here lives inside of PostgreSQL's frames.
struct Use {
    Oid relation;
    char kind;
    bool written, filtered, denied, checked, barrier;
    const char *condition;
};
struct Uses {
    Use *items;
    int count, room;
    bool barrier; // of what is walked just now
};

bool is_constant(Node *node, bool wanted) {
    if (!node || !IsA(node, Const)) return false;
    const auto *constant = reinterpret_cast<const Const *>(node);
    const bool truth = !constant->constisnull && DatumGetBool(constant->constvalue);
    return truth == wanted;
}

void note(Uses *uses, const Query *query, int place, RangeTblEntry *entry) {
    Use use = {entry->relid, entry->relkind, query->resultRelation == place, false, false, false, uses->barrier, ""};
    for (int i = 0; i < list_length(entry->securityQuals); i++) {
        // "or true", as two policies make it
        Node *condition = eval_const_expressions(nullptr, static_cast<Node *>(list_nth(entry->securityQuals, i)));
        use.filtered = use.filtered || !is_constant(condition, true);
        use.denied = use.denied || is_constant(condition, false);
    }
    if (use.filtered) {
        // The same tree wherever it comes from: the table's number in the query and the user who is asked differ.
        List *own = static_cast<List *>(copyObjectImpl(entry->securityQuals));
        ChangeVarNodes(reinterpret_cast<Node *>(own), place, 1, 0);
        setRuleCheckAsUser(reinterpret_cast<Node *>(own), InvalidOid);
        use.condition = nodeToString(own);
    }
    for (int i = 0; use.written && i < list_length(query->withCheckOptions); i++) {
        auto *check = static_cast<WithCheckOption *>(list_nth(query->withCheckOptions, i));
        use.checked = use.checked || (check->kind != WCO_VIEW_CHECK &&
                                      !is_constant(eval_const_expressions(nullptr, check->qual), true));
    }
    if (uses->count == uses->room) {
        uses->room *= 2;
        uses->items = static_cast<Use *>(repalloc(uses->items, sizeof(Use) * static_cast<Size>(uses->room)));
    }
    uses->items[uses->count++] = use;
}

bool collect(Node *node, void *context) {
#if PG_VERSION_NUM >= 160000
    auto *walker = collect;
#else
    auto *walker = reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(collect)); // as C declares it
#endif
    if (!node) return false;
    if (!IsA(node, Query)) return expression_tree_walker(node, walker, context);
    auto *query = reinterpret_cast<Query *>(node);
    auto *uses = static_cast<Uses *>(context);
    const bool barrier = uses->barrier;
    for (int place = 1; place <= list_length(query->rtable); place++) {
        auto *entry = static_cast<RangeTblEntry *>(list_nth(query->rtable, place - 1));
        switch (entry->rtekind) {
        case RTE_RELATION:
            if (entry->relkind != RELKIND_VIEW) note(uses, query, place, entry);
            break;
        case RTE_SUBQUERY:
            uses->barrier = barrier || entry->security_barrier;
            (void)collect(reinterpret_cast<Node *>(entry->subquery), context);
            uses->barrier = barrier;
            break;
        case RTE_FUNCTION:
            (void)collect(reinterpret_cast<Node *>(entry->functions), context);
            break;
        case RTE_VALUES:
            (void)collect(reinterpret_cast<Node *>(entry->values_lists), context);
            break;
        case RTE_TABLEFUNC:
            (void)collect(reinterpret_cast<Node *>(entry->tablefunc), context);
            break;
        default:
            break;
        }
    }
    query->withCheckOptions = NIL; // what policies read in turn is no read of the statement
    return query_tree_walker(query, walker, context, QTW_IGNORE_RANGE_TABLE);
}
} // namespace

std::vector<RelationUse> relations_used(const std::string &sql) {
    const char *text = sql.c_str();
    const Uses found = pg_call([text] {
        Uses uses = {static_cast<Use *>(palloc(sizeof(Use) * 16)), 0, 16, false};
        List *parsed = pg_parse_query(text);
        for (int i = 0; i < list_length(parsed); i++) {
            List *rewritten =
                pg_analyze_and_rewrite_fixedparams(list_nth_node(RawStmt, parsed, i), text, nullptr, 0, nullptr);
            for (int k = 0; k < list_length(rewritten); k++)
                collect(static_cast<Node *>(list_nth(rewritten, k)), &uses);
        }
        return uses;
    });
    std::vector<RelationUse> result;
    for (int i = 0; i < found.count; i++) {
        const Use &use = found.items[i];
        result.push_back(
            {use.relation, use.kind, use.written, use.filtered, use.denied, use.checked, use.barrier, use.condition});
    }
    return result;
}

} // namespace tenantmig

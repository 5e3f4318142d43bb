#include "bridge/policy_condition.hpp"

#include "bridge/identity.hpp"
#include "bridge/subtransaction.hpp"

extern "C" {
#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "utils/ruleutils.h"
}
#undef foreach

namespace tenantmig {

namespace {
// Everything up to the next comment of this kind is PostgreSQL's regime: plain data, no destructors, errors jump.

constexpr int most_names = 50;

struct Names {
    int count;
    const char *text[most_names];
};

void note(Names *names, const char *name) {
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->text[i], name) == 0) return;
    if (names->count < most_names) names->text[names->count++] = name;
}

struct Keys {
    const AttrNumber *numbers;
    int count;
};

bool is_key(const Keys *keys, AttrNumber column) {
    if (column == 0) return true; // the whole row
    for (int i = 0; i < keys->count; i++)
        if (keys->numbers[i] == column) return true;
    return false;
}

using Walker = bool (*)(Node *, void *);

bool walk_below(Node *node, Walker walker, void *context) {
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker(node, walker, context);
#else
    return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(walker)), context);
#endif
}

bool walk_query(Query *query, Walker walker, void *context) {
#if PG_VERSION_NUM >= 160000
    return query_tree_walker(query, walker, context, 0);
#else
    return query_tree_walker(query, reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(walker)), context, 0);
#endif
}

Node *mutate_below(Node *node, Node *(*mutator)(Node *, void *), void *context) {
#if PG_VERSION_NUM >= 160000
    return expression_tree_mutator(node, mutator, context);
#else
    return expression_tree_mutator(node, reinterpret_cast<Node *(*)()>(reinterpret_cast<void (*)()>(mutator)), context);
#endif
}

struct KeySearch {
    const Keys *keys;
    Index depth; // of the query that is looked at
};

// A policy's own relation is range table entry 1; in a subquery its columns are those of an outer query.
bool find_key(Node *node, void *context) {
    auto *search = static_cast<KeySearch *>(context);
    if (!node) return false;
    if (IsA(node, Var)) {
        const auto *var = reinterpret_cast<Var *>(node);
        return var->varno == 1 && var->varlevelsup == search->depth && is_key(search->keys, var->varattno);
    }
    if (IsA(node, Query)) {
        search->depth++;
        const bool found = walk_query(reinterpret_cast<Query *>(node), find_key, context);
        search->depth--;
        return found;
    }
    return walk_below(node, find_key, context);
}

bool has_key(Node *node, const Keys *keys) {
    KeySearch search = {keys, 0};
    return find_key(node, &search);
}

// Without what changes nothing: a relabelled type, coalesce() of one value.
Node *bare(Node *node) {
    for (;;) {
        if (node && IsA(node, RelabelType))
            node = reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(node)->arg);
        else if (node && IsA(node, CoalesceExpr) && list_length(reinterpret_cast<CoalesceExpr *>(node)->args) == 1)
            node = static_cast<Node *>(linitial(reinterpret_cast<CoalesceExpr *>(node)->args));
        else
            return node;
    }
}

bool is_key_column(Node *node, const Keys *keys) {
    node = bare(node);
    return node && IsA(node, Var) && reinterpret_cast<Var *>(node)->varlevelsup == 0 &&
           is_key(keys, reinterpret_cast<Var *>(node)->varattno);
}

struct Judgement {
    const Keys *keys;
    Node *open_part;
    bool wrapped, leaky;
};

bool is_equality(Oid operator_oid) {
    const char *name = get_opname(operator_oid);
    return name && strcmp(name, "=") == 0;
}

// The key, or what other keys do not become as well: a cast of it, lower(key); a subquery, or a function of the user's,
// is taken at its word. Not key % 10, not greatest(key, 1).
bool stands_for_key(Node *node, const Keys *keys) {
    node = bare(node);
    check_stack_depth();
    switch (nodeTag(node)) {
    case T_Var:
        return is_key_column(node, keys);
    case T_CoerceViaIO:
        return stands_for_key(reinterpret_cast<Node *>(reinterpret_cast<CoerceViaIO *>(node)->arg), keys);
    case T_CoerceToDomain:
        return stands_for_key(reinterpret_cast<Node *>(reinterpret_cast<CoerceToDomain *>(node)->arg), keys);
    case T_CollateExpr:
        return stands_for_key(reinterpret_cast<Node *>(reinterpret_cast<CollateExpr *>(node)->arg), keys);
    case T_FuncExpr: {
        const auto *call = reinterpret_cast<FuncExpr *>(node);
        if (call->funcid >= FirstNormalObjectId) return has_key(node, keys);
        const bool cast = call->funcformat == COERCE_EXPLICIT_CAST || call->funcformat == COERCE_IMPLICIT_CAST;
        return (cast || call->funcid == F_LOWER_TEXT || call->funcid == F_UPPER_TEXT) &&
               stands_for_key(static_cast<Node *>(linitial(call->args)), keys);
    }
    case T_SubLink:
        return has_key(node, keys);
    default:
        return false;
    }
}

// The key on one side, and on the other nothing of the same row, unless a subquery looks it up.
bool compares_key(Node *key_side, Node *other, Oid operator_oid, Judgement *judgement) {
    if (!stands_for_key(key_side, judgement->keys)) return false;
    if (!IsA(bare(other), SubLink) && contain_vars_of_level(other, 0)) return false;
    if (!is_key_column(key_side, judgement->keys)) judgement->wrapped = true;
    if (!get_func_leakproof(get_opcode(operator_oid))) judgement->leaky = true;
    return true;
}

bool is_true(Node *node) {
    return IsA(node, Const) && !reinterpret_cast<Const *>(node)->constisnull &&
           DatumGetBool(reinterpret_cast<Const *>(node)->constvalue);
}

bool is_confined(Node *node, Judgement *judgement);

bool all_confined(List *list, Judgement *judgement) {
    Node *open = nullptr;
    bool some = false;
    for (int i = 0; i < list_length(list); i++) {
        auto *arm = static_cast<Node *>(list_nth(list, i));
        if (is_confined(arm, judgement))
            some = true;
        else if (!open)
            open = arm;
    }
    if (open && some && !judgement->open_part) judgement->open_part = open;
    return !open;
}

bool is_confined(Node *node, Judgement *judgement) {
    node = bare(node);
    if (!node) return true; // no ELSE: NULL
    check_stack_depth();
    switch (nodeTag(node)) {
    case T_Const: {
        const auto *constant = reinterpret_cast<Const *>(node);
        return constant->constisnull || !DatumGetBool(constant->constvalue);
    }
    case T_BoolExpr: {
        const auto *expression = reinterpret_cast<BoolExpr *>(node);
        if (expression->boolop == OR_EXPR) return all_confined(expression->args, judgement);
        if (expression->boolop == AND_EXPR) {
            bool any = false;
            for (int i = 0; i < list_length(expression->args); i++)
                if (is_confined(static_cast<Node *>(list_nth(expression->args, i)), judgement)) any = true;
            if (any) judgement->open_part = nullptr; // of an arm that another condition confines
            return any;
        }
        auto *negated = static_cast<Node *>(linitial(expression->args));
        if (!IsA(negated, DistinctExpr)) return false;
        auto *distinct = reinterpret_cast<DistinctExpr *>(negated);
        auto *left = static_cast<Node *>(linitial(distinct->args)),
             *right = static_cast<Node *>(lsecond(distinct->args));
        return compares_key(left, right, distinct->opno, judgement) ||
               compares_key(right, left, distinct->opno, judgement);
    }
    case T_CoalesceExpr:
        return all_confined(reinterpret_cast<CoalesceExpr *>(node)->args, judgement);
    case T_CaseExpr: {
        const auto *expression = reinterpret_cast<CaseExpr *>(node);
        List *results = list_make1(expression->defresult);
        for (int i = 0; i < list_length(expression->args); i++) {
            auto *when = static_cast<CaseWhen *>(list_nth(expression->args, i));
            if (expression->arg || !is_confined(reinterpret_cast<Node *>(when->expr), judgement))
                results = lappend(results, when->result);
        }
        return all_confined(results, judgement);
    }
    case T_BooleanTest: {
        const auto *test = reinterpret_cast<BooleanTest *>(node);
        return test->booltesttype == IS_TRUE && is_confined(reinterpret_cast<Node *>(test->arg), judgement);
    }
    case T_OpExpr: {
        auto *expression = reinterpret_cast<OpExpr *>(node);
        if (list_length(expression->args) == 2 && is_equality(expression->opno)) {
            auto *left = static_cast<Node *>(linitial(expression->args));
            auto *right = static_cast<Node *>(lsecond(expression->args));
            if (expression->opno == BooleanEqualOperator && is_true(right)) return is_confined(left, judgement);
            return compares_key(left, right, expression->opno, judgement) ||
                   compares_key(right, left, expression->opno, judgement);
        }
        return expression->opno >= FirstNormalObjectId && has_key(node, judgement->keys);
    }
    case T_ScalarArrayOpExpr: {
        auto *expression = reinterpret_cast<ScalarArrayOpExpr *>(node);
        return expression->useOr && is_equality(expression->opno) &&
               compares_key(static_cast<Node *>(linitial(expression->args)),
                            static_cast<Node *>(lsecond(expression->args)), expression->opno, judgement);
    }
    case T_SubLink: {
        const auto *link = reinterpret_cast<SubLink *>(node);
        return (link->subLinkType == EXISTS_SUBLINK || link->subLinkType == ANY_SUBLINK ||
                link->subLinkType == EXPR_SUBLINK) &&
               has_key(node, judgement->keys);
    }
    case T_FuncExpr:
        return reinterpret_cast<FuncExpr *>(node)->funcid >= FirstNormalObjectId && has_key(node, judgement->keys);
    default:
        return false;
    }
}

// current_setting() is replaced by what it gives without a tenant, and everything else that is fixed is computed by
// PostgreSQL's own simplifier. Code of users is never run: what calls it becomes a value that nobody knows.
struct Replacement {
    bool empty;  // '' in place of NULL
    bool strict; // current_setting() without missing_ok, which is an error while the setting is unset
    int unknown;
    Names settings;
};

bool made_by_user(Oid function, void *) {
    return function >= FirstNormalObjectId;
}

Node *unknown_value(Node *of, Replacement *replacement) {
    Param *value = makeNode(Param);
    value->paramkind = PARAM_EXTERN;
    value->paramid = ++replacement->unknown; // each another one: two of them are not equal
    value->paramtype = exprType(of);
    value->paramtypmod = exprTypmod(of);
    value->paramcollid = exprCollation(of);
    value->location = -1;
    return reinterpret_cast<Node *>(value);
}

// (SELECT value)
Node *plain_value(SubLink *link) {
    if (link->subLinkType != EXPR_SUBLINK || !IsA(link->subselect, Query)) return nullptr;
    const auto *query = reinterpret_cast<Query *>(link->subselect);
    if (query->commandType != CMD_SELECT || query->rtable || query->cteList || query->setOperations ||
        query->groupClause || query->groupingSets || query->havingQual || query->limitCount || query->limitOffset ||
        query->hasAggs || query->hasTargetSRFs || !query->jointree || query->jointree->quals ||
        list_length(query->targetList) != 1 || contain_vars_of_level(link->subselect, 1))
        return nullptr;
    return reinterpret_cast<Node *>(linitial_node(TargetEntry, query->targetList)->expr);
}

Node *without_tenant(Node *node, void *context) {
    auto *replacement = static_cast<Replacement *>(context);
    if (!node) return nullptr;
    check_stack_depth();
    if (IsA(node, FuncExpr)) {
        const auto *call = reinterpret_cast<FuncExpr *>(node);
        if (call->funcid == F_CURRENT_SETTING_TEXT || call->funcid == F_CURRENT_SETTING_TEXT_BOOL) {
            auto *name = static_cast<Node *>(linitial(call->args));
            if (IsA(name, Const) && !reinterpret_cast<Const *>(name)->constisnull) {
                const char *setting = TextDatumGetCString(reinterpret_cast<Const *>(name)->constvalue);
                if (!strchr(setting, '.')) return unknown_value(node, replacement); // PostgreSQL's own are always set
                note(&replacement->settings, setting);
            }
            bool strict = call->funcid == F_CURRENT_SETTING_TEXT;
            if (!strict) {
                auto *missing_ok = static_cast<Node *>(lsecond(call->args));
                strict = IsA(missing_ok, Const) && !DatumGetBool(reinterpret_cast<Const *>(missing_ok)->constvalue);
            }
            if (strict) replacement->strict = true;
            if (replacement->empty)
                return reinterpret_cast<Node *>(
                    makeConst(TEXTOID, -1, call->funccollid, -1, CStringGetTextDatum(""), false, false));
            if (strict) return unknown_value(node, replacement);
            return reinterpret_cast<Node *>(makeNullConst(TEXTOID, -1, call->funccollid));
        }
    }
    if (IsA(node, SubLink)) {
        Node *value = plain_value(reinterpret_cast<SubLink *>(node));
        return value ? without_tenant(value, context) : unknown_value(node, replacement);
    }
    const bool user_value = IsA(node, Const) && reinterpret_cast<Const *>(node)->consttype >= FirstNormalObjectId &&
                            !type_is_enum(reinterpret_cast<Const *>(node)->consttype);
    if (user_value || IsA(node, CoerceToDomain) || IsA(node, ArrayCoerceExpr) || IsA(node, ConvertRowtypeExpr) ||
        check_functions_in_node(node, made_by_user, nullptr))
        return unknown_value(node, replacement);
    return mutate_below(node, without_tenant, context);
}

// TRUE for every row, or for every row whose key is NULL.
bool is_open(Node *node, const Keys *keys) {
    node = bare(node);
    if (!node) return false;
    switch (nodeTag(node)) {
    case T_Const:
        return is_true(node);
    case T_BoolExpr: {
        const auto *expression = reinterpret_cast<BoolExpr *>(node);
        if (expression->boolop == NOT_EXPR) {
            auto *negated = static_cast<Node *>(linitial(expression->args));
            if (!IsA(negated, DistinctExpr)) return false;
            auto *distinct = reinterpret_cast<DistinctExpr *>(negated);
            for (int i = 0; i < 2; i++) {
                auto *one = static_cast<Node *>(list_nth(distinct->args, i));
                auto *other = static_cast<Node *>(list_nth(distinct->args, 1 - i));
                if (is_key_column(one, keys) && IsA(other, Const) && reinterpret_cast<Const *>(other)->constisnull)
                    return true;
            }
            return false;
        }
        for (int i = 0; i < list_length(expression->args); i++)
            if (is_open(static_cast<Node *>(list_nth(expression->args, i)), keys) == (expression->boolop == OR_EXPR))
                return expression->boolop == OR_EXPR;
        return expression->boolop == AND_EXPR;
    }
    case T_OpExpr: {
        const auto *expression = reinterpret_cast<OpExpr *>(node);
        return list_length(expression->args) == 2 && is_equality(expression->opno) &&
               equal(bare(static_cast<Node *>(linitial(expression->args))),
                     bare(static_cast<Node *>(lsecond(expression->args))));
    }
    case T_NullTest: {
        const auto *test = reinterpret_cast<NullTest *>(node);
        return test->nulltesttype == IS_NOT_NULL && is_key_column(reinterpret_cast<Node *>(test->arg), keys);
    }
    default:
        return false;
    }
}

struct Functions {
    Oid oids[most_names];
    int count;
};

bool note_user_function(Oid function, void *context) {
    auto *functions = static_cast<Functions *>(context);
    if (function < FirstNormalObjectId || functions->count == most_names) return false;
    for (int i = 0; i < functions->count; i++)
        if (functions->oids[i] == function) return false;
    functions->oids[functions->count++] = function;
    return false;
}

bool find_functions(Node *node, void *context) {
    if (!node) return false;
    if (IsA(node, Query)) return walk_query(reinterpret_cast<Query *>(node), find_functions, context);
    check_functions_in_node(node, note_user_function, context);
    return walk_below(node, find_functions, context);
}

struct Facts {
    bool always, names_key, confined, wrapped, leaky;
    char *open_part;
    Functions functions;
};

struct Evaluation {
    bool open, strict;
    Names settings;
};

Node *condition_of(const char *tree) {
    auto *node = static_cast<Node *>(stringToNode(const_cast<char *>(tree)));
    // A row filter, as a policy's condition, is one expression.
    if (node && IsA(node, List)) node = static_cast<Node *>(linitial(reinterpret_cast<List *>(node)));
    return node;
}

Facts judge(Oid relation, const char *tree, Keys keys) {
    Facts facts = {};
    Node *node = condition_of(tree);
    Judgement judgement = {&keys, nullptr, false, false};
    facts.confined = is_confined(node, &judgement);
    facts.wrapped = judgement.wrapped;
    facts.leaky = judgement.leaky;
    facts.names_key = has_key(node, &keys);
    facts.always = is_true(node);
    if (!facts.confined && judgement.open_part)
        facts.open_part = deparse_expression(judgement.open_part, deparse_context_for(get_rel_name(relation), relation),
                                             false, false);
    find_functions(node, &facts.functions);
    return facts;
}

Evaluation evaluate(const char *tree, bool empty, Keys keys) {
    Replacement replacement = {};
    replacement.empty = empty;
    Node *node = without_tenant(condition_of(tree), &replacement);
    Evaluation result = {};
    result.settings = replacement.settings;
    result.strict = replacement.strict;
    if (replacement.settings.count > 0) result.open = is_open(eval_const_expressions(nullptr, node), &keys);
    return result;
}

// C++ again.

// Computing constants may fail, as the query would: ''::integer.
std::optional<Evaluation> attempt(const std::string &tree, bool empty, Keys keys) {
    try {
        Subtransaction attempt;
        Evaluation result;
        {
            RunAs self(extension_owner(), Purpose::read);
            const char *text = tree.c_str();
            result = pg_call([text, empty, keys] { return evaluate(text, empty, keys); });
        }
        attempt.commit();
        return result;
    } catch (const PgError &error) {
        const int state = error.data()->sqlerrcode;
        if (ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION || state == ERRCODE_OUT_OF_MEMORY) throw;
        return std::nullopt;
    }
}
} // namespace

PolicyCondition policy_condition(Oid relation, const std::string &tree, const std::vector<AttrNumber> &keys) {
    PolicyCondition result;
    const Keys numbers = {keys.data(), static_cast<int>(keys.size())};
    const char *text = tree.c_str();
    const Facts facts = pg_call([relation, text, numbers] { return judge(relation, text, numbers); });
    result.always = facts.always;
    result.names_key = facts.names_key;
    result.confined = facts.confined;
    result.key_wrapped = facts.wrapped;
    result.leaky = facts.leaky;
    if (facts.open_part) result.open_part = facts.open_part;
    for (int i = 0; i < facts.functions.count; i++)
        result.functions.push_back(facts.functions.oids[i]);
    for (bool empty : {false, true}) {
        const auto evaluation = attempt(tree, empty, numbers);
        (empty ? result.open_empty : result.open_unset) = evaluation && evaluation->open;
        (empty ? result.fails_empty : result.fails_unset) = !evaluation || (!empty && evaluation->strict);
        if (!evaluation) continue;
        for (int i = 0; i < evaluation->settings.count; i++)
            if (const std::string name = evaluation->settings.text[i];
                std::find(result.settings.begin(), result.settings.end(), name) == result.settings.end())
                result.settings.push_back(name);
    }
    return result;
}

bool tree_confined(Oid relation, const std::string &tree, const std::vector<AttrNumber> &keys) {
    const Keys numbers = {keys.data(), static_cast<int>(keys.size())};
    const char *text = tree.c_str();
    return pg_call([relation, text, numbers] { return judge(relation, text, numbers).confined; });
}

bool same_condition(const std::string &a, const std::string &b) {
    const char *one = a.c_str(), *other = b.c_str();
    return pg_call([one, other] { return equal(condition_of(one), condition_of(other)); });
}

} // namespace tenantmig

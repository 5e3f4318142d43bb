// The watch on ALTER TABLE: two event triggers at ddl_command_start, and the function that switches between them.
//
// tenantmig_ddl_warn is a member of the extension: CREATE EXTENSION makes it, pg_dump leaves it out. tenantmig_ddl_on
// is none, so that pg_dump writes it down: a restore has it again, made last, and `pg_restore --clean` drops it first,
// before it takes the constraints off. It goes with the extension all the same (see follow_extension()).
//
// At ddl_command_start, not _end: an event trigger of the latter kind makes PostgreSQL collect what every CREATE and
// DROP in the database does, whatever tags it asks for.
#include "core/excerpt.hpp"

#include "bridge/catalogue_write.hpp"
#include "bridge/event_trigger.hpp"
#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "steps/ddl_loosening.hpp"

using namespace tenantmig;

namespace {
constexpr char warn_trigger[] = "tenantmig_ddl_warn";
constexpr char on_trigger[] = "tenantmig_ddl_on";

enum class Mode { off, warn, on };

// --- which statements -----------------------------------------------------------------------------------------------

std::optional<AlterKind> kind_of(AlterTableType type) {
    switch (type) {
    case AT_DropNotNull:
        return AlterKind::drop_not_null;
    case AT_DropConstraint:
        return AlterKind::drop_constraint;
    case AT_AlterConstraint:
        return AlterKind::alter_constraint;
    case AT_DropColumn:
        return AlterKind::drop_column;
    case AT_DisableTrig:
        return AlterKind::disable_trigger;
    case AT_DisableTrigAll:
        return AlterKind::disable_all;
    case AT_DisableTrigUser:
        return AlterKind::disable_user;
    case AT_EnableReplicaTrig:
        return AlterKind::replica_only;
    default:
        return std::nullopt;
    }
}

const AlterTableStmt *alter_table(const EventTriggerData *data) {
    if (!IsA(data->parsetree, AlterTableStmt)) return nullptr;
    auto *statement = reinterpret_cast<const AlterTableStmt *>(data->parsetree);
    return statement->objtype == OBJECT_TABLE ? statement : nullptr;
}

const DropStmt *drop_of(const EventTriggerData *data, ObjectType type) {
    if (!IsA(data->parsetree, DropStmt)) return nullptr;
    auto *statement = reinterpret_cast<const DropStmt *>(data->parsetree);
    return statement->removeType == type ? statement : nullptr;
}

// Nothing is looked up for statements that can't loosen anything.
bool is_of_interest(const EventTriggerData *data) {
    if (drop_of(data, OBJECT_TRIGGER) || drop_of(data, OBJECT_EXTENSION)) return true;
    const AlterTableStmt *statement = alter_table(data);
    if (!statement || statement->relation->relpersistence == RELPERSISTENCE_TEMP) return false;
    for (int i = 0; i < list_length(statement->cmds); i++)
        if (kind_of(static_cast<AlterTableCmd *>(list_nth(statement->cmds, i))->subtype)) return true;
    return false;
}

struct Question {
    Oid relation = InvalidOid;
    std::vector<AlterAction> actions;
    bool refusable = true;
};

Oid permanent_table(const RangeVar *name) {
    return pg_call([name] {
        Oid oid = RangeVarGetRelid(name, NoLock, true);
        bool permanent = OidIsValid(oid) && get_rel_persistence(oid) != RELPERSISTENCE_TEMP;
        return permanent ? oid : InvalidOid;
    });
}

std::vector<Question> questions(const EventTriggerData *data) {
    std::vector<Question> result;
    if (const AlterTableStmt *statement = alter_table(data)) {
        Question question;
        for (int i = 0; i < list_length(statement->cmds); i++) {
            auto *command = static_cast<const AlterTableCmd *>(list_nth(statement->cmds, i));
            auto kind = kind_of(command->subtype);
            if (!kind) continue;
            const char *name = command->name;
            if (*kind == AlterKind::alter_constraint) name = castNode(Constraint, command->def)->conname;
            question.actions.push_back({*kind, name ? name : "", command->behavior == DROP_CASCADE});
        }
        question.relation = permanent_table(statement->relation);
        result.push_back(std::move(question));
    } else if (const DropStmt *drop = drop_of(data, OBJECT_TRIGGER)) {
        for (int i = 0; i < list_length(drop->objects); i++) {
            auto *names = static_cast<List *>(list_nth(drop->objects, i));
            const RangeVar *table = pg_call([names] {
                List *relation = list_truncate(list_copy(names), list_length(names) - 1);
                return static_cast<const RangeVar *>(makeRangeVarFromNameList(relation));
            });
            std::string trigger = strVal(llast(names));
            result.push_back({permanent_table(table), {{AlterKind::drop_trigger, std::move(trigger), false}}, false});
        }
    }
    return result;
}

// --- what is said
// -----------------------------------------------------------------------------------------------------

struct Words {
    std::string message, detail, hint;
};

Words words_for(const Loosening &loosening) {
    const CatalogueDrift &drift = loosening.drift;
    const bool guard = drift.guard != 0, column = drift.expected == "NOT NULL";
    const std::string what = guard    ? fmt::format("guard {}", core::excerpt(loosening.name))
                             : column ? fmt::format("NOT NULL of column {}", core::excerpt(loosening.name))
                                      : fmt::format("constraint {}", core::excerpt(loosening.name));
    return {fmt::format("{} of {} is {} by migration {}", what, drift.relation, guard ? "attached" : "enforced",
                        core::excerpt(loosening.migration.name)),
            fmt::format("{} would leave this: {}.", loosening.action, drift.found), drift.hint};
}

bool is_cancel(const PgError &error) {
    const int state = error.data()->sqlerrcode;
    return state == ERRCODE_QUERY_CANCELED || state == ERRCODE_ADMIN_SHUTDOWN || state == ERRCODE_CRASH_SHUTDOWN;
}

// What pg_dump writes runs with an empty search_path, and with --clean it takes the constraints off before the tables.
// Whoever may not drop event triggers still has the watch standing then. It lets the script pass, and notes it.
bool is_restoring() {
    return namespace_search_path && *namespace_search_path == '\0';
}

// The whole question in a subtransaction of its own: whatever is wrong with our own tables must not stand in the way of
// somebody's ALTER TABLE.
std::optional<Words> look(const EventTriggerData *data, Mode mode) {
    std::optional<Words> refusal;
    std::string trouble;
    SpiSession session;
    try {
        Subtransaction attempt;
        for (const Question &question : questions(data)) {
            if (!OidIsValid(question.relation)) continue;
            for (const Loosening &loosening : find_loosenings(question.relation, question.actions)) {
                Words words = words_for(loosening);
                if (mode == Mode::on && question.refusable && !is_restoring()) {
                    if (!refusal) refusal = std::move(words);
                    continue;
                }
                record_loosening(loosening);
                warning(words.message, words.detail, words.hint);
            }
        }
        attempt.commit();
    } catch (const PgError &error) {
        if (is_cancel(error)) throw;
        trouble = error.what();
    } catch (const Error &error) {
        trouble = error.what();
    }
    if (!trouble.empty())
        warning("tenantmig could not look at this statement", trouble,
                "It goes on. SELECT tenantmig.ddl_watch('off') switches the watch off.");
    return refusal;
}

// --- the event triggers
// -----------------------------------------------------------------------------------------------

struct EventTriggerState {
    Oid oid = InvalidOid;
    bool enabled = false;
};

EventTriggerState state_of(const char *name) {
    EventTriggerState state;
    HeapTuple tuple = SearchSysCache1(EVENTTRIGGERNAME, CStringGetDatum(name));
    if (!HeapTupleIsValid(tuple)) return state;
    auto *form = reinterpret_cast<Form_pg_event_trigger>(GETSTRUCT(tuple));
    state = {form->oid, form->evtenabled == TRIGGER_FIRES_ON_ORIGIN || form->evtenabled == TRIGGER_FIRES_ALWAYS};
    ReleaseSysCache(tuple);
    return state;
}

// DROP EXTENSION is to take the trigger along, as it takes its functions. pg_dump does not write this kind of
// dependency of event triggers down, so that it is made again when it is needed: at the start of DROP EXTENSION.
void follow_extension() {
    pg_call([] {
        Oid trigger = state_of(on_trigger).oid, extension = get_extension_oid("tenantmig", true);
        if (!OidIsValid(trigger) || !OidIsValid(extension)) return;
        ObjectAddress from, to;
        ObjectAddressSet(from, EventTriggerRelationId, trigger);
        ObjectAddressSet(to, ExtensionRelationId, extension);
        (void)deleteDependencyRecordsForSpecific(EventTriggerRelationId, trigger, DEPENDENCY_AUTO_EXTENSION,
                                                 ExtensionRelationId, extension);
        recordDependencyOn(&from, &to, DEPENDENCY_AUTO_EXTENSION);
        CommandCounterIncrement();
    });
}

Datum on_event(FunctionCallInfo fcinfo, Mode mode) {
    if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
        ereport(ERROR,
                (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
                 errmsg("function \"%s\" was not called by an event trigger", get_func_name(fcinfo->flinfo->fn_oid)),
                 errhint("SELECT tenantmig.ddl_watch('on') makes one.")));
    const auto *data = reinterpret_cast<const EventTriggerData *>(fcinfo->context);
    if (creating_extension || CatalogueWriteScope::active() || RecoveryInProgress() || IsInParallelMode() ||
        !is_of_interest(data))
        PG_RETURN_NULL();
    if (mode == Mode::warn && state_of(on_trigger).enabled) PG_RETURN_NULL(); // that one speaks
    return pg_entry([&] {
        if (drop_of(data, OBJECT_EXTENSION)) {
            if (mode == Mode::on) follow_extension();
        } else if (auto refusal = look(data, mode)) {
            throw Error(sqlstate::constraint_guarded, refusal->message, refusal->detail, refusal->hint);
        }
        return Datum(0);
    });
}

const char *mode_now() {
    return pg_call([]() -> const char * {
        return state_of(on_trigger).enabled ? "on" : state_of(warn_trigger).enabled ? "warn" : "off";
    });
}

void set_mode(const std::string &mode) {
    if (mode != "off" && mode != "warn" && mode != "on")
        throw Error(sqlstate::invalid_parameter_value,
                    fmt::format("{} is not a mode of the watch on ALTER TABLE", core::excerpt(mode)), {},
                    "Modes are off, warn and on.");
    if (!pg_call([] { return superuser(); }))
        throw Error(sqlstate::insufficient_privilege, "permission denied to set the watch on ALTER TABLE",
                    fmt::format("Only a superuser can make event triggers; the current user is {}.",
                                core::excerpt(current_user_name())),
                    fmt::format("Ask a superuser: SELECT tenantmig.ddl_watch('{}').", mode));
    struct States {
        EventTriggerState warn, on;
    };
    States states = pg_call([] { return States{state_of(warn_trigger), state_of(on_trigger)}; });
    if (OidIsValid(states.on.oid)) run_query(fmt::format("DROP EVENT TRIGGER {}", on_trigger));
    if (OidIsValid(states.warn.oid))
        run_query(fmt::format("ALTER EVENT TRIGGER {} {}", warn_trigger, mode == "off" ? "DISABLE" : "ENABLE"));
    else if (mode == "warn")
        throw Error(sqlstate::undefined_object, fmt::format("event trigger \"{}\" does not exist", warn_trigger),
                    "It is a part of the extension.", "DROP EXTENSION tenantmig and create it again, or use mode on.");
    if (mode != "on") return;
    run_query(
        fmt::format("CREATE EVENT TRIGGER {} ON ddl_command_start WHEN TAG IN ('ALTER TABLE', 'DROP TRIGGER', 'DROP "
                    "EXTENSION') EXECUTE FUNCTION tenantmig.ddl_refuse()",
                    on_trigger));
    follow_extension();
}
} // namespace

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_ddl_warn);
PGDLLEXPORT Datum tenantmig_ddl_warn(PG_FUNCTION_ARGS) {
    return on_event(fcinfo, Mode::warn);
}

PG_FUNCTION_INFO_V1(tenantmig_ddl_refuse);
PGDLLEXPORT Datum tenantmig_ddl_refuse(PG_FUNCTION_ARGS) {
    return on_event(fcinfo, Mode::on);
}
}

TENANTMIG_FUNCTION(tenantmig_ddl_watch) {
    if (auto mode = Arguments(fcinfo).optional_text(0)) {
        SpiSession session;
        set_mode(*mode);
    }
    return text_result(mode_now());
}

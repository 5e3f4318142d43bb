// The way back of a column that was dropped with its values kept; see kept_column.hpp.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "bridge/engine_write.hpp"
#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "engine/evaluation.hpp"
#include "engine/guard_trigger.hpp"
#include "engine/lent_right.hpp"
#include "engine/target.hpp"
#include "steps/constraint_index.hpp"
#include "steps/kept_column.hpp"
#include "steps/observe_keys.hpp"

namespace tenantmig {

namespace {
constexpr std::int64_t write_target = 100 * 1000; // microseconds of a batch, which locks the rows that it writes
constexpr int most_passes = 5;                    // over rows that are new since

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

std::string grant_statement(const KeptGrant &grant, const std::string &object) {
    return fmt::format("GRANT {} ON {} TO {}{}", grant.privilege, object,
                       grant.grantee.empty() ? "PUBLIC" : quoted(grant.grantee),
                       grant.grantable ? " WITH GRANT OPTION" : "");
}

Oid role_of(const std::string &name) {
    const char *text = name.c_str();
    return pg_call([text] { return get_role_oid(text, true); });
}

// As whoever gave it; what a role that has gone gave or got is passed over.
void give(const KeptGrant &grant, const std::string &object) {
    const Oid grantor = role_of(grant.grantor);
    if (!OidIsValid(grantor) || (!grant.grantee.empty() && !OidIsValid(role_of(grant.grantee)))) {
        notice(fmt::format("a grant to {} on {} is not given again: the role has gone",
                           core::excerpt(grant.grantee.empty() ? "PUBLIC" : grant.grantee), object));
        return;
    }
    RunAs giver(grantor, Purpose::read);
    run_query(grant_statement(grant, object));
}

std::string sequence_options(const KeptSequence &sequence) {
    return fmt::format("START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} CACHE {}{}", sequence.start,
                       sequence.increment, sequence.minimum, sequence.maximum, sequence.cache,
                       sequence.cycle ? " CYCLE" : " NO CYCLE");
}

class Restoring {
public:
    Restoring(StepContext &context, KeptColumn kept)
        : context_(context), kept_(std::move(kept)), shape_(parse_shape(kept_.shape)), column_(quoted(kept_.column)) {}

    void run() {
        read();
        if (kept_.state == "kept") {
            add();
            read();
        }
        if (kept_.has_values()) fill_kept();
        for (const KeptTrigger &trigger : shape_.triggers)
            restore_trigger(trigger);
        if (shape_.generated.empty()) fill_new();
        pieces();
        if (!failures_.empty()) report_failures();
        finish();
    }

    void refill(const std::string &empty) {
        empty_ = empty;
        if (kept_.state == "kept") {
            read();
            context_.changer.note(true, [&] { begin(); });
            reload();
        }
        read();
        fill_kept();
        finish();
    }

private:
    StepContext &context_;
    KeptColumn kept_;
    ColumnShape shape_;
    std::string column_, empty_;
    Table table_;
    std::vector<std::string> failures_;

    std::string interim() const { return fmt::format("tenantmig_interim_{}_{}", kept_.migration_id, kept_.step); }

    void reload() {
        context_.changer.note(false, [&] { kept_ = *find_kept(kept_.migration_id, kept_.step); });
    }
    void read() {
        context_.changer.note(false, [&] {
            table_ = place_of(kept_).table;
            require_rights_of_creator(context_.migration, table_);
        });
    }

    // In the transaction that is open.
    void begin() {
        KeptColumn next = kept_;
        next.state = "restoring";
        next.position = 0;
        next.restored = 0;
        next.bound = 0;
        if (kept_.has_values()) {
            const Oid keep = lookup_table({kept_.keep_schema, kept_.keep_table});
            if (!OidIsValid(keep))
                throw Error(sqlstate::no_way_back, fmt::format("the values of {} are gone", kept_.label()),
                            fmt::format("Table {} does not exist any more.", kept_.keep_sql()),
                            "Restore it from a backup under this name, and call this again.");
            next.bound = block_count(keep);
        }
        save_kept(next);
        context_.save("restoring", context_.state.detail);
    }

    // ---- the column

    std::string definition() const {
        std::string text = fmt::format("ADD COLUMN {} {}", column_, shape_.type);
        if (!shape_.collation.empty()) text += " COLLATE " + shape_.collation;
        if (!shape_.generated.empty()) text += fmt::format(" GENERATED ALWAYS AS ({}) STORED", shape_.generated);
        if (!shape_.generated.empty() && shape_.not_null) text += " NOT NULL";
        return text;
    }

    std::string settings() const {
        std::string text;
        auto add = [&](const std::string &part) {
            text += fmt::format("{}ALTER COLUMN {} {}", text.empty() ? "" : ", ", column_, part);
        };
        if (!shape_.default_value.empty()) add("SET DEFAULT " + shape_.default_value);
        if (shape_.identity)
            add(fmt::format("SET DEFAULT pg_catalog.nextval({}::pg_catalog.regclass)",
                            core::sql_literal(qualified(table_.schema, interim()))));
        if (!shape_.storage.empty()) add("SET STORAGE " + shape_.storage);
        if (!shape_.compression.empty()) add("SET COMPRESSION " + shape_.compression);
        if (shape_.statistics >= 0) add(fmt::format("SET STATISTICS {}", shape_.statistics));
        std::string options;
        for (const std::string &option : shape_.options)
            options += (options.empty() ? "" : ", ") + option;
        if (!options.empty()) add(fmt::format("SET ({})", options));
        return text;
    }

    void add() {
        read();
        if (table_.find(kept_.column))
            throw Error(sqlstate::duplicate_column,
                        fmt::format("column {} of {} exists already", column_, table_.label()),
                        "Somebody has added it since this step dropped it; its kept values are untouched.",
                        "Rename or drop that column, and call this again.");
        (void)context_.changer.strong(table_, {{table_.oid}}, [&] {
            if (shape_.identity) {
                const KeptSequence &sequence = *shape_.sequence;
                const std::string name = qualified(table_.schema, interim());
                change_as_owner(table_, fmt::format("CREATE SEQUENCE {} AS {} {}", name, sequence.type,
                                                    sequence_options(sequence)));
                if (sequence.last)
                    change_as_owner(table_, fmt::format("SELECT pg_catalog.setval({}, {})", core::sql_literal(name),
                                                        *sequence.last));
            }
            // first without the default, so that rows that are there stay empty and nothing is rewritten
            change_as_owner(table_, fmt::format("ALTER TABLE {} {}", table_.sql(), definition()));
            if (const std::string text = settings(); !text.empty())
                change_as_owner(table_, fmt::format("ALTER TABLE {} {}", table_.sql(), text));
            if (shape_.sequence && !shape_.identity)
                change_as_owner(table_, fmt::format("ALTER SEQUENCE {} OWNED BY {}.{}",
                                                    qualified(shape_.sequence->schema, shape_.sequence->name),
                                                    table_.sql(), column_));
            if (!shape_.comment.empty())
                change_as_owner(table_, fmt::format("COMMENT ON COLUMN {}.{} IS {}", table_.sql(), column_,
                                                    core::sql_literal(shape_.comment)));
            for (KeptGrant grant : shape_.grants) {
                grant.privilege += fmt::format(" ({})", column_);
                give(grant, "TABLE " + table_.sql());
            }
            begin();
            TENANTMIG_FAULT("column_adding");
        });
        reload();
        TENANTMIG_FAULT("column_added");
    }

    // ---- values

    void write(const std::string &sql, std::int64_t *count) {
        IndexScans plan;
        EngineWriteScope ours(table_.oid);
        RunAs owner(table_.owner, Purpose::write);
        *count += run_query(sql).bigint(0, 1);
    }

    std::string still_empty() const {
        if (empty_.empty()) return fmt::format("t.{} IS NULL", column_);
        // of a default: compared as text, since not every type can be compared
        return fmt::format("(t.{0} IS NULL OR t.{0}::pg_catalog.text OPERATOR(pg_catalog.=) ({1})::pg_catalog.text)",
                           column_, empty_);
    }

    KeptPlace place() const {
        KeptPlace result = place_of(kept_);
        for (const std::string &name : kept_.key) {
            const Column *column = result.table.find(name);
            if (!column)
                throw Error(
                    sqlstate::undefined_column,
                    fmt::format("key column {} of {} does not exist any more", quoted(name), result.table.label()),
                    fmt::format("The kept values of {} belong to rows by it.", column_),
                    "Bring that column back first, under its name.");
            result.key.push_back(column);
        }
        return result;
    }

    void fill_kept() {
        walk_blocks(kept_.position, kept_.bound, write_target, [&](std::int64_t from, std::int64_t to) {
            context_.changer.note(false, [&] {
                const KeptPlace here = place();
                write(
                    fmt::format("WITH moved AS (UPDATE ONLY {} AS t SET {} = k.value FROM {} AS k WHERE {} AND {} AND "
                                "{} AND k.value IS NOT NULL RETURNING 1) SELECT pg_catalog.count(*) FROM moved",
                                table_.sql(), column_, kept_.keep_sql(), block_condition("k", from, to),
                                here.match("k", "t"), still_empty()),
                    &kept_.restored);
                kept_.position = to;
                save_kept(kept_);
            });
            TENANTMIG_FAULT("column_restoring");
        });
        check_written();
        TENANTMIG_FAULT("column_restored");
    }

    // Before the kept values go: each stands in its row, or the row has gone, or somebody has written another one.
    void check_written() {
        context_.changer.note(false, [&] {
            const KeptPlace here = place();
            SnapshotScope snapshot;
            RunAs owner(table_.owner, Purpose::read);
            Rows rows = run_query(fmt::format(
                "SELECT pg_catalog.count(*) FILTER (WHERE t.{0} IS NULL), pg_catalog.count(*) FROM {1} AS k JOIN ONLY "
                "{2} AS t ON {3} WHERE k.value IS NOT NULL",
                column_, kept_.keep_sql(), table_.sql(), here.match("k", "t")));
            const std::int64_t empty = rows.bigint(0, 1);
            if (empty == 0) return;
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("{} of the kept values of {} could not be written", empty, kept_.label()),
                        "A trigger or a rule of the table refuses or empties them; the kept values are untouched.",
                        "Look at its triggers and rules, and call this again.");
        });
    }

    // Rows that are new since: the default, or what a rekey's trigger makes of them.
    void fill_new() {
        const bool computed = !shape_.triggers.empty();
        const bool defaulted = !shape_.default_value.empty() || shape_.identity;
        if (!computed && !defaulted) return;
        const std::string value = computed ? "NULL" : "DEFAULT";
        for (int pass = 1; pass <= most_passes; pass++) {
            std::int64_t written = 0, bound = 0;
            context_.changer.note(false, [&] { bound = block_count(table_.oid); });
            walk_blocks(0, bound, write_target, [&](std::int64_t from, std::int64_t to) {
                context_.changer.note(false, [&] {
                    const KeptPlace here = place();
                    write(fmt::format(
                              "WITH moved AS (UPDATE ONLY {0} AS t SET {1} = {2} WHERE {3} AND t.{1} IS NULL AND NOT "
                              "EXISTS (SELECT FROM {4} AS k WHERE {5}) RETURNING {6}) SELECT pg_catalog.count(*) FROM "
                              "moved WHERE moved.written",
                              table_.sql(), column_, value, block_condition("t", from, to), kept_.keep_sql(),
                              here.match("k", "t"), fmt::format("t.{} IS NOT NULL AS written", column_)),
                          &written);
                });
                TENANTMIG_FAULT("column_filling_new");
            });
            if (written == 0) return;
        }
    }

    // ---- constraints, indexes and the rest

    // What rows stand in the way of is noted, and the rest goes on.
    void attempt(const std::string &what, const std::function<void()> &work) {
        try {
            work();
            TENANTMIG_FAULT("column_piece");
        } catch (const PgError &error) {
            // rows or objects stand in its way; anything else (a lock, a cancel, a full disk) is no matter of this
            // piece
            switch (ERRCODE_TO_CATEGORY(error.data()->sqlerrcode)) {
            case ERRCODE_TO_CATEGORY(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION):
            case ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION):
            case ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION):
            case ERRCODE_TO_CATEGORY(ERRCODE_FEATURE_NOT_SUPPORTED):
                break;
            default:
                throw;
            }
            failures_.push_back(fmt::format("{}: {}", what, error.what()));
        } catch (const Error &error) {
            const std::string state = error.state();
            if (state != sqlstate::precheck_failed && state != sqlstate::duplicate_table) throw;
            failures_.push_back(fmt::format("{}: {}{}", what, error.message(),
                                            error.detail().empty() ? "" : " (" + error.detail() + ")"));
        }
    }

    void report_failures() {
        std::string list;
        for (const std::string &failure : failures_)
            list += (list.empty() ? "" : "\n") + failure;
        throw Error(sqlstate::precheck_failed,
                    fmt::format("column {} is back, but not all that belonged to it", kept_.label()), list,
                    "Rows written since stand in the way, or a name is taken: correct that, and call this again. All "
                    "else is in place, and the values are still kept.");
    }

    std::optional<Table> other_table(const KeptConstraint &constraint) {
        if (!constraint.foreign) return table_;
        std::optional<Table> other;
        context_.changer.note(false, [&] {
            const Oid oid = lookup_table({constraint.schema, constraint.table});
            if (OidIsValid(oid)) other = describe_table(oid);
            if (!other) return;
            require_table_rights(*other);
            require_rights_of_creator(context_.migration, *other);
        });
        if (!other)
            notice(fmt::format("foreign key {} is not brought back: its table {} has gone", quoted(constraint.name),
                               qualified(constraint.schema, constraint.table)));
        return other;
    }

    struct Standing {
        bool there = false, valid = false;
        Oid referenced = InvalidOid;
    };
    Standing standing(const Table &table, const std::string &name) {
        Standing found;
        context_.changer.note(false, [&] {
            Rows rows = own_query("SELECT convalidated FROM pg_constraint WHERE conrelid = $1 AND conname = $2",
                                  {oid_value(table.oid), text_value(name)});
            if (rows.empty()) return;
            found.there = true;
            found.valid = rows.boolean(0, 1);
        });
        return found;
    }

    void change(const Table &table, const std::vector<LockWish> &wishes, const std::vector<std::string> &statements) {
        (void)context_.changer.strong(table, wishes, [&] {
            for (const std::string &statement : statements)
                change_as_owner(table, statement);
        });
    }

    void validate(const Table &table, const std::string &name) {
        context_.changer.weak(table, [&] {
            change_as_owner(table, fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", table.sql(), quoted(name)));
        });
    }

    void restore_not_null() {
        bool done = false;
        context_.changer.note(false, [&] {
            const Column *column = place_of(kept_).table.find(kept_.column);
            done = column && column->not_null;
        });
        const std::string name = fmt::format("tenantmig_not_null_{}_{}", kept_.migration_id, kept_.step);
        const std::string drop = fmt::format("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}", table_.sql(), quoted(name));
        if (done) return;
        if (!standing(table_, name).there)
            change(table_, {{table_.oid}},
                   {fmt::format("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} IS NOT NULL) NOT VALID", table_.sql(),
                                quoted(name), column_)});
        TENANTMIG_FAULT("column_not_null");
        try {
            validate(table_, name);
        } catch (...) {
            const std::exception_ptr error = std::current_exception();
            change(table_, {{table_.oid}}, {drop});
            std::rethrow_exception(error);
        }
        change(table_, {{table_.oid}},
               {fmt::format("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL", table_.sql(), column_), drop});
    }

    void comment(const Table &table, const char *kind, const std::string &object, const std::string &text) {
        if (text.empty()) return;
        context_.changer.weak(table, [&] {
            change_as_owner(table, fmt::format("COMMENT ON {} {} IS {}", kind, object, core::sql_literal(text)));
        });
    }

    void restore_index(const KeptIndex &index) {
        (void)ensure_index(table_, {index.name, index_statement(index, true), index.tablespace}, context_.changer);
        finish_index(index);
    }

    void finish_index(const KeptIndex &index) {
        const std::string name = qualified(table_.schema, index.name);
        comment(table_, "INDEX", name, index.comment);
        std::vector<std::string> statements;
        for (const auto &[number, target] : index.statistics)
            statements.push_back(fmt::format("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}", name, number, target));
        if (index.replica_identity)
            statements.push_back(
                fmt::format("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}", table_.sql(), quoted(index.name)));
        if (index.clustered)
            statements.push_back(fmt::format("ALTER TABLE {} CLUSTER ON {}", table_.sql(), quoted(index.name)));
        if (!statements.empty()) change(table_, {{table_.oid}}, statements);
    }

    void restore_constraint(const KeptConstraint &constraint) {
        const auto table = other_table(constraint);
        if (!table) return;
        const std::string alter = fmt::format("ALTER TABLE {} ", table->sql());
        Standing found = standing(*table, constraint.name);
        std::vector<LockWish> wishes = {{table->oid}};
        if (constraint.foreign) wishes.push_back({table_.oid, ShareRowExclusiveLock});
        if (constraint.type == 'p' || constraint.type == 'u') {
            if (!found.there) {
                (void)ensure_index(
                    table_,
                    {constraint.index->name, index_statement(*constraint.index, true), constraint.index->tablespace},
                    context_.changer);
                change(*table, wishes, {alter + constraint_statement(constraint, true)});
            }
        } else if (constraint.type == 'x') {
            // PostgreSQL knows no other way than under the strong lock
            if (!found.there) {
                notice(fmt::format("exclusion constraint {} is built while {} is locked", quoted(constraint.name),
                                   table->label()));
                change(*table, wishes, {alter + constraint_statement(constraint, false)});
            }
        } else {
            if (!found.there) change(*table, wishes, {alter + constraint_statement(constraint, true)});
            TENANTMIG_FAULT("column_not_valid");
            if (constraint.validated && !standing(*table, constraint.name).valid) {
                try {
                    validate(*table, constraint.name);
                } catch (...) {
                    const std::exception_ptr error = std::current_exception();
                    change(*table, wishes,
                           {alter + fmt::format("DROP CONSTRAINT IF EXISTS {}", quoted(constraint.name))});
                    std::rethrow_exception(error);
                }
            }
        }
        comment(*table, "CONSTRAINT", fmt::format("{} ON {}", quoted(constraint.name), table->sql()),
                constraint.comment);
        if (constraint.index) finish_index(*constraint.index);
    }

    void restore_trigger(const KeptTrigger &trigger) {
        (void)context_.changer.strong(table_, {{table_.oid, ShareRowExclusiveLock}}, [&] {
            if (!own_query("SELECT 1 FROM pg_trigger WHERE tgrelid = $1 AND tgname = $2",
                           {oid_value(table_.oid), text_value(trigger.name)})
                     .empty())
                return;
            lock_guards();
            LentRight right(table_.owner, "tenantmig.rekey_sync()");
            change_as_owner(table_, trigger.definition);
            const char *word = trigger.enabled == 'A'   ? "ENABLE ALWAYS"
                               : trigger.enabled == 'R' ? "ENABLE REPLICA"
                               : trigger.enabled == 'D' ? "DISABLE"
                                                        : "ENABLE";
            change_as_owner(table_,
                            fmt::format("ALTER TABLE {} {} TRIGGER {}", table_.sql(), word, quoted(trigger.name)));
            right.take_back();
        });
    }

    // The column's own sequence in the place of the one that served meanwhile, both in one transaction.
    void restore_identity() {
        const KeptSequence &sequence = *shape_.sequence;
        const std::string name = qualified(sequence.schema, sequence.name);
        const std::string meanwhile = qualified(table_.schema, interim());
        bool done = false;
        context_.changer.note(false, [&] {
            done = own_query("SELECT attidentity <> '' FROM pg_attribute WHERE attrelid = $1 AND attname = $2",
                             {oid_value(table_.oid), text_value(kept_.column)})
                       .boolean(0, 1);
        });
        if (done) return;
        (void)context_.changer.strong(table_, {{table_.oid}}, [&] {
            change_as_owner(table_, fmt::format("ALTER TABLE {0} ALTER COLUMN {1} DROP DEFAULT, ALTER COLUMN {1} ADD "
                                                "GENERATED {2} AS IDENTITY (SEQUENCE NAME {3} {4})",
                                                table_.sql(), column_, shape_.identity == 'a' ? "ALWAYS" : "BY DEFAULT",
                                                name, sequence_options(sequence)));
            change_as_owner(table_, fmt::format("SELECT pg_catalog.setval({}, s.last_value, s.is_called) FROM {} AS s",
                                                core::sql_literal(name), meanwhile));
            change_as_owner(table_, "DROP SEQUENCE " + meanwhile);
            if (!sequence.comment.empty())
                change_as_owner(table_,
                                fmt::format("COMMENT ON SEQUENCE {} IS {}", name, core::sql_literal(sequence.comment)));
            for (const KeptGrant &grant : sequence.grants)
                give(grant, "SEQUENCE " + name);
        });
    }

    void restore_statistics(const KeptStatistics &statistics) {
        const std::string name = qualified(statistics.schema, statistics.name);
        context_.changer.weak(table_, [&] {
            const bool there = !own_query("SELECT 1 FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = "
                                          "s.stxnamespace WHERE n.nspname = $1 AND s.stxname = $2",
                                          {text_value(statistics.schema), text_value(statistics.name)})
                                    .empty();
            if (!there) change_as_owner(table_, statistics.definition);
            if (statistics.target >= 0)
                change_as_owner(table_, fmt::format("ALTER STATISTICS {} SET STATISTICS {}", name, statistics.target));
            if (!statistics.comment.empty())
                change_as_owner(
                    table_, fmt::format("COMMENT ON STATISTICS {} IS {}", name, core::sql_literal(statistics.comment)));
        });
    }

    void pieces() {
        if (shape_.not_null && shape_.generated.empty()) attempt("NOT NULL", [&] { restore_not_null(); });
        if (shape_.identity && failures_.empty()) restore_identity();
        for (const KeptIndex &index : shape_.indexes)
            attempt("index " + quoted(index.name), [&] { restore_index(index); });
        for (const KeptConstraint &constraint : shape_.constraints)
            attempt(fmt::format("constraint {} of {}", quoted(constraint.name),
                                qualified(constraint.schema, constraint.table)),
                    [&] { restore_constraint(constraint); });
        for (const KeptStatistics &statistics : shape_.statistics_objects)
            restore_statistics(statistics);
    }

    // ---- the end

    void finish() {
        std::int64_t gone = 0, unkept = 0;
        context_.changer.note(false, [&] {
            if (!kept_.has_values()) return;
            const KeptPlace here = place();
            SnapshotScope snapshot;
            RunAs owner(table_.owner, Purpose::read);
            gone =
                run_query(fmt::format("SELECT pg_catalog.count(*) FROM {} AS k WHERE NOT EXISTS (SELECT FROM ONLY {} "
                                      "AS t WHERE {})",
                                      kept_.keep_sql(), table_.sql(), here.match("k", "t")))
                    .bigint(0, 1);
            unkept = run_query(fmt::format("SELECT pg_catalog.count(*) FROM ONLY {} AS t WHERE NOT EXISTS (SELECT FROM "
                                           "{} AS k WHERE {})",
                                           table_.sql(), kept_.keep_sql(), here.match("k", "t")))
                         .bigint(0, 1);
        });
        context_.changer.weak(table_, [&] {
            change_as_owner(table_, shape_.statistics_objects.empty()
                                        ? fmt::format("ANALYZE {} ({})", table_.sql(), column_)
                                        : fmt::format("ANALYZE {}", table_.sql()));
        });
        context_.changer.note(true, [&] {
            forget_values(kept_);
            delete_kept(kept_);
            context_.save("restored", context_.state.detail);
        });
        if (kept_.kind == "add_column")
            notice(fmt::format("{}: {} values of {} written back, which down had kept; {} rows have gone since",
                               context_.label(), kept_.restored, kept_.label(), gone));
        else if (kept_.has_values())
            notice(fmt::format("{}: {} values of {} written back; {} rows have gone since, {} are new",
                               context_.label(), kept_.restored, kept_.label(), gone, unkept));
    }
};
} // namespace

void bring_back(StepContext &context, KeptColumn kept) {
    if (kept.state == "preparing" || kept.state == "filling") {
        abandon_drop(context, kept);
        return;
    }
    if (kept.state == "dropped") work_in_journal(context, kept);
    if (kept.state == "purged")
        throw Error(sqlstate::no_way_back, fmt::format("the values of {} are gone", kept.label()), "They were purged.",
                    "Restore the table from a backup.");
    Restoring(context, std::move(kept)).run();
}

void refill(StepContext &context, KeptColumn kept, const std::string &empty) {
    if (kept.state == "dropped") work_in_journal(context, kept);
    if (kept.state == "kept" || kept.state == "restoring") Restoring(context, std::move(kept)).refill(empty);
}

} // namespace tenantmig

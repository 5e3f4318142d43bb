// Writes rows of another tenant: new ones, changed, moved, deleted, locked. Each attempt touches one row at most and is
// undone. Whatever the statement says, the table's owner looks whether a row of the victim has been written.
#include "steps/probe_writes.hpp"
#include "catalog/own_tables.hpp"

namespace tenantmig {

namespace {
// A condition that no column stands in, so that nothing but the policies of the command itself is asked; it counts the
// rows that they let pass. true for the first `most` of them. PostgreSQL asks what shows nothing of a row before a
// policy if it is cheap (under ten operators): the zeros make it dear.
std::string counted(int most) {
    std::string zeros;
    for (int i = 0; i < 12; i++)
        zeros += " OPERATOR(pg_catalog.+) 0";
    return fmt::format("CAST(pg_catalog.set_config('tenantmig.probe_count', CAST(CAST(pg_catalog.current_setting("
                       "'tenantmig.probe_count') AS pg_catalog.int8) OPERATOR(pg_catalog.+) 1{} AS pg_catalog.text), "
                       "true) AS pg_catalog.int8) OPERATOR(pg_catalog.<=) {}",
                       zeros, most);
}
constexpr const char *counter = "tenantmig.probe_count";

// A statement that writes, under the snapshot of the owner's counts.
void run_under_snapshot(const std::string &sql, const Value &value) {
    const char *text = sql.c_str();
    pg_call([text, &value] {
        Oid type = value.type;
        Datum datum = value.datum;
        const char null = value.null ? 'n' : ' ';
        SPIPlanPtr plan = SPI_prepare(text, value.type == InvalidOid ? 0 : 1, &type);
        if (!plan) ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the statement cannot be prepared")));
        (void)SPI_execute_snapshot(plan, &datum, &null, GetActiveSnapshot(), InvalidSnapshot, false, true, 0);
    });
}
} // namespace

ProbeWriter::ProbeWriter(Probe &probe, const ProbeTable &table)
    : probe_(probe), table_(table), access_(probe_access(probe, table)) {
    for (const Column &column : table_.table.columns)
        if (!column.generated && (access_.inserts.contains(column.number) || column.number == table_.key.number))
            insertable_.push_back(column.number);
    const auto choose = [&](auto &&fits) {
        for (const Column &column : table_.table.columns)
            if (!updated_ && !column.generated && !column.identity_always && fits(column)) updated_ = column.number;
    };
    bool primary = false;
    const std::vector<AttrNumber> identity = row_identity(table_.table.oid, &primary);
    const auto plain = [&](const Column &column) {
        return column.number != table_.key.number &&
               std::find(identity.begin(), identity.end(), column.number) == identity.end();
    };
    choose([&](const Column &c) {
        return access_.updates.contains(c.number) && access_.reads_column(c.number) && plain(c);
    });
    choose([&](const Column &c) { return access_.updates.contains(c.number) && access_.reads_column(c.number); });
    choose([&](const Column &c) { return access_.updates.contains(c.number); });
    choose(plain);
    if (!updated_) updated_ = table_.key.number;
    Rows rows = own_query("SELECT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND "
                          "t.tgenabled IN ('O', 'A') AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0)",
                          {{OIDOID, ObjectIdGetDatum(table_.table.oid), false}});
    before_triggers_ = rows.boolean(0, 1);
}

const std::string &ProbeWriter::relation() {
    if (sql_.empty()) sql_ = table_.table.target(); // ONLY: a child may have rows of the same identity
    return sql_;
}

Value ProbeWriter::key(const std::string &tenant) const {
    return Probe::key_value(table_, tenant);
}

std::string ProbeWriter::updated() const {
    return quoted(table_.table.at(updated_).name);
}

// ---- one attempt and what became of it

std::int64_t ProbeWriter::owner_count(const std::string &condition, std::span<const Value> values) const {
    RunAs owner(table_.table.owner, Purpose::read);
    Rows rows = run_query(
        fmt::format("SELECT pg_catalog.count(*) FROM {} AS t WHERE {}", table_.table.sql(), condition), values);
    return rows.bigint(0, 1);
}

// Rows of that tenant (or of none) that this attempt has written.
std::int64_t ProbeWriter::written_for(const std::optional<std::string> &tenant) const {
    const TransactionId xid = GetCurrentTransactionIdIfAny();
    if (!TransactionIdIsValid(xid)) return 0;
    std::vector<Value> values = {{XIDOID, TransactionIdGetDatum(xid), false}};
    std::string condition = "t.xmin OPERATOR(pg_catalog.=) $1 AND ";
    if (tenant) {
        values.push_back(key(*tenant));
        condition += key_is(table_, 2);
    } else {
        condition += fmt::format("t.{} IS NULL", quoted(table_.key.name));
    }
    return owner_count(condition, values);
}

ProbeWriter::Outcome ProbeWriter::make(const ProbeSession &session, const Writing &writing, bool triggers) {
    Outcome outcome;
    outcome.attempt = probe_.attempt_work(session, [&] {
        if (!triggers) triggers_off_in_attempt();
        set_in_attempt(counter, "0");
        Attempt attempt;
        if (writing.work) {
            attempt = writing.work();
        } else {
            Rows rows = run_query(writing.sql, writing.values);
            attempt.rows = static_cast<std::int64_t>(rows.size());
        }
        if (writing.looks == Looks::written && attempt.rows > 0) outcome.written = written_for(writing.tenant);
        if (writing.looks == Looks::touched) {
            outcome.written = attempt.rows;
            if (attempt.rows == 0 && writing.sample) {
                std::vector<Value> values;
                const std::string condition = sample_is(table_, *writing.sample, values);
                outcome.gone = owner_count(condition, values) == 0;
            }
        }
        return attempt;
    });
    return outcome;
}

// Whether an error comes from behind the policies: a constraint of the table (or one that refers to it) was reached.
bool ProbeWriter::got_past(const Attempt &attempt) const {
    if (!attempt.sqlstate.starts_with("23") || attempt.table.empty()) return false;
    if (attempt.sqlstate == "23502")
        return attempt.table == table_.table.name || table_.table.kind == RELKIND_PARTITIONED_TABLE;
    Rows rows = own_query(
        "WITH tree AS (SELECT $1 AS oid UNION SELECT relid FROM pg_partition_tree($1)) SELECT EXISTS (SELECT FROM "
        "pg_constraint k WHERE k.conname = $2 AND (k.conrelid IN (SELECT oid FROM tree) OR k.confrelid IN (SELECT oid "
        "FROM tree))) OR EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = $2 "
        "AND i.indrelid IN (SELECT oid FROM tree))",
        {{OIDOID, ObjectIdGetDatum(table_.table.oid), false}, text_value(attempt.constraint)});
    return rows.boolean(0, 1);
}

namespace {
bool policy_refuses(const Attempt &attempt) {
    return attempt.sqlstate == sqlstate::insufficient_privilege && !attempt.no_right();
}
} // namespace

// Refused by a privilege of this table; by one of something else that triggers use only if there is none of this one.
bool ProbeWriter::no_right_here(const Attempt &attempt, bool may) const {
    return attempt.no_right() && (!may || attempt.message == "permission denied for table " + table_.table.name);
}

void ProbeWriter::attack(const char *name, const ProbePair &pair, const ProbeSession &session, const Writing &writing) {
    const auto add = [&](const std::string &seen, const char *status) {
        const bool failed = std::string_view(status) == "FAIL";
        probe_.add(&table_, {}, name, {}, &pair, writing.expected, seen, status,
                   failed ? policy_remedy(probe_, table_, writing.command) : "");
    };
    const auto judge = [&](const Outcome &outcome, const std::string &note) {
        const Attempt &attempt = outcome.attempt;
        if (attempt.undecided()) return add(attempt.shown() + note, "SKIP"), true;
        if (policy_refuses(attempt)) return add(attempt.shown() + note, "PASS"), true;
        if (!writing.behind && attempt.sqlstate.starts_with("23")) return add(attempt.shown() + note, "PASS"), true;
        if (writing.malformed && attempt.sqlstate.starts_with("22")) return add(attempt.shown() + note, "PASS"), true;
        if (writing.tolerant && attempt.refused()) return add(attempt.shown() + note, "PASS"), true;
        if (got_past(attempt) && before_triggers_)
            return add(attempt.shown() + ", behind the policies, but a trigger may have changed the row" + note,
                       "SKIP"),
                   true;
        if (got_past(attempt)) return add(attempt.shown() + ", behind the policies" + note, "FAIL"), true;
        if (attempt.refused()) return false;
        if (outcome.gone)
            add("the row has gone meanwhile: probe again", "SKIP");
        else if (outcome.written > 0)
            add(fmt::format("{}{}", writing.done ? writing.done : attempt.shown(), note), "FAIL");
        else
            add(attempt.rows == 0 ? "0 rows" : attempt.shown() + ", none of the victim", "PASS");
        return true;
    };
    const Outcome first = make(session, writing, true);
    if (no_right_here(first.attempt, writing.may)) {
        add(first.attempt.shown(), "PASS");
        return;
    }
    if (judge(first, {})) return;
    if (first.attempt.sqlstate == sqlstate::feature_not_supported) { // not of this table: nothing was done
        add(first.attempt.shown(), writing.unsupported);
        return;
    }
    // A trigger, or whatever it calls, has refused before the policies were asked. They are asked once more without.
    const Outcome second = make(session, writing, false);
    if (policy_refuses(second.attempt) || (writing.malformed && second.attempt.sqlstate.starts_with("22"))) {
        add(fmt::format("{} (a trigger refuses first: {})", second.attempt.shown(), first.attempt.sqlstate), "PASS");
        return;
    }
    add(first.attempt.shown() + (second.attempt.refused() ? "" : "; without triggers it is carried out"), "SKIP");
}

// ---- the statements

std::string ProbeWriter::insert_into(const ProbeSample &row, const std::optional<std::string> &tenant,
                                     std::vector<Value> &values, bool whole) const {
    std::string names, places;
    for (const AttrNumber number : insertable_) {
        const Column &column = table_.table.at(number);
        values.push_back(number != table_.key.number ? cell_value(table_, column, row.cells.at(number))
                         : tenant                    ? key(*tenant)
                                                     : null_value(column.type));
        names += (names.empty() ? "" : ", ") + quoted(column.name);
        places += fmt::format("{}${}", places.empty() ? "" : ", ", values.size());
    }
    return fmt::format("INSERT {}({}) OVERRIDING SYSTEM VALUE VALUES ({})",
                       whole ? "INTO " + table_.table.sql() + " " : "", names, places);
}

// The sample with an identity of its own, where one can be thought of: else its copy fails with a unique constraint.
// That shows too that the policies have let it pass, but not what triggers have made of it.
ProbeSample ProbeWriter::fresh_copy(const ProbeSample &row) const {
    ProbeSample copy = row;
    if (table_.table.kind != RELKIND_RELATION) return copy; // another identity may have no partition
    for (const AttrNumber number : row.identity) {
        const Column &column = table_.table.at(number);
        if (number == table_.key.number) continue;
        if (column.type == INT2OID || column.type == INT4OID || column.type == INT8OID) {
            const auto next = probe_.as_owner(
                table_.table, fmt::format("SELECT CAST(pg_catalog.max(t.{0}) OPERATOR(pg_catalog.+) 1 AS {2}) FROM {1} "
                                          "AS t",
                                          quoted(column.name), table_.table.sql(), type_label(column.type)));
            if (next && !next->empty() && next->front().front()) copy.cells[number] = next->front().front();
        } else if (column.type == UUIDOID) {
            const auto next = probe_.as_owner(table_.table, "SELECT pg_catalog.gen_random_uuid()");
            if (next && !next->empty()) copy.cells[number] = next->front().front();
        } else if (column.type == TEXTOID && copy.cells[number]) {
            *copy.cells[number] += " probe";
        }
    }
    return copy;
}

void ProbeWriter::inserts(const ProbePair &pair, const ProbeSession &session, const ProbeSample &row,
                          const std::string &suffix) {
    const bool may = access_.usage && access_.inserts.contains(table_.key.number);
    Writing writing;
    writing.command = 'a';
    writing.may = may;
    writing.looks = Looks::written;
    writing.malformed = suffix == "_malformed";
    writing.tenant = pair.victim;
    writing.expected = fmt::format("no new row of tenant {}", pair.victim);
    writing.done = "1 row of the victim written";
    writing.sql = insert_into(row, pair.victim, writing.values, true);
    attack(("insert" + suffix).c_str(), pair, session, writing);
    if (!suffix.empty()) return;

    Writing merge = writing;
    merge.values.clear();
    merge.sql = fmt::format("MERGE INTO {} AS t USING (VALUES (1)) AS s (x) ON false WHEN NOT MATCHED THEN {}",
                            relation(), insert_into(row, pair.victim, merge.values, false));
    merge.unsupported = "SKIP";
    attack("merge_insert", pair, session, merge);

    Writing copy = writing;
    copy.work = [&] { return copy_row(row); };
    copy.unsupported = "PASS"; // COPY FROM is refused under row-level security
    attack("copy_from", pair, session, copy);
}

void ProbeWriter::insert_null(const ProbePair &pair, const ProbeSession &session, const ProbeSample &row) {
    if (table_.key.not_null || table_.key.generated) return;
    const ProbePair alone{pair.tenant, {}};
    Writing writing;
    writing.command = 'a';
    writing.may = access_.usage && access_.inserts.contains(table_.key.number);
    writing.looks = Looks::written;
    writing.expected = "no new row without a tenant";
    writing.done = "1 row without a tenant written";
    writing.sql = insert_into(row, std::nullopt, writing.values, true);
    attack("insert_null", alone, session, writing);
}

void ProbeWriter::conflicts(const ProbePair &pair, const ProbeSession &session, const ProbeSample &victim) {
    const bool comparable = !victim.identity.empty() && std::find(victim.identity.begin(), victim.identity.end(),
                                                                  table_.key.number) == victim.identity.end();
    const bool named = std::all_of(victim.identity.begin(), victim.identity.end(), [&](AttrNumber number) {
        return std::find(insertable_.begin(), insertable_.end(), number) != insertable_.end();
    });
    if (!comparable || !named) return; // a row of one's own cannot be in the way of the victim's
    std::string columns;
    for (const AttrNumber number : victim.identity)
        columns += (columns.empty() ? "" : ", ") + quoted(table_.table.at(number).name);
    Writing writing;
    writing.command = 'w';
    writing.may = access_.usage && access_.inserts.contains(table_.key.number) && !access_.updates.empty();
    writing.looks = Looks::written;
    writing.tenant = pair.victim;
    writing.expected = fmt::format("not written: {} is of tenant {}", sample_label(table_, victim), pair.victim);
    writing.done = "the victim's row is written";
    writing.behind = false; // the new row is one's own: other constraints may refuse it
    writing.sql = fmt::format("{} ON CONFLICT ({}) DO UPDATE SET {} = excluded.{}",
                              insert_as_tenant(victim, pair.tenant, writing.values), columns, updated(), updated());
    attack("conflict_update", pair, session, writing);

    // That DO NOTHING tells of a row is judged with the unique constraints (probe_keys); here: what comes back.
    Writing nothing = writing;
    nothing.command = 'r';
    nothing.values.clear();
    nothing.may = access_.usage && access_.inserts.contains(table_.key.number);
    nothing.tolerant = true; // whatever refuses it, nothing comes back
    nothing.expected = fmt::format("nothing of {} comes back", sample_label(table_, victim));
    nothing.done = "the victim's row comes back";
    nothing.sql = fmt::format("{} ON CONFLICT ({}) DO NOTHING RETURNING {}",
                              insert_as_tenant(victim, pair.tenant, nothing.values), columns, quoted(table_.key.name));
    attack("conflict_nothing", pair, session, nothing);
}

std::string ProbeWriter::insert_as_tenant(const ProbeSample &row, const std::string &tenant,
                                          std::vector<Value> &values) const {
    return insert_into(row, tenant, values, true);
}

// Changes, deletes and locks the victim's row.
void ProbeWriter::hits(const ProbePair &pair, const ProbeSession &session, const ProbeSample &victim,
                       const std::string &suffix) {
    std::vector<Value> found;
    const std::string place = sample_is(table_, victim, found);
    found.push_back(key(pair.victim));
    const std::string condition = place + " AND " + key_is(table_, static_cast<int>(found.size()));
    const bool finds = can_find(access_, victim) && access_.reads_column(table_.key.number);
    Writing update;
    update.command = 'w';
    update.looks = Looks::touched;
    update.sample = &victim;
    update.malformed = suffix == "_malformed";
    update.values = found;
    update.may = finds && access_.updates.contains(updated_) && access_.reads_column(updated_);
    update.expected = fmt::format("0 rows: {} is of tenant {}", sample_label(table_, victim), pair.victim);
    update.sql = fmt::format("UPDATE {} AS t SET {} = t.{} WHERE {}", relation(), updated(), updated(), condition);
    Writing removal = update;
    removal.command = 'd';
    removal.may = finds && access_.removal;
    removal.sql = fmt::format("DELETE FROM {} AS t WHERE {}", relation(), condition);
    attack(("update" + suffix).c_str(), pair, session, update);
    attack(("delete" + suffix).c_str(), pair, session, removal);
    if (!suffix.empty()) return;

    Writing returning = removal;
    returning.sql += fmt::format(" RETURNING t.{}, t.ctid", quoted(table_.key.name));
    returning.may = removal.may && access_.select;
    attack("delete_returning", pair, session, returning);
    Writing changed = update;
    changed.sql += fmt::format(" RETURNING t.{}", quoted(table_.key.name));
    attack("update_returning", pair, session, changed);

    Writing lock = update;
    lock.may = finds && !access_.updates.empty();
    lock.sql = fmt::format("SELECT 1 FROM {} AS t WHERE {} FOR UPDATE", relation(), condition);
    attack("read_for_update", pair, session, lock);

    Writing merge = update;
    merge.unsupported = "SKIP";
    merge.sql = fmt::format("MERGE INTO {} AS t USING (VALUES (1)) AS s (x) ON {} WHEN MATCHED THEN UPDATE SET {} = "
                            "t.{}",
                            relation(), condition, updated(), updated());
    attack("merge_update", pair, session, merge);
    merge.command = 'd';
    merge.may = removal.may;
    merge.sql = fmt::format("MERGE INTO {} AS t USING (VALUES (1)) AS s (x) ON {} WHEN MATCHED THEN DELETE", relation(),
                            condition);
    attack("merge_delete", pair, session, merge);
}

// Moves one row of one's own.
void ProbeWriter::moves(const ProbePair &pair, const ProbeSession &session, const ProbeSample &own) {
    if (table_.key.generated || table_.key.identity_always) return; // no UPDATE sets it
    const std::string column = quoted(table_.key.name);
    Writing move;
    move.command = 'w';
    move.looks = Looks::written;
    move.tenant = pair.victim;
    move.may = access_.usage && access_.updates.contains(table_.key.number);
    move.expected = fmt::format("no row of one's own moved to tenant {}", pair.victim);
    move.done = "1 row moved to the victim";
    // Without a column in the condition the policies for SELECT are not asked: a check of UPDATE stands alone.
    move.values = {key(pair.victim)};
    move.sql = fmt::format("UPDATE {} AS t SET {} = $1 WHERE {}", relation(), column, counted(1));
    attack("move_any", pair, session, move);
    std::vector<Value> values = {key(pair.victim)};
    const std::string place = sample_is(table_, own, values);
    move.values = values;
    move.may = move.may && can_find(access_, own);
    move.sql = fmt::format("UPDATE {} AS t SET {} = $1 WHERE {}", relation(), column, place);
    attack("move", pair, session, move);
    if (table_.key.not_null) return;

    const ProbePair alone{pair.tenant, {}};
    Writing lose = move;
    lose.may = access_.usage && access_.updates.contains(table_.key.number);
    lose.tenant = std::nullopt;
    lose.expected = "no row of one's own moved to no tenant";
    lose.done = "1 row moved to no tenant";
    lose.values = {null_value(table_.key.type)};
    lose.sql = fmt::format("UPDATE {} AS t SET {} = $1 WHERE {}", relation(), column, counted(1));
    attack("move_null", alone, session, lose);
}

// RETURNING with a query of its own, of a row of one's own.
void ProbeWriter::returning_query(const ProbePair &pair, const ProbeSession &session, const ProbeSample &own) {
    if (!can_find(access_, own) || !access_.updates.contains(updated_) || !access_.reads_column(updated_) ||
        !access_.reads_column(table_.key.number))
        return;
    std::vector<Value> values = {key(pair.victim)};
    const std::string place = sample_is(table_, own, values);
    std::string foreign = key_is(table_, 1);
    foreign.replace(0, 2, "x.");
    const Attempt attempt = probe_.attempt(
        session,
        fmt::format(
            "UPDATE {} AS t SET {} = t.{} WHERE {} RETURNING (SELECT pg_catalog.count(*) FROM {} AS x WHERE {})",
            relation(), updated(), updated(), place, relation(), foreign),
        values, 1);
    const std::string expected = fmt::format("RETURNING finds 0 rows of tenant {}", pair.victim);
    if (attempt.refused() || attempt.values.empty()) {
        probe_.add(&table_, {}, "returning_query", {}, &pair, expected, attempt.shown(),
                   attempt.refused() && !no_right_here(attempt, true) && !policy_refuses(attempt) ? "SKIP" : "PASS",
                   {});
        return;
    }
    const bool leaks = attempt.values.front().front().value_or("0") != "0";
    probe_.add(&table_, {}, "returning_query", {}, &pair, expected,
               attempt.values.front().front().value_or("0") + " rows", leaks ? "FAIL" : "PASS",
               leaks ? policy_remedy(probe_, table_, 'r') : "");
}

// How many rows an UPDATE or a DELETE without a condition would reach: it is made with one that is never true, and
// counts the rows that the policies have let pass before.
void ProbeWriter::reaches(const std::string &tenant) {
    const ProbePair alone{tenant, {}};
    const auto found = probe_.owned(table_).find(tenant);
    const std::int64_t owned = found == probe_.owned(table_).end() ? 0 : found->second;
    const Column &column = table_.table.at(updated_);
    struct Reach {
        const char *attack, *what;
        std::string sql;
        Value value;
        char command;
        bool may;
    };
    const Reach all[] = {{"update_all", "an UPDATE",
                          fmt::format("UPDATE {} SET {} = $1 WHERE {}", table_.table.sql(), updated(), counted(0)),
                          null_value(column.type), 'w', access_.usage && access_.updates.contains(updated_)},
                         {"delete_all", "a DELETE",
                          fmt::format("DELETE FROM {} WHERE {}", table_.table.sql(), counted(0)),
                          null_value(InvalidOid), 'd', access_.usage && access_.removal}};
    for (const Reach &reach : all) {
        const Attempt attempt = probe_.attempt_work(probe_.session(table_, tenant), [&] {
            set_in_attempt(counter, "0");
            run_under_snapshot(reach.sql, reach.value);
            Attempt result;
            const char *count = pg_call([] { return GetConfigOption(counter, true, false); });
            result.rows = count ? std::strtoll(count, nullptr, 10) : 0;
            return result;
        });
        const std::string expected =
            fmt::format("{} without a condition reaches at most its {} rows", reach.what, owned);
        if (attempt.refused()) {
            const bool pass = no_right_here(attempt, reach.may) || policy_refuses(attempt);
            probe_.add(&table_, {}, reach.attack, {}, &alone, expected, attempt.shown(), pass ? "PASS" : "SKIP", {});
            continue;
        }
        const bool leaks = attempt.rows > owned;
        probe_.add(&table_, {}, reach.attack, {}, &alone, expected, attempt.shown(), leaks ? "FAIL" : "PASS",
                   leaks ? policy_remedy(probe_, table_, reach.command) : "");
    }
}

void ProbeWriter::run() {
    const std::vector<ProbePair> pairs = attack_pairs(probe_, table_);
    if (pairs.empty()) return; // probe_reads says so
    if (!access_.usage || (access_.inserts.empty() && access_.updates.empty() && !access_.removal)) {
        probe_.add(&table_, {}, "writes", {}, nullptr, "no write of another tenant's rows",
                   access_.usage ? "no right to INSERT, UPDATE or DELETE" : "no right to use the schema", "PASS", {});
        return;
    }
    if (access_.rules) {
        probe_.add(&table_, {}, "writes", {}, nullptr, "no write of another tenant's rows",
                   "rules write something else in place of what is written", "SKIP",
                   fmt::format("Replace the rules of {} by triggers.", table_.table.label()));
        return;
    }
    const std::pair<const char *, std::optional<std::string>> nobodies[] = {
        {"_unset", std::nullopt}, {"_empty", ""}, {"_malformed", "not a tenant!"}};
    std::set<std::string> tenants, victims;
    for (const ProbePair &pair : pairs) {
        const auto victim = probe_sample(probe_, table_, pair.victim);
        if (!victim) {
            probe_.add(&table_, {}, "writes", {}, &pair, "no write of another tenant's rows",
                       "no row of the victim stands in the table itself (but in its children), or not any more, or it "
                       "has values that their types refuse",
                       "SKIP", "Probe again; children are attacked as tables of their own.");
            continue;
        }
        const ProbeSession session = probe_.session(table_, pair.tenant);
        const bool first = tenants.insert(pair.tenant).second;
        const ProbeSample copy = fresh_copy(*victim);
        inserts(pair, session, copy, "");
        if (first) insert_null(pair, session, copy);
        conflicts(pair, session, *victim);
        hits(pair, session, *victim, "");
        if (const auto own = probe_sample(probe_, table_, pair.tenant)) {
            moves(pair, session, *own);
            returning_query(pair, session, *own);
        }
        if (first) reaches(pair.tenant);
        if (victims.empty()) {
            const ProbePair nobody{{}, pair.victim};
            for (const auto &[suffix, tenant] : nobodies) {
                const ProbeSession none = probe_.session(table_, tenant);
                inserts(nobody, none, copy, suffix);
                hits(nobody, none, *victim, suffix);
            }
        }
        victims.insert(pair.victim);
    }
}

void probe_writes(Probe &probe) {
    if (!probe.options().writes) return;
    for (const ProbeTable &table : probe.tables())
        if (table.parent == InvalidOid && probe.unread(table).empty()) ProbeWriter(probe, table).run();
}

} // namespace tenantmig

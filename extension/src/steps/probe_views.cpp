// Views: whose rights and policies hold below them is PostgreSQL's own answer (relations_used); where none does, what
// they show is compared: as one tenant, as another, as none.
#include "steps/probe_reach.hpp"

#include "catalog/own_tables.hpp"

namespace tenantmig {

namespace {
struct View {
    Oid oid = InvalidOid;
    std::string schema, name;
    bool materialized = false, barrier = false, invoker = false, populated = true, check_option = false;
    bool may_read = false, may_insert = false, may_update = false, may_delete = false, triggers = false;
    int updatable = 0;                // pg_relation_is_updatable
    std::vector<std::string> written; // columns that the role may update
    std::vector<std::string> columns; // that the role may read
    std::map<std::string, Oid> types; // of all columns
    std::vector<Oid> sources;         // tables of the family that it reads, through other views too

    std::string label() const { return qualified(schema, name); }
};

bool has_option(const std::vector<std::string> &options, std::string_view name) {
    return std::any_of(options.begin(), options.end(), [&](const std::string &option) {
        const auto equals = option.find('=');
        if (std::string_view(option).substr(0, equals) != name) return false;
        const std::string value = equals == std::string::npos ? "true" : option.substr(equals + 1);
        return value != "false" && value != "off" && value != "0" && value != "no";
    });
}

std::vector<View> read_views(const Probe &probe, const ProbeFamily &family) {
    const std::vector<std::string> oids = oid_texts(family);
    Rows rows = own_query(
        "WITH RECURSIVE reads AS (SELECT DISTINCT r.ev_class AS view, d.refobjid AS source FROM pg_depend d JOIN "
        "pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = "
        "'pg_class'::regclass AND d.refobjid <> r.ev_class), found AS (SELECT r.view, r.source FROM reads r WHERE "
        "r.source = ANY ($1::oid[]) UNION SELECT r.view, f.source FROM reads r JOIN found f ON r.source = f.view) "
        "SELECT c.oid::bigint, "
        "n.nspname, c.relname, c.relkind = 'm', coalesce(c.reloptions, '{}'), c.relispopulated, "
        "has_any_column_privilege($2::oid, c.oid, 'SELECT'), has_any_column_privilege($2::oid, c.oid, 'INSERT'), "
        "has_any_column_privilege($2::oid, c.oid, 'UPDATE'), has_table_privilege($2::oid, c.oid, 'DELETE'), EXISTS "
        "(SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal), pg_relation_is_updatable(c.oid, "
        "false), ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT "
        "a.attisdropped AND pg_column_is_updatable(c.oid, a.attnum, false) AND has_column_privilege($2::oid, c.oid, "
        "a.attnum, 'UPDATE') ORDER BY a.attnum), ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = "
        "c.oid AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege($2::oid, c.oid, a.attnum, 'SELECT') "
        "ORDER BY a.attnum), ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > "
        "0 AND "
        "NOT a.attisdropped ORDER BY a.attnum), ARRAY(SELECT a.atttypid::bigint::text FROM pg_attribute a WHERE "
        "a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum), f.sources FROM (SELECT v.view, "
        "array_agg(v.source::bigint::text ORDER BY v.source) AS sources FROM found v GROUP BY v.view) f JOIN pg_class "
        "c "
        "ON c.oid = f.view AND c.relkind IN ('v', 'm') JOIN pg_namespace n ON n.oid = c.relnamespace AND "
        "has_schema_privilege($2::oid, n.oid, 'USAGE') ORDER BY n.nspname, c.relname",
        {text_array_value(std::span<const std::string>(oids)), bigint_value(static_cast<std::int64_t>(probe.role()))});
    std::vector<View> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        View one;
        one.oid = static_cast<Oid>(rows.bigint(i, 1));
        one.schema = rows.text_or(i, 2);
        one.name = rows.text_or(i, 3);
        one.materialized = rows.boolean(i, 4);
        const std::vector<std::string> options = rows.text_array(i, 5);
        one.barrier = has_option(options, "security_barrier");
        one.invoker = has_option(options, "security_invoker");
        one.check_option = has_option(options, "check_option");
        one.populated = rows.boolean(i, 6);
        one.may_read = rows.boolean(i, 7);
        one.may_insert = rows.boolean(i, 8);
        one.may_update = rows.boolean(i, 9);
        one.may_delete = rows.boolean(i, 10);
        one.triggers = rows.boolean(i, 11);
        one.updatable = static_cast<int>(rows.bigint(i, 12));
        one.written = rows.text_array(i, 13);
        one.columns = rows.text_array(i, 14);
        const std::vector<std::string> names = rows.text_array(i, 15), types = rows.text_array(i, 16);
        for (std::size_t k = 0; k < names.size(); k++)
            one.types[names[k]] = static_cast<Oid>(std::stoul(types[k]));
        for (const std::string &source : rows.text_array(i, 17))
            one.sources.push_back(static_cast<Oid>(std::stoul(source)));
        result.push_back(std::move(one));
    }
    return result;
}

class ViewAttack {
public:
    ViewAttack(Probe &probe, const ProbeFamily &family, const std::map<Oid, const View *> &views,
               DirectConditions &direct, const View &view)
        : probe_(probe), family_(family), views_(views), direct_(direct), view_(view) {}

    void run() {
        table_ = family_.at(view_.sources.front()).of;
        for (Oid source : view_.sources) // one whose tenant key it shows, if there is one
            if (!shows_key(*table_) && shows_key(*family_.at(source).of)) table_ = family_.at(source).of;
        const Uses uses = uses_of(probe_, *table_, "SELECT FROM " + view_.label());
        if (view_.materialized) {
            if (view_.may_read) materialized();
            return;
        }
        for (const RelationUse &use : uses.all)
            if (!use.filtered && family_.contains(use.relation)) open_.insert(use.relation);
        if (view_.may_read) {
            if (!uses.problem.empty())
                add("view", nullptr, uses.problem, "SKIP", {});
            else
                read(uses);
        }
        write("INSERT", view_.may_insert, CMD_INSERT);
        write("UPDATE", view_.may_update, CMD_UPDATE);
        write("DELETE", view_.may_delete, CMD_DELETE);
    }

private:
    Probe &probe_;
    const ProbeFamily &family_;
    const std::map<Oid, const View *> &views_;
    DirectConditions &direct_;
    const View &view_;
    const ProbeTable *table_ = nullptr; // the first one that is read: its tenants are those that attack
    std::set<Oid> open_;                // tables that it reads past their policies
    std::string open_names_;            // what it reads past them, or under others
    bool sound_ = false;                // no other tenant's row was found in it all the same
    bool asks_itself_ = false;          // what it shows depends on the setting although no policy does that

    void add(const char *attack, const ProbePair *pair, const std::string &seen, const char *status,
             const std::string &remedy) const {
        probe_.add(nullptr, view_.label(), attack, {}, pair, "nothing of other tenants", seen, status, remedy);
    }

    bool shows_key(const ProbeTable &table) const {
        const auto type = view_.types.find(table.key.name);
        if (type == view_.types.end()) return false;
        const Oid declared = type->second;
        return pg_call([declared] { return getBaseType(declared); }) == table.key.type &&
               std::find(view_.columns.begin(), view_.columns.end(), table.key.name) != view_.columns.end();
    }

    // Rows of the victim that the tenant sees, by the tenant key that the view shows.
    std::optional<Attempt> foreign_rows(const ProbePair &pair) const {
        if (!shows_key(*table_)) return std::nullopt;
        return probe_.read(probe_.session(*table_, pair.tenant),
                           fmt::format("SELECT FROM {} AS v WHERE v.{} {} $1 LIMIT 1000", view_.label(),
                                       quoted(table_->key.name), equality_operator(table_->key.type)),
                           {Probe::key_value(*table_, pair.victim)});
    }

    struct Content {
        std::string digest; // the same for the same rows in any order; empty: they can't be read
        std::string rows, problem;
    };
    Content content(const std::optional<std::string> &tenant) const {
        std::string list;
        for (const std::string &column : view_.columns)
            list += fmt::format("{}v.{}", list.empty() ? "" : ", ", quoted(column));
        // The first rows only: of a view that shows the same to everybody they are the same.
        const Attempt attempt = probe_.read(
            probe_.session(*table_, tenant),
            fmt::format("SELECT pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtextextended(ROW({0})::pg_catalog."
                        "text, 0)) FROM (SELECT {0} FROM {1} AS v LIMIT 10000) AS v",
                        list, view_.label()),
            {}, 1);
        if (attempt.refused() || attempt.values.empty()) return {{}, {}, attempt.shown()};
        const auto &row = attempt.values.front();
        return {row[0].value_or("") + "/" + row[1].value_or(""), row[0].value_or(""), {}};
    }

    std::string owner_remedy() const {
        if (view_.invoker && !open_names_.empty()) // what is under a view of who asks leaks itself
            return fmt::format("See the rows of {}.", open_names_);
        return fmt::format(
            "ALTER VIEW {} SET (security_invoker = true); -- PostgreSQL 15: with the rights and policies of "
            "who asks",
            view_.label());
    }

    void read(const Uses &uses) {
        std::set<std::string> open, other;
        bool barrier = true;
        for (const RelationUse &use : uses.all) {
            if (use.kind == RELKIND_MATVIEW && views_.contains(use.relation)) {
                open.insert(views_.at(use.relation)->label());
                continue;
            }
            const auto member = family_.find(use.relation);
            if (member == family_.end() || use.denied) continue;
            if (!use.filtered) {
                open.insert(member->second.label());
                barrier = barrier && use.barrier;
            } else if (use.condition != direct_.of(member->second))
                other.insert(member->second.label());
        }
        open_names_ = fmt::format("{}", fmt::join(open.empty() ? other : open, ", "));
        const std::vector<ProbePair> pairs = probe_.pairs(*table_);
        for (const ProbePair &pair : pairs) {
            const auto foreign = foreign_rows(pair);
            if (!foreign || foreign->refused() || foreign->rows == 0) continue;
            add("view", &pair, fmt::format("{} of the victim{}", foreign->shown(), past(open, other)), "FAIL",
                owner_remedy());
            asks_itself_ = false;
            return;
        }
        const ProbePair *pair = pairs.empty() ? nullptr : &pairs.front();
        if (open.empty() && other.empty()) {
            add("view", pair, "the policies of its tables hold", "PASS", {});
            return;
        }
        compare(pair, open, other, barrier);
    }

    std::string past(const std::set<std::string> &open, const std::set<std::string> &other) const {
        if (view_.invoker && !open.empty()) return fmt::format(", as {} shows them itself", fmt::join(open, ", "));
        if (!open.empty()) return fmt::format(", past the policies of {}", fmt::join(open, ", "));
        return other.empty() ? "" : fmt::format(", under other policies of {}", fmt::join(other, ", "));
    }

    void compare(const ProbePair *pair, const std::set<std::string> &open, const std::set<std::string> &other,
                 bool barrier) {
        const Content none = content(std::nullopt);
        const Content one = pair ? content(pair->tenant) : none, two = pair ? content(pair->victim) : none;
        if (none.digest.empty() || one.digest.empty() || two.digest.empty()) {
            const std::string &problem = none.problem.empty() ? one.problem + two.problem : none.problem;
            add("view", pair, problem + past(open, other), open.empty() ? "SKIP" : "FAIL",
                open.empty() ? "" : owner_remedy());
            return;
        }
        asks_itself_ = none.digest != one.digest || one.digest != two.digest;
        const std::string rows = one.rows == "1" ? "1 row" : one.rows + " rows";
        if (!asks_itself_) {
            const bool nothing = open.empty() && one.rows == "0";
            add("view", pair, fmt::format("{}, the same for every tenant and for none{}", rows, past(open, other)),
                nothing ? "SKIP" : "FAIL", nothing ? "" : owner_remedy());
            return;
        }
        if (!open.empty() && !barrier && !view_.invoker) {
            add("view", pair,
                fmt::format(
                    "it asks for the tenant itself{}, and is no security barrier: a function in a query's WHERE "
                    "is given rows of all",
                    past(open, other)),
                "FAIL", owner_remedy());
            return;
        }
        sound_ = shows_key(*table_) && none.rows == "0" && (open.empty() || view_.barrier);
        add("view", pair,
            sound_
                ? fmt::format("it asks for the tenant itself: no row of the victim{}", past(open, other))
                : fmt::format("it asks for the tenant itself{}: whether that is all can't be told", past(open, other)),
            sound_ ? "PASS" : "SKIP", sound_ ? "" : owner_remedy());
    }

    void write(const char *command, bool may, int code) {
        if (!may) return;
        const std::string attack = write_attack("view", command);
        if (view_.triggers || (view_.updatable & (1 << code)) == 0) {
            if (view_.triggers) add(attack.c_str(), nullptr, "not tried: an INSTEAD OF trigger writes", "SKIP", {});
            return;
        }
        if (code == CMD_UPDATE && view_.written.empty()) return;
        WriteVerdict verdict = judge_write(probe_, *table_, family_, command, view_.label(), view_.written);
        // The view's own condition decides which rows are there to be written, and with a check option which new ones
        // may stand. A barrier's looks like a policy.
        if (open_.contains(verdict.relation) && code != CMD_INSERT)
            verdict = {"FAIL", fmt::format("no policy of {} holds", family_.at(verdict.relation).label()),
                       verdict.relation};
        if (std::string_view(verdict.status) == "FAIL" && !view_.may_read && (code != CMD_INSERT || view_.check_option))
            verdict = {"SKIP", verdict.seen + "; what it shows the role can't read", verdict.relation};
        if (std::string_view(verdict.status) == "FAIL" && asks_itself_ && (code != CMD_INSERT || view_.check_option))
            verdict = {sound_ && code != CMD_INSERT ? "PASS" : "SKIP", verdict.seen + "; it asks for the tenant itself",
                       verdict.relation};
        const bool moves =
            std::find(view_.written.begin(), view_.written.end(), table_->key.name) != view_.written.end();
        if (std::string_view(verdict.status) == "PASS" && open_.contains(verdict.relation) && code == CMD_UPDATE &&
            moves && !view_.check_option)
            verdict = {"FAIL", "it moves rows to other tenants: no WITH CHECK OPTION", verdict.relation};
        add(attack.c_str(), nullptr, verdict.seen, verdict.status,
            std::string_view(verdict.status) == "FAIL" ? owner_remedy() : "");
    }

    void materialized() const {
        std::string tenants;
        if (shows_key(*table_)) {
            const auto view = describe_table(view_.oid);
            const auto found =
                view ? probe_.as_owner(*view, fmt::format("SELECT pg_catalog.count(DISTINCT v.{}) FROM {} AS v",
                                                          quoted(table_->key.name), view_.label()))
                     : std::nullopt;
            if (found && !found->empty()) tenants = fmt::format(" of {} tenants", found->front()[0].value_or("?"));
        }
        const Attempt attempt =
            probe_.read(probe_.session(*table_, std::nullopt), fmt::format("SELECT FROM {} LIMIT 1000", view_.label()));
        probe_.add(nullptr, view_.label(), "materialized_view", {}, nullptr, "the role can't read it",
                   fmt::format("{}{}: no policy can hold for it", view_.populated ? attempt.shown() : "not populated",
                               tenants),
                   "FAIL",
                   take_back(probe_, view_.oid, view_.label(), {"SELECT"}) +
                       " -- and give out a view that asks for the tenant");
    }
};
} // namespace

void probe_views(Probe &probe, const ProbeFamily &family) {
    if (probe.tables().empty()) return;
    const std::vector<View> views = read_views(probe, family);
    std::map<Oid, const View *> known;
    for (const View &view : views)
        known.emplace(view.oid, &view);
    DirectConditions direct(probe);
    for (const View &view : views)
        ViewAttack(probe, family, known, direct, view).run();
}

} // namespace tenantmig

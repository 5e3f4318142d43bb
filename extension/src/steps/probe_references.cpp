// Foreign keys look past row-level security: what a tenant may refer to, and what happens to rows that refer to its
// own, is not asked of the policies.
#include "steps/probe_keys.hpp"

#include "catalog/own_tables.hpp"

#include <cctype>

namespace tenantmig {

namespace {
struct Reference {
    Oid from = InvalidOid, to = InvalidOid;
    std::string name;
    std::vector<AttrNumber> from_columns, to_columns;
    char on_delete = 'a', on_update = 'a';
    bool child_row_security = false;
    std::set<std::string> names; // that an error may name: partitions have their own
};

char char_at(const Rows &rows, std::size_t row, int column) {
    const std::string text = rows.text_or(row, column);
    return text.empty() ? '\0' : text.front();
}

std::vector<Reference> read_references(const Probe &probe) {
    std::vector<std::string> oids;
    for (const ProbeTable &table : probe.tables())
        oids.push_back(std::to_string(table.table.oid));
    Rows rows = own_query(
        "SELECT k.conrelid::bigint, k.confrelid::bigint, k.conname, k.conkey::text[], k.confkey::text[], "
        "k.confdeltype, k.confupdtype, c.relrowsecurity, ARRAY(WITH RECURSIVE below AS (SELECT k.oid, k.conname UNION "
        "ALL SELECT p.oid, p.conname FROM below b JOIN pg_constraint p ON p.conparentid = b.oid) SELECT "
        "b.conname::text FROM "
        "below b) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype = 'f' AND k.conparentid = "
        "0 AND k.confrelid = ANY ($1::oid[]) ORDER BY c.oid, k.conname",
        {text_array_value(std::span<const std::string>(oids))});
    std::vector<Reference> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        Reference one;
        one.from = static_cast<Oid>(rows.bigint(i, 1));
        one.to = static_cast<Oid>(rows.bigint(i, 2));
        one.name = rows.text_or(i, 3);
        for (const std::string &text : rows.text_array(i, 4))
            one.from_columns.push_back(static_cast<AttrNumber>(std::stoi(text)));
        for (const std::string &text : rows.text_array(i, 5))
            one.to_columns.push_back(static_cast<AttrNumber>(std::stoi(text)));
        one.on_delete = char_at(rows, i, 6);
        one.on_update = char_at(rows, i, 7);
        one.child_row_security = rows.boolean(i, 8);
        for (const std::string &name : rows.text_array(i, 9))
            one.names.insert(name);
        result.push_back(std::move(one));
    }
    return result;
}

bool undecided(const Attempt &attempt) {
    return attempt.undecided() || attempt.no_right();
}

bool word_ends(const std::string &text, std::size_t before, std::size_t after) {
    const auto letter = [&](std::size_t at) { return std::isalnum(static_cast<unsigned char>(text[at])) != 0; };
    return (before == 0 || !letter(before - 1)) && (after >= text.size() || !letter(after));
}

// What an attacker learns from the answer. Values that stand in it are those that he gave.
std::string told(const Attempt &attempt, const RowValues &given) {
    std::string message = attempt.message;
    for (const auto &[number, value] : given)
        if (value && !value->empty())
            for (auto at = message.find(*value); at != std::string::npos; at = message.find(*value, at + 1))
                if (word_ends(message, at, at + value->size())) message.replace(at, value->size(), "?");
    return fmt::format("{}|{}|{}|{}", attempt.sqlstate, attempt.constraint, attempt.refused() ? 0 : attempt.rows,
                       message);
}

class ReferenceAttack {
public:
    ReferenceAttack(Probe &probe, const AttackTable &from, const AttackTable &to, const Reference &reference)
        : probe_(probe), from_(from), to_(to), to_of_(*to.probed), reference_(reference) {
        for (std::size_t i = 0; i < reference.from_columns.size(); i++) {
            const bool own_key = from.probed && reference.from_columns[i] == from.probed->key.number;
            if (own_key && reference.to_columns[i] == to_of_.key.number)
                composite_ = true;
            else if (!own_key)
                columns_.emplace_back(reference.from_columns[i], reference.to_columns[i]);
        }
    }

    void run() {
        // The tenant's own row is no secret of others: a key of the tenant root, or of a table with a row a tenant.
        if (columns_.empty() || to_.identity == std::vector{to_of_.key.number}) return;
        if (!from_.probed && reference_.child_row_security)
            return skip_all("it has row security and is not among the tables that are probed");
        const bool refer = may_write();
        if (!refer)
            add("foreign_key", nullptr, expected_reference(), "the role may not write the referring columns", "PASS");
        if (!probe_.options().writes) {
            if (refer) skip_one("foreign_key", expected_reference(), "writes => false");
        } else if (const auto pairs = probe_.pairs(to_of_); pairs.empty()) {
            if (refer)
                skip_one("foreign_key", expected_reference(),
                         fmt::format("there are no two tenants with rows in {}", to_.table.label()));
        } else if (refer)
            for (const ProbePair &pair : pairs)
                attack_existence(pair);
        probe_deletion();
    }

private:
    Probe &probe_;
    const AttackTable &from_, &to_;
    const ProbeTable &to_of_;
    const Reference &reference_;
    std::vector<std::pair<AttrNumber, AttrNumber>> columns_; // without the tenant key that leads to the tenant key
    bool composite_ = false;

    std::string expected_reference() const {
        return "a row of another tenant and one that is nowhere: the same answer";
    }
    std::string expected_deletion() const { return "no row of another tenant can depend on it"; }

    void add(const char *attack, const ProbePair *pair, const std::string &expected, const std::string &seen,
             const char *status) const {
        probe_.add(from_.probed, from_.table.label(), attack, reference_.name, pair, expected,
                   fmt::format("{} ({})", seen, reference_.name), status,
                   std::string_view(status) == "FAIL" ? remedy() : "");
    }
    void skip_one(const char *attack, const std::string &expected, const std::string &reason) const {
        add(attack, nullptr, expected, "not tried: " + reason, "SKIP");
    }
    void skip_all(const std::string &reason) const {
        skip_one("foreign_key", expected_reference(), reason);
        if (!composite_) skip_one("referenced_row", expected_deletion(), reason);
    }

    bool may_write() const {
        const auto all = [&](bool ColumnRights::*right) {
            return std::all_of(columns_.begin(), columns_.end(),
                               [&](const auto &column) { return from_.may(right, column.first); });
        };
        return all(&ColumnRights::insert) || all(&ColumnRights::update);
    }

    // A row of the table that refers, of this tenant if it has one there; else of anybody, for a copy.
    std::optional<SampleRow> template_row(const std::string &tenant, bool *own) const {
        *own = true;
        if (from_.probed) {
            const std::array<Value, 1> value{text_value(tenant)};
            const auto rows = sample_rows(probe_, from_.table, equals("t.", from_.probed->key, 1), value);
            if (rows && !rows->empty()) return rows->front();
            *own = false;
        }
        const auto rows = sample_rows(probe_, from_.table, {}, {});
        if (!rows || rows->empty()) return std::nullopt;
        return rows->front();
    }

    // What the referring columns would hold if they led to a row of that tenant. With a composite key: none that a row
    // of the attacker has as well.
    std::optional<RowValues> reference_to(const std::string &tenant, const std::string &other) const {
        std::vector<Value> values{text_value(tenant)};
        std::string condition = equals("t.", to_of_.key, 1), same;
        for (const auto &[from, to] : columns_) {
            const std::string name = quoted(to_.table.at(to).name);
            condition += fmt::format(" AND t.{} IS NOT NULL", name);
            same += fmt::format(" AND o.{0} {1} t.{0}", name, equality_operator(to_.table.at(to).type));
        }
        if (composite_ && tenant != other) {
            values.push_back(text_value(other));
            condition += fmt::format(" AND NOT EXISTS (SELECT FROM {} AS o WHERE {}{})", to_.table.target(),
                                     equals("o.", to_of_.key, 2), same);
        }
        const auto rows = sample_rows(probe_, to_.table, condition, values);
        if (!rows || rows->empty()) return std::nullopt;
        RowValues result;
        for (const auto &[from, to] : columns_)
            result[from] = rows->front().values.at(to);
        return result;
    }

    // The same with one value that leads nowhere.
    std::vector<RowValues> nowhere(const RowValues &like) const {
        std::vector<RowValues> result;
        for (auto column = columns_.rbegin(); column != columns_.rend() && result.empty(); ++column)
            for (const std::string &value :
                 absent_values(probe_, to_.table, to_.table.at(column->second), from_.table.at(column->first),
                               like.at(column->first).value_or(""))) {
                RowValues changed = like;
                changed[column->first] = value;
                result.push_back(std::move(changed));
            }
        return result;
    }

    ProbeSession session(const std::string &tenant) const {
        return probe_.session(from_.probed ? *from_.probed : to_of_, tenant);
    }

    std::optional<AttackStatement> statement(bool update, const SampleRow &row, const RowValues &reference,
                                             const std::string &tenant) const {
        if (update) return update_of(from_, row, reference);
        RowValues changed = reference;
        if (from_.probed && from_.may(&ColumnRights::insert, from_.probed->key.number))
            changed[from_.probed->key.number] = tenant;
        return insert_of(probe_, from_, row, changed);
    }

    struct Verdict {
        const char *status = "SKIP";
        std::string seen;
    };

    // One way of writing: refer to the victim's row, to the tenant's own, to none.
    Verdict tell_apart(bool update, const SampleRow &row, const ProbePair &pair, const RowValues &foreign) const {
        const std::string how = update ? "UPDATE" : "INSERT";
        const auto carry_out = [&](const RowValues &reference) -> std::optional<Attempt> {
            const auto made = statement(update, row, reference, pair.tenant);
            if (!made) return std::nullopt;
            return probe_.attempt(session(pair.tenant), made->sql, made->values);
        };
        const auto victim = carry_out(foreign);
        if (!victim) return {"SKIP", ""};
        if (undecided(*victim)) return {"SKIP", fmt::format("{}: {}", how, victim->shown())};
        const bool accepted = !victim->refused() && victim->rows > 0;
        std::optional<Attempt> none;
        for (const RowValues &reference : nowhere(foreign)) {
            none = carry_out(reference);
            if (!none || undecided(*none)) continue;
            const bool decisive = none->sqlstate == sqlstate::foreign_key_violation || !none->refused();
            const std::string seen =
                fmt::format("{}: victim's row: {}; nowhere: {}", how, short_form(*victim), short_form(*none));
            if (decisive && told(*victim, foreign) != told(*none, reference)) return {"FAIL", seen};
            if (decisive && (none->refused() || none->rows > 0)) return {"PASS", seen};
        }
        if (accepted) return {"FAIL", fmt::format("{}: victim's row: accepted", how)};
        const std::string seen = fmt::format("{}: victim's row: {}", how, short_form(*victim));
        const auto own_reference = reference_to(pair.tenant, pair.tenant);
        const auto own = own_reference ? carry_out(*own_reference) : std::nullopt;
        // What is let through for an own row, and refused alike for others and for none, tells nothing.
        if (own && !own->refused() && own->rows > 0 && none && told(*victim, foreign) == told(*none, foreign))
            return {"PASS", fmt::format("{}; nowhere: the same; own: accepted", seen)};
        return {"SKIP", seen};
    }

    void attack_existence(const ProbePair &pair) const {
        bool own = false;
        const auto row = template_row(pair.tenant, &own);
        const auto foreign = reference_to(pair.victim, pair.tenant);
        if (!row || !foreign) {
            add("foreign_key", &pair, expected_reference(),
                row ? "not tried: no row of the victim's to refer to" : "not tried: no row to make a copy of", "SKIP");
            return;
        }
        Verdict best{"SKIP", {}};
        for (const bool update : {true, false}) {
            if (update && !own) continue;
            const Verdict verdict = tell_apart(update, *row, pair, *foreign);
            const std::string_view status = verdict.status;
            if (status == "FAIL" || best.seen.empty() || (status == "PASS" && std::string_view(best.status) == "SKIP"))
                best = verdict;
            if (status == "FAIL" || (status == "PASS" && update)) break;
        }
        if (best.seen.empty()) best.seen = "no statement could be made";
        add("foreign_key", &pair, expected_reference(), best.seen, best.status);
    }

    // What happens to rows that refer to a row that goes.
    void probe_deletion() const {
        constexpr char attack[] = "referenced_row";
        if (composite_) return; // a row of another tenant can't refer to it
        bool may_delete = false;
        {
            const auto rows = own_query("SELECT has_table_privilege($1::oid, $2::oid, 'DELETE')",
                                        {bigint_value(static_cast<std::int64_t>(probe_.role())),
                                         bigint_value(static_cast<std::int64_t>(to_.table.oid))});
            may_delete = rows.boolean(0, 1);
        }
        const bool may_change = std::any_of(columns_.begin(), columns_.end(), [&](const auto &column) {
            return to_.may(&ColumnRights::update, column.second);
        });
        if ((!may_delete && !may_change) || to_.rights.empty())
            return add(attack, nullptr, expected_deletion(),
                       fmt::format("the role may neither delete rows of {} nor change the columns", to_.table.label()),
                       "PASS");
        if (!from_.probed) return; // its rows are nobody's
        if (!probe_.options().writes) return skip_one(attack, expected_deletion(), "writes => false");
        const auto pairs = probe_.pairs(to_of_);
        if (pairs.empty())
            return skip_one(attack, expected_deletion(),
                            fmt::format("there are no two tenants with rows in {}", to_.table.label()));
        for (const ProbePair &pair : pairs)
            attack_deletion(pair, may_delete);
    }

    std::string joined(const std::string &child, const std::string &parent) const {
        std::string condition;
        for (const auto &[from, to] : columns_) {
            const Column &own = from_.table.at(from), &other = to_.table.at(to);
            const bool same = own.type == other.type;
            condition +=
                fmt::format(" AND {}.{}{} {} {}.{}{}", child, quoted(own.name), same ? "" : "::pg_catalog.text",
                            same ? equality_operator(own.type) : "OPERATOR(pg_catalog.=)", parent, quoted(other.name),
                            same ? "" : "::pg_catalog.text");
        }
        return condition;
    }

    struct Parent { // a row of the attacker's
        SampleRow row;
        bool crossing = false;     // a row of the victim's refers to it
        bool own_children = false; // rows of the attacker's do
    };

    std::optional<Parent> parent_row(const ProbePair &pair) const {
        const std::array<Value, 2> tenants{text_value(pair.tenant), text_value(pair.victim)};
        const std::string own = equals("t.", to_of_.key, 1);
        const auto child = [&](int tenant) {
            return fmt::format("EXISTS (SELECT FROM {} AS c WHERE {}{})", from_.table.target(),
                               equals("c.", from_.probed->key, tenant), joined("c", "t"));
        };
        const std::pair<std::string, Parent> choices[] = {
            {fmt::format("{} AND {} AND NOT {}", own, child(2), child(1)), {{}, true, false}},
            {fmt::format("{} AND NOT {}", own, child(1)), {{}, false, false}},
            {own, {{}, false, true}},
        };
        for (const auto &[condition, kind] : choices) {
            const bool both = condition.find("$2") != std::string::npos;
            const auto rows = sample_rows(probe_, to_.table, condition, std::span(tenants).first(both ? 2 : 1));
            if (!rows || rows->empty()) continue;
            Parent found = kind;
            found.row = rows->front();
            return found;
        }
        return std::nullopt;
    }

    std::optional<AttackStatement> removal(const SampleRow &parent, bool may_delete) const {
        if (!may_delete) {
            RowValues changed;
            for (const auto &[from, to] : columns_) {
                if (!to_.may(&ColumnRights::update, to) || !parent.values.at(to)) continue;
                const Column &column = to_.table.at(to);
                const auto absent = absent_values(probe_, to_.table, column, column, *parent.values.at(to));
                if (!absent.empty()) changed[to] = absent.front();
            }
            return update_of(to_, parent, changed);
        }
        AttackStatement statement;
        for (AttrNumber number : to_.identity) {
            if (!to_.may(&ColumnRights::select, number)) return std::nullopt;
            statement.values.push_back(optional_text(parent.values.at(number)));
            statement.sql += fmt::format("{}{}", statement.sql.empty() ? "" : " AND ",
                                         equals("t.", to_.table.at(number), static_cast<int>(statement.values.size())));
        }
        if (statement.sql.empty()) return std::nullopt;
        statement.sql = fmt::format("DELETE FROM {} AS t WHERE {}", to_.table.target(), statement.sql);
        return statement;
    }

    // What the victim could write so that a row of its own refers to the attacker's: the first of these.
    std::optional<AttackStatement> referring(const ProbePair &pair, const RowValues &reference) const {
        bool own = false;
        const auto row = template_row(pair.victim, &own);
        for (const bool update : {true, false}) {
            if (!row || (update && !own)) continue;
            if (auto made = statement(update, *row, reference, pair.victim)) return made;
        }
        return std::nullopt;
    }

    // A copy of a row of the attacker's that nobody refers to yet; returns what leads to it.
    std::optional<AttackStatement> new_parent(const SampleRow &like) const {
        auto made = insert_of(probe_, to_, like, {});
        if (!made || to_.identity.empty()) return std::nullopt;
        std::string list;
        const auto returned = [&](AttrNumber number) {
            list += fmt::format("{}{}", list.empty() ? "" : ", ", quoted(to_.table.at(number).name));
            return to_.may(&ColumnRights::select, number);
        };
        for (const auto &[from, to] : columns_)
            if (!returned(to)) return std::nullopt;
        for (AttrNumber number : to_.identity)
            if (!returned(number)) return std::nullopt;
        made->sql += " RETURNING " + list;
        return made;
    }

    void attack_deletion(const ProbePair &pair, bool may_delete) const {
        constexpr char attack[] = "referenced_row";
        const auto add_row = [&](const std::string &seen, const char *status) {
            add(attack, &pair, expected_deletion(), seen, status);
        };
        const auto parent = parent_row(pair);
        const auto remove = parent ? removal(parent->row, may_delete) : std::nullopt;
        if (!remove) return add_row("not tried: no row that could be removed", "SKIP");
        RowValues reference;
        for (const auto &[from, to] : columns_)
            reference[from] = parent->row.values.at(to);
        const auto refer = parent->crossing ? std::nullopt : referring(pair, reference);
        if (!parent->crossing) {
            if (!may_write())
                return add_row("no row of the victim's refers to it, and the role can't make one", "PASS");
            if (!refer) return add_row("not tried: no row could be made that refers to it", "SKIP");
            const Attempt made = probe_.attempt(session(pair.victim), refer->sql, refer->values);
            if (undecided(made)) return add_row(fmt::format("not tried: {}", made.shown()), "SKIP");
            if (made.refused() || made.rows == 0)
                return add_row(fmt::format("the victim can't refer to it: {}", short_form(made)), "PASS");
        }
        const char action = may_delete ? reference_.on_delete : reference_.on_update;
        const auto become = [&](const std::string &tenant) {
            for (const std::string &setting : {from_.probed->setting, to_of_.setting})
                (void)run_query("SELECT pg_catalog.set_config($1, $2, true)",
                                {text_value(setting), text_value(tenant)});
        };
        // A row that the tenant's own rows refer to would be kept by those: then a new one.
        const auto bait = parent->own_children && may_delete ? new_parent(parent->row) : std::nullopt;
        bool attacked = false;
        const Attempt gone = probe_.attempt_work(session(pair.tenant), [&] {
            become(pair.tenant);
            AttackStatement child = refer ? *refer : AttackStatement(), last = *remove;
            if (bait) {
                const Rows made = run_query(bait->sql, bait->values);
                if (made.empty()) return Attempt();
                for (std::size_t i = 0; i < columns_.size(); i++)
                    child.values.at(child.places.at(columns_[i].first)) =
                        optional_text(made.text(0, static_cast<int>(i + 1)));
                for (std::size_t i = 0; i < to_.identity.size(); i++)
                    last.values.at(i) = optional_text(made.text(0, static_cast<int>(columns_.size() + i + 1)));
            }
            if (!parent->crossing) {
                become(pair.victim);
                (void)run_query(child.sql, child.values);
                become(pair.tenant);
            }
            attacked = true;
            Attempt result;
            const Rows rows = run_query(last.sql, last.values);
            result.rows = static_cast<std::int64_t>(rows.size());
            return result;
        });
        if (!attacked)
            return add_row(fmt::format("not tried: {}", gone.refused() ? gone.shown() : "no new row could be made"),
                           "SKIP");
        const std::string how = may_delete ? "DELETE" : "UPDATE";
        const bool own = parent->own_children && !bait;
        const bool writes = action == 'c' || action == 'n' || action == 'd';
        if (gone.sqlstate == sqlstate::foreign_key_violation && reference_.names.contains(gone.constraint))
            return add_row(fmt::format("{}: {}{}", how, short_form(gone),
                                       own ? ", of own rows too" : ": a row of another tenant exists"),
                           own ? "SKIP" : "FAIL");
        if (undecided(gone)) return add_row(fmt::format("{}: {}", how, gone.shown()), "SKIP");
        if (!gone.refused() && gone.rows == 0) return add_row(fmt::format("{}: no row", how), "PASS");
        if (!gone.refused())
            return add_row(writes ? fmt::format("{}: accepted, {} reaches the other tenant's row", how,
                                                action == 'c' ? "CASCADE" : "SET NULL or DEFAULT")
                                  : fmt::format("{}: accepted", how),
                           writes ? "FAIL" : "SKIP");
        add_row(fmt::format("{}: {}", how, short_form(gone)), "SKIP");
    }

    std::string remedy() const {
        if (!from_.probed)
            return fmt::format("REVOKE INSERT, UPDATE ON {} FROM {}; -- or give the table a tenant key",
                               from_.table.label(), probe_.role_label());
        std::string from = quoted(from_.probed->key.name), to = quoted(to_of_.key.name), set;
        for (const auto &[own, other] : columns_) {
            from += ", " + quoted(from_.table.at(own).name);
            to += ", " + quoted(to_.table.at(other).name);
            set += (set.empty() ? "" : ", ") + quoted(from_.table.at(own).name);
        }
        std::string actions;
        const auto action = [&](const char *event, char kind) {
            if (kind == 'r') actions += fmt::format(" ON {} RESTRICT", event);
            if (kind == 'c') actions += fmt::format(" ON {} CASCADE", event);
            if (kind == 'n' || kind == 'd')
                actions += fmt::format(" ON {} SET {}{}", event, kind == 'n' ? "NULL" : "DEFAULT",
                                       std::string_view(event) == "DELETE" ? fmt::format(" ({})", set) : "");
        };
        action("DELETE", reference_.on_delete);
        action("UPDATE", reference_.on_update);
        const bool plain = from_.table.kind == RELKIND_RELATION;
        return fmt::format(
            "CREATE UNIQUE INDEX {}ON {} ({}); ALTER TABLE {} DROP CONSTRAINT {}, ADD CONSTRAINT {} FOREIGN "
            "KEY ({}) REFERENCES {} ({}){}{}; -- or composite_references: true in the step isolate",
            to_.table.kind == RELKIND_RELATION ? "CONCURRENTLY " : "", to_.table.label(), to, from_.table.label(),
            quoted(reference_.name), quoted(reference_.name), from, to_.table.label(), to, actions,
            plain ? fmt::format(" NOT VALID; ALTER TABLE {} VALIDATE CONSTRAINT {}", from_.table.label(),
                                quoted(reference_.name))
                  : "");
    }
};
} // namespace

void probe_references(Probe &probe) {
    const std::vector<Reference> references = read_references(probe);
    std::set<Oid> oids;
    for (const Reference &reference : references) {
        oids.insert(reference.from);
        oids.insert(reference.to);
    }
    const std::map<Oid, AttackTable> tables = attack_tables(probe, oids);
    for (const Reference &reference : references) {
        const auto from = tables.find(reference.from), to = tables.find(reference.to);
        if (from != tables.end() && to != tables.end() && to->second.probed)
            ReferenceAttack(probe, from->second, to->second, reference).run();
    }
}

} // namespace tenantmig

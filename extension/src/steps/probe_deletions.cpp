// What becomes of a tenant's row that a row of another tenant refers to: the error tells that there is one, and CASCADE
// and SET NULL write past the policies.
#include "steps/probe_reference_attack.hpp"

#include "catalog/own_tables.hpp"

namespace tenantmig {

namespace {
constexpr char attack[] = "referenced_row";
constexpr char expected[] = "no row of another tenant can depend on it";

class DeletionAttack : private ReferenceAttack {
public:
    using ReferenceAttack::ReferenceAttack;

    void run() const {
        if (harmless() || composite_) return; // a row of another tenant can't refer to it
        if (!from_.probed) return;            // its rows are nobody's, or nobody said whose
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
            return add(attack, nullptr, expected,
                       fmt::format("the role may neither delete rows of {} nor change the columns", to_.table.label()),
                       "PASS");
        if (!probe_.options().writes) return skip(attack, expected, "writes => false");
        const auto pairs = probe_.pairs(to_of_);
        if (pairs.empty())
            return skip(attack, expected, fmt::format("there are no two tenants with rows in {}", to_.table.label()));
        for (const ProbePair &pair : pairs)
            attack_deletion(pair, may_delete);
    }

private:
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

    // Whether the victim is let through when it refers to a row of its own.
    bool can_refer_at_all(const ProbePair &pair) const {
        const auto own = reference_to(pair.victim, pair.victim);
        const auto refer = own ? referring(pair, *own) : std::nullopt;
        if (!refer) return false;
        const Attempt made = probe_.attempt(session(pair.victim), refer->sql, refer->values);
        return !made.refused() && made.rows > 0;
    }

    void become(const std::string &tenant) const {
        for (const std::string &setting : {from_.probed->setting, to_of_.setting})
            (void)run_query("SELECT pg_catalog.set_config($1, $2, true)", {text_value(setting), text_value(tenant)});
    }

    // The attacker makes a row (bait), the victim's row refers to it (refer), the attacker removes it; all undone.
    Attempt carry_out(const ProbePair &pair, const std::optional<AttackStatement> &refer, const AttackStatement &remove,
                      const AttackStatement *bait, bool *attacked) const {
        return probe_.attempt_work(session(pair.tenant), [&] {
            Attempt result;
            AttackStatement last = remove;
            std::optional<AttackStatement> child = refer;
            become(pair.tenant);
            if (bait) {
                const Rows made = run_query(bait->sql, bait->values);
                if (made.empty()) return result;
                int place = 0;
                for (const auto &[from, to] : columns_)
                    child->values.at(child->places.at(from)) = optional_text(made.text(0, ++place));
                for (std::size_t i = 0; i < to_.identity.size(); i++)
                    last.values.at(i) = optional_text(made.text(0, ++place));
            }
            if (child) {
                become(pair.victim);
                if (run_query(child->sql, child->values).empty()) return result;
                become(pair.tenant);
            }
            *attacked = true;
            result.rows = static_cast<std::int64_t>(run_query(last.sql, last.values).size());
            return result;
        });
    }

    void attack_deletion(const ProbePair &pair, bool may_delete) const {
        const auto add_row = [&](const std::string &seen, const char *status) {
            add(attack, &pair, expected, seen, status);
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
                return add_row(fmt::format("the victim can't refer to it: {}", short_form(made)),
                               can_refer_at_all(pair) ? "PASS" : "SKIP");
        }
        const char action = may_delete ? reference_.on_delete : reference_.on_update;
        // A row that the tenant's own rows refer to would be kept by those: a new one, if it can be.
        const auto bait = !parent->crossing && may_delete ? new_parent(parent->row) : std::nullopt;
        bool attacked = false, fresh = bait.has_value();
        Attempt gone;
        if (fresh) gone = carry_out(pair, refer, *remove, &*bait, &attacked);
        if (!attacked) {
            fresh = false;
            gone = carry_out(pair, refer, *remove, nullptr, &attacked);
        }
        if (!attacked)
            return add_row(fmt::format("not tried: {}", gone.refused() ? gone.shown() : "no row could be made"),
                           "SKIP");
        const bool own = parent->own_children && !fresh;
        const std::string how = may_delete ? "DELETE" : "UPDATE";
        const bool writes = action == 'c' || action == 'n' || action == 'd';
        if (gone.sqlstate == sqlstate::foreign_key_violation && reference_.names.contains(gone.constraint))
            return add_row(fmt::format("{}: {}{}", how, short_form(gone),
                                       own ? ", of own rows too" : ": a row of another tenant exists"),
                           own ? "SKIP" : "FAIL");
        if (undecided(gone)) return add_row(fmt::format("{}: {}", how, gone.shown()), "SKIP");
        // Nobody but the victim's row refers to a new one: whatever else stands in the way is beyond that row.
        if (fresh && writes && gone.sqlstate == sqlstate::foreign_key_violation)
            return add_row(fmt::format("{}: {}: it reaches the other tenant's row", how, short_form(gone)), "FAIL");
        if (!gone.refused() && gone.rows == 0) return add_row(fmt::format("{}: no row", how), "PASS");
        if (!gone.refused())
            return add_row(writes ? fmt::format("{}: accepted, {} reaches the other tenant's row", how,
                                                action == 'c' ? "CASCADE" : "SET NULL or DEFAULT")
                                  : fmt::format("{}: accepted", how),
                           writes ? "FAIL" : "SKIP");
        // Something else keeps the row as yet. That another tenant's row refers to it stands all the same.
        add_row(fmt::format("{}: {}{}", how, short_form(gone),
                            parent->crossing ? "; a row of the victim's refers to it" : ""),
                parent->crossing ? "FAIL" : "SKIP");
    }
};
} // namespace

void probe_deletions(Probe &probe, const AttackTable &from, const AttackTable &to, const Reference &reference,
                     const std::vector<Reference> &all) {
    DeletionAttack(probe, from, to, reference, all).run();
}

} // namespace tenantmig

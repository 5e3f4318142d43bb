// Foreign keys look past row-level security: what a tenant may refer to, and what happens to rows that refer to its
// own, is not asked of the policies.
#include "steps/probe_reference_attack.hpp"

#include "catalog/own_tables.hpp"

#include <cctype>

namespace tenantmig {

namespace {
constexpr char attack[] = "foreign_key";
constexpr char expected[] = "a row of another tenant and one that is nowhere: the same answer";

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
        "below b), k.condeferrable FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype = 'f' "
        "AND k.conparentid = "
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
        one.deferrable = rows.boolean(i, 10);
        result.push_back(std::move(one));
    }
    return result;
}

bool word_ends(const std::string &text, std::size_t before, std::size_t after) {
    const auto letter = [&](std::size_t at) {
        return text[at] == '_' || std::isalnum(static_cast<unsigned char>(text[at])) != 0; // table_9 holds no 9
    };
    return (before == 0 || !letter(before - 1)) && (after >= text.size() || !letter(after));
}

// What an attacker learns from the answer. Values that stand in a text are those that he gave; of a constraint's error
// its name says all.
std::string told(const Attempt &attempt, const RowValues &given) {
    if (!attempt.constraint.empty()) return attempt.sqlstate + "|" + attempt.constraint;
    std::string message = attempt.message;
    for (const auto &[number, value] : given)
        if (value && !value->empty())
            for (auto at = message.find(*value); at != std::string::npos; at = message.find(*value, at + 1))
                if (word_ends(message, at, at + value->size())) message.replace(at, value->size(), "?");
    return fmt::format("{}|{}|{}|{}", attempt.sqlstate, attempt.constraint, attempt.refused() ? 0 : attempt.rows,
                       message);
}

class ExistenceAttack : private ReferenceAttack {
public:
    using ReferenceAttack::ReferenceAttack;

    void run() {
        if (harmless()) return;
        if (unknown_child())
            return skip(attack, expected, "it has row security and is not among the tables that are probed");
        if (!may_write()) return add(attack, nullptr, expected, "the role may not write the referring columns", "PASS");
        if (!probe_.options().writes) return skip(attack, expected, "writes => false");
        const auto pairs = probe_.pairs(to_of_);
        if (pairs.empty())
            return skip(attack, expected, fmt::format("there are no two tenants with rows in {}", to_.table.label()));
        for (const ProbePair &pair : pairs)
            attack_existence(pair);
    }

private:
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
            // In the key's name, but not by it, since it would find that row: by a guard, at once. SET CONSTRAINTS lets
            // the key itself wait for the end.
            if (decisive && reference_.deferrable && !composite_ && reference_.names.contains(victim->constraint))
                return {"FAIL", seen + "; with SET CONSTRAINTS ALL DEFERRED: not before COMMIT"};
            // Refused by this key; or there is nothing that refuses.
            if (decisive && (reference_.names.contains(none->constraint) || (!none->refused() && none->rows > 0)))
                return {"PASS", seen};
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
            add(attack, &pair, expected,
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
        add(attack, &pair, expected, best.seen, best.status);
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
        if (from != tables.end() && to != tables.end() && to->second.probed) {
            ExistenceAttack(probe, from->second, to->second, reference, references).run();
            probe_deletions(probe, from->second, to->second, reference, references);
        }
    }
}

} // namespace tenantmig

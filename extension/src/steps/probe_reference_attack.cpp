#include "steps/probe_reference_attack.hpp"

namespace tenantmig {

ReferenceAttack::ReferenceAttack(Probe &probe, const AttackTable &from, const AttackTable &to,
                                 const Reference &reference, const std::vector<Reference> &all)
    : probe_(probe), from_(from), to_(to), to_of_(*to.probed), reference_(reference) {
    const auto columns_of = [&](const Reference &one, bool *composite) {
        std::vector<std::pair<AttrNumber, AttrNumber>> columns;
        for (std::size_t i = 0; i < one.from_columns.size(); i++) {
            const bool own_key = from.probed && one.from_columns[i] == from.probed->key.number;
            if (own_key && one.to_columns[i] == to_of_.key.number)
                *composite = true;
            else if (!own_key)
                columns.emplace_back(one.from_columns[i], one.to_columns[i]);
        }
        std::sort(columns.begin(), columns.end());
        return columns;
    };
    columns_ = columns_of(reference, &composite_);
    for (const Reference &other : all) {
        bool composite = false;
        if (&other != &reference && other.from == reference.from && other.to == reference.to &&
            columns_of(other, &composite) == columns_ && composite != composite_)
            sibling_ = &other;
    }
}

bool ReferenceAttack::may_write() const {
    const auto all = [&](bool ColumnRights::*right) {
        return std::all_of(columns_.begin(), columns_.end(),
                           [&](const auto &column) { return from_.may(right, column.first); });
    };
    return all(&ColumnRights::insert) || all(&ColumnRights::update);
}

void ReferenceAttack::add(const char *attack, const ProbePair *pair, const std::string &expected,
                          const std::string &seen, const char *status) const {
    probe_.add(from_.probed, from_.table.label(), attack, reference_.name, pair, expected,
               fmt::format("{} ({})", seen, reference_.name), status,
               std::string_view(status) == "FAIL" ? remedy() : "");
}

std::optional<SampleRow> ReferenceAttack::template_row(const std::string &tenant, bool *own) const {
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

std::optional<RowValues> ReferenceAttack::reference_to(const std::string &tenant, const std::string &other) const {
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

std::optional<AttackStatement> ReferenceAttack::statement(bool update, const SampleRow &row, const RowValues &reference,
                                                          const std::string &tenant) const {
    if (update) return update_of(from_, row, reference);
    RowValues changed = reference;
    if (from_.probed && from_.may(&ColumnRights::insert, from_.probed->key.number))
        changed[from_.probed->key.number] = tenant;
    return insert_of(probe_, from_, row, changed);
}

std::string ReferenceAttack::remedy() const {
    if (!from_.probed)
        return fmt::format("REVOKE INSERT, UPDATE ON {} FROM {}; -- or give the table a tenant key",
                           from_.table.label(), probe_.role_label());
    if (sibling_)
        return fmt::format("ALTER TABLE {} DROP CONSTRAINT {}; -- which of the two stands in the error tells",
                           from_.table.label(), quoted(composite_ ? sibling_->name : reference_.name));
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
    return fmt::format("CREATE UNIQUE INDEX {}ON {} ({}); ALTER TABLE {} DROP CONSTRAINT {}, ADD CONSTRAINT {} FOREIGN "
                       "KEY ({}) REFERENCES {} ({}){}{}; -- or composite_references: true in the step isolate",
                       to_.table.kind == RELKIND_RELATION ? "CONCURRENTLY " : "", to_.table.label(), to,
                       from_.table.label(), quoted(reference_.name), quoted(reference_.name), from, to_.table.label(),
                       to, actions,
                       plain ? fmt::format(" NOT VALID; ALTER TABLE {} VALIDATE CONSTRAINT {}", from_.table.label(),
                                           quoted(reference_.name))
                             : "");
}
} // namespace tenantmig

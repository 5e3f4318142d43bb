#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "steps/constraint_kinds.hpp"
#include "steps/isolate.hpp"
#include "steps/tree_index.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;

bool partitioned(const Table &table) {
    return table.kind == RELKIND_PARTITIONED_TABLE;
}

std::string statement(const Table &table, const std::string &name, const std::string &column, bool frame) {
    return fmt::format("CREATE INDEX {}{} ON {}{} ({})", frame ? "" : "CONCURRENTLY ", tenantmig::quoted(name),
                       frame ? "ONLY " : "", table.sql(), tenantmig::quoted(column));
}
} // namespace

// What a policy's condition can use: a plain btree or hash index in the column's own collation and its type's usual
// order, over all rows with a key.
std::string leading_index(const Table &table, const Column &column) {
    Rows rows = own_query(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam JOIN "
        "pg_opclass o ON o.oid = i.indclass[0] WHERE i.indrelid = $1 AND i.indkey[0] = $2 AND i.indisvalid AND "
        "i.indisready AND i.indislive AND o.opcdefault AND i.indcollation[0] = $3 AND (m.amname = 'btree' OR m.amname "
        "= 'hash' AND i.indnkeyatts = 1) AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = format('(%I IS "
        "NOT NULL)', $4)) ORDER BY m.amname, i.indnatts, i.indexrelid LIMIT 1",
        {Value{OIDOID, ObjectIdGetDatum(table.oid), false}, int_value(column.number),
         Value{OIDOID, ObjectIdGetDatum(column.collation), false}, text_value(column.name)});
    return rows.empty() ? "" : rows.text_or(0, 1);
}

std::vector<const IsolateMember *> index_tables(const IsolateScope &scope) {
    std::vector<const IsolateMember *> result;
    for (const IsolateMember &member : scope.members)
        if (member.is_top() || !member.table.is_partition) result.push_back(&member);
    return result;
}

bool build_isolate_index(const IsolateMember &member, std::string &before, const std::function<void()> &save,
                         ConstraintChanger &changer) {
    const Table &table = member.table;
    std::string name;
    changer.note(true, [&] {
        Json document = Json::parse(before);
        name = document.value("index", std::string());
        if (!name.empty() || !leading_index(table, member.key).empty()) return;
        name = choose_name(tree_of(table), member.key.name, "idx", nullptr);
        document["index"] = name;
        before = document.dump();
        save();
    });
    if (name.empty()) return false; // there is one that isn't ours
    TENANTMIG_FAULT("isolate_index_recorded");
    if (!partitioned(table))
        return ensure_index(table, {name, statement(table, name, member.key.name, false), std::nullopt}, changer);
    return build_tree_index(table, name,
                            {[&](const Table &one, const std::string &own, bool frame) {
                                 return statement(one, own, member.key.name, frame);
                             },
                             [&](const Table &part) {
                                 std::string own;
                                 changer.note(true, [&] {
                                     Json document = Json::parse(before);
                                     Json &parts = document["parts"];
                                     const std::string label = part.label();
                                     if (!parts.is_object() || !parts.contains(label))
                                         parts[label] = choose_name({part}, member.key.name, "idx", nullptr);
                                     own = parts[label].get<std::string>();
                                     before = document.dump();
                                     save();
                                 });
                                 return own;
                             }},
                            changer);
}

bool drop_isolate_index(const Table &table, const std::string &before, ConstraintChanger &changer) {
    const Json document = Json::parse(before);
    const std::string name = document.value("index", std::string());
    if (name.empty()) return false;
    TENANTMIG_FAULT("isolate_index_dropping");
    if (!partitioned(table)) return drop_index_concurrently(table, name, changer);
    const Json parts = document.value("parts", Json::object());
    return drop_tree_index(
        table, name, [&](const Table &part) { return parts.value(part.label(), std::string()); }, changer);
}

} // namespace tenantmig

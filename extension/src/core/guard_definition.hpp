// What a guard has to know, as it is kept in the catalogue: identity and names of everything that it reads. Written
// when it is attached, read by the trigger, which works from names where the identity is another server's (after a
// restore).
#pragma once
#include "core/spec.hpp"
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenantmig::core {

struct GuardColumn {
    int number = 0;
    std::string name;
};

struct GuardTable {
    std::uint32_t oid = 0;
    std::string schema, name;
};

struct GuardCondition {
    GuardColumn column;
    std::vector<std::string> values;
    bool or_null = false;
};

struct GuardHop {
    GuardTable table;
    std::vector<GuardColumn> key, value;
    std::vector<GuardCondition> where;
};

struct GuardSource {
    std::string label;
    std::vector<GuardColumn> probe; // columns of the guarded table that lead to the first hop
    std::vector<GuardHop> hops;     // empty for a polymorphic source
    std::optional<GuardColumn> type_column;
    std::vector<std::pair<std::string, GuardHop>> types;
};

// By kind:
//   prefix       column: the text id; key, separator
//   tenant_key   column: the tenant key; root, root_key; sources: those that lead to parents; where
//   same_tenant  column: the tenant key of the child, which is `table`; sources: one, of one hop: the parent, whose
//   value
//                is its tenant key. `table` and the parent have a trigger each, with the same number; a table that is
//                its own parent has one for both
//   reference    column: the tenant key, number 0 if only existence is asked for; sources: one, polymorphic; the value
//                of each hop is the tenant key of that type's table, none if only existence is asked for
//   acyclic      column: the self reference, also the probe of the only source, whose only hop is the table itself:
//                key: what is referenced, value: the self reference
//   immutable    column: the tenant key
struct GuardDefinition {
    std::string migration; // empty: a guard of no migration
    GuardKind kind = GuardKind::tenant_key;
    GuardMode mode = GuardMode::fill; // tenant_key; reject otherwise
    Evidence evidence = Evidence::unanimous;
    std::string system;         // where the numbers are valid
    std::uint32_t database = 0; // likewise
    std::string owner;          // of the guarded table
    GuardTable table, root;
    GuardColumn column, root_key;
    GuardColumn key;       // prefix
    std::string separator; // prefix
    std::vector<GuardSource> sources;
    std::vector<GuardCondition> where; // rows that the guard is about
};

// A separator of prefix is text of 1 to this many bytes.
inline constexpr std::size_t max_separator = 16;

std::string guard_json(const GuardDefinition &definition);
// nlohmann::json::exception if it is none. A document without a kind is one of kind tenant_key.
GuardDefinition parse_guard_json(std::string_view text);

// kind_name() and mode_name() back; nullopt for other words.
std::optional<GuardKind> kind_of(std::string_view word);
std::optional<GuardMode> mode_of(std::string_view word);

} // namespace tenantmig::core

// Making lookups: which index serves, or which SQL. C++, used while an entry is made.
#pragma once
#include "bridge/relation.hpp"
#include "guards/guard_entry.hpp"

namespace tenantmig {

// Why a guard, or a part of one, can't work.
struct Unusable {
    std::string why;
    const char *state = sqlstate::prerequisite_state;
    std::string hint = "Drop the trigger, or make it anew with the names of now.";
};

struct LookupRequest {
    const Table *table = nullptr;
    std::vector<Column> keys, values;
    struct Condition {
        Column column;
        std::vector<std::string> values;
        bool or_null = false;
    };
    std::vector<Condition> conditions;
    std::optional<Column> differs; // and this column is not NULL and not the last parameter
    RowLock lock = RowLock::none;
};

class LookupLoader {
public:
    explicit LookupLoader(MemoryContext context) : context_(context) {}

    GuardLookup load(const LookupRequest &request);
    GuardCheck check(const Column &column, const std::vector<std::string> &values, bool or_null);

    const char *keep(const std::string &text);
    template <typename T>
    T *keep(const std::vector<T> &list, int *count) {
        *count = static_cast<int>(list.size());
        std::size_t size = list.size() * sizeof(T);
        MemoryContext context = context_;
        auto *copy = static_cast<T *>(pg_call([context, size] { return MemoryContextAllocZero(context, size + 1); }));
        if (size > 0) std::memcpy(static_cast<void *>(copy), list.data(), size);
        return copy;
    }

    int lookups() const { return lookups_; }
    const std::vector<Oid> &indexes() const { return indexes_; } // that lookups go through

private:
    MemoryContext context_;
    int lookups_ = 0;
    std::vector<Oid> indexes_;

    bool through_index(const LookupRequest &request, GuardLookup &lookup);
    SPIPlanPtr prepare(const std::string &sql, const GuardLookup &lookup, int parameters, Oid owner);
};

// The lock that keeps these columns of a row as they are: FOR KEY SHARE if all of them are in unique indexes whose
// change takes the strong row lock, else FOR SHARE.
RowLock sufficient_lock(Oid table, const std::vector<Column> &columns);

} // namespace tenantmig

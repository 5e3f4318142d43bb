// Values as bytes: hash keys and tenants. Two values are equal exactly if their bytes are.
#pragma once
#include "core/shared_evidence.hpp"

#include "engine/resolve.hpp"

namespace tenantmig {

// The SQL expression of a column for a class: the column itself, or its text.
std::string key_expression(const std::string &alias, const Column &column, KeyClass key_class);
// The class in which a column is compared with itself (row identity). 0A000 for types without a canonical form.
KeyClass own_class(const Column &column);

// Turns columns of a slot into the bytes of a key.
class KeyEncoder {
public:
    // `first`: the slot's column (from 0) where the key starts; its columns were selected by key_expression().
    KeyEncoder(std::vector<KeyClass> classes, int first) : classes_(std::move(classes)), first_(first) {}
    // False if one of them is NULL. The view is valid until the next call.
    bool encode(TupleTableSlot *slot, std::string_view *key);
    bool fixed8() const { return classes_.size() == 1 && classes_[0] == KeyClass::integer; }
    int end() const { return first_ + static_cast<int>(classes_.size()); }

private:
    void append(TupleTableSlot *slot, int column, KeyClass key_class);
    std::vector<KeyClass> classes_;
    int first_;
    std::string buffer_;
};

// The tenants that evidence or rows name, numbered as they appear.
class TenantDictionary {
public:
    explicit TenantDictionary(KeyClass tenant_class) : class_(tenant_class) {}
    core::TenantNo number(std::string_view encoded);
    core::TenantNo number(std::int64_t integer) { // of integer keys
        Recent &recent = recent_[static_cast<std::uint64_t>(integer) % recent_.size()];
        if (recent.tenant == core::no_tenant || recent.integer != integer)
            recent = {integer, number_of_integer(integer)};
        return recent.tenant;
    }
    core::TenantNo number_of_text(const std::string &text); // errors of the type's input function pass through
    const std::string &text(core::TenantNo tenant) const { return texts_[tenant]; }
    const std::vector<std::string> &texts() const { return texts_; } // by number
    bool is_number() const { return class_ == KeyClass::integer; }
    std::size_t size() const { return texts_.size(); }
    // Takes over the numbers, and what is known of them, of another process.
    void adopt(const core::SharedEvidence &shared);
    // Looks up in the tenant root those that were not looked up yet, as the root's owner, under the active snapshot.
    void check_known(const StepTarget &target);
    const std::vector<bool> &known() const { return known_; }
    // The same tenants under the same numbers, none of them looked up.
    TenantDictionary unchecked() const {
        TenantDictionary copy(*this);
        copy.known_.clear();
        return copy;
    }
    // The order in which people want to see tenants: numbers by value, others by text.
    bool before(core::TenantNo a, core::TenantNo b) const;

private:
    struct Recent { // asked for lately: evidence names few tenants, often
        std::int64_t integer = 0;
        core::TenantNo tenant = core::no_tenant;
    };
    core::TenantNo number_of_integer(std::int64_t integer);
    KeyClass class_;
    std::array<Recent, 1024> recent_{};
    std::unordered_map<std::string, core::TenantNo> numbers_;
    std::unordered_map<std::int64_t, core::TenantNo> integers_;
    std::vector<std::string> texts_;
    std::vector<bool> known_;
};

} // namespace tenantmig

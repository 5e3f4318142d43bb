// The engine's hash: key -> the tenants that evidence names for it, each with the number of evidence rows. Bounded: it
// says so when the next entry would not fit its budget, and the engine then partitions to disk. Pure memory, no I/O.
#pragma once
#include "core/decide.hpp"
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace tenantmig::core {

// 64 bits that depend on all of the key; for slots and for partitions (which use other bits).
std::uint64_t hash_key(std::string_view key) noexcept;

class EvidenceMap {
public:
    enum class Added : std::uint8_t { ok, full, no_memory };

    // Keys of exactly 8 bytes are kept in the slots (`fixed8`), others in blocks beside them. `budget`: bytes in all,
    // also while growing.
    EvidenceMap(bool fixed8, std::size_t budget);
    ~EvidenceMap();
    EvidenceMap(const EvidenceMap &) = delete;
    EvidenceMap &operator=(const EvidenceMap &) = delete;

    // Adds `count` rows of evidence for (key, tenant). When full nothing was added.
    Added add(std::string_view key, TenantNo tenant, std::uint64_t count) noexcept;

    // Appends {source, tenant, count} for each tenant of the key, in order of tenant number.
    void find(std::string_view key, std::uint32_t source, std::vector<Candidate> &out) const;

    std::size_t size() const noexcept { return used_; } // keys
    std::size_t bytes() const noexcept;                 // allocated
    void clear() noexcept;                              // frees everything
    void set_budget(std::size_t budget) noexcept { budget_ = budget; }

    // Calls f(key, tenant, count) for everything in it.
    template <typename F>
    void for_each(F f) const {
        for (std::size_t i = 0; i < capacity_; i++) {
            const Slot &slot = slots_[i];
            if (slot.tenant == no_tenant) continue;
            std::string_view key = slot_key(slot);
            if (slot.count & several) {
                for (std::uint32_t n = slot.count & ~several; n != end; n = more_[n].next)
                    f(key, more_[n].tenant, more_[n].count);
            } else {
                f(key, slot.tenant, static_cast<std::uint64_t>(slot.count));
            }
        }
    }

private:
    // 16 bytes. tenant == no_tenant: empty. count: rows, or `several` + the head of a list in more_.
    struct Slot {
        union {
            std::uint64_t number; // the key itself (fixed8)
            const char *text;     // u32 length, then the bytes
        };
        TenantNo tenant;
        std::uint32_t count;
    };
    struct More {
        std::uint64_t count;
        TenantNo tenant;
        std::uint32_t next;
    };
    static constexpr std::uint32_t several = 0x80000000U;
    static constexpr std::uint32_t end = 0x7fffffffU;
    static constexpr std::uint32_t count_limit = 0x7fffffffU - 1;
    static constexpr std::size_t block_size = 64 * 1024;

    std::string_view slot_key(const Slot &slot) const noexcept;
    bool same_key(const Slot &slot, std::string_view key) const noexcept;
    std::size_t position(std::string_view key, std::uint64_t hash) const noexcept;
    bool allowed(std::size_t more_bytes) const noexcept;
    Added grow() noexcept;
    Added add_to_list(Slot &slot, TenantNo tenant, std::uint64_t count) noexcept;
    Added push_more(TenantNo tenant, std::uint64_t count, std::uint32_t next, std::uint32_t *at) noexcept;
    const char *store(std::string_view key, Added *result) noexcept;

    bool fixed8_;
    std::size_t budget_, capacity_ = 0, used_ = 0;
    std::unique_ptr<Slot[]> slots_;
    std::vector<More> more_;
    std::vector<std::unique_ptr<char[]>> blocks_;
    std::size_t block_bytes_ = 0, block_used_ = 0, block_room_ = 0;
};

} // namespace tenantmig::core

// The engine's hash: key -> the tenants that evidence names for it, each with the number of evidence rows. Bounded: it
// says so when the next entry would not fit its budget, and the engine then partitions to disk. Pure memory, no I/O.
// Finished, it can be written to one block without pointers, which other processes read where it stands.
#pragma once
#include "core/decide.hpp"
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <vector>

namespace tenantmig::core {

inline std::uint64_t mix_bits(std::uint64_t x) noexcept { // the finaliser of splitmix64
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ULL;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}
inline std::uint64_t load_bytes(const char *bytes) noexcept { // eight of them
    std::uint64_t value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

// 64 bits that depend on all of the key; for slots and for partitions (which use other bits).
std::uint64_t hash_key(std::string_view key) noexcept;
std::uint64_t hash_key(std::string_view key, std::uint64_t seed) noexcept; // keyed

// What has been gathered, for reading only: a map in this process, or one in a block of memory that anybody wrote.
class EvidenceView {
public:
    EvidenceView() = default;                 // empty
    explicit EvidenceView(const char *block); // of flatten(), aligned to 8 bytes, which must outlive the view

    // Appends {source, tenant, count} for each tenant of the key, in order of tenant number.
    void find(std::string_view key, std::uint32_t source, std::vector<Candidate> &out) const {
        if (capacity_ == 0) return;
        if (const Slot &slot = fixed8_ ? number_slot(load_bytes(key.data())) : text_slot(key); slot.tenant != no_tenant)
            append(slot, source, out);
    }
    // The same for an integer key.
    void find(std::int64_t key, std::uint32_t source, std::vector<Candidate> &out) const {
        if (capacity_ == 0) return;
        if (const Slot &slot = number_slot(static_cast<std::uint64_t>(key)); slot.tenant != no_tenant)
            append(slot, source, out);
    }
    // Asks for the memory that find() of an integer key is going to read.
    void prefetch(std::int64_t key) const noexcept {
        if (capacity_ != 0)
            __builtin_prefetch(&slots_[number_position(static_cast<std::uint64_t>(key), capacity_, scattered_)]);
    }

    bool fixed8() const noexcept { return fixed8_; }
    std::size_t size() const noexcept { return used_; } // keys

    // Calls f(key, tenant, count) for everything in it.
    template <typename F>
    void for_each(F f) const {
        for (std::size_t i = 0; i < capacity_; i++) {
            const Slot &slot = slots_[i];
            if (slot.tenant == no_tenant) continue;
            const std::string_view key = slot_key(slot);
            if (slot.count & several) {
                for (std::uint32_t n = slot.count & ~several; n != end; n = more_[n].next)
                    f(key, more_[n].tenant, more_[n].count);
            } else {
                f(key, slot.tenant, static_cast<std::uint64_t>(slot.count));
            }
        }
    }

    // Bytes, a multiple of 64, that flatten() writes to a place aligned to 8, better to 64. Position-independent; in
    // the machine's byte order.
    std::size_t flat_size() const noexcept;
    void flatten(char *block) const noexcept;

private:
    friend class EvidenceMap;
    // 16 bytes. tenant == no_tenant: empty. key: the number itself (fixed8), or where its text stands, counted from
    // base_: u32 length, then the bytes. count: rows, or `several` + the head of a list in more_.
    struct Slot {
        std::uint64_t key;
        TenantNo tenant;
        std::uint32_t count;
    };
    struct More {
        std::uint64_t count;
        TenantNo tenant;
        std::uint32_t next;
    };
    struct Header { // of a block; slots, lists and texts follow
        std::uint64_t magic, fixed8, scattered, capacity, used, more, bytes, unused;
    };
    static constexpr std::uint64_t magic = 0x31646976656D74ULL;
    static constexpr std::uint32_t several = 0x80000000U;
    static constexpr std::uint32_t end = 0x7fffffffU;
    static constexpr std::uint64_t golden = 0x9E3779B97F4A7C15ULL;

    // A hash as a position below n, by multiplication: n need not be a power of two.
    static std::size_t scaled(std::uint64_t hash, std::size_t n) noexcept {
        return static_cast<std::size_t>((static_cast<unsigned __int128>(hash) * n) >> 64);
    }
    // Integer keys that are close to each other land close to each other: a table is read in physical order, and its
    // keys mostly ascend. Four neighbours share a cache line; lines are chosen by multiplication with the golden ratio,
    // which spreads keys in sequence, or in steps, evenly, where a random choice would heap some of them up. Keys that
    // it does not spread are noticed by long probes, and the map then scatters each key by itself.
    static std::size_t number_position(std::uint64_t number, std::size_t capacity, bool scattered) noexcept {
        if (scattered) return scaled(mix_bits(number * golden), capacity);
        std::uint64_t group = number >> 2;
        group = (group ^ (group >> 32)) * golden;
        return scaled(group, capacity / 4) * 4 + ((number ^ (group >> 8)) & 3);
    }
    // The slot of the key, or an empty one.
    const Slot &number_slot(std::uint64_t number) const noexcept {
        std::size_t at = number_position(number, capacity_, scattered_);
        while (slots_[at].tenant != no_tenant && slots_[at].key != number)
            at = at + 1 < capacity_ ? at + 1 : 0;
        return slots_[at];
    }
    const Slot &text_slot(std::string_view key) const noexcept;
    std::string_view slot_key(const Slot &slot) const noexcept {
        if (fixed8_) return {reinterpret_cast<const char *>(&slot.key), 8};
        const char *text = reinterpret_cast<const char *>(base_ + slot.key);
        std::uint32_t size;
        std::memcpy(&size, text, sizeof size);
        return {text + sizeof size, size};
    }
    void append(const Slot &slot, std::uint32_t source, std::vector<Candidate> &out) const {
        if (slot.count & several)
            append_list(slot, source, out);
        else
            out.push_back({source, slot.tenant, slot.count});
    }
    void append_list(const Slot &slot, std::uint32_t source, std::vector<Candidate> &out) const;
    std::size_t text_bytes() const noexcept;

    const Slot *slots_ = nullptr;
    const More *more_ = nullptr;
    std::uintptr_t base_ = 0;
    std::size_t capacity_ = 0, used_ = 0, more_count_ = 0;
    bool fixed8_ = true, scattered_ = false;
};

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

    void find(std::string_view key, std::uint32_t source, std::vector<Candidate> &out) const {
        view().find(key, source, out);
    }
    template <typename F>
    void for_each(F f) const {
        view().for_each(f);
    }
    // Asks for the memory that add() of an integer key is going to touch.
    void prefetch(std::int64_t key) const noexcept {
        if (capacity_ != 0)
            __builtin_prefetch(
                &slots_[EvidenceView::number_position(static_cast<std::uint64_t>(key), capacity_, scattered_)], 1);
    }

    EvidenceView view() const noexcept; // until something is added
    std::size_t flat_size() const noexcept { return view().flat_size(); }
    void flatten(char *block) const noexcept { view().flatten(block); }

    std::size_t size() const noexcept { return used_; } // keys
    std::size_t bytes() const noexcept;                 // allocated
    void clear() noexcept;                              // frees everything
    void set_budget(std::size_t budget) noexcept { budget_ = budget; }

private:
    using Slot = EvidenceView::Slot;
    using More = EvidenceView::More;
    static constexpr std::uint32_t several = EvidenceView::several;
    static constexpr std::uint32_t end = EvidenceView::end;
    static constexpr std::uint32_t count_limit = 0x7fffffffU - 1;
    static constexpr std::size_t block_size = 64 * 1024;

    bool allowed(std::size_t more_bytes) const noexcept;
    Added rebuild(std::size_t capacity) noexcept;
    bool crowded(std::size_t from, const Slot &slot) const noexcept;
    Added add_to_list(Slot &slot, TenantNo tenant, std::uint64_t count) noexcept;
    Added push_more(TenantNo tenant, std::uint64_t count, std::uint32_t next, std::uint32_t *at) noexcept;
    const char *store(std::string_view key, Added *result) noexcept;

    struct Free { // slots are aligned to cache lines
        void operator()(Slot *slots) const noexcept { ::operator delete[](slots, std::align_val_t{64}); }
    };
    using Slots = std::unique_ptr<Slot[], Free>;

    bool fixed8_, scattered_ = false;
    std::size_t budget_, capacity_ = 0, used_ = 0;
    Slots slots_;
    std::vector<More> more_;
    std::vector<std::unique_ptr<char[]>> blocks_;
    std::size_t block_bytes_ = 0, block_used_ = 0, block_room_ = 0;
};

} // namespace tenantmig::core

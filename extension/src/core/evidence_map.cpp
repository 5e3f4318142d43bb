#include "core/evidence_map.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace tenantmig::core {

namespace {
constexpr std::size_t first_capacity = 1024;
constexpr std::uint64_t golden = 0x9E3779B97F4A7C15ULL;

std::uint64_t mix(std::uint64_t x) noexcept { // the finaliser of splitmix64
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ULL;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

// A hash as a position below n, by multiplication: n need not be a power of two.
std::size_t scaled(std::uint64_t hash, std::size_t n) noexcept {
    return static_cast<std::size_t>((static_cast<unsigned __int128>(hash) * n) >> 64);
}

// 1024, 1536, 2048, 3072, … : small steps, because the old slots and the new ones must fit into the budget together.
std::size_t next_capacity(std::size_t capacity) noexcept {
    if (capacity == 0) return first_capacity;
    bool power_of_two = (capacity & (capacity - 1)) == 0;
    return power_of_two ? capacity / 2 * 3 : capacity / 3 * 4;
}

std::uint64_t load8(const char *bytes) noexcept {
    std::uint64_t value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}
} // namespace

std::uint64_t hash_key(std::string_view key) noexcept {
    if (key.size() == 8) return mix(load8(key.data()) * golden);
    std::uint64_t h = golden ^ key.size();
    std::size_t i = 0;
    for (; i + 8 <= key.size(); i += 8)
        h = mix(h ^ load8(key.data() + i));
    std::uint64_t tail = 0;
    if (i < key.size()) std::memcpy(&tail, key.data() + i, key.size() - i);
    return mix(h ^ tail);
}

EvidenceMap::EvidenceMap(bool fixed8, std::size_t budget) : fixed8_(fixed8), budget_(budget) {}
EvidenceMap::~EvidenceMap() = default;

std::size_t EvidenceMap::bytes() const noexcept {
    return capacity_ * sizeof(Slot) + more_.capacity() * sizeof(More) + block_bytes_;
}

bool EvidenceMap::allowed(std::size_t more_bytes) const noexcept {
    return bytes() + more_bytes <= budget_;
}

void EvidenceMap::clear() noexcept {
    slots_.reset();
    capacity_ = used_ = 0;
    std::vector<More>().swap(more_);
    blocks_.clear();
    blocks_.shrink_to_fit();
    block_bytes_ = block_used_ = block_room_ = 0;
}

std::string_view EvidenceMap::slot_key(const Slot &slot) const noexcept {
    if (fixed8_) return {reinterpret_cast<const char *>(&slot.number), 8};
    std::uint32_t size;
    std::memcpy(&size, slot.text, sizeof size);
    return {slot.text + sizeof size, size};
}

bool EvidenceMap::same_key(const Slot &slot, std::string_view key) const noexcept {
    return fixed8_ ? slot.number == load8(key.data()) : slot_key(slot) == key;
}

// Integer keys that are close to each other land close to each other (a table is read in physical order, and its keys
// mostly ascend): blocks of eight neighbours, two cache lines, are hashed as a whole. Larger blocks would save little
// and make probes step over whole blocks. Inside a block they are shuffled by the same hash, so that strided keys don't
// pile up on one slot.
std::size_t EvidenceMap::position(std::string_view key, std::uint64_t hash) const noexcept {
    if (!fixed8_) return scaled(hash, capacity_);
    std::uint64_t number = load8(key.data());
    std::uint64_t group = mix((number >> 3) * golden);
    return scaled(group, capacity_ / 8) * 8 + ((number ^ group) & 7);
}

EvidenceMap::Added EvidenceMap::grow() noexcept {
    std::size_t wanted = next_capacity(capacity_);
    if (!allowed(wanted * sizeof(Slot))) return Added::full;
    std::unique_ptr<Slot[]> bigger(new (std::nothrow) Slot[wanted]);
    if (!bigger) return Added::no_memory;
    for (std::size_t i = 0; i < wanted; i++)
        bigger[i].tenant = no_tenant;
    std::unique_ptr<Slot[]> old = std::move(slots_);
    std::size_t old_capacity = capacity_;
    slots_ = std::move(bigger);
    capacity_ = wanted;
    for (std::size_t i = 0; i < old_capacity; i++) {
        if (old[i].tenant == no_tenant) continue;
        std::string_view key = slot_key(old[i]);
        std::size_t at = position(key, fixed8_ ? 0 : hash_key(key));
        while (slots_[at].tenant != no_tenant)
            at = at + 1 < capacity_ ? at + 1 : 0;
        slots_[at] = old[i];
    }
    return Added::ok;
}

const char *EvidenceMap::store(std::string_view key, Added *result) noexcept {
    std::size_t need = sizeof(std::uint32_t) + key.size();
    if (need > block_room_ - block_used_) {
        std::size_t size = std::max(block_size, need);
        if (!allowed(size)) {
            *result = Added::full;
            return nullptr;
        }
        try {
            blocks_.emplace_back(new char[size]);
        } catch (const std::bad_alloc &) {
            *result = Added::no_memory;
            return nullptr;
        }
        block_bytes_ += size;
        block_used_ = 0;
        block_room_ = size;
    }
    char *place = blocks_.back().get() + block_used_;
    auto size = static_cast<std::uint32_t>(key.size());
    std::memcpy(place, &size, sizeof size);
    std::memcpy(place + sizeof size, key.data(), key.size());
    block_used_ += need;
    return place;
}

EvidenceMap::Added EvidenceMap::push_more(TenantNo tenant, std::uint64_t count, std::uint32_t next,
                                          std::uint32_t *at) noexcept {
    if (more_.size() == more_.capacity()) {
        std::size_t wanted = std::max<std::size_t>(64, more_.capacity() * 2);
        if (!allowed(wanted * sizeof(More))) return Added::full;
        try {
            more_.reserve(wanted);
        } catch (const std::bad_alloc &) {
            return Added::no_memory;
        }
    }
    *at = static_cast<std::uint32_t>(more_.size());
    more_.push_back({count, tenant, next});
    return Added::ok;
}

EvidenceMap::Added EvidenceMap::add_to_list(Slot &slot, TenantNo tenant, std::uint64_t count) noexcept {
    if (!(slot.count & several)) {
        if (slot.tenant == tenant && slot.count + count <= count_limit) {
            slot.count += static_cast<std::uint32_t>(count);
            return Added::ok;
        }
        std::uint32_t at;
        if (Added result = push_more(slot.tenant, slot.count, end, &at); result != Added::ok) return result;
        slot.count = several | at;
    }
    std::uint32_t head = slot.count & ~several;
    for (std::uint32_t n = head; n != end; n = more_[n].next)
        if (more_[n].tenant == tenant) {
            more_[n].count += count;
            return Added::ok;
        }
    std::uint32_t at;
    if (Added result = push_more(tenant, count, head, &at); result != Added::ok) return result;
    slot.count = several | at;
    return Added::ok;
}

EvidenceMap::Added EvidenceMap::add(std::string_view key, TenantNo tenant, std::uint64_t count) noexcept {
    if (used_ >= capacity_ - capacity_ / 4)
        if (Added result = grow(); result != Added::ok && used_ + 1 >= capacity_ - capacity_ / 8)
            return result; // denser than 87 % probes get long
    std::size_t at = position(key, fixed8_ ? 0 : hash_key(key));
    for (;; at = at + 1 < capacity_ ? at + 1 : 0) {
        Slot &slot = slots_[at];
        if (slot.tenant == no_tenant) break;
        if (same_key(slot, key)) return add_to_list(slot, tenant, count);
    }
    Slot fresh;
    if (fixed8_) {
        fresh.number = load8(key.data());
    } else {
        Added result = Added::ok;
        fresh.text = store(key, &result);
        if (!fresh.text) return result;
    }
    fresh.tenant = tenant;
    if (count <= count_limit) {
        fresh.count = static_cast<std::uint32_t>(count);
    } else {
        std::uint32_t more;
        if (Added result = push_more(tenant, count, end, &more); result != Added::ok) return result;
        fresh.count = several | more;
    }
    slots_[at] = fresh;
    used_++;
    return Added::ok;
}

void EvidenceMap::find(std::string_view key, std::uint32_t source, std::vector<Candidate> &out) const {
    if (capacity_ == 0) return;
    std::size_t at = position(key, fixed8_ ? 0 : hash_key(key));
    for (;; at = at + 1 < capacity_ ? at + 1 : 0) {
        const Slot &slot = slots_[at];
        if (slot.tenant == no_tenant) return;
        if (!same_key(slot, key)) continue;
        if (!(slot.count & several)) {
            out.push_back({source, slot.tenant, slot.count});
            return;
        }
        std::size_t first = out.size();
        for (std::uint32_t n = slot.count & ~several; n != end; n = more_[n].next)
            out.push_back({source, more_[n].tenant, more_[n].count});
        std::sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(),
                  [](const Candidate &a, const Candidate &b) { return a.tenant < b.tenant; });
        return;
    }
}

} // namespace tenantmig::core

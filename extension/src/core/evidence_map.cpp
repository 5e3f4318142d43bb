#include "core/evidence_map.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

namespace tenantmig::core {

namespace {
constexpr std::size_t first_capacity = 1024;
constexpr std::uint64_t golden = 0x9E3779B97F4A7C15ULL;

// 1024, 1536, 2048, 3072, … : small steps, because the old slots and the new ones must fit into the budget together.
std::size_t next_capacity(std::size_t capacity) noexcept {
    if (capacity == 0) return first_capacity;
    bool power_of_two = (capacity & (capacity - 1)) == 0;
    return power_of_two ? capacity / 2 * 3 : capacity / 3 * 4;
}
} // namespace

std::uint64_t hash_key(std::string_view key) noexcept {
    if (key.size() == 8) return mix_bits(load_bytes(key.data()) * golden);
    return hash_key(key, 0);
}

std::uint64_t hash_key(std::string_view key, std::uint64_t seed) noexcept {
    std::uint64_t h = golden ^ key.size() ^ seed;
    std::size_t i = 0;
    for (; i + 8 <= key.size(); i += 8)
        h = mix_bits(h ^ load_bytes(key.data() + i));
    std::uint64_t tail = 0;
    if (i < key.size()) std::memcpy(&tail, key.data() + i, key.size() - i);
    return mix_bits(h ^ tail);
}

// ---- view

EvidenceView::EvidenceView(const char *block) {
    Header header;
    std::memcpy(&header, block, sizeof header);
    if (header.magic != magic) throw std::invalid_argument("a block that holds no evidence");
    fixed8_ = header.fixed8 != 0;
    scattered_ = header.scattered != 0;
    capacity_ = header.capacity;
    used_ = header.used;
    more_count_ = header.more;
    slots_ = reinterpret_cast<const Slot *>(block + sizeof header);
    more_ = reinterpret_cast<const More *>(slots_ + capacity_);
    base_ = reinterpret_cast<std::uintptr_t>(block);
}

std::size_t EvidenceView::text_bytes() const noexcept {
    std::size_t bytes = 0;
    if (!fixed8_)
        for (std::size_t i = 0; i < capacity_; i++)
            if (slots_[i].tenant != no_tenant) bytes += sizeof(std::uint32_t) + slot_key(slots_[i]).size();
    return bytes;
}

std::size_t EvidenceView::flat_size() const noexcept {
    std::size_t bytes = sizeof(Header) + capacity_ * sizeof(Slot) + more_count_ * sizeof(More) + text_bytes();
    return (bytes + 63) / 64 * 64;
}

void EvidenceView::flatten(char *block) const noexcept {
    const Header header{magic, fixed8_, scattered_, capacity_, used_, more_count_, flat_size(), 0};
    std::memcpy(block, &header, sizeof header);
    char *slots = block + sizeof header;
    char *more = slots + capacity_ * sizeof(Slot);
    if (more_count_ > 0) std::memcpy(more, more_, more_count_ * sizeof(More));
    if (fixed8_) {
        if (capacity_ > 0) std::memcpy(slots, slots_, capacity_ * sizeof(Slot));
        return;
    }
    char *text = more + more_count_ * sizeof(More);
    for (std::size_t i = 0; i < capacity_; i++) {
        Slot slot = slots_[i];
        if (slot.tenant != no_tenant) {
            const std::string_view key = slot_key(slot);
            const auto size = static_cast<std::uint32_t>(key.size());
            slot.key = static_cast<std::uint64_t>(text - block);
            std::memcpy(text, &size, sizeof size);
            std::memcpy(text + sizeof size, key.data(), key.size());
            text += sizeof size + key.size();
        }
        std::memcpy(slots + i * sizeof slot, &slot, sizeof slot);
    }
}

const EvidenceView::Slot &EvidenceView::text_slot(std::string_view key) const noexcept {
    std::size_t at = scaled(hash_key(key), capacity_);
    while (slots_[at].tenant != no_tenant && slot_key(slots_[at]) != key)
        at = at + 1 < capacity_ ? at + 1 : 0;
    return slots_[at];
}

void EvidenceView::append_list(const Slot &slot, std::uint32_t source, std::vector<Candidate> &out) const {
    const std::size_t first = out.size();
    for (std::uint32_t n = slot.count & ~several; n != end; n = more_[n].next)
        out.push_back({source, more_[n].tenant, more_[n].count});
    std::sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(),
              [](const Candidate &a, const Candidate &b) { return a.tenant < b.tenant; });
}

// ---- map

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
    scattered_ = false;
    std::vector<More>().swap(more_);
    blocks_.clear();
    blocks_.shrink_to_fit();
    block_bytes_ = block_used_ = block_room_ = 0;
}

EvidenceView EvidenceMap::view() const noexcept {
    EvidenceView view;
    view.slots_ = slots_.get();
    view.more_ = more_.data();
    view.capacity_ = capacity_;
    view.used_ = used_;
    view.more_count_ = more_.size();
    view.fixed8_ = fixed8_;
    view.scattered_ = scattered_;
    return view;
}

EvidenceMap::Added EvidenceMap::rebuild(std::size_t wanted) noexcept {
    if (!allowed(wanted * sizeof(Slot))) return Added::full;
    auto *memory = ::operator new[](wanted * sizeof(Slot), std::align_val_t{64}, std::nothrow);
    if (!memory) return Added::no_memory;
    Slots bigger(static_cast<Slot *>(memory));
    std::uninitialized_fill_n(bigger.get(), wanted, Slot{0, no_tenant, 0});
    const EvidenceView old = view();
    for (std::size_t i = 0; i < capacity_; i++) {
        const Slot &slot = slots_[i];
        if (slot.tenant == no_tenant) continue;
        std::size_t at = fixed8_ ? EvidenceView::number_position(slot.key, wanted, scattered_)
                                 : EvidenceView::scaled(hash_key(old.slot_key(slot)), wanted);
        while (bigger[at].tenant != no_tenant)
            at = at + 1 < wanted ? at + 1 : 0;
        bigger[at] = slot;
    }
    slots_ = std::move(bigger);
    capacity_ = wanted;
    return Added::ok;
}

// Whether a slot lies so far from the position of its key that keys must have heaped up there.
bool EvidenceMap::crowded(std::size_t from, const Slot &slot) const noexcept {
    constexpr std::size_t far = 512;
    const auto at = static_cast<std::size_t>(&slot - slots_.get());
    return (at >= from ? at - from : at + capacity_ - from) > far;
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
        if (Added result = rebuild(next_capacity(capacity_));
            result != Added::ok && used_ + 1 >= capacity_ - capacity_ / 8)
            return result; // denser than 87 % probes get long
    const EvidenceView now = view();
    Slot &slot = const_cast<Slot &>(fixed8_ ? now.number_slot(load_bytes(key.data())) : now.text_slot(key));
    if (slot.tenant != no_tenant) return add_to_list(slot, tenant, count);
    Slot fresh{0, tenant, 0};
    if (fixed8_) {
        fresh.key = load_bytes(key.data());
    } else {
        Added result = Added::ok;
        const char *text = store(key, &result);
        if (!text) return result;
        fresh.key = reinterpret_cast<std::uintptr_t>(text);
    }
    if (count <= count_limit) {
        fresh.count = static_cast<std::uint32_t>(count);
    } else {
        std::uint32_t more;
        if (Added result = push_more(tenant, count, end, &more); result != Added::ok) return result;
        fresh.count = several | more;
    }
    slot = fresh;
    used_++;
    if (fixed8_ && !scattered_ && crowded(EvidenceView::number_position(fresh.key, capacity_, false), slot)) {
        scattered_ = true; // a matter of speed: without room for it everything stays as it is
        if (rebuild(capacity_) != Added::ok) scattered_ = false;
    }
    return Added::ok;
}

} // namespace tenantmig::core

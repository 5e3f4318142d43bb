#include "core/shared_evidence.hpp"

#include <stdexcept>

namespace tenantmig::core {

namespace {
constexpr std::uint64_t shared_magic = 0x65726168736D74ULL;

std::size_t aligned(std::size_t bytes) {
    return (bytes + 63) / 64 * 64; // cache lines
}

// Bytes before the tables.
std::size_t front_size(std::size_t header, const SharedEvidence::Contents &contents) {
    std::size_t bytes = header + (contents.tables.size() + contents.tenants.size() + 1) * sizeof(std::uint64_t) +
                        contents.tenants.size();
    for (const std::string &text : contents.tenants)
        bytes += text.size();
    return aligned(bytes);
}

std::uint64_t word(const char *block, std::size_t number) {
    return load_bytes(block + number * sizeof(std::uint64_t));
}
} // namespace

std::size_t SharedEvidence::flat_size(const Contents &contents) {
    std::size_t bytes = front_size(sizeof(Header), contents);
    for (const EvidenceView &table : contents.tables)
        bytes += table.flat_size();
    return bytes;
}

void SharedEvidence::flatten(const Contents &contents, char *block) {
    const std::size_t tenants = contents.tenants.size();
    const Header header{shared_magic, contents.tables.size(), tenants};
    std::memcpy(block, &header, sizeof header);
    char *place = block + sizeof header;
    auto put = [&place](std::uint64_t value) {
        std::memcpy(place, &value, sizeof value);
        place += sizeof value;
    };
    std::size_t offset = front_size(sizeof header, contents);
    for (const EvidenceView &table : contents.tables) {
        put(offset);
        table.flatten(block + offset);
        offset += table.flat_size();
    }
    offset = sizeof header + (contents.tables.size() + tenants + 1) * sizeof(std::uint64_t) + tenants;
    for (const std::string &text : contents.tenants) {
        put(offset);
        std::memcpy(block + offset, text.data(), text.size());
        offset += text.size();
    }
    put(offset);
    for (std::size_t i = 0; i < tenants; i++)
        *place++ = static_cast<char>(i < contents.known.size() && contents.known[i]);
}

SharedEvidence::SharedEvidence(const char *block) : block_(block) {
    Header header;
    std::memcpy(&header, block, sizeof header);
    if (header.magic != shared_magic) throw std::invalid_argument("a block that holds no shared evidence");
    tenants_ = header.tenants;
    const char *words = block + sizeof header;
    for (std::size_t i = 0; i < header.tables; i++)
        tables_.emplace_back(block + word(words, i));
    const char *flags = words + (header.tables + tenants_ + 1) * sizeof(std::uint64_t);
    known_.resize(tenants_);
    for (std::size_t i = 0; i < tenants_; i++)
        known_[i] = flags[i] != 0;
}

std::string_view SharedEvidence::tenant(TenantNo number) const noexcept {
    const char *words = block_ + sizeof(Header) + tables_.size() * sizeof(std::uint64_t);
    const std::uint64_t from = word(words, number), to = word(words, number + 1);
    return {block_ + from, static_cast<std::size_t>(to - from)};
}

} // namespace tenantmig::core

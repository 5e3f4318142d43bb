// SHA-256, for the files of backups.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace tenantmig::client {

class Sha256 {
public:
    void add(std::string_view bytes);
    std::string hex(); // of all that was added; nothing may be added afterwards

private:
    void block(const unsigned char *bytes);
    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<unsigned char, 64> rest_{};
    std::size_t held_ = 0;
    std::uint64_t length_ = 0;
};

} // namespace tenantmig::client

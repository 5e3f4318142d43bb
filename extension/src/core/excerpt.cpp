#include "core/excerpt.hpp"
#include "core/key_text.hpp"

namespace tenantmig::core {

std::string excerpt(std::string_view text, std::size_t limit) {
    if (text.size() <= limit) return json_string(text);
    std::size_t end = limit;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
        --end; // not within a UTF-8 character
    std::string quoted = json_string(text.substr(0, end));
    quoted.insert(quoted.size() - 1, "…");
    return quoted;
}

} // namespace tenantmig::core

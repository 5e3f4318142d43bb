// A share of rows as people read it.
#pragma once

#include <fmt/format.h>

#include <string>

namespace tenantmig::core {

// 0.871 is "87.1 %". Less than all is never "100.0 %": it gets as many digits as tell it from that.
inline std::string percent(double share) {
    int digits = 1;
    std::string text = fmt::format("{:.1f}", share * 100);
    while (share < 1 && digits < 6 && text.starts_with("100"))
        text = fmt::format("{:.{}f}", share * 100, ++digits);
    return text + " %";
}

} // namespace tenantmig::core

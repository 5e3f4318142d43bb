// Text of other people inside our messages: quoted, escaped and cut, so that a name of a megabyte or with a line break
// in it does no harm to whoever reads the error.
#pragma once
#include <string>
#include <string_view>

namespace tenantmig::core {

// `text` as a JSON string with its quotes; cut at a character boundary to at most `limit` bytes, with … where it was
// cut.
std::string excerpt(std::string_view text, std::size_t limit = 80);

} // namespace tenantmig::core

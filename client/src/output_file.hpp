// A file that is there as a whole or not at all.
#pragma once
#include <string>
#include <string_view>

namespace tenantmig::client {

// Writes a new file beside it and puts it into its place, mode 0644, so that a reader at any moment sees the old
// content or the new one; on the disk before that. Its name ends in .tmp until then. Status 1 if that fails; nothing is
// left.
void replace_file(const std::string &path, std::string_view content);

} // namespace tenantmig::client

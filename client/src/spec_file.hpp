// Spec files: YAML or JSON in, the JSON document that the server takes out.
#pragma once
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace tenantmig::client {

struct SpecFile {
    std::string name; // for messages
    nlohmann::json document;
    std::map<std::string, std::size_t> lines; // line of each path (steps[0].backfill.table); empty for JSON files

    // "FILE, line N" of a path or of the nearest path above it that has a line.
    [[nodiscard]] std::string location(const std::string &path) const;
};

// Reads and converts. Status 3, with the line where there is one: unreadable, empty, over 16 MiB, not UTF-8, not YAML
// or JSON, several documents, anchors and aliases, duplicate keys, numbers that JSON or the server cannot hold, no
// mapping; and what read_sql_files() refuses.
SpecFile read_spec(const std::string &path, bool sql_files_anywhere = false);

// The two readers. `content` is UTF-8 without NUL.
void read_yaml(const std::string &content, SpecFile &spec);
void read_json(const std::string &content, SpecFile &spec);

} // namespace tenantmig::client

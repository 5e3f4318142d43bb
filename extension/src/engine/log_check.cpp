#include "core/excerpt.hpp"

#include "catalog/report_archive.hpp"
#include "engine/log_check.hpp"

namespace tenantmig {

namespace {
struct Digest {
    std::int64_t run = 0, entries = 0, rows = 0;
    std::vector<std::pair<std::int32_t, std::string>> heads; // chain, hash in hex
};

bool read_number(std::string_view text, std::int64_t *number) {
    if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string_view::npos)
        return false;
    *number = std::stoll(std::string(text));
    return true;
}

// run=R entries=N rows=M chain0=HEX …, with any white space between and around.
std::optional<Digest> parse_digest(std::string_view text) {
    Digest digest;
    std::size_t position = 0;
    constexpr std::string_view space = " \t\r\n";
    for (std::size_t at = text.find_first_not_of(space); at != std::string_view::npos;
         at = text.find_first_not_of(space, at)) {
        std::string_view word = text.substr(at, text.find_first_of(space, at) - at);
        at += word.size();
        std::size_t equals = word.find('=');
        if (equals == std::string_view::npos) return std::nullopt;
        std::string_view name = word.substr(0, equals), value = word.substr(equals + 1);
        std::int64_t number = 0;
        if (position < 3) {
            constexpr std::array<std::string_view, 3> names = {"run", "entries", "rows"};
            if (name != names[position] || !read_number(value, position == 0   ? &digest.run
                                                               : position == 1 ? &digest.entries
                                                                               : &digest.rows))
                return std::nullopt;
        } else if (!name.starts_with("chain") || !read_number(name.substr(5), &number) || number > INT32_MAX ||
                   value.size() != 64 || value.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
            return std::nullopt;
        } else {
            digest.heads.emplace_back(static_cast<std::int32_t>(number), std::string(value));
        }
        position++;
    }
    if (position < 3) return std::nullopt;
    return digest;
}

// The log may have grown since the digest was taken: then each head is still the hash of some entry, and what lies up
// to there is what was counted then.
CheckRow check_digest(std::int64_t run, const std::string &text) {
    std::optional<Digest> digest = parse_digest(text);
    const char *hint = "Give the text that tenantmig.digest(run) returned.";
    if (!digest)
        throw Error(sqlstate::invalid_parameter_value, fmt::format("not a digest: {}", core::excerpt(text)),
                    "Expected: run=R entries=N rows=M chain0=HEX.", hint);
    if (digest->run != run)
        throw Error(sqlstate::invalid_parameter_value,
                    fmt::format("the digest is that of run {}, not of run {}", digest->run, run), {}, hint);
    std::string actual = log_digest(run);
    CheckRow row = {"digest", "PASS", text, actual, "the heads of the chains are those of the digest", {}};
    std::int64_t entries = 0, rows = 0;
    bool found_all = true;
    for (const auto &[chain, head] : digest->heads) {
        auto position = find_entry(run, chain, head);
        found_all = found_all && position;
        entries += position ? position->entry : 0;
        rows += position ? position->rows : 0;
    }
    if (!found_all || entries != digest->entries || rows != digest->rows) {
        row.status = "FAIL";
        row.detail = "the log is not the one that had this digest: entries were removed or replaced";
        row.hint = "Find out who could write to tenantmig.change_log, and restore the log from a backup.";
        return row;
    }
    std::int64_t now = parse_digest(actual).value_or(Digest{}).entries;
    if (now > entries)
        row.detail = fmt::format("the digest's heads are in the chains; {} {} added since (decisions, a rollback)",
                                 now - entries, now - entries == 1 ? "entry was" : "entries were");
    return row;
}

// The log can't be recomputed any more; whether it was the one with this digest is known all the same.
CheckRow check_archived_digest(std::int64_t run, const std::string &text) {
    std::optional<Digest> digest = parse_digest(text);
    if (!digest || digest->run != run) return check_digest(run, text); // refuses it
    const std::string actual = log_digest(run);
    const std::optional<Digest> archived = parse_digest(actual);
    const bool same = archived && archived->entries == digest->entries && archived->rows == digest->rows &&
                      archived->heads == digest->heads;
    CheckRow row = {"digest", "PASS", text, actual, "the digest is the one that the log had when it was purged", {}};
    if (same) return row;
    row.status = "WARN";
    row.detail = "the log had another digest when it was purged: it had grown since, or was not the same";
    return row;
}
} // namespace

std::vector<CheckRow> check_log(std::int64_t run, const std::optional<std::string> &digest) {
    std::vector<CheckRow> result;
    if (auto purged = log_purged_at(run)) {
        result.push_back({"chain 0",
                          "WARN",
                          "the change log of the run",
                          fmt::format("purged at {}", *purged),
                          "only its digest and the report of the run are left",
                          {}});
        if (digest) result.push_back(check_archived_digest(run, *digest));
        return result;
    }
    for (const ChainState &chain : check_chains(run)) {
        CheckRow row;
        row.check_name = fmt::format("chain {}", chain.chain);
        row.expected = "each entry's hash follows from its content and the entry before it";
        if (chain.first_bad) {
            row.status = "FAIL";
            row.actual = fmt::format("first bad entry: {}", *chain.first_bad);
            row.detail = fmt::format("entry {} of chain {}: {}", *chain.first_bad, chain.chain, chain.problem);
            row.hint = "Find out who could write to tenantmig.change_log, and restore the log from a backup; rollback "
                       "refuses this run.";
        } else {
            row.status = "PASS";
            row.actual = fmt::format("{} {}, {} {}", chain.entries, chain.entries == 1 ? "entry" : "entries",
                                     chain.rows, chain.rows == 1 ? "row" : "rows");
        }
        result.push_back(std::move(row));
    }
    if (result.empty())
        result.push_back({"chain 0",
                          "PASS",
                          "each entry's hash follows from its content and the entry before it",
                          "no entries",
                          "the run wrote nothing, or its whole log was removed: only a digest kept outside tells",
                          {}});
    if (digest) result.push_back(check_digest(run, *digest));
    return result;
}

void require_log(std::int64_t run) {
    if (auto purged = log_purged_at(run))
        throw Error(sqlstate::prerequisite_state, fmt::format("the change log of run {} was purged", run),
                    fmt::format("It went at {}: the run cannot be undone any more.", *purged),
                    fmt::format("SELECT tenantmig.report({}) tells what it did.", run));
}

void require_intact_log(std::int64_t run) {
    require_log(run);
    for (const ChainState &chain : check_chains(run))
        if (chain.first_bad)
            throw Error(sqlstate::log_tampered, fmt::format("the change log of run {} was tampered with", run),
                        fmt::format("Entry {} of chain {}: {}.", *chain.first_bad, chain.chain, chain.problem),
                        fmt::format("SELECT * FROM tenantmig.verify_changes({}); restore tenantmig.change_log from a "
                                    "backup, then call this again.",
                                    run));
}

} // namespace tenantmig

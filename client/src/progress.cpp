#include "progress.hpp"
#include "client_error.hpp"
#include "text.hpp"
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

constexpr std::size_t widest_bar = 40, narrowest_bar = 8;

std::optional<double> number(const Cell &cell) {
    double value = 0;
    if (!cell || std::from_chars(cell->data(), cell->data() + cell->size(), value).ec != std::errc() ||
        !std::isfinite(value))
        return std::nullopt;
    return value;
}

std::string grouped(double value) {
    std::string digits = fmt::format("{:.0f}", std::max(value, 0.0));
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(digits.begin() + at, ',');
    return digits;
}

std::string head(const Progress &progress) {
    std::string text = progress.relation.empty() ? progress.migration : progress.relation;
    if (!progress.phase.empty() && progress.phase != "walk") text += "  " + progress.phase;
    return text;
}

std::string joined(const std::vector<std::string> &parts) {
    std::string text;
    for (const std::string &part : parts)
        if (!part.empty()) (text += text.empty() ? "" : "  ") += part;
    return text;
}

// The parts in the order in which they stand.
enum Part : std::size_t { name, bar, percent, rows, rate, eta, batch, path, hot, workers, count };

std::vector<std::string> parts_of(const Progress &progress) {
    std::vector<std::string> parts(Part::count);
    parts[Part::name] = head(progress);
    if (progress.total > 0) {
        parts[Part::percent] = percent_text(progress);
        parts[Part::rows] = grouped(progress.done) + "/" + grouped(progress.total);
    }
    if (progress.rate) parts[Part::rate] = grouped(*progress.rate) + " rows/s";
    if (progress.eta) parts[Part::eta] = fmt::format("ETA {}", duration_text(*progress.eta));
    if (progress.batch && *progress.batch > 0) parts[Part::batch] = fmt::format("batch {}", grouped(*progress.batch));
    parts[Part::path] = progress.path;
    if (progress.hot) parts[Part::hot] = fmt::format("HOT {:.0f} %", std::floor(*progress.hot * 100));
    if (progress.workers > 0)
        parts[Part::workers] = fmt::format("{} worker{}", progress.workers, progress.workers == 1 ? "" : "s");
    return parts;
}

} // namespace

Progress read_progress(Connection &connection, const std::string &run) {
    const Result found = connection.query(
        "SELECT r.migration, r.state, r.error, p.phase, p.relation, p.path, p.throttle, "
        "coalesce(p.rows_done, r.row_done), coalesce(p.rows_total, r.row_total), p.percent, p.rate, "
        "pg_catalog.date_part('epoch', p.eta), p.batch_rows, p.hot_share, p.workers "
        "FROM tenantmig.runs r LEFT JOIN tenantmig.stat_progress p ON p.run_id OPERATOR(pg_catalog.=) r.id "
        "WHERE r.id OPERATOR(pg_catalog.=) $1::pg_catalog.int8",
        {run});
    if (found.rows.empty())
        throw ClientError(ExitStatus::failure, ErrorText{fmt::format("run {} does not exist", run), "",
                                                         "tenantmig status  lists the runs", "42704", ""});
    const auto &row = found.rows.front();
    Progress progress;
    progress.run = run;
    std::size_t at = 0;
    for (std::string *text : {&progress.migration, &progress.state, &progress.error, &progress.phase,
                              &progress.relation, &progress.path, &progress.throttle})
        *text = row.at(at++).value_or("");
    progress.done = number(row.at(at++)).value_or(0);
    progress.total = number(row.at(at++)).value_or(0);
    const auto percentage = number(row.at(at++));
    progress.percent = percentage ? *percentage : progress.total > 0 ? progress.done * 100 / progress.total : 0;
    for (std::optional<double> *value : {&progress.rate, &progress.eta, &progress.batch, &progress.hot})
        *value = number(row.at(at++));
    progress.workers = static_cast<unsigned>(std::max(number(row.at(at)).value_or(0), 0.0));
    return progress;
}

std::string fitting(const std::string &text, std::size_t width) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = code_point_at(text, at).length;
        const std::string longer = out + text.substr(at, length);
        if (display_width(printable(longer)) > width) break;
        out = longer;
        at += length;
    }
    return out;
}

std::string percent_text(const Progress &progress) {
    return fmt::format("{:.0f} %", std::floor(std::clamp(progress.percent, 0.0, 100.0)));
}

std::string duration_text(double seconds) {
    constexpr double minute = 60, hour = 3600, day = 86400;
    const double whole = std::max(std::round(seconds), 0.0);
    const auto two = [&](double unit, const char *name, double smaller, const char *smaller_name) {
        const double rest = std::floor(std::fmod(whole, unit) / smaller);
        return fmt::format("{:.0f} {}", std::floor(whole / unit), name) +
               (rest > 0 ? fmt::format(" {:.0f} {}", rest, smaller_name) : "");
    };
    if (whole < minute) return fmt::format("{:.0f} s", whole);
    if (whole < hour) return two(minute, "min", 1, "s");
    if (whole < day) return two(hour, "h", minute, "min");
    return two(day, "d", hour, "h");
}

std::string progress_text(const Progress &progress) {
    return joined(parts_of(progress));
}

std::string progress_bar(const Progress &progress, std::size_t width, std::size_t reserve) {
    std::vector<std::string> parts = parts_of(progress);
    const std::size_t room = width - std::min(width, reserve + 1); // the last column would wrap
    const bool has_bar = progress.total > 0;
    // of a length that changes with the terminal alone, so that the line stands still while the numbers move
    constexpr std::size_t frame = 4; // its brackets, and the space before it
    const std::size_t length = std::clamp(room / 5, narrowest_bar, widest_bar);
    const auto needed = [&] { return display_width(printable(joined(parts))) + (has_bar ? length + frame : 0); };
    // why it goes through SQL is long, and stands in `status` too
    if (needed() > room && parts[Part::path].starts_with("sql")) parts[Part::path] = "sql";
    for (const Part part : {Part::hot, Part::batch, Part::path, Part::workers, Part::rate, Part::rows})
        if (needed() > room) parts[part].clear();
    if (has_bar && needed() <= room) {
        const auto full =
            static_cast<std::size_t>(std::clamp(progress.percent, 0.0, 100.0) / 100 * static_cast<double>(length));
        parts[Part::bar] = fmt::format("[{:#<{}}{:.<{}}]", "", full, "", length - full);
    }
    return fitting(joined(parts), room);
}

} // namespace tenantmig::client

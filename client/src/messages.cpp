#include "messages.hpp"
#include "log_file.hpp"
#include "text.hpp"
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>

namespace tenantmig::client::messages {

namespace {

bool be_quiet = false;
bool in_progress_line = false;
bool ignore_progress = false;
bool in_steps = false;

// Quiet or not, it goes to the log.
void write_line(std::string_view text, bool shown = true) {
    const std::string line = printable(text, LineBreaks::keep) + '\n';
    if (shown) std::fwrite(line.data(), 1, line.size(), stderr);
    log_file::write(line);
}

void write_part(std::string_view label, const std::string &text, bool shown = true) {
    if (!text.empty()) write_line(fmt::format("{}: {}", label, text), shown);
}

// "400000 of 1000000 rows, 40 %", "12 of 100 tables, 340 probes": progress; nothing else of the server's notices speaks
// that way.
bool is_progress(std::string_view text) {
    for (std::size_t at = text.find(" of "); at != std::string_view::npos; at = text.find(" of ", at + 1)) {
        std::size_t digits = at + 4;
        while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0)
            ++digits;
        if (digits > at + 4 && at > 0 && std::isdigit(static_cast<unsigned char>(text[at - 1])) != 0 &&
            (text.substr(digits).starts_with(" rows, ") || text.substr(digits).starts_with(" tables, ")))
            return true;
    }
    return false;
}

// "step 2 (index) customers idx: applied in 1.2 s", as up and down say it, in columns that line up.
std::optional<std::string> step_line(std::string_view text) {
    constexpr std::string_view start = "step ";
    const std::size_t open = text.find(" ("), close = text.find(')'), end = text.rfind(": ");
    if (!text.starts_with(start) || open == std::string_view::npos || close == std::string_view::npos || close < open ||
        end == std::string_view::npos || end < close)
        return std::nullopt;
    const std::string_view number = text.substr(start.size(), open - start.size());
    if (number.empty() || number.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
    constexpr std::size_t subject_width = 44;
    std::string subject(text.substr(close + 1, end - close - 1));
    if (subject.starts_with(' ')) subject.erase(0, 1);
    const std::size_t width = display_width(printable(subject));
    if (width < subject_width) subject.append(subject_width - width, ' ');
    return fmt::format("  step {:>2}  {:<11} {}  {}", number, text.substr(open + 2, close - open - 2), subject,
                       text.substr(end + 2));
}

} // namespace

void set_quiet(bool quiet) {
    be_quiet = quiet;
}

bool in_progress() {
    return in_progress_line;
}

void ignore_progress_notices(bool ignore) {
    ignore_progress = ignore;
}

void align_step_notices(bool align) {
    in_steps = align;
}

bool has_colours(int descriptor) {
    const char *refused = std::getenv("NO_COLOR");
    const char *terminal = std::getenv("TERM");
    return isatty(descriptor) != 0 && (refused == nullptr || *refused == '\0') && terminal != nullptr &&
           std::string_view(terminal) != "dumb";
}

bool progress_on_terminal() {
    return isatty(STDERR_FILENO) != 0;
}

std::size_t terminal_width() {
    constexpr std::size_t usual = 80, narrowest = 20;
    std::size_t columns = 0;
    if (const char *text = std::getenv("COLUMNS")) columns = std::strtoul(text, nullptr, 10);
    winsize size{};
    if (columns == 0 && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
    return columns == 0 ? usual : std::max(columns, narrowest);
}

void show_progress(std::string_view line, std::string_view alert) {
    if (be_quiet || !progress_on_terminal()) {
        write_line(std::string(line) + std::string(alert), !be_quiet);
        return;
    }
    log_file::write_progress(printable(line) + printable(alert));
    const bool coloured = !alert.empty() && has_colours(STDERR_FILENO);
    const std::string text = "\r" + printable(line) + (coloured ? "\033[33m" : "") + printable(alert) +
                             (coloured ? "\033[0m" : "") + "\033[K";
    std::fwrite(text.data(), 1, text.size(), stderr);
    in_progress_line = true;
}

void end_progress() {
    if (in_progress_line) std::fputc('\n', stderr);
    in_progress_line = false;
}

void show_error(const ErrorText &text) {
    end_progress();
    write_line("error: " + text.message);
    write_part("DETAIL", text.detail);
    write_part("HINT", text.hint);
    write_part("LOCATION", text.location);
    write_part("SQLSTATE", text.state);
}

void show_remark(std::string_view text) {
    end_progress();
    write_line(text, !be_quiet);
}

void finish_progress(std::string_view line) {
    if (in_progress_line) std::fputs("\r\033[K", stderr);
    in_progress_line = false;
    write_line(line, !be_quiet);
}

void show_notice(std::string_view severity, const ErrorText &text) {
    if (is_progress(text.message)) {
        if (!ignore_progress) show_progress(text.message);
        return;
    }
    if (in_steps && severity == "NOTICE") {
        if (const auto line = step_line(text.message)) {
            finish_progress(*line);
            return;
        }
    }
    end_progress();
    std::string label(severity);
    for (char &c : label)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    write_part(label, text.message, !be_quiet);
    write_part("DETAIL", text.detail, !be_quiet);
    write_part("HINT", text.hint, !be_quiet);
}

} // namespace tenantmig::client::messages

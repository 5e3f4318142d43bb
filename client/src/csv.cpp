#include "csv.hpp"
#include "input_file.hpp"
#include <algorithm>
#include <string_view>

namespace tenantmig::client {

namespace {

char separator_of(std::string_view line) {
    char best = ',';
    std::ptrdiff_t most = 0;
    for (const char candidate : {',', ';', '\t'}) {
        const auto found = std::count(line.begin(), line.end(), candidate);
        if (found > most) {
            most = found;
            best = candidate;
        }
    }
    return best;
}

class Reader {
public:
    Reader(const std::string &content, const std::string &name) : content_(content), name_(name) {
        const std::size_t end = std::min(content.find_first_of("\r\n"), content.size());
        const std::string_view first = std::string_view(content).substr(0, end);
        if (first.size() == 5 && first.starts_with("sep=")) { // a line that spreadsheets write for each other
            separator_ = first[4];
            at_ = end;
            line_break();
        } else {
            separator_ = separator_of(first);
        }
    }

    std::vector<CsvRecord> all() {
        std::vector<CsvRecord> records;
        while (at_ < content_.size()) {
            CsvRecord record = next();
            const bool is_empty = std::all_of(record.cells.begin(), record.cells.end(),
                                              [](const std::string &cell) { return cell.empty(); });
            if (!is_empty) records.push_back(std::move(record));
        }
        return records;
    }

private:
    CsvRecord next() {
        CsvRecord record{line_, {}};
        for (;;) {
            record.cells.push_back(at_ < content_.size() && content_[at_] == '"' ? quoted() : plain());
            if (at_ >= content_.size() || content_[at_] != separator_) break;
            ++at_;
        }
        if (at_ < content_.size() && !line_break())
            fail_document(name_, line_, "text stands after a quoted cell", "",
                          "a quote inside a quoted cell is written twice");
        return record;
    }

    std::string plain() {
        const char stop[] = {separator_, '\r', '\n', '"'};
        const std::size_t end = std::min(content_.find_first_of(stop, at_, sizeof stop), content_.size());
        if (end < content_.size() && content_[end] == '"')
            fail_document(name_, line_, "a quote stands inside a cell that is not quoted", "",
                          "a cell with a quote in it is put in quotes, and the quote is written twice");
        std::string cell = content_.substr(at_, end - at_);
        at_ = end;
        return cell;
    }

    std::string quoted() {
        const std::size_t started = line_;
        std::string cell;
        for (++at_; at_ < content_.size(); ++at_) {
            const char c = content_[at_];
            if (c == '"') {
                if (at_ + 1 >= content_.size() || content_[at_ + 1] != '"') {
                    ++at_;
                    return cell;
                }
                ++at_;
            } else if (c == '\n') {
                ++line_;
            }
            cell += c;
        }
        fail_document(name_, started, "a quoted cell is never closed", "It runs to the end of the file.");
    }

    bool line_break() {
        const std::size_t before = at_;
        if (at_ < content_.size() && content_[at_] == '\r') ++at_;
        if (at_ < content_.size() && content_[at_] == '\n') ++at_;
        if (at_ > before) ++line_;
        return at_ > before;
    }

    const std::string &content_;
    const std::string &name_;
    std::size_t at_ = 0;
    std::size_t line_ = 1;
    char separator_ = ',';
};

} // namespace

std::vector<CsvRecord> read_csv(const std::string &content, const std::string &name) {
    return Reader(content, name).all();
}

} // namespace tenantmig::client

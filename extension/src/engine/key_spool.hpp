// Rows by key, kept on disk across transactions, written once and read in order: what a run still has to write through
// SQL.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

struct SpooledRow {
    std::string key;          // packed, in the form of the change log
    std::uint32_t label = 0;  // what names the tenant
    std::uint32_t tenant = 0; // number in the run's dictionary
    std::uint8_t kind = 0;    // as the writer likes
    std::uint8_t outcome = 0; // core::Outcome
    bool deleted = false;
    std::string current, candidates; // of a row to be taken back
};

class KeySpool {
public:
    KeySpool();
    ~KeySpool();
    KeySpool(const KeySpool &) = delete;
    KeySpool &operator=(const KeySpool &) = delete;
    void write(const SpooledRow &row);
    void rewind();
    bool read(SpooledRow *row); // false: the end
    std::int64_t rows() const { return rows_; }

private:
    void put(const void *data, std::size_t size);
    void get(void *data, std::size_t size);
    BufFile *file_;
    std::int64_t rows_ = 0, left_ = 0;
};

} // namespace tenantmig

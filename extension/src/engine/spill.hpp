// Records on disk: temporary files of the transaction, for evidence that does not fit into maintenance_work_mem.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// A temporary file of records of two byte strings. Written, then read once from the start. Belongs to the current
// (sub)transaction, whoever's resource owner is active when it is made.
class SpillFile {
public:
    SpillFile();
    ~SpillFile();
    SpillFile(const SpillFile &) = delete;
    SpillFile &operator=(const SpillFile &) = delete;
    void write(std::string_view first, std::string_view second);
    void rewind();
    bool read(std::string *first, std::string *second); // false: the end
    std::uint64_t records() const { return records_; }

private:
    BufFile *file_;
    std::string buffer_;
    std::uint64_t records_ = 0, left_ = 0;
};

// A fixed number of files, made when first written to.
class SpillSet {
public:
    explicit SpillSet(std::size_t count) : files_(count) {}
    SpillFile &file(std::size_t number);
    SpillFile *existing(std::size_t number) { return files_[number].get(); }
    void drop(std::size_t number) { files_[number].reset(); }
    std::size_t count() const { return files_.size(); }

private:
    std::vector<std::unique_ptr<SpillFile>> files_;
};

} // namespace tenantmig

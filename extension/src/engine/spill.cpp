#include "engine/spill.hpp"

namespace tenantmig {

SpillFile::SpillFile() {
    file_ = pg_call([] {
        MemoryContext context = MemoryContextSwitchTo(CurTransactionContext);
        ResourceOwner owner = CurrentResourceOwner;
        CurrentResourceOwner = CurTransactionResourceOwner;
        BufFile *file = BufFileCreateTemp(false);
        CurrentResourceOwner = owner;
        MemoryContextSwitchTo(context);
        return file;
    });
}

SpillFile::~SpillFile() {
    if (std::uncaught_exceptions() > 0) return; // the (sub)transaction's end removes it
    try {
        pg_call([file = file_] { BufFileClose(file); });
    } catch (...) { // likewise
    }
}

void SpillFile::write(std::string_view first, std::string_view second) {
    std::uint32_t sizes[2] = {static_cast<std::uint32_t>(first.size()), static_cast<std::uint32_t>(second.size())};
    buffer_.assign(reinterpret_cast<const char *>(sizes), sizeof sizes);
    buffer_.append(first);
    buffer_.append(second);
    char *data = buffer_.data();
    std::size_t size = buffer_.size();
    pg_call([file = file_, data, size] { BufFileWrite(file, data, size); });
    records_++;
}

void SpillFile::rewind() {
    pg_call([file = file_] {
        if (BufFileSeek(file, 0, 0, SEEK_SET) != 0)
            ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind temporary file: %m")));
    });
    left_ = records_;
}

namespace {
void read_exactly(BufFile *file, void *data, std::size_t size) {
    pg_call([file, data, size] {
        if (BufFileRead(file, data, size) != size)
            ereport(ERROR, (errcode_for_file_access(), errmsg("could not read temporary file: %m")));
    });
}
} // namespace

bool SpillFile::read(std::string *first, std::string *second) {
    if (left_ == 0) return false;
    left_--;
    std::uint32_t sizes[2];
    read_exactly(file_, sizes, sizeof sizes);
    first->resize(sizes[0]);
    second->resize(sizes[1]);
    if (sizes[0]) read_exactly(file_, first->data(), sizes[0]);
    if (sizes[1]) read_exactly(file_, second->data(), sizes[1]);
    return true;
}

SpillFile &SpillSet::file(std::size_t number) {
    if (!files_[number]) files_[number] = std::make_unique<SpillFile>();
    return *files_[number];
}

} // namespace tenantmig

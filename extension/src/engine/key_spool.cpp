#include "engine/key_spool.hpp"

namespace tenantmig {

namespace {
struct Head {
    std::uint32_t key, current, candidates, label, tenant;
    std::uint8_t kind, outcome, deleted, unused;
};
} // namespace

KeySpool::KeySpool() {
    file_ = pg_call([] {
        MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);
        BufFile *file = BufFileCreateTemp(true);
        MemoryContextSwitchTo(context);
        return file;
    });
}

KeySpool::~KeySpool() {
    try {
        pg_call([file = file_] { BufFileClose(file); });
    } catch (...) { // the end of the process removes it
    }
}

void KeySpool::put(const void *data, std::size_t size) {
    if (size == 0) return;
    char *bytes = static_cast<char *>(const_cast<void *>(data));
    pg_call([file = file_, bytes, size] { BufFileWrite(file, bytes, size); });
}

void KeySpool::get(void *data, std::size_t size) {
    if (size == 0) return;
    pg_call([file = file_, data, size] {
        if (BufFileRead(file, data, size) != size)
            ereport(ERROR, (errcode_for_file_access(), errmsg("could not read temporary file: %m")));
    });
}

void KeySpool::write(const SpooledRow &row) {
    Head head = {static_cast<std::uint32_t>(row.key.size()),
                 static_cast<std::uint32_t>(row.current.size()),
                 static_cast<std::uint32_t>(row.candidates.size()),
                 row.label,
                 row.tenant,
                 row.kind,
                 row.outcome,
                 row.deleted,
                 0};
    put(&head, sizeof head);
    put(row.key.data(), row.key.size());
    put(row.current.data(), row.current.size());
    put(row.candidates.data(), row.candidates.size());
    rows_++;
}

void KeySpool::rewind() {
    pg_call([file = file_] {
        if (BufFileSeek(file, 0, 0, SEEK_SET) != 0)
            ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind temporary file: %m")));
    });
    left_ = rows_;
}

bool KeySpool::read(SpooledRow *row) {
    if (left_ == 0) return false;
    left_--;
    Head head;
    get(&head, sizeof head);
    row->label = head.label;
    row->tenant = head.tenant;
    row->kind = head.kind;
    row->outcome = head.outcome;
    row->deleted = head.deleted != 0;
    for (auto [text, size] : {std::pair{&row->key, head.key}, std::pair{&row->current, head.current},
                              std::pair{&row->candidates, head.candidates}}) {
        text->resize(size);
        get(text->data(), size);
    }
    return true;
}

} // namespace tenantmig

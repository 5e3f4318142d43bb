#include "core/evidence_map.hpp"

#include "engine/verdicts.hpp"

namespace tenantmig {

namespace {
struct Record { // followed by `candidates` candidates
    BlockNumber block;
    std::uint16_t offset;
    std::uint8_t outcome, unused;
    std::uint32_t tenant, source, candidates;
    std::uint64_t key; // hash of the row's key: a line pointer may be another row's by now
};

std::vector<std::pair<std::int16_t, bool>> storage_of_key(const StepTarget &target) {
    std::vector<std::pair<std::int16_t, bool>> result;
    for (AttrNumber number : target.key) {
        Oid type = target.table.at(number).type;
        std::pair<std::int16_t, bool> storage;
        pg_call([type, &storage] { get_typlenbyval(type, &storage.first, &storage.second); });
        result.push_back(storage);
    }
    return result;
}

void append_image(std::string &image, Datum datum, std::pair<std::int16_t, bool> storage) {
    if (storage.second) {
        image.append(reinterpret_cast<const char *>(&datum), sizeof datum);
    } else if (storage.first > 0) {
        image.append(DatumGetPointer(datum), static_cast<std::size_t>(storage.first));
    } else if (storage.first == -1) {
        auto *value = pg_call([datum] { return PG_DETOAST_DATUM_PACKED(datum); });
        image.append(VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value)));
        if (PointerGetDatum(value) != datum) pfree(value);
    } else {
        image.append(DatumGetCString(datum));
    }
    image.push_back('\0');
}

// The last process that lets go of a shared set of files deletes it, and counts them; where that happens as late as in
// a process's exit, statistics have gone, and the server with them. So whoever spools deletes his files earlier.
FileSet files_of_this_process;

void delete_files(int, Datum) {
    FileSetDeleteAll(&files_of_this_process);
}

void delete_at_exit(const FileSet &files) {
    static bool registered = false;
    files_of_this_process = files;
    if (!std::exchange(registered, true)) pg_call([] { before_shmem_exit(delete_files, 0); });
}

std::string file_name(std::uint64_t walk, std::uint32_t leaf, BlockNumber segment) {
    return fmt::format("verdicts.{}.{}.{}", walk, leaf, segment);
}
} // namespace

VerdictSpool::VerdictSpool(RunShared *run, std::uint64_t walk, const StepTarget &target,
                           const std::vector<Leaf> &leaves)
    : run_(run), walk_(walk), target_(target), key_storage_(storage_of_key(target)) {
    for (std::uint32_t i = 0; i < leaves.size(); i++)
        leaves_[leaves[i].oid] = i;
    delete_at_exit(run->files.fs);
}

VerdictSpool::~VerdictSpool() {
    try {
        close();
    } catch (...) { // the transaction's end closes the file
    }
}

void VerdictSpool::close() {
    if (!file_) return;
    BufFile *file = std::exchange(file_, nullptr);
    if (std::uncaught_exceptions() > 0) return;
    pg_call([file] {
        BufFileExportFileSet(file);
        BufFileClose(file);
    });
}

void VerdictSpool::open(std::uint32_t leaf, BlockNumber segment) {
    close();
    bool fresh = written_.insert({leaf, segment}).second;
    leaf_ = leaf;
    segment_ = segment;
    std::string name = file_name(walk_, leaf, segment);
    const char *text = name.c_str();
    FileSet *files = &run_->files.fs;
    // Rows mostly come in their physical order, but an index scan may bring them in its own: then files go on.
    file_ = pg_call([files, text, fresh] {
        MemoryContext context = MemoryContextSwitchTo(CurTransactionContext);
        ResourceOwner owner = CurrentResourceOwner;
        CurrentResourceOwner = CurTransactionResourceOwner;
        BufFile *file = fresh ? BufFileCreateFileSet(files, text) : BufFileOpenFileSet(files, text, O_RDWR, false);
        if (!fresh && BufFileSeek(file, 0, 0, SEEK_END) != 0)
            ereport(ERROR, (errcode_for_file_access(), errmsg("could not seek in temporary file: %m")));
        CurrentResourceOwner = owner;
        MemoryContextSwitchTo(context);
        return file;
    });
}

void VerdictSpool::row(const EvaluatedRow &row) {
    auto known = leaves_.find(row.relation);
    if (known == leaves_.end()) return; // attached since; the sweep takes its rows
    BlockNumber block = ItemPointerGetBlockNumberNoCheck(&row.tid);
    if (!file_ || leaf_ != known->second || segment_ != block / verdict_blocks)
        open(known->second, block / verdict_blocks);
    buffer_.clear();
    for (std::size_t i = 0; i < key_storage_.size(); i++)
        append_image(buffer_, row.slot->tts_values[i], key_storage_[i]);
    Record record = {};
    record.block = block;
    record.offset = ItemPointerGetOffsetNumberNoCheck(&row.tid);
    record.outcome = static_cast<std::uint8_t>(row.decision.outcome);
    record.tenant = row.decision.tenant;
    record.source = row.decision.source;
    record.candidates =
        row.decision.outcome == core::Outcome::assigned ? 0 : static_cast<std::uint32_t>(row.candidates.size());
    record.key = core::hash_key(buffer_);
    buffer_.assign(reinterpret_cast<const char *>(&record), sizeof record);
    if (record.candidates)
        buffer_.append(reinterpret_cast<const char *>(row.candidates.data()),
                       row.candidates.size() * sizeof(core::Candidate));
    BufFile *file = file_;
    char *data = buffer_.data();
    std::size_t size = buffer_.size();
    pg_call([file, data, size] { BufFileWrite(file, data, size); });
}

void VerdictSpool::finish() {
    close();
}

namespace {
class SpooledVerdicts : public Verdicts {
public:
    SpooledVerdicts(RunShared *run, std::uint64_t walk, const StepTarget &target)
        : run_(run), walk_(walk), target_(target), key_storage_(storage_of_key(target)) {}

    void begin(const BlockRange &range, const HeapWriter &writer) override {
        key_.clear();
        for (AttrNumber number : target_.key)
            key_.push_back(writer.number_in_leaf(number));
        BlockNumber segment = range.from / verdict_blocks;
        if (loaded_ && leaf_ == range.leaf && segment_ == segment) {
            return;
        }
        load(range.leaf, segment);
    }

    bool decide(const LeafRow &row, core::Decision *decision, std::vector<core::Candidate> *candidates) override {
        BlockNumber block = ItemPointerGetBlockNumberNoCheck(&row.tid);
        OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&row.tid);
        auto before = [](const Place &a, const Place &b) {
            return std::tie(a.block, a.offset) < std::tie(b.block, b.offset);
        };
        Place wanted = {block, offset, 0};
        auto found = std::lower_bound(places_.begin(), places_.end(), wanted, before);
        if (found == places_.end() || found->block != block || found->offset != offset) return false;
        Record record;
        std::memcpy(&record, data_.data() + found->at, sizeof record);
        image_.clear();
        for (std::size_t i = 0; i < key_.size(); i++)
            append_image(image_, row.values[key_[i] - 1], key_storage_[i]);
        if (core::hash_key(image_) != record.key) return false;
        *decision = {static_cast<core::Outcome>(record.outcome), record.tenant, record.source};
        candidates->resize(record.candidates);
        std::memcpy(static_cast<void *>(candidates->data()), data_.data() + found->at + sizeof record,
                    record.candidates * sizeof(core::Candidate));
        return true;
    }

private:
    struct Place {
        BlockNumber block;
        OffsetNumber offset;
        std::size_t at;
    };

    void load(std::uint32_t leaf, BlockNumber segment) {
        loaded_ = false;
        data_.clear();
        places_.clear();
        std::string name = file_name(walk_, leaf, segment);
        const char *text = name.c_str();
        FileSet *files = &run_->files.fs;
        BufFile *file = pg_call([files, text] { return BufFileOpenFileSet(files, text, O_RDONLY, true); });
        if (file) {
            auto size = static_cast<std::size_t>(pg_call([file] { return BufFileSize(file); }));
            data_.resize(size);
            char *data = data_.data();
            pg_call([file, data, size] {
                if (size > 0 && BufFileRead(file, data, size) != size)
                    ereport(ERROR, (errcode_for_file_access(), errmsg("could not read temporary file: %m")));
                BufFileClose(file);
            });
            for (std::size_t at = 0; at < size;) {
                Record record;
                std::memcpy(&record, data + at, sizeof record);
                places_.push_back({record.block, record.offset, at});
                at += sizeof record + record.candidates * sizeof(core::Candidate);
            }
            auto before = [](const Place &a, const Place &b) {
                return std::tie(a.block, a.offset) < std::tie(b.block, b.offset);
            };
            if (!std::is_sorted(places_.begin(), places_.end(), before))
                std::sort(places_.begin(), places_.end(), before);
        }
        leaf_ = leaf;
        segment_ = segment;
        loaded_ = true;
    }

    RunShared *run_;
    std::uint64_t walk_;
    const StepTarget &target_;
    std::vector<std::pair<std::int16_t, bool>> key_storage_;
    std::vector<AttrNumber> key_;
    bool loaded_ = false;
    std::uint32_t leaf_ = 0;
    BlockNumber segment_ = 0;
    std::string data_, image_;
    std::vector<Place> places_;
};
} // namespace

std::unique_ptr<Verdicts> spooled_verdicts(RunShared *run, std::uint64_t walk, const StepTarget &target) {
    return std::make_unique<SpooledVerdicts>(run, walk, target);
}

} // namespace tenantmig

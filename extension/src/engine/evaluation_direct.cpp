// Rows of the target read below SQL: page by page, with the decision for each made from evidence in memory.
#include "core/decide.hpp"

#include "engine/evaluation.hpp"
#include "engine/row_decider.hpp"

namespace tenantmig {

std::optional<std::string> Evaluation::why_by_sql() const {
    const StepTarget &target = step_.target;
    if (auto why = options_.shared ? RowDecider::not_possible(step_) : RowDecider::not_possible(step_, *this))
        return why;
    if (options_.row_keys && !TupleEncoder::possible(target.table, target.key, identity_classes(target)))
        return "the type of the table's key";
    return why_not_plain_heap(target.table);
}

namespace {
// A row whose values have been taken out of its tuple.
struct RowValues {
    std::vector<Datum> values;
    std::unique_ptr<bool[]> isnull;
    bool wanted = false;
};

// Rows are deformed so many ahead of the one that is handed on, so that the memory of their evidence arrives in time.
constexpr int ahead = 16;

// One relation of the target.
class LeafScan {
public:
    LeafScan(const ResolvedStep &step, const Evaluation &evaluation, const EvaluationOptions &options, Oid relation)
        : pages_(relation), decider_(options.shared ? RowDecider(step, *options.shared, pages_.descriptor(), relation)
                                                    : RowDecider(step, evaluation, pages_.descriptor(), relation)) {
        const Table &table = step.target.table;
        const TupleDesc descriptor = pages_.descriptor();
        std::vector<AttrNumber> wanted = decider_.attributes();
        for (AttrNumber number : step.target.key)
            key_.push_back(number_in(descriptor, relation, table, number));
        wanted.insert(wanted.end(), key_.begin(), key_.end());
        column_ = number_in(descriptor, relation, table, step.target.column.number);
        wanted.push_back(column_);
        all_rows_ = options.all_rows;
        const std::array<KeyClass, 1> tenant_class = {step.tenant_class};
        current_ = TupleEncoder(table, {&step.target.column.number, 1}, tenant_class, descriptor, relation);
        if (step.target.soft_delete) {
            deleted_ = number_in(descriptor, relation, table, step.target.soft_delete->number);
            wanted.push_back(deleted_);
        }
        if (options.row_keys)
            row_key_ = TupleEncoder(table, step.target.key, identity_classes(step.target), descriptor, relation);
        layout_.emplace(descriptor, wanted);
        for (RowValues &row : rows_) {
            row.values.resize(layout_->size());
            row.isnull = std::make_unique<bool[]>(layout_->size());
        }
    }

    bool next_page() {
        at_ = 0;
        if (!pages_.next()) return false;
        for (int i = 0; i < std::min(ahead, pages_.rows()); i++)
            load(i);
        return true;
    }
    // The next row of the page that is asked for; false at the page's end.
    bool next(core::Decision *decision, std::vector<core::Candidate> &candidates) {
        for (; at_ < pages_.rows(); at_++) {
            row_ = &rows_[static_cast<std::size_t>(at_ % ring)];
            if (at_ + ahead < pages_.rows()) load(at_ + ahead);
            if (!row_->wanted) continue;
            decider_.decide(row_->values.data(), row_->isnull.get(), decision, candidates);
            tid_ = pages_.position(at_++);
            return true;
        }
        return false;
    }

    // Of the row that next() has given.
    ItemPointerData tid() const { return tid_; }
    bool deleted() const { return deleted_ != 0 && !row_->isnull[deleted_ - 1]; }
    bool current(std::string_view *tenant) {
        return all_rows_ && current_.encode(row_->values.data(), row_->isnull.get(), tenant);
    }
    std::string_view row_key() {
        std::string_view key;
        (void)row_key_.encode(row_->values.data(), row_->isnull.get(), &key);
        return key;
    }
    void fill(TupleTableSlot *slot) const {
        for (std::size_t i = 0; i < key_.size(); i++) {
            slot->tts_values[i] = row_->values[static_cast<std::size_t>(key_[i] - 1)];
            slot->tts_isnull[i] = row_->isnull[key_[i] - 1];
        }
    }
    TupleTableSlot *make_slot() const {
        TupleDesc from = pages_.descriptor();
        const AttrNumber *key = key_.data();
        int count = static_cast<int>(key_.size());
        return pg_call([from, key, count] {
            TupleDesc descriptor = CreateTemplateTupleDesc(count);
            for (int i = 0; i < count; i++)
                TupleDescCopyEntry(descriptor, static_cast<AttrNumber>(i + 1), from, key[i]);
            TupleTableSlot *slot = MakeSingleTupleTableSlot(descriptor, &TTSOpsVirtual);
            return ExecStoreAllNullTuple(slot);
        });
    }

private:
    static constexpr int ring = 2 * ahead;
    void load(int number) {
        RowValues &row = rows_[static_cast<std::size_t>(number % ring)];
        HeapTupleHeader tuple = pages_.row(number);
        row.wanted = all_rows_ || !TupleLayout::has_value(tuple, column_);
        if (!row.wanted) return;
        layout_->deform(tuple, row.values.data(), row.isnull.get());
        row.wanted = (all_rows_ || row.isnull[column_ - 1]) && decider_.in_scope(row.values.data(), row.isnull.get());
        if (row.wanted) decider_.prefetch(row.values.data(), row.isnull.get());
    }

    HeapPages pages_;
    RowDecider decider_;
    std::optional<TupleLayout> layout_;
    TupleEncoder current_, row_key_;
    std::vector<AttrNumber> key_;
    AttrNumber column_ = 0, deleted_ = 0;
    bool all_rows_ = false;
    int at_ = 0;
    ItemPointerData tid_ = {};
    std::array<RowValues, ring> rows_;
    RowValues *row_ = nullptr;
};

// Memory for what a consumer allocates while it is given a portion of rows. Left to its parent on the way out of an
// error, as the scan is.
class PortionMemory {
public:
    PortionMemory() : home_(CurrentMemoryContext) {
        own_ = pg_call(
            [] { return AllocSetContextCreate(CurrentMemoryContext, "tenantmig portion", ALLOCSET_DEFAULT_SIZES); });
    }
    ~PortionMemory() {
        leave();
        if (std::uncaught_exceptions() == 0) MemoryContextDelete(own_);
    }
    PortionMemory(const PortionMemory &) = delete;
    PortionMemory &operator=(const PortionMemory &) = delete;
    void enter() { MemoryContextSwitchTo(own_); }
    void leave() { MemoryContextSwitchTo(home_); }
    void reset() { MemoryContextReset(own_); }

private:
    MemoryContext home_, own_;
};
} // namespace

void Evaluation::evaluate_directly(RowConsumer &consumer) {
    const StepTarget &target = step_.target;
    PortionMemory memory;
    TupleTableSlot *slot = nullptr;
    core::Decision decision;
    long portion = 0;
    std::optional<RunAs> reader(std::in_place, target.table.owner, Purpose::read);
    for (Oid relation : leaves_in_order(target.table)) {
        if (!reader) reader.emplace(target.table.owner, Purpose::read);
        LeafScan scan(step_, *this, options_, relation);
        if (!slot) slot = scan.make_slot();
        while (scan.next_page()) {
            while (scan.next(&decision, candidates_)) {
                if (!reader) reader.emplace(target.table.owner, Purpose::read);
                std::string_view current;
                scan.fill(slot);
                EvaluatedRow row{slot,     target.key.size(), {},         scan.deleted(), core::no_tenant,
                                 decision, candidates_,       scan.tid(), relation};
                memory.enter();
                if (options_.row_keys) row.key = scan.row_key();
                if (scan.current(&current)) row.current = tenants_.number(current);
                consumer.row(row);
                memory.leave();
                if (++portion < options_.portion) continue;
                reader.reset();
                consumer.portion_done();
                memory.reset();
                portion = 0;
            }
        }
    }
    reader.reset();
    if (portion > 0) consumer.portion_done();
    if (slot) pg_call([slot] { ExecDropSingleTupleTableSlot(slot); });
}

} // namespace tenantmig

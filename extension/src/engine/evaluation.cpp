#include "core/decide.hpp"

#include "engine/evaluation.hpp"

namespace tenantmig {

SnapshotScope::SnapshotScope() {
    pg_call([] {
        CommandCounterIncrement();
        PushActiveSnapshot(GetTransactionSnapshot());
    });
}

SnapshotScope::~SnapshotScope() {
    if (std::uncaught_exceptions() > 0) return; // popped with the (sub)transaction
    try {
        pg_call([] { PopActiveSnapshot(); });
    } catch (...) { // likewise
    }
}

std::string condition_sql(const std::string &alias, const std::vector<ResolvedCondition> &conditions,
                          std::vector<Value> &values) {
    std::string sql;
    for (const ResolvedCondition &condition : conditions) {
        const Column &column = condition.column;
        std::string name = alias + "." + quoted(column.name);
        std::string part;
        if (!condition.values.empty()) {
            values.push_back(text_array_value(std::span<const std::string>(condition.values)));
            part = fmt::format("{} {} ANY (${}::{}[])", name, equality_operator(column.type), values.size(),
                               column.type_name);
        }
        if (condition.or_null) part += fmt::format("{}{} IS NULL", part.empty() ? "" : " OR ", name);
        sql += fmt::format(" AND ({})", part);
    }
    return sql;
}

namespace {
void deform(TupleTableSlot *slot) {
    pg_call([slot] { slot_getallattrs(slot); });
}
} // namespace

std::vector<KeyClass> identity_classes(const StepTarget &target) {
    std::vector<KeyClass> classes;
    for (AttrNumber number : target.key)
        classes.push_back(own_class(target.table.at(number)));
    return classes;
}

Evaluation::Evaluation(const ResolvedStep &step, TenantDictionary &tenants, EvidenceMemory &memory,
                       EvaluationOptions options)
    : step_(step), memory_(memory), options_(options), tenants_(tenants), sources_(step.sources.size()),
      row_key_({}, 0), current_({}, 0) {}

bool Evaluation::spilled() const {
    for (const SourceTables &source : sources_)
        for (const auto &table : source.tables)
            if (table->spilled()) return true;
    return false;
}

// ---- rows

std::string Evaluation::scan_sql(std::vector<Value> &values) {
    const StepTarget &target = step_.target;
    std::vector<std::string> columns;
    for (AttrNumber number : target.key)
        columns.push_back("t." + quoted(target.table.at(number).name));
    if (target.soft_delete) {
        deleted_column_ = static_cast<int>(columns.size());
        columns.push_back(fmt::format("(t.{} IS NOT NULL)", quoted(target.soft_delete->name)));
    }
    if (options_.all_rows) {
        current_column_ = static_cast<int>(columns.size());
        current_ = KeyEncoder({step_.tenant_class}, current_column_);
        columns.push_back("t." + quoted(target.column.name));
    }
    if (options_.row_keys) {
        std::vector<KeyClass> classes = identity_classes(target);
        row_key_ = KeyEncoder(classes, static_cast<int>(columns.size()));
        for (std::size_t i = 0; i < classes.size(); i++)
            columns.push_back(key_expression("t", target.table.at(target.key[i]), classes[i]));
    }
    for (std::size_t i = 0; i < step_.sources.size(); i++) {
        const ResolvedSource &source = step_.sources[i];
        SourceTables &tables = sources_[i];
        tables.probes.clear();
        if (source.type_column) {
            tables.type_column = static_cast<int>(columns.size());
            columns.push_back(fmt::format("(t.{}::pg_catalog.text)", quoted(target.table.at(source.type_column).name)));
        }
        auto probe = [&](const Hop &hop) {
            tables.probes.emplace_back(hop.classes, static_cast<int>(columns.size()));
            for (std::size_t k = 0; k < source.probe.size(); k++)
                columns.push_back(key_expression("t", target.table.at(source.probe[k]), hop.classes[k]));
        };
        if (source.types.empty()) probe(source.hops.front());
        for (const auto &[type, hop] : source.types)
            probe(hop);
    }
    if (options_.positions) {
        position_column_ = static_cast<int>(columns.size());
        columns.insert(columns.end(), {"t.ctid", "t.tableoid"});
    }
    std::string sql = "SELECT ";
    for (std::size_t i = 0; i < columns.size(); i++)
        sql += (i ? ", " : "") + columns[i];
    sql += fmt::format(" FROM {} AS t WHERE {}", target.table.target(),
                       options_.all_rows ? "true" : "t." + quoted(target.column.name) + " IS NULL");
    return sql + condition_sql("t", step_.where, values);
}

// The table that this row's reference leads to; nullptr for a type that isn't mapped.
EvidenceTable *Evaluation::table_for(std::size_t number, TupleTableSlot *slot, KeyEncoder **probe) {
    SourceTables &source = sources_[number];
    std::size_t type = 0;
    if (source.type_column >= 0) {
        if (slot->tts_isnull[source.type_column]) return nullptr;
        std::string_view value = text_view(slot->tts_values[source.type_column]);
        const auto &types = step_.sources[number].types;
        while (type < types.size() && types[type].first != value)
            type++;
        if (type == types.size()) return nullptr;
    }
    *probe = &source.probes[type];
    return source.tables[type].get();
}

void Evaluation::gather(TupleTableSlot *slot, std::size_t source) {
    KeyEncoder *probe = nullptr;
    EvidenceTable *table = table_for(source, slot, &probe);
    std::string_view key;
    if (table && !table->spilled() && probe->encode(slot, &key))
        table->find(key, static_cast<std::uint32_t>(source), candidates_);
}

void Evaluation::emit(TupleTableSlot *slot, RowConsumer &consumer) {
    std::string_view key, current;
    if (options_.row_keys) (void)row_key_.encode(slot, &key);
    core::TenantNo tenant = core::no_tenant;
    if (current_column_ >= 0 && current_.encode(slot, &current)) tenant = tenants_.number(current);
    bool deleted = deleted_column_ >= 0 && DatumGetBool(slot->tts_values[deleted_column_]);
    EvaluatedRow row{slot,        step_.target.key.size(),
                     key,         deleted,
                     tenant,      core::decide(step_.policy, candidates_, tenants_.known()),
                     candidates_, {},
                     InvalidOid};
    ItemPointerSetInvalid(&row.tid);
    if (position_column_ >= 0) {
        row.tid = *reinterpret_cast<ItemPointer>(DatumGetPointer(slot->tts_values[position_column_]));
        row.relation = DatumGetObjectId(slot->tts_values[position_column_ + 1]);
    }
    consumer.row(row);
}

std::vector<core::EvidenceView> Evaluation::views() const {
    std::vector<core::EvidenceView> views;
    for (const SourceTables &source : sources_)
        for (const auto &table : source.tables)
            views.push_back(table->view());
    return views;
}

std::size_t Evaluation::shared_size() const {
    return core::SharedEvidence::flat_size({views(), tenants_.texts(), tenants_.known()});
}

void Evaluation::share(char *block) const {
    core::SharedEvidence::flatten({views(), tenants_.texts(), tenants_.known()}, block);
}

void Evaluation::evaluate(RowConsumer &consumer) {
    if (!why_by_sql()) return evaluate_directly(consumer);
    std::vector<Value> values;
    std::string sql = scan_sql(values);
    if (spilled())
        evaluate_spilled(sql, values, consumer);
    else
        evaluate_in_memory(sql, values, consumer);
}

void Evaluation::evaluate_in_memory(const std::string &sql, std::span<const Value> values, RowConsumer &consumer) {
    std::optional<RunAs> owner(std::in_place, step_.target.table.owner, Purpose::read);
    Cursor cursor(sql, values);
    owner.reset();
    for (std::uint64_t rows = 1; rows > 0;) {
        {
            RunAs reader(step_.target.table.owner, Purpose::read);
            rows = cursor.fetch(options_.portion, [&](TupleTableSlot *slot) {
                deform(slot);
                candidates_.clear();
                for (std::size_t i = 0;
                     i < sources_.size() && !(step_.policy.evidence == core::Evidence::first && !candidates_.empty());
                     i++)
                    gather(slot, i);
                emit(slot, consumer);
                return true;
            });
        }
        if (rows > 0) consumer.portion_done();
    }
}

namespace {
struct Answer {        // of one spilled source for one row
    std::uint32_t row; // within its bucket
    core::Candidate candidate;
};

// The rows of a scan, kept in order: in memory up to a limit, then on disk.
class RowStore {
public:
    RowStore(TupleDesc descriptor, std::size_t bytes) : descriptor_(descriptor) {
        store_ = pg_call([bytes] {
            ResourceOwner owner = CurrentResourceOwner;
            MemoryContext context = MemoryContextSwitchTo(CurTransactionContext);
            CurrentResourceOwner = CurTransactionResourceOwner;
            Tuplestorestate *store = tuplestore_begin_heap(false, false, static_cast<int>(bytes / 1024));
            CurrentResourceOwner = owner;
            MemoryContextSwitchTo(context);
            return store;
        });
    }
    ~RowStore() {
        if (std::uncaught_exceptions() == 0) tuplestore_end(store_);
    }
    RowStore(const RowStore &) = delete;
    RowStore &operator=(const RowStore &) = delete;
    void put(TupleTableSlot *slot) {
        pg_call([store = store_, slot] {
            ResourceOwner owner = CurrentResourceOwner;
            CurrentResourceOwner = CurTransactionResourceOwner;
            tuplestore_puttupleslot(store, slot);
            CurrentResourceOwner = owner;
        });
        rows_++;
    }
    std::uint64_t rows() const { return rows_; }
    TupleTableSlot *slot() {
        TupleDesc descriptor = descriptor_;
        return pg_call([descriptor] { return MakeSingleTupleTableSlot(descriptor, &TTSOpsMinimalTuple); });
    }
    bool next(TupleTableSlot *slot) {
        return pg_call([store = store_, slot] { return tuplestore_gettupleslot(store, true, false, slot); });
    }

private:
    TupleDesc descriptor_;
    Tuplestorestate *store_;
    std::uint64_t rows_ = 0;
};
} // namespace

// Pass 1: rows into a store, look-ups into the partitions of spilled tables. Pass 2: the partitions answer; answers are
// sorted by row into buckets. Pass 3: rows in order again, with the answers of their bucket.
void Evaluation::evaluate_spilled(const std::string &sql, std::span<const Value> values, RowConsumer &consumer) {
    const std::size_t bucket_rows = std::max<std::size_t>(
        256, memory_.for_partition() / (sizeof(Answer) * 2 * std::max<std::size_t>(1, sources_.size())));
    std::optional<RunAs> owner(std::in_place, step_.target.table.owner, Purpose::read);
    Cursor cursor(sql, values);
    RowStore rows(cursor.descriptor(), std::max<std::size_t>(64 * 1024, memory_.for_partition() / 4));
    for (std::uint64_t read = 1; read > 0;)
        read = cursor.fetch(options_.portion, [&](TupleTableSlot *slot) {
            deform(slot);
            std::uint64_t number = rows.rows();
            for (std::size_t i = 0; i < sources_.size(); i++) {
                KeyEncoder *probe = nullptr;
                EvidenceTable *table = table_for(i, slot, &probe);
                std::string_view key;
                if (table && table->spilled() && probe->encode(slot, &key))
                    table->defer(key, {reinterpret_cast<const char *>(&number), sizeof number});
            }
            rows.put(slot);
            return true;
        });
    owner.reset();

    SpillSet buckets(rows.rows() / bucket_rows + 1);
    for (std::size_t i = 0; i < sources_.size(); i++)
        for (auto &table : sources_[i].tables)
            if (table->spilled())
                table->drain(static_cast<std::uint32_t>(i),
                             [&](std::string_view payload, const std::vector<core::Candidate> &answers) {
                                 std::uint64_t number;
                                 std::memcpy(&number, payload.data(), sizeof number);
                                 SpillFile &bucket = buckets.file(number / bucket_rows);
                                 for (const core::Candidate &candidate : answers) {
                                     Answer record{static_cast<std::uint32_t>(number % bucket_rows), candidate};
                                     bucket.write({reinterpret_cast<const char *>(&record), sizeof record}, {});
                                 }
                             });

    TupleTableSlot *slot = rows.slot();
    std::vector<Answer> answers;
    std::string record, unused;
    std::size_t next = 0;
    long portion = 0;
    std::optional<RunAs> reader;
    for (std::uint64_t number = 0; rows.next(slot); number++) {
        if (!reader) reader.emplace(step_.target.table.owner, Purpose::read);
        if (number % bucket_rows == 0) {
            answers.clear();
            next = 0;
            if (SpillFile *bucket = buckets.existing(number / bucket_rows)) {
                bucket->rewind();
                while (bucket->read(&record, &unused)) {
                    Answer answer;
                    std::memcpy(&answer, record.data(), sizeof answer);
                    answers.push_back(answer);
                }
                buckets.drop(number / bucket_rows);
                std::sort(answers.begin(), answers.end(), [](const Answer &a, const Answer &b) {
                    return std::tie(a.row, a.candidate.source, a.candidate.tenant) <
                           std::tie(b.row, b.candidate.source, b.candidate.tenant);
                });
            }
        }
        deform(slot);
        std::size_t end = next;
        while (end < answers.size() && answers[end].row == number % bucket_rows)
            end++;
        candidates_.clear();
        for (std::size_t i = 0; i < sources_.size(); i++) {
            gather(slot, i);
            for (; next < end && answers[next].candidate.source == i; next++)
                candidates_.push_back(answers[next].candidate);
        }
        emit(slot, consumer);
        if (++portion == options_.portion) {
            reader.reset();
            consumer.portion_done();
            portion = 0;
        }
    }
    reader.reset();
    if (portion > 0) consumer.portion_done();
    pg_call([slot] { ExecDropSingleTupleTableSlot(slot); });
}

} // namespace tenantmig

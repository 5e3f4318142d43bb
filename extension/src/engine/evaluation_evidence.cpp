// Reading of evidence: hop by hop from the far end, below SQL where that gives the same, through SQL elsewhere.
#include "core/decide.hpp"

#include "engine/evaluation.hpp"
#include "engine/tuple_encoder.hpp"

namespace tenantmig {

// Sums what evidence is read, by the tenants' texts, and notes the tenants that it names.
class EvidenceDigester {
public:
    EvidenceDigester(const core::DigestSeed &seed, const TenantDictionary &tenants) : sum_(seed), tenants_(tenants) {}
    void table(std::size_t source, std::size_t type) {
        sum_.table(static_cast<std::uint32_t>(source), static_cast<std::uint32_t>(type));
    }
    void add(std::string_view key, core::TenantNo tenant, std::uint64_t count) {
        sum_.add(key, hash_of(tenant), count);
    }
    core::EvidenceDigest finish() { // once the tenants have been looked up
        sum_.table(UINT32_MAX, 0);
        for (core::TenantNo tenant = 0; tenant < hashes_.size(); tenant++)
            if (named_[tenant]) sum_.add(hashes_[tenant], tenants_.known()[tenant] ? 1 : 0, 1);
        return sum_.sum();
    }

private:
    std::uint64_t hash_of(core::TenantNo tenant) {
        while (hashes_.size() <= tenant) {
            hashes_.push_back(sum_.tenant(tenants_.text(static_cast<core::TenantNo>(hashes_.size()))));
            named_.push_back(0);
        }
        named_[tenant] = 1;
        return hashes_[tenant];
    }
    core::EvidenceSum sum_;
    const TenantDictionary &tenants_;
    std::vector<std::uint64_t> hashes_; // by number
    std::vector<char> named_;
};

// Where the rows of one hop go: into a table, into a digest, or into the deferred look-ups of a table on disk.
class HopSink {
public:
    // `next`: the table in which values are looked up, nullptr where they are tenants. `overlay`: in which rows without
    // a value are looked up, or nullptr. `into`: nullptr to read for the digest only.
    HopSink(TenantDictionary &tenants, EvidenceTable *next, EvidenceTable *overlay, EvidenceTable *into,
            EvidenceDigester *digester)
        : tenants_(tenants), next_(next), overlay_(overlay), into_(into), digester_(digester) {}

    bool reads_tenants() const { return next_ == nullptr; }
    bool has_overlay() const { return overlay_ != nullptr; }
    TenantDictionary &tenants() { return tenants_; }
    std::uint64_t rows() const { return rows_; }

    void prefetch(std::int64_t key) const {
        if (into_) into_->prefetch(key);
    }
    void value(std::string_view key, std::string_view value) {
        rows_++;
        if (next_)
            look_up(*next_, key, value);
        else
            named(key, tenants_.number(value), 1);
    }
    void tenant(std::string_view key, core::TenantNo tenant) {
        rows_++;
        named(key, tenant, 1);
    }
    void written_ahead(std::string_view key, std::string_view row) {
        rows_++;
        look_up(*overlay_, key, row);
    }
    void finish() {
        auto pass_on = [this](std::string_view key, const std::vector<core::Candidate> &answers) {
            for (const core::Candidate &candidate : answers)
                named(key, candidate.tenant, candidate.count);
        };
        if (next_ && next_->spilled()) next_->drain(0, pass_on);
        if (overlay_ && overlay_->spilled()) overlay_->drain(0, pass_on, true);
    }

private:
    void named(std::string_view key, core::TenantNo tenant, std::uint64_t count) {
        if (digester_) digester_->add(key, tenant, count);
        if (into_) into_->add(key, tenant, count);
    }
    void look_up(EvidenceTable &table, std::string_view key, std::string_view value) {
        if (table.spilled()) return table.defer(value, key);
        found_.clear();
        table.find(value, 0, found_);
        for (const core::Candidate &candidate : found_)
            named(key, candidate.tenant, candidate.count);
    }

    TenantDictionary &tenants_;
    EvidenceTable *next_, *overlay_, *into_;
    EvidenceDigester *digester_;
    std::uint64_t rows_ = 0;
    std::vector<core::Candidate> found_;
};

namespace {
std::string columns_sql(const Table &table, const std::vector<AttrNumber> &columns,
                        const std::vector<KeyClass> &classes) {
    std::string sql;
    for (std::size_t i = 0; i < columns.size(); i++)
        sql += (i ? ", " : "") + key_expression("e", table.at(columns[i]), classes[i]);
    return sql;
}

// Whether a hop can be read below SQL; `ahead`: with the row's identity too.
bool readable_directly(const Hop &hop, const StepTarget *ahead) {
    return TupleEncoder::possible(hop.table, hop.key, hop.classes) &&
           TupleEncoder::possible(hop.table, hop.value, hop.value_classes) &&
           (!ahead || TupleEncoder::possible(hop.table, ahead->key, identity_classes(*ahead))) &&
           TupleFilter::possible(hop.where) && !why_not_plain_heap(hop.table);
}

// One relation of a hop.
class HopReader {
public:
    HopReader(const Hop &hop, const StepTarget *ahead, Oid relation, HopSink &sink)
        : sink_(sink), pages_(relation), key_(hop.table, hop.key, hop.classes, pages_.descriptor(), relation),
          value_(hop.table, hop.value, hop.value_classes, pages_.descriptor(), relation),
          filter_(hop.table, hop.where, pages_.descriptor(), relation),
          layout_(pages_.descriptor(), wanted(hop, ahead, relation)) {
        values_.resize(layout_.size());
        isnull_ = std::make_unique<bool[]>(layout_.size());
    }
    void read() {
        const bool integers = key_.is_integer() && value_.is_integer() && sink_.reads_tenants() &&
                              !sink_.has_overlay() && filter_.empty();
        while (pages_.next()) {
            if (integers)
                read_integers();
            else
                read_rows();
        }
    }

private:
    std::vector<AttrNumber> wanted(const Hop &hop, const StepTarget *ahead, Oid relation) {
        std::vector<AttrNumber> numbers;
        if (ahead) row_ = TupleEncoder(hop.table, ahead->key, identity_classes(*ahead), pages_.descriptor(), relation);
        key_.add_attributes(numbers);
        value_.add_attributes(numbers);
        row_.add_attributes(numbers);
        filter_.add_attributes(numbers);
        return numbers;
    }
    void read_rows() {
        Datum *values = values_.data();
        bool *isnull = isnull_.get();
        std::string_view key, value;
        for (int i = 0; i < pages_.rows(); i++) {
            layout_.deform(pages_.row(i), values, isnull);
            if (!filter_.passes(values, isnull) || !key_.encode(values, isnull, &key)) continue;
            if (value_.encode(values, isnull, &value))
                sink_.value(key, value);
            else if (sink_.has_overlay() && row_.encode(values, isnull, &value))
                sink_.written_ahead(key, value);
        }
    }
    // A page at a time, so that the memory of its keys is on its way before it is needed.
    void read_integers() {
        Datum *values = values_.data();
        bool *isnull = isnull_.get();
        int count = 0;
        for (int i = 0; i < pages_.rows(); i++) {
            layout_.deform(pages_.row(i), values, isnull);
            Pair &pair = pairs_[static_cast<std::size_t>(count)];
            if (!key_.integer(values, isnull, &pair.key) || !value_.integer(values, isnull, &pair.value)) continue;
            sink_.prefetch(pair.key);
            count++;
        }
        for (int i = 0; i < count; i++) {
            const Pair &pair = pairs_[static_cast<std::size_t>(i)];
            sink_.tenant({reinterpret_cast<const char *>(&pair.key), sizeof pair.key},
                         sink_.tenants().number(pair.value));
        }
    }

    struct Pair {
        std::int64_t key, value;
    };
    HopSink &sink_;
    HeapPages pages_;
    TupleEncoder key_, value_, row_; // row_: for the overlay
    TupleFilter filter_;
    TupleLayout layout_;
    std::vector<Datum> values_;
    std::unique_ptr<bool[]> isnull_;
    std::array<Pair, MaxHeapTuplesPerPage> pairs_;
};
} // namespace

void Evaluation::read_hop_directly(const Hop &hop, const StepTarget *ahead, HopSink &sink) {
    for (Oid relation : leaves_in_order(hop.table))
        HopReader(hop, ahead, relation, sink).read();
}

void Evaluation::read_hop_by_sql(const Hop &hop, const StepTarget *ahead, HopSink &sink) {
    std::vector<Value> values;
    std::string sql = "SELECT " + columns_sql(hop.table, hop.key, hop.classes) + ", " +
                      columns_sql(hop.table, hop.value, hop.value_classes);
    std::vector<KeyClass> identity;
    if (ahead) {
        identity = identity_classes(*ahead);
        sql += ", " + columns_sql(hop.table, ahead->key, identity);
    }
    sql += fmt::format(" FROM {} AS e WHERE true", hop.table.target());
    for (AttrNumber number : hop.key)
        sql += fmt::format(" AND e.{} IS NOT NULL", quoted(hop.table.at(number).name));
    if (!ahead)
        for (AttrNumber number : hop.value)
            sql += fmt::format(" AND e.{} IS NOT NULL", quoted(hop.table.at(number).name));
    sql += condition_sql("e", hop.where, values);

    KeyEncoder key(hop.classes, 0);
    KeyEncoder value(hop.value_classes, key.end());
    KeyEncoder row(identity, value.end());
    stream_query(sql, values, [&](TupleTableSlot *slot) {
        pg_call([slot] { slot_getallattrs(slot); });
        std::string_view k, v;
        if (!key.encode(slot, &k)) return true;
        if (value.encode(slot, &v))
            sink.value(k, v);
        else if (ahead && row.encode(slot, &v))
            sink.written_ahead(k, v);
        return true;
    });
}

// Reads one hop under the identity of its table's owner. last: the value is a tenant, and what an earlier step would
// have written stands in for a NULL; else the value is looked up in `next`.
void Evaluation::read_hop(const Reading &reading, std::size_t source, const Hop &hop, bool last, EvidenceTable *next,
                          EvidenceTable *into, EvidenceDigester *digester) {
    EvidenceTable *overlay = nullptr;
    const StepTarget *ahead = nullptr;
    if (last && options_.overlays)
        for (std::size_t number : step_.sources[source].depends_on)
            if (const Overlay &earlier = (*options_.overlays)[number];
                earlier.table && earlier.target->table.oid == hop.table.oid) {
                overlay = earlier.table.get();
                ahead = earlier.target;
            }
    HopSink sink(reading.tenants, next, overlay, into, digester);
    {
        RunAs owner(hop.table.owner, Purpose::read);
        if (readable_directly(hop, ahead))
            read_hop_directly(hop, ahead, sink);
        else
            read_hop_by_sql(hop, ahead, sink);
    }
    if (reading.keep) evidence_rows_ += sink.rows();
    sink.finish();
}

// From the far end: the last hop's keys lead to tenants, each earlier hop's keys to what its value leads to. The first
// hop's table is what rows are looked up in; a digest sums what goes into that one.
std::unique_ptr<EvidenceTable> Evaluation::read_chain(const Reading &reading, std::size_t source, std::size_t type) {
    const ResolvedSource &from = step_.sources[source];
    std::span<const Hop> hops =
        from.types.empty() ? std::span<const Hop>(from.hops) : std::span<const Hop>(&from.types[type].second, 1);
    if (reading.digester) reading.digester->table(source, type);
    std::unique_ptr<EvidenceTable> next;
    for (std::size_t i = hops.size(); i-- > 0;) {
        const Hop &hop = hops[i];
        std::unique_ptr<EvidenceTable> table;
        if (i > 0 || reading.keep)
            table =
                std::make_unique<EvidenceTable>(KeyEncoder(hop.classes, 0).fixed8(), memory_, hop.table.row_estimate);
        read_hop(reading, source, hop, i + 1 == hops.size(), next.get(), table.get(),
                 i == 0 ? reading.digester : nullptr);
        if (table) table->finish();
        next = std::move(table);
    }
    return next;
}

void Evaluation::read_all(const Reading &reading) {
    for (std::size_t i = 0; i < step_.sources.size(); i++)
        for (std::size_t type = 0; type < std::max<std::size_t>(1, step_.sources[i].types.size()); type++) {
            std::unique_ptr<EvidenceTable> table = read_chain(reading, i, type);
            if (reading.keep) sources_[i].tables.push_back(std::move(table));
        }
    reading.tenants.check_known(step_.target);
}

void Evaluation::read_evidence() {
    std::optional<EvidenceDigester> digester;
    if (options_.digest_seed) digester.emplace(*options_.digest_seed, tenants_);
    read_all({tenants_, digester ? &*digester : nullptr, true});
    if (digester) digest_ = digester->finish();
}

core::EvidenceDigest Evaluation::evidence_digest() const {
    if (!options_.digest_seed) throw Error(sqlstate::internal, "evidence was read without a digest");
    return digest_;
}

core::EvidenceDigest Evaluation::read_digest_only() {
    if (!options_.digest_seed) throw Error(sqlstate::internal, "evidence was read without a digest");
    TenantDictionary tenants = tenants_.unchecked(); // what earlier steps would have written goes by number
    EvidenceDigester digester(*options_.digest_seed, tenants);
    read_all({tenants, &digester, false});
    return digester.finish();
}

} // namespace tenantmig

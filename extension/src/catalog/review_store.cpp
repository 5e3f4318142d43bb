#include "catalog/review_store.hpp"
#include "bridge/memory.hpp"
#include "catalog/text_arrays.hpp"
#include "core/excerpt.hpp"

namespace tenantmig {

namespace {
constexpr char batch_columns[] = "b.first_id, b.migration_id, b.run_id, b.step, b.schema_name, b.table_name, "
                                 "b.column_name, b.key_columns, b.key_types, b.class";

// What all reviews of a batch have in common; the result's columns start with batch_columns.
ReviewRow read_shared(const Rows &rows) {
    ReviewRow review;
    review.migration = rows.bigint(0, 2);
    review.run = rows.bigint(0, 3);
    review.step = static_cast<std::int32_t>(rows.bigint(0, 4));
    review.schema = rows.text_or(0, 5);
    review.table = rows.text_or(0, 6);
    review.column = rows.text_or(0, 7);
    review.key_shape.columns = rows.text_array(0, 8);
    review.key_shape.types = rows.text_array(0, 9);
    review.review_class = rows.text_or(0, 10);
    return review;
}

// state, tenant, decided_by, decided_at, note, in this order from `column` on; without a decision the row is open.
void read_decision(ReviewRow &review, const Rows &rows, std::size_t row, int column) {
    std::string state = rows.text_or(row, column, "open");
    review.withdrawn = state == "withdrawn";
    review.state = review.withdrawn ? "dismissed" : state;
    review.tenant = rows.text_or(row, column + 1);
    review.decided_by = rows.text_or(row, column + 2);
    review.decided_at = rows.text_or(row, column + 3);
    review.note = rows.text_or(row, column + 4);
}

struct PackedReviews {
    ReviewRow shared;
    std::int64_t first_id = 0;
    std::vector<std::string> keys, candidates;
};

PackedReviews read_batch(std::int64_t first_id) {
    MemoryScope scope;
    Rows rows =
        own_query(fmt::format("SELECT {}, b.keys, b.candidates FROM tenantmig.review_batch b WHERE b.first_id = $1",
                              batch_columns),
                  {bigint_value(first_id)});
    PackedReviews packed;
    packed.first_id = first_id;
    if (rows.empty()) return packed; // dropped meanwhile
    packed.shared = read_shared(rows);
    bool null = false;
    std::vector<std::string_view> keys = view_text_array(rows.datum(0, 11, &null));
    packed.keys.assign(keys.begin(), keys.end());
    Datum candidates = rows.datum(0, 12, &null);
    if (null) return packed;
    for (std::string_view view : view_text_array(candidates))
        packed.candidates.emplace_back(view.data() ? view : std::string_view("[]"));
    return packed;
}

// Batch by batch, so that memory does not grow with the queue.
template <typename Wanted>
void for_each_of(const Rows &batches, Wanted wanted, const std::function<void(const ReviewRow &)> &on_row) {
    std::vector<std::int64_t> first_ids;
    for (std::size_t i = 0; i < batches.size(); i++)
        first_ids.push_back(batches.bigint(i, 1));
    for (std::int64_t first_id : first_ids) {
        PackedReviews packed = read_batch(first_id);
        Rows decisions =
            own_query("SELECT id, state, tenant, decided_by, decided_at::text, note FROM tenantmig.review_decision "
                      "WHERE id >= $1 AND id < $2 ORDER BY id",
                      {bigint_value(first_id), bigint_value(first_id + static_cast<std::int64_t>(packed.keys.size()))});
        ReviewRow open = packed.shared;
        open.state = "open";
        std::size_t next_decision = 0;
        for (std::size_t i = 0; i < packed.keys.size(); i++) {
            std::int64_t id = first_id + static_cast<std::int64_t>(i);
            bool decided = next_decision < decisions.size() && decisions.bigint(next_decision, 1) == id;
            ReviewRow decided_row;
            if (decided) {
                decided_row = packed.shared;
                read_decision(decided_row, decisions, next_decision++, 2);
            }
            ReviewRow &review = decided ? decided_row : open;
            if (!wanted(review)) continue;
            review.id = id;
            review.key = packed.keys[i];
            review.candidates = i < packed.candidates.size() ? packed.candidates[i] : "[]";
            on_row(review);
        }
    }
}
} // namespace

std::int64_t insert_reviews(const ReviewBatch &batch) {
    MemoryScope scope;
    auto count = static_cast<std::int64_t>(batch.keys.size());
    if (count == 0) throw Error(sqlstate::internal, "an empty batch of reviews");
    // A block of ids. Sequences are not transactional and nextval does not conflict with this lock: it only keeps two
    // allocations apart, and is released at once.
    Rows found = own_query("SELECT 'tenantmig.review_id_seq'::regclass::oid");
    bool null = false;
    Oid sequence = DatumGetObjectId(found.datum(0, 1, &null));
    pg_call([sequence] { LockRelationOid(sequence, ShareUpdateExclusiveLock); });
    Rows allocated =
        own_query("WITH first AS MATERIALIZED (SELECT nextval('tenantmig.review_id_seq') AS id) "
                  "SELECT id, CASE WHEN $1 > 1 THEN setval('tenantmig.review_id_seq', id + $1 - 1) END FROM first",
                  {bigint_value(count)});
    std::int64_t first_id = allocated.bigint(0, 1);
    pg_call([sequence] { UnlockRelationOid(sequence, ShareUpdateExclusiveLock); });

    own_query("INSERT INTO tenantmig.review_batch (first_id, migration_id, run_id, step, schema_name, table_name, "
              "column_name, key_columns, key_types, "
              "class, row_count, keys, candidates) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
              {bigint_value(first_id), bigint_value(batch.migration), bigint_value(batch.run), int_value(batch.step),
               text_value(batch.schema), text_value(batch.table), text_value(batch.column),
               text_array_value(batch.key.columns), text_array_value(batch.key.types), text_value(batch.review_class),
               int_value(static_cast<std::int32_t>(count)), flat_text_array(batch.keys),
               batch.candidates.empty() ? null_value(TEXTARRAYOID) : flat_text_array(batch.candidates)});
    return first_id;
}

ReviewRow get_review(std::int64_t id) {
    Rows rows = own_query(
        fmt::format("SELECT {}, b.keys[($1 - b.first_id + 1)::integer], b.candidates[($1 - b.first_id + 1)::integer], "
                    "d.state, d.tenant, d.decided_by, d.decided_at::text, d.note "
                    "FROM (SELECT * FROM tenantmig.review_batch WHERE first_id <= $1 ORDER BY first_id DESC LIMIT 1) b "
                    "LEFT JOIN tenantmig.review_decision d ON d.id = $1 WHERE $1 < b.first_id + b.row_count",
                    batch_columns),
        {bigint_value(id)});
    if (rows.empty())
        throw Error(sqlstate::undefined_object, fmt::format("review {} does not exist", id), {},
                    "SELECT * FROM tenantmig.review(name) lists the open ones of a migration.");
    ReviewRow review = read_shared(rows);
    review.id = id;
    review.key = rows.text_or(0, 11);
    review.candidates = rows.text_or(0, 12, "[]");
    read_decision(review, rows, 0, 13);
    return review;
}

void for_each_review(std::int64_t migration, bool include_closed,
                     const std::function<void(const ReviewRow &)> &on_row) {
    Rows batches = own_query("SELECT first_id FROM tenantmig.review_batch WHERE migration_id = $1 ORDER BY first_id",
                             {bigint_value(migration)});
    for_each_of(
        batches, [include_closed](const ReviewRow &review) { return include_closed || review.state == "open"; },
        on_row);
}

void for_each_review_of_run(std::int64_t run, const std::function<void(const ReviewRow &)> &on_row) {
    Rows batches = own_query("SELECT first_id FROM tenantmig.review_batch WHERE run_id = $1 ORDER BY first_id",
                             {bigint_value(run)});
    for_each_of(
        batches, [](const ReviewRow &) { return true; }, on_row);
}

void for_each_queued(std::int64_t migration, std::int32_t step, const std::function<void(const ReviewRow &)> &on_row) {
    Rows batches =
        own_query("SELECT first_id FROM tenantmig.review_batch WHERE migration_id = $1 AND step = $2 ORDER BY first_id",
                  {bigint_value(migration), int_value(step)});
    for_each_of(
        batches, [](const ReviewRow &review) { return review.state != "resolved" && !review.withdrawn; }, on_row);
}

void decide_review(std::int64_t id, const char *state, const std::optional<std::string> &tenant,
                   const std::string &decided_by, const std::optional<std::string> &note) {
    // Waits for somebody who is deciding the same one at this moment; the second one finds the first one's decision.
    Rows rows = own_query(
        "INSERT INTO tenantmig.review_decision (id, state, tenant, decided_by, note) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (id) DO NOTHING RETURNING id",
        {bigint_value(id), text_value(state), optional_text(tenant), text_value(decided_by), optional_text(note)});
    if (!rows.empty()) return;
    ReviewRow found = get_review(id);
    throw Error(sqlstate::prerequisite_state, fmt::format("review {} is closed already", id),
                found.withdrawn
                    ? fmt::format("It was withdrawn at {}: {}.", found.decided_at, core::excerpt(found.note, 200))
                    : fmt::format("It was {} by {} at {}{}.", found.state, core::excerpt(found.decided_by),
                                  found.decided_at,
                                  found.tenant.empty() ? std::string() : " with tenant " + core::excerpt(found.tenant)),
                "SELECT * FROM tenantmig.review(name) lists the open ones; a resolved one is undone with its run by "
                "tenantmig.rollback(run).");
}

std::int64_t withdraw_run(std::int64_t run, const std::string &by, const std::string &note) {
    Rows open = own_query(
        "INSERT INTO tenantmig.review_decision (id, state, decided_by, note) "
        "SELECT r.id, 'withdrawn', $2, $3 FROM tenantmig.review_rows r WHERE r.run_id = $1 AND r.state = 'open' "
        "ON CONFLICT (id) DO NOTHING",
        {bigint_value(run), text_value(by), text_value(note)});
    Rows dismissed = own_query(
        "UPDATE tenantmig.review_decision d SET state = 'withdrawn', note = concat_ws('; ', d.note, $2) "
        "FROM tenantmig.review_batch b WHERE b.run_id = $1 AND d.id >= b.first_id AND d.id < b.first_id + b.row_count "
        "AND d.state = 'dismissed'",
        {bigint_value(run), text_value(note)});
    return static_cast<std::int64_t>(open.size() + dismissed.size());
}

void withdraw(std::span<const std::int64_t> ids, const std::string &by, const std::string &note) {
    if (ids.empty()) return;
    MemoryScope scope;
    std::string list = "{";
    for (std::int64_t id : ids)
        list += (list.size() > 1 ? "," : "") + std::to_string(id);
    own_query("INSERT INTO tenantmig.review_decision AS d (id, state, decided_by, note) SELECT u, 'withdrawn', $2, $3 "
              "FROM unnest($1::bigint[]) u "
              "ON CONFLICT (id) DO UPDATE SET state = 'withdrawn', note = concat_ws('; ', d.note, excluded.note) WHERE "
              "d.state = 'dismissed'",
              {text_value(list + "}"), text_value(by), text_value(note)});
}

} // namespace tenantmig

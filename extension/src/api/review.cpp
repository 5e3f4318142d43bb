// review, resolve, dismiss, import_reviews: the queue of rows that need a decision.
#include "core/key_text.hpp"

#include "bridge/memory.hpp"
#include "bridge/results.hpp"
#include "catalog/migration_store.hpp"
#include "engine/decisions.hpp"

using namespace tenantmig;

namespace {
std::optional<std::string> nonempty(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional<std::string>(text);
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_review) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "name");
    bool include_closed = arguments.boolean(1, "include_closed");
    SpiSession session;
    MigrationRecord migration = get_migration(name);
    ResultSet results(fcinfo);
    MemoryScope scope;
    std::size_t rows = 0;
    for_each_review(migration.id, include_closed, [&](const ReviewRow &review) {
        auto values = core::unpack_key(review.key, review.key_shape.columns.size());
        results.add({std::to_string(review.id), std::to_string(review.run), qualified(review.schema, review.table),
                     core::key_json(review.key_shape.columns, review.key_shape.types, values), review.review_class,
                     review.candidates, review.state, nonempty(review.decided_by), nonempty(review.decided_at),
                     nonempty(review.note)});
        if (++rows % 1000 == 0) scope.reset();
    });
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_resolve) {
    Arguments arguments(fcinfo);
    std::int64_t id = arguments.bigint(0, "id");
    std::string tenant = arguments.text(1, "tenant");
    auto note = arguments.optional_text(2);
    SpiSession session;
    DecidedReview decided = resolve_review(id, tenant, note);
    ResultSet results(fcinfo);
    results.add(
        {decided.relation, decided.row_key, decided.review_class, decided.state, decided.tenant, decided.decided_by});
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_dismiss) {
    Arguments arguments(fcinfo);
    std::int64_t id = arguments.bigint(0, "id");
    auto note = arguments.optional_text(1);
    SpiSession session;
    DecidedReview decided = dismiss_review(id, note);
    ResultSet results(fcinfo);
    results.add({decided.relation, decided.row_key, decided.review_class, decided.state, decided.decided_by});
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_import_reviews) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "name"), decisions = arguments.json(1, "decisions");
    SpiSession session;
    ImportCounts counts = import_decisions(name, decisions);
    ResultSet results(fcinfo);
    results.add({"resolved", std::to_string(counts.resolved)});
    results.add({"dismissed", std::to_string(counts.dismissed)});
    results.add({"left open", std::to_string(counts.left_open)});
    return Datum(0);
}

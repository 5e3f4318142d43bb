#include "core/excerpt.hpp"
#include "core/key_text.hpp"

#include "bridge/engine_write.hpp"
#include "bridge/text_input.hpp"
#include "engine/decisions.hpp"
#include "engine/written_column.hpp"

namespace tenantmig {

namespace {
std::string row_label(const ReviewRow &review) {
    return core::key_json(review.key_shape.columns, review.key_shape.types,
                          core::unpack_key(review.key, review.key_shape.columns.size()));
}

enum class Standing { owner, column };

bool allowed(const StepTarget &target, AttrNumber column, AclMode mode) {
    return pg_call([table = target.table.oid, column, mode] {
        return pg_class_aclcheck(table, GetUserId(), mode) == ACLCHECK_OK ||
               pg_attribute_aclcheck(table, column, GetUserId(), mode) == ACLCHECK_OK;
    });
}

// By what right the caller decides: the table owner's privileges, or no more than his own on the columns.
Standing require_standing(const StepTarget &target, const std::vector<AttrNumber> &key) {
    if (has_privileges_of(target.table.owner)) return Standing::owner;
    bool enough =
        allowed(target, target.column.number, ACL_UPDATE) && allowed(target, target.column.number, ACL_SELECT);
    for (AttrNumber number : key)
        enough = enough && allowed(target, number, ACL_SELECT);
    if (enough) return Standing::column;
    std::string columns = quoted(target.column.name);
    for (AttrNumber number : key)
        columns += ", " + quoted(target.table.at(number).name);
    throw Error(sqlstate::insufficient_privilege,
                fmt::format("permission denied to decide reviews of {}", target.table.label()),
                fmt::format("It takes UPDATE on {} and SELECT on ({}), or the privileges of the table's owner.",
                            quoted(target.column.name), columns),
                fmt::format("GRANT UPDATE ({}), SELECT ({}) ON {} TO {};", quoted(target.column.name), columns,
                            target.table.sql(), quoted(current_user_name())));
}

struct Tenant {
    Datum value = 0;
    std::string text; // in the form that the change log keeps
};

// The tenant as a value of the key's type, known to the tenant root. Read as the root's owner: the caller needs no
// right there.
Tenant known_tenant(const StepTarget &target, const std::string &text) {
    Tenant tenant;
    RunAs reader(target.root.owner, Purpose::read);
    try {
        tenant.value = datum_from_text(target.column.type, target.column.typmod, text);
    } catch (const PgError &error) {
        ErrorData *data = error.data();
        std::string hint =
            fmt::format("SELECT {} FROM {} lists the tenants.", quoted(target.root_key.name), target.root.sql());
        const char *words = hint.c_str();
        data->hint = pg_call([words] { return pstrdup(words); });
        throw;
    }
    tenant.text = TextOutput(target.column.type)(tenant.value);
    Datum root_value = datum_from_text(target.root_key.type, target.root_key.typmod, tenant.text);
    Rows rows = run_query(fmt::format("SELECT 1 FROM {} AS r WHERE r.{} {} $1 LIMIT 1", target.root.target(),
                                      quoted(target.root_key.name), equality_operator(target.root_key.type)),
                          {Value{target.root_key.type, root_value, false}});
    if (rows.empty())
        throw Error(
            sqlstate::foreign_key_violation, fmt::format("tenant {} does not exist", core::excerpt(tenant.text)),
            fmt::format("No row of {} has it as {}.", target.root.label(), quoted(target.root_key.name)),
            fmt::format("SELECT {} FROM {} lists the tenants.", quoted(target.root_key.name), target.root.sql()));
    return tenant;
}

ReviewRow open_review(std::int64_t id) {
    ReviewRow review = get_review(id);
    if (review.state != "open") decide_review(id, "dismissed", std::nullopt, "", std::nullopt); // reports who closed it
    return review;
}

// Nothing was written: says what stands there instead.
[[noreturn]] void row_not_written(const ReviewRow &review, const StepTarget &target, const std::vector<AttrNumber> &key,
                                  std::span<const Datum> values) {
    RowReader reader(target.table, target.column, key);
    RowReader::Found found = reader.read(values);
    std::string hint = fmt::format("SELECT * FROM tenantmig.dismiss({}) closes the review.", review.id);
    if (!found.exists)
        throw Error(
            sqlstate::prerequisite_state, fmt::format("the row of review {} is gone", review.id),
            fmt::format("{} has no row with {}, or none that you may see.", target.table.label(), row_label(review)),
            hint);
    if (found.value)
        throw Error(sqlstate::prerequisite_state,
                    fmt::format("the row of review {} has a tenant key meanwhile", review.id),
                    fmt::format("{} of the row {} in {} is {}.", quoted(target.column.name), row_label(review),
                                target.table.label(), core::excerpt(*found.value)),
                    hint);
    throw Error(
        sqlstate::prerequisite_state, fmt::format("the row of review {} could not be written", review.id),
        fmt::format(
            "{} of the row {} in {} is still NULL: a trigger, a rule or a policy of the table suppressed the update.",
            quoted(target.column.name), row_label(review), target.table.label()),
        "Look at the table's triggers and policies, or call this with the privileges of the table's owner.");
}

void write_tenant(const ReviewRow &review, const StepTarget &target, const std::vector<AttrNumber> &key,
                  Standing standing, const Tenant &tenant) {
    WriteBatch batch;
    std::vector<Datum> values;
    std::vector<std::string> parts = core::unpack_key(review.key, key.size());
    {
        RunAs reader(target.table.owner, Purpose::read); // the form in which keys were recorded
        for (std::size_t i = 0; i < key.size(); i++) {
            const Column &column = target.table.at(key[i]);
            values.push_back(datum_from_text(column.type, column.typmod, parts[i]));
            batch.keys.push_back({values.back()});
        }
    }
    batch.new_values.push_back(tenant.value);

    // Whoever has no more than rights on columns writes as himself: row security and triggers treat it as his own
    // UPDATE.
    std::optional<RunAs> owner;
    if (standing == Standing::owner) {
        fire_deferred_as_caller();
        owner.emplace(target.table.owner, Purpose::write);
    }
    std::vector<bool> written;
    {
        EngineWriteScope ours(target.table.oid); // a decision stands above what a guard would say
        RowWriter writer(target.table, target.column, key, true, GetUserId());
        writer.write(batch, written);
    }
    if (written.empty() || !written[0]) row_not_written(review, target, key, values);
}

struct Located {
    ReviewRow review;
    StepTarget target;
    std::vector<AttrNumber> key;
    Standing standing;
};

Located locate(std::int64_t id) {
    ReviewRow review = open_review(id);
    StepTarget target = locate_target(get_migration(review.migration), review.step);
    std::vector<AttrNumber> key = written_key(target, review.key_shape);
    Standing standing = require_standing(target, key);
    return {std::move(review), std::move(target), std::move(key), standing};
}
} // namespace

DecidedReview resolve_review(std::int64_t id, const std::string &text, const std::optional<std::string> &note) {
    LockTimeout timeout;
    auto [review, target, key, standing] = locate(id);
    Tenant tenant = known_tenant(target, text);
    std::string actor = actor_name();
    TimestampTz started = pg_call([] { return GetCurrentTimestamp(); });
    lock_run(review.run);
    decide_review(id, "resolved", tenant.text, actor, note); // first: a second reviewer waits here, then loses
    write_tenant(review, target, key, standing, tenant);

    ChangeEntry entry;
    entry.batch = next_batch(review.run);
    entry.step = review.step;
    entry.kind = entry.source = "review";
    entry.schema = target.table.schema;
    entry.table = target.table.name;
    entry.column = target.column.name;
    entry.key.types = review.key_shape.types;
    for (AttrNumber number : key)
        entry.key.columns.push_back(target.table.at(number).name);
    entry.keys.push_back(review.key);
    entry.new_values.emplace_back(tenant.text);
    insert_batch(review.run, entry.batch, entry.step, "review", target.table.label(), 1, started);
    ChangeLogWriter(review.run).append(entry);
    return {target.table.label(), row_label(review), review.review_class, "resolved", tenant.text, actor};
}

DecidedReview dismiss_review(std::int64_t id, const std::optional<std::string> &note) {
    LockTimeout timeout;
    Located located = locate(id);
    std::string actor = actor_name();
    lock_run(located.review.run); // a rollback of the run withdraws reviews: one of the two goes first
    decide_review(id, "dismissed", std::nullopt, actor, note);
    return {
        located.target.table.label(), row_label(located.review), located.review.review_class, "dismissed", {}, actor};
}

} // namespace tenantmig

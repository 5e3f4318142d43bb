#include "core/spec.hpp"
#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "bridge/engine_write.hpp"
#include "bridge/subtransaction.hpp"
#include "catalog/events.hpp"
#include "engine/constraint_counts.hpp"
#include "engine/evaluation.hpp"
#include "steps/proof_copy.hpp"
#include "steps/proofs.hpp"

namespace tenantmig {

namespace {
// One enforced constraint, as tenantmig.enforcement has it.
struct Piece {
    std::string kind, constraint;
    std::vector<std::string> names; // of the constraint and of its parts in partitions: what an error may name
};

constexpr std::pair<core::OnDelete, char> actions[] = {{core::OnDelete::no_action, FKCONSTR_ACTION_NOACTION},
                                                       {core::OnDelete::restricted, FKCONSTR_ACTION_RESTRICT},
                                                       {core::OnDelete::cascade, FKCONSTR_ACTION_CASCADE},
                                                       {core::OnDelete::set_null, FKCONSTR_ACTION_SETNULL}};

struct Proof {
    std::int32_t step = 0;
    std::string relation, title, expected, status, actual;
};

// What came of an attempt.
struct Attempt {
    bool reached = false; // the tested statement was; else `said` says why not
    bool accepted = false;
    std::string state, said, constraint, column;
};

std::string sqlstate_of(const ErrorData *error) {
    const char *text = unpack_sql_state(error->sqlerrcode);
    return text;
}

// Does something and undoes it. `work` calls ready() before the statement that is tested, and returns what is to be
// said of an accepted one; CannotCopy: there was nothing to test.
class Trial {
public:
    void ready() { ready_ = true; }

    static Attempt run(const std::function<std::string(Trial &)> &work) {
        Trial trial;
        Attempt attempt;
        Subtransaction undone;
        try {
            EngineWriteScope ours; // guards stand aside: it is the constraint that is tried
            attempt.said = work(trial);
            attempt.accepted = attempt.reached = true;
        } catch (const CannotCopy &cannot) {
            attempt.said = cannot.reason;
        } catch (const PgError &error) {
            const ErrorData *data = error.data();
            if (data->sqlerrcode == ERRCODE_QUERY_CANCELED || data->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN) throw;
            attempt.reached = trial.ready_;
            attempt.state = sqlstate_of(data);
            attempt.said = fmt::format("{} {}", attempt.state, data->message ? data->message : "");
            attempt.constraint = data->constraint_name ? data->constraint_name : "";
            attempt.column = data->column_name ? data->column_name : "";
            if (!trial.ready_) attempt.said = "no copy of a row could be made: " + attempt.said;
        }
        undone.undo();
        return attempt;
    }

private:
    bool ready_ = false;
};

// Proofs of the constraints of one step.
class Prover {
public:
    Prover(const ConstraintTarget &target, std::vector<Piece> pieces)
        : target_(target), pieces_(std::move(pieces)), copier_(target.table, {target.column.number}) {
        std::string condition = "t." + tenantmig::quoted(target.column.name) + " IS NOT NULL";
        if (target.soft_delete) {
            if (copier_.take(condition + fmt::format(" AND t.{} IS NULL", tenantmig::quoted(target.soft_delete->name))))
                taken_ = true;
        }
        if (!taken_) taken_ = copier_.take(condition);
        // the right to reference is no right to read and write there as the owner
        if (target.referenced && piece("foreign_key") && has_privileges_of(target.referenced->owner))
            referenced_.emplace(*target.referenced, std::vector<AttrNumber>{});
    }

    void catalogue(std::vector<Proof> &proofs) {
        for (const Piece &piece : pieces_) {
            Proof proof = begin("catalogue: " + what(piece), "valid");
            std::string found = piece.kind == "not_null" ? not_null_in_catalogue() : in_catalogue(piece);
            proof.status = found.starts_with("valid") ? "PASS" : "FAIL";
            proof.actual = std::move(found);
            proofs.push_back(std::move(proof));
        }
    }

    void insert_without_key(std::vector<Proof> &proofs) {
        if (!nulls()) return;
        refused(proofs, "insert without " + column(), *nulls(), [&](Trial &trial) {
            RowCopier::Row row = copy();
            row[number()] = null_value(target_.column.type);
            trial.ready();
            return unchanged(copier_.insert(row, number()), std::nullopt);
        });
    }

    void insert_wrong(std::vector<Proof> &proofs) {
        if (const Piece *key = piece("foreign_key"))
            refused(proofs, "insert with a " + column() + " that does not exist", *key, [&](Trial &trial) {
                RowCopier::Row row = copy();
                Value value = unknown_value();
                row[number()] = value;
                trial.ready();
                return unchanged(copier_.insert(row, number()), text_of(value));
            });
        if (const Piece *format = piece("format"))
            refused(proofs, "insert a " + column() + " that the format refuses", *format, [&](Trial &trial) {
                RowCopier::Row row = copy();
                Value value = malformed_value();
                row[number()] = value;
                trial.ready();
                return unchanged(copier_.insert(row, number()), text_of(value));
            });
        if (const Piece *unique = piece("unique"))
            refused(proofs, "insert a duplicate", *unique, [&](Trial &trial) {
                RowCopier::Row first = copy();
                require_values(first);
                if (!copier_.insert(first, number())) throw CannotCopy{"a trigger holds rows back"};
                RowCopier::Row second = copier_.vary(target_.unique);
                for (AttrNumber number : target_.unique)
                    second[number] = first[number];
                trial.ready();
                return unchanged(copier_.insert(second, number()), text_of(second.at(number())));
            });
    }

    void insert_right(std::vector<Proof> &proofs) {
        accepted(proofs, "insert with " + column(), [&](Trial &trial) {
            RowCopier::Row row = copy();
            trial.ready();
            return expect(copier_.insert(row, number()), "a trigger holds the row back");
        });
        if (!piece("not_null_live") || !target_.soft_delete) return;
        accepted(proofs, "insert a soft-deleted row without " + column(), [&](Trial &trial) {
            RowCopier::Row row = copy();
            const Oid type = target_.soft_delete->type;
            if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
                throw CannotCopy{fmt::format("{} is no time", tenantmig::quoted(target_.soft_delete->name))};
            row[number()] = null_value(target_.column.type);
            row[target_.soft_delete->number] = timestamp_value(our_time());
            trial.ready();
            return expect(copier_.insert(row, number()), "a trigger holds the row back");
        });
    }

    void update_to_null(std::vector<Proof> &proofs) {
        if (!nulls()) return;
        refused(proofs, "update " + column() + " to NULL", *nulls(), [&](Trial &trial) {
            const RowCopier::Place place = inserted(copy());
            trial.ready();
            return unchanged(copier_.update(place, number(), null_value(target_.column.type)), std::nullopt);
        });
    }

    void existing_rows(std::vector<Proof> &proofs) {
        Proof proof = begin("existing rows, " + column(), "0 against the constraint");
        ConstraintCounts counts;
        {
            SnapshotScope snapshot;
            counts = count_violations(target_);
        }
        proof.status = refuses(target_, counts) ? "FAIL" : "PASS";
        proof.actual = fmt::format("{} of {} rows without a value",
                                   counts.nulls_living.rows + counts.nulls_deleted.rows, counts.rows);
        for (const auto &[found, word] :
             {std::pair(&counts.orphans, "orphans"), std::pair(&counts.duplicates, "duplicates"),
              std::pair(&counts.format, "malformed")})
            if (found->rows > 0) proof.actual += fmt::format(", {} {}", found->rows, word);
        proofs.push_back(std::move(proof));
    }

    void move(std::vector<Proof> &proofs) {
        if (!piece("foreign_key")) return;
        accepted(proofs, "move a row to another " + column(), [&](Trial &trial) {
            const RowCopier::Place place = inserted(copy());
            Value other = other_value();
            trial.ready();
            return expect(copier_.update(place, number(), other), "the copy is not found where it was inserted");
        });
    }

    // Of a row that was made for it, so that nothing but the copy refers to it: what other tables do on delete plays
    // no part, and no real row is touched.
    void remove_referenced(std::vector<Proof> &proofs) {
        const Piece *key = piece("foreign_key");
        if (!key) return;
        const std::string title = fmt::format("delete a row of {} that is referred to", target_.referenced->label());
        const char action = delete_action(*key);
        RowCopier::Row row;
        auto attempt = [&](Trial &trial) {
            if (!referenced_) throw no_privileges();
            const AttrNumber referred = target_.referenced_column.number;
            Value value = copier_.taken(number());
            if (!referenced_->take(
                    fmt::format("t.{} {} $1", tenantmig::quoted(target_.referenced_column.name), equality()),
                    std::span(&value, 1)))
                throw CannotCopy{"the referenced row is not there"};
            RowCopier::Row parent = referenced_->vary();
            parent[referred] = referenced_->unused(referred);
            const auto parent_place = referenced_->insert(parent, referred);
            if (!parent_place) throw CannotCopy{"a trigger holds rows back"};
            row = copy();
            row[number()] = coerced(parent.at(referred));
            (void)inserted(row);
            trial.ready();
            if (!referenced_->remove(*parent_place)) throw CannotCopy{"the copy is not found where it was inserted"};
            if (action == FKCONSTR_ACTION_CASCADE)
                return copier_.find(row, number()) ? "accepted, but its row is still there" : "";
            if (action != FKCONSTR_ACTION_SETNULL && action != FKCONSTR_ACTION_SETDEFAULT) return "";
            const auto left = copier_.find(row, number());
            return !left          ? "accepted, but its row has gone too"
                   : !left->value ? ""
                                  : "accepted, but its row still has a value";
        };
        if (action == FKCONSTR_ACTION_CASCADE || (action == FKCONSTR_ACTION_SETNULL && !nulls()))
            accepted(proofs, title, attempt);
        else
            refused(proofs, title, action == FKCONSTR_ACTION_SETNULL ? *nulls() : *key, attempt);
    }

private:
    const ConstraintTarget &target_;
    const std::vector<Piece> pieces_;
    RowCopier copier_;
    std::optional<RowCopier> referenced_;
    bool taken_ = false;

    AttrNumber number() const { return target_.column.number; }
    std::string column() const { return tenantmig::quoted(target_.column.name); }
    const Piece *piece(std::string_view kind) const {
        for (const Piece &piece : pieces_)
            if (piece.kind == kind) return &piece;
        return nullptr;
    }
    const Piece *nulls() const { return piece("not_null") ? piece("not_null") : piece("not_null_live"); }

    std::string what(const Piece &piece) const {
        if (piece.kind == "not_null") return column() + " is NOT NULL";
        const char *kind = piece.kind == "not_null_live" ? "not null unless soft-deleted"
                           : piece.kind == "foreign_key" ? "foreign key"
                                                         : piece.kind.c_str();
        return fmt::format("{} {} on {}", kind, tenantmig::quoted(piece.constraint), column());
    }

    Proof begin(const std::string &title, std::string expected) const {
        const std::string relation = target_.table.label();
        return {target_.step.number, relation, relation + ": " + title, std::move(expected), "SKIP", {}};
    }

    static std::string state_of(const Piece &piece) {
        return piece.kind == "not_null"      ? "23502"
               : piece.kind == "foreign_key" ? "23503"
               : piece.kind == "unique"      ? "23505"
                                             : "23514";
    }

    static bool names(const Piece &piece, const Attempt &attempt, const std::string &column) {
        if (attempt.state != state_of(piece)) return false;
        if (piece.kind == "not_null") return attempt.column == column;
        return std::find(piece.names.begin(), piece.names.end(), attempt.constraint) != piece.names.end();
    }

    // FAIL is what the constraint itself does wrong; what did not get as far as it is SKIP.
    void refused(std::vector<Proof> &proofs, const std::string &title, const Piece &piece,
                 const std::function<std::string(Trial &)> &work) {
        Proof proof = begin(title, "refused: " + state_of(piece));
        const Attempt attempt = Trial::run(work);
        proof.actual = attempt.said;
        if (attempt.accepted) {
            proof.status = "FAIL";
            proof.actual = attempt.said.empty() ? "accepted" : attempt.said;
        } else if (names(piece, attempt, target_.column.name) && attempt.reached) {
            proof.status = "PASS";
        } else if (attempt.reached) {
            proof.actual = "refused by something else: " + attempt.said;
        }
        proofs.push_back(std::move(proof));
    }

    void accepted(std::vector<Proof> &proofs, const std::string &title,
                  const std::function<std::string(Trial &)> &work) {
        Proof proof = begin(title, "accepted");
        const Attempt attempt = Trial::run(work);
        proof.actual = attempt.said;
        if (attempt.accepted) {
            proof.status = attempt.said.empty() ? "PASS" : "FAIL";
            if (attempt.said.empty()) proof.actual = "accepted";
        } else if (attempt.reached) {
            const bool ours = std::any_of(pieces_.begin(), pieces_.end(), [&](const Piece &piece) {
                return names(piece, attempt, target_.column.name);
            });
            if (ours)
                proof.status = "FAIL";
            else
                proof.actual = "refused by something else: " + attempt.said;
        }
        proofs.push_back(std::move(proof));
    }

    RowCopier::Row copy() {
        if (!taken_) throw CannotCopy{fmt::format("{} has no row with a {} to copy", target_.table.label(), column())};
        return copier_.vary();
    }

    // Where the copy is once its triggers have had it.
    RowCopier::Place inserted(const RowCopier::Row &row) {
        const auto place = copier_.insert(row, number());
        if (!place) throw CannotCopy{"a trigger holds rows back"};
        return target_.row_key.empty() ? *place : copier_.find(row, number()).value_or(*place);
    }

    static std::string expect(const std::optional<RowCopier::Place> &place, const char *otherwise) {
        if (!place) throw CannotCopy{otherwise};
        return {};
    }

    // A row that was accepted although it must not be; unless a trigger has put another value in the place of ours.
    static std::string unchanged(const std::optional<RowCopier::Place> &place,
                                 const std::optional<std::string> &value) {
        if (!place) throw CannotCopy{"a trigger holds the row back"};
        if (place->value != value) throw CannotCopy{"a trigger changes the value before the constraint sees it"};
        return {};
    }

    void require_values(const RowCopier::Row &row) const {
        for (AttrNumber number : target_.unique)
            if (const auto cell = row.find(number); cell == row.end() || cell->second.null)
                throw CannotCopy{fmt::format("{} is NULL in the row that was copied, or generated",
                                             tenantmig::quoted(target_.table.at(number).name))};
    }

    std::string equality() const {
        return target_.column.type == target_.referenced_column.type ? equality_operator(target_.column.type)
                                                                     : "OPERATOR(pg_catalog.=)";
    }

    static std::optional<std::string> text_of(const Value &value) {
        if (value.null) return std::nullopt;
        return TextOutput(value.type)(value.datum);
    }

    // A value of the referenced column as one of ours: integers of other width.
    Value coerced(const Value &value) const {
        if (value.type == target_.column.type) return value;
        try {
            return {target_.column.type, datum_from_text(target_.column.type, target_.column.typmod, *text_of(value)),
                    false};
        } catch (const PgError &error) {
            throw CannotCopy{error.what()};
        }
    }

    CannotCopy no_privileges() const {
        return {fmt::format("needs the privileges of {}, who owns {}", role_name(target_.referenced->owner),
                            target_.referenced->label())};
    }

    Value unknown_value() {
        if (!referenced_ && target_.column.type == UUIDOID) return copier_.unused(number()); // a random one
        if (!referenced_) throw no_privileges();
        if (!referenced_->take("true")) throw CannotCopy{fmt::format("{} has no row", target_.referenced->label())};
        return coerced(referenced_->unused(target_.referenced_column.number));
    }

    // Of the rows that there are, else of the referenced table.
    Value other_value() {
        const Value current = copier_.taken(number());
        const std::string name = "t." + column();
        RowCopier others(target_.table, {});
        if (others.take(
                fmt::format("{0} IS NOT NULL AND NOT ({0} {1} $1)", name, equality_operator(target_.column.type)),
                std::span(&current, 1)))
            return others.taken(number());
        if (!referenced_) throw no_privileges();
        const std::string key = "t." + tenantmig::quoted(target_.referenced_column.name);
        if (!referenced_->take(fmt::format("{0} IS NOT NULL AND NOT ({0} {1} $1)", key, equality()),
                               std::span(&current, 1)))
            throw CannotCopy{fmt::format("{} has no other row", target_.referenced->label())};
        return coerced(referenced_->taken(target_.referenced_column.number));
    }

    // A text that the format refuses, and that the column has room for.
    Value malformed_value() const {
        const Column &column = target_.column;
        if (column.type != TEXTOID && column.type != VARCHAROID && column.type != BPCHAROID)
            throw CannotCopy{"no malformed value of type " + type_label(column.type) + " is known"};
        RunAs owner(target_.table.owner, Purpose::read);
        Rows rows = run_query("SELECT x.value FROM pg_catalog.unnest($1) AS x(value) WHERE NOT (x.value ~ $2) LIMIT 1",
                              {text_array_value(std::vector<std::string>{"", " ", "!", "-", "0", "a", "A", "\xC2\xA7"}),
                               text_value(target_.step.format)});
        if (rows.empty()) throw CannotCopy{"no value that the format refuses is known"};
        const Value text = text_value(rows.text_or(0, 1));
        return {column.type, text.datum, false};
    }

    std::string not_null_in_catalogue() const {
        std::vector<std::string> relations = {std::to_string(target_.table.oid)};
        for (const ConstraintPartition &partition : target_.partitions)
            relations.push_back(std::to_string(partition.table.oid));
        Rows rows = own_query("SELECT string_agg(a.attrelid::regclass::text, ', ' ORDER BY a.attrelid) FROM "
                              "pg_attribute a WHERE a.attrelid = ANY ($1::oid[]) AND a.attname = $2 AND NOT "
                              "a.attisdropped AND NOT a.attnotnull",
                              {text_array_value(relations), text_value(target_.column.name)});
        return rows.is_null(0, 1) ? "valid" : "nullable in " + rows.text_or(0, 1);
    }

    std::string in_catalogue(const Piece &piece) const {
        Rows rows = own_query(
            "SELECT c.convalidated, pg_get_constraintdef(c.oid), c.confdeltype FROM pg_constraint c WHERE c.conrelid = "
            "$1 AND c.conname = $2 UNION ALL SELECT i.indisvalid AND i.indisunique, pg_get_indexdef(i.indexrelid), '' "
            "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = $1 AND x.relname = $2 AND NOT "
            "EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = $1 AND c.conname = $2)",
            {{OIDOID, ObjectIdGetDatum(target_.table.oid), false}, text_value(piece.constraint)});
        if (rows.empty()) return "missing";
        if (!rows.boolean(0, 1)) return "not valid: " + rows.text_or(0, 2);
        for (const auto &[action, letter] : actions)
            if (piece.kind == "foreign_key" && target_.step.on_delete == action &&
                rows.text_or(0, 3) != std::string(1, letter))
                return "another action on delete: " + rows.text_or(0, 2);
        return "valid: " + rows.text_or(0, 2);
    }

    // What the spec asks for; where it does not say, what stands in the catalogue.
    char delete_action(const Piece &key) const {
        for (const auto &[action, letter] : actions)
            if (target_.step.on_delete == action) return letter;
        Rows rows = own_query("SELECT confdeltype::text FROM pg_constraint WHERE conrelid = $1 AND conname = $2",
                              {{OIDOID, ObjectIdGetDatum(target_.table.oid), false}, text_value(key.constraint)});
        return rows.empty() ? FKCONSTR_ACTION_NOACTION : rows.text_or(0, 1, "a").front();
    }
};

// The constraint, its parts in partitions, and indexes, by every name that an error may give.
std::vector<std::string> all_names(const ConstraintTarget &target, const std::string &constraint) {
    Rows rows = own_query(
        "WITH RECURSIVE c AS (SELECT oid, conname FROM pg_constraint WHERE conrelid = $1 AND conname = $2 UNION ALL "
        "SELECT p.oid, p.conname FROM pg_constraint p JOIN c ON p.conparentid = c.oid), "
        "i AS (SELECT x.oid, x.relname FROM pg_class x JOIN pg_index n ON n.indexrelid = x.oid WHERE n.indrelid = $1 "
        "AND x.relname = $2 UNION ALL SELECT x.oid, x.relname FROM pg_inherits h JOIN i ON h.inhparent = i.oid JOIN "
        "pg_class x ON x.oid = h.inhrelid) "
        "SELECT conname::text FROM c UNION SELECT relname::text FROM i ORDER BY 1",
        {{OIDOID, ObjectIdGetDatum(target.table.oid), false}, text_value(constraint)});
    std::vector<std::string> result = {constraint};
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back(rows.text_or(i, 1));
    return result;
}

std::vector<Piece> enforced(const MigrationRecord &migration, const ConstraintTarget &target) {
    Rows rows = own_query("SELECT kind, coalesce(constraint_name, '') FROM tenantmig.enforcement WHERE migration_id = "
                          "$1 AND step = $2 AND state = 'enforced' ORDER BY id",
                          {bigint_value(migration.id), int_value(target.step.number)});
    std::vector<Piece> pieces;
    for (std::size_t i = 0; i < rows.size(); i++) {
        Piece piece{rows.text_or(i, 1), rows.text_or(i, 2), {}};
        if (!piece.constraint.empty()) piece.names = all_names(target, piece.constraint);
        pieces.push_back(std::move(piece));
    }
    return pieces;
}

ProofCount record(const MigrationRecord &migration, const std::vector<Proof> &proofs) {
    ProofCount count;
    const std::string who = actor_name();
    const TimestampTz now = our_time();
    for (std::size_t i = 0; i < proofs.size(); i++) {
        const Proof &proof = proofs[i];
        const std::int64_t id = own_query("SELECT nextval('tenantmig.proof_id_seq')").bigint(0, 1);
        if (i == 0) count.series = id;
        own_query("INSERT INTO tenantmig.proof_log (id, migration_id, series, number, step, relation, title, expected, "
                  "status, actual, proved_at, proved_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                  {bigint_value(id), bigint_value(migration.id), bigint_value(count.series),
                   int_value(static_cast<std::int32_t>(i) + 1), int_value(proof.step), text_value(proof.relation),
                   text_value(proof.title), text_value(proof.expected), text_value(proof.status),
                   text_value(proof.actual), timestamp_value(now), text_value(who)});
        (proof.status == "PASS" ? count.passed : proof.status == "FAIL" ? count.failed : count.skipped)++;
    }
    return count;
}
} // namespace

ProofCount prove(const MigrationRecord &migration) {
    const std::vector<ConstraintTarget> targets = resolve_constraints(migration);
    fire_deferred_as_caller();
    std::vector<std::unique_ptr<Prover>> provers;
    for (const ConstraintTarget &target : targets) {
        std::vector<Piece> pieces = enforced(migration, target);
        if (!pieces.empty()) provers.push_back(std::make_unique<Prover>(target, std::move(pieces)));
    }
    using Kind = void (Prover::*)(std::vector<Proof> &);
    constexpr Kind kinds[] = {&Prover::catalogue,    &Prover::insert_without_key, &Prover::insert_wrong,
                              &Prover::insert_right, &Prover::update_to_null,     &Prover::existing_rows,
                              &Prover::move,         &Prover::remove_referenced};
    std::vector<Proof> proofs;
    for (const Kind kind : kinds)
        for (const auto &prover : provers)
            ((*prover).*kind)(proofs);
    const ProofCount count = record(migration, proofs);
    if (count.failed > 0)
        announce("alert", migration.name,
                 {{"reason", "proof failed"}, {"series", count.series}, {"failed", count.failed}});
    return count;
}

} // namespace tenantmig

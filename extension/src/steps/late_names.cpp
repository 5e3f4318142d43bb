#include "core/identifier.hpp"

#include "steps/late_names.hpp"

namespace tenantmig {

namespace {
class LateNames {
public:
    explicit LateNames(const core::Spec &spec) : spec_(spec) {}

    void check(const core::StepRef &ref) {
        number_ = ref.number;
        switch (ref.kind) {
        case core::StepKind::backfill: {
            const core::BackfillStep &step = spec_.steps[ref.index];
            name(step.table, step.column, step.path);
            for (const core::Source &source : step.sources) {
                if (!source.table.empty()) (void)now_.table(source.table, source.path + ".via");
                if (!source.references_table.empty())
                    (void)now_.table(source.references_table, source.path + ".references");
                for (const core::TypeTarget &type : source.types)
                    (void)now_.table(type.table, fmt::format("{}.types.{}", source.path, type.type_value));
            }
            return;
        }
        case core::StepKind::guard: {
            const core::GuardStep &step = spec_.guards[ref.index];
            name(step.table, step.column, step.path);
            return;
        }
        case core::StepKind::constraint: {
            const core::ConstraintStep &step = spec_.constraints[ref.index];
            name(step.table, step.column, step.path);
            if (!step.references_table.empty()) (void)now_.table(step.references_table, step.path + ".references");
            return;
        }
        case core::StepKind::add_column:
            (void)now_.table(spec_.added_columns[ref.index].table, spec_.added_columns[ref.index].path + ".table");
            return;
        case core::StepKind::drop_column: {
            const core::DropColumnStep &step = spec_.dropped_columns[ref.index];
            name(step.table, step.column, step.path);
            return;
        }
        case core::StepKind::index: {
            const core::IndexStep &step = spec_.indexes[ref.index];
            const Table table = now_.table(step.table, step.path + ".table");
            for (std::size_t i = 0; i < step.columns.size(); i++)
                column(table, step.columns[i].column, fmt::format("{}.columns[{}]", step.path, i));
            return;
        }
        case core::StepKind::rekey: {
            const core::RekeyStep &step = spec_.rekeys[ref.index];
            (void)now_.table(step.root, step.path + ".from.table");
            for (const core::RekeyTable &table : step.tables)
                (void)now_.table(table.table, table.path);
            return;
        }
        case core::StepKind::isolate:
            for (const core::IsolateTable &table : spec_.isolations[ref.index].tables)
                name(table.table, table.column, table.path);
            return;
        case core::StepKind::sql:
            return;
        }
    }

private:
    const core::Spec &spec_;
    NameBook now_; // by the search_path in force
    int number_ = 0;

    void name(const std::string &table, const std::string &written, const std::string &path) {
        const Table found = now_.table(table, path + ".table");
        if (!written.empty()) column(found, written, path + ".column");
    }

    void column(const Table &table, const std::string &written, const std::string &path) {
        if (!made_before(table, written)) (void)now_.column(table, written, path);
    }

    static bool same(const std::string &a, const std::string &b) {
        const auto left = core::split_identifier(a), right = core::split_identifier(b);
        return left.size() == 1 && right.size() == 1 && left[0].text == right[0].text;
    }

    static bool left_behind(const std::string &written) {
        const auto parts = core::split_identifier(written);
        return parts.size() == 1 && parts[0].text.ends_with("_old");
    }

    bool made_before(const Table &table, const std::string &written) {
        for (const core::AddColumnStep &step : spec_.added_columns)
            if (step.number < number_ && same(step.column, written) &&
                now_.table(step.table, step.path + ".table").oid == table.oid)
                return true;
        for (const core::RekeyStep &step : spec_.rekeys) {
            if (step.number >= number_) continue;
            // columns that an embedded id leaves behind, its own and those of references to it, whatever they are
            // called
            if (!step.embed.empty() && left_behind(written)) return true;
            if (!same(step.column, written)) continue;
            if (now_.table(step.root, step.path + ".from.table").oid == table.oid) return true;
            for (const core::RekeyTable &other : step.tables)
                if (now_.table(other.table, other.path).oid == table.oid) return true;
        }
        return false;
    }
};
} // namespace

void check_late_names(const core::Spec &spec, const MigrationNames &names) {
    LateNames late(spec);
    for (const core::StepRef &step : spec.order) {
        if (step.kind == core::StepKind::sql) return; // whatever comes after it may be its work
        if (names.segment_of(step.number) != 0) late.check(step);
    }
}

} // namespace tenantmig

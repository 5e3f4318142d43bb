#include "core/excerpt.hpp"

#include "steps/lint_model.hpp"

#include <cctype>

namespace tenantmig {

namespace {
constexpr char user_tables[] =
    "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND "
    "c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'tenantmig') AND "
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 "
    "AND d.deptype = 'e')";

Oid oid_at(const Rows &rows, std::size_t row, int column) {
    return static_cast<Oid>(rows.bigint(row, column));
}

char char_at(const Rows &rows, std::size_t row, int column) {
    const std::string text = rows.text_or(row, column);
    return text.empty() ? '\0' : text.front();
}

std::vector<AttrNumber> numbers_at(const Rows &rows, std::size_t row, int column) {
    std::vector<AttrNumber> numbers;
    for (const std::string &text : rows.text_array(row, column))
        numbers.push_back(static_cast<AttrNumber>(std::stoi(text)));
    return numbers;
}

class Reader {
public:
    LintModel read() {
        read_tables();
        read_columns();
        read_indexes();
        read_foreign_keys();
        read_checks();
        read_triggers();
        read_sequences();
        read_labels();
        model_.guards = all_guards();
        return std::move(model_);
    }

private:
    LintModel model_;

    LintTable *table(const Rows &rows, std::size_t row) {
        auto found = model_.tables.find(oid_at(rows, row, 1));
        return found == model_.tables.end() ? nullptr : &found->second;
    }

    void read_tables() {
        Rows rows = own_query(fmt::format(
            "SELECT c.oid::bigint, n.nspname, c.relname, c.relowner::bigint, c.relkind, c.relreplident, "
            "c.relpersistence = 'u', c.relforcerowsecurity, EXISTS (SELECT FROM pg_publication_tables p WHERE "
            "p.schemaname = n.nspname AND p.tablename = c.relname), pg_table_size(c.oid), coalesce((SELECT s.seq_scan "
            "+ coalesce(s.idx_scan, 0) FROM pg_stat_all_tables s WHERE s.relid = c.oid), 0), EXISTS (SELECT FROM "
            "tenantmig.kept_column k WHERE k.keep_schema = n.nspname AND c.relname IN (k.keep_table, k.journal_table)) "
            "OR format('%I.%I', n.nspname, c.relname) IN (SELECT a ->> 'name' FROM tenantmig.step_state s CROSS JOIN "
            "LATERAL jsonb_array_elements(CASE jsonb_typeof(s.detail -> 'actions') WHEN 'array' THEN s.detail -> "
            "'actions' END) a WHERE a ->> 'kind' = 'mapping'), c.relrowsecurity FROM {}",
            user_tables));
        for (std::size_t i = 0; i < rows.size(); i++) {
            LintTable one;
            one.oid = oid_at(rows, i, 1);
            one.schema = rows.text_or(i, 2);
            one.name = rows.text_or(i, 3);
            one.owner = oid_at(rows, i, 4);
            one.kind = char_at(rows, i, 5);
            one.identity = char_at(rows, i, 6);
            one.unlogged = rows.boolean(i, 7);
            one.force_row_security = rows.boolean(i, 8);
            one.published = rows.boolean(i, 9);
            one.bytes = rows.bigint(i, 10);
            one.reads = rows.bigint(i, 11);
            one.by_step = rows.boolean(i, 12);
            one.row_security = rows.boolean(i, 13);
            model_.tables.emplace(one.oid, std::move(one));
        }
    }

    void read_columns() {
        Rows rows = own_query(fmt::format(
            "SELECT c.oid::bigint, a.attnum::integer, a.attname, format_type(a.atttypid, a.atttypmod), "
            "a.atttypid::bigint, a.attcollation::bigint, a.attnotnull, a.attgenerated <> '', a.attidentity <> '', "
            "pg_get_expr(f.adbin, f.adrelid) FROM {} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND "
            "NOT a.attisdropped LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum ORDER BY 1, 2",
            user_tables));
        for (std::size_t i = 0; i < rows.size(); i++) {
            LintTable *of = table(rows, i);
            if (!of) continue;
            LintColumn column;
            column.number = static_cast<AttrNumber>(rows.bigint(i, 2));
            column.name = rows.text_or(i, 3);
            column.type_name = rows.text_or(i, 4);
            const Oid declared = oid_at(rows, i, 5);
            column.type = pg_call([declared] { return getBaseType(declared); });
            column.domain = column.type != declared;
            const Oid type = column.type;
            column.base_name = type_label(type);
            column.category = pg_call([type] {
                char category;
                bool preferred;
                get_type_category_preferred(type, &category, &preferred);
                return category;
            });
            column.collation = oid_at(rows, i, 6);
            column.not_null = rows.boolean(i, 7);
            column.generated = rows.boolean(i, 8);
            column.identity = rows.boolean(i, 9);
            column.has_default = !rows.is_null(i, 10) && !column.generated;
            column.default_text = rows.text_or(i, 10);
            column.constant_default = column.has_default && !column.default_text.empty() &&
                                      column.default_text.find('(') == std::string::npos &&
                                      column.default_text.rfind("NULL", 0) != 0 &&
                                      (column.default_text.front() == '\'' || column.default_text.front() == '-' ||
                                       std::isdigit(static_cast<unsigned char>(column.default_text.front())));
            of->columns.push_back(std::move(column));
        }
    }

    void read_indexes() {
        Rows rows = own_query(fmt::format(
            "SELECT c.oid::bigint, i.indexrelid::bigint, x.relname, m.amname, pg_get_expr(i.indpred, i.indrelid), "
            "pg_get_indexdef(i.indexrelid), k.conname, (i.indkey::smallint[])[0:i.indnkeyatts - 1]::text[], "
            "(i.indkey::smallint[])[i.indnkeyatts:]::text[], i.indisunique, i.indisprimary, i.indisvalid, "
            "i.indisready AND i.indislive, i.indexprs IS NOT NULL, coalesce((to_jsonb(i) ->> "
            "'indnullsnotdistinct')::boolean, false), concat_ws('/', i.indclass, i.indoption, i.indcollation, "
            "pg_get_expr(i.indexprs, i.indrelid)), coalesce((SELECT sum(s.idx_scan)::bigint FROM pg_stat_all_indexes s "
            "WHERE s.indexrelid = i.indexrelid OR s.indexrelid IN (SELECT t.relid FROM pg_partition_tree(i.indexrelid) "
            "t)), 0) FROM {} JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am "
            "m "
            "ON m.oid = x.relam LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = c.oid AND "
            "k.contype IN ('p', 'u', 'x') ORDER BY 1, x.relname",
            user_tables));
        for (std::size_t i = 0; i < rows.size(); i++) {
            LintTable *of = table(rows, i);
            if (!of) continue;
            LintIndex index;
            index.oid = oid_at(rows, i, 2);
            index.name = rows.text_or(i, 3);
            index.method = rows.text_or(i, 4);
            index.predicate = rows.text_or(i, 5);
            index.definition = rows.text_or(i, 6);
            index.constraint = rows.text_or(i, 7);
            index.columns = numbers_at(rows, i, 8);
            index.included = numbers_at(rows, i, 9);
            index.unique = rows.boolean(i, 10);
            index.primary = rows.boolean(i, 11);
            index.valid = rows.boolean(i, 12);
            index.ready = rows.boolean(i, 13);
            index.expressions = rows.boolean(i, 14);
            index.nulls_equal = rows.boolean(i, 15);
            index.options = rows.text_or(i, 16);
            index.scans = rows.bigint(i, 17);
            of->indexes.push_back(std::move(index));
        }
    }

    void read_foreign_keys() {
        Rows rows = own_query(fmt::format(
            "SELECT c.oid::bigint, k.oid::bigint, k.confrelid::bigint, k.conname, k.conkey::text[], k.confkey::text[], "
            "ARRAY(SELECT jsonb_array_elements_text(nullif(to_jsonb(k) -> 'confdelsetcols', 'null'))), k.confdeltype, "
            "k.confmatchtype, k.convalidated, EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND "
            "t.tgenabled IN ('D', 'R')), ARRAY(SELECT format('OPERATOR(%I.%s)', s.nspname, o.oprname) FROM "
            "unnest(k.conpfeqop) WITH ORDINALITY u(op, place) JOIN pg_operator o ON o.oid = u.op JOIN pg_namespace s "
            "ON "
            "s.oid = o.oprnamespace ORDER BY u.place), k.condeferrable FROM {} JOIN pg_constraint k ON k.conrelid = "
            "c.oid AND k.contype "
            "= 'f' AND k.conparentid = 0 ORDER BY 1, k.conname",
            user_tables));
        for (std::size_t i = 0; i < rows.size(); i++) {
            LintTable *of = table(rows, i);
            if (!of) continue;
            LintForeignKey key;
            key.oid = oid_at(rows, i, 2);
            key.to = oid_at(rows, i, 3);
            key.name = rows.text_or(i, 4);
            key.from_columns = numbers_at(rows, i, 5);
            key.to_columns = numbers_at(rows, i, 6);
            key.set_columns = numbers_at(rows, i, 7);
            key.on_delete = char_at(rows, i, 8);
            key.match = char_at(rows, i, 9);
            key.validated = rows.boolean(i, 10);
            key.disabled = rows.boolean(i, 11);
            key.operators = rows.text_array(i, 12);
            key.deferrable = rows.boolean(i, 13);
            of->foreign_keys.push_back(std::move(key));
        }
    }

    void read_checks() {
        Rows rows =
            own_query(fmt::format("SELECT c.oid::bigint, k.conname, pg_get_expr(k.conbin, k.conrelid), "
                                  "coalesce(k.conkey, '{{}}')::text[], k.convalidated FROM {} JOIN pg_constraint k ON "
                                  "k.conrelid = c.oid AND k.contype = 'c' ORDER BY 1, 2",
                                  user_tables));
        for (std::size_t i = 0; i < rows.size(); i++)
            if (LintTable *of = table(rows, i))
                of->checks.push_back(
                    {rows.text_or(i, 2), rows.text_or(i, 3), numbers_at(rows, i, 4), rows.boolean(i, 5)});
    }

    void read_triggers() {
        // Arguments are kept as bytes, each ended by a zero.
        Rows rows = own_query(fmt::format(
            "SELECT c.oid::bigint, t.tgname, format('%I.%I', s.nspname, p.proname), t.tgenabled, (t.tgtype & 8) <> 0, "
            "encode(t.tgargs, 'hex') FROM {} JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal JOIN "
            "pg_proc "
            "p ON p.oid = t.tgfoid JOIN pg_namespace s ON s.oid = p.pronamespace ORDER BY 1, 2",
            user_tables));
        for (std::size_t i = 0; i < rows.size(); i++) {
            LintTable *of = table(rows, i);
            if (!of) continue;
            LintTrigger trigger{rows.text_or(i, 2), rows.text_or(i, 3), {}, char_at(rows, i, 4), rows.boolean(i, 5)};
            const std::string hex = rows.text_or(i, 6);
            std::string argument;
            for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
                const char byte = static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
                if (byte == '\0')
                    trigger.arguments.push_back(std::exchange(argument, {}));
                else
                    argument += byte;
            }
            of->triggers.push_back(std::move(trigger));
        }
    }

    void read_sequences() {
        Rows rows = own_query(fmt::format(
            "SELECT c.oid::bigint, a.attnum::integer, format('%I.%I', q.schemaname, q.sequencename), "
            "coalesce(q.last_value, 0) / least(q.max_value, CASE a.atttypid WHEN 'integer'::regtype THEN 2147483647 "
            "WHEN 'smallint'::regtype THEN 32767 ELSE q.max_value END)::double precision FROM {} JOIN pg_depend d ON "
            "d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.classid = 'pg_class'::regclass AND "
            "d.deptype IN ('a', 'i') AND d.refobjsubid > 0 JOIN pg_class x ON x.oid = d.objid AND x.relkind = 'S' JOIN "
            "pg_namespace y ON y.oid = x.relnamespace JOIN pg_sequences q ON q.schemaname = y.nspname AND "
            "q.sequencename = x.relname JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid WHERE "
            "q.increment_by > 0 AND NOT q.cycle ORDER BY 1, 2, 3",
            user_tables));
        for (std::size_t i = 0; i < rows.size(); i++)
            if (LintTable *of = table(rows, i))
                of->sequences.push_back({static_cast<AttrNumber>(rows.bigint(i, 2)), rows.text_or(i, 3),
                                         std::strtod(rows.text_or(i, 4, "0").c_str(), nullptr)});
    }

    void read_labels() {
        Rows rows = own_query("SELECT e.enumtypid::bigint, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM "
                              "pg_enum e GROUP BY 1");
        for (std::size_t i = 0; i < rows.size(); i++)
            model_.labels.emplace(oid_at(rows, i, 1), rows.text_array(i, 2));
    }
};

std::string lower(std::string_view text) {
    std::string result(text);
    for (char &c : result)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

std::string plural(const std::string &word) {
    auto ends = [&](std::string_view tail) { return word.ends_with(tail); };
    if (ends("y") && word.size() > 1 && std::string_view("aeiou").find(word[word.size() - 2]) == std::string_view::npos)
        return word.substr(0, word.size() - 1) + "ies";
    if (ends("s") || ends("x") || ends("ch") || ends("sh") || ends("z")) return word + "es";
    return word + "s";
}
} // namespace

bool LintIndex::serves(const std::vector<AttrNumber> &wanted) const {
    if (!usable() || !predicate.empty() || columns.size() < wanted.size()) return false;
    if (method != "btree" && !(method == "hash" && wanted.size() == 1)) return false;
    return std::all_of(columns.begin(), columns.begin() + static_cast<std::ptrdiff_t>(wanted.size()),
                       [&](AttrNumber column) {
                           return column != 0 && std::find(wanted.begin(), wanted.end(), column) != wanted.end();
                       });
}

const LintColumn *LintTable::find(std::string_view column) const {
    for (const LintColumn &one : columns)
        if (one.name == column) return &one;
    return nullptr;
}

const LintColumn &LintTable::at(AttrNumber column) const {
    for (const LintColumn &one : columns)
        if (one.number == column) return one;
    throw Error(sqlstate::undefined_column, fmt::format("column number {} of {} does not exist", column, label()), {},
                "The table was changed meanwhile: call lint again.");
}

const LintIndex *LintTable::primary_key() const {
    for (const LintIndex &index : indexes)
        if (index.primary) return &index;
    return nullptr;
}

std::vector<std::string> LintTable::names(const std::vector<AttrNumber> &numbers) const {
    std::vector<std::string> result;
    for (AttrNumber number : numbers)
        result.push_back(number == 0 ? "(expression)" : quoted(at(number).name));
    return result;
}

std::string LintTable::list(const std::vector<AttrNumber> &numbers) const {
    return fmt::format("{}", fmt::join(names(numbers), ", "));
}

bool LintTable::kept_in_step(std::string_view column, std::size_t argument) const {
    return std::any_of(triggers.begin(), triggers.end(), [&](const LintTrigger &trigger) {
        return trigger.function == "tenantmig.rekey_sync" && trigger.arguments.size() > argument &&
               trigger.arguments[argument] == column;
    });
}

const LintTable *LintModel::find(Oid oid) const {
    auto found = tables.find(oid);
    return found == tables.end() ? nullptr : &found->second;
}

std::vector<const LintTable *> LintModel::scope() const {
    std::vector<const LintTable *> result;
    for (const auto &[oid, table] : tables)
        if (table.in_scope) result.push_back(&table);
    std::sort(result.begin(), result.end(), [](const LintTable *a, const LintTable *b) {
        return std::tie(a->schema, a->name) < std::tie(b->schema, b->name);
    });
    return result;
}

bool LintModel::guarded(const LintTable &table, core::GuardKind kind, const std::string &column) const {
    const std::string function = "tenantmig.guard_" + std::string(core::kind_name(kind));
    for (const LintTrigger &trigger : table.triggers) {
        if (trigger.function != function || (trigger.enabled != 'O' && trigger.enabled != 'A')) continue;
        for (const GuardRecord &guard : guards) {
            if (trigger.arguments != std::vector{std::to_string(guard.id)}) continue;
            core::GuardDefinition definition;
            try {
                definition = core::parse_guard_json(guard.definition);
            } catch (const std::exception &) {
                continue; // somebody has changed it: no guard that can be relied on
            }
            if (definition.column.name == column) return true;
            for (const core::GuardSource &source : definition.sources)
                for (const core::GuardColumn &probe : source.probe)
                    if (probe.name == column) return true;
        }
        if (trigger.arguments.size() > 1 || (trigger.arguments.size() == 1 && kind == core::GuardKind::immutable))
            for (const std::string &argument : trigger.arguments)
                if (argument == column) return true;
    }
    return false;
}

LintModel read_lint_model() {
    return Reader().read();
}

std::vector<std::string> table_names_of(std::string_view word) {
    const std::size_t last = word.find_last_of("\\/.:");
    const std::string_view name = last == std::string_view::npos ? word : word.substr(last + 1);
    std::string snake;
    for (std::size_t i = 0; i < name.size(); i++) {
        const auto c = static_cast<unsigned char>(name[i]);
        if (std::isupper(c) && i > 0 && name[i - 1] != '_' &&
            (std::islower(static_cast<unsigned char>(name[i - 1])) ||
             (i + 1 < name.size() && std::islower(static_cast<unsigned char>(name[i + 1])))))
            snake += '_';
        snake += c == ' ' || c == '-' ? '_' : static_cast<char>(std::tolower(c));
    }
    if (snake.empty()) return {};
    return {plural(snake), snake, snake + "s", lower(name), std::string(name)};
}

namespace {
// The column of a table that names its tenant: by foreign key to the tenant root, else by its name.
void find_tenant_key(const LintModel &model, LintTable &table, const std::set<std::string> &names) {
    std::vector<AttrNumber> leading;
    for (const LintForeignKey &key : table.foreign_keys) {
        if (key.to != model.root) continue;
        for (std::size_t i = 0; i < key.to_columns.size(); i++)
            if (key.to_columns[i] == model.root_key &&
                std::find(leading.begin(), leading.end(), key.from_columns[i]) == leading.end())
                leading.push_back(key.from_columns[i]);
    }
    auto named = [&](AttrNumber number) { return names.contains(table.at(number).name); };
    std::stable_partition(leading.begin(), leading.end(), named);
    if (leading.size() == 1 || (!leading.empty() && named(leading.front()))) {
        table.tenant_key = leading.front();
        leading.erase(leading.begin());
    } else if (leading.empty()) {
        for (const LintColumn &column : table.columns)
            if (names.contains(column.name) && !table.tenant_key) table.tenant_key = column.number;
    }
    table.other_keys = std::move(leading);
}

// How columns that lead to the tenant root are called most often; ties: the first by name.
std::string usual_name(const LintModel &model) {
    std::map<std::string, int> count;
    for (const auto &[oid, table] : model.tables)
        for (const LintForeignKey &key : table.foreign_keys)
            if (key.to == model.root && oid != model.root && key.to_columns == std::vector{model.root_key})
                count[table.at(key.from_columns.front()).name]++;
    std::string best;
    for (const auto &[name, times] : count)
        if (best.empty() || times > count.at(best)) best = name;
    return best;
}

void reach_root(LintModel &model) {
    model.tables.at(model.root).reaches_root = true;
    for (bool more = true; more;) {
        more = false;
        for (auto &[oid, table] : model.tables)
            if (!table.reaches_root)
                for (const LintForeignKey &key : table.foreign_keys)
                    if (auto to = model.tables.find(key.to); to != model.tables.end() && to->second.reaches_root)
                        table.reaches_root = more = true;
    }
}
} // namespace

void find_tenant_keys(LintModel &model, Oid root, const std::string &key, const std::set<std::string> &names,
                      const std::vector<std::string> &schemas) {
    model.root = root;
    LintTable &table = model.tables.at(root);
    if (!key.empty()) {
        const LintColumn *column = table.find(key);
        if (!column)
            throw Error(sqlstate::undefined_column,
                        fmt::format("column {} of {} does not exist", core::excerpt(key), table.label()), {},
                        "tenant_key names the column of the tenant root that tenant keys refer to.");
        model.root_key = column->number;
    } else {
        const LintIndex *primary = table.primary_key();
        if (!primary || primary->columns.size() != 1)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("the key of the tenant root {} cannot be told", table.label()),
                        primary ? fmt::format("Its primary key has {} columns.", primary->columns.size())
                                : "It has no primary key.",
                        "Say which column tenant keys refer to: tenantmig.lint(tenant_root, tenant_key => 'id').");
        model.root_key = primary->columns.front();
    }
    std::set<std::string> known = names;
    model.key_name = usual_name(model);
    const std::string root_key = table.at(model.root_key).name;
    if (model.key_name.empty()) {
        // companies.id: company_id; domains.domain: domain
        for (const auto &[oid, other] : model.tables)
            for (const LintColumn &column : other.columns)
                if (model.key_name.empty() && oid != root && column.name.ends_with("_" + root_key)) {
                    const auto tables = table_names_of(
                        std::string_view(column.name).substr(0, column.name.size() - root_key.size() - 1));
                    if (std::find(tables.begin(), tables.end(), table.name) != tables.end())
                        model.key_name = column.name;
                }
        if (model.key_name.empty() && !names.empty()) model.key_name = *names.begin();
        if (model.key_name.empty() && root_key != "id") model.key_name = root_key;
    }
    if (!model.key_name.empty()) known.insert(model.key_name);
    reach_root(model);
    std::set<std::string> wanted(schemas.begin(), schemas.end());
    for (auto &[oid, one] : model.tables) {
        if (oid != root) find_tenant_key(model, one, known);
        if (schemas.empty() && (one.reaches_root || oid == root)) wanted.insert(one.schema);
    }
    for (auto &[oid, one] : model.tables)
        one.in_scope = wanted.contains(one.schema) && !one.by_step;
}

} // namespace tenantmig

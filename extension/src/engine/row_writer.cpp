#include "engine/row_writer.hpp"

namespace tenantmig {

namespace {
constexpr std::size_t observed_rows = 1000; // of the first batch: enough to see what a trigger does, too few to cost
constexpr char values_clause[] = " FROM ROWS FROM (";

Oid array_of(Oid type) {
    Oid array = pg_call([type] { return get_array_type(type); });
    if (!OidIsValid(array))
        throw Error(sqlstate::feature_not_supported, fmt::format("type {} has no array type", type_label(type)), {},
                    "Use a key of a built-in type, or a type with an array type.");
    return array;
}

struct ElementType {
    Oid type, array;
    std::int16_t length;
    bool by_value;
    char align;
};

ElementType element_type(Oid type) {
    ElementType element = {type, array_of(type), 0, false, 0};
    pg_call([&element] { get_typlenbyvalalign(element.type, &element.length, &element.by_value, &element.align); });
    return element;
}

Value array_value(const ElementType &element, const std::vector<Datum> &values, const bool *nulls, std::size_t from,
                  std::size_t count) {
    Datum *first = const_cast<Datum *>(values.data()) + from;
    bool *isnull = const_cast<bool *>(nulls ? nulls + from : nullptr);
    int n = static_cast<int>(count);
    Datum array = pg_call([&element, first, isnull, n] {
        int dims[1] = {n}, lower[1] = {1};
        return PointerGetDatum(construct_md_array(first, isnull, 1, dims, lower, element.type, element.length,
                                                  element.by_value, element.align));
    });
    return {element.array, array, false};
}

// What fails inside of our statement is mostly a trigger or a constraint of the user, and PostgreSQL shows the
// statement whole: a screen of it that hides the error. The context keeps its beginning, with table and column.
void shorten_statement(char *context, const std::string &statement) {
    constexpr std::string_view dots = "...";
    std::size_t keep = statement.find(values_clause);
    char *found = context ? std::strstr(context, statement.c_str()) : nullptr;
    if (!found || keep == std::string::npos) return;
    const char *rest = found + statement.size();
    dots.copy(found + keep, dots.size());
    std::memmove(found + keep + dots.size(), rest, std::strlen(rest) + 1);
}
} // namespace

void refuse_overridden(const Table &table, const Column &column) {
    throw Error(sqlstate::value_overridden,
                fmt::format("a trigger on {} changed the value that was written to \"{}\"", table.label(), column.name),
                "A BEFORE UPDATE trigger put another value in its place, so the result would not be what the evidence "
                "says.",
                fmt::format("Disable the trigger for the migration, or let it leave \"{}\" alone.", column.name));
}

void refuse_suppressed(const Table &table, const Column &column, std::int64_t rows) {
    throw Error(sqlstate::value_overridden,
                fmt::format("a trigger on {} held back the write of {} rows", table.label(), rows),
                fmt::format("They are there, and \"{}\" is still NULL.", column.name),
                fmt::format("Disable the trigger for the migration, or let it pass changes of \"{}\".", column.name));
}

struct RowWriter::Implementation {
    Table table;
    Column column;
    Oid writer;
    bool over_null, watch;
    std::vector<ElementType> key_types;
    ElementType value_type;
    std::string sql, observing_sql, left_sql;
    std::vector<Oid> parameter_types;
    std::vector<std::string> observed_columns;
    std::unique_ptr<Statement> statement;

    std::uint64_t run(Statement &prepared, const WriteBatch &batch, std::size_t from, std::size_t count,
                      std::vector<bool> &written, std::vector<std::string> *changed);
    std::vector<Value> parameters(const WriteBatch &batch, std::size_t from, std::size_t count);
    void refuse_suppressed(const WriteBatch &batch, const std::vector<bool> &written);
    // Also where the owner is the current user already: unrestricted, his UPDATE would see no row of a table that
    // forces row security on him, and what his triggers defer would fire as whoever he is at COMMIT.
    std::unique_ptr<RunAs> identity() const {
        return writer == table.owner ? std::make_unique<RunAs>(writer, Purpose::write) : nullptr;
    }
};

RowWriter::RowWriter(const Table &table, const Column &column, const std::vector<AttrNumber> &key, bool over_null,
                     Oid writer)
    : implementation_(std::make_unique<Implementation>()) {
    Implementation &self = *implementation_;
    self.table = table;
    self.column = column;
    self.writer = writer;
    self.over_null = over_null;
    self.value_type = element_type(column.type);

    // UPDATE t SET c = u.new FROM ROWS FROM (unnest($1), …) WITH ORDINALITY u WHERE t.key = u.key AND t.c IS NULL: the
    // join by key finds a row wherever a concurrent update has moved it, and READ COMMITTED checks the condition again
    // on its newest version.
    std::string arrays, names, match;
    int number = 0;
    for (AttrNumber attribute : key) {
        const Column &part = table.at(attribute);
        self.key_types.push_back(element_type(part.type));
        self.parameter_types.push_back(self.key_types.back().array);
        number++;
        arrays += fmt::format("{}pg_catalog.unnest(${})", number > 1 ? ", " : "", number);
        names += fmt::format("k{}, ", number);
        match += fmt::format("{}t.{} {} u.k{}", number > 1 ? " AND " : "", quoted(part.name),
                             equality_operator(part.type), number);
    }
    self.parameter_types.push_back(self.value_type.array);
    arrays += fmt::format(", pg_catalog.unnest(${})", ++number);
    names += "new_value, ";
    std::string name = quoted(column.name);
    std::string equals = equality_operator(column.type);
    if (over_null) {
        match += fmt::format(" AND t.{} IS NULL", name);
    } else {
        self.parameter_types.push_back(self.value_type.array);
        arrays += fmt::format(", pg_catalog.unnest(${})", ++number);
        names += "expected, ";
        match += fmt::format(" AND (t.{0} {1} u.expected OR (t.{0} IS NULL AND u.expected IS NULL))", name, equals);
    }
    std::string set = fmt::format("UPDATE {} AS t SET {} = u.new_value{}{}) WITH ORDINALITY AS u({}position)",
                                  table.target(), name, values_clause, arrays, names);
    std::string returning = fmt::format(" RETURNING u.position, (t.{0} {1} u.new_value) IS NOT FALSE AND (t.{0} IS "
                                        "NULL) OPERATOR(pg_catalog.=) (u.new_value IS NULL)",
                                        name, equals);
    self.sql = set + " WHERE " + match + returning;

    // the same with a look at the row as it was before, to see which other columns the user's triggers change
    std::string before, compared;
    for (std::size_t i = 0; i < key.size(); i++) {
        const Column &part = table.at(key[i]);
        before += fmt::format(" AND o.{} {} u.k{}", quoted(part.name), equality_operator(part.type), i + 1);
    }
    for (const Column &other : table.columns) {
        if (other.number == column.number || other.generated) continue;
        self.observed_columns.push_back(other.name);
        // not IS DISTINCT FROM, whose operator would be looked up in the session's search_path
        std::string other_name = quoted(other.name);
        std::string text = fmt::format("{0}NOT coalesce((o.{1}::pg_catalog.text) OPERATOR(pg_catalog.=) "
                                       "(t.{1}::pg_catalog.text), o.{1} IS NULL AND t.{1} IS NULL)",
                                       compared.empty() ? "" : ", ", other_name);
        compared += text;
    }
    self.observing_sql = fmt::format("{}, {} AS o WHERE {}{}{}{}", set, table.target(), match, before, returning,
                                     compared.empty() ? "" : ", " + compared);
    // who may not read all columns (a decision by somebody with rights on a few) is not asked to
    if (over_null)
        self.left_sql = fmt::format(
            "SELECT pg_catalog.count(*) FROM {} AS t, ROWS FROM ({}) WITH ORDINALITY AS u({}position) WHERE {}",
            table.target(), arrays, names, match);
    self.watch = pg_call([oid = table.oid, writer] {
        Relation rel = relation_open(oid, AccessShareLock);
        bool result = rel->trigdesc && rel->trigdesc->trig_update_before_row &&
                      pg_class_aclcheck(oid, writer, ACL_SELECT) == ACLCHECK_OK;
        relation_close(rel, NoLock);
        return result;
    });
}

RowWriter::~RowWriter() = default;

std::vector<Value> RowWriter::Implementation::parameters(const WriteBatch &batch, std::size_t from, std::size_t count) {
    std::vector<Value> values;
    for (std::size_t i = 0; i < key_types.size(); i++)
        values.push_back(array_value(key_types[i], batch.keys[i], nullptr, from, count));
    values.push_back(array_value(value_type, batch.new_values, batch.new_nulls.get(), from, count));
    if (!over_null) values.push_back(array_value(value_type, batch.expected, batch.expected_nulls.get(), from, count));
    return values;
}

std::uint64_t RowWriter::Implementation::run(Statement &prepared, const WriteBatch &batch, std::size_t from,
                                             std::size_t count, std::vector<bool> &written,
                                             std::vector<std::string> *changed) {
    std::vector<Value> values = parameters(batch, from, count);
    std::uint64_t rows = 0;
    bool overridden = false;
    auto on_row = [&](TupleTableSlot *slot) {
        pg_call([slot] { slot_getallattrs(slot); });
        auto position = static_cast<std::size_t>(DatumGetInt64(slot->tts_values[0])) - 1;
        if (!DatumGetBool(slot->tts_values[1])) {
            overridden = true;
            return false;
        }
        if (!written[from + position]) rows++;
        written[from + position] = true;
        if (changed)
            for (std::size_t i = 0; i < observed_columns.size(); i++)
                if (DatumGetBool(slot->tts_values[2 + i]) &&
                    std::find(changed->begin(), changed->end(), observed_columns[i]) == changed->end())
                    changed->push_back(observed_columns[i]);
        return true;
    };
    try {
        auto as_writer = identity();
        prepared.execute(values, on_row);
    } catch (const PgError &error) {
        for (const std::string *text : {&observing_sql, &sql})
            shorten_statement(error.data()->context, *text);
        throw;
    }
    for (const Value &value : values)
        pfree(DatumGetPointer(value.datum));
    if (overridden) refuse_overridden(table, column);
    return rows;
}

// A row that was not written is gone, or was filled by somebody else. If it is there and still NULL, a trigger held the
// write back.
void RowWriter::Implementation::refuse_suppressed(const WriteBatch &batch, const std::vector<bool> &written) {
    WriteBatch left;
    left.keys.resize(key_types.size());
    for (std::size_t i = 0; i < written.size(); i++) {
        if (written[i]) continue;
        for (std::size_t k = 0; k < key_types.size(); k++)
            left.keys[k].push_back(batch.keys[k][i]);
        left.new_values.push_back(batch.new_values[i]);
    }
    std::vector<Value> values = parameters(left, 0, left.size());
    std::unique_ptr<RunAs> reader = writer == table.owner ? std::make_unique<RunAs>(writer, Purpose::read) : nullptr;
    std::int64_t rows = run_query(left_sql, values).bigint(0, 1);
    if (rows > 0) tenantmig::refuse_suppressed(table, column, rows);
}

std::uint64_t RowWriter::write(const WriteBatch &batch, std::vector<bool> &written) {
    Implementation &self = *implementation_;
    written.assign(batch.size(), false);
    std::size_t from = 0;
    std::uint64_t rows = 0;
    if (self.watch && batch.size() > 0) {
        self.watch = false;
        auto as_writer = self.identity();
        Statement observing(self.observing_sql, self.parameter_types);
        from = std::min(observed_rows, batch.size());
        rows += self.run(observing, batch, 0, from, written, &changed_columns_);
    }
    if (from < batch.size()) {
        if (!self.statement) {
            auto as_writer = self.identity();
            self.statement = std::make_unique<Statement>(self.sql, self.parameter_types);
        }
        rows += self.run(*self.statement, batch, from, batch.size() - from, written, nullptr);
    }
    if (self.over_null && rows < batch.size()) self.refuse_suppressed(batch, written);
    return rows;
}

} // namespace tenantmig

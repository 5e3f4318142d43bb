#include "core/excerpt.hpp"

#include "bridge/sql.hpp"
#include "bridge/sql_script.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "tcop/utility.h"
}

namespace tenantmig {

ScriptSettings::ScriptSettings() : level_(NewGUCNestLevel()) {
    try {
        pg_call([] {
            auto set = [](const char *name, const char *value) {
                (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
            };
            set("standard_conforming_strings", "on");
            set("backslash_quote", "safe_encoding");
        });
    } catch (...) {
        AtEOXact_GUC(false, level_);
        throw;
    }
}

ScriptSettings::~ScriptSettings() {
    AtEOXact_GUC(false, level_);
}

void ScriptSettings::use_search_path(const std::string &path) {
    pg_call([text = path.c_str()] {
        (void)set_config_option("search_path", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    });
}

namespace {
constexpr std::size_t longest_line = 120;

List *parse(const std::string &script) {
    return pg_call([text = script.c_str()] { return raw_parser(text, RAW_PARSE_DEFAULT); });
}

std::size_t line_of(const std::string &script, std::size_t offset) {
    return 1 + static_cast<std::size_t>(
                   std::count(script.begin(), script.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

// Where the n-th character begins, from 1.
std::size_t offset_of(const std::string &script, int character) {
    const char *text = script.c_str();
    return static_cast<std::size_t>(pg_call([text, character] {
        int offset = 0;
        for (int i = 1; i < character && text[offset] != 0; i++)
            offset += pg_mblen(text + offset);
        return offset;
    }));
}

// The number of the statement that an error at `offset` lies in: what stands before it is SQL up to one of the
// semicolons there.
int number_at(const std::string &script, std::size_t offset) {
    while (offset > 0) {
        const std::size_t semicolon = script.rfind(';', offset - 1);
        if (semicolon == std::string::npos) break;
        try {
            return 1 + list_length(parse(script.substr(0, semicolon)));
        } catch (const PgError &) { // it stands within something, or more is wrong: the one before
            offset = semicolon;
        }
    }
    return 1;
}

[[noreturn]] void syntax_error(const std::string &script, const std::string &what, const PgError &error) {
    const ErrorData *data = error.data();
    const std::size_t offset =
        data->cursorpos > 0 ? std::min(script.size(), offset_of(script, data->cursorpos)) : script.size();
    const std::size_t from = offset == 0 ? 0 : script.rfind('\n', offset - 1) + 1; // npos + 1 is 0
    const std::size_t to = std::min(script.find('\n', offset), script.size());
    const char at = offset < script.size() ? script[offset] : ' ';
    std::string hint = "Correct the statement; psql -f reports the same place.";
    if (at == '\\') hint = "Commands of psql (\\set, \\i, …) are no SQL: write plain statements only.";
    if (at == ':') hint = "Variables of psql (:name, :'name') are no SQL: write the value.";
    throw Error(sqlstate::syntax_error,
                fmt::format("{}, statement {}: {}", what, number_at(script, offset),
                            data->message ? data->message : "syntax error"),
                fmt::format("Line {}: {}", line_of(script, offset),
                            core::excerpt(script.substr(from, to - from), longest_line)),
                hint);
}

bool vacuums(const Node *node) {
    return IsA(node, VacuumStmt) && reinterpret_cast<const VacuumStmt *>(node)->is_vacuumcmd;
}

bool detaches_concurrently(const Node *node) {
    if (!IsA(node, AlterTableStmt)) return false;
    const List *commands = reinterpret_cast<const AlterTableStmt *>(node)->cmds;
    for (int i = 0; i < list_length(commands); i++) {
        const auto *command = reinterpret_cast<const AlterTableCmd *>(list_nth(commands, i));
        if (command->subtype == AT_DetachPartition && reinterpret_cast<PartitionCmd *>(command->def)->concurrent)
            return true;
    }
    return false;
}

bool named_option(const List *options, const char *name) {
    for (int i = 0; i < list_length(options); i++)
        if (strcmp(reinterpret_cast<const DefElem *>(list_nth(options, i))->defname, name) == 0) return true;
    return false;
}

bool outside_of_transactions(const Node *node) {
    switch (nodeTag(node)) {
    case T_VacuumStmt:
        return vacuums(node);
    case T_IndexStmt:
        return reinterpret_cast<const IndexStmt *>(node)->concurrent;
    case T_DropStmt:
        return reinterpret_cast<const DropStmt *>(node)->concurrent;
    case T_ReindexStmt: {
        const auto *reindex = reinterpret_cast<const ReindexStmt *>(node);
        return (reindex->kind != REINDEX_OBJECT_INDEX && reindex->kind != REINDEX_OBJECT_TABLE) ||
               named_option(reindex->params, "concurrently");
    }
    case T_ClusterStmt:
        return !reinterpret_cast<const ClusterStmt *>(node)->relation;
    case T_CreatedbStmt:
    case T_DropdbStmt:
    case T_CreateTableSpaceStmt:
    case T_DropTableSpaceStmt:
    case T_AlterSystemStmt:
    case T_CreateSubscriptionStmt:
    case T_DropSubscriptionStmt:
        return true;
    default:
        return detaches_concurrently(node);
    }
}

const char *refusal(const Node *node) {
    switch (nodeTag(node)) {
    case T_TransactionStmt:
        return "tenantmig begins and ends the transactions of a step";
    case T_VariableSetStmt: {
        const char *name = reinterpret_cast<const VariableSetStmt *>(node)->name;
        if (name && (strcmp(name, "role") == 0 || strcmp(name, "session_authorization") == 0))
            return "a step runs as the owner of its migration";
        if (name && (strcmp(name, "TRANSACTION") == 0 || strcmp(name, "SESSION CHARACTERISTICS") == 0 ||
                     strcmp(name, "TRANSACTION SNAPSHOT") == 0))
            return "tenantmig begins and ends the transactions of a step";
        return nullptr;
    }
    case T_CopyStmt: {
        const auto *copy = reinterpret_cast<const CopyStmt *>(node);
        return copy->filename ? nullptr : "there is no client that could send or take its data";
    }
    case T_PrepareStmt:
    case T_ExecuteStmt:
    case T_DeallocateStmt:
    case T_DeclareCursorStmt:
    case T_FetchStmt:
    case T_ClosePortalStmt:
    case T_ListenStmt:
    case T_UnlistenStmt:
    case T_DiscardStmt:
        return "it is about the session of whoever runs the migration";
    default:
        return nullptr;
    }
}

bool only_reads(const Node *node) {
    if (!IsA(node, SelectStmt)) return false;
    const auto *select = reinterpret_cast<const SelectStmt *>(node);
    return !select->intoClause && !select->lockingClause;
}

ScriptStatement describe(const RawStmt *raw, const std::string &script) {
    const auto size = script.size();
    auto from = static_cast<std::size_t>(std::max(0, raw->stmt_location));
    const std::size_t to = raw->stmt_len > 0 ? std::min(size, from + static_cast<std::size_t>(raw->stmt_len)) : size;
    while (from < to && strchr(" \t\r\n\f\v", script[from]) != nullptr)
        from++;
    ScriptStatement statement;
    statement.text = script.substr(from, to - from);
    statement.line = line_of(script, from);
    const Node *node = raw->stmt;
    statement.command = pg_call([raw] { return GetCommandTagName(CreateCommandTag(raw->stmt)); });
    statement.refused = refusal(node);
    statement.outside_only = outside_of_transactions(node);
    statement.session_only = IsA(node, VariableSetStmt);
    statement.reads = only_reads(node);
    if (IsA(node, IndexStmt) && reinterpret_cast<const IndexStmt *>(node)->concurrent) {
        const auto *index = reinterpret_cast<const IndexStmt *>(node);
        if (index->idxname) statement.new_index = index->idxname;
        statement.index_table = index->relation->schemaname
                                    ? qualified(index->relation->schemaname, index->relation->relname)
                                    : quoted(index->relation->relname);
    }
    return statement;
}
} // namespace

std::vector<ScriptStatement> split_script(const std::string &script, const std::string &what) {
    ScriptSettings settings;
    List *parsed = nullptr;
    std::optional<PgError> failure; // numbers are counted once the handler has been left
    try {
        parsed = parse(script);
    } catch (PgError &error) {
        failure.emplace(std::move(error));
    }
    if (failure) syntax_error(script, what, *failure);
    std::vector<ScriptStatement> statements;
    for (int i = 0; i < list_length(parsed); i++)
        statements.push_back(describe(reinterpret_cast<const RawStmt *>(list_nth(parsed, i)), script));
    return statements;
}

void execute_statement(const std::string &statement) {
    pg_call([text = statement.c_str()] {
        SPIExecuteOptions options = {};
        options.dest = None_Receiver;
        const int result = SPI_execute_extended(text, &options);
        if (result < 0)
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("the statement can't be run here: %s", SPI_result_code_string(result))));
    });
}

} // namespace tenantmig

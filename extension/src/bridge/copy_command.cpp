#include "bridge/copy_command.hpp"

// libpq.h brings the struct Port in, and with it headers of other projects. Nothing of Port is used here.
#undef ENABLE_GSS
#undef USE_OPENSSL

extern "C" {
#include "commands/copy.h"
#include "libpq/libpq.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
}

namespace tenantmig {

namespace {
// Of the COPY that runs: its callbacks know no context, and a backend runs one at a time.
struct {
    std::uint64_t rows, limit;
    bool more;
    const char *text;
    int left;
} running;

constexpr int stopped = ERRCODE_QUERY_CANCELED;

int count_message(char type, const char *, size_t) {
    if (type != 'd') return 0;
    if (running.rows == running.limit) {
        running.more = true;
        ereport(ERROR, (errcode(stopped), errmsg("COPY has sent enough rows")));
    }
    running.rows++;
    return 0;
}
void count_message_noblock(char type, const char *text, size_t size) {
    (void)count_message(type, text, size);
}
void nothing() {}
int no_error() {
    return 0;
}
bool nothing_pending() {
    return false;
}

constexpr PQcommMethods counting = {nothing, no_error, no_error, nothing_pending, count_message, count_message_noblock};

// Takes the place of the connection to the client.
class Redirect {
public:
    Redirect() : methods_(PqCommMethods), destination_(whereToSendOutput) {
        PqCommMethods = &counting;
        whereToSendOutput = DestRemote; // else COPY would write to the server's standard output
    }
    ~Redirect() {
        PqCommMethods = methods_;
        whereToSendOutput = destination_;
    }
    Redirect(const Redirect &) = delete;
    Redirect &operator=(const Redirect &) = delete;

private:
    const PQcommMethods *methods_;
    CommandDest destination_;
};

int give_text(void *buffer, int, int most) {
    const int size = std::min(most, running.left);
    memcpy(buffer, running.text, static_cast<size_t>(size));
    running.text += size;
    running.left -= size;
    return size;
}
} // namespace

CopyOut copy_out(const std::string &sql, std::uint64_t limit) {
    running = {0, limit, false, nullptr, 0};
    const char *text = sql.c_str();
    try {
        const Redirect redirect;
        pg_call([text] {
            List *parsed = raw_parser(text, RAW_PARSE_DEFAULT);
            auto *raw = linitial_node(RawStmt, parsed);
            auto *copy = castNode(CopyStmt, raw->stmt);
            if (copy->is_from || copy->is_program || copy->filename)
                ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("not a COPY TO STDOUT")));
            ParseState *state = make_parsestate(nullptr);
            state->p_sourcetext = text;
            uint64 processed = 0;
            DoCopy(state, copy, raw->stmt_location, raw->stmt_len, &processed);
            free_parsestate(state);
        });
    } catch (const PgError &error) {
        if (!running.more || error.data()->sqlerrcode != stopped) throw;
    }
    return {running.rows, running.more};
}

bool copy_in_refused(Oid table) {
    return pg_call([table] { return check_enable_rls(table, InvalidOid, true) == RLS_ENABLED; });
}

std::uint64_t copy_in(Oid table, std::span<const std::string> columns, const std::string &line) {
    running = {0, 0, false, line.data(), static_cast<int>(line.size())};
    const std::string *first = columns.data();
    const std::size_t count = columns.size();
    return pg_call([table, first, count] {
        Relation relation = table_open(table, RowExclusiveLock);
        ParseState *state = make_parsestate(nullptr);
        (void)addRangeTableEntryForRelation(state, relation, RowExclusiveLock, nullptr, false, false);
        List *names = NIL;
        for (std::size_t i = 0; i < count; i++)
            names = lappend(names, makeString(pstrdup(first[i].c_str())));
        CopyFromState copy = BeginCopyFrom(state, relation, nullptr, nullptr, false, give_text, names, NIL);
        const uint64 rows = CopyFrom(copy);
        EndCopyFrom(copy);
        free_parsestate(state);
        table_close(relation, NoLock);
        return rows;
    });
}

std::string copy_line(std::span<const std::optional<std::string>> cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); i++) {
        if (i) line += '\t';
        if (!cells[i]) {
            line += "\\N";
            continue;
        }
        for (const char c : *cells[i])
            switch (c) {
            case '\\':
                line += "\\\\";
                break;
            case '\t':
                line += "\\t";
                break;
            case '\n':
                line += "\\n";
                break;
            case '\r':
                line += "\\r";
                break;
            default:
                line += c;
            }
    }
    return line + '\n';
}

} // namespace tenantmig

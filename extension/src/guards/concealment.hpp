// What a refusal may tell. A guard looks past row-level security, as foreign keys do; its errors must not carry what it
// has seen there to somebody whose policies hide it. PostgreSQL's regime.
#pragma once
#include "guards/guard_statement.hpp"

namespace tenantmig {

// Whether policies hide rows of the table from whoever writes (the current user, under the session's row_security).
bool hidden_from_writer(Oid table);

// As if the row that `columns` lead to were not there at all: the error of the foreign key over just these columns to
// `parent`, word for word as PostgreSQL has it. Returns if there is no such foreign key.
void refuse_as_foreign_key(Relation relation, HeapTuple row, const AttrNumber *columns, int count, Oid parent);

} // namespace tenantmig

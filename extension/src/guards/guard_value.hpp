// Values that guards compare, in the form that they are compared in (plain form): integers as bigint, varchar as text,
// everything else as it is. PostgreSQL's regime.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

bool is_integer(Oid type);
// The type that values of a type are compared in.
Oid plain_type(Oid type);
Datum plain(Oid type, Datum value, Oid *becomes);

// The integer whose text form this is; others (leading zeros, blanks) are no key of that type.
bool canonical_integer(const char *text, int length, std::int64_t *number);

// A value as the parameter of a lookup. False: no key of that type can be equal to it.
bool as_parameter(Oid from, Datum value, Oid to, Datum *result);

// Whether two values of a plain type are equal; types that are neither integer, uuid nor text by their images.
bool same(Oid plain_type, Datum a, Datum b);

// As a string, for messages; a long one is cut.
char *guard_text(Oid type, Datum value);
char *guard_excerpt(Oid type, Datum value);

} // namespace tenantmig

// Values as bytes that are equal exactly if their text forms are: for fingerprints, which have to survive a dump and
// restore. PostgreSQL's regime: nothing here has a destructor, errors are ereport()s, to be called in pg_call.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

enum class HashForm : std::uint8_t {
    fixed,   // so many bytes, by value or by reference
    float4,  // likewise, but all NaNs are one
    float8,  // likewise
    varlena, // the bytes as they are
    name,    // up to the first NUL
    label,   // of an enum: its OID is another one after a restore
    array,   // dimensions, and the elements one by one
    text     // whatever the type's output function says
};

struct HashColumn {
    int position = 0; // in the arrays of values
    HashForm form = HashForm::text, element = HashForm::text;
    bool by_value = false;
    std::int16_t length = 0;
    // of an array's elements
    Oid element_type = InvalidOid;
    bool element_by_value = false;
    std::int16_t element_length = 0;
    char element_align = 0;
    FmgrInfo output; // text, and elements that are text
};

// Reads the catalogue; `output` lives in the memory context that is current.
void describe_hash_column(Oid type, int position, HashColumn *column);

// Whether values of that form need memory while they are hashed.
bool needs_memory(const HashColumn &column);

// Appends the bytes of a value: a mark that tells NULL from a value, the length where it varies, the bytes.
void append_hashed(HashColumn &column, Datum value, bool isnull, StringInfo out);

} // namespace tenantmig

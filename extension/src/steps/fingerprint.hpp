// Fingerprints by name, over the catalogue and over rows: two databases, or one database at two moments, have the same
// ones exactly if nobody who goes by names and values could tell them apart. OIDs, the order of rows and of columns,
// physical storage and statistics don't count.
#pragma once
#include "core/row_hash.hpp"

#include "bridge/relation.hpp"
#include "catalog/migration_store.hpp"

namespace tenantmig {

struct FingerprintRow {
    const char *part = "schema"; // schema or data
    std::string object;          // column public.customers.company_id; of data: public.customers
    std::optional<std::int64_t> rows;
    core::Hash128 hash;
    std::optional<std::string> definition; // JSON: what was hashed; of data, the hash of each column by itself
};

// What is looked at. Neither: everything but the system's schemas and tenantmig's own.
struct FingerprintScope {
    std::optional<std::vector<std::string>> schemas; // only these; objects of the whole database don't count then
    std::optional<std::vector<Oid>> tables;          // only these, with all that belongs to them
};

// The tables that a migration names, as far as they are there; nullopt: a step of SQL text can touch anything.
std::optional<std::vector<Oid>> tables_of(const MigrationRecord &migration);

// One row per object of the catalogue, in the order of their names. Reads only.
std::vector<FingerprintRow> fingerprint_schema(const FingerprintScope &scope);

// The tables whose rows are looked at: those that have rows of their own (partitions, not their parents), materialised
// views too; not foreign tables, whose rows are elsewhere.
std::vector<Oid> fingerprint_tables(const FingerprintScope &scope);

// One table's rows under the active snapshot, as its owner, row security off. ACCESS SHARE to the end of the
// transaction. Errors: 42501 unless the caller could read all of them.
FingerprintRow fingerprint_rows(Oid table);

std::vector<FingerprintRow> fingerprint(const FingerprintScope &scope, bool with_data);

} // namespace tenantmig

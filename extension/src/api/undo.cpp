// rollback, undo_script.
#include "engine/undo.hpp"
#include "bridge/memory.hpp"
#include "bridge/results.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_rollback) {
    std::int64_t run = Arguments(fcinfo).bigint(0, "run");
    SpiSession session;
    auto counts = undo_run(run);
    ResultSet results(fcinfo);
    for (const UndoCount &count : counts)
        results.add({count.relation, count.outcome,
                     count.reason.empty() ? std::nullopt : std::optional<std::string>(count.reason),
                     std::to_string(count.rows)});
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_undo_script) {
    std::int64_t run = Arguments(fcinfo).bigint(0, "run");
    SpiSession session;
    pg_call([fcinfo] { InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC); });
    auto *info = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    Tuplestorestate *store = info->setResult;
    TupleDesc descriptor = info->setDesc;
    MemoryScope scope;
    std::size_t lines = 0;
    write_undo_script(run, [&](const std::string &line) {
        const char *data = line.data();
        auto size = static_cast<int>(line.size());
        pg_call([data, size, store, descriptor] {
            Datum value = PointerGetDatum(cstring_to_text_with_len(data, size));
            bool null = false;
            tuplestore_putvalues(store, descriptor, &value, &null);
        });
        if (++lines % 1000 == 0) scope.reset();
    });
    return Datum(0);
}

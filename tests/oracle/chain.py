"""The hash chain of a run's change log, computed again from its documented form (the head of catalog/change_log.cpp)."""
import hashlib
import struct

from compare import expect

NOTHING = struct.pack("<I", 0xFFFFFFFF)


def field(value):
    data = str(value).encode()
    return struct.pack("<I", len(data)) + data


def listed(values):
    return NOTHING if values is None else struct.pack("<I", len(values)) + b"".join(NOTHING if v is None else field(v) for v in values)


def check_chain(what, database, run):
    """Each entry's hash is SHA-256 over the one before it and the entry's fields."""
    previous, last_chain = None, None
    for row in database.rows("SELECT run_id, chain, entry, batch, step, kind, schema_name, table_name, column_name, key_columns, key_types, source, keys, "
                             "old_values, new_values, changed_at::text, hash FROM tenantmig.change_log WHERE run_id = %s ORDER BY chain, entry", (run,)):
        *fields, found = row
        if fields[1] != last_chain:
            previous, last_chain = bytes(32), fields[1]
        content = b"".join(listed(f) if isinstance(f, list) or f is None else field(f) for f in fields)
        previous = hashlib.sha256(previous + content).digest()
        expect(f"{what}: hash of entry {fields[2]} of chain {fields[1]}", previous.hex(), bytes(found).hex())

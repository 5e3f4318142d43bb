-- What there is to undo; not timed.
CALL tenantmig.run('bench');

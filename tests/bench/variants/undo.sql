-- title: CALL tenantmig.undo() of such a run
-- extension: yes
-- result: original
-- target: time/run1 1.00
SELECT max(id) AS run FROM tenantmig.runs \gset
CALL tenantmig.undo(:run);

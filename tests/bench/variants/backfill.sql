-- title: tenantmig.backfill(), one transaction
-- extension: yes
-- target: time 0.80, wal 1.05
SELECT * FROM tenantmig.backfill('bench');

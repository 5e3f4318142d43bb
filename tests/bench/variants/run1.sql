-- title: CALL tenantmig.run(), in the foreground
-- extension: yes
-- target: time 0.50, wal 0.70, growth 1.30
CALL tenantmig.run('bench');

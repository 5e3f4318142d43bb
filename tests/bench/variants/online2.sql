-- title: tenantmig.start(), two workers
-- extension: yes
-- workers: yes
-- target: time 0.33, time/b2 0.15, wal 0.70, growth 1.30
SELECT tenantmig.start('bench', workers => 2);
CALL tenantmig.wait('bench');

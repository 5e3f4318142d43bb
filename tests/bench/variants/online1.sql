-- title: tenantmig.start(), one worker
-- extension: yes
-- workers: yes
-- target: time 0.50, wal 0.70, growth 1.30
SELECT tenantmig.start('bench', workers => 1);
CALL tenantmig.wait('bench');

-- title: tenantmig.backfill(), audited
-- extension: yes
-- target: time 1.00, wal 1.05
SELECT * FROM tenantmig.backfill('customers', 'company_id', 'companies');

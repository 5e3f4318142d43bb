-- Rows for the benchmarks, on top of the six tables: 20 companies, each with 5 branches, 10 services, 20 members of staff, 500 customers, and
-- thousands of rows in each of the six. The same rows every time. Ids begin at 10,000,000: what is there already stays.
INSERT INTO companies (id, name) SELECT 10000000 + c, 'Company ' || c FROM generate_series(1, 20) c;
INSERT INTO branches (id, company_id, name) SELECT 10000000 + c * 100 + n, 10000000 + c, 'Branch ' || n FROM generate_series(1, 20) c, generate_series(1, 5) n;
INSERT INTO services (id, company_id, name) SELECT 10000000 + c * 100 + n, 10000000 + c, 'Service ' || n FROM generate_series(1, 20) c, generate_series(1, 10) n;
INSERT INTO staff (id, company_id, name) SELECT 10000000 + c * 100 + n, 10000000 + c, 'Member ' || n FROM generate_series(1, 20) c, generate_series(1, 20) n;
INSERT INTO customers (id, company_id, name) SELECT 10000000 + c * 1000 + n, 10000000 + c, 'Customer ' || n FROM generate_series(1, 20) c, generate_series(1, 500) n;
INSERT INTO appointments (id, company_id, customer_id, branch_id, staff_id, starts_at)
  SELECT 10000000 + c * 10000 + n, 10000000 + c, 10000000 + c * 1000 + 1 + n % 500, 10000000 + c * 100 + 1 + n % 5, 10000000 + c * 100 + 1 + n % 20,
    date_trunc('day', now()) - (n % 90) * interval '1 day' + (n % 9) * interval '1 hour'
  FROM generate_series(1, 20) c, generate_series(1, 2000) n;

-- 20 × 26 owners (5 branches, 20 members of staff, the company) × 10 events × 2 channels
INSERT INTO notification_configurations (company_id, configurable_type, configurable_id, event_type, channel, is_enabled, metadata)
  SELECT 10000000 + c, o.type, o.id, 'event_' || chr(96 + e), ch, e % 4 <> 0, jsonb_build_object('template', e)
  FROM generate_series(1, 20) c
  CROSS JOIN LATERAL (SELECT 'Company' AS type, 10000000 + c AS id UNION ALL SELECT 'Branch', 10000000 + c * 100 + n FROM generate_series(1, 5) n
    UNION ALL SELECT 'Staff', 10000000 + c * 100 + n FROM generate_series(1, 20) n) o
  CROSS JOIN generate_series(1, 10) e CROSS JOIN unnest('{email,sms}'::notification_channel[]) ch;

-- 20 × (company, 5 branches, 10 services) × 3 types; those of branches and services override the company's
INSERT INTO policy_configurations (id, company_id, configurable_type, configurable_id, policy_type, config)
  SELECT 10000000 + c * 1000 + t.n, 10000000 + c, 'Company', 10000000 + c, t.type, '{"hours": 24}' FROM generate_series(1, 20) c, unnest(enum_range(NULL::policy_type)) WITH ORDINALITY t (type, n);
INSERT INTO policy_configurations (company_id, configurable_type, configurable_id, policy_type, config, overrides_id)
  SELECT 10000000 + c, o.type, o.id, t.type, '{"hours": 12}', 10000000 + c * 1000 + t.n
  FROM generate_series(1, 20) c
  CROSS JOIN LATERAL (SELECT 'Branch' AS type, 10000000 + c * 100 + n AS id FROM generate_series(1, 5) n UNION ALL SELECT 'Service', 10000000 + c * 100 + n FROM generate_series(1, 10) n) o
  CROSS JOIN unnest(enum_range(NULL::policy_type)) WITH ORDINALITY t (type, n);

-- 20 × 2,500; one in ten is soft-deleted, most are done
INSERT INTO callback_requests (id, company_id, customer_id, branch_id, service_id, assigned_to, phone_number, priority, status, expires_at, created_at, deleted_at)
  SELECT 10000000 + c * 10000 + n, 10000000 + c, 10000000 + c * 1000 + 1 + n % 500, 10000000 + c * 100 + 1 + n % 5, 10000000 + c * 100 + 1 + n % 10, 10000000 + c * 100 + 1 + n % 20, '+49 30 ' || n,
    (enum_range(NULL::callback_priority))[1 + n % 3], CASE WHEN n % 25 = 0 THEN 'pending' WHEN n % 25 = 1 THEN 'assigned' WHEN n % 25 < 20 THEN 'completed' ELSE 'cancelled' END::callback_status,
    now() - (n % 60) * interval '1 day' + interval '4 hours', now() - (n % 60) * interval '1 day', CASE WHEN n % 10 = 9 THEN now() END
  FROM generate_series(1, 20) c, generate_series(1, 2500) n;

-- 20 × 3,000 over 120 days
INSERT INTO appointment_modifications (company_id, appointment_id, customer_id, modification_type, modified_by_type, modified_by_id, within_policy, fee_charged, created_at)
  SELECT 10000000 + c, 10000000 + c * 10000 + 1 + n % 2000, 10000000 + c * 1000 + 1 + n % 500, CASE WHEN n % 3 = 0 THEN 'reschedule' ELSE 'cancel' END::modification_type,
    'Customer', 10000000 + c * 1000 + 1 + n % 500, n % 5 <> 0, CASE WHEN n % 5 = 0 THEN 15 ELSE 0 END, now() - (n * 7 % 120) * interval '1 day'
  FROM generate_series(1, 20) c, generate_series(1, 3000) n;

-- 20 × 1,250
INSERT INTO callback_escalations (company_id, callback_request_id, escalated_from, escalated_to, escalation_reason, escalated_at, resolved_at)
  SELECT 10000000 + c, 10000000 + c * 10000 + n * 2, 10000000 + c * 100 + 1 + n % 20, 10000000 + c * 100 + 1 + (n + 1) % 20, (enum_range(NULL::escalation_reason))[1 + n % 4],
    now() - (n % 60) * interval '1 day', CASE WHEN n % 8 <> 0 THEN now() END
  FROM generate_series(1, 20) c, generate_series(1, 1250) n;

-- 20 × 500 customers × 4 kinds
INSERT INTO appointment_modification_stats (company_id, customer_id, stat_type, period_start, period_end, count)
  SELECT 10000000 + c, 10000000 + c * 1000 + n, s, current_date - 30, current_date, n % 7
  FROM generate_series(1, 20) c, generate_series(1, 500) n, unnest(enum_range(NULL::stat_type)) s;

VACUUM ANALYZE companies, branches, services, staff, customers, appointments, notification_configurations, policy_configurations, callback_requests, appointment_modifications,
  callback_escalations, appointment_modification_stats;

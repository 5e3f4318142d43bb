INSERT INTO mandate.domains SELECT md5(d)::uuid, CASE WHEN d = 'human_resources-2' THEN '00000000-0000-4000-8000-000000000002' ELSE '00000000-0000-4000-8000-000000000001' END::uuid, d
  FROM unnest(ARRAY['finance', 'logistics', 'human_resources-2']) d;
-- some ids begin with their domain already
INSERT INTO mandate.scopes SELECT CASE WHEN a = 'agent' THEN d || '.prod.service.' || a ELSE 'prod.service.' || a || length(d) END, md5(d)::uuid, a || ' of ' || d
  FROM unnest(ARRAY['finance', 'logistics', 'human_resources-2']) d, unnest(ARRAY['agent', 'system', 'report']) a;
INSERT INTO mandate.policy_snapshots (scope_id, domain_id) SELECT scope_id, domain_id FROM mandate.scopes ORDER BY description;
INSERT INTO mandate.decision_events SELECT n, md5((ARRAY['finance', 'logistics', 'human_resources-2'])[1 + n % 3])::uuid, 'decision ' || n FROM generate_series(1, 300) n;
INSERT INTO mandate.verdict_events SELECT md5((ARRAY['finance', 'logistics', 'human_resources-2'])[1 + n % 3])::uuid, n, 'verdict ' || n FROM generate_series(1, 300) n;

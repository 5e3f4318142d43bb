INSERT INTO mandate.domains VALUES ('finance', '00000000-0000-4000-8000-000000000001', 'finance'), ('logistics', '00000000-0000-4000-8000-000000000001', 'logistics'),
  ('human_resources-2', '00000000-0000-4000-8000-000000000002', 'human_resources-2');
INSERT INTO mandate.scopes SELECT d || '.prod.service.' || a, d, 'made by the migration' FROM unnest(ARRAY['finance', 'logistics', 'human_resources-2']) d, unnest(ARRAY['agent', 'system', 'report']) a;
INSERT INTO mandate.policy_snapshots (scope_id, domain, overrides_id) SELECT scope_id, domain, NULL FROM mandate.scopes ORDER BY scope_id;

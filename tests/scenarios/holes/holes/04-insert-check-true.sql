-- A second policy, for an import: every company can write tags into another one's list.
CREATE POLICY import ON tags FOR INSERT TO shop_app WITH CHECK (true);
-- proof
SET tenantmig.tenant = '1';
SELECT pg_temp.outcome($$INSERT INTO tags VALUES (2, 'planted', 'Planted')$$) = '00000';

-- A governance system whose tenant key is a uuid that nobody can read, and ids of scopes that don't say whose they are. Made up.
CREATE SCHEMA mandate;
CREATE TABLE mandate.domains (domain_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL, name text);
COMMENT ON COLUMN mandate.domains.name IS 'for people';
CREATE TABLE mandate.scopes (scope_id varchar(200) PRIMARY KEY, domain_id uuid NOT NULL REFERENCES mandate.domains, description text);
COMMENT ON COLUMN mandate.scopes.scope_id IS 'environment.kind.name';
CREATE INDEX idx_scopes_domain_id ON mandate.scopes (domain_id);
ALTER TABLE mandate.scopes ADD CONSTRAINT scopes_described UNIQUE (domain_id, description);
CREATE TABLE mandate.policy_snapshots (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scope_id varchar(200) NOT NULL REFERENCES mandate.scopes ON DELETE CASCADE,
  domain_id uuid NOT NULL REFERENCES mandate.domains, overrides_id bigint REFERENCES mandate.policy_snapshots);
CREATE INDEX idx_policy_snapshots_domain_id ON mandate.policy_snapshots (domain_id);
CREATE TABLE mandate.decision_events (id bigint PRIMARY KEY, domain_id uuid NOT NULL REFERENCES mandate.domains, decision text);
CREATE TABLE mandate.verdict_events (domain_id uuid NOT NULL, at integer NOT NULL, verdict text, PRIMARY KEY (domain_id, at));

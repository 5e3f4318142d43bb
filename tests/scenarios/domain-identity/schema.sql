-- A governance system after its tenant key has become a text: domains are named, and ids of scopes say whose they are. The
-- uuids that were the keys before are gone already; what is left is to hold new rows to it.
CREATE SCHEMA mandate;
CREATE TABLE mandate.domains (domain text PRIMARY KEY, organization_id uuid NOT NULL, name text NOT NULL);
CREATE TABLE mandate.scopes (scope_id text PRIMARY KEY, domain text REFERENCES mandate.domains, description text);
CREATE TABLE mandate.policy_snapshots (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scope_id text NOT NULL REFERENCES mandate.scopes, domain text REFERENCES mandate.domains, overrides_id bigint REFERENCES mandate.policy_snapshots);

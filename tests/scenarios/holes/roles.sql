-- The roles of the application. They are the server's, not the database's: a hole that changes one takes that back.
CREATE ROLE shop_owner NOLOGIN;    -- owns every table, and logs in never
CREATE ROLE shop_app LOGIN;        -- the application's pool
CREATE ROLE shop_reader LOGIN;     -- reports: reads, under the same policies
CREATE ROLE shop_operator LOGIN;   -- the platform's own people: all tenants
CREATE ROLE shop_visitor LOGIN;    -- a role of another application on the same server, without any right here
CREATE ROLE shop_feed LOGIN REPLICATION; -- a partner's server, which subscribes to what is shared

-- The roles of the application, with the rights that applications usually have: all of them. No statement here knows tenantmig.
CREATE ROLE app LOGIN;
CREATE ROLE platform_admin LOGIN;
GRANT SELECT ON companies TO platform_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON customers, appointments, phone_numbers, calls TO app, platform_admin;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app, platform_admin;
